"""Thresholds: the best one by trying them all, what is exactly at it, and the file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.errors import ConfigError, DataError, LabelShapeError
from labelcontrast.evaluation.thresholds import Thresholds, fixed_threshold, global_threshold


def micro_f1(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> float:
    predicted = probabilities.astype(np.float64) > threshold
    hits, wrong = np.sum(predicted & (labels == 1)), np.sum(predicted != (labels == 1))
    return 0.0 if hits == 0 else 2 * hits / (2 * hits + wrong)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 5), st.sampled_from([0.0, 0.2, 0.6, 1.0]))
def test_no_threshold_is_better_than_the_global_one(seed: int, examples: int, labels: int, density: float) -> None:
    generator = np.random.default_rng(seed)
    true = (generator.random((examples, labels)) < density).astype(np.uint8)
    probabilities = generator.integers(0, 9, size=true.shape) / np.float32(8)
    found = global_threshold(true, probabilities)
    assert found.how == "global"
    assert np.unique(found.values).size == 1
    chosen = found.values[0]
    tried = np.append(np.linspace(0, 1, 161), chosen)
    by_threshold = np.array([micro_f1(true, probabilities, threshold) for threshold in tried])
    assert by_threshold[-1] == by_threshold.max()
    if micro_f1(true, probabilities, 0.5) == by_threshold.max():
        assert chosen == 0.5


def test_between_ties_the_nearest_to_one_half_is_taken() -> None:
    labels, probabilities = np.array([[1, 0, 1, 0]]), np.array([[0.1, 0.05, 0.04, 0.02]])
    # Above 0.1: one of two found; above 0.04: both of two, with one too many. The second is better.
    assert global_threshold(labels, probabilities).values[0] == pytest.approx(0.03)
    assert global_threshold(np.zeros((2, 2)), np.full((2, 2), 0.9)).values[0] == 0.5


def test_neighbouring_floats_are_told_apart_or_left_together_as_predicted() -> None:
    low = 0.3
    high = np.nextafter(low, 1)
    labels, probabilities = np.array([[1], [0]]), np.array([[high], [low]])
    found = global_threshold(labels, probabilities)
    best = max(micro_f1(labels, probabilities, cut) for cut in (0.0, 0.2, low, high, 0.5))
    assert micro_f1(labels, probabilities, found.values[0]) >= min(best, 2 / 3)


def test_exactly_at_the_threshold_is_a_no() -> None:
    assert fixed_threshold(1).predict(np.array([[0.5], [0.5 + 1e-12]])).tolist() == [[False], [True]]


def test_the_file_keeps_every_digit(tmp_path: Path) -> None:
    before = Thresholds(np.random.default_rng(0).random(17), "per label")
    before.save(tmp_path / "thresholds.json")
    after = Thresholds.load(tmp_path / "thresholds.json")
    assert after.how == "per label"
    assert (after.values == before.values).all()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"how": "x"}', '{"how": "x", "values": ["a"]}', "\xff"])
def test_refuses_a_damaged_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "thresholds.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r'thresholds\.json: expected \{"how": name, "values": \[numbers\]\}\. Got'):
        Thresholds.load(path)


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"^threshold must be between 0 and 1\. Got 1\.5\.$"):
        fixed_threshold(2, threshold=1.5)
    with pytest.raises(LabelShapeError, match=r"^probabilities must have one column a threshold, 3\. Got 2\.$"):
        fixed_threshold(3).predict(np.zeros((4, 2)))
