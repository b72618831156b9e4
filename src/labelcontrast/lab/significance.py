"""Significance of differences between losses: permutation tests over test examples, seeds, and both.

A difference has two sources of chance. Other test examples would have given another one, and so would other seeds. A
test over one of them alone takes the other for fixed: what it finds need not be found again. ``compare`` adds both up.

All pairs of losses are compared on each metric, over seeds and test examples together, and the p-values of a metric are
adjusted by Holm's procedure over all pairs: so it does not matter that the best is picked after the fact.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy import stats

from labelcontrast.labels.hierarchy import LabelTree
from labelcontrast.labels.hierarchy_files import read_hierarchy
from labelcontrast.metrics.measures import Outputs, draw_resamples, example_terms, resampled_metrics
from labelcontrast.metrics.registry import METRICS
from labelcontrast.run.evaluation import StreamedHierarchicalMetrics
from labelcontrast.run.folder import HIERARCHY

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


LEVEL = 0.05
RESAMPLES = 200
"""Enough for a standard error to within a twentieth."""


@dataclass(frozen=True)
class Measured:
    """One run: its metrics on the test examples, and the file of what it said of them."""

    metrics: Mapping[str, Any]
    """Numbers by name; None where a metric could not be measured."""
    outputs: Path
    fold: int = 0
    """Which of the folds of a cross-validation the test examples are; runs of one fold have the same."""
    hierarchy: Path | None = None
    """The file of the hierarchy over its labels, where there is one."""

    @classmethod
    def beside(cls, outputs: Path, metrics: Mapping[str, Any], fold: int) -> "Measured":
        """Take a run whose hierarchy lies beside its outputs, where it has one."""
        hierarchy = outputs.parent / HIERARCHY
        return cls(metrics, outputs, fold, hierarchy if hierarchy.exists() else None)

    def has(self, metric: str) -> bool:
        """Say whether a metric can be measured anew on resamples; that its value is None is no obstacle."""
        return metric in self.metrics and (metric in METRICS or self.hierarchy is not None)


Runs = Mapping[str, Mapping[int, Measured]]
"""By loss, by seed."""


Better = Literal["higher", "lower"]
FLAT: Mapping[str, Better] = {name: metric.better for name, metric in METRICS.items()}
"""What can be tested of any predictions; what is measured over a hierarchy can be too."""


def find_best(
    losses: Runs, metrics: Mapping[str, Better] = FLAT, *, permute: bool = True
) -> dict[str, dict[str, dict[str, Any]]]:
    """Compare every loss with the best one, metric by metric.

    Args:
        losses: The finished runs, those of a seed on the same test examples. A loss without a seed in common with
            another is not compared with it.
        metrics: Those that are tested, and which way is better: of ``METRICS``, and of those over a hierarchy. Losses
            that did not measure one of them are left out there.
        permute: Whether to permute as well, which is slower and of which no verdict is made.

    Returns:
        By loss and metric, but for a metric that a run could not measure: ``best`` names the loss with the best mean;
        ``difference`` from it and its ``interval``; ``p`` over seeds and examples, adjusted; ``p_seeds`` and
        ``p_examples`` of the permutation tests, on these examples and with these seeds alone; ``as_good`` says whether
        it is the best or not significantly worse.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in losses}
    asked = frozenset(metrics)
    for metric, better in metrics.items():
        having = {name: runs for name, runs in losses.items() if all(run.has(metric) for run in runs.values())}
        every = [run.metrics[metric] for runs in having.values() for run in runs.values()]
        if not every or None in every:
            continue
        means = {name: np.mean([run.metrics[metric] for run in runs.values()]) for name, runs in having.items()}
        best = (min if better == "lower" else max)(means, key=means.__getitem__)
        pairs = [pair for pair in combinations(having, 2) if _common(losses, *pair)]
        p_values = np.array([_compare(losses, *pair, metric, asked).p for pair in pairs])
        adjusted = dict(zip(map(frozenset, pairs), holm(p_values), strict=True))
        for name in having:
            row: dict[str, Any] = {"best": best, "as_good": name == best}
            if (p := adjusted.get(frozenset((name, best)))) is not None:
                difference = _compare(losses, name, best, metric, asked)
                row |= {"difference": difference.mean, "interval": [difference.low, difference.high], "p": float(p)}
                row |= {"as_good": bool(p >= LEVEL)}
                row |= _permuted(losses, name, best, metric) if permute else {}
            found[name][metric] = row
    return found


