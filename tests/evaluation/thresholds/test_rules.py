"""Thresholds: the best one by trying them all, what is exactly at it, and the file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.errors import ConfigError, DataError, LabelShapeError
from labelcontrast.evaluation.thresholds.expected_f1 import expected_f1_sets
from labelcontrast.evaluation.thresholds.rules import (
    Thresholds,
    expected_f1_rule,
    fixed_threshold,
    global_threshold,
    top_labels,
)


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
    values = np.random.default_rng(0).random(17)
    before = [
        Thresholds(values, "per_label"),
        Thresholds(values, "x", most=3, empty="best"),
        Thresholds(values, "y", expected_f1=True),
    ]
    for one in before:
        one.save(tmp_path / "thresholds.json")
        after = Thresholds.load(tmp_path / "thresholds.json")
        assert (after.values == one.values).all()
        assert vars(after) | {"values": None} == vars(one) | {"values": None}


def test_a_file_of_an_older_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "thresholds.json").write_text('{"how": "global", "values": [0.25, 0.5]}')
    found = Thresholds.load(tmp_path / "thresholds.json")
    assert (found.how, found.most, found.expected_f1, found.empty) == ("global", None, False, "allow")
    assert found.values.tolist() == [0.25, 0.5]


def test_so_many_labels_and_no_more() -> None:
    probabilities = np.random.default_rng(0).random((20, 6))
    predicted = top_labels(6, most=2).predict(probabilities)
    for row, chosen in zip(probabilities, predicted, strict=True):
        assert set(np.flatnonzero(chosen)) == set(sorted(range(6), key=lambda label: -row[label])[:2])
    assert top_labels(6, most=9).predict(probabilities).all()


def test_the_rule_is_said_in_words() -> None:
    assert fixed_threshold(2).rule == "fixed"
    assert Thresholds(np.zeros(2), "top_k", most=3, empty="best").rule == (
        "top_k, at most 3 labels, the best label where none passes"
    )


def test_an_empty_set_is_allowed_or_gets_its_best_label() -> None:
    probabilities = np.array([[0.1, 0.3, 0.2], [0.9, 0.2, 0.8], [0.4, 0.4, 0.4]])
    allowed = fixed_threshold(3)
    assert allowed.predict(probabilities).tolist() == [[False] * 3, [True, False, True], [False] * 3]
    best = Thresholds(allowed.values, "fixed", empty="best").predict(probabilities)
    assert best.tolist() == [[False, True, False], [True, False, True], [True, False, False]]


def test_the_rule_of_expected_f1_is_its_sets() -> None:
    probabilities = np.random.default_rng(0).random((30, 5)) ** 2
    assert expected_f1_rule(5).predict(probabilities).tolist() == expected_f1_sets(probabilities).tolist()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"how": "x"}',
        '{"how": "x", "values": ["a"]}',
        "\xff",
        '{"how": "x", "values": [0.5], "empty": "never"}',
        '{"how": "x", "values": [0.5], "most": "some"}',
    ],
)
def test_refuses_a_damaged_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "thresholds.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r'thresholds\.json: expected \{"how": name, "values": \[numbers\]\}\. Got'):
        Thresholds.load(path)


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"^threshold must be between 0 and 1\. Got 1\.5\.$"):
        fixed_threshold(2, threshold=1.5)
    with pytest.raises(ConfigError, match=r"^most must be at least 1\. Got 0\.$"):
        top_labels(2, most=0)
    with pytest.raises(LabelShapeError, match=r"^probabilities must have one column a threshold, 3\. Got 2\.$"):
        fixed_threshold(3).predict(np.zeros((4, 2)))
