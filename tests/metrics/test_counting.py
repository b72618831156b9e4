"""Confusion counts: weights against repeated examples, averages over labels, buckets by frequency, empty ratios."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from labelcontrast.metrics import counting
from labelcontrast.metrics.counting import Confusion, TrainingLabels, average_labels, known_pairs, ratio
from labelcontrast.metrics.registry import DETAILS, METRICS

BY_LABEL = {
    name: metric
    for name, metric in (METRICS | DETAILS).items()
    if metric.counted == "predictions" and metric.average != "sample"
}


def drawn(seed: int, examples: int, labels: int) -> tuple[np.ndarray, np.ndarray]:
    """True labels, of which some are unknown, and predictions."""
    true, predicted, unknown = np.random.default_rng(seed).random((3, examples, labels)) < 0.4
    return np.where(unknown, np.nan, true), predicted


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 5))
def test_weights_are_repetitions(seed: int, examples: int, labels: int) -> None:
    true, predicted = drawn(seed, examples, labels)
    weights = np.random.default_rng(seed).integers(0, 4, (3, examples))
    weighted = Confusion.of(true, predicted).over_examples(weights)
    train = TrainingLabels(np.geomspace(1, 800, labels), 1000)
    for place, counts in enumerate(weights):
        rows = np.repeat(np.arange(examples), counts)
        repeated = Confusion.of(true[rows], predicted[rows]).over_examples()
        for one, other in zip(weighted, repeated, strict=True):
            assert one[place].tolist() == other[0].tolist()
        for metric in BY_LABEL.values():
            found, expected = average_labels(metric, weighted, train)[place], average_labels(metric, repeated, train)[0]
            assert found == pytest.approx(expected, nan_ok=True), metric.name


def test_batches_add_up() -> None:
    true, predicted = drawn(0, 50, 6)
    whole = Confusion.of(true, predicted).over_examples()
    parts = Confusion.zeros(1, 6)
    for at in range(0, 50, 7):
        parts.add(Confusion.of(true[at : at + 7], predicted[at : at + 7]).over_examples())
    assert [one.tolist() for one in parts] == [one.tolist() for one in whole]


def test_buckets_go_by_the_training_examples() -> None:
    true = np.ones((4, 5), dtype=bool)
    predicted = np.arange(4)[:, None] < np.array([4, 2, 1, 3, 0])
    f1 = 2 * predicted.sum(0) / (4 + predicted.sum(0))
    counts = Confusion.of(true, predicted).over_examples()
    train = TrainingLabels(np.array([101, 100, 20, 19, 0]), 1000)
    expected = {"head_f1": f1[0], "medium_f1": f1[1:3].mean(), "tail_f1": f1[3:].mean()}
    for name, value in expected.items():
        assert average_labels(DETAILS[name], counts, train) == pytest.approx([value])
    equal = TrainingLabels(np.full(5, 500), 1000)
    assert math.isnan(average_labels(DETAILS["tail_f1"], counts, equal).item())


def test_a_label_without_known_pairs_is_in_no_mean() -> None:
    true, predicted = drawn(0, 20, 4)
    true[:, 2] = np.nan
    train = TrainingLabels(np.array([500, 50, 5, 5]), 1000)
    within = TrainingLabels(train.counts[[0, 1, 3]], 1000)
    counts = Confusion.of(true, predicted).over_examples()
    for metric in BY_LABEL.values():
        expected = average_labels(metric, counts.select(np.array([0, 1, 3])), within)
        assert average_labels(metric, counts, train) == pytest.approx(expected)
    nothing = {name: average_labels(metric, Confusion.zeros(1, 4), train).item() for name, metric in BY_LABEL.items()}
    assert {name for name, value in nothing.items() if not math.isnan(value)} == {
        f"weighted_{rate}" for rate in ("precision", "recall", "f1")
    }


def test_a_ratio_without_a_denominator_is_0_or_as_given() -> None:
    assert ratio(np.array([0, 1]), np.array([0, 4])).tolist() == [0.0, 0.25]
    assert np.isnan(ratio(np.array([0, 1]), np.array([0, 4]), empty=np.nan)).tolist() == [True, False]


def test_labels_that_are_not_nan_are_known() -> None:
    assert known_pairs(np.array([[1, np.nan]])).tolist() == [[True, False]]
    assert known_pairs(np.array([[1, 0]])).all()


def test_blocks_are_those_of_the_whole_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.random.default_rng(0).integers(0, 3, (7, 5)).astype(np.float32)
    monkeypatch.setattr(counting, "PAIRS_KEPT", 6)
    some, few = np.array([4, 0]), np.array([6, 1, 1])
    for matrix in (
        counting.in_blocks((7, 5), lambda rows, columns: whole[rows][:, columns]),
        counting.as_blocks(csr_array(whole), "labels"),
        counting.part_of(counting.in_blocks((7, 5), lambda rows, columns: whole[rows][:, columns])),
    ):
        assert isinstance(matrix, counting.Blocks)
        assert matrix.shape == whole.shape
        assert len(matrix) == 7
        for block, expected in (
            (matrix[2:4], whole[2:4]),
            (matrix[:, 1:3], whole[:, 1:3]),
            (matrix[:, 1:3], whole[:, 1:3]),  # the one that was kept
            (matrix[1:3, 2:], whole[1:3, 2:]),
            (matrix[few], whole[few]),
            (matrix[:, some], whole[:, some]),
            (matrix[few, some], whole[few][:, some]),
            (matrix[3], whole[3]),
            (matrix[:, 3], whole[:, 3]),
            (counting.part_of(matrix, few, some)[1:], whole[few][1:, some]),
        ):
            np.testing.assert_array_equal(block, expected)
    monkeypatch.setattr(counting, "PAIRS_KEPT", 35)
    assert isinstance(counting.as_blocks(csr_array(whole), "labels"), np.ndarray)


def test_blocks_cover_all_once() -> None:
    assert [(at.start, at.stop) for at in counting.column_blocks((3, 7), 9)] == [(0, 3), (3, 6), (6, 7)]
    assert [(at.start, at.stop) for at in counting.row_blocks((3, 7), 9)] == [(0, 1), (1, 2), (2, 3)]
