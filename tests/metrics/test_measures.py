"""Every metric against scikit-learn and against its definition in loops; in batches, on resamples, from a file."""

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn import metrics as sk

from labelcontrast import metrics
from labelcontrast.errors import DataError, LabelShapeError, TensorError
from labelcontrast.metrics import measures, ranking
from labelcontrast.metrics.counting import TrainingLabels
from labelcontrast.metrics.measures import (
    Outputs,
    StreamedMetrics,
    compute_metrics,
    draw_resamples,
    example_terms,
    per_label_table,
    resampled_metrics,
)
from labelcontrast.metrics.ranking import mean_average_precision
from labelcontrast.metrics.registry import DETAILS, METRICS


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


def test_every_metric_has_a_sentence_and_the_right_direction() -> None:
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


def test_unknown_labels_are_left_out_and_sparse_equals_dense() -> None:
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
def test_invalid_inputs_are_refused() -> None:
    with pytest.raises(LabelShapeError, match=r"of one shape with .* Got \(3, 2\), \(3, 4\) and \(3, 2\)\."):
        compute_metrics(np.ones((3, 2)), np.ones((3, 4)), np.ones((3, 2)))
    with pytest.raises(LabelShapeError, match="at least one example"):
        compute_metrics(np.ones((0, 2)), np.ones((0, 2)), np.ones((0, 2)))
    with pytest.raises(TensorError, match=r"^scores must be finite\. Got 2 that are not\.$"):
        compute_metrics(np.ones((2, 2)), np.array([[1, np.nan], [np.inf, 0]]), np.ones((2, 2)))


@pytest.mark.parametrize("convert", [np.asarray, csr_array])
def test_batches_are_equal_to_all_at_once(convert, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "BLOCK", 60)
    generator = np.random.default_rng(0)
    true = (generator.random((300, 8)) < 0.3).astype(float)
    true[generator.random(true.shape) < 0.1] = np.nan
    scores = generator.random(true.shape) * (generator.random(true.shape) < 0.7)
    train = TrainingLabels(np.geomspace(1, 800, 8), 1000)
    streamed = StreamedMetrics(8, train=train)
    for at in range(0, 300, 41):
        streamed.update(*(convert(one[at : at + 41]) for one in (true, scores, scores > 0.5)))
    found, expected = streamed.measures(), compute_metrics(true, scores, scores > 0.5, train=train)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=3e-3 if name.startswith("map") else 1e-12)


def test_scores_that_are_no_probabilities_are_refused_or_have_no_average_precision() -> None:
    labels, scores = np.array([[1, 0]]), np.array([[-2.0, 3.0]])
    with pytest.raises(TensorError, match=r"^scores must be probabilities\. Got -2 to 3\.$"):
        StreamedMetrics(2).update(labels, scores, scores > 0)
    free = StreamedMetrics(2, bins=None)
    free.update(labels, scores, scores > 0)
    assert "map_macro" not in free.measures()
    assert free.measures()["ranking_loss"] == 1.0


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 12),
    st.integers(1, 5),
    st.sampled_from([2, 5, 1000]),
    st.sampled_from([0.0, 0.3]),
)
def test_a_resample_is_equal_to_the_examples_drawn(
    seed: int, examples: int, labels: int, levels: int, unknown: float
) -> None:
    generator = np.random.default_rng(seed)
    true = (generator.random((examples, labels)) < 0.3).astype(np.float32)
    true[1:][generator.random((examples - 1, labels)) < unknown] = np.nan
    scores = generator.integers(0, levels, size=true.shape) / levels
    predicted = scores > 0.6
    counts = draw_resamples(examples, resamples=3, generator=generator)
    counts[:, 0] += 1  # the first example is known, so that there is something to measure
    train = TrainingLabels(np.geomspace(1, 800, labels), 1000)
    found = resampled_metrics(true, scores, predicted, counts, [*METRICS, *DETAILS], train=train)
    assert list(found) == [*METRICS, *DETAILS]
    assert set(resampled_metrics(true, scores, predicted, counts)) == set(METRICS)
    for resample, count in enumerate(counts):
        rows = np.repeat(np.arange(examples), count)
        expected = compute_metrics(true[rows], scores[rows], predicted[rows], train=train)
        for name, values in found.items():
            assert values[resample] == pytest.approx(expected[name], abs=1e-12, nan_ok=True), name


