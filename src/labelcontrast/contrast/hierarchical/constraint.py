r"""The constraint of HiConE: no positive pair of a level costs less than any pair of a finer level.

With :math:`\ell_{ij} = \log \sum_{k \ne i} e^{s_{ik}} - s_{ij}` and levels from the roots to the leaves,

.. math:: \ell_i = \sum_l \sum_j W^l_{ij} \max(\ell_{ij}, M_{l+1}), \qquad
   M_l = \max \bigl( M_{l+1}, \max_{i, j : W^l_{ij} > 0} \ell_{ij} \bigr).

A pair above its floor is one of a softmax with weights, which the kernel computes. All that is below has the loss of
one pair, the floor, times how much it weighs. Plainly, for the weights ``level`` of every level, finest first,

    floored = pair_losses.maximum(floor)
    loss += (level * floored).sum(1)
    floor = max(floor, pair_losses[level > 0].max())
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from labelcontrast.contrast.hierarchical.level_weights import LevelWeights
from labelcontrast.contrast.kernel.blocks import BLOCK_SIZE, Block, Blocks, PairWeights
from labelcontrast.contrast.kernel.competition import AllCandidates


@dataclass(frozen=True)
class FlooredWeights(PairWeights):
    """The weights of the pairs that cost more than the floor of their level.

    Attributes:
        given: the weights of all pairs.
        blocks: the similarities.
        log_normalisers: of the anchors.
        floors: one a level.
        totals: the sum of each anchor's weights.
    """

    given: LevelWeights
    blocks: Blocks
    log_normalisers: Float[Tensor, " anchors"]
    floors: Float[Tensor, " levels"]
    totals: Float[Tensor, " anchors"]

    def scaled(self, factors: Float[Tensor, " anchors"]) -> "FlooredWeights":
        """The same weights, every anchor's times its factor."""
        return replace(self, given=self.given.scaled(factors), totals=self.totals * factors)

    def block(self, rows: slice, columns: slice, *, mirrored: bool) -> tuple[Block, Block | None]:
        """The weights of anchors ``rows`` on candidates ``columns``, and where mirrored those the other way round."""
        pull: Block | None = None
        mirror: Block | None = None
        for weights, floor in zip(self.levels(rows, columns, mirrored=mirrored), self.floors, strict=True):
            (here, cost), *there = weights
            above = here * (cost > floor)
            pull = above if pull is None else pull + above
            for back, cost_back in there:
                mirror = back * (cost_back > floor) + (0 if mirror is None else mirror)
        assert pull is not None
        return pull, mirror

    def levels(self, rows: slice, columns: slice, *, mirrored: bool) -> list[list[tuple[Block, Block]]]:
        """For every level, weights and pair losses of a block; where mirrored, then those the other way round."""
        similarity, _ = self.blocks.similarities(rows, columns)
        cost = self.log_normalisers[rows, None] - similarity
        cost_back = self.log_normalisers[columns] - similarity if mirrored else cost
        found = []
        for level in self.given.levels:
            here, back = level.block(rows, columns, mirrored=mirrored)
            found.append([(here, cost)] + ([] if back is None else [(back, cost_back)]))
        return found


@dataclass(frozen=True)
class Constraint:
    """What the constraint makes of the weights.

    Attributes:
        weights: of the pairs that are above the floor of their level.
        below: how much an anchor's pairs weigh that are not, a level each.
        dearest: anchor and candidate of the pair whose loss is the floor; -1 where there is no floor.
        temperature: of the similarities.
    """

    weights: FlooredWeights
    below: Float[Tensor, "anchors levels"]
    dearest: list[tuple[int, int]]
    temperature: float

    def losses(
        self, candidates: Float[Tensor, "candidates dim"], queries: Float[Tensor, "anchors dim"] | None
    ) -> Float[Tensor, " anchors"]:
        """What the pairs below their floors cost; the gradient goes to the pairs that are the floors."""
        prior, losses = self.weights.blocks.prior, torch.zeros_like(self.weights.totals)
        for (anchor, positive), below in zip(self.dearest, self.below.T, strict=True):
            if anchor < 0:
                continue
            row = candidates[anchor] if queries is None else queries[anchor]
            similarity = candidates @ row / self.temperature
            exponents = similarity if prior is None else similarity + prior.log()
            if queries is None:
                exponents = exponents.masked_fill(torch.arange(len(exponents), device=row.device) == anchor, -torch.inf)
            losses = losses + below * (exponents.logsumexp(0) - similarity[positive])
        return losses


