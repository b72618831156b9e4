"""Cuts against trying every threshold there is, one column at a time, with pairs that are not known."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.evaluation.thresholds import cuts
from labelcontrast.evaluation.thresholds.cuts import best_cuts


def literal_f1(true: list[float], scores: list[float], threshold: float) -> float:
    """F1 of one label at a threshold, by counting the pairs that are known."""
    known = [(one, score) for one, score in zip(true, scores, strict=True) if not math.isnan(one)]
    hits = sum(1 for one, score in known if one and score > threshold)
    wrong = sum(1 for one, score in known if bool(one) != (score > threshold))
    return 0.0 if hits == 0 else hits / (hits + wrong / 2)


def literal_cut(true: list[float], scores: list[float], preferred: float) -> float:
    """Of one threshold from each gap between known scores, 0 and 1, the best, and of equals the nearest."""
    known = [float(score) for one, score in zip(true, scores, strict=True) if not math.isnan(one)]
    gaps = pairwise(sorted({0.0, 1.0, *known}))
    tried = [preferred if low <= preferred < high else (low + high) / 2 for low, high in gaps]
    return max(tried, key=lambda cut: (literal_f1(true, scores, cut), -abs(cut - preferred)))


@settings(deadline=None, max_examples=200)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 9), st.integers(1, 4)),
    st.sampled_from([0.0, 0.2, 0.6, 1.0]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([0.03, 0.1, 0.5, 0.93]),
)
def test_no_threshold_is_better_and_the_nearest_to_the_preferred_is_taken(
    seed: int, shape: tuple[int, int], density: float, unknown: float, preferred: float
) -> None:
    generator = np.random.default_rng(seed)
    labels = (generator.random(shape) < density).astype(float)
    labels[generator.random(shape) < unknown] = np.nan
    scores = generator.integers(0, 9, size=shape) / np.float32(8)
    found = best_cuts(labels, scores, preferred=preferred)
    for true, ranked, cut in zip(labels.T.tolist(), scores.T.tolist(), found, strict=True):
        expected = literal_cut(true, ranked, preferred)
        assert literal_f1(true, ranked, cut) == literal_f1(true, ranked, expected)
        assert abs(cut - preferred) == pytest.approx(abs(expected - preferred))


def test_neighbouring_floats_are_told_apart() -> None:
    low = 0.3
    high = np.nextafter(low, 1)
    found = best_cuts(np.array([[1], [0]]), np.array([[high], [low]]))
    assert low <= found[0] < high


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    labels, scores = generator.integers(0, 2, (20, 7)), generator.random((20, 7))
    whole = best_cuts(labels, scores)
    monkeypatch.setattr(cuts, "BLOCK", 45)
    assert best_cuts(labels, scores).tolist() == whole.tolist()
