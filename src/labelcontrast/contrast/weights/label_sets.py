"""The label sets of a batch, and what the losses ask of them: how large they are, and what two have in common."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from labelcontrast.contrast.weights.bags import Bags


@dataclass(frozen=True)
class LabelSets:
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
    def of(cls, matrix: Float[Tensor, "rows labels"]) -> "LabelSets":
        """Take a matrix of labels; NaN is an unknown one.

        Example:
            >>> sets = LabelSets.of(torch.tensor([[1.0, 1.0, 0.0], [1.0, torch.nan, 0.0]]))
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
    def of_sparse(cls, matrix: Tensor, dtype: torch.dtype) -> "LabelSets":
        """Take a sparse matrix of coordinates; only labels that two rows have get a column, for no other makes a pair.

        Example:
            >>> sets = LabelSets.of_sparse(torch.tensor([[1, 1, 0], [1, 0, 1]]).to_sparse(), torch.float32)
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
    def join(cls, parts: Sequence["LabelSets"]) -> "LabelSets":
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

    def __getitem__(self, rows: slice) -> "LabelSets":
        known = None if self.known is None else self.known[rows]
        return replace(self, matrix=self.matrix[rows], sizes=self.sizes[rows], known=known)

    @property
    def raw(self) -> Float[Tensor, "rows labels"]:
        """The matrix with NaN for an unknown label."""
        return self.matrix if self.known is None else self.matrix.masked_fill(self.known == 0, torch.nan)

    def repeat(self, times: int) -> "LabelSets":
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

    def overlap(self, others: "LabelSets", rows: slice, columns: slice) -> Float[Tensor, "rows columns"]:
        """Count the labels that each set of ``rows`` has in common with each of the others' ``columns``."""
        return self.bags.pool(rows, others.by_label(columns))

    def sizes_beside(self, others: "LabelSets", rows: slice, columns: slice) -> Float[Tensor, "rows _"]:
        """Count the labels of each set that are known there: a column, or one for each set there."""
        if others.known is None:
            return self.sizes[rows, None]
        return self.bags.pool(rows, others.known[columns].T.contiguous())


class SampleIds(LabelSets):
    """Sets of one label each, the number of the example; as one column, for there are as many labels as examples."""

    @classmethod
    def of(cls, matrix: Float[Tensor, "rows 1"]) -> "SampleIds":
        """Take a column of numbers."""
        return cls(matrix, torch.ones_like(matrix[:, 0]))

    def overlap(self, others: LabelSets, rows: slice, columns: slice) -> Float[Tensor, "rows columns"]:
        """1 for rows of one example; a negative number is nobody's."""
        here, there = self.matrix[rows], others.matrix[columns]
        return ((here == there.T) & (here >= 0)).to(here.dtype)
