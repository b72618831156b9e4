"""The label sets of a batch, and what the losses ask of them: how large they are, and what two have in common."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class LabelSets:
    """One label set a row: a matrix of 0 and 1. A number between is a soft label, the probability that it is there."""

    matrix: Float[Tensor, "rows labels"]
    sizes: Float[Tensor, " rows"]

    @classmethod
    def of(cls, matrix: Float[Tensor, "rows labels"]) -> "LabelSets":
        """Count the labels of every row."""
        return cls(matrix, matrix.sum(1))

    def __len__(self) -> int:
        return len(self.matrix)

    def __getitem__(self, rows: slice) -> "LabelSets":
        return LabelSets(self.matrix[rows], self.sizes[rows])

    def overlap(self, others: "LabelSets") -> Float[Tensor, "rows others"]:
        """Count the labels that each set here has in common with each set there."""
        return self.matrix @ others.matrix.T
