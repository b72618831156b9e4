"""Thresholds per label on simulated long tails: rare labels are not ruined, frequent ones get what is theirs."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from labelcontrast.evaluation.thresholds.cuts import best_cuts
from labelcontrast.evaluation.thresholds.per_label import per_label_thresholds
from labelcontrast.evaluation.thresholds.rules import global_threshold


def long_tail(seed: int, examples: int, labels: int, *, temper: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels as frequent as 0.4 over their rank, and probabilities; tempered, each label is wrong in a way of its own.

    Each label shifts a normal variable by its own strength; the probability is that of Bayes, its logit scaled.
    """
    world = np.random.default_rng(99)
    chance, strength = 0.4 / np.arange(1, labels + 1), world.uniform(1, 4, labels)
    bias = world.normal(0, 1.0, labels) * (temper != 1)
    generator = np.random.default_rng(seed)
    true = generator.random((examples, labels)) < chance
    seen = generator.normal(size=true.shape) + strength * true
    logit = strength * seen - strength**2 / 2 + np.log(chance / (1 - chance))
    return true.astype(float), 1 / (1 + np.exp(-(temper * logit + bias)))


def both_f1(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return np.array([f1_score(true, predicted, average=how, zero_division=0) for how in ("micro", "macro")])


def mean_over_seeds(examples: int, labels: int, *, temper: float) -> dict[str, np.ndarray]:
    """Micro- and macro-F1 on 4,000 new examples by rule, the mean of six validation sets."""
    test, scores = long_tail(1000, 4000, labels, temper=temper)
    found: dict[str, list[np.ndarray]] = {"global": [], "naive": [], "per label": []}
    for seed in range(6):
        true, probabilities = long_tail(seed, examples, labels, temper=temper)
        naive = np.where(true.any(axis=0), best_cuts(true, probabilities), 0.5)
        found["global"].append(both_f1(test, global_threshold(true, probabilities).predict(scores)))
        found["naive"].append(both_f1(test, scores > naive))
        found["per label"].append(both_f1(test, per_label_thresholds(true, probabilities).predict(scores)))
    return {name: np.mean(values, axis=0) for name, values in found.items()}


def test_a_long_tail_is_not_ruined() -> None:
    found = mean_over_seeds(777, 90, temper=1.0)
    assert found["naive"][0] < found["global"][0] - 0.05  # what naive tuning costs, as on reuters21578
    assert found["per label"][0] > found["global"][0] - 0.02
    assert found["per label"][1] > found["global"][1]
    assert found["per label"][1] > found["naive"][1]


def test_where_labels_differ_and_are_frequent_each_gets_its_own() -> None:
    found = mean_over_seeds(900, 11, temper=0.6)
    assert found["per label"][1] > found["global"][1] + 0.01
    assert found["per label"][0] > found["naive"][0] - 0.005


def test_a_label_without_a_positive_and_an_infinite_strength_give_the_global_one() -> None:
    true, probabilities = long_tail(0, 300, 8)
    true[:, 3] = 0
    start = global_threshold(true, probabilities).values[0]
    free = per_label_thresholds(true, probabilities, strengths=[0.0])
    assert free.how == "per_label"
    assert free.values[3] == start
    assert (np.delete(free.values, 3) != start).any()
    assert (per_label_thresholds(true, probabilities, strengths=[np.inf]).values == start).all()
    assert (per_label_thresholds(0 * true, probabilities).values == 0.5).all()


def test_the_rarer_the_label_the_nearer_to_the_global_threshold() -> None:
    # The same scores twice; of the second label nine positives in ten are not known, nor as many negatives.
    generator = np.random.default_rng(0)
    one = (np.arange(1000) < 200).astype(float)
    scores = np.clip(generator.normal(0.2 + 0.2 * one, 0.05), 0, 1)
    other = np.where(np.arange(1000) % 10 == 0, one, np.nan)
    far = (generator.random(1000) < 0.5).astype(float)
    true = np.stack([one, other, far], axis=1)
    probabilities = np.stack([scores, scores, np.clip(0.55 + 0.3 * far + generator.normal(0, 0.1, 1000), 0, 1)], axis=1)
    start = global_threshold(true, probabilities).values[0]
    frequent, rare, _ = per_label_thresholds(true, probabilities, strengths=[30.0]).values
    assert abs(frequent - start) > 1.2 * abs(rare - start) > 0
    weights = [200 / 230, 20 / 50]
    assert (rare - start) / (frequent - start) == pytest.approx(weights[1] / weights[0], abs=0.15)


def test_what_is_not_known_has_no_say() -> None:
    true, probabilities = long_tail(0, 200, 5)
    extra = np.full((50, 5), np.nan)
    found = per_label_thresholds(
        np.vstack([true, extra]), np.vstack([probabilities, probabilities[:50]]), strengths=[0.0]
    )
    alone = per_label_thresholds(true, probabilities, strengths=[0.0])
    # The folds differ, the choice hardly.
    np.testing.assert_allclose(found.values, alone.values, atol=0.1)
