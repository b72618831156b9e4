"""Labels above labels: a tree or a directed acyclic graph, as sparse matrices over all of its nodes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Integer
from scipy.sparse import csr_array, eye_array

from labelcontrast.errors import LabelError, nearest
from labelcontrast.labels.vocabulary import LabelVocabulary

Matrix: TypeAlias = csr_array[Any, tuple[int, int]]


class Hierarchy:
    """Nodes in a fixed order, each with its parents; labels can be on any node, and there can be several roots.

    Args:
        edges: a child and a parent each, or a root and None. Where a root is named so, all have to be.
        where: says where the edge at a position comes from, as ``topics.csv, line 17``, for the refusal.

    Attributes:
        vocabulary: the names of the nodes, in the order in which the children stand, then parents that are no children.
        parents: [nodes, nodes], 1 where the column is a parent of the row.

    Raises:
        LabelError: a node is its own ancestor; a parent is never named though roots are; or a root has a parent.

    Example:
        >>> animals = Hierarchy([("animal", None), ("cat", "animal"), ("dog", "animal"), ("puppy", "dog")])
        >>> animals.depths.tolist()
        [0, 1, 1, 2]
        >>> closed = animals.close(animals.vocabulary.encode([("puppy",), ("cat", "dog")]))
        >>> animals.vocabulary.decode(closed)
        [('animal', 'dog', 'puppy'), ('animal', 'cat', 'dog')]
    """

    def __init__(self, edges: Iterable[tuple[str, str | None]], *, where: Callable[[int], str] | None = None) -> None:
        given = list(edges)
        children = dict.fromkeys(child for child, _ in given)
        parents = dict.fromkeys(parent for _, parent in given if parent is not None)
        _check_roots(given, where)
        self.vocabulary = LabelVocabulary(tuple({**children, **parents}))
        column = self.vocabulary.column
        pairs = [(column[child], column[parent]) for child, parent in given if parent is not None]
        rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
        self.parents = _binary(csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(self), len(self))))
        if self.depths.size and self.depths.min() < 0:
            cycle = [self.names[node] for node in _cycle(self.parents, self.depths)]
            edge = next(place for place, ends in enumerate(given) if ends == (cycle[0], cycle[1]))
            message = f'"{cycle[0]}" is its own ancestor: {" < ".join(cycle)}.'
            raise LabelError(message, path=None if where is None else where(edge))

    @classmethod
    def from_parents(cls, parents: Mapping[str, str | Sequence[str] | None]) -> "Hierarchy":
        """Take a map of each node to its parent, its parents, or None.

        Example:
            >>> Hierarchy.from_parents({"a": None, "b": "a", "c": ["a", "b"]}).parents.toarray().tolist()
            [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
        """
        return cls((child, parent) for child, above in parents.items() for parent in above_of(above))

    def __len__(self) -> int:
        return len(self.vocabulary)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the nodes."""
        return self.vocabulary.names

    @cached_property
    def depths(self) -> Integer[np.ndarray, " nodes"]:
        """The level of each node: 0 for a root, else one more than the deepest of its parents."""
        depths = np.full(len(self), -1)
        waiting = np.diff(self.parents.indptr)
        children = self.children
        front = np.flatnonzero(waiting == 0)
        depth = 0
        while front.size:
            depths[front] = depth
            below = children[front].indices
            np.subtract.at(waiting, below, 1)
            front = np.unique(below[waiting[below] == 0])
            depth += 1
        return depths

    @cached_property
    def children(self) -> Matrix:
        """[nodes, nodes], 1 where the column is a child of the row."""
        return csr_array(self.parents.T.tocsr())

    @cached_property
    def ancestors(self) -> Matrix:
        """[nodes, nodes], 1 where the column is the row itself or above it."""
        closure = _binary(self.parents + eye_array(len(self), dtype=np.uint8))
        reach, longest = 1, int(self.depths.max(initial=0))
        while reach < longest:  # two steps of up to `reach` make one of up to twice as many
            wide = closure.astype(bool)
            closure = _binary(wide @ wide)
            reach *= 2
        return closure

    @cached_property
    def leaves(self) -> Integer[np.ndarray, " leaves"]:
        """The nodes without children."""
        return np.flatnonzero(np.diff(self.children.indptr) == 0)

    def close(self, labels: object) -> Matrix:
        """Add to each label set every label above one of it.

        Args:
            labels: a multi-hot matrix [examples, nodes], dense or sparse.

        Returns:
            A matrix of the same size, of 0 and 1 in 8 bits.

        Raises:
            LabelError: it has another number of columns.
        """
        matrix = csr_array(labels)
        if matrix.shape[1] != len(self):
            raise LabelError(f"labels must have a column for each of {len(self)} nodes. Got {matrix.shape[1]}.")
        return _binary(matrix.astype(bool) @ self.ancestors.astype(bool))

    def lowest_common_ancestors(
        self, first: Integer[np.ndarray, " pairs"], second: Integer[np.ndarray, " pairs"]
    ) -> Matrix:
        """Find for each pair of nodes the common ancestors that have no other common ancestor below them.

        Returns:
            A matrix [pairs, nodes] of 0 and 1: in a tree at most one in each row; none where the roots differ.

        Example:
            >>> tree = Hierarchy.from_parents({"a": None, "b": "a", "c": "b", "d": "b"})
            >>> tree.vocabulary.decode(tree.lowest_common_ancestors(np.array([2, 2, 0]), np.array([3, 2, 3])))
            [('b',), ('c',), ('a',)]
        """
        common = csr_array(self.ancestors[first].multiply(self.ancestors[second])).astype(bool)
        covered = common @ (self.ancestors - eye_array(len(self), dtype=np.uint8)).astype(bool)
        return _binary(common.astype(np.int8) - common.multiply(covered).astype(np.int8))

    def over(self, names: Sequence[str]) -> "Hierarchy":
        """Put the nodes of these names first, in this order; a name that is no node becomes a root.

        Example:
            >>> Hierarchy.from_parents({"a": None, "b": "a"}).over(["red", "b"]).names
            ('red', 'b', 'a')
        """
        nodes = dict.fromkeys((*names, *self.names))
        own = self.to_parents()
        return Hierarchy((name, parent) for name in nodes for parent in above_of(own.get(name)))

    def to_parents(self) -> dict[str, str | list[str] | None]:
        """Map each node to its parent, to its parents, or to None."""
        above = self.vocabulary.decode(self.parents)
        return {
            name: None if not parents else parents[0] if len(parents) == 1 else list(parents)
            for name, parents in zip(self.names, above, strict=True)
        }


def above_of(parents: str | Sequence[str] | None) -> Sequence[str | None]:
    """List the parents, or None alone where there is none."""
    return [parents] if isinstance(parents, str) else parents or [None]


def _check_roots(edges: Sequence[tuple[str, str | None]], where: Callable[[int], str] | None) -> None:
    """Where roots are named, refuse a parent that is not, and a root that has a parent."""
    above: dict[str, list[str | None]] = {}
    for child, parent in edges:
        above.setdefault(child, []).append(parent)
    named = any(parent is None for _, parent in edges)
    for place, (child, parent) in enumerate(edges):
        if parent is None and len({*above[child]}) > 1:
            message = f'"{child}" is named as a root, and has the parent "{next(filter(None, above[child]))}".'
        elif named and parent is not None and parent not in above:
            message = f'"{parent}", the parent of "{child}", is an orphan: neither a root nor a child of another'
            message += f"{nearest(parent, above)}."
        else:
            continue
        raise LabelError(message, path=None if where is None else where(place))


def _binary(matrix: object) -> Matrix:
    """The same places, each with a 1 in 8 bits."""
    ones = csr_array(matrix)
    ones.sum_duplicates()
    ones.eliminate_zeros()
    return csr_array((np.ones(ones.nnz, np.uint8), ones.indices, ones.indptr), shape=ones.shape)


def _cycle(parents: Matrix, depths: Integer[np.ndarray, " nodes"]) -> list[int]:
    """Walk up from a node that has no depth, among its like, until one comes again; all from there, back to there."""
    node = int(np.argmin(depths))
    seen: dict[int, int] = {}
    while node not in seen:
        seen[node] = len(seen)
        above = parents.indices[parents.indptr[node] : parents.indptr[node + 1]]
        node = int(above[np.argmin(depths[above])])
    return [*list(seen)[seen[node] :], node]