def _compare(losses: Runs, one: str, other: str, metric: str, asked: frozenset[str]) -> Difference:
    """Compare two losses over the seeds they have in common and over the test examples."""
    runs = [_common(losses, one, other), _common(losses, other, one)]
    values = [np.array([run.metrics[metric] for run in each]) for each in runs]
    resampled = [np.stack([_resampled(run, asked)[metric] for run in each]) for each in runs]
    return compare(*values, *resampled)


def _permuted(losses: Runs, one: str, other: str, metric: str) -> dict[str, float]:
    """Swap the values of seeds; and, for a metric of sums over examples, what was said of examples."""
    runs = [_common(losses, one, other), _common(losses, other, one)]
    found = {"p_seeds": permute_seeds(*(np.array([run.metrics[metric] for run in each]) for each in runs))}
    if metric in METRICS and METRICS[metric].counted == "predictions":
        ours, theirs = (_by_example(each, metric) for each in runs)
        found["p_examples"] = permute_examples(ours, theirs, _mean_ratio, generator=np.random.default_rng(0))
    return found


def _by_example(runs: Sequence[Measured], metric: str) -> np.ndarray:
    """What every example adds to a metric, the examples of all folds together; in as many runs as every fold has."""
    folds: dict[int, list[np.ndarray]] = {}
    for run in runs:
        outputs = Outputs.load(run.outputs)
        terms = example_terms(METRICS[metric], outputs.labels, outputs.predictions)
        folds.setdefault(run.fold, []).append(np.hstack(terms))
    return np.stack([np.concatenate(each) for each in zip(*folds.values(), strict=False)])


def _common(losses: Runs, one: str, other: str) -> list[Measured]:
    """The runs of a loss with a seed that the other has too, in the order of the seeds."""
    return [losses[one][seed] for seed in sorted(losses[one].keys() & losses[other].keys())]


def _resampled(run: Measured, asked: frozenset[str]) -> dict[str, np.ndarray]:
    """Measure a run on resamples, the same for all runs of a fold; anew only where the file has been written anew."""
    return _measure_resamples(run.outputs, run.outputs.stat().st_mtime_ns, run.fold, run.hierarchy, asked)


@lru_cache(maxsize=512)
def _measure_resamples(
    path: Path, _written: int, fold: int, hierarchy: Path | None, asked: frozenset[str]
) -> dict[str, np.ndarray]:
    """Measure what was kept of a run, over its hierarchy too where it has one and that is asked for."""
    outputs = Outputs.load(path)
    counts = draw_resamples(len(outputs.labels), resamples=RESAMPLES, generator=np.random.default_rng(fold))
    found = resampled_metrics(outputs.labels, outputs.scores, outputs.predictions, counts, asked)
    if hierarchy is None or asked <= METRICS.keys():
        return found
    over = StreamedHierarchicalMetrics(
        LabelTree(read_hierarchy(hierarchy), outputs.labels.shape[1]), resamples=RESAMPLES
    )
    over.update(outputs.labels, outputs.predictions, counts)
    return found | over.resampled()


def _mean_ratio(sums: np.ndarray) -> np.ndarray:
    """Mean of the ratios of the first half to the second; 0 where the second is 0."""
    above, below = np.split(sums, 2, axis=-1)
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=below > 0).mean(axis=-1))
