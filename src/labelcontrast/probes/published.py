"""The published linear probe, heads trained in one sweep, and the entrance to all probes.

The sweep equals, for every learning rate and weight decay and for every head, one after the other,

    head = nn.Linear(dim, labels)                                  # Xavier weights, zero bias
    optimiser = AdamW([{weight, decay}, {bias, 0}], lr=rate)
    for step in range(steps):                                      # epochs of shuffled batches, the last rest dropped
        optimiser.param_groups[...]["lr"] = rate * (1 - step / steps)
        binary_cross_entropy_with_logits(head(features[batch]), labels[batch]).backward(); optimiser.step()

where a head has the same initial weights and batches under every configuration, so that configurations are compared on
equal terms. A batch then serves all of them in two matrix products per step, which are most of the time: one head after
the other needs as many multiplications, and the sweep saves everything else.

``PROTOCOLS`` holds two forms. ``paper`` follows the appendix of the study. ``released`` follows its code, which
averages five heads of which three are trained; this moves all probabilities towards one half, the more so the larger
the features are. It is needed only to compare with the printed tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike
from torch import Tensor

from labelcontrast.errors import ConfigError, nearest
from labelcontrast.metrics.counting import AnyMatrix, known_pairs
from labelcontrast.metrics.ranking import average_precisions
from labelcontrast.probes.linear import (
    AveragedHeads,
    ExampleWeights,
    LinearHead,
    build_classifier,
    checked_data,
    fit_linear_probe,
)
from labelcontrast.progress import tracked

Probe = Literal["newton", "paper", "released"]
Optimiser = Literal["adamw", "adam", "rmsprop"]
MOST_LABELS = 10_000
"""Labels that a published probe is trained on, at most: its weights and moments then take some 4 GiB."""
_MOMENTUM, _MEMORY, _FLOOR = 0.9, 0.999, 1e-8  # AdamW's defaults
_LONG_MEMORY = 0.99  # RMSprop's


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Training of the heads, and selection of the configuration of each label."""

    rates: tuple[float, ...] = (1.0, 0.1)
    """Peak learning rates; between equal F1 the smallest is chosen."""
    decays: tuple[float, ...] = (1.0, 0.1, 0.01, 1e-4, 1e-6)
    """Weight decays; between equal F1 and rate that of the best average precision is chosen."""
    heads: int = 3
    """Trained heads that are averaged."""
    untrained_heads: int = 0
    """Heads that are averaged with them, drawn and never trained."""
    first_of_ties: bool = False
    """Between equal F1 choose the first of the grid instead."""
    epochs: int = 40
    """Passes over the training features."""
    batch_size: int = 256
    """Examples per step."""
    optimiser: Optimiser = "adamw"
    """Under ``adam`` and ``rmsprop`` the weight decay is added to the gradient, as torch does."""
    precision: Literal["32", "bf16"] = "32"
    """Precision of matrix products; ``bf16`` is less exact and more than twice as fast if the processor supports it."""

    @property
    def grid(self) -> list[tuple[float, float]]:
        """Pairs of a rate and a decay, the rate outermost."""
        return list(product(self.rates, self.decays))


PROTOCOLS = {
    "paper": Protocol(),
    "released": Protocol(decays=(1.0, 0.1, 0.01, 1e-4), untrained_heads=2, first_of_ties=True),
}


def fit_probe(
    name: Probe,
    train_features: ArrayLike,
    train_labels: AnyMatrix,
    val_features: ArrayLike,
    val_labels: AnyMatrix,
    *,
    generator: torch.Generator | None = None,
    changes: Mapping[str, Any] = MappingProxyType({}),
    weights: ExampleWeights = (None, None),
) -> LinearHead | AveragedHeads:
    """Fit a probe on frozen features.

    Args:
        name: ``newton`` is the convex optimum of ``fit_linear_probe``, as a linear layer; the others are ``PROTOCOLS``
            of the published probe.
        train_features: Features to fit on, shape [train, dim].
        train_labels: 0 or 1, shape [train, labels]; NaN where it is not known, and such a pair is left out.
        val_features: Features to choose hyper-parameters on, shape [val, dim].
        val_labels: 0, 1 or NaN, shape [val, labels].
        generator: For the published probe, by default with the seed 0; the convex optimum draws nothing.
        changes: Fields of the published probe's ``Protocol`` to replace.
        weights: Of the examples, which only the convex optimum takes.

    Returns: A module that computes logits from a tensor of features, and ``probabilities`` from an array.

    Raises:
        ConfigError: There is no such probe, or the published one is to weight examples.
        LabelShapeError: Features and labels have different lengths, or there is no example.
        EmbeddingError: Features have different widths, or hold NaN or infinity.

    Example:
        >>> features = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
        >>> labels = (features[:, :2] > 0).astype(np.uint8)
        >>> probe = fit_probe("newton", features, labels, features, labels)
        >>> probe
        LinearHead(in_features=4, out_features=2, bias=True)
        >>> probe.probabilities(features).shape
        (90, 2)
    """
    data = train_features, train_labels, val_features, val_labels
    if name not in (known := get_args(Probe)):
        raise ConfigError(f"there is no probe {name!r}{nearest(name, known)}. There are {', '.join(known)}.")
    if name != "newton":
        if any(one is not None for one in weights):
            raise ConfigError(f"the probe {name!r} does not weight examples. Expected 'newton'.")
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        return fit_published_probe(*data, protocol=replace(PROTOCOLS[name], **changes), generator=generator)
    probe = fit_linear_probe(*data, weights=weights)
    return build_classifier(torch.from_numpy(probe.weight), torch.from_numpy(probe.bias))


