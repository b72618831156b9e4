"""Batches that hypothesis draws: duplicates, rows without labels, lonely labels, equal embeddings, zero vectors."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor


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
