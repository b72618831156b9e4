"""Checkpoint scores against scikit-learn's ridge regression, and whether they order embeddings as they should."""

import math

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler

from labelcontrast.errors import ConfigError
from labelcontrast.metrics.ranking import mean_average_precision
from labelcontrast.probes.selection import ranking_score, selection_score


@pytest.mark.parametrize("ridge", [0.01, 0.1, 3.0])
def test_equal_to_ridge_regression(problem, ridge: float) -> None:
    features, labels = problem
    scaler = StandardScaler().fit(features[:200].astype(np.float64))
    train, val = scaler.transform(features[:200].astype(np.float64)), scaler.transform(features[200:])
    expected = Ridge(alpha=ridge * 200).fit(train, labels[:200]).predict(val)
    found = selection_score(features[:200], labels[:200], features[200:], labels[200:], ridge=ridge)
    assert found == pytest.approx(mean_average_precision(labels[200:], expected), abs=1e-6)


def test_an_unknown_label_is_the_mean_in_the_fit_and_left_out_of_the_judgement(problem) -> None:
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


def test_scale_and_shift_of_the_embedding_change_nothing(problem) -> None:
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


def test_the_score_of_logits_is_their_macro_average_precision(problem) -> None:
    _, labels = problem
    scores = np.random.default_rng(1).normal(size=labels.shape)
    assert ranking_score(labels, scores) == mean_average_precision(labels, scores)
    assert math.isnan(ranking_score(np.zeros_like(labels), scores))


def test_refuses_a_penalty_that_is_not_positive() -> None:
    ones = np.ones((2, 2))
    with pytest.raises(ConfigError, match=r"^ridge must be a positive number\. Got 0.0\.$"):
        selection_score(ones, ones, ones, ones, ridge=0.0)
