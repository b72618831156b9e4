"""Blocks meet every pair once, in a precision that holds their exponentials."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.contrast.kernel.blocks import grid, working_precision


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


def test_precision_follows_the_temperature() -> None:
    assert working_precision(torch.float16, 0.05) == torch.float32
    assert working_precision(torch.float32, 1 / 71) == torch.float64
    assert working_precision(torch.float64, 1.0) == torch.float64
