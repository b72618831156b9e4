"""Whether a difference between two losses is more than chance: over test examples, over seeds, and over both.

A difference has two sources of chance. Other test examples would have given another one, and so would other seeds. A
test over one of them alone takes the other for fixed: what it finds need not be found again. ``compare`` adds both up.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

Measure = Callable[[Float[np.ndarray, "*more parts"]], Float[np.ndarray, "*more"]]
"""A measure as a function of what examples add up to, such as hits and claims."""


@dataclass(frozen=True)
class Difference:
    """The mean difference of two losses, its 95 percent interval, and how likely one as large is by chance alone."""

    mean: float
    low: float
    high: float
    p: float


def compare(
    one: Float[np.ndarray, " seeds"],
    other: Float[np.ndarray, " seeds"],
    one_resampled: Float[np.ndarray, "seeds resamples"],
    other_resampled: Float[np.ndarray, "seeds resamples"],
) -> Difference:
    r"""Test the mean difference against the spread over seeds and over test examples together.

    .. math:: t = \frac{\bar d}{\sqrt{s^2 / S + v}}, \qquad
              \nu = \frac{(s^2 / S + v)^2}{(s^2 / S)^2 / (S - 1) + v^2 / (R - 1)}

    with :math:`s^2` the variance of the paired differences over S seeds, and v that of their mean over R resamples of
    the test examples, the same for all: a paired bootstrap. What seeds and examples do together is counted in both, so
    the test is a little cautious. From one seed the first part is unknown and is left out.

    Args:
        one: What a loss measured with each seed.
        other: What another did with the same seeds.
        one_resampled: The same on resamples of the test examples; NaN is left out.
        other_resampled: That of the other, on the same resamples.

    Example:
        >>> draws = np.random.default_rng(0).normal(scale=0.01, size=(3, 100))
        >>> round(compare(np.array([0.6, 0.61, 0.59]), np.array([0.5, 0.51, 0.49]), 0.6 + draws, 0.5 - draws).p, 3)
        0.0

    Reference: Satterthwaite, An Approximate Distribution of Estimates of Variance Components, 1946.
    """
    differences, resampled = one - other, np.mean(one_resampled - other_resampled, axis=0)
    resampled = resampled[np.isfinite(resampled)]
    seeds, draws = len(differences), len(resampled)
    by_seed = differences.var(ddof=1) / seeds if seeds > 1 else 0.0
    by_example = resampled.var(ddof=1) if draws > 1 else 0.0
    mean, variance = float(differences.mean()), by_seed + by_example
    if variance == 0:
        return Difference(mean, mean, mean, float(mean == 0))
    freedom = variance**2 / (by_seed**2 / max(seeds - 1, 1) + by_example**2 / max(draws - 1, 1))
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(variance)
    p = 2 * stats.t.sf(abs(mean) / np.sqrt(variance), freedom)
    return Difference(mean, float(mean - reach), float(mean + reach), float(p))


def permute_examples(
    one: Float[np.ndarray, "seeds examples parts"],
    other: Float[np.ndarray, "seeds examples parts"],
    measure: Measure,
    *,
    generator: np.random.Generator,
    permutations: int = 2000,
) -> float:
    r"""Test over test examples: were the two alike, the outputs for an example could be swapped between them.

    Args:
        one: What each example adds to the measure, under a loss and each of its seeds.
        other: The same under another; the outputs of all seeds are swapped together.
        measure: From sums over examples to a number.
        generator: What decides which examples are swapped.
        permutations: How often that is done.

    Returns:
        The share of swaps with a mean difference over seeds as large as the one found, itself counted among them.

    Example:
        >>> right = np.ones((1, 20, 1))
        >>> p = permute_examples(right, 0 * right, lambda sums: sums[..., 0], generator=np.random.default_rng(0))
        >>> p < 0.001
        True

    Reference: Noreen, Computer-Intensive Methods for Testing Hypotheses, 1989.
    """
    swapped = generator.integers(0, 2, size=(permutations, one.shape[1])).astype(np.float64)
    moved = swapped @ (other - one)
    ones, others = one.sum(axis=1, keepdims=True), other.sum(axis=1, keepdims=True)
    found = (measure(ones) - measure(others)).mean()
    by_chance = (measure(ones + moved) - measure(others - moved)).mean(axis=0)
    return float((1 + np.count_nonzero(np.abs(by_chance) >= abs(found) - 1e-12)) / (1 + permutations))


def permute_seeds(one: Float[np.ndarray, " seeds"], other: Float[np.ndarray, " seeds"]) -> float:
    """Test over seeds: were the two losses alike, their values could be swapped under each seed.

    Returns:
        The share of all swaps with a mean difference as large as the one found; with S seeds never below 2 / 2^S, so
        three seeds cannot show anything this way, and six can.

    Example:
        >>> permute_seeds(np.array([0.6, 0.7, 0.8]), np.array([0.5, 0.5, 0.5]))
        0.25
    """
    if len(one) < 2:
        return 1.0

    def mean_difference(ones: np.ndarray, others: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(np.mean(ones - others, axis=axis))

    # All swaps where they are few enough, else so many of them, always the same.
    test = stats.permutation_test(
        (one, other), mean_difference, permutation_type="samples", vectorized=True, n_resamples=10_000, rng=0
    )
    return float(test.pvalue)


def holm(p_values: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    r"""Adjust p-values so that among all tests a false positive is as rare as it would be in one.

    .. math:: \tilde p_{(i)} = \max_{j \le i} \min(1, (m - j + 1) \, p_{(j)})

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03]))
        array([0.03, 0.06, 0.06])

    Reference: Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty_like(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1)
    return adjusted
