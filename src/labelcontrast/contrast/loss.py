"""A contrastive loss as a module: it lines up who meets whom, and leaves the rest to pair weights and kernel."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from labelcontrast.contrast.affinity import Affinity
from labelcontrast.contrast.kernel import weighted_softmax, working_precision
from labelcontrast.contrast.label_sets import LabelSets
from labelcontrast.contrast.rows import Contrast, Rows
from labelcontrast.contrast.sharing import Pairs, SharedWeights, share
from labelcontrast.errors import EmbeddingError, LabelShapeError, TensorError


@dataclass(frozen=True, eq=False)
class _Part:
    """Rows of one kind that take part: on the unit sphere, each with its label set."""

    rows: Tensor
    labels: Tensor
    kind: Rows
    anchor: bool


class ContrastiveLoss(nn.Module):
    r"""Any flat contrastive loss: what its row of the catalogue says, with its settings.

    .. math:: \frac{\sum_i a_i \ell_i}{\sum_i a_i}, \qquad
       \ell_i = m_i \log \sum_{j \ne i} g_j e^{s_{ij}} - \sum_j W_{ij} s_{ij}, \qquad
       s_{ij} = \frac{\langle z_i, z_j \rangle}{\tau \lVert z_i \rVert \lVert z_j \rVert}

    Usually made by :func:`make_loss`.

    Attributes:
        prototypes: a parameter [labels, dim], where the loss has prototypes.
    """

    def __init__(
        self,
        contrast: Contrast,
        settings: Mapping[str, Any],
        *,
        num_labels: int | None = None,
        dim: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.contrast = contrast
        self.settings = dict(settings)
        self.num_labels = num_labels
        self.dim = dim
        if "prototypes" in contrast.candidates:
            self.prototypes = nn.Parameter(torch.empty(num_labels or 0, dim or 0))
            nn.init.xavier_uniform_(self.prototypes, generator=generator)

    def forward(self, projections: Tensor, labels: Tensor | None = None) -> Tensor:
        """Average the losses of the anchors.

        Args:
            projections: floats [batch, dim], or [batch, views, dim]; their length does not matter.
            labels: [batch, labels], 0 and 1 of any type, or soft labels between; none where only views count.

        Returns:
            A scalar; 0, with a gradient of 0, where no anchor has a positive. With ``reduction="none"`` the terms of
            :meth:`per_anchor`.

        Raises:
            EmbeddingError: projections of another shape or width, or with NaN or infinity.
            LabelShapeError: labels of another shape or width.
        """
        if self.settings["reduction"] == "none":
            return self.per_anchor(projections, labels)
        softmax, factors = self._line_up(projections, labels)
        total = torch.ones_like(factors[:1]) if self.settings["reduction"] == "sum" else factors.sum(0, keepdim=True)
        return softmax(average=self._scale * factors / total.masked_fill(total == 0, 1))

    def per_anchor(self, projections: Tensor, labels: Tensor | None = None) -> Tensor:
        """List what each anchor adds to the sum that is averaged: instances, view by view, and then prototypes."""
        softmax, factors = self._line_up(projections, labels)
        return softmax() * (self._scale * factors)

    @property
    def _scale(self) -> float:
        """The factor temperature / base_temperature, where there is a base temperature."""
        base = self.settings["base_temperature"]
        return 1.0 if base is None else self.settings["temperature"] / base

    def _line_up(self, projections: Tensor, labels: Tensor | None) -> tuple[Callable[..., Tensor], Tensor]:
        """The softmax over all who take part; and the factors of the anchors' losses, not averaged yet."""
        with torch.autocast(projections.device.type, enabled=False):
            parts = self._parts(projections, labels)
            candidates = [part for part in parts if part.kind in self.contrast.candidates]
            anchors = [part for part in parts if part.anchor]
            queries = None if anchors == candidates[: len(anchors)] else torch.cat([part.rows for part in anchors])
            weights = self._weights(anchors, candidates, symmetric=queries is None)
            softmax = partial(
                weighted_softmax,
                torch.cat([part.rows for part in candidates]),
                weights,
                queries=queries,
                prior=self._prior(candidates),
                temperature=self.settings["temperature"],
                stop_repulsion=self.settings["stop_repulsion"],
                block_size=self.settings["block_size"],
            )
            return softmax, self._factors(weights)

    def _parts(self, projections: Tensor, labels: Tensor | None) -> list[_Part]:
        """All rows that take part, anchors first."""
        views = self._checked(projections)
        labels = self._checked_labels(labels, len(projections), views.dtype, views.device)
        every = self.settings["anchor_views"] == "all"
        parts = [_Part(view, labels, "instances", every or not number) for number, view in enumerate(views.unbind(1))]
        if "prototypes" in self.contrast.candidates:
            anchor = "prototypes" in self.contrast.anchors and self.settings.get("prototype_anchors", True)
            rows = _unit(self.prototypes.to(views.dtype), "prototypes")
            own = torch.eye(len(rows), dtype=labels.dtype, device=labels.device)
            parts.append(_Part(rows, own, "prototypes", anchor))
        return sorted(parts, key=lambda part: not part.anchor)

    def _weights(self, anchors: list[_Part], candidates: list[_Part], *, symmetric: bool) -> SharedWeights:
        """What the labels say."""
        affinity = self.contrast.affinity_for(self.settings)
        of_kind = {"instances": affinity, "prototypes": self.contrast.prototype_affinity or affinity}
        affinities: list[tuple[int, Affinity]] = []
        start = 0
        for part in candidates:
            if not affinities or affinities[-1][1] is not of_kind[part.kind]:
                affinities.append((start, of_kind[part.kind]))
            start += len(part.rows)
        sets = LabelSets.of(torch.cat([part.labels for part in candidates]))
        own = sets[: sum(len(part.rows) for part in anchors)]
        own = own if symmetric else LabelSets.of(torch.cat([part.labels for part in anchors]))
        pairs = Pairs(own, sets, tuple(affinities), symmetric)
        return share(pairs, self.contrast.sharing, block_size=self.settings["block_size"])

    def _prior(self, candidates: list[_Part]) -> Tensor | None:
        """What the candidates' exponentials are multiplied with."""
        if self.contrast.instance_prior is None:
            return None
        prior = {"instances": self.settings[self.contrast.instance_prior], "prototypes": 1.0}
        return torch.cat([torch.full_like(part.rows[:, 0], prior[part.kind]) for part in candidates])

    def _factors(self, weights: SharedWeights) -> Tensor:
        """What the anchors' losses are weighed with."""
        reduction = self.settings["reduction"]
        reduction = self.contrast.averaging if reduction in {"sum", "none"} else reduction
        if reduction == "label_count":
            return weights.pairs.anchors.sizes
        return torch.ones_like(weights.totals) if reduction == "mean_all" else weights.totals.sign()

    def _checked(self, projections: Tensor) -> Tensor:
        """The projections as unit vectors [batch, views, dim] in working precision."""
        if projections.ndim not in {2, 3} or not projections.is_floating_point() or not projections.shape[-1]:
            expected = "floats [batch, dim] or [batch, views, dim]"
            raise EmbeddingError(f"projections must be {expected}. Got {projections.dtype} {list(projections.shape)}.")
        if self.dim not in {None, projections.shape[-1]}:
            raise EmbeddingError(f"projections must have the width {self.dim}. Got {projections.shape[-1]}.")
        views = projections if projections.ndim == 3 else projections.unsqueeze(1)
        return _unit(views.to(working_precision(views.dtype, self.settings["temperature"])), "projections")

    def _checked_labels(self, labels: Tensor | None, batch: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The labels as numbers; where only views count, each example has a label of its own."""
        if self.contrast.views_only:
            return torch.eye(batch, dtype=dtype, device=device)
        if labels is None:
            raise LabelShapeError(f"labels must be a matrix [{batch}, labels]. Got none.")
        width = "labels" if self.num_labels is None else self.num_labels
        if labels.ndim != 2 or len(labels) != batch or self.num_labels not in {None, labels.shape[1]}:
            raise LabelShapeError(f"labels must be a matrix [{batch}, {width}]. Got {list(labels.shape)}.")
        labels = labels.to(device=device, dtype=dtype)
        if ((labels < 0) | (labels > 1)).any():
            raise TensorError(f"labels must be from 0 to 1. Got {labels.min():g} to {labels.max():g}.")
        return labels


def _unit(rows: Tensor, name: str) -> Tensor:
    """The rows on the unit sphere; a row of zeros stays where it is."""
    largest = rows.detach().abs().amax(-1, keepdim=True)
    if not largest.isfinite().all():
        raise EmbeddingError(f"{name} must be finite. Got NaN or infinity in {int((~largest.isfinite()).sum())} rows.")
    # divided by its largest part first: the square of a huge or tiny number leaves the range of the type
    return F.normalize(rows / largest.masked_fill(largest == 0, 1), dim=-1)
