"""Blocks meet every pair once, in a precision that holds their exponentials."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_problems import Matrix

from labelcontrast.losses import blocks as module
from labelcontrast.losses.blocks import Similarities, grid, working_precision


@settings(deadline=None)
@given(anchors=st.integers(0, 9), more=st.integers(0, 5), size=st.integers(1, 6), cut=st.integers(0, 14))
def test_the_grid_meets_every_pair_once(anchors: int, more: int, size: int, cut: int) -> None:
    for symmetric in (True, False):
        met = torch.zeros(anchors, anchors + more)
        cuts = (cut,) if 0 < cut < anchors + more else ()
        for block in grid(anchors, anchors + more, size=size, symmetric=symmetric, cuts=cuts):
            met[block.rows, block.columns] += 1
            if block.mirrored:
                met[block.columns, block.rows] += 1
            assert all(not block.columns.start < end < block.columns.stop for end in cuts)
        assert (met == 1).all()


@pytest.mark.parametrize(("most", "places"), [(2**23, 3), (5, 1)])
def test_few_pairs_are_computed_once_and_many_in_one_place(
    most: int, places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_PAIRS", most)
    rows = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    similarities = Similarities(rows, None, Matrix(torch.ones(5, 5)), None, size=3, scale=1.0)
    found: set[int] = set()
    for _ in range(2):
        for block in similarities:
            torch.testing.assert_close(block.similarity, rows[block.rows] @ rows[block.columns].T)
            expected = block.similarity.exp()
            torch.testing.assert_close(block.exponential, expected.fill_diagonal_(0) if block.on_diagonal else expected)
            found.add(block.similarity.data_ptr())
    assert len(found) == places


def test_precision_follows_the_temperature() -> None:
    assert working_precision(torch.float16, 0.05) == torch.float32
    assert working_precision(torch.float32, 1 / 71) == torch.float64
    assert working_precision(torch.float64, 1.0) == torch.float64
