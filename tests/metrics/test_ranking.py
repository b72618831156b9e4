"""Rankings against loops with every order of equals; average precision under weights and from a histogram."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.metrics.counting import TrainingLabels
from labelcontrast.metrics.ranking import (
    LabelRanking,
    ScoreHistogram,
    average_precisions,
    inverse_propensities,
    weighted_average_precision,
)


def literal_gain(true: list[bool], scores: list[float], weights: list[float], k: int) -> float:
    """Weighted hits at the first k places, the mean over every order that respects the scores."""
    orders = [
        order for order in permutations(range(len(true))) if all(scores[a] >= scores[b] for a, b in pairwise(order))
    ]
    return sum(sum(weights[j] * true[j] for j in order[:k]) for order in orders) / len(orders)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 5), st.sampled_from([0.0, 0.4]))
def test_the_first_places_equal_their_definition(seed: int, examples: int, labels: int, unknown: float) -> None:
    generator = np.random.default_rng(seed)
    known = generator.random((examples, labels)) >= unknown
    known[:, 0] = True
    true = known & (generator.random(known.shape) < 0.4)
    scores = generator.integers(0, 3, known.shape) / 3
    weights = generator.uniform(1, 9, labels)
    ranking = LabelRanking(np.where(known, true, np.nan), scores, weights)
    for k in (1, 3, 5):
        for row, here in enumerate(known):
            own, ranked, weight = true[row, here].tolist(), scores[row, here].tolist(), weights[here].tolist()
            precision = literal_gain(own, ranked, [1.0] * len(own), k) / k
            best = sum(sorted((w for w, t in zip(weight, own, strict=True) if t), reverse=True)[:k])
            assert ranking.precision(k)[row] == pytest.approx(precision)
            assert ranking.weighted_hits(k)[row] == pytest.approx(literal_gain(own, ranked, weight, k))
            assert ranking.most_weighted_hits(k)[row] == pytest.approx(best)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.sampled_from([2, 5, 1000]), st.sampled_from([0.0, 0.3]))
def test_weights_of_an_average_precision_are_repetitions(seed: int, examples: int, levels: int, unknown: float) -> None:
    generator = np.random.default_rng(seed)
    labels = (generator.random((examples, 2)) < 0.4).astype(float)
    labels[generator.random(labels.shape) < unknown] = np.nan
    scores = generator.integers(0, levels, labels.shape) / levels
    weights = generator.integers(0, 4, (3, examples))
    found = weighted_average_precision(labels, scores, weights)
    for place, counts in enumerate(weights):
        rows = np.repeat(np.arange(examples), counts)
        expected = average_precisions(labels[rows].reshape(-1, 1), scores[rows].reshape(-1, 1)).item()
        assert found[place] == pytest.approx(expected, nan_ok=True)


def test_propensities_are_those_of_the_paper() -> None:
    found = inverse_propensities(TrainingLabels(np.array([0, 3, 70]), 500))
    for count, weight in zip((0, 3, 70), found, strict=True):
        constant = (np.log(500) - 1) * 2.5**0.55
        assert 1 / weight == pytest.approx(1 / (1 + constant * np.exp(-0.55 * np.log(count + 1.5))))
    assert (np.diff(found) < 0).all()
    assert inverse_propensities(TrainingLabels(np.array([1]), 2)).tolist() == [1.0]


def filled(true: np.ndarray, scores: np.ndarray, *, bins: int = 2048) -> ScoreHistogram:
    histogram = ScoreHistogram(true.shape[1], bins)
    for at in range(0, len(true), 100):
        rows = slice(at, at + 100)
        histogram.update(true[rows], scores[rows])
    return histogram


def test_a_histogram_is_exact_where_no_bin_holds_two_scores() -> None:
    generator = np.random.default_rng(0)
    true = generator.random((400, 5)) < [0.5, 0.2, 0.05, 0.01, 0.0]
    scores = generator.choice([0.0, 1e-6, 0.01, 0.3, 0.5, 0.99, 1.0], true.shape).astype(np.float32)
    histogram = filled(true, scores)
    assert histogram.average_precisions() == pytest.approx(average_precisions(true, scores), nan_ok=True, abs=1e-12)
    micro = average_precisions(true.reshape(-1, 1), scores.reshape(-1, 1)).item()
    assert histogram.micro_average_precision() == pytest.approx(micro, abs=1e-12)


def test_a_histogram_is_near_for_scores_as_models_give_them() -> None:
    generator = np.random.default_rng(1)
    true = generator.random((5000, 20)) < 0.3 / np.arange(1, 21)
    scores = 1 / (1 + np.exp(-(2 * generator.normal(size=true.shape) + 4 * true - 5)))
    lost = average_precisions(true, scores) - filled(true, scores).average_precisions()
    assert np.abs(lost).max() < 3e-3
    finer = average_precisions(true, scores) - filled(true, scores, bins=16_384).average_precisions()
    assert np.abs(finer).max() < 1e-3
