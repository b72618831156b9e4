"""What the tests of the kernel share: weights that are a matrix, and problems drawn with them."""

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from labelcontrast.losses.blocks import Block, PairWeights


class Matrix(PairWeights):
    """Weights that are a matrix."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix
        self.totals = matrix.sum(1)

    def block(self, block: Block) -> tuple[Tensor, Tensor | None]:
        rows, columns = block.rows, block.columns
        return self.matrix[rows, columns].clone(), self.matrix[columns, rows].T.clone() if block.mirrored else None

    def scaled(self, factors: Tensor) -> "Matrix":
        return Matrix(self.matrix * factors[:, None])


@st.composite
def problems(draw: st.DrawFn, *, ones: bool = False) -> tuple[Tensor, Tensor, Tensor | None, float, Tensor, float]:
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    m = draw(st.integers(2, 9))
    n, apart = draw(st.integers(1, m)), draw(st.booleans())
    w = rand(n, m) * (rand(n, m) < 0.4)
    if not apart:
        w.fill_diagonal_(0)
    candidates = F.normalize(rand(m, 3) - 0.5, dim=1)
    queries = F.normalize(rand(n, 3) - 0.5, dim=1) if apart else None
    return (
        candidates,
        w,
        queries,
        draw(st.sampled_from([0.05, 0.5])),
        torch.ones(m, dtype=torch.float64) if ones else rand(m) + 0.1,
        draw(st.sampled_from([0.0, 0.5, 1.0])),
    )
