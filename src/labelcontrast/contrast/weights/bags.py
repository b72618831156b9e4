"""Products with label sets that cost as much as there are labels in them, and not as there are label names.

A row of a matrix of label sets holds a few labels out of many. So its product with a table, one row a label, is a sum
of a few of the table's rows: an embedding bag. Plainly,

    pool(rows, table) = matrix[rows] @ table
    pool_by_label(rows, table) = matrix[rows].T @ table
"""

from dataclasses import dataclass
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
        values: how present it is; none where all are 1.
        shape: sets and labels.
    """

    rows: Int[Tensor, " entries"]
    labels: Int[Tensor, " entries"]
    values: Float[Tensor, " entries"] | None
    shape: tuple[int, int]

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
        return cls(rows, labels, None if (values == 1).all() else values, (len(matrix), matrix.shape[1]))

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
        entries = slice(self.starts[rows.start], self.starts[rows.stop])
        values = self.values if values is None else values
        weights = None if values is None else values[entries]
        return _bag(self.labels[entries], table, self.offsets[rows] - entries.start, weights)

    def pool_by_label(self, rows: slice, table: Float[Tensor, "rows width"]) -> Float[Tensor, "labels width"]:
        """Sum the table's rows, one a set, over the sets that have each label."""
        entries = slice(self.starts[rows.start], self.starts[rows.stop])
        labels, order = self.labels[entries].sort(stable=True)
        offsets = torch.searchsorted(labels, torch.arange(self.shape[1], device=labels.device))
        values = None if self.values is None else self.values[entries][order]
        return _bag(self.rows[entries][order] - rows.start, table, offsets, values)


def _bag(indices: Tensor, table: Tensor, offsets: Tensor, values: Tensor | None) -> Tensor:
    """Sum rows of a table, a bag at a time."""
    if not len(table):  # no label at all: no row to sum
        return table.new_zeros(len(offsets), table.shape[1])
    return F.embedding_bag(indices, table, offsets, mode="sum", per_sample_weights=values)
