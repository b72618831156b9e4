r"""Losses over a hierarchy: closed label sets, pair weights level by level, and the constraint of HiConE.

.. math:: W_{ij} = \sum_l \frac{\lambda_l}{K} \frac{1}{|y_i^l|} \sum_{c \in y_i^l} \frac{y_{jc}}{\sum_{k \ne i} y_{kc}},
   \qquad y_i^l \text{ the closed labels of i at level l}

Where every example has one path of labels, the inner sum is over one label, and each level is SupCon on its labels.

Under the constraint no positive pair of a level costs less than any pair of a finer level. With
:math:`\ell_{ij} = \log \sum_{k \ne i} e^{s_{ik}} - s_{ij}` and levels from the roots to the leaves,

.. math:: \ell_i = \sum_l \sum_j W^l_{ij} \max(\ell_{ij}, M_{l+1}), \qquad
   M_l = \max \bigl( M_{l+1}, \max_{i, j : W^l_{ij} > 0} \ell_{ij} \bigr).

In plain code, for the weights ``level`` of every level, finest first,

    floored = pair_losses.maximum(floor)
    loss += (level * floored).sum(1)
    floor = max(floor, pair_losses[level > 0].max())

A pair below the floor of its level gets the weight 0, and its weight is added to the pair that is the floor: so this is
a softmax with other weights, which the kernel computes. A pair is below where its similarity is not under a limit.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn
from torch.nn import functional

from labelcontrast.errors import ConfigError, LabelShapeError
from labelcontrast.losses.batch_labels import BatchLabels
from labelcontrast.losses.blocks import (
    Attraction,
    Block,
    PairWeights,
    PerAnchor,
    PerPair,
    Similarities,
    SimilarityBlock,
)
from labelcontrast.losses.kernel import Denominator, State, normalise
from labelcontrast.losses.pair_weights import BothWays, Pairs, SharedWeights, share

DEEPEST = 1000
"""Depths of labels are below it; a loss goes through all levels."""
PerFloor = Float[Tensor, " floors"]


@runtime_checkable
class HierarchyArrays(Protocol):
    """The part of a hierarchy that a loss uses; a label is a node.

    Attributes:
        ancestors: 1 where the column is the row or above it, shape [labels, labels]: a tensor, dense or sparse, or a
            SciPy sparse matrix.
        depths: Of each label; 0 for a root, more below.
    """

    @property
    def ancestors(self) -> Any: ...  # noqa: ANN401, D102

    @property
    def depths(self) -> Any: ...  # noqa: ANN401, D102


class Closure(nn.Module):
    """Closure of label sets: every label implies all labels above it.

    Args:
        hierarchy: Of the labels, in the order of their columns.

    Attributes:
        above: The ancestors of all labels, one label after the other, each label among its own.
        counts: Number of ancestors of each label.
        depths: Of the labels.

    Raises:
        ConfigError: It has no ancestors and depths, or they contradict each other.
        LabelShapeError: There is not one depth for each label.

    Example:
        >>> from types import SimpleNamespace
        >>> closure = Closure(SimpleNamespace(ancestors=torch.tensor([[1, 0], [1, 1]]), depths=torch.tensor([0, 1])))
        >>> closure(torch.tensor([[0.0, 0.5], [0.5, 0.5], [0.0, torch.nan]]))
        tensor([[0.5000, 0.5000],
                [1.0000, 0.5000],
                [   nan,    nan]])
    """

    above: Integer[Tensor, " pairs"]
    counts: Integer[Tensor, " labels"]
    depths: Integer[Tensor, " labels"]

    def __init__(self, hierarchy: HierarchyArrays) -> None:
        super().__init__()
        if not isinstance(hierarchy, HierarchyArrays):
            expected = "a hierarchy must have ancestors and depths, as labelcontrast.Hierarchy.from_parents makes them"
            raise ConfigError(f"{expected}. Got {type(hierarchy).__name__}.")
        ancestors = hierarchy.ancestors
        sparse = hasattr(ancestors, "tocsr")
        try:
            depths = torch.as_tensor(hierarchy.depths).long()
            ancestors = ancestors.tocsr() if sparse else torch.as_tensor(ancestors)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(f"the ancestors and depths of a hierarchy must be numbers. Got {error}.") from error
        if depths.ndim != 1 or tuple(ancestors.shape) != (len(depths), len(depths)):
            message = f"a hierarchy must have ancestors [{len(depths)}, {len(depths)}], as it has depths."
            raise LabelShapeError(f"{message} Got {list(ancestors.shape)}.")
        places = ancestors.nonzero() if sparse else ancestors.to_sparse_coo().coalesce().indices()
        rows, above = (torch.as_tensor(place).long() for place in places)
        if len(depths) and not 0 <= depths.min() <= depths.max() < DEEPEST:
            given = f"{int(depths.min())} to {int(depths.max())}"
            raise ConfigError(f"the depths of a hierarchy must be from 0 and below {DEEPEST}. Got {given}.")
        itself = rows == above
        if itself.sum() < len(depths) or not (itself | (depths[above] < depths[rows])).all():
            raise ConfigError("the ancestors of a label must be itself and labels of a smaller depth.")
        counts = rows.bincount(minlength=len(depths))
        self.register_buffer("above", above, persistent=False)
        self.register_buffer("counts", counts, persistent=False)
        self.register_buffer("depths", depths, persistent=False)

    def __len__(self) -> int:
        return len(self.depths)

    @property
    def num_levels(self) -> int:
        """Number of levels, from the roots to the deepest labels."""
        return int(self.depths.max()) + 1

    def forward(self, labels: Float[Tensor, "batch labels"]) -> Float[Tensor, "batch labels"]:
        """Close a matrix of labels, dense or sparse.

        A soft label adds to all above it, up to 1. A label above an unknown one (NaN) is unknown too, unless others
        below it suffice.
        """
        given = (labels.to_sparse() if labels.layout == torch.strided else labels).coalesce()
        closed = self._spread(given.indices(), given.values().nan_to_num(), given.shape)
        values, unknown = closed.values().clamp_(max=1), given.values().isnan()
        if unknown.any():
            above = self._spread(given.indices(), unknown.to(labels.dtype), given.shape).values()
            values[(above > 0) & (values < 1)] = torch.nan
        return closed.to_dense() if labels.layout == torch.strided else closed

    def _spread(self, places: Tensor, values: Tensor, shape: torch.Size) -> Tensor:
        """Multiply by the matrix of ancestors: add the value of each place to all labels above it."""
        rows, columns = places
        times = self.counts[columns]
        starts = (self.counts.cumsum(0) - self.counts)[columns] - (times.cumsum(0) - times)
        above = self.above[starts.repeat_interleave(times) + torch.arange(int(times.sum()), device=rows.device)]
        indices = torch.stack([rows.repeat_interleave(times), above])
        spread = torch.sparse_coo_tensor(indices, values.repeat_interleave(times), shape, check_invariants=True)
        return spread.coalesce()

    def level_weights(self, penalty: str, dtype: torch.dtype) -> Float[Tensor, " levels"]:
        r"""Return the weights of the levels: :math:`\lambda_l / K`, K counting the examples themselves as a level.

        Args:
            penalty: With l from 1 for the deepest labels upwards, ``"exp"`` is :math:`e^{1/l}`, ``"pow"`` is
                :math:`2^{1/l}`, and ``"uniform"`` 1.
            dtype: Of the weights.

        Example:
            >>> from types import SimpleNamespace
            >>> closure = Closure(SimpleNamespace(ancestors=torch.eye(2), depths=torch.tensor([0, 1])))
            >>> closure.level_weights("uniform", torch.float32)  # the roots, and what is below them
            tensor([0.3333, 0.3333])
        """
        levels = self.num_levels
        base = {"exp": torch.e, "pow": 2.0, "uniform": 1.0}[penalty]
        above = torch.arange(levels, 0, -1, dtype=dtype, device=self.depths.device)
        return base ** (1 / above) / (levels + 1)


def columns_of(matrix: Float[Tensor, "rows labels"], which: Bool[Tensor, " labels"]) -> Float[Tensor, "rows _"]:
    """Return the columns of some labels: ``matrix[:, which]``, ten times as fast."""
    return matrix.index_select(1, which.nonzero()[:, 0])


@dataclass(frozen=True, eq=False)
class LevelWeights(PairWeights):
    """The weights W as a sum over levels.

    Attributes:
        pairs: The closed label sets, and how they are compared.
        levels: The weights of each level, from the roots on.
        totals: Sum of each anchor's weights.
    """

    pairs: Pairs
    levels: tuple[SharedWeights, ...]
    totals: Float[Tensor, " anchors"]

    def scaled(self, factors: Float[Tensor, " anchors"]) -> "LevelWeights":
        """Return the same weights, every anchor's times its factor."""
        levels = tuple(level.scaled(factors) for level in self.levels)
        return replace(self, levels=levels, totals=self.totals * factors)

    def block(self, block: Block) -> BothWays:
        """Return the weights of a block, and where it is mirrored those the other way round."""
        weights, mirror = self.levels[0].block(block)
        for level in self.levels[1:]:
            more, more_mirror = level.block(block)
            weights += more
            if mirror is not None and more_mirror is not None:
                mirror += more_mirror
        return weights, mirror