def test_blocks_of_resamples_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    true, scores = (generator.random((40, 3)) < 0.3).astype(np.uint8), generator.random((40, 3))
    counts = draw_resamples(40, resamples=7, generator=generator)
    whole = resampled_metrics(true, scores, scores > 0.5, counts)
    monkeypatch.setattr(ranking, "_AT_ONCE", 50)
    for name, values in resampled_metrics(true, scores, scores > 0.5, counts).items():
        np.testing.assert_array_equal(values, whole[name])


@given(st.sets(st.sampled_from([*METRICS])))
def test_metrics_that_are_not_asked_for_change_nothing(asked: set[str]) -> None:
    generator = np.random.default_rng(1)
    true, scores = (generator.random((20, 3)) < 0.3).astype(np.uint8), generator.random((20, 3))
    counts = draw_resamples(20, resamples=4, generator=generator)
    whole, some = (resampled_metrics(true, scores, scores > 0.5, counts, names) for names in (METRICS, asked))
    assert set(some) == asked
    assert all((some[name] == whole[name]).all() for name in asked)


def test_the_spread_over_resamples_is_that_of_new_samples() -> None:
    generator = np.random.default_rng(4)

    def sample() -> tuple[np.ndarray, np.ndarray]:
        true = (generator.random((400, 4)) < 0.4).astype(np.uint8)
        return true, true + generator.normal(size=true.shape)

    afresh = [compute_metrics(*one, one[1] > 0.5) for one in (sample() for _ in range(60))]
    true, scores = sample()
    counts = draw_resamples(400, resamples=200, generator=generator)
    drawn = resampled_metrics(true, scores, scores > 0.5, counts)
    for name in METRICS:
        ratio = drawn[name].std() / np.std([one[name] for one in afresh])
        assert 0.7 < ratio < 1.4, name


def test_outputs_are_saved_and_loaded(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = (generator.random((3019, 90)) < 0.05).astype(np.uint8)
    scores = expit(4 * labels + 3 * generator.normal(size=labels.shape) - 4).astype(np.float32)
    scores[0, :3] = 0.0, 1.0, 0.5
    outputs = Outputs(labels, scores, scores > 0.4)
    outputs.save(tmp_path / "test.safetensors")
    assert (tmp_path / "test.safetensors").stat().st_size < 620_000
    again = Outputs.load(tmp_path / "test.safetensors")
    np.testing.assert_array_equal(again.labels, labels)
    np.testing.assert_array_equal(again.predictions, outputs.predictions)
    np.testing.assert_allclose(again.scores, scores, atol=2e-3)
    before, after = (compute_metrics(one.labels, one.scores, one.predictions) for one in (outputs, again))
    for name, value in before.items():
        assert after[name] == pytest.approx(value, rel=1e-3, abs=1e-3), name


def test_unknown_labels_stay_unknown_in_a_file(tmp_path: Path) -> None:
    labels = np.array([[1, 0, np.nan], [np.nan, 1, 0]], dtype=np.float32)
    scores = np.array([[0.9, 0.2, 0.8], [0.1, 0.7, 0.4]])
    Outputs(labels, scores, scores > 0.5).save(tmp_path / "test.safetensors")
    again = Outputs.load(tmp_path / "test.safetensors")
    np.testing.assert_array_equal(again.labels, labels)
    np.testing.assert_array_equal(again.predictions, scores > 0.5)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"no such thing")
    with pytest.raises(DataError, match=r"a\.safetensors: expected the outputs of a run on its test examples\. Got "):
        Outputs.load(tmp_path / "a.safetensors")


def test_terms_of_examples_add_up_to_the_metric() -> None:
    generator = np.random.default_rng(3)
    true = (generator.random((50, 4)) < 0.4).astype(float)
    predicted = generator.random(true.shape) < 0.4
    found = compute_metrics(true, generator.random(true.shape), predicted)
    for metric in (METRICS | DETAILS).values():
        if metric.counted == "predictions" and metric.average in {"micro", "macro", "sample"}:
            part, whole = (one.sum(axis=0) for one in example_terms(metric, true, predicted))
            assert np.mean(part / whole) == pytest.approx(found[metric.name]), metric.name


