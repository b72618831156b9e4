"""Hierarchies of labels, trees or directed acyclic graphs, and a hierarchy over the labels of a run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped
from scipy.sparse import csr_array, eye_array

from labelcontrast import dag
from labelcontrast.errors import ConfigError, LabelError, nearest
from labelcontrast.labels.vocabulary import LabelVocabulary

Matrix: TypeAlias = csr_array[Any, tuple[int, int]]


class Hierarchy:
    """Nodes in a fixed order, each with its parents. Labels can be on any node, and there can be several roots.

    Args:
        edges: Pairs of a child and a parent, or of a root and None. If one root is named, all must be.
        where: Returns the source of the edge at a position, such as ``topics.csv, line 17``, for error messages.

    Attributes:
        vocabulary: The names of the nodes: children in the order of the edges, then parents that are no children.
        parents: Shape [nodes, nodes], 1 where the column is a parent of the row.

    Raises:
        LabelError: A node is its own ancestor; a root is missing among named ones; or a root has a parent.

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
        self.parents = dag.binary(csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(self), len(self))))
        if self.depths.size and self.depths.min() < 0:
            cycle = [self.names[node] for node in _cycle(self.parents, self.depths)]
            edge = next(place for place, ends in enumerate(given) if ends == (cycle[0], cycle[1]))
            message = f'"{cycle[0]}" is its own ancestor: {" < ".join(cycle)}.'
            raise LabelError(message, path=None if where is None else where(edge))

    @classmethod
    def from_parents(cls, parents: Mapping[str, str | Sequence[str] | None]) -> "Hierarchy":
        """Build a hierarchy from a mapping of each node to its parent, its parents, or None.

        Example:
            >>> Hierarchy.from_parents({"a": None, "b": "a", "c": ["a", "b"]}).parents.toarray().tolist()
            [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
        """
        return cls((child, parent) for child, above in parents.items() for parent in above_of(above))

    def __repr__(self) -> str:
        return f"Hierarchy({len(self):,} nodes, {int(self.depths.max(initial=-1)) + 1} levels)"

    def __len__(self) -> int:
        return len(self.vocabulary)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the nodes."""
        return self.vocabulary.names

    @cached_property
    def depths(self) -> Integer[np.ndarray, " nodes"]:
        """The level of each node: 0 for a root, else one more than the deepest of its parents."""
        return dag.depths(self.parents)

    @cached_property
    def children(self) -> Matrix:
        """Shape [nodes, nodes], 1 where the column is a child of the row."""
        return csr_array(self.parents.T.tocsr())

    @cached_property
    def ancestors(self) -> Matrix:
        """Shape [nodes, nodes], 1 where the column is the row itself or above it."""
        return dag.ancestors(self.parents, longest=int(self.depths.max(initial=0)))

    @cached_property
    def leaves(self) -> Integer[np.ndarray, " leaves"]:
        """The nodes without children."""
        return np.flatnonzero(np.diff(self.children.indptr) == 0)

    def close(self, labels: object) -> Matrix:
        """Add to each label set all ancestors of its labels.

        Args:
            labels: 0 or 1, shape [examples, nodes], dense or sparse.

        Returns: A matrix of the same shape, of 0 and 1 in 8 bits.

        Raises:
            LabelError: The matrix has another number of columns.
        """
        matrix = csr_array(labels)
        if matrix.shape[1] != len(self):
            raise LabelError(f"labels must have a column for each of {len(self)} nodes. Got {matrix.shape[1]}.")
        return dag.binary(matrix.astype(bool) @ self.ancestors.astype(bool))

    def lowest_common_ancestors(
        self, first: Integer[np.ndarray, " pairs"], second: Integer[np.ndarray, " pairs"]
    ) -> Matrix:
        """Find for each pair of nodes the common ancestors without another common ancestor below them.

        Returns: A matrix [pairs, nodes] of 0 and 1: in a tree at most one in each row; none where the roots differ.

        Example:
            >>> tree = Hierarchy.from_parents({"a": None, "b": "a", "c": "b", "d": "b"})
            >>> tree.vocabulary.decode(tree.lowest_common_ancestors(np.array([2, 2, 0]), np.array([3, 2, 3])))
            [('b',), ('c',), ('a',)]
        """
        common = csr_array(self.ancestors[first].multiply(self.ancestors[second])).astype(bool)
        return dag.lowest(common, self.ancestors)

    def over(self, names: Sequence[str]) -> "Hierarchy":
        """Reorder the nodes so that these names come first; a name without a node becomes a root.

        Example:
            >>> Hierarchy.from_parents({"a": None, "b": "a"}).over(["red", "b"]).names
            ('red', 'b', 'a')
        """
        nodes = dict.fromkeys((*names, *self.names))
        own = self.to_parents()
        return Hierarchy((name, parent) for name in nodes for parent in above_of(own.get(name)))

    def renamed(self, become: Mapping[str, str]) -> "Hierarchy":
        """Rename nodes; those of one new name are merged, with the parents of all.

        Raises:
            LabelError: A merged node would be its own ancestor.

        Example:
            >>> Hierarchy.from_parents({"a": None, "b": "a", "c": "a"}).renamed({"b": "d", "c": "d"}).to_parents()
            {'a': None, 'd': 'a'}
        """
        found: dict[str, dict[str, None]] = {}
        for child, above in self.to_parents().items():
            own = found.setdefault(become.get(child, child), {})
            own.update({become.get(one, one): None for one in above_of(above) if one is not None})
        return Hierarchy.from_parents({child: [one for one in above if one != child] for child, above in found.items()})

    def to_parents(self) -> dict[str, str | list[str] | None]:
        """Return a mapping of each node to its parent, its parents, or None."""
        above = self.vocabulary.decode(self.parents)
        return {
            name: None if not parents else parents[0] if len(parents) == 1 else list(parents)
            for name, parents in zip(self.names, above, strict=True)
        }


@dataclass(eq=False)
class LabelTree:
    """A hierarchy whose first nodes are the labels of a run, in the order of their columns; others are ancestors only.

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
        """Restrict a hierarchy to these labels and their ancestors; a label without a node becomes a root."""
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
        """Shape [labels, labels], 1 where the column is the row itself or above it."""
        return csr_array(self.nodes.ancestors[: self.num_labels, : self.num_labels])

    @cached_property
    def parents(self) -> Matrix:
        """Shape [labels, labels], 1 where the column is above the row with no other label between them."""
        above = csr_array(self.ancestors - eye_array(self.num_labels, dtype=np.uint8)).astype(bool)
        parents = csr_array((above > csr_array(above @ above).astype(bool)).astype(np.uint8))
        parents.eliminate_zeros()
        return parents

    def widen(self, labels: object) -> Matrix:
        """Append an empty column for every node that is not a label."""
        given = csr_array(labels)
        return csr_array((given.data, given.indices, given.indptr), shape=(given.shape[0], len(self.nodes)))

    def close(self, labels: object) -> Matrix:
        """Add to each label set all ancestors of its labels: [examples, nodes] of 0 and 1."""
        return self.nodes.close(self.widen(labels))

    def imply(self, predictions: Shaped[np.ndarray, "examples labels"]) -> Shaped[np.ndarray, "examples nodes"]:
        """Extend predictions to all nodes: a node that is not a label is predicted if a label below it is."""
        whole = self.close(predictions).toarray() > 0
        whole[:, : self.num_labels] = predictions
        return np.asarray(whole)

    def close_soft(self, targets: object) -> Float[np.ndarray, "examples nodes"]:
        """Extend soft and unknown labels to all nodes.

        A soft label adds to each of its ancestors, up to 1. The ancestors of an unknown label are unknown (NaN), unless
        the known labels add up to 1.

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
        """Keep of each label set the labels without another label of the set below them: [examples, labels]."""
        return dag.lowest(labels, self.ancestors)


def hold_out_leaves(
    labels: Shaped[np.ndarray, "examples labels"], parents: csr_array, *, share: float, generator: np.random.Generator
) -> tuple[Integer[np.ndarray, " held"], Bool[np.ndarray, " examples"]]:
    """Draw leaves to hold out from training, among those that have an example.

    Args:
        labels: Of all examples, 0 or 1, shape [examples, labels].
        parents: Shape [labels, labels], 1 where the column is a parent of the row.
        share: Share of the leaves to hold out, rounded; at least one is held out, and one is left.
        generator: Draws the leaves.

    Returns: The leaves; and a mask of the examples that have one of them.

    Raises:
        ConfigError: The share is not between 0 and 1, or fewer than two leaves have an example.

    Example:
        >>> labels = np.array([[1, 1, 0], [1, 0, 1], [1, 0, 0]])
        >>> tree = csr_array([[0, 0, 0], [1, 0, 0], [1, 0, 0]])
        >>> held, unseen = hold_out_leaves(labels, tree, share=0.5, generator=np.random.default_rng(0))
        >>> held.tolist(), unseen.tolist()
        ([2], [False, True, False])
    """
    if not 0 < share < 1:
        raise ConfigError(f"share must be between 0 and 1. Got {share}.")
    is_leaf = np.bincount(parents.indices, minlength=parents.shape[0]) == 0
    leaves = np.flatnonzero(is_leaf & labels.any(0))
    if len(leaves) < 2:
        raise ConfigError(f"to hold out leaves, two of them must have an example. Got {len(leaves)}.")
    count = min(max(round(share * len(leaves)), 1), len(leaves) - 1)
    held = np.sort(generator.choice(leaves, count, replace=False))
    return held, np.asarray(labels[:, held].any(1))


def above_of(parents: str | Sequence[str] | None) -> Sequence[str | None]:
    """List the parents of a node; a root has the parent None."""
    return [parents] if isinstance(parents, str) else parents or [None]


def _check_roots(edges: Sequence[tuple[str, str | None]], where: Callable[[int], str] | None) -> None:
    """If roots are named, refuse parents that are neither roots nor children, and roots with a parent."""
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


def _cycle(parents: Matrix, depths: Integer[np.ndarray, " nodes"]) -> list[int]:
    """Walk up among nodes without a level until a node repeats, and return the path from it back to it."""
    node = int(np.argmin(depths))
    seen: dict[int, int] = {}
    while node not in seen:
        seen[node] = len(seen)
        above = parents.indices[parents.indptr[node] : parents.indptr[node + 1]]
        node = int(above[np.argmin(depths[above])])
    return [*list(seen)[seen[node] :], node]
