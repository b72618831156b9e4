"""The linear probe as published: heads trained by AdamW, averaged, and for each label the best of a grid on validation.

``PROTOCOLS`` holds two forms. ``paper`` is what the appendix of the study says. ``released`` is what its code does:
five heads are averaged, of which three are trained; that squeezes all probabilities towards one half, the more the
larger the features are. Whoever compares with the printed tables needs it, and nobody else.
"""

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from labelcontrast.errors import ConfigError
from labelcontrast.evaluation.metrics.counting import known_pairs
from labelcontrast.evaluation.metrics.measures import average_precisions
from labelcontrast.evaluation.probes.averaged_heads import AveragedHeads
from labelcontrast.evaluation.probes.linear_probe import check_features
from labelcontrast.evaluation.probes.sweep import draw_heads, train_heads


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How the heads are trained and which configuration a label takes."""

    rates: tuple[float, ...] = (1.0, 0.1)
    """Peak learning rates; a label whose F1 is the same under several takes the smallest of them."""
    decays: tuple[float, ...] = (1.0, 0.1, 0.01, 1e-4, 1e-6)
    """Weight decays; among those of the same rate and F1 a label takes that of the best average precision."""
    heads: int = 3
    """Trained heads that are averaged."""
    untrained_heads: int = 0
    """Heads averaged with them that were drawn and never trained."""
    first_of_ties: bool = False
    """Among configurations of the same F1 take the first of the grid instead."""
    epochs: int = 40
    """Passes over the training features."""
    batch_size: int = 256
    """Examples a step."""
    precision: Literal["32", "bf16"] = "32"
    """Of the matrix products: ``bf16`` is less exact, and more than twice as fast where a processor has it."""

    @property
    def grid(self) -> list[tuple[float, float]]:
        """Pairs of a rate and a decay, the rate outermost."""
        return list(product(self.rates, self.decays))


PROTOCOLS = {
    "paper": Protocol(),
    "released": Protocol(decays=(1.0, 0.1, 0.01, 1e-4), untrained_heads=2, first_of_ties=True),
}


def fit_published_probe(
    train_features: Float[np.ndarray, "train dim"],
    train_labels: Shaped[np.ndarray, "train labels"],
    val_features: Float[np.ndarray, "val dim"],
    val_labels: Shaped[np.ndarray, "val labels"],
    *,
    protocol: Protocol = PROTOCOLS["paper"],
    generator: torch.Generator,
) -> AveragedHeads:
    """Train the whole grid in one sweep, and take for each label the configuration with the best F1 on validation.

    Args:
        train_features: Frozen features to fit on, as they are: neither shifted nor scaled.
        train_labels: What is true of them, 0 or 1; NaN where it is not known, and such a pair is left out.
        val_features: Features to choose the configuration on, at a threshold of one half.
        val_labels: What is true of them, in the same way.
        protocol: One of ``PROTOCOLS``, or one of your own.
        generator: What initial weights and the order of the examples are drawn with.

    Raises:
        ConfigError: The grid is empty, or no head is trained.
        LabelShapeError: Features and labels have different lengths, or there is no example.
        EmbeddingError: Features have different widths, or hold NaN or infinity.

    Example:
        >>> features = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
        >>> labels = (features[:, :2] > 0).astype(np.uint8)
        >>> generator = torch.Generator().manual_seed(0)
        >>> probe = fit_published_probe(features[:60], labels[:60], features[60:], labels[60:], generator=generator)
        >>> probe.weight.shape
        torch.Size([3, 2, 4])
        >>> bool(np.mean((probe(torch.from_numpy(features[60:])) > 0).numpy() == labels[60:]) > 0.9)
        True

    Reference: Audibert et al., Multi-Label Contrastive Learning: A Comprehensive Study, 2024 (arXiv 2412.00101), A.1.
    """
    if not protocol.grid or protocol.heads < 1:
        raise ConfigError(f"a probe needs at least one rate, one decay and one trained head. Got {protocol}.")
    check_features(train_features, train_labels, val_features, val_labels)
    sizes = {"labels": train_labels.shape[1], "dim": train_features.shape[1]}
    trained = train_heads(
        torch.from_numpy(train_features),
        torch.from_numpy(train_labels),
        draw_heads(heads=protocol.heads, generator=generator, **sizes),
        grid=protocol.grid,
        epochs=protocol.epochs,
        batch_size=protocol.batch_size,
        generator=generator,
        products=torch.bfloat16 if protocol.precision == "bf16" else None,
    )
    untrained = draw_heads(heads=protocol.untrained_heads, generator=generator, **sizes)
    weight, bias = _beside(trained.weight, untrained.weight), _beside(trained.bias, untrained.bias)
    unseen = torch.from_numpy(val_features)
    logits = [AveragedHeads(*heads)(unseen).numpy() for heads in zip(weight, bias, strict=True)]
    chosen, label = choose(protocol, val_labels, np.stack(logits)), np.arange(len(val_labels.T))
    return AveragedHeads(weight[chosen, :, label].transpose(0, 1), bias[chosen, :, label].transpose(0, 1))


def choose(
    protocol: Protocol,
    labels: Shaped[np.ndarray, "examples labels"],
    logits: Float[np.ndarray, "configurations examples labels"],
) -> Shaped[np.ndarray, " labels"]:
    """Index of the configuration that each label takes: the best F1 of positive logits, then as the protocol says."""
    true, predicted = labels == 1, known_pairs(labels) & (logits > 0)
    f1 = 2 * (true & predicted).sum(1) / np.maximum(true.sum(0) + predicted.sum(1), 1)
    if protocol.first_of_ties:
        return np.asarray(f1.argmax(0))
    precision = np.nan_to_num([average_precisions(labels, scores) for scores in logits])
    rates = np.broadcast_to(np.array(protocol.grid)[:, :1], f1.shape)
    return np.asarray(np.lexsort((-precision, rates, -f1), axis=0)[0])


def _beside(trained: Float[Tensor, "grid heads *rest"], untrained: Float[Tensor, "more *rest"]) -> Tensor:
    """Put the same untrained heads beside the trained ones of every configuration."""
    return torch.cat([trained, untrained.expand(len(trained), *untrained.shape)], 1)
