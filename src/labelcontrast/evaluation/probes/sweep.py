r"""Linear heads trained by AdamW, for all configurations, repetitions and labels in one sweep over the features.

It equals, for every learning rate and weight decay and for every repetition, one after the other,

    head = nn.Linear(dim, labels)                                  # Xavier weights, no initial bias
    optimiser = AdamW([{weight, decay}, {bias, 0}], lr=rate)
    for step in range(steps):                                      # epochs of shuffled batches without the last rest
        optimiser.param_groups[...]["lr"] = rate * (1 - step / steps)
        binary_cross_entropy_with_logits(head(features[batch]), labels[batch]).backward(); optimiser.step()

where a repetition has the same initial weights and the same batches under every configuration: they are compared on
equal terms, and a batch serves all of them in two matrix products a step. These are most of the time, and one head
after the other needs as many multiplications: what is saved there is the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

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
