"""Blocks meet every pair once, in a precision that holds their exponentials."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_problems import Matrix

from labelcontrast.losses import blocks as module
from labelcontrast.losses.blocks import Blocks, grid, working_precision


@settings(deadline=None)
@given(anchors=st.integers(0, 9), more=st.integers(0, 5), size=st.integers(1, 6), cut=st.integers(0, 14))
def test_the_grid_meets_every_pair_once(anchors: int, more: int, size: int, cut: int) -> None:
    for symmetric in (True, False):
        met = torch.zeros(anchors, anchors + more)
        cuts = (cut,) if 0 < cut < anchors + more else ()
        for rows, columns, mirrored in grid(anchors, anchors + more, size=size, symmetric=symmetric, cuts=cuts):
            met[rows, columns] += 1
            if mirrored:
                met[columns, rows] += 1
            assert all(not part.start < end < part.stop for part in (columns,) for end in cuts)
        assert (met == 1).all()


@pytest.mark.parametrize(("most", "kept"), [(2**23, 3), (5, 1)])
def test_the_blocks_of_a_small_problem_are_kept_and_of_a_large_one_the_last(
    most: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_PAIRS", most)
    rows = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    blocks = Blocks(rows, None, Matrix(torch.ones(5, 5)), None, size=3, scale=1.0)
    for _ in range(2):
        for here, there, _ in blocks:
            similarity, exponential = blocks.similarities(here, there)
            torch.testing.assert_close(similarity, rows[here] @ rows[there].T)
            expected = similarity.exp().fill_diagonal_(0) if here == there else similarity.exp()
            torch.testing.assert_close(exponential, expected)
            assert blocks.similarities(here, there)[0] is similarity
        assert len(blocks.kept) == kept


def test_precision_follows_the_temperature() -> None:
    assert working_precision(torch.float16, 0.05) == torch.float32
    assert working_precision(torch.float32, 1 / 71) == torch.float64
    assert working_precision(torch.float64, 1.0) == torch.float64