def share_by_level(
    pairs: Pairs,
    depths: Integer[Tensor, " labels"],
    level_weights: Float[Tensor, " levels"],
    *,
    block_size: int | None = None,
) -> LevelWeights:
    """Share every anchor's attraction, level by level.

    Args:
        pairs: The closed label sets.
        depths: Level of each label.
        level_weights: Weights of the levels.
        block_size: Rows and columns of a block; it changes no result.

    Example:
        >>> labels = BatchLabels.of(torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]]))  # all share the first
        >>> from labelcontrast.losses.affinity import any_shared
        >>> pairs = Pairs(labels, labels, ((0, any_shared),), symmetric=True)
        >>> weights = share_by_level(pairs, torch.tensor([0, 1]), torch.tensor([0.5, 0.5]))
        >>> weights.block(Block(slice(0, 3), slice(0, 3), mirrored=False))[0]
        tensor([[0.0000, 0.7500, 0.2500],
                [0.7500, 0.0000, 0.2500],
                [0.2500, 0.2500, 0.0000]])
    """
    levels = []
    for depth, weight in enumerate(level_weights):
        candidates = BatchLabels.of(columns_of(pairs.candidates.raw, depths == depth))
        anchors = candidates[: len(pairs.anchors)]
        if not pairs.symmetric:
            anchors = BatchLabels.of(columns_of(pairs.anchors.raw, depths == depth))
        of_level = share(replace(pairs, anchors=anchors, candidates=candidates), "per_label", block_size=block_size)
        levels.append(of_level.scaled(weight.expand(len(anchors))))
    return LevelWeights(pairs, tuple(levels), torch.stack([level.totals for level in levels]).sum(0))


