"""The label sets of a batch: sizes, overlaps, and matrix products whose cost is the number of labels in them.

A row of a matrix of label sets has a few labels out of many. So its product with a table, one row per label, is a sum
of a few rows of the table: an embedding bag. In plain code,

    pool(rows, table) = matrix[rows] @ table
    pool_by_label(rows, table) = matrix[rows].T @ table
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

T = TypeVar("T")


class PerSlice(Generic[T]):
    """A table of rows for each slice of them, computed when it is first used: ``table[slice(0, 384)]``."""

    def __init__(self, compute: Callable[[slice], T]) -> None:
        self._compute = compute
        self._tables: dict[tuple[int, int], T] = {}

    def __getitem__(self, rows: slice) -> T:
        place = rows.start, rows.stop
        if place not in self._tables:
            self._tables[place] = self._compute(rows)
        return self._tables[place]


@dataclass(eq=False)
class Bags:
    """The labels of all sets, one after the other.

    Attributes:
        rows: The set of each label, ascending.
        labels: Its column.
        values: Its probability.
        whole: Whether all values are 1.
        shape: Number of sets and of labels.
    """

    rows: Int[Tensor, " entries"]
    labels: Int[Tensor, " entries"]
    values: Float[Tensor, " entries"]
    whole: bool
    shape: tuple[int, int]

    @classmethod
    def of(cls, matrix: Float[Tensor, "sets labels"]) -> "Bags":
        """List the labels of every set.

        Example:
            >>> bags = Bags.of(torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
            >>> bags.pool(slice(0, 3), torch.tensor([[1.0], [10.0], [100.0]])).T
            tensor([[101.,   0.,  10.]])
        """
        rows, labels = matrix.nonzero(as_tuple=True)
        values = matrix[rows, labels]
        return cls(rows, labels, values, bool((values == 1).all()), (len(matrix), matrix.shape[1]))

    @cached_property
    def offsets(self) -> Int[Tensor, " sets"]:
        """The first label of each set."""
        return torch.searchsorted(self.rows, torch.arange(self.shape[0], device=self.rows.device))

    @cached_property
    def starts(self) -> list[int]:
        """The same as plain numbers, and the end: one synchronisation with the device for all slices."""
        return [*self.offsets.tolist(), len(self.rows)]

    def pool(
        self,
        rows: slice,
        table: Float[Tensor, "labels width"],
        values: Float[Tensor, " entries"] | None = None,
    ) -> Float[Tensor, "rows width"]:
        """Sum the table's rows over the labels of each set.

        Args:
            rows: The sets.
            table: One row per label.
            values: Factors of the labels; by default their probabilities.
        """
        labels, offsets = self._by_set[rows]
        if values is None and not self.whole:
            values = self.values
        weights = None if values is None else values[self.starts[rows.start] : self.starts[rows.stop]]
        return _bag(labels, table, offsets, weights)

    def pool_by_label(self, rows: slice, table: Float[Tensor, "rows width"]) -> Float[Tensor, "labels width"]:
        """Sum the rows of the table, one per set, over the sets that have each label."""
        sets, offsets, values = self._by_label[rows]
        return _bag(sets, table, offsets, values)

    @cached_property
    def _by_set(self) -> PerSlice[tuple[Tensor, Tensor]]:
        """The labels of each set, and where those of a set begin."""

        def cut(rows: slice) -> tuple[Tensor, Tensor]:
            first = self.starts[rows.start]
            return self.labels[first : self.starts[rows.stop]], self.offsets[rows] - first

        return PerSlice(cut)

    @cached_property
    def _by_label(self) -> PerSlice[tuple[Tensor, Tensor, Tensor | None]]:
        """The sets of each label, counted from the first of the slice; where those of a label begin; and the values."""

        def sort(rows: slice) -> tuple[Tensor, Tensor, Tensor | None]:
            entries = slice(self.starts[rows.start], self.starts[rows.stop])
            labels, order = self.labels[entries].sort(stable=True)
            offsets = torch.searchsorted(labels, torch.arange(self.shape[1], device=labels.device))
            values = None if self.whole else self.values[entries][order]
            return self.rows[entries][order] - rows.start, offsets, values

        return PerSlice(sort)


def _bag(indices: Tensor, table: Tensor, offsets: Tensor, values: Tensor | None) -> Tensor:
    if not len(table):  # embedding_bag refuses an empty table
        return table.new_zeros(len(offsets), table.shape[1])
    # of a table that is not contiguous it would sum number by number
    return F.embedding_bag(indices, table.contiguous(), offsets, mode="sum", per_sample_weights=values)


@dataclass(eq=False)
class BatchLabels:
    """One label set a row.

    Attributes:
        matrix: 0 and 1, or between them a soft label: its probability.
        sizes: Number of labels of each set, those without a column here included.
        known: 0 for an unknown label (``matrix`` has 0 there too); by default all are known. Two sets are compared by
            the labels that are known of both.
        labels: The label of each column, ascending; by default every label has a column.
    """

    matrix: Float[Tensor, "rows labels"]
    sizes: Float[Tensor, " rows"]
    known: Float[Tensor, "rows labels"] | None = None
    labels: Int[Tensor, " labels"] | None = None

    @classmethod
    def of(cls, matrix: Float[Tensor, "rows labels"]) -> "BatchLabels":
        """Read a matrix of labels; NaN is an unknown one.

        Example:
            >>> sets = BatchLabels.of(torch.tensor([[1.0, 1.0, 0.0], [1.0, torch.nan, 0.0]]))
            >>> both = slice(0, 2)
            >>> sets.sizes_beside(sets, both, both)  # the first has two labels, one of which the second may have too
            tensor([[2., 1.],
                    [1., 1.]])
        """
        sizes = matrix.sum(1)
        if not sizes.isnan().any():
            return cls(matrix, sizes)
        unknown = matrix.isnan()
        matrix = matrix.masked_fill(unknown, 0)
        return cls(matrix, matrix.sum(1), 1 - unknown.to(matrix.dtype))

    @classmethod
    def of_sparse(cls, matrix: Tensor, *, least: int = 2) -> "BatchLabels":
        """Read a sparse matrix of coordinates; only labels of two rows or more get a column, for no other makes a pair.

        Args:
            matrix: Coalesced.
            least: Number of rows from which a label gets a column: 1 where a row is a candidate of itself, as a view.

        Example:
            >>> sets = BatchLabels.of_sparse(torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]]).to_sparse())
            >>> sets.matrix, sets.sizes
            (tensor([[1.], [1.]]), tensor([2., 2.]))
        """
        (rows, columns), given = matrix.indices(), matrix.values()
        values = given.nan_to_num()
        sizes = values.new_zeros(len(matrix)).index_add(0, rows, values)
        labels, column, count = columns.unique(return_inverse=True, return_counts=True)
        shared = count >= least
        labels = labels[shared]
        place = shared.cumsum(0) - 1
        kept = shared[column]
        compact = values.new_zeros(len(matrix), int(shared.sum()))
        compact[rows[kept], place[column[kept]]] = values[kept]
        unknown = kept & given.isnan()  # one that no other row has is in no count
        if not unknown.any():
            return cls(compact, sizes, None, labels)
        known = torch.ones_like(compact)
        known[rows[unknown], place[column[unknown]]] = 0
        return cls(compact, sizes, known, labels)

    @classmethod
    def join(cls, pieces: Sequence["BatchLabels"]) -> "BatchLabels":
        """Concatenate sets."""
        if len(pieces) == 1:
            return pieces[0]
        known = None
        if any(piece.known is not None for piece in pieces):
            known = torch.cat(
                [torch.ones_like(piece.matrix) if piece.known is None else piece.known for piece in pieces]
            )
        matrix, sizes = torch.cat([piece.matrix for piece in pieces]), torch.cat([piece.sizes for piece in pieces])
        return replace(pieces[0], matrix=matrix, sizes=sizes, known=known)

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, rows: slice) -> "BatchLabels":
        known = None if self.known is None else self.known[rows]
        return replace(self, matrix=self.matrix[rows], sizes=self.sizes[rows], known=known)

    @property
    def raw(self) -> Float[Tensor, "rows labels"]:
        """The matrix with NaN for an unknown label."""
        return self.matrix if self.known is None else self.matrix.masked_fill(self.known == 0, torch.nan)

    def repeat(self, times: int) -> "BatchLabels":
        """Repeat each set several times, one after the other."""
        matrix = self.matrix.repeat_interleave(times, 0)
        known = None if self.known is None else self.known.repeat_interleave(times, 0)
        return replace(self, matrix=matrix, sizes=self.sizes.repeat_interleave(times), known=known)

    @cached_property
    def bags(self) -> Bags:
        """The labels of every set, for products."""
        return Bags.of(self.matrix)

    @cached_property
    def by_label(self) -> PerSlice[Float[Tensor, "labels _"]]:
        """Return the matrix of a slice of the sets with one row per label."""
        return PerSlice(lambda rows: self.matrix[rows].T.contiguous())

    def overlap(self, others: "BatchLabels", rows: slice, columns: slice) -> Float[Tensor, "rows columns"]:
        """Count the labels that each set of ``rows`` has in common with each of the others' ``columns``."""
        return self.bags.pool(rows, others.by_label[columns])

    def sizes_beside(self, others: "BatchLabels", rows: slice, columns: slice) -> Float[Tensor, "rows _"]:
        """Count the labels of each set that are known of the others: one column, or one for each of them."""
        if others.known is None:
            return self.sizes[rows, None]
        without_column = (self.sizes - self.matrix.sum(1))[rows, None]
        return self.bags.pool(rows, others.known[columns].T.contiguous()) + without_column


class SampleIds(BatchLabels):
    """Sets of one label, the number of the example, as one column: there are as many labels as examples."""

    @classmethod
    def of(cls, matrix: Float[Tensor, "rows 1"]) -> "SampleIds":
        """Read a column of numbers."""
        return cls(matrix, torch.ones_like(matrix[:, 0]))

    def overlap(self, others: BatchLabels, rows: slice, columns: slice) -> Float[Tensor, "rows columns"]:
        """Return 1 for rows of one example; a negative number matches none."""
        here, there = self.matrix[rows], others.matrix[columns]
        return ((here == there.T) & (here >= 0)).to(here.dtype)
