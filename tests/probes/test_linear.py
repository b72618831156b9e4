"""Averaged heads against the mean of sigmoids, and where that mean is 0 or 1 to the last digit.

The probe against scikit-learn's pipeline, at the edges of the data, and what it refuses.
"""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from labelcontrast.errors import ConfigError, EmbeddingError, LabelShapeError
from labelcontrast.probes.linear import STRENGTHS, AveragedHeads, _choose, fit_linear_probe, standardise


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
