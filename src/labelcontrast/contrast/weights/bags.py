"""Products with label sets that cost as much as there are labels in them, and not as there are label names.

A row of a matrix of label sets holds a few labels out of many. So its product with a table, one row a label, is a sum
of a few of the table's rows: an embedding bag. Plainly,

    pool(rows, table) = matrix[rows] @ table
    pool_by_label(rows, table) = matrix[rows].T @ table
"""

from dataclasses import dataclass, field
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
