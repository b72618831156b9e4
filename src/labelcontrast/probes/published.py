"""The linear probe as published: heads trained by AdamW in one sweep, averaged, chosen label by label.

It equals, for every learning rate and weight decay and for every repetition, one after the other,

    head = nn.Linear(dim, labels)                                  # Xavier weights, no initial bias
    optimiser = AdamW([{weight, decay}, {bias, 0}], lr=rate)
    for step in range(steps):                                      # epochs of shuffled batches without the last rest
        optimiser.param_groups[...]["lr"] = rate * (1 - step / steps)
        binary_cross_entropy_with_logits(head(features[batch]), labels[batch]).backward(); optimiser.step()

where a repetition has the same initial weights and the same batches under every configuration: they are compared on
equal terms, and a batch serves all of them in two matrix products a step. These are most of the time, and one head
after the other needs as many multiplications: what is saved there is the rest.

``PROTOCOLS`` holds two forms. ``paper`` is what the appendix of the study says. ``released`` is what its code does:
five heads are averaged, of which three are trained; that squeezes all probabilities towards one half, the more the
larger the features are. Whoever compares with the printed tables needs it, and nobody else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from labelcontrast.errors import ConfigError
from labelcontrast.metrics.counting import known_pairs
from labelcontrast.metrics.ranking import average_precisions
from labelcontrast.probes.linear import AveragedHeads, check_features

_MOMENTUM, _MEMORY, _FLOOR = 0.9, 0.999, 1e-8  # AdamW's defaults


@dataclass(frozen=True)
class Heads:
    """Hyperplanes: the logits of a head are ``features @ weight.T + bias``."""

    weight: Float[Tensor, "*grid heads labels dim"]
    bias: Float[Tensor, "*grid heads labels"]


def draw_heads(*, heads: int, labels: int, dim: int, generator: torch.Generator) -> Heads:
    """Draw untrained heads: Xavier weights, no bias."""
    bound = (6 / (labels + dim)) ** 0.5
    weight = torch.rand(heads, labels, dim, generator=generator).mul_(2).sub_(1).mul_(bound)
    return Heads(weight, torch.zeros(heads, labels))


def train_heads(
    features: Float[Tensor, "examples dim"],
    labels: Shaped[Tensor, "examples labels"],
    start: Heads,
    *,
    grid: Sequence[tuple[float, float]],
    epochs: int,
    batch_size: int,
    generator: torch.Generator,
    products: torch.dtype | None = None,
) -> Heads:
    """Train every head of ``start`` under every configuration.

    Args:
        features: In float32, or in float64 where rounding matters more than time.
        labels: What is true, 0 or 1; NaN where it is not known, and the mean over a batch leaves such a pair out.
        start: The heads to start from.
        grid: Pairs of a peak learning rate and a weight decay.
        epochs: Passes over the examples, while the rate falls to 0 on a straight line.
        batch_size: Examples a step; the rest of an epoch is left out, and with fewer examples a batch is all of them.
        generator: What the order of the examples is drawn with, for each head its own.
        products: What the factors of matrix products are rounded to, and what comes of them: such as bfloat16, which
            some processors multiply several times as fast. The weights that are moved stay as the features are.

    Returns:
        The trained heads, ``[configurations, heads, ...]``.
    """
    kind, (heads, parts) = products or features.dtype, (len(start.weight), labels.shape[1])
    design = torch.cat([features, features.new_ones(len(features), 1)], 1).to(kind)
    batch = min(batch_size, len(features))
    before = torch.cat([start.weight.mT, start.bias.unsqueeze(1)], 1).to(features.dtype)
    # [heads, coefficients, configurations, labels]: what shares a batch lies side by side in one matrix.
    solution = before.unsqueeze(2).repeat(1, 1, len(grid), 1)
    optimiser = _AdamW(solution, grid)
    known = labels.isnan().logical_not_().to(features.dtype)
    true = labels.to(features.dtype).nan_to_num()
    # Written again in every step, since fresh memory would cost more than what is done with it.
    chance = features.new_empty(heads, batch, len(grid), parts)
    rounded, slope = (torch.empty_like(solution.flatten(2), dtype=kind) for _ in range(2))
    error = torch.empty_like(chance.flatten(2), dtype=kind)
    steps = epochs * (len(features) // batch)
    for step in range(steps):
        at = step % (len(features) // batch) * batch
        if at == 0:
            orders = torch.stack([torch.randperm(len(features), generator=generator) for _ in solution])
        rows = orders[:, at : at + batch].flatten()
        inputs, share, is_true = (one.index_select(0, rows).view(heads, batch, -1) for one in (design, known, true))
        share.div_(share.sum((1, 2), keepdim=True).clamp_(min=1))
        torch.bmm(inputs, rounded.copy_(solution.flatten(2)), out=error)
        chance.copy_(error.view_as(chance)).sigmoid_().sub_(is_true.unsqueeze(2)).mul_(share.unsqueeze(2))
        torch.bmm(inputs.mT, error.copy_(chance.flatten(2)), out=slope)
        optimiser.step(slope.view_as(solution), factor=1 - step / steps)
    trained = solution.permute(2, 0, 3, 1)
    return Heads(trained[..., :-1].contiguous(), trained[..., -1].contiguous())


class _AdamW:
    """AdamW in place, with the rate and the decay of each configuration; the last coefficient, the bias, is spared."""

    def __init__(self, solution: Tensor, grid: Sequence[tuple[float, float]]) -> None:
        self._solution = solution
        self._mean, self._square, self._work = (torch.zeros_like(solution) for _ in range(3))
        self._rates, self._decays = solution.new_tensor(grid).T.unsqueeze(2)  # [configurations, 1], beside the labels
        self._steps = 0

    def step(self, slope: Tensor, *, factor: float) -> None:
        """Move against the slope, with this factor on every rate."""
        self._steps += 1
        slope = self._work.copy_(slope)
        self._mean.lerp_(slope, 1 - _MOMENTUM)
        self._square.mul_(_MEMORY).addcmul_(slope, slope, value=1 - _MEMORY)
        rates = self._rates * (factor / (1 - _MOMENTUM**self._steps))
        # What the mean is divided by has the rate in it, so that it takes no pass of its own.
        spread = torch.sqrt(self._square, out=self._work).div_((1 - _MEMORY**self._steps) ** 0.5 * rates)
        spread.add_(_FLOOR / rates)
        self._solution[:, :-1].mul_(1 - factor * self._rates * self._decays)
        self._solution.addcdiv_(self._mean, spread, value=-1)


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
