"""Which losses of a comparison are the best, or not significantly worse: from what each run said of every test example.

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

from labelcontrast.evaluation.metrics.catalogue import METRICS
from labelcontrast.evaluation.metrics.counting import known_pairs
from labelcontrast.evaluation.outputs import Outputs
from labelcontrast.evaluation.resampling import RESAMPLED, draw_resamples, resampled_metrics
from labelcontrast.labels.hierarchy_files import read_hierarchy
from labelcontrast.run.folder import HIERARCHY
from labelcontrast.run.hierarchical.measuring import StreamedHierarchy
from labelcontrast.run.hierarchical.tree import LabelTree
from labelcontrast.studies.statistics import Difference, compare, holm, permute_examples, permute_seeds

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
        return metric in self.metrics and (metric in RESAMPLED or self.hierarchy is not None)


Runs = Mapping[str, Mapping[int, Measured]]
"""By loss, by seed."""


Better = Literal["higher", "lower"]
FLAT: Mapping[str, Better] = {name: METRICS[name].better for name in RESAMPLED}
"""What can be tested of any predictions; what is measured over a hierarchy can be too."""


def find_best(
    losses: Runs, metrics: Mapping[str, Better] = FLAT, *, permute: bool = True
) -> dict[str, dict[str, dict[str, Any]]]:
    """Compare every loss with the best one, metric by metric.

    Args:
        losses: The finished runs, those of a seed on the same test examples. A loss without a seed in common with
            another is not compared with it.
        metrics: Those that are tested, and which way is better: of ``RESAMPLED``, and of those over a hierarchy. Losses
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
    if metric in _SUMS:
        ours, theirs = (_by_example(each, metric) for each in runs)
        found["p_examples"] = permute_examples(ours, theirs, _mean_ratio, generator=np.random.default_rng(0))
    return found


def _by_example(runs: Sequence[Measured], metric: str) -> np.ndarray:
    """What every example adds to a metric, the examples of all folds together; in as many runs as every fold has."""
    folds: dict[int, list[np.ndarray]] = {}
    for run in runs:
        folds.setdefault(run.fold, []).append(np.hstack(_SUMS[metric](Outputs.load(run.outputs))))
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
    if hierarchy is None or asked <= set(RESAMPLED):
        return found
    over = StreamedHierarchy(LabelTree(read_hierarchy(hierarchy), outputs.labels.shape[1]), resamples=RESAMPLES)
    over.update(outputs.labels, outputs.predictions, counts)
    return found | over.resampled()


def _mean_ratio(sums: np.ndarray) -> np.ndarray:
    """Mean of the ratios of the first half to the second; 0 where the second is 0."""
    above, below = np.split(sums, 2, axis=-1)
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=below > 0).mean(axis=-1))


def _f1_parts(outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    """What stands above and below the line of F1, for each example and label."""
    true, predicted = outputs.labels == 1, outputs.predictions & known_pairs(outputs.labels)
    return 2.0 * (true & predicted), true + predicted.astype(np.float64)


def _over_labels(outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    """The same, summed over the labels of each example."""
    above, below = _f1_parts(outputs)
    return above.sum(axis=1, keepdims=True), below.sum(axis=1, keepdims=True)


def _of_examples(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A mean over examples, as a ratio."""
    return values[:, None], np.ones((len(values), 1))


def _wrong_pairs(outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    """How many labels of each example are predicted wrongly, and how many are known."""
    known = known_pairs(outputs.labels)
    wrong = known & (outputs.labels != outputs.predictions)
    return wrong.sum(axis=1, keepdims=True, dtype=float), known.sum(axis=1, keepdims=True, dtype=float)


# What each example adds above and below the line, by label where the metric is a mean over labels.
_SUMS: dict[str, Callable[[Outputs], tuple[np.ndarray, np.ndarray]]] = {
    "micro_f1": _over_labels,
    "macro_f1": _f1_parts,
    "sample_f1": lambda outputs: _of_examples(_mean_ratio(np.hstack(_over_labels(outputs)))),
    "hamming_loss": _wrong_pairs,
}
