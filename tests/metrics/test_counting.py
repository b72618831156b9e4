"""Counts: a batch after another is the same as all at once; buckets by frequency; what a mean of nothing is."""

import math

import numpy as np
import pytest

from labelcontrast.metrics.counting import Counts, TrainingLabels, known_pairs, ratio


def counted(true: np.ndarray, predicted: np.ndarray, *, known: np.ndarray | None = None, batch: int = 99) -> Counts:
    counts = Counts(true.shape[1])
    known = np.ones(true.shape, bool) if known is None else known
    for at in range(0, len(true), batch):
        rows = slice(at, at + batch)
        counts.update(true[rows] & known[rows], known[rows], predicted[rows] & known[rows])
    return counts


def test_batches_change_nothing() -> None:
    true, predicted, known = np.random.default_rng(0).random((3, 50, 6)) < 0.5
    whole, parts = (counted(true, predicted, known=known, batch=batch).measures() for batch in (99, 7))
    assert parts == pytest.approx(whole, abs=1e-12)


def test_buckets_go_by_the_training_examples() -> None:
    true = np.ones((4, 5), dtype=bool)
    predicted = np.arange(4)[:, None] < np.array([4, 2, 1, 3, 0])
    f1 = 2 * predicted.sum(0) / (4 + predicted.sum(0))
    train = TrainingLabels(np.array([101, 100, 20, 19, 0]), 1000)
    found = counted(true, predicted).measures(train)
    assert found["head_f1"] == f1[0]
    assert found["medium_f1"] == pytest.approx(f1[1:3].mean())
    assert found["tail_f1"] == pytest.approx(f1[3:].mean())
    assert math.isnan(counted(true, predicted).measures(TrainingLabels(np.full(5, 500), 1000))["tail_f1"])
    assert "head_f1" not in counted(true, predicted).measures()


def test_a_label_and_an_example_of_which_nothing_is_known_are_in_no_mean() -> None:
    true, predicted, known = np.random.default_rng(0).random((3, 20, 4)) < 0.5
    known[3], known[:, 2] = False, False
    rows, columns = np.delete(np.arange(20), 3), [0, 1, 3]
    within = np.ix_(rows, columns)
    expected = counted(true[within], predicted[within], known=known[within]).measures()
    assert counted(true, predicted, known=known).measures() == pytest.approx(expected)
    nothing = Counts(2).measures()
    assert {name for name, value in nothing.items() if not math.isnan(value)} == {
        f"weighted_{rate}" for rate in ("precision", "recall", "f1")
    }


def test_a_ratio_without_a_denominator_is_0_and_what_is_not_nan_is_known() -> None:
    assert ratio(np.array([0, 1]), np.array([0, 4])).tolist() == [0.0, 0.25]
    assert known_pairs(np.array([[1, np.nan]])).tolist() == [[True, False]]
    assert known_pairs(np.array([[1, 0]])).all()
