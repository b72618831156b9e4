"""How far labels are from one another in a hierarchy, over the nearest label above both."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Integer
from scipy.sparse import csr_array, eye_array

Nodes = Integer[np.ndarray, " pairs"]


@dataclass(frozen=True)
class Distances:
    """The distances of a hierarchy.

    Attributes:
        parents: [labels, labels], 1 where the column is a parent of the row; without circles.
    """

    parents: csr_array

    @cached_property
    def steps(self) -> csr_array:
        """[labels, labels]: one more than the fewest steps up from the row to the column; 0 where that is not above."""
        size = self.parents.shape[0]
        found = csr_array(eye_array(size, dtype=np.int64))
        front, number = found, 1
        while front.nnz:
            number += 1
            reached = (front @ self.parents).astype(bool)
            front = csr_array(reached > found.astype(bool)).astype(np.int64)
            found = csr_array(found + number * front)
        found.sort_indices()
        return found

    @cached_property
    def to_root(self) -> Integer[np.ndarray, " labels"]:
        """One more than the least number of steps from each label to a root."""
        roots = np.diff(self.parents.indptr) == 0
        steps = csr_array(self.steps[:, np.flatnonzero(roots)])
        return _least(steps)[0]

    def between(self, first: Nodes, second: Nodes) -> tuple[Nodes, Nodes]:
        """Measure pairs of labels.

        Returns:
            The least number of steps up and down from one to the other; and the label above both over which it goes, of
            several the first, or -1 for labels below no common root: these meet one step above their roots.
        """
        one, other = self.steps[first], self.steps[second]
        both = one.astype(bool).multiply(other.astype(bool))
        least, where = _least(csr_array(one.multiply(both) + other.multiply(both)))
        meet = where >= 0
        return np.where(meet, least - 2, self.to_root[first] + self.to_root[second]), where


def lowest(labels: csr_array, ancestors: csr_array) -> csr_array:
    """Keep of each label set the labels that have no other of the set below them.

    Example:
        >>> lowest(csr_array([[1, 1], [1, 0]]), csr_array([[1, 0], [1, 1]])).toarray().tolist()
        [[0, 1], [1, 0]]
    """
    own = csr_array(labels).astype(bool)
    above = own.astype(np.int64) @ (csr_array(ancestors).astype(np.int64) - eye_array(own.shape[1], dtype=np.int64))
    return csr_array(own > (own.multiply(csr_array(above).astype(bool)))).astype(np.uint8)


def _least(matrix: csr_array) -> tuple[Integer[np.ndarray, " rows"], Integer[np.ndarray, " rows"]]:
    """The least of the entries of each row, and its column, the first of several; 0 and -1 in a row without any."""
    rows = csr_array(matrix)
    rows.eliminate_zeros()
    rows.sort_indices()
    counts = np.diff(rows.indptr)
    filled = counts > 0
    least = np.zeros(len(counts), np.int64)
    least[filled] = np.minimum.reduceat(rows.data, rows.indptr[:-1][filled]) if filled.any() else 0
    is_least: Bool[np.ndarray, " entries"] = rows.data == np.repeat(least, counts)
    row = np.repeat(np.arange(len(counts)), counts)[is_least]
    where = np.full(len(counts), -1)
    where[row[::-1]] = rows.indices[is_least][::-1]
    return least, where
