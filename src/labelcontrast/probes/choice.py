"""One door to the probes: a name in, a classifier out."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped

from labelcontrast.probes.linear import Classifier, build_classifier, fit_linear_probe
from labelcontrast.probes.published import PROTOCOLS, fit_published_probe

Probe = Literal["newton", "paper", "released"]


def fit_probe(
    name: Probe,
    train_features: Float[np.ndarray, "train dim"],
    train_labels: Shaped[np.ndarray, "train labels"],
    val_features: Float[np.ndarray, "val dim"],
    val_labels: Shaped[np.ndarray, "val labels"],
    *,
    generator: torch.Generator,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> Classifier:
    """Fit a probe on frozen features.

    Args:
        name: ``newton`` is the convex optimum, a linear layer; the others are ``PROTOCOLS`` of the published probe.
        train_features: Frozen features to fit on.
        train_labels: What is true of them, 0 or 1; NaN where it is not known, and such a pair is left out.
        val_features: Features to choose on how each label is fitted.
        val_labels: What is true of them, in the same way.
        generator: What the published probe draws with; the convex optimum draws nothing.
        changes: Fields of the published probe's ``Protocol`` that shall be other than it has them.

    Raises:
        LabelShapeError: Features and labels have different lengths, or there is no example.
        EmbeddingError: Features have different widths, or hold NaN or infinity.

    Example:
        >>> features = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
        >>> labels = (features[:, :2] > 0).astype(np.uint8)
        >>> fit_probe("newton", features, labels, features, labels, generator=torch.Generator())
        Linear(in_features=4, out_features=2, bias=True)
    """
    parts = train_features, train_labels, val_features, val_labels
    if name != "newton":
        return fit_published_probe(*parts, protocol=replace(PROTOCOLS[name], **changes), generator=generator)
    probe = fit_linear_probe(*parts)
    return build_classifier(torch.from_numpy(probe.weight), torch.from_numpy(probe.bias))
