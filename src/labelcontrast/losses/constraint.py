r"""The constraint of HiConE: no positive pair of a level costs less than any pair of a finer level.

With :math:`\ell_{ij} = \log \sum_{k \ne i} e^{s_{ik}} - s_{ij}` and levels from the roots to the leaves,

.. math:: \ell_i = \sum_l \sum_j W^l_{ij} \max(\ell_{ij}, M_{l+1}), \qquad
   M_l = \max \bigl( M_{l+1}, \max_{i, j : W^l_{ij} > 0} \ell_{ij} \bigr).

Plainly, for the weights ``level`` of every level, finest first,

    floored = pair_losses.maximum(floor)
    loss += (level * floored).sum(1)
    floor = max(floor, pair_losses[level > 0].max())

Here a pair below the floor of its level weighs nothing, and what it weighed goes to the pair that is the floor: so all
is a softmax with other weights, which the kernel computes. A pair is below where its similarity is not under a limit.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from labelcontrast.losses.blocks import Block, Blocks, PairWeights, Pulls
from labelcontrast.losses.denominator import Denominator, PerAnchor, State, normalise
from labelcontrast.losses.levels import LevelWeights

PerFloor = Float[Tensor, " floors"]


@dataclass(frozen=True)
class FlooredPulls(Pulls):
    """The pulls of the pairs that cost more than the floor of their level, and those of the floors.

    Attributes:
        given: the weights of all pairs.
        blocks: the similarities.
        limits: what an anchor's similarities must be under, for every level but the finest.
        of_floors: for an anchor whose pair is a floor, how strongly it is pulled for it, and by whom.
    """

    given: LevelWeights
    blocks: Blocks
    limits: Float[Tensor, "floors anchors"]
    of_floors: list[tuple[int, Float[Tensor, " candidates"]]]

    def block(self, rows: slice, columns: slice, *, mirrored: bool) -> tuple[Block, Block | None]:
        """The pulls of anchors ``rows`` to candidates ``columns``, and where mirrored those the other way round."""
        similarity, _ = self.blocks.similarities(rows, columns)
        pull, mirror = self.given.levels[-1].block(rows, columns, mirrored=mirrored)
        for level, limit in zip(self.given.levels[:-1], self.limits, strict=True):
            here, back = level.block(rows, columns, mirrored=mirrored)
            pull += here.mul_(_under(similarity, limit[rows, None]))
            if mirror is not None and back is not None:
                mirror += back.mul_(_under(similarity, limit[columns]))
        for anchor, pulls in self.of_floors:
            if rows.start <= anchor < rows.stop:
                pull[anchor - rows.start] += pulls[columns]
            if mirror is not None and columns.start <= anchor < columns.stop:
                mirror[:, anchor - columns.start] += pulls[rows]
        return pull, mirror


class HeldAbove(Denominator):
    """A softmax over all candidates, in which no positive pair of a level costs less than any pair of a finer level.

    Reference: Zhang et al., Use All the Labels: A Hierarchical Multi-Label Contrastive Learning Framework, 2022, Eq. 6
    and 7, with level l + 1 for l - 1.
    """

    def prepare(self, blocks: Blocks, weights: PairWeights, average: PerAnchor) -> tuple[PerAnchor, State, Pulls]:  # noqa: ARG002
        """Sweep for normalisers and floors; then for how much the pairs weigh that are above their floors."""
        assert isinstance(weights, LevelWeights)
        farthest = _Farthest(blocks, weights)
        normaliser, log_normaliser = normalise(blocks, weights.totals, look=farthest.add)
        floors, pairs = farthest.floors(log_normaliser)
        limits = log_normaliser - floors[:, None]
        above = _above(blocks, weights, limits)
        of_levels = torch.stack([level.totals for level in weights.levels])
        # a difference of sums is not exactly 0, and only what is below a floor costs as much as it
        below = torch.where(floors[:, None].isfinite(), (of_levels[:-1] - above).clamp(min=0), 0)
        totals, floors = above.sum(0) + of_levels[-1], floors.nan_to_num(neginf=0)
        losses = totals * log_normaliser + floors @ below
        of_floors = []
        for (anchor, positive), weight, floor in zip(pairs, below.sum(1), floors, strict=True):
            if positive is not None:  # it pulls like any pair, and its cost has been counted where it is a floor
                totals[anchor] += weight
                losses[anchor] += weight * (log_normaliser[anchor] - floor)
                of_floors.append((anchor, weight * positive))
        return losses, [totals / normaliser], FlooredPulls(weights, blocks, limits, of_floors)

    def push(self, exponential: Block, pull: Block, state: State) -> Block:  # noqa: ARG002
        """An anchor's whole weight, by the share of each candidate in the softmax."""
        return exponential * state[0]