def test_a_new_metric_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = metrics.Metric(
        "sample_jaccard",
        "Jaccard",
        "higher",
        "Mean over examples of common labels over labels in either set.",
        "predictions",
        lambda count: (count.hits, count.predicted + count.support - count.hits),
        "sample",
    )
    monkeypatch.setattr(measures, "_FLAT", {**measures._FLAT, entry.name: entry})
    generator = np.random.default_rng(0)
    true, scores = (generator.random((40, 5)) < 0.4).astype(int), generator.random((40, 5))
    predicted = scores > 0.5
    expected = sk.jaccard_score(true, predicted.astype(int), average="samples", zero_division=0)
    assert compute_metrics(true, scores, predicted)[entry.name] == pytest.approx(expected)
    once = np.ones((1, 40), int)
    assert resampled_metrics(true, scores, predicted, once, [entry.name])[entry.name] == pytest.approx([expected])


def test_metrics_and_their_registry_are_public() -> None:
    labels, scores = np.array([[1, 0], [0, 1], [1, 1]]), np.array([[0.9, 0.2], [0.4, 0.8], [0.7, 0.6]])
    found = metrics.compute_metrics(labels, scores, scores > 0.5)
    best = {name: metric.better == "higher" for name, metric in metrics.METRICS.items()}
    assert {name: found[name] for name in best} == {name: float(high) for name, high in best.items()}
    assert metrics.neighbour_scores(scores, labels, scores, neighbours=1).tolist() == labels.tolist()


def test_metrics_of_lists_and_tensors_are_those_of_arrays() -> None:
    true, scores = np.array([[1, 0], [1, 1], [0, 0]]), np.array([[0.9, 0.2], [0.6, 0.3], [0.7, 0.1]])
    expected = compute_metrics(true, scores, scores > 0.5)
    for convert in (np.ndarray.tolist, torch.from_numpy):
        found = compute_metrics(convert(true), convert(scores), convert(scores > 0.5))
        assert found == pytest.approx(expected, nan_ok=True)
    with pytest.raises(LabelShapeError, match=r"^labels must be a matrix of numbers .* Got shape \[2\] of type int"):
        compute_metrics([1, 0], scores, scores)


def test_outputs_are_saved_by_rows_however_they_lie_in_memory(tmp_path: Path) -> None:
    scores = np.asfortranarray(np.random.default_rng(0).random((7, 9)))
    outputs = Outputs(np.asfortranarray((scores > 0.7).astype(float)), scores, np.asfortranarray(scores > 0.5))
    outputs.save(tmp_path / "test.safetensors")
    found = Outputs.load(tmp_path / "test.safetensors")
    np.testing.assert_allclose(found.scores, scores, atol=2e-3)
    np.testing.assert_array_equal(found.predictions, scores > 0.5)
    np.testing.assert_array_equal(found.labels, scores > 0.7)


def test_outputs_of_many_pairs_keep_the_highest_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    labels = (generator.random((40, 30)) < 0.1).astype(np.float32)
    labels[3, 5] = labels[3, 6] = np.nan
    scores = generator.random(labels.shape)
    outputs = Outputs(labels, scores, scores > 0.97)
    monkeypatch.setattr(measures, "MOST_PAIRS", 1000)
    monkeypatch.setattr(measures, "MOST_SCORES", 40 * 6)
    outputs.save(tmp_path / "test.safetensors")
    again = Outputs.load(tmp_path / "test.safetensors")
    np.testing.assert_array_equal(again.labels, labels)
    np.testing.assert_array_equal(again.predictions, outputs.predictions)
    sixth = np.sort(scores, axis=1)[:, -6, None]
    kept = (scores >= sixth) | (labels != 0) | outputs.predictions
    np.testing.assert_allclose(again.scores, np.where(kept, scores, 0), atol=2e-3)
    assert kept.sum() < labels.size / 2


def test_resamples_are_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    labels = (generator.random((30, 8)) < 0.3).astype(np.uint8)
    scores = generator.random(labels.shape)
    counts = draw_resamples(30, resamples=5, generator=generator)
    expected = resampled_metrics(labels, scores, scores > 0.5, counts)
    monkeypatch.setattr(measures, "BLOCK", 50)
    found = resampled_metrics(labels, scores, scores > 0.5, counts)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12)
