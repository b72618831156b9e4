"""The tests on simulated data with a known answer: how often they are wrong, and that they see what is there."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from labelcontrast.studies.statistics import compare, holm, permute_examples, permute_seeds

SEEDS, EXAMPLES, TRIALS = 3, 150, 400


def simulate(
    generator: np.random.Generator, *, by_seed: float, by_example: float, gain: float = 0.0, seeds: int = SEEDS
) -> tuple[np.ndarray, np.ndarray]:
    """What each example counts under two losses: an effect of loss and seed, of loss and example, and noise."""
    both = []
    for mean in (gain, 0.0):
        seed, example = generator.normal(size=(seeds, 1)), generator.normal(size=(1, EXAMPLES))
        both.append(mean + by_seed * seed + by_example * example + 0.2 * generator.normal(size=(seeds, EXAMPLES)))
    return both[0], both[1]


def compared(one: np.ndarray, other: np.ndarray, generator: np.random.Generator) -> float:
    """The p-value of ``compare`` for the mean over examples."""
    draws = generator.multinomial(EXAMPLES, np.full(EXAMPLES, 1 / EXAMPLES), size=100) / EXAMPLES
    return compare(one.mean(1), other.mean(1), one @ draws.T, other @ draws.T).p


def rate(test: Callable[..., float], **world: float) -> float:
    """How often a test calls a difference significant."""
    generator = np.random.default_rng(11)
    found = [test(*simulate(generator, **world), generator) < 0.05 for _ in range(TRIALS)]
    return float(np.mean(found))


def over_examples(one: np.ndarray, other: np.ndarray, generator: np.random.Generator) -> float:
    def mean(sums: np.ndarray) -> np.ndarray:
        return sums[..., 0] / EXAMPLES

    return permute_examples(one[..., None], other[..., None], mean, generator=generator, permutations=200)


# Of 400 trials at a rate of 5 percent, 99.9 percent of the time fewer than 8.8 percent are false positives.
HIGHEST = stats.binom.ppf(0.999, TRIALS, 0.05) / TRIALS


@pytest.mark.parametrize(("by_seed", "by_example"), [(0.0, 1.0), (0.1, 0.0), (0.1, 1.0), (0.05, 1.0)])
def test_both_sources_together_are_wrong_as_seldom_as_they_say(by_seed: float, by_example: float) -> None:
    assert 0.005 < rate(compared, by_seed=by_seed, by_example=by_example) <= HIGHEST


def cross_validated(generator: np.random.Generator, folds: int, gain: float = 0.0) -> float:
    """The p-value of the accuracies of two nearest-mean rules, each of which sees features of its own."""
    truth = generator.integers(0, 2, EXAMPLES)
    features = generator.normal(size=(2, EXAMPLES, 4)) + 0.4 * truth[:, None]
    features[0] += gain * truth[:, None]
    values, resampled = np.empty((2, folds)), np.empty((2, folds, 100))
    for fold in range(folds):
        tested = np.arange(EXAMPLES) % folds == fold
        size = tested.sum()
        draws = generator.multinomial(size, np.full(size, 1 / size), size=100) / size
        for which, rows in enumerate(features):
            zero, one = (rows[~tested & (truth == side)].mean(0) for side in (0, 1))
            right = ((rows[tested] - (zero + one) / 2) @ (one - zero) > 0) == truth[tested]
            values[which, fold], resampled[which, fold] = right.mean(), draws @ right
    return compare(*values, *resampled).p


@pytest.mark.parametrize("folds", [3, 5, 10])
def test_folds_are_wrong_no_more_often_than_they_say_though_they_share_what_they_train_on(folds: int) -> None:
    generator = np.random.default_rng(7)
    assert np.mean([cross_validated(generator, folds) < 0.05 for _ in range(TRIALS)]) <= HIGHEST
    assert np.mean([cross_validated(generator, folds, gain=0.8) < 0.05 for _ in range(50)]) > 0.8


def test_examples_alone_are_right_about_these_seeds_only() -> None:
    assert 0.02 < rate(over_examples, by_seed=0.0, by_example=1.0) <= HIGHEST
    assert rate(over_examples, by_seed=0.1, by_example=0.5) > 0.2


def test_what_is_there_is_seen() -> None:
    assert rate(compared, by_seed=0.02, by_example=0.5, gain=0.3) > 0.9
    assert rate(over_examples, by_seed=0.0, by_example=0.5, gain=0.3) > 0.9


def test_the_interval_holds_the_difference_that_is_there() -> None:
    generator, held = np.random.default_rng(3), []
    for _ in range(TRIALS):
        one, other = simulate(generator, by_seed=0.05, by_example=1.0, gain=0.3, seeds=5)
        draws = generator.multinomial(EXAMPLES, np.full(EXAMPLES, 1 / EXAMPLES), size=100) / EXAMPLES
        found = compare(one.mean(1), other.mean(1), one @ draws.T, other @ draws.T)
        assert found.low < found.mean < found.high
        held.append(found.low < 0.3 < found.high)
    assert 0.92 < np.mean(held) < 0.99


def test_one_seed_leaves_examples_and_no_example_leaves_seeds() -> None:
    generator = np.random.default_rng(0)
    draws = generator.normal(scale=0.1, size=(2, 1, 5000))
    alone = compare(np.array([0.5]), np.array([0.3]), draws[0], draws[1])
    assert alone.p == pytest.approx(2 * stats.norm.sf(0.2 / np.hypot(0.1, 0.1)), abs=0.01)
    flat = np.zeros((4, 50))
    one, other = generator.normal(size=(2, 4))
    assert compare(one, other, flat, flat).p == pytest.approx(stats.ttest_rel(one, other).pvalue)
    assert compare(one, one, flat, flat).p == 1
    assert compare(one + 1, one, flat, flat).p == pytest.approx(0, abs=1e-9)


def test_swapped_examples_by_counting_all_swaps() -> None:
    generator = np.random.default_rng(1)
    one, other = generator.random((2, 8, 2)), generator.random((2, 8, 2))

    def ratio(sums: np.ndarray) -> np.ndarray:
        return sums[..., 0] / (sums[..., 0] + sums[..., 1])

    found = abs(np.mean([ratio(one[s].sum(0)) - ratio(other[s].sum(0)) for s in range(2)]))
    as_large = 0
    for swaps in product([False, True], repeat=8):
        swap = np.array(swaps)[:, None]
        differences = [
            ratio(np.where(swap, other[s], one[s]).sum(0)) - ratio(np.where(swap, one[s], other[s]).sum(0))
            for s in range(2)
        ]
        as_large += abs(np.mean(differences)) >= found - 1e-12
    p = permute_examples(one, other, ratio, generator=generator, permutations=20_000)
    assert p == pytest.approx(as_large / 256, abs=0.015)


def test_swapped_seeds_by_counting_all_swaps() -> None:
    one, other = np.array([0.3, 0.5, 0.4, 0.9, 0.6]), np.array([0.2, 0.55, 0.1, 0.4, 0.5])
    found = abs((one - other).mean())
    as_large = [abs((np.array(signs) * (one - other)).mean()) >= found - 1e-12 for signs in product([1, -1], repeat=5)]
    assert permute_seeds(one, other) == np.mean(as_large)
    assert permute_seeds(one[:1], other[:1]) == 1
    assert permute_seeds(one, one) == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_by_its_definition(p_values: list[float]) -> None:
    found = holm(np.array(p_values))
    ranked = sorted(range(len(p_values)), key=p_values.__getitem__)
    for place, test in enumerate(ranked):
        steps = [min(1.0, (len(p_values) - j) * p_values[ranked[j]]) for j in range(place + 1)]
        assert found[test] == pytest.approx(max(steps))


def test_holm_keeps_any_false_positive_among_many_tests_rare() -> None:
    p_values = np.random.default_rng(5).random((2000, 6))
    wrong = np.mean([(holm(row) < 0.05).any() for row in p_values])
    assert 0.03 < wrong < 0.07
    assert (p_values < 0.05).any(axis=1).mean() > 0.2
