"""Every measure against scikit-learn to the last digit, and against its definition in loops."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from labelcontrast.errors import LabelShapeError, TensorError
from labelcontrast.evaluation.metrics import METRICS, compute_metrics, mean_average_precision, per_label_table


@st.composite
def cases(draw: st.DrawFn, *, min_labels: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of any density down to none, scores with many ties, predictions of their own."""
    examples, labels = draw(st.integers(1, 12)), draw(st.integers(min_labels, 6))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density, levels = draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])), draw(st.sampled_from([2, 4, 1000]))
    true = (generator.random((examples, labels)) < density).astype(np.uint8)
    scores = generator.integers(0, levels, size=true.shape) / levels
    return true, scores, scores > draw(st.sampled_from([-1.0, 0.3, 0.5, 2.0]))


@settings(deadline=None, max_examples=300)
@given(cases(min_labels=2))
def test_equal_to_scikit_learn_to_the_last_digit(case) -> None:
    true, scores, predicted = case
    found = compute_metrics(true, scores, predicted)
    for name, average in (("micro_f1", "micro"), ("macro_f1", "macro"), ("sample_f1", "samples")):
        assert found[name] == sk.f1_score(true, predicted.astype(int), average=average, zero_division=0)
    assert found["hamming_loss"] == sk.hamming_loss(true, predicted.astype(int))
    assert found["lrap"] == sk.label_ranking_average_precision_score(true, scores)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of a label without a positive, and calls it 0
        by_label = np.asarray(sk.average_precision_score(true, scores, average=None))
        micro = sk.average_precision_score(true, scores, average="micro")
    known = true.any(axis=0)
    assert found["labels_scored"] == known.sum()
    if known.any():
        assert found["map_macro"] == by_label[known].mean()
        assert found["map_micro"] == micro
    else:
        assert math.isnan(found["map_macro"])
        assert math.isnan(found["map_micro"])


def literal_f1(pairs: list[tuple[int, int]]) -> float:
    """F1 of (true, predicted) pairs, by counting."""
    hits = sum(1 for true, predicted in pairs if true and predicted)
    wrong = sum(1 for true, predicted in pairs if true != predicted)
    return 0.0 if hits == 0 else hits / (hits + wrong / 2)


def literal_average_precision(true: list[int], scores: list[float]) -> float:
    """Mean over the positives of the precision among all that score at least as high."""
    precisions = []
    for i, positive in enumerate(true):
        if positive:
            above = [true[j] for j in range(len(true)) if scores[j] >= scores[i]]
            precisions.append(sum(above) / len(above))
    return sum(precisions) / len(precisions)


def literal_ranking_precision(true: np.ndarray, scores: np.ndarray) -> float:
    """For each example the mean over its labels of the share of its own labels among those ranked as high."""
    found = []
    for row, ranked in zip(true, scores, strict=True):
        trivial = row.sum() in (0, len(row))
        found.append(1.0 if trivial else literal_average_precision(list(row), list(ranked)))
    return sum(found) / len(found)


@settings(deadline=None, max_examples=150)
@given(cases())
def test_equal_to_the_definitions_in_loops(case) -> None:
    true, scores, predicted = case
    found = compute_metrics(true, scores, predicted)
    examples, labels = true.shape
    pairs = [[(int(true[i, j]), int(predicted[i, j])) for j in range(labels)] for i in range(examples)]
    columns = [[row[j] for row in pairs] for j in range(labels)]
    flat = [pair for row in pairs for pair in row]
    assert found["micro_f1"] == pytest.approx(literal_f1(flat))
    assert found["macro_f1"] == pytest.approx(sum(map(literal_f1, columns)) / labels)
    assert found["sample_f1"] == pytest.approx(sum(map(literal_f1, pairs)) / examples)
    assert found["hamming_loss"] == pytest.approx(sum(a != b for a, b in flat) / len(flat))
    assert found["lrap"] == pytest.approx(literal_ranking_precision(true, scores))
    known = [j for j in range(labels) if true[:, j].any()]
    if known:
        each = [literal_average_precision(list(true[:, j]), list(scores[:, j])) for j in known]
        assert found["map_macro"] == pytest.approx(sum(each) / len(each))
        assert found["map_macro"] == mean_average_precision(true, scores)
        assert found["map_micro"] == pytest.approx(literal_average_precision(list(true.ravel()), list(scores.ravel())))


@settings(deadline=None, max_examples=50)
@given(cases())
def test_only_the_order_of_scores_counts_and_not_that_of_examples(case) -> None:
    true, scores, predicted = case
    found = compute_metrics(true, scores, predicted)
    order = np.random.default_rng(0).permutation(len(true))
    again = compute_metrics(true[order].astype(bool), np.exp(3 * scores[order]) - 5, predicted[order])
    assert again == pytest.approx(found, nan_ok=True)


@settings(deadline=None, max_examples=100)
@given(cases())
def test_each_label_alone_equals_scikit_learn(case) -> None:
    true, scores, predicted = case
    names = [f"label {j}" for j in range(true.shape[1])]
    seen, cuts = np.arange(len(names)), np.linspace(0.1, 0.9, len(names))
    rows = per_label_table(names, true, scores, predicted, train_counts=seen, thresholds=cuts)
    for j, row in enumerate(rows):
        expected = sk.precision_recall_fscore_support(
            true[:, j], predicted[:, j].astype(int), pos_label=1, average="binary", zero_division=0
        )
        assert (row.precision, row.recall, row.f1) == expected[:3]
        assert (row.label, row.train_count, row.threshold) == (names[j], seen[j], cuts[j])
        assert row.support == true[:, j].sum()
        if row.support:
            assert row.average_precision == sk.average_precision_score(true[:, j], scores[:, j])
        else:
            assert math.isnan(row.average_precision)


def test_every_metric_says_what_it_is_and_which_way_is_better() -> None:
    true = np.array([[1, 0], [0, 1]])
    perfect, wrong = np.array(true, dtype=float), 1.0 - true
    best, worst = compute_metrics(true, perfect, true), compute_metrics(true, wrong, 1 - true)
    assert set(best) == {*METRICS, "labels_scored"}
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.meaning.endswith(".")
        assert metric.better == ("higher" if best[name] > worst[name] else "lower")


@pytest.mark.usefixtures("unchecked")
def test_refuses_what_cannot_be_measured() -> None:
    with pytest.raises(LabelShapeError, match=r"of one shape with .* Got \(3, 2\), \(3, 4\) and \(3, 2\)\."):
        compute_metrics(np.ones((3, 2)), np.ones((3, 4)), np.ones((3, 2)))
    with pytest.raises(LabelShapeError, match="at least one example"):
        compute_metrics(np.ones((0, 2)), np.ones((0, 2)), np.ones((0, 2)))
    with pytest.raises(TensorError, match=r"^scores must be finite\. Got 2 that are not\.$"):
        compute_metrics(np.ones((2, 2)), np.array([[1, np.nan], [np.inf, 0]]), np.ones((2, 2)))