@torch.no_grad()
def constrain(
    weights: LevelWeights,
    candidates: Float[Tensor, "candidates dim"],
    queries: Float[Tensor, "anchors dim"] | None,
    *,
    prior: Float[Tensor, " candidates"] | None,
    temperature: float,
    block_size: int | None,
) -> Constraint:
    """Find the floors, and which pairs are below them: a sweep for the normalisers, one for each of these.

    Args:
        weights: of all pairs, by level.
        candidates: of unit length.
        queries: the anchors, where they are no candidates.
        prior: what the candidates' exponentials are multiplied with; by default 1.
        temperature: tau.
        block_size: rows and columns of a block; it changes no result.

    Reference: Zhang et al., Use All the Labels: A Hierarchical Multi-Label Contrastive Learning Framework, 2022, Eq. 6
    and 7, with level l + 1 for l - 1.
    """
    scale = temperature**-0.5
    ones = replace(weights, totals=torch.ones_like(weights.totals))
    scaled_queries = None if queries is None else queries * scale
    blocks = Blocks(candidates * scale, scaled_queries, ones, prior, block_size or BLOCK_SIZE, scale)
    normalisers, _ = AllCandidates().prepare(blocks, ones, ones.totals)
    floors = torch.full((len(weights.levels),), -torch.inf, dtype=candidates.dtype, device=candidates.device)
    floored = FlooredWeights(weights, blocks, normalisers, floors, weights.totals)
    floors, dearest = _floors(floored)
    floored = replace(floored, floors=floors)
    below = torch.stack([level.totals for level in weights.levels], 1) - _above(floored)
    # a difference of sums is not exactly 0, and only what is below a floor costs as much as it
    below = torch.where(floors.isfinite(), below.clamp(min=0), 0)
    constraint = replace(floored, totals=weights.totals - below.sum(1))
    return Constraint(constraint, below, dearest, temperature)


def _floors(weights: FlooredWeights) -> tuple[Float[Tensor, " levels"], list[tuple[int, int]]]:
    """For every level the largest loss of a pair of a finer level, and anchor and candidate of that pair."""
    width = len(weights.blocks.candidates)
    largest = torch.full_like(weights.floors, -torch.inf)
    places = torch.full_like(weights.floors, -1, dtype=torch.long)
    for rows, columns, mirrored in weights.blocks:
        for level, parts in enumerate(weights.levels(rows, columns, mirrored=mirrored)):
            for flipped, (pull, cost) in enumerate(parts):
                value, place = cost.masked_fill(pull == 0, -torch.inf).flatten().max(0)
                row, column = place // cost.shape[1] + rows.start, place % cost.shape[1] + columns.start
                where = column * width + row if flipped else row * width + column
                places[level] = torch.where(value > largest[level], where, places[level])
                largest[level] = largest[level].maximum(value)
    floors, dearest = torch.full_like(largest, -torch.inf), [(-1, -1)] * len(largest)
    for level in range(len(largest) - 2, -1, -1):
        finer = level + 1
        higher = largest[finer] > floors[finer]
        floors[level] = torch.where(higher, largest[finer], floors[finer])
        dearest[level] = divmod(int(places[finer]), width) if higher else dearest[finer]
    return floors, dearest


def _above(weights: FlooredWeights) -> Float[Tensor, "anchors levels"]:
    """How much an anchor's pairs weigh that are above the floors."""
    above = weights.totals.new_zeros(len(weights.totals), len(weights.floors))
    for rows, columns, mirrored in weights.blocks:
        for level, parts in enumerate(weights.levels(rows, columns, mirrored=mirrored)):
            for side, axis, (pull, cost) in zip((rows, columns), (1, 0), parts, strict=False):
                above[side, level] += (pull * (cost > weights.floors[level])).sum(axis)
    return above
