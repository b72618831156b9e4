"""Significance of differences between losses, over seeds and test examples.

A difference varies with the test examples and with the seeds. A test over one of them alone treats the other as fixed,
so its result need not replicate with other seeds or examples. ``paired_test`` adds both variances.

All pairs of losses are tested on each metric, and the p-values of a metric are adjusted by Holm's procedure over all
pairs; so selecting the best loss afterwards causes no bias.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float
from scipy import stats

from labelcontrast.labels.hierarchy import LabelTree
from labelcontrast.labels.hierarchy_files import read_hierarchy
from labelcontrast.metrics.measures import Outputs, draw_resamples, example_terms, resampled_metrics
from labelcontrast.metrics.registry import METRICS
from labelcontrast.progress import tracked
from labelcontrast.run.evaluation import StreamedHierarchicalMetrics
from labelcontrast.run.folder import HIERARCHY

LEVEL = 0.05
RESAMPLES = 200
"""Enough for a relative standard error of one twentieth."""

Better: TypeAlias = Literal["higher", "lower"]
Statistic: TypeAlias = Callable[[Float[np.ndarray, "*more terms"]], Float[np.ndarray, "*more"]]
"""A metric as a function of sums over examples, such as of true and predicted positives."""
DIRECTIONS: Mapping[str, Better] = {name: metric.better for name, metric in METRICS.items()}
"""The metrics that are tested by default, and which direction is better."""


@dataclass(frozen=True)
class Difference:
    """The mean difference of two losses, its 95 percent confidence interval, and its p-value."""

    mean: float
    low: float
    high: float
    p: float


def paired_test(
    one: Float[np.ndarray, " seeds"],
    other: Float[np.ndarray, " seeds"],
    one_resampled: Float[np.ndarray, "seeds resamples"],
    other_resampled: Float[np.ndarray, "seeds resamples"],
) -> Difference:
    r"""Test the mean difference against the spread over seeds and over test examples together.

    .. math:: t = \frac{\bar d}{\sqrt{s^2 / S + v}}, \qquad
              \nu = \frac{(s^2 / S + v)^2}{(s^2 / S)^2 / (S - 1) + v^2 / (R - 1)}

    with :math:`s^2` the variance of the paired differences over S seeds, and v that of their mean over R resamples of
    the test examples, the same for all: a paired bootstrap. The interaction of seeds and examples counts in both, so
    the test is slightly conservative. With one seed the first term is unknown and is left out.

    Args:
        one: Metric of a loss with each seed.
        other: Metric of another loss with the same seeds.
        one_resampled: Metric of the first loss on resamples of the test examples; NaN is left out.
        other_resampled: Metric of the other loss on the same resamples.

    Example:
        >>> draws = np.random.default_rng(0).normal(scale=0.01, size=(3, 100))
        >>> one, other = np.array([0.6, 0.61, 0.59]), np.array([0.5, 0.51, 0.49])
        >>> round(paired_test(one, other, 0.6 + draws, 0.5 - draws).p, 3)
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
    one: Float[np.ndarray, "seeds examples terms"],
    other: Float[np.ndarray, "seeds examples terms"],
    statistic: Statistic,
    *,
    generator: np.random.Generator,
    permutations: int = 2000,
) -> float:
    """Test over test examples by swapping the predictions for random examples between two losses.

    Args:
        one: Terms that each example adds to the metric, under a loss and each of its seeds.
        other: The same under another loss; the predictions of all seeds are swapped together.
        statistic: The metric as a function of the sums over examples.
        generator: Chooses the swapped examples.
        permutations: Number of random permutations.

    Returns:
        The p-value: the share of permutations, with the original, whose mean difference over seeds is as large.

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
    found = (statistic(ones) - statistic(others)).mean()
    by_chance = (statistic(ones + moved) - statistic(others - moved)).mean(axis=0)
    return float((1 + np.count_nonzero(np.abs(by_chance) >= abs(found) - 1e-12)) / (1 + permutations))


def permute_seeds(one: Float[np.ndarray, " seeds"], other: Float[np.ndarray, " seeds"]) -> float:
    """Test over seeds by swapping the values of two losses under each seed.

    Returns:
        The p-value: the share of permutations whose mean difference is as large. With S seeds it is at least 2 / 2^S,
        so with three seeds nothing is significant, and with six it can be.

    Example:
        >>> permute_seeds(np.array([0.6, 0.7, 0.8]), np.array([0.5, 0.5, 0.5]))
        0.25
    """
    if len(one) < 2:
        return 1.0

    def mean_difference(ones: np.ndarray, others: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(np.mean(ones - others, axis=axis))

    # All permutations if there are at most 10,000, else 10,000 random ones with a fixed seed.
    test = stats.permutation_test(
        (one, other), mean_difference, permutation_type="samples", vectorized=True, n_resamples=10_000, rng=0
    )
    return float(test.pvalue)


def holm(p_values: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    r"""Adjust p-values so that the probability of any false positive among all tests is that of a single test.

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


