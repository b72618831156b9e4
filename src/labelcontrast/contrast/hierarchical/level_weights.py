r"""Pair weights of a hierarchy: at every level, an anchor's labels of that level share its attraction.

.. math:: W_{ij} = \sum_l \frac{\lambda_l}{K} \frac{1}{|y_i^l|} \sum_{c \in y_i^l} \frac{y_{jc}}{\sum_{k \ne i} y_{kc}},
   \qquad y_i^l \text{ the closed labels of i at level l}

Where every example has one path of labels, the inner sum is over one label, and each level is SupCon on its labels.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from labelcontrast.contrast.hierarchical.closure import columns_of
from labelcontrast.contrast.kernel.blocks import Block, PairWeights
from labelcontrast.contrast.weights.label_sets import LabelSets
from labelcontrast.contrast.weights.sharing import Pairs, SharedWeights, share


@dataclass(frozen=True)
class LevelWeights(PairWeights):
    """The weights W, a part for each level, from the roots on.

    Attributes:
        pairs: who meets whom.
        levels: the parts.
        totals: the sum of each anchor's weights.
    """

    pairs: Pairs
    levels: tuple[SharedWeights, ...]
    totals: Float[Tensor, " anchors"]

    def scaled(self, factors: Float[Tensor, " anchors"]) -> "LevelWeights":
        """The same weights, every anchor's times its factor."""
        levels = tuple(level.scaled(factors) for level in self.levels)
        return replace(self, levels=levels, totals=self.totals * factors)

    def block(self, rows: slice, columns: slice, *, mirrored: bool) -> tuple[Block, Block | None]:
        """The weights of anchors ``rows`` on candidates ``columns``, and where mirrored those the other way round."""
        pull, mirror = self.levels[0].block(rows, columns, mirrored=mirrored)
        for level in self.levels[1:]:
            more, more_mirror = level.block(rows, columns, mirrored=mirrored)
            pull += more
            if mirror is not None and more_mirror is not None:
                mirror += more_mirror
        return pull, mirror


def share_by_level(
    pairs: Pairs,
    depths: Integer[Tensor, " labels"],
    level_weights: Float[Tensor, " levels"],
    *,
    block_size: int | None = None,
) -> LevelWeights:
    """Share out every anchor's attraction, level by level.

    Args:
        pairs: who meets whom, with closed label sets.
        depths: the level of each label.
        level_weights: what the levels count.
        block_size: rows and columns of a block; it changes no result.

    Example:
        >>> labels = LabelSets.of(torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]]))  # all share the first
        >>> from labelcontrast.contrast.weights.affinity import any_shared
        >>> pairs = Pairs(labels, labels, ((0, any_shared),), symmetric=True)
        >>> weights = share_by_level(pairs, torch.tensor([0, 1]), torch.tensor([0.5, 0.5]))
        >>> weights.block(slice(0, 3), slice(0, 3), mirrored=False)[0]
        tensor([[0.0000, 0.7500, 0.2500],
                [0.7500, 0.0000, 0.2500],
                [0.2500, 0.2500, 0.0000]])
    """
    levels = []
    for depth, weight in enumerate(level_weights):
        candidates = LabelSets.of(columns_of(pairs.candidates.raw, depths == depth))
        anchors = candidates[: len(pairs.anchors)]
        if not pairs.symmetric:
            anchors = LabelSets.of(columns_of(pairs.anchors.raw, depths == depth))
        of_level = share(replace(pairs, anchors=anchors, candidates=candidates), "per label", block_size=block_size)
        levels.append(of_level.scaled(weight.expand(len(anchors))))
    return LevelWeights(pairs, tuple(levels), torch.stack([level.totals for level in levels]).sum(0))