class _Farthest:
    """Finds how far the farthest positives are: of every anchor, at every level but the roots'.

    Similarities are turned into distances that are above 0 for all pairs; so 0 can stand for no positive.
    """

    def __init__(self, blocks: Blocks, weights: LevelWeights) -> None:
        self.blocks = blocks
        self.finer = [level.pairs for level in weights.levels[1:]]
        self.origin = 2 * blocks.scale**2  # twice the largest similarity
        self.distance = weights.totals.new_zeros(len(self.finer), len(weights.totals))

    def add(self, rows: slice, columns: slice, *, mirrored: bool) -> None:
        """Look at a block."""
        similarity, _ = self.blocks.similarities(rows, columns)
        distance = self.origin - similarity
        for pairs, farthest in zip(self.finer, self.distance, strict=True):
            alike, back = pairs.compare(rows, columns, mirrored=mirrored)
            of_positives = alike.sign_().mul_(distance)
            farthest[rows] = farthest[rows].maximum(of_positives.amax(1))
            if back is not None:
                of_positives = of_positives if back is alike else back.sign_().mul_(distance)
                farthest[columns] = farthest[columns].maximum(of_positives.amax(0))

    def floors(self, log_normaliser: PerAnchor) -> tuple[PerFloor, list[tuple[int, Tensor | None]]]:
        """For all levels but the finest, the largest cost of a finer pair; its anchor, and 1 at its positive."""
        cost = (log_normaliser + self.distance - self.origin).masked_fill(self.distance == 0, -torch.inf)
        largest, anchors = cost.max(1)
        floors, places = largest.flip(0).cummax(0)  # finest first
        levels = (len(self.finer) - 1 - places).flip(0)
        floors = floors.flip(0)
        found = torch.stack([anchors[levels], levels, floors.isfinite()], 1).tolist()
        return floors, [(anchor, self._positive(anchor, level) if there else None) for anchor, level, there in found]

    def _positive(self, anchor: int, level: int) -> Float[Tensor, " candidates"]:
        """1 at the farthest positive of an anchor, 0 at all others."""
        row = slice(anchor, anchor + 1)
        distance = self.origin - (self.blocks.anchors[row] @ self.blocks.candidates.T)[0]
        for columns in (columns for rows, columns, _ in self.blocks if rows.start == 0):
            distance[columns] *= self.finer[level].compare(row, columns, mirrored=False)[0][0].sign()
        if self.blocks.queries is None:
            distance[anchor] = 0
        return torch.zeros_like(distance).scatter_(0, distance.argmax(0, keepdim=True), 1.0)


def _above(blocks: Blocks, weights: LevelWeights, limits: Float[Tensor, "floors anchors"]) -> Tensor:
    """How much an anchor's pairs weigh that are above their floors, at every level that has one."""
    above = torch.zeros_like(limits)
    for rows, columns, mirrored in blocks:
        similarity, _ = blocks.similarities(rows, columns)
        for level, limit, total in zip(weights.levels[:-1], limits, above, strict=True):
            here, back = level.block(rows, columns, mirrored=mirrored)
            total[rows] += here.mul_(_under(similarity, limit[rows, None])).sum(1)
            if back is not None:
                total[columns] += back.mul_(_under(similarity, limit[columns])).sum(0)
    return above


def _under(similarity: Block, limit: Tensor) -> Block:
    """1 for pairs that are less similar, as numbers."""
    return torch.lt(similarity, limit, out=torch.empty_like(similarity))