@dataclass(frozen=True)
class EvaluatedRun:
    """The metrics of a run on the test examples, and the file of its predictions."""

    metrics: Mapping[str, Any]
    """Values keyed by metric; None if undefined."""
    outputs: Path
    fold: int = 0
    """The fold of a cross-validation; runs of one fold have the same test examples."""
    hierarchy: Path | None = None
    """The file of the hierarchy over its labels, if there is one."""

    @classmethod
    def beside(cls, outputs: Path, metrics: Mapping[str, Any], fold: int) -> "EvaluatedRun":
        """Return a run with the hierarchy file beside its outputs, if there is one."""
        hierarchy = outputs.parent / HIERARCHY
        return cls(metrics, outputs, fold, hierarchy if hierarchy.exists() else None)

    def can_resample(self, metric: str) -> bool:
        """Return True if a metric can be computed on resamples, even if its value is None."""
        return metric in self.metrics and (metric in METRICS or self.hierarchy is not None)


Runs: TypeAlias = Mapping[str, Mapping[int, EvaluatedRun]]
"""Runs keyed by loss, then by seed."""


def compare_with_best(
    losses: Runs, metrics: Mapping[str, Better] = DIRECTIONS, *, permute: bool = True
) -> dict[str, dict[str, dict[str, Any]]]:
    """Compare every loss with the best one, metric by metric.

    Args:
        losses: The finished runs; runs with the same seed have the same test examples. Losses without a common seed are
            not compared.
        metrics: The metrics to test, of ``METRICS`` or over a hierarchy, with the direction that is better. A loss
            without a metric is left out there.
        permute: Run the permutation tests, too. They are slower and do not decide ``as_good``.

    Returns:
        By loss and metric, without metrics that are undefined for a run: ``best``, the loss with the best mean;
        ``difference`` from it and its ``interval``; ``p`` over seeds and examples, adjusted; ``p_seeds`` and
        ``p_examples`` of the permutation tests, for these examples and these seeds alone; ``as_good``, whether the
        loss is the best or not significantly worse.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in losses}
    asked = frozenset(metrics)
    for metric, better in tracked(metrics.items(), "significance"):
        having = {name: runs for name, runs in losses.items() if all(run.can_resample(metric) for run in runs.values())}
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
    """Test two losses over their common seeds and the test examples."""
    runs = [_common(losses, one, other), _common(losses, other, one)]
    values = [np.array([run.metrics[metric] for run in each]) for each in runs]
    resampled = [np.stack([_resampled(run, asked)[metric] for run in each]) for each in runs]
    return paired_test(*values, *resampled)


def _permuted(losses: Runs, one: str, other: str, metric: str) -> dict[str, float]:
    """Run the permutation test over seeds and, for a metric of sums over examples, the one over examples."""
    runs = [_common(losses, one, other), _common(losses, other, one)]
    found = {"p_seeds": permute_seeds(*(np.array([run.metrics[metric] for run in each]) for each in runs))}
    if metric in METRICS and METRICS[metric].counted == "predictions":
        ours, theirs = (_by_example(each, metric) for each in runs)
        found["p_examples"] = permute_examples(ours, theirs, _mean_ratio, generator=np.random.default_rng(0))
    return found


def _by_example(runs: Sequence[EvaluatedRun], metric: str) -> np.ndarray:
    """Return the terms of every example, all folds together; as many runs as the fold with the fewest has."""
    folds: dict[int, list[np.ndarray]] = {}
    for run in runs:
        outputs = Outputs.load(run.outputs)
        terms = example_terms(METRICS[metric], outputs.labels[:], outputs.predictions[:])
        folds.setdefault(run.fold, []).append(np.hstack(terms))
    return np.stack([np.concatenate(each) for each in zip(*folds.values(), strict=False)])


def _common(losses: Runs, one: str, other: str) -> list[EvaluatedRun]:
    """Return the runs of a loss whose seed the other has, too, in the order of the seeds."""
    return [losses[one][seed] for seed in sorted(losses[one].keys() & losses[other].keys())]


def _resampled(run: EvaluatedRun, asked: frozenset[str]) -> dict[str, np.ndarray]:
    """Return the metrics on resamples, the same for all runs of a fold; cached until the file is written again."""
    return _measure_resamples(run.outputs, run.outputs.stat().st_mtime_ns, run.fold, run.hierarchy, asked)


@lru_cache(maxsize=512)
def _measure_resamples(
    path: Path, _written: int, fold: int, hierarchy: Path | None, asked: frozenset[str]
) -> dict[str, np.ndarray]:
    """Compute metrics on resamples of saved outputs, including those over the hierarchy if requested."""
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
    """Average the ratios of the first half of the terms to the second; a ratio is 0 where the second is 0."""
    above, below = np.split(sums, 2, axis=-1)
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=below > 0).mean(axis=-1))
