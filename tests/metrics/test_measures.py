"""Every measure against scikit-learn, and against its definition in loops."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn import metrics as sk

from labelcontrast.errors import LabelShapeError, TensorError
from labelcontrast.metrics.counting import TrainingLabels
from labelcontrast.metrics.measures import DETAILS, compute_metrics, mean_average_precision, per_label_table
from labelcontrast.metrics.registry import METRICS


@st.composite
def cases(draw: st.DrawFn, *, min_labels: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of any density down to none, scores with many ties, predictions of their own."""
    examples, labels = draw(st.integers(1, 12)), draw(st.integers(min_labels, 6))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density, levels = draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])), draw(st.sampled_from([2, 4, 1000]))
    true = (generator.random((examples, labels)) < density).astype(np.uint8)
    scores = generator.integers(0, levels, size=true.shape) / levels
    return true, scores, scores > draw(st.sampled_from([-1.0, 0.3, 0.5, 2.0]))


def compare_with_scikit_learn(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Hold every measure that scikit-learn has against it."""
    true, scores, predicted = case
    found, claimed = compute_metrics(true, scores, predicted), predicted.astype(int)
    expected = {
        "hamming_loss": sk.hamming_loss(true, claimed),
        "subset_accuracy": sk.accuracy_score(true, claimed),
        "lrap": sk.label_ranking_average_precision_score(true, scores),
        "coverage": sk.coverage_error(true, scores),
        "ranking_loss": sk.label_ranking_loss(true, scores),
        **{f"ndcg@{k}": sk.ndcg_score(true, scores, k=k) for k in (1, 3, 5)},
    }
    for name, average in (("micro", "micro"), ("macro", "macro"), ("weighted", "weighted"), ("sample", "samples")):
        rates = sk.precision_recall_fscore_support(true, claimed, average=average, zero_division=0)
        expected |= {f"{name}_{rate}": one for rate, one in zip(("precision", "recall", "f1"), rates, strict=False)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of a label without a positive, and calls it 0
        by_label = np.asarray(sk.average_precision_score(true, scores, average=None))
        micro = sk.average_precision_score(true, scores, average="micro")
    known = true.any(axis=0)
    expected |= {"labels_scored": known.sum(), "map_macro": np.nan, "map_micro": np.nan}
    if known.any():
        expected |= {"map_macro": by_label[known].mean(), "map_micro": micro}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12, nan_ok=True)


@settings(deadline=None, max_examples=60)
@given(cases(min_labels=2))
def test_equal_to_scikit_learn(case) -> None:
    compare_with_scikit_learn(case)


@pytest.mark.slow
@settings(deadline=None, max_examples=1000)
@given(cases(min_labels=2))
def test_equal_to_scikit_learn_on_a_thousand_cases(case) -> None:
    compare_with_scikit_learn(case)


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


@settings(deadline=None, max_examples=80)
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


@settings(deadline=None, max_examples=40)
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
            assert row.average_precision == pytest.approx(sk.average_precision_score(true[:, j], scores[:, j]))
        else:
            assert math.isnan(row.average_precision)


def test_every_metric_says_what_it_is_and_which_way_is_better() -> None:
    true = np.eye(8, dtype=int)
    perfect, wrong = np.array(true, dtype=float), 1.0 - true
    train = TrainingLabels(np.array([500, 50, 5] + 5 * [30]), 1000)
    best = compute_metrics(true, perfect, true, train=train)
    worst = compute_metrics(true, wrong, 1 - true, train=train)
    assert list(best) == [*METRICS, *DETAILS, "labels_scored"]
    for name, metric in {**METRICS, **DETAILS}.items():
        assert metric.name == name
        assert metric.meaning.endswith(".")
        assert metric.better == ("higher" if best[name] > worst[name] else "lower")


def test_what_is_not_known_is_left_out_and_sparse_is_the_same_as_dense() -> None:
    generator = np.random.default_rng(0)
    true = (generator.random((60, 7)) < 0.4).astype(float)
    scores, predicted = generator.integers(0, 6, true.shape) / 6, generator.random(true.shape) < 0.4
    true[generator.random(true.shape) < 0.3] = np.nan
    found = compute_metrics(true, scores, predicted)
    other = np.where(np.isnan(true), generator.random(true.shape), scores)
    assert compute_metrics(true, other, predicted ^ np.isnan(true)) == found
    sparse = compute_metrics(*map(csr_array, (true, scores, predicted)))
    assert sparse == found
    known = ~np.isnan(true)
    assert found["hamming_loss"] == (true[known] != predicted[known]).mean()
    each = [sk.average_precision_score(true[known[:, j], j], scores[known[:, j], j]) for j in range(7)]
    assert found["map_macro"] == pytest.approx(np.mean(each))
    rows = [(true[i, known[i]].astype(int), scores[i, known[i]]) for i in range(60)]
    assert found["ranking_loss"] == pytest.approx(np.mean([sk.label_ranking_loss([y], [s]) for y, s in rows]))
    assert found["lrap"] == pytest.approx(
        np.mean([sk.label_ranking_average_precision_score([y], [s]) for y, s in rows])
    )


@pytest.mark.usefixtures("unchecked")
def test_refuses_what_cannot_be_measured() -> None:
    with pytest.raises(LabelShapeError, match=r"of one shape with .* Got \(3, 2\), \(3, 4\) and \(3, 2\)\."):
        compute_metrics(np.ones((3, 2)), np.ones((3, 4)), np.ones((3, 2)))
    with pytest.raises(LabelShapeError, match="at least one example"):
        compute_metrics(np.ones((0, 2)), np.ones((0, 2)), np.ones((0, 2)))
    with pytest.raises(TensorError, match=r"^scores must be finite\. Got 2 that are not\.$"):
        compute_metrics(np.ones((2, 2)), np.array([[1, np.nan], [np.inf, 0]]), np.ones((2, 2)))
