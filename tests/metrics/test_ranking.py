"""Rankings against loops over examples and places, with every order of equals; scikit-learn is in test_metrics."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.metrics.counting import TrainingLabels
from labelcontrast.metrics.ranking import Rankings, inverse_propensities


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
    true = known & (generator.random(known.shape) < 0.4)
    scores = generator.integers(0, 3, known.shape) / 3
    weights = generator.uniform(1, 9, labels)
    rankings = Rankings(weights)
    rankings.update(true, known, scores)
    if not known.any():
        assert rankings.examples == 0
        return
    found = rankings.measures()
    rows = [
        (true[i, one].tolist(), scores[i, one].tolist(), weights[one].tolist())
        for i, one in enumerate(known)
        if one.any()
    ]
    for k in (1, 3, 5):
        precision = [literal_gain(own, ranked, [1.0] * len(own), k) / k for own, ranked, _ in rows]
        assert found[f"precision@{k}"] == pytest.approx(np.mean(precision))
        gained = sum(literal_gain(own, ranked, weight, k) for own, ranked, weight in rows)
        best = sum(
            sum(sorted((w for w, t in zip(weight, own, strict=True) if t), reverse=True)[:k]) for own, _, weight in rows
        )
        assert found[f"psp@{k}"] == pytest.approx(gained / best if best else 0.0)


def test_batches_change_nothing() -> None:
    generator = np.random.default_rng(0)
    true, known = generator.random((2, 40, 9)) < 0.5
    scores = generator.integers(0, 5, true.shape) / 5
    whole, parts = Rankings(np.ones(9)), Rankings(np.ones(9))
    whole.update(true & known, known, scores)
    for at in range(0, 40, 7):
        rows = slice(at, at + 7)
        parts.update(true[rows] & known[rows], known[rows], scores[rows])
    assert parts.measures() == pytest.approx(whole.measures(), abs=1e-12)


def test_propensities_are_those_of_the_paper() -> None:
    found = inverse_propensities(TrainingLabels(np.array([0, 3, 70]), 500))
    for count, weight in zip((0, 3, 70), found, strict=True):
        constant = (np.log(500) - 1) * 2.5**0.55
        assert 1 / weight == pytest.approx(1 / (1 + constant * np.exp(-0.55 * np.log(count + 1.5))))
    assert (np.diff(found) < 0).all()
    assert inverse_propensities(TrainingLabels(np.array([1]), 2)).tolist() == [1.0]
