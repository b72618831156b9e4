r"""The losses of whole levels, finest first: as the authors' code has them, or with learned weights.

.. math:: \frac{1}{K} \sum_l \lambda_l \max(\ell_l, M_{l+1}), \qquad M_l = \max(M_{l+1}, \ell_l),

:math:`\ell_l` being the mean loss of the anchors with a positive at level l, without a floor for HiMulCon.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from labelcontrast.errors import ConfigError
from labelcontrast.losses.affinity import any_shared
from labelcontrast.losses.axes import Contrast
from labelcontrast.losses.levels import Closure, columns_of
from labelcontrast.losses.loss import ContrastiveLoss
from labelcontrast.losses.module import Labels, LossModule, label_sets, unit_vectors


class LevelByLevel(LossModule):
    """Sums the losses of the levels of a hierarchy.

    Args:
        contrast: Its axes.
        settings: Its parameters.
        closure: The hierarchy.
        dim: Width of the projections, where it is fixed.
        name: Of the loss.

    Attributes:
        log_scales: with ``layer_penalty="learned"`` a parameter s, one a level: the loss of a level counts
            :math:`e^{-s}`, and s is added, so that it cannot grow for nothing.

    Raises:
        ConfigError: learned weights with single pairs constrained, or what only a loss of single anchors can have.

    Reference: Zhang et al., 2022, and their code; Kendall et al., Multi-Task Learning Using Uncertainty to Weigh
    Losses, 2018, for the learned weights.
    """

    def __init__(
        self,
        contrast: Contrast,
        settings: Mapping[str, Any],
        closure: Closure,
        *,
        dim: int | None = None,
        name: str = "own",
    ) -> None:
        super().__init__(name, settings)
        if settings["queue_size"] or settings["gather"] or settings["diagnostics"]:
            raise ConfigError(f"{name} level by level takes no queue_size, gather or diagnostics.")
        if settings["reduction"] not in {"mean_valid", "mean_all"}:
            raise ConfigError(f"{name} level by level takes the reduction mean_valid or mean_all.")
        self.contrast = contrast
        self.closure = closure
        self.dim = dim
        self.of_level = ContrastiveLoss(Contrast(affinity=any_shared, sharing="per_label"), settings, dim=dim)
        if contrast.layer_penalty == "learned":
            if contrast.constrained and settings["constraint"] == "pairs" and not contrast.representatives:
                raise ConfigError(f'{name} with layer_penalty="learned" needs constraint="levels".')
            self.log_scales = nn.Parameter(torch.zeros(closure.num_levels))

    def forward(self, projections: Tensor, labels: Labels, *, weights: Tensor | None = None) -> Tensor:
        """Sum over the levels.

        Args:
            projections: floats [batch, dim], or [batch, views, dim].
            labels: [batch, labels], as any contrastive loss takes them.
            weights: one for each example; by default 1.

        Returns:
            A scalar; 0, with a gradient of 0, where no anchor has a positive.

        Raises:
            EmbeddingError: projections of another shape or width, or with NaN or infinity.
            LabelShapeError: labels or weights of another shape or width.
            TensorError: labels or weights out of their range.
        """
        views = unit_vectors(projections, torch.float32, dim=self.dim)
        size = len(self.closure)
        closed = label_sets(labels, views, num_labels=size, dense=True, close=self.closure).raw
        kept, depths = torch.arange(len(closed), device=closed.device), self.closure.depths
        total, floor = projections.sum() * 0, None
        for level in range(self.closure.num_levels - 1, -1, -1):
            of_level = columns_of(closed, depths == level)[kept]
            if (of_level.nan_to_num().sum(0) * views.shape[1] > 1).any():
                own = None if weights is None else weights[kept]
                loss = self.of_level(projections[kept], of_level, weights=own)
                if self.contrast.constrained:
                    floor = loss = loss if floor is None else loss.maximum(floor)
                total = total + self._weighed(loss, level)
            if self.contrast.representatives and level:
                kept = kept[_first_of_their_like(columns_of(closed, depths <= level)[kept])]
        return total

    def _weighed(self, loss: Float[Tensor, ""], level: int) -> Float[Tensor, ""]:
        """The loss of a level as it counts."""
        if self.contrast.layer_penalty == "learned":
            scale = self.log_scales[level]
            return (loss * (-scale).exp() + scale) / (self.closure.num_levels + 1)
        return loss * self.closure.level_weights(self.contrast.layer_penalty, loss.dtype)[level]


def _first_of_their_like(rows: Float[Tensor, "kept labels"]) -> Integer[Tensor, " groups"]:
    """Find the first of all rows that are equal, in the order of their labels, as the authors' code leaves them."""
    _, like = rows.nan_to_num(0.5).unique(dim=0, return_inverse=True)  # type: ignore[no-untyped-call]
    places = torch.arange(len(rows), device=rows.device)
    first = torch.full_like(places[: int(like.max()) + 1], len(rows))
    return first.scatter_reduce(0, like, places, "amin").flip(0)