@dataclass(frozen=True, eq=False)
class FlooredWeights(Attraction):
    """The weights of the pairs that cost more than the floor of their level, and those of the floors.

    Attributes:
        given: The weights of all pairs.
        limits: What an anchor's similarities must be under, for every level but the finest.
        of_floors: For an anchor whose pair is a floor, the additional weights of its candidates.
    """

    given: LevelWeights
    limits: Float[Tensor, "floors anchors"]
    of_floors: list[tuple[int, Float[Tensor, " candidates"]]]

    def block(self, block: Block) -> BothWays:
        """Return the weights of a block, and where it is mirrored those the other way round."""
        assert isinstance(block, SimilarityBlock)
        rows, columns, similarity = block.rows, block.columns, block.similarity
        weights, mirror = self.given.levels[-1].block(block)
        for level, limit in zip(self.given.levels[:-1], self.limits, strict=True):
            here, back = level.block(block)
            weights += here.mul_(_under(similarity, limit[rows, None]))
            if mirror is not None and back is not None:
                mirror += back.mul_(_under(similarity, limit[columns]))
        for anchor, of_candidates in self.of_floors:
            if rows.start <= anchor < rows.stop:
                weights[anchor - rows.start] += of_candidates[columns]
            if mirror is not None and columns.start <= anchor < columns.stop:
                mirror[:, anchor - columns.start] += of_candidates[rows]
        return weights, mirror


