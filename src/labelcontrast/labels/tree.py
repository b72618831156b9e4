"""A hierarchy over the labels of a run: label sets and predictions over all its nodes, and the order of the labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Integer, Shaped
from scipy.sparse import csr_array, eye_array

from labelcontrast.labels.hierarchy import Hierarchy, above_of

Matrix: TypeAlias = csr_array[Any, tuple[int, int]]


@dataclass(frozen=True)
class LabelTree:
    """A hierarchy whose first nodes are the labels, in the order of their columns; the others only stand above some.

    Example:
        >>> tree = LabelTree.over(["cat", "dog"], Hierarchy([("cat", "animal"), ("fir", "tree")]))
        >>> tree.nodes.names, tree.num_labels
        (('cat', 'dog', 'animal'), 2)
        >>> tree.close(np.array([[1, 0]])).toarray().tolist()
        [[1, 0, 1]]
    """

    nodes: Hierarchy
    num_labels: int

    @classmethod
    def over(cls, names: Sequence[str], hierarchy: Hierarchy) -> "LabelTree":
        """Lay a hierarchy over these labels: one that it does not know is a root, a node above no label is left out."""
        whole = hierarchy.over(names)
        used = np.asarray(whole.ancestors[: len(names)].astype(np.int64).sum(0)) > 0
        parents = whole.to_parents()
        kept = [name for name, is_used in zip(whole.names, used, strict=True) if is_used]
        return cls(Hierarchy((name, above) for name in kept for above in above_of(parents[name])), len(names))

    @property
    def depths(self) -> Integer[np.ndarray, " labels"]:
        """The level of each label."""
        return self.nodes.depths[: self.num_labels]

    @cached_property
    def ancestors(self) -> Matrix:
        """[labels, labels], 1 where the column is the row itself or above it."""
        return csr_array(self.nodes.ancestors[: self.num_labels, : self.num_labels])

    @cached_property
    def parents(self) -> Matrix:
        """[labels, labels], 1 where the column is above the row with no other label between them."""
        above = csr_array(self.ancestors - eye_array(self.num_labels, dtype=np.uint8)).astype(bool)
        parents = csr_array((above > csr_array(above @ above).astype(bool)).astype(np.uint8))
        parents.eliminate_zeros()
        return parents

    def widen(self, labels: object) -> Matrix:
        """Add an empty column for every node that is no label."""
        given = csr_array(labels)
        return csr_array((given.data, given.indices, given.indptr), shape=(given.shape[0], len(self.nodes)))

    def close(self, labels: object) -> Matrix:
        """Add to each label set every node above one of it: [examples, nodes] of 0 and 1."""
        return self.nodes.close(self.widen(labels))

    def imply(self, predictions: Shaped[np.ndarray, "examples labels"]) -> Shaped[np.ndarray, "examples nodes"]:
        """Say of every node whether it is predicted: one that is no label is, where a label below it is."""
        whole = self.close(predictions).toarray() > 0
        whole[:, : self.num_labels] = predictions
        return np.asarray(whole)

    def close_soft(self, targets: object) -> Float[np.ndarray, "examples nodes"]:
        """Close soft and unknown labels: a soft one adds to all above it, up to 1; above an unknown one is unknown too.

        Unless what is known suffices for 1.

        Example:
            >>> tree = LabelTree.over(["a", "b", "c"], Hierarchy.from_parents({"a": None, "b": "a", "c": "a"}))
            >>> tree.close_soft(csr_array([[0.0, 0.5, 0.25], [0.0, np.nan, 0.25], [1.0, np.nan, 0.0]])).tolist()
            [[0.75, 0.5, 0.25], [nan, nan, 0.25], [1.0, nan, 0.0]]
        """
        given, above = self.widen(targets), self.nodes.ancestors.astype(np.float32)
        unknown = given.copy()
        unknown.data = np.isnan(given.data).astype(np.float32)
        given.data = np.nan_to_num(given.data)
        total = (given @ above).toarray().clip(max=1)
        total[((unknown @ above).toarray() > 0) & (total < 1)] = np.nan
        return np.asarray(total)

    def lowest(self, labels: object) -> Matrix:
        """Mark the labels of each set that have no other of it below them: [examples, labels]."""
        own = csr_array(labels).astype(bool)
        above = own @ csr_array(self.ancestors - eye_array(self.num_labels, dtype=np.uint8)).astype(bool)
        return csr_array((own > csr_array(above).astype(bool)).astype(np.uint8))