def fit_published_probe(
    train_features: ArrayLike,
    train_labels: AnyMatrix,
    val_features: ArrayLike,
    val_labels: AnyMatrix,
    *,
    protocol: Protocol = PROTOCOLS["paper"],
    generator: torch.Generator,
) -> AveragedHeads:
    """Train the whole grid in one sweep, and choose for each label the configuration with the best F1 on validation.

    Args:
        train_features: Features to fit on, shape [train, dim]; they are not standardised.
        train_labels: 0 or 1, shape [train, labels]; NaN where it is not known, and such a pair is left out.
        val_features: Features to choose the configuration on, at a threshold of one half, shape [val, dim].
        val_labels: 0, 1 or NaN, shape [val, labels].
        protocol: One of ``PROTOCOLS``, or another.
        generator: Draws initial weights and the order of the examples.

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
    train, true, val, held_out = checked_data(train_features, train_labels, val_features, val_labels)
    if true.shape[1] > MOST_LABELS:
        raise ConfigError(
            f"a published probe trains every label under every configuration at once, {MOST_LABELS:,} at most: "
            f"take the probe newton. Got {true.shape[1]:,} labels."
        )
    true, held_out = true[:], held_out[:]
    sizes = {"labels": true.shape[1], "dim": train.shape[1]}
    trained = train_heads(
        torch.from_numpy(train),
        torch.from_numpy(true),
        draw_heads(heads=protocol.heads, generator=generator, **sizes),
        grid=protocol.grid,
        epochs=protocol.epochs,
        batch_size=protocol.batch_size,
        generator=generator,
        optimiser=protocol.optimiser,
        products=torch.bfloat16 if protocol.precision == "bf16" else None,
    )
    untrained = draw_heads(heads=protocol.untrained_heads, generator=generator, **sizes)
    weight, bias = _beside(trained.weight, untrained.weight), _beside(trained.bias, untrained.bias)
    unseen = torch.from_numpy(val).to(weight.dtype)
    logits = [AveragedHeads(*heads)(unseen).numpy() for heads in zip(weight, bias, strict=True)]
    chosen, label = choose(protocol, held_out, np.stack(logits)), np.arange(len(held_out.T))
    return AveragedHeads(weight[chosen, :, label].transpose(0, 1), bias[chosen, :, label].transpose(0, 1))


@dataclass(frozen=True)
class Heads:
    """Hyperplanes: the logits of a head are ``features @ weight.T + bias``."""

    weight: Float[Tensor, "*grid heads labels dim"]
    bias: Float[Tensor, "*grid heads labels"]


def draw_heads(*, heads: int, labels: int, dim: int, generator: torch.Generator) -> Heads:
    """Draw untrained heads: Xavier weights, zero bias."""
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
    optimiser: Optimiser = "adamw",
    products: torch.dtype | None = None,
) -> Heads:
    """Train every head of ``start`` under every configuration.

    Args:
        features: Shape [examples, dim], in float32, or in float64 where rounding matters more than time.
        labels: 0 or 1, shape [examples, labels]; NaN where it is not known, and such a pair is left out of the mean
            over a batch.
        start: Initial heads.
        grid: Pairs of a peak learning rate and a weight decay.
        epochs: Passes over the examples, while the rate falls linearly to 0.
        batch_size: Examples a step; the rest of an epoch is dropped, and with fewer examples a batch is all of them.
        generator: Draws the order of the examples, a different one for each head.
        optimiser: As torch computes it with its defaults.
        products: The type that factors and results of matrix products are rounded to, such as bfloat16, which some
            processors multiply several times as fast. The trained weights keep the type of the features.

    Returns:
        The trained heads, ``[configurations, heads, ...]``.
    """
    kind, (heads, parts) = products or features.dtype, (len(start.weight), labels.shape[1])
    design = torch.cat([features, features.new_ones(len(features), 1)], 1).to(kind)
    batch = min(batch_size, len(features))
    before = torch.cat([start.weight.mT, start.bias.unsqueeze(1)], 1).to(features.dtype)
    # [heads, coefficients, configurations, labels]: all that shares a batch is one matrix.
    solution = before.unsqueeze(2).repeat(1, 1, len(grid), 1)
    descent = _Descent(solution, grid, optimiser)
    known = labels.isnan().logical_not_().to(features.dtype)
    true = labels.to(features.dtype).nan_to_num()
    # Reused in every step: fresh memory would cost more than the arithmetic.
    chance = features.new_empty(heads, batch, len(grid), parts)
    rounded, slope = (torch.empty_like(solution.flatten(2), dtype=kind) for _ in range(2))
    error = torch.empty_like(chance.flatten(2), dtype=kind)
    steps = epochs * (len(features) // batch)
    for step in tracked(range(steps), "probe"):
        at = step % (len(features) // batch) * batch
        if at == 0:
            orders = torch.stack([torch.randperm(len(features), generator=generator) for _ in solution])
        rows = orders[:, at : at + batch].flatten()
        inputs, share, is_true = (one.index_select(0, rows).view(heads, batch, -1) for one in (design, known, true))
        share.div_(share.sum((1, 2), keepdim=True).clamp_(min=1))
        torch.bmm(inputs, rounded.copy_(solution.flatten(2)), out=error)
        chance.copy_(error.view_as(chance)).sigmoid_().sub_(is_true.unsqueeze(2)).mul_(share.unsqueeze(2))
        torch.bmm(inputs.mT, error.copy_(chance.flatten(2)), out=slope)
        descent.step(slope.view_as(solution), factor=1 - step / steps)
    trained = solution.permute(2, 0, 3, 1)
    return Heads(trained[..., :-1].contiguous(), trained[..., -1].contiguous())


class _Descent:
    """An optimiser in place, with the rate and decay of each configuration; the bias, which is last, does not decay."""

    def __init__(self, solution: Tensor, grid: Sequence[tuple[float, float]], optimiser: Optimiser) -> None:
        self._solution, self._optimiser = solution, optimiser
        self._mean, self._square, self._work = (torch.zeros_like(solution) for _ in range(3))
        self._rates, self._decays = solution.new_tensor(grid).T.unsqueeze(2)  # [configurations, 1], beside the labels
        self._steps = 0

    def step(self, slope: Tensor, *, factor: float) -> None:
        """Take a step against the gradient ``slope``, with every rate times ``factor``."""
        self._steps += 1
        slope = self._work.copy_(slope)
        if self._optimiser != "adamw":
            slope[:, :-1].addcmul_(self._solution[:, :-1], self._decays)
        if self._optimiser == "rmsprop":
            self._square.mul_(_LONG_MEMORY).addcmul_(slope, slope, value=1 - _LONG_MEMORY)
            self._solution.addcmul_(slope.div_(self._square.sqrt().add_(_FLOOR)), self._rates, value=-factor)
            return
        self._mean.lerp_(slope, 1 - _MOMENTUM)
        self._square.mul_(_MEMORY).addcmul_(slope, slope, value=1 - _MEMORY)
        rates = self._rates * (factor / (1 - _MOMENTUM**self._steps))
        # The rate is folded into the divisor, which saves a pass.
        spread = torch.sqrt(self._square, out=self._work).div_((1 - _MEMORY**self._steps) ** 0.5 * rates)
        spread.add_(_FLOOR / rates)
        if self._optimiser == "adamw":
            self._solution[:, :-1].mul_(1 - factor * self._rates * self._decays)
        self._solution.addcdiv_(self._mean, spread, value=-1)


def choose(
    protocol: Protocol,
    labels: Shaped[np.ndarray, "examples labels"],
    logits: Float[np.ndarray, "configurations examples labels"],
) -> Shaped[np.ndarray, " labels"]:
    """Return the index of each label's configuration: the best F1 at one half, then as the protocol says."""
    true, predicted = labels == 1, known_pairs(labels) & (logits > 0)
    f1 = 2 * (true & predicted).sum(1) / np.maximum(true.sum(0) + predicted.sum(1), 1)
    if protocol.first_of_ties:
        return np.asarray(f1.argmax(0))
    precision = np.nan_to_num([average_precisions(labels, scores) for scores in logits])
    rates = np.broadcast_to(np.array(protocol.grid)[:, :1], f1.shape)
    return np.asarray(np.lexsort((-precision, rates, -f1), axis=0)[0])


def _beside(trained: Float[Tensor, "grid heads *rest"], untrained: Float[Tensor, "more *rest"]) -> Tensor:
    """Append the same untrained heads to the trained ones of every configuration."""
    return torch.cat([trained, untrained.expand(len(trained), *untrained.shape)], 1)
