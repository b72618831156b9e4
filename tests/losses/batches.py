"""Batches that hypothesis draws, with duplicates, rows without labels and zero vectors; and losses run on them."""

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from labelcontrast.losses.factory import make_loss


@dataclass(frozen=True)
class Batch:
    """Projections, labels, prototypes, and a temperature."""

    z: Tensor
    y: Tensor
    c: Tensor
    temperature: float


@st.composite
def batches(draw: st.DrawFn, *, views: bool = False, least_temperature: float = 0.01) -> Batch:
    """Draw a batch of 1 to 7 examples with 1 to 5 labels."""
    size, labels, dim = draw(st.integers(1, 7)), draw(st.integers(1, 5)), draw(st.integers(2, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shape = (size, draw(st.integers(1, 3)), dim) if views else (size, dim)
    z = torch.randn(shape, generator=generator, dtype=torch.float64)
    kind = draw(st.sampled_from(["any", "equal", "duplicates", "one zero", "opposite"]))
    if kind == "equal":
        z[:] = z[0]
    elif kind == "duplicates":
        z[size // 2 :] = z[0]
    elif kind == "one zero":
        z[0] = 0
    elif kind == "opposite":
        z[:] = z[0]
        z[size // 2 :] *= -1
    y = (torch.rand(size, labels, generator=generator) < draw(st.sampled_from([0.0, 0.2, 0.5, 1.0]))).double()
    c = torch.randn(labels, dim, generator=generator, dtype=torch.float64)
    temperatures = [t for t in (0.01, 0.05, 0.1, 0.5, 5.0) if t >= least_temperature]
    return Batch(z, y, c, draw(st.sampled_from(temperatures)))


def loss_on(batch: Batch, name: str, **parameters: Any) -> nn.Module:
    """A loss of the batch's size, with its prototypes."""
    parameters = {"temperature": batch.temperature, **parameters}
    loss = make_loss(name, num_labels=batch.y.shape[1], dim=batch.z.shape[-1], **parameters).double()
    if hasattr(loss, "prototypes"):
        loss.prototypes.data = batch.c.clone()
    return loss


def run(loss: nn.Module, z: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Value, gradient of the projections by angle, gradient of the prototypes."""
    z = z.detach().clone().requires_grad_()
    loss.zero_grad()
    value = loss(z, y)
    value.backward()
    return value.detach(), by_angle(z), loss.prototypes.grad if hasattr(loss, "prototypes") else None


def by_angle(z: Tensor) -> Tensor:
    """The gradient times the length; a vector of length zero is treated as one of 1e-12, and its gradient matches."""
    return z.grad * z.detach().norm(dim=-1, keepdim=True).clamp(min=1e-12)


def assert_same(got: tuple[Tensor | None, ...], expected: tuple[Tensor | None, ...], rtol: float = 1e-9) -> None:
    """Equal up to rounding, at the scale of the expected."""
    for one, other in zip(got, expected, strict=True):
        if other is not None:
            torch.testing.assert_close(one, other, rtol=rtol, atol=rtol * max(1.0, float(other.abs().max())))
