"""The linear probe, averaged heads and the ridge score against scikit-learn and loops; the room's entrance."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from labelcontrast import probes
from labelcontrast.errors import ConfigError, EmbeddingError, LabelShapeError
from labelcontrast.metrics import counting
from labelcontrast.metrics.ranking import mean_average_precision
from labelcontrast.probes import linear
from labelcontrast.probes.linear import (
    STRENGTHS,
    AveragedHeads,
    _choose,
    fit_linear_probe,
    selection_score,
    standardise,
)


def test_the_probability_is_the_mean_of_the_heads_probabilities() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(3, 5, 7, generator=generator), torch.randn(3, 5, generator=generator)
    features = 3 * torch.randn(20, 7, generator=generator)
    heads = AveragedHeads(weight.double(), bias.double())
    expected = torch.zeros(20, 5, dtype=torch.float64)
    for head in range(3):
        for row in range(20):
            for label in range(5):
                margin = features[row].double() @ weight[head, label].double() + bias[head, label].double()
                expected[row, label] += 1 / (1 + torch.exp(-margin)) / 3
    torch.testing.assert_close(heads(features.double()).sigmoid(), expected, rtol=1e-12, atol=0)
    assert heads.out_features == 5


def test_one_head_is_a_linear_layer_also_far_out() -> None:
    layer = nn.Linear(4, 3)
    heads = AveragedHeads(layer.weight.detach().unsqueeze(0), layer.bias.detach().unsqueeze(0))
    features = 1000 * torch.randn(9, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(heads(features), layer(features).detach(), rtol=1e-5, atol=1e-3)
    assert not heads(features).requires_grad


def halves(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """The first 200 rows to train on, the rest to validate."""
    return features[:200], labels[:200], features[200:], labels[200:]


def scikit_probe(features: np.ndarray, labels: np.ndarray, strength: float):
    model = LogisticRegression(C=1 / (len(features) * strength), solver="newton-cholesky", tol=1e-10)
    return make_pipeline(StandardScaler(), model).fit(features.astype(np.float64), labels)


@pytest.mark.parametrize("strength", [0.3, 0.01])
def test_equal_to_scikit_learn_on_standardised_features(problem, strength: float) -> None:
    train, train_labels, val, val_labels = halves(*problem)
    probe = fit_linear_probe(train, train_labels, val, val_labels, strengths=[strength])
    assert probe.weight.shape == (6, 12)
    assert (probe.strength == strength).all()
    for label in range(6):
        expected = scikit_probe(train, train_labels[:, label], strength)
        np.testing.assert_allclose(probe.scores(val)[:, label], expected.decision_function(val), atol=2e-3)
        np.testing.assert_allclose(probe.probabilities(val)[:, label], expected.predict_proba(val)[:, 1], atol=5e-4)


def test_unknown_labels_are_left_out_of_the_fit_and_of_the_choice(problem) -> None:
    train, train_labels, val, val_labels = halves(*problem)
    generator = np.random.default_rng(0)
    holed, seen = (
        np.where(generator.random(one.shape) < 0.3, np.nan, one).astype(np.float32)
        for one in (train_labels, val_labels)
    )
    probe = fit_linear_probe(train, holed, val, seen)
    scaler = StandardScaler().fit(train.astype(np.float64))
    for label, here in enumerate(~np.isnan(holed).T):
        model = LogisticRegression(C=1 / (here.sum() * probe.strength[label]), solver="newton-cholesky", tol=1e-10).fit(
            scaler.transform(train[here].astype(np.float64)), holed[here, label]
        )
        expected = model.decision_function(scaler.transform(val.astype(np.float64)))
        np.testing.assert_allclose(probe.scores(val)[:, label], expected, atol=5e-3)
    absent = fit_linear_probe(train, np.nan_to_num(holed), val, np.nan_to_num(seen))
    assert np.abs(absent.scores(val) - probe.scores(val)).max() > 0.2
    named = [fit_linear_probe(train, labels, val, val_labels) for labels in (train_labels, train_labels.astype(float))]
    np.testing.assert_array_equal(named[0].weight, named[1].weight)


def test_fewer_examples_than_features() -> None:
    generator = np.random.default_rng(3)
    features = generator.normal(size=(90, 200))
    labels = (features[:, :3] + generator.normal(size=(90, 3)) > 0).astype(np.uint8)
    probe = fit_linear_probe(features[:60], labels[:60], features[60:], labels[60:], strengths=[0.1])
    for label in range(3):
        expected = scikit_probe(features[:60], labels[:60, label], 0.1).decision_function(features[60:])
        np.testing.assert_allclose(probe.scores(features[60:])[:, label], expected, atol=1e-3)


def test_scale_shift_and_a_constant_feature_change_nothing(problem) -> None:
    train, train_labels, val, val_labels = halves(*problem)
    probe = fit_linear_probe(train, train_labels, val, val_labels)

    def other(features: np.ndarray) -> np.ndarray:
        constant = np.full((len(features), 1), 0.1)
        return np.hstack([features.astype(np.float64) * 1000 - 3, constant])

    again = fit_linear_probe(other(train), train_labels, other(val), val_labels)
    assert (again.strength == probe.strength).all()
    np.testing.assert_allclose(again.scores(other(val)), probe.scores(val), atol=2e-3)
    assert np.abs(again.weight[:, -1]).max() < 1e-20


def test_a_label_that_never_or_always_holds_in_training_gets_one_finite_score(problem) -> None:
    features, labels = problem
    labels = labels.copy()
    labels[:200, 1], labels[:200, 4] = 0, 1
    probe = fit_linear_probe(*halves(features, labels))
    assert (probe.weight[[1, 4]] == 0).all()
    assert probe.bias[1] == pytest.approx(np.log(0.5 / 200.5))
    assert probe.bias[4] == pytest.approx(np.log(200.5 / 0.5))
    assert np.isfinite(probe.scores(features)).all()
    without = fit_linear_probe(*halves(features, np.delete(labels, [1, 4], axis=1)), strengths=[0.01])
    with_them = fit_linear_probe(*halves(features, labels), strengths=[0.01])
    np.testing.assert_allclose(np.delete(with_them.weight, [1, 4], axis=0), without.weight, rtol=1e-6)


def literal_choice(precision: np.ndarray, positives: np.ndarray) -> list[int]:
    """For each label the strength with the best mix of its own precision and that of all labels with a positive."""
    known = [label for label in range(len(positives)) if positives[label]]
    average = [sum(row[label] for label in known) / len(known) for row in precision]
    chosen = []
    for label, count in enumerate(positives):
        mixed = [
            (count * row[label] if count else 0.0) + 100 * mean for row, mean in zip(precision, average, strict=True)
        ]
        chosen.append(mixed.index(max(mixed)))
    return chosen


def test_the_rarer_a_label_the_more_the_average_chooses_for_it() -> None:
    # Three labels prefer the first strength a little; one prefers the second by far, and with it the average.
    table = np.array([[0.60, 0.60, 0.60, 0.10, np.nan], [0.55, 0.55, 0.55, 0.90, np.nan]])
    assert _choose(table, np.array([10, 100_000, 1000, 1, 0])).tolist() == [1, 0, 0, 1, 1]
    generator = np.random.default_rng(0)
    for _ in range(50):
        positives = generator.choice([0, 1, 5, 50, 500], size=7)
        positives[0] = 3
        precision = np.where(positives > 0, generator.random((6, 7)), np.nan)
        assert _choose(precision, positives).tolist() == literal_choice(precision, positives)


def test_the_order_of_strengths_and_of_examples_changes_nothing(problem) -> None:
    train, train_labels, val, val_labels = halves(*problem)
    probe = fit_linear_probe(train, train_labels, val, val_labels)
    order = np.random.default_rng(0).permutation(200)
    again = fit_linear_probe(train[order], train_labels[order], val, val_labels, strengths=STRENGTHS[::-1])
    assert (again.strength == probe.strength).all()
    np.testing.assert_allclose(again.scores(val), probe.scores(val), atol=2e-3)


def test_the_deviation_of_a_constant_is_one() -> None:
    mean, deviation = standardise(np.full((7, 2), [0.1, 0.0], dtype=np.float32))
    np.testing.assert_allclose(mean, [0.1, 0.0], rtol=1e-6)
    assert deviation.tolist() == [1.0, 1.0]


@pytest.mark.usefixtures("unchecked")
def test_refusals() -> None:
    ones, labels = np.ones((4, 3)), np.ones((4, 2))
    with pytest.raises(ConfigError, match=r"^strengths must be one or more positive numbers\. Got \(0\.1, 0\)\.$"):
        fit_linear_probe(ones, labels, ones, labels, strengths=(0.1, 0))
    with pytest.raises(LabelShapeError, match=r"^train features and labels .* at least one\. Got 4 and 3\.$"):
        fit_linear_probe(ones, labels[:3], ones, labels)
    with pytest.raises(LabelShapeError, match=r"^validation features and labels .* Got 0 and 0\.$"):
        fit_linear_probe(ones, labels, ones[:0], labels[:0])
    with pytest.raises(EmbeddingError, match=r"Got 3 and 2 features, 2 and 2 labels\.$"):
        fit_linear_probe(ones, labels, ones[:, :2], labels)
    holed = ones.copy()
    holed[1:3, 0] = np.nan
    with pytest.raises(EmbeddingError, match=r"^train features must be finite\. Got 2 rows with NaN or infinity\.$"):
        fit_linear_probe(holed, labels, ones, labels)


@pytest.mark.parametrize("ridge", [0.01, 0.1, 3.0])
def test_the_score_is_that_of_ridge_regression(problem, ridge: float) -> None:
    features, labels = problem
    scaler = StandardScaler().fit(features[:200].astype(np.float64))
    train, val = scaler.transform(features[:200].astype(np.float64)), scaler.transform(features[200:])
    expected = Ridge(alpha=ridge * 200).fit(train, labels[:200]).predict(val)
    found = selection_score(features[:200], labels[:200], features[200:], labels[200:], ridge=ridge)
    assert found == pytest.approx(mean_average_precision(labels[200:], expected), abs=1e-6)


def test_an_unknown_label_is_the_mean_in_the_ridge_fit_and_left_out_of_the_score(problem) -> None:
    features, labels = problem
    holed = np.where(np.random.default_rng(0).random(labels.shape) < 0.3, np.nan, labels)
    filled = np.where(np.isnan(holed), np.nanmean(holed[:200], axis=0), holed)
    standard = StandardScaler().fit(features[:200].astype(np.float64)).transform(features.astype(np.float64))
    scores = Ridge(alpha=20).fit(standard[:200], filled[:200]).predict(standard[200:])
    known = ~np.isnan(holed[200:])
    expected = [
        average_precision_score(holed[200:][here, label], scores[here, label]) for label, here in enumerate(known.T)
    ]
    found = selection_score(features[:200], holed[:200], features[200:], holed[200:])
    assert found == pytest.approx(np.mean(expected), abs=1e-9)


def test_the_noisier_the_embedding_the_lower_the_score(problem) -> None:
    features, labels = problem
    noise = np.random.default_rng(5).normal(size=features.shape) * features.std(0)

    def score(share: float) -> float:
        noisy = features + share * noise
        return selection_score(noisy[:200], labels[:200], noisy[200:], labels[200:])

    scores = [score(share) for share in (0.0, 0.5, 2.0, 20.0)]
    assert scores == sorted(scores, reverse=True)


def test_scale_and_shift_change_no_score(problem) -> None:
    features, labels = problem
    other = features.astype(np.float64) * 1e-3 + 2
    first = selection_score(features[:200], labels[:200], features[200:], labels[200:])
    assert selection_score(other[:200], labels[:200], other[200:], labels[200:]) == pytest.approx(first, abs=1e-4)


def test_a_collapsed_embedding_scores_what_chance_does(problem) -> None:
    _, labels = problem
    flat = np.ones((300, 8), dtype=np.float32)
    chance = labels[200:].mean(axis=0)
    expected = chance[chance > 0].mean()
    assert selection_score(flat[:200], labels[:200], flat[200:], labels[200:]) == pytest.approx(expected)


def test_refuses_a_ridge_that_is_not_positive() -> None:
    ones = np.ones((2, 2))
    with pytest.raises(ConfigError, match=r"^ridge must be a positive number\. Got 0.0\.$"):
        selection_score(ones, ones, ones, ones, ridge=0.0)


def test_public_names_lead_from_features_to_label_sets(problem) -> None:
    train, train_labels, val, val_labels = halves(*problem)
    probe = probes.fit_probe("newton", train, train_labels, val, val_labels)
    scores = probe.probabilities(val)
    assert np.array_equal(scores, probe(torch.from_numpy(val)).sigmoid().detach().numpy())
    calibrated = probes.fit_calibration(val_labels, scores, method="temperature").apply(scores)
    predicted = probes.choose_thresholds("per_label", val_labels, calibrated).predict(calibrated)
    assert (predicted == val_labels).mean() > 0.8


@pytest.mark.parametrize("name", ["newton", "paper"])
def test_arrays_lists_and_tensors_give_the_same_probabilities(problem, name: str) -> None:
    features, labels = problem
    features = (features - features.mean(0)) / features.std(0)
    data = features[:200], labels[:200], features[200:], labels[200:]
    fitted = probes.fit_probe(name, *data).probabilities(data[2])
    tensors = [torch.from_numpy(one) for one in data]
    np.testing.assert_array_equal(probes.fit_probe(name, *tensors).probabilities(tensors[2]), fitted)
    wide = [one.astype(np.float64) for one in data]
    probe = probes.fit_probe(name, *wide)
    found = probe.probabilities(wide[2])
    np.testing.assert_allclose(probe.probabilities(data[2]), found, atol=1e-5)
    np.testing.assert_array_equal(probes.fit_probe(name, *(one.tolist() for one in data)).probabilities(wide[2]), found)
    assert ((found > 0.5) == (fitted > 0.5)).mean() > 0.97


def test_what_is_no_matrix_is_refused() -> None:
    ones = np.ones((2, 2))
    expected = (
        r"^train labels must be a matrix of numbers with one row for each example\. Got shape \[2\] of type float64"
    )
    with pytest.raises(LabelShapeError, match=expected):
        fit_linear_probe(ones, ones[0], ones, ones)
    with pytest.raises(LabelShapeError, match=r"^validation features must be .* Got rows of different lengths\.$"):
        fit_linear_probe(ones, ones, [[1.0], [1.0, 2.0]], ones)
    with pytest.raises(LabelShapeError, match=r"^train features must be .* Got shape \[1, 1\] of type <U1\.$"):
        fit_linear_probe([["a"]], ones, ones, ones)


@pytest.mark.parametrize("name", ["newton", "paper"])
def test_features_of_another_width_are_refused(problem, name: str) -> None:
    features, labels = problem
    data = features[:40], labels[:40], features[40:80], labels[40:80]
    for probe in (probes.fit_probe(name, *data), fit_linear_probe(*data)):
        with pytest.raises(EmbeddingError, match=r"^features must have the width 12 .* Got 3\.$"):
            probe.probabilities(features[:, :3])


def test_probes_have_short_reprs() -> None:
    ones = np.ones((2, 3))
    assert repr(fit_linear_probe(ones, ones, ones, ones)) == "LinearProbe(3 labels, 3 features)"
    heads = AveragedHeads(torch.ones(5, 2, 3), torch.ones(5, 2))
    assert repr(heads) == "AveragedHeads(heads=5, in_features=3, out_features=2)"


def test_of_many_labels_the_weights_are_one_newton_step_and_the_bias_fits(
    problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, train_labels, val, val_labels = halves(*problem)
    train_labels = train_labels.astype(float)
    train_labels[:20, 0] = np.nan
    optimum = fit_linear_probe(train, train_labels, val, val_labels)
    monkeypatch.setattr(linear, "MOST_EXACT", 0)
    monkeypatch.setattr(counting, "PAIRS_AT_ONCE", len(train))  # a label at a time
    probe = fit_linear_probe(train, train_labels, val, val_labels)
    standard = StandardScaler().fit(train)
    rows = standard.transform(train)
    for label, truth in enumerate(train_labels.T):
        known = ~np.isnan(truth)
        frequency = truth[known].mean()
        curvature = frequency * (1 - frequency) * rows.T @ rows / len(rows) + probe.strength[label] * np.eye(
            rows.shape[1]
        )
        slope = rows[known].T @ (truth[known] - frequency) / known.sum()
        np.testing.assert_allclose(
            probe.weight[label] * standard.scale_, np.linalg.solve(curvature, slope), rtol=1e-4, atol=1e-6
        )
        assert probe.probabilities(train[known])[:, label].mean() == pytest.approx(frequency, abs=1e-6)
    scores = [mean_average_precision(val_labels, one.scores(val)) for one in (optimum, probe)]
    assert scores[1] > scores[0] - 0.03


def test_the_ridge_score_is_the_same_in_blocks(problem, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = selection_score(*halves(*problem))
    monkeypatch.setattr(counting, "PAIRS_AT_ONCE", 200)
    assert selection_score(*halves(*problem)) == pytest.approx(whole, abs=1e-12)
