r"""How often, and how far, positives are pushed away, by the labels that the two have in common.

The slope of an anchor's loss in the similarity of a pair is :math:`m_i p_{ij} - W_{ij}`. Where it is above 0 although
the pair is a positive, descent moves the two apart: Figure 1 of arXiv 2412.00101.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from labelcontrast.losses.blocks import Block, PairStatistics
from labelcontrast.losses.pair_weights import Pairs

ByLabel = Float[Tensor, " labels"]


@dataclass(frozen=True)
class RepulsionStatistics:
    """What was counted of a batch, for each label; a pair counts under every label that the two have in common.

    Attributes:
        positives: pairs of an anchor and a positive.
        repelled: those of them that are pushed more than they are pulled.
        push: how much more, summed over these: in units of the loss of an anchor, before any of it is stopped.
    """

    positives: ByLabel
    repelled: ByLabel
    push: ByLabel

    def __add__(self, other: "RepulsionStatistics") -> "RepulsionStatistics":
        """Add another batch."""
        return RepulsionStatistics(
            self.positives + other.positives, self.repelled + other.repelled, self.push + other.push
        )


class LabelPairStatistics(PairStatistics):
    r"""Counts the positives of blocks as they pass by, label by label.

    With :math:`X_{ij}` what is counted of a pair, that is :math:`\sum_{ij} y_{ic} X_{ij} y_{jc}`, whichever of the two
    is the anchor: so a block and its mirror are counted alike.
    """

    def __init__(self, pairs: Pairs) -> None:
        super().__init__()
        self._rows, self._columns = pairs.pulled.matrix, pairs.candidates.matrix
        self._sums = self._rows.new_zeros(3, self._rows.shape[1])

    def add(self, similarity: Block, push: Block, pull: Block, rows: slice, columns: slice) -> None:  # noqa: ARG002
        """Count the block of these rows and columns."""
        positive = pull.sign()
        excess = ((push - pull) * positive).clamp(min=0)
        for place, counted in enumerate((positive, excess.sign(), excess)):
            self._sums[place] += ((counted @ self._columns[columns]) * self._rows[rows]).sum(0)

    @property
    def repulsion(self) -> RepulsionStatistics:
        """What has been counted."""
        return RepulsionStatistics(*self._sums)
