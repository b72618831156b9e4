"""The label sets of a batch: sizes, overlaps, and products that cost as much as there are labels in them.

A row of a matrix of label sets holds a few labels out of many. So its product with a table, one row a label, is a sum
of a few of the table's rows: an embedding bag. Plainly,

    pool(rows, table) = matrix[rows] @ table
    pool_by_label(rows, table) = matrix[rows].T @ table
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


@dataclass(frozen=True)
class Bags:
    """The labels of all sets, one after the other.

    Attributes:
        rows: the set that each belongs to, ascending.
        labels: its column.
        values: how present it is.
        whole: whether all values are 1.
        shape: sets and labels.
        cut: of the slices that were asked for, the labels of each set.
        sorted: of the slices that were asked for, the sets that have each label.
    """

    rows: Int[Tensor, " entries"]
    labels: Int[Tensor, " entries"]
    values: Float[Tensor, " entries"]
    whole: bool
    shape: tuple[int, int]
    cut: dict[tuple[int, int], tuple[Tensor, Tensor]] = field(default_factory=dict, init=False)
    sorted: dict[tuple[int, int], tuple[Tensor, Tensor, Tensor | None]] = field(default_factory=dict, init=False)

    @classmethod
    def of(cls, matrix: Float[Tensor, "sets labels"]) -> "Bags":
        """Find the labels of every set.

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
        """Where the labels of each set begin."""
        return torch.searchsorted(self.rows, torch.arange(self.shape[0], device=self.rows.device))

    @cached_property
    def starts(self) -> list[int]:
        """The same as plain numbers, and the end: the one look at the device that all slices share."""
        return [*self.offsets.tolist(), len(self.rows)]

    def pool(
        self,
        rows: slice,
        table: Float[Tensor, "labels width"],
        values: Float[Tensor, " entries"] | None = None,
    ) -> Float[Tensor, "rows width"]:
        """Sum the table's rows over the labels of each set.

        Args:
            rows: which sets.
            table: one row a label.
            values: what each entry counts instead of how present it is.
        """
        place = rows.start, rows.stop
        if place not in self.cut:
            first = self.starts[rows.start]
            self.cut[place] = self.labels[first : self.starts[rows.stop]], self.offsets[rows] - first
        labels, offsets = self.cut[place]
        if values is None and not self.whole:
            values = self.values
        weights = None if values is None else values[self.starts[rows.start] : self.starts[rows.stop]]
        return _bag(labels, table, offsets, weights)

    def pool_by_label(self, rows: slice, table: Float[Tensor, "rows width"]) -> Float[Tensor, "labels width"]:
        """Sum the table's rows, one a set, over the sets that have each label."""
        place = rows.start, rows.stop
        if place not in self.sorted:
            self.sorted[place] = self._sort(rows)
        sets, offsets, values = self.sorted[place]
        return _bag(sets, table, offsets, values)

    def _sort(self, rows: slice) -> tuple[Tensor, Tensor, Tensor | None]:
        """The sets that have each label, one label after the other, counted from the first of ``rows``."""
        entries = slice(self.starts[rows.start], self.starts[rows.stop])
        labels, order = self.labels[entries].sort(stable=True)
        offsets = torch.searchsorted(labels, torch.arange(self.shape[1], device=labels.device))
        values = None if self.whole else self.values[entries][order]
        return self.rows[entries][order] - rows.start, offsets, values


def _bag(indices: Tensor, table: Tensor, offsets: Tensor, values: Tensor | None) -> Tensor:
    """Sum rows of a table, a bag at a time."""
    if not len(table):  # no label at all: no row to sum
        return table.new_zeros(len(offsets), table.shape[1])
    # of rows that do not lie in one piece it would sum number by number
    return F.embedding_bag(indices, table.contiguous(), offsets, mode="sum", per_sample_weights=values)


