r"""Labels of a batch closed under a hierarchy, and pair weights level by level.

.. math:: W_{ij} = \sum_l \frac{\lambda_l}{K} \frac{1}{|y_i^l|} \sum_{c \in y_i^l} \frac{y_{jc}}{\sum_{k \ne i} y_{kc}},
   \qquad y_i^l \text{ the closed labels of i at level l}

Where every example has one path of labels, the inner sum is over one label, and each level is SupCon on its labels.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn

from labelcontrast.errors import LabelShapeError
from labelcontrast.losses.blocks import Block, PairWeights
from labelcontrast.losses.label_sets import BatchLabels
from labelcontrast.losses.pair_weights import Pairs, SharedWeights, share

PENALTIES = ("exp", "pow", "uniform")


@runtime_checkable
class HierarchyArrays(Protocol):
    """What a loss asks of a hierarchy; a label is a node.

    Attributes:
        ancestors: [labels, labels], 1 where the column is the row or above it: a tensor, dense or sparse, or a SciPy
            sparse matrix.
        depths: of each label; 0 for a root, more below.
    """

    @property
    def ancestors(self) -> Any: ...  # noqa: ANN401, D102

    @property
    def depths(self) -> Any: ...  # noqa: ANN401, D102


class Closure(nn.Module):
    """Closes label sets upwards.

    Args:
        hierarchy: of the labels, in the order of their columns.

    Attributes:
        above: the ancestors of the labels, those of one after those of the other, each label among its own.
        counts: how many each label has.
        depths: of the labels.

    Raises:
        LabelShapeError: there is not one depth for each label.

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
        ancestors, depths = hierarchy.ancestors, torch.as_tensor(hierarchy.depths).long()
        if tuple(ancestors.shape) != (len(depths), len(depths)):
            message = f"a hierarchy must have ancestors [{len(depths)}, {len(depths)}], as it has depths."
            raise LabelShapeError(f"{message} Got {list(ancestors.shape)}.")
        if hasattr(ancestors, "tocsr"):
            matrix = ancestors.tocsr()
            above, counts = torch.as_tensor(matrix.indices), torch.as_tensor(matrix.indptr).diff()
        else:
            rows, above = ancestors.to_sparse_coo().coalesce().indices()
            counts = rows.bincount(minlength=len(depths))
        self.register_buffer("above", above.long(), persistent=False)
        self.register_buffer("counts", counts.long(), persistent=False)
        self.register_buffer("depths", depths, persistent=False)

    def __len__(self) -> int:
        return len(self.depths)

    @property
    def num_levels(self) -> int:
        """How many levels there are, from the roots to the deepest labels."""
        return int(self.depths.max()) + 1

    def forward(self, labels: Float[Tensor, "batch labels"]) -> Float[Tensor, "batch labels"]:
        """Close a matrix of labels, dense or sparse.

        A soft label adds to all above it, up to 1. A label above an unknown one (NaN) is unknown too, unless others
        below it suffice.
        """
        given = (labels.to_sparse() if labels.layout == torch.strided else labels).coalesce()
        closed = self._spread(given.indices(), given.values().nan_to_num(), given.shape)
        closed.values().clamp_(max=1)
        if labels.layout != torch.strided:
            return closed
        dense, unknown = closed.to_dense(), given.values().isnan()
        if not unknown.any():
            return dense
        unknown = self._spread(given.indices(), unknown.to(labels.dtype), given.shape).to_dense()
        return dense.masked_fill((unknown > 0) & (dense < 1), torch.nan)

    def _spread(self, places: Tensor, values: Tensor, shape: torch.Size) -> Tensor:
        """Multiply with the ancestors: add the value of each place to all labels above it."""
        rows, columns = places
        times = self.counts[columns]
        starts = (self.counts.cumsum(0) - self.counts)[columns] - (times.cumsum(0) - times)
        above = self.above[starts.repeat_interleave(times) + torch.arange(int(times.sum()), device=rows.device)]
        indices = torch.stack([rows.repeat_interleave(times), above])
        spread = torch.sparse_coo_tensor(indices, values.repeat_interleave(times), shape, check_invariants=True)
        return spread.coalesce()

    def level_weights(self, penalty: str, dtype: torch.dtype) -> Float[Tensor, " levels"]:
        r"""Weigh the levels: :math:`\lambda_l / K`, K the levels with the examples themselves as the deepest.

        Args:
            penalty: with l from 1 for the deepest labels upwards, ``"exp"`` is :math:`e^{1/l}`, ``"pow"`` is
                :math:`2^{1/l}`, and ``"uniform"`` 1.
            dtype: of the weights.

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
    """The columns of some labels: ``matrix[:, which]``, ten times as fast."""
    return matrix.index_select(1, which.nonzero()[:, 0])


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
        >>> labels = BatchLabels.of(torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]]))  # all share the first
        >>> from labelcontrast.losses.affinity import any_shared
        >>> pairs = Pairs(labels, labels, ((0, any_shared),), symmetric=True)
        >>> weights = share_by_level(pairs, torch.tensor([0, 1]), torch.tensor([0.5, 0.5]))
        >>> weights.block(slice(0, 3), slice(0, 3), mirrored=False)[0]
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