class HeldAbove(Denominator):
    """A softmax over all candidates, in which no positive pair of a level costs less than any pair of a finer level.

    Reference: Zhang et al., Use All the Labels: A Hierarchical Multi-Label Contrastive Learning Framework, 2022, Eq. 6
    and 7, with level l + 1 for l - 1.
    """

    def prepare(
        self,
        similarities: Similarities,
        weights: PairWeights,
        average: PerAnchor,  # noqa: ARG002
        mass: PerAnchor,
    ) -> tuple[PerAnchor, State, Attraction]:
        """Sweep for normalisers and floors; then sum the weights of the pairs above their floors."""
        assert isinstance(weights, LevelWeights)
        farthest = _Farthest(similarities, weights)
        normaliser, log_normaliser = normalise(similarities, mass, look=farthest.add)
        floors, pairs = farthest.floors(log_normaliser)
        limits = log_normaliser - floors[:, None]
        above = _above(similarities, weights, limits)
        of_levels = torch.stack([level.totals for level in weights.levels])
        # a difference of sums is not exactly 0, and only what is below a floor costs as much as it
        below = torch.where(floors[:, None].isfinite(), (of_levels[:-1] - above).clamp(min=0), 0)
        totals, floors = above.sum(0) + of_levels[-1], floors.nan_to_num(neginf=0)
        losses = totals * log_normaliser + floors @ below
        of_floors = []
        for (anchor, positive), weight, floor in zip(pairs, below.sum(1), floors, strict=True):
            if positive is not None:  # it attracts like any pair, and its cost has been counted where it is a floor
                totals[anchor] += weight
                losses[anchor] += weight * (log_normaliser[anchor] - floor)
                of_floors.append((anchor, weight * positive))
        return losses, [totals / normaliser], FlooredWeights(weights, limits, of_floors)

    def repulsion(self, exponential: PerPair, attraction: PerPair, state: State) -> PerPair:  # noqa: ARG002
        """Distribute an anchor's whole weight by the share of each candidate in the softmax."""
        return exponential * state[0]


class _Farthest:
    """Distances of the farthest positives: of every anchor, at every level but the roots'.

    Similarities are turned into distances that are above 0 for all pairs; so 0 can stand for no positive.
    """

    def __init__(self, similarities: Similarities, weights: LevelWeights) -> None:
        self.similarities = similarities
        self.finer = [level.pairs for level in weights.levels[1:]]
        self.origin = 2 * similarities.scale**2  # twice the largest similarity
        self.distance = weights.totals.new_zeros(len(self.finer), len(weights.totals))

    def add(self, block: SimilarityBlock) -> None:
        """Include a block."""
        distance = self.origin - block.similarity
        for pairs, farthest in zip(self.finer, self.distance, strict=True):
            affinity, back = pairs.compare(block)
            of_positives = affinity.sign_().mul_(distance)
            farthest[block.rows] = farthest[block.rows].maximum(of_positives.amax(1))
            if back is not None:
                of_positives = of_positives if back is affinity else back.sign_().mul_(distance)
                farthest[block.columns] = farthest[block.columns].maximum(of_positives.amax(0))

    def floors(self, log_normaliser: PerAnchor) -> tuple[PerFloor, list[tuple[int, Tensor | None]]]:
        """Return, for all levels but the finest, the largest cost of a finer pair, its anchor, 1 at its positive."""
        cost = (log_normaliser + self.distance - self.origin).masked_fill(self.distance == 0, -torch.inf)
        largest, anchors = functional.pad(cost, (0, 1), value=-torch.inf).max(
            1
        )  # of an empty batch there is no largest
        floors, places = largest.flip(0).cummax(0)  # finest first
        levels = (len(self.finer) - 1 - places).flip(0)
        floors = floors.flip(0)
        found = torch.stack([anchors[levels], levels, floors.isfinite()], 1).tolist()
        return floors, [(anchor, self._positive(anchor, level) if there else None) for anchor, level, there in found]

    def _positive(self, anchor: int, level: int) -> Float[Tensor, " candidates"]:
        """Return 1 at the farthest positive of an anchor, 0 at all others."""
        similarities, row = self.similarities, slice(anchor, anchor + 1)
        distance = self.origin - (similarities.anchors[row] @ similarities.candidates.T)[0]
        for columns in (place.columns for place in similarities.places if place.rows.start == 0):
            affinity, _ = self.finer[level].compare(Block(row, columns, mirrored=False))
            distance[columns] *= affinity[0].sign()
        if similarities.queries is None:
            distance[anchor] = 0
        return torch.zeros_like(distance).scatter_(0, distance.argmax(0, keepdim=True), 1.0)


def _above(similarities: Similarities, weights: LevelWeights, limits: Float[Tensor, "floors anchors"]) -> Tensor:
    """Sum an anchor's weights of pairs above their floors, at every level that has a floor."""
    above = torch.zeros_like(limits)
    for block in similarities:
        for level, limit, total in zip(weights.levels[:-1], limits, above, strict=True):
            here, back = level.block(block)
            total[block.rows] += here.mul_(_under(block.similarity, limit[block.rows, None])).sum(1)
            if back is not None:
                total[block.columns] += back.mul_(_under(block.similarity, limit[block.columns])).sum(0)
    return above


def _under(similarity: PerPair, limit: Tensor) -> PerPair:
    """Return 1 for pairs that are less similar, as numbers."""
    return torch.lt(similarity, limit, out=torch.empty_like(similarity))