@dataclass(frozen=True)
class BatchLabels:
    """One label set a row.

    Attributes:
        matrix: 0 and 1, or between them a soft label: the probability that it is there.
        sizes: how many labels each set has, those that have no column here included.
        known: 0 for a label of which is not known whether it is there (``matrix`` has 0 there too); by default all are
            known. Two sets are compared by the labels that are known of both.
        turned: of the slices that were asked for, the matrix with a row a label.
    """

    matrix: Float[Tensor, "rows labels"]
    sizes: Float[Tensor, " rows"]
    known: Float[Tensor, "rows labels"] | None = None
    turned: dict[tuple[int, int], Float[Tensor, "labels _"]] = field(default_factory=dict, init=False)

    @classmethod
    def of(cls, matrix: Float[Tensor, "rows labels"]) -> "BatchLabels":
        """Take a matrix of labels; NaN is an unknown one.

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
    def of_sparse(cls, matrix: Tensor, dtype: torch.dtype) -> "BatchLabels":
        """Take a sparse matrix of coordinates; only labels that two rows have get a column, for no other makes a pair.

        Example:
            >>> sets = BatchLabels.of_sparse(torch.tensor([[1, 1, 0], [1, 0, 1]]).to_sparse(), torch.float32)
            >>> sets.matrix, sets.sizes
            (tensor([[1.], [1.]]), tensor([2., 2.]))
        """
        matrix = matrix.coalesce()
        (rows, columns), values = matrix.indices(), matrix.values().to(dtype)
        sizes = values.new_zeros(len(matrix)).index_add(0, rows, values)
        _, column, count = columns.unique(return_inverse=True, return_counts=True)
        shared = count > 1
        place = shared.cumsum(0) - 1
        kept = shared[column]
        compact = values.new_zeros(len(matrix), int(shared.sum()))
        compact[rows[kept], place[column[kept]]] = values[kept]
        return cls(compact, sizes)

    @classmethod
    def join(cls, parts: Sequence["BatchLabels"]) -> "BatchLabels":
        """Put sets below one another."""
        if len(parts) == 1:
            return parts[0]
        known = None
        if any(part.known is not None for part in parts):
            known = torch.cat([torch.ones_like(part.matrix) if part.known is None else part.known for part in parts])
        matrix, sizes = torch.cat([part.matrix for part in parts]), torch.cat([part.sizes for part in parts])
        return replace(parts[0], matrix=matrix, sizes=sizes, known=known)

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
        """Each set several times, one after the other."""
        matrix = self.matrix.repeat_interleave(times, 0)
        known = None if self.known is None else self.known.repeat_interleave(times, 0)
        return replace(self, matrix=matrix, sizes=self.sizes.repeat_interleave(times), known=known)

    @cached_property
    def bags(self) -> Bags:
        """The labels of every set, to multiply with."""
        return Bags.of(self.matrix)

    def by_label(self, rows: slice) -> Float[Tensor, "labels rows"]:
        """The matrix of some sets with a row a label."""
        place = rows.start, rows.stop
        if place not in self.turned:
            self.turned[place] = self.matrix[rows].T.contiguous()
        return self.turned[place]

    def overlap(self, others: "BatchLabels", rows: slice, columns: slice) -> Float[Tensor, "rows columns"]:
        """Count the labels that each set of ``rows`` has in common with each of the others' ``columns``."""
        return self.bags.pool(rows, others.by_label(columns))

    def sizes_beside(self, others: "BatchLabels", rows: slice, columns: slice) -> Float[Tensor, "rows _"]:
        """Count the labels of each set that are known there: a column, or one for each set there."""
        if others.known is None:
            return self.sizes[rows, None]
        return self.bags.pool(rows, others.known[columns].T.contiguous())


class SampleIds(BatchLabels):
    """Sets of one label each, the number of the example; as one column, for there are as many labels as examples."""

    @classmethod
    def of(cls, matrix: Float[Tensor, "rows 1"]) -> "SampleIds":
        """Take a column of numbers."""
        return cls(matrix, torch.ones_like(matrix[:, 0]))

    def overlap(self, others: BatchLabels, rows: slice, columns: slice) -> Float[Tensor, "rows columns"]:
        """1 for rows of one example; a negative number is nobody's."""
        here, there = self.matrix[rows], others.matrix[columns]
        return ((here == there.T) & (here >= 0)).to(here.dtype)
