"""Mean ranks of losses over several data sets, and which of them differ significantly."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TypeAlias

import numpy as np
from scipy import stats

from labelcontrast.errors import ConfigError, RunError
from labelcontrast.files import read_json
from labelcontrast.lab.comparison_report import RESULTS
from labelcontrast.lab.layout import title
from labelcontrast.lab.pages import write_rank_report
from labelcontrast.lab.report import RESULTS as STUDY_RESULTS
from labelcontrast.lab.study import DATA, SEED
from labelcontrast.metrics.registry import METRICS
from labelcontrast.reports.pages import HEADLINES
from labelcontrast.reports.summary import RankedMetric, RankSummary
from labelcontrast.run.machine import describe_origin


@dataclass(frozen=True)
class Ranking:
    """The mean rank of each loss, 1 is best, and the distance from which two of them differ by more than chance."""

    ranks: dict[str, float]
    """By name, the best first."""
    critical_difference: float
    p: float
    """Of the hypothesis that all losses are alike, by Friedman's test."""
    data_sets: int

    @property
    def alike(self) -> list[tuple[str, ...]]:
        """The largest groups of neighbours whose ends are no further apart than the critical difference."""
        names = list(self.ranks)
        groups: list[tuple[str, ...]] = []
        for start, name in enumerate(names):
            group = [
                other for other in names[start:] if self.ranks[other] - self.ranks[name] <= self.critical_difference
            ]
            if len(group) > 1 and not (groups and set(group) <= set(groups[-1])):
                groups.append(tuple(group))
        return groups


def rank_losses(results: Mapping[str, Mapping[str, float]], *, better: str = "higher", level: float = 0.05) -> Ranking:
    r"""Rank losses on every data set, average the ranks, and say which differ.

    .. math:: CD = q_\alpha \sqrt{\frac{k (k + 1)}{6 N}}

    for k losses on N data sets, with :math:`q_\alpha` of the studentised range over :math:`\sqrt 2` (Nemenyi).

    Args:
        results: By data set, by loss, the mean of a metric over seeds.
        better: ``higher`` or ``lower``.
        level: The share of times in which two of losses that are all alike may be called different.

    Raises:
        ConfigError: A data set lacks a loss, or there are fewer than two data sets or three losses.

    Example:
        >>> results = {"a": {"bce": 0.5, "reg": 0.7, "msc": 0.6}, "b": {"bce": 0.4, "reg": 0.6, "msc": 0.5}}
        >>> rank_losses(results).ranks
        {'reg': 1.0, 'msc': 2.0, 'bce': 3.0}

    Reference: Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, 2006.
    """
    losses = list(next(iter(results.values()), {}))
    for data, measured in results.items():
        if set(measured) != set(losses):
            raise ConfigError(
                f"every data set needs the same losses. {data} has {_listed(measured)}, not {_listed(losses)}."
            )
    if len(results) < 2 or len(losses) < 3:
        raise ConfigError(
            f"mean ranks need at least two data sets and three losses. Got {len(results)} and {len(losses)}."
        )
    sign = -1 if better == "higher" else 1
    values = sign * np.array([[measured[loss] for loss in losses] for measured in results.values()])
    mean = stats.rankdata(values, axis=1).mean(axis=0)
    order = np.argsort(mean, kind="stable")
    quantile = stats.studentized_range.ppf(1 - level, len(losses), np.inf) / np.sqrt(2)
    distance = float(quantile * np.sqrt(len(losses) * (len(losses) + 1) / (6 * len(results))))
    p = float(stats.friedmanchisquare(*values.T).pvalue)
    return Ranking({losses[place]: float(mean[place]) for place in order}, distance, p, len(results))


def _listed(names: Sequence[str] | Mapping[str, float]) -> str:
    """Name them in order."""
    return ", ".join(sorted(names))


Measured: TypeAlias = Mapping[str, Sequence[Mapping[str, float | None]]]
"""By loss, of every finished run its test metrics."""


def rank_comparisons(folders: Sequence[Path], page: Path) -> dict[str, Ranking]:
    """Rank the losses of several comparisons or studies on each headline metric, and write a page of it.

    Args:
        folders: Of comparisons, one a data set; or of studies, each on one data set or several, of which the table of
            all trials suffices. All are of the same losses. Baselines are left out.
        page: The HTML file to write.

    Returns:
        By metric the ranking of the losses' means over seeds.

    Raises:
        RunError: A folder is neither, or two are of the same data set.
        ConfigError: There are fewer than two data sets or three losses, or a data set has other losses than the first.
    """
    measured: dict[str, Measured] = {}
    for folder in folders:
        for data, losses in _read(folder).items():
            if data in measured:
                message = f"{folder} is on {data}, and so is one before it; a data set counts once."
                raise RunError(message)
            measured[data] = losses
    rankings = {
        name: rank_losses({data: _means(one, name) for data, one in measured.items()}, better=METRICS[name].better)
        for name in HEADLINES
    }
    write_rank_report(page, _summarise(rankings, list(measured)))
    return rankings


def _read(folder: Path) -> Mapping[str, Measured]:
    """Read what a comparison, or a study, came to on each of its data sets."""
    if (folder / RESULTS).exists():
        rows = read_json(folder / RESULTS)["rows"].items()
        return {
            str(folder): {name: [run["metrics"]["test"] for run in runs if "metrics" in run] for name, runs in rows}
        }
    if not (folder / STUDY_RESULTS).exists():
        message = f"{folder} is no comparison and no study: it has neither {RESULTS} nor {STUDY_RESULTS}."
        raise RunError(message)
    found: dict[str, dict[str, list[dict[str, float | None]]]] = {}
    with (folder / STUDY_RESULTS).open(newline="") as file:
        for trial in csv.DictReader(file):
            dimensions = list(trial)[: list(trial).index(SEED)]
            row = title({name: trial[name] for name in dimensions if name != DATA and trial[name]})
            runs = found.setdefault(trial[DATA], {}).setdefault(row, [])
            if not trial["error"]:
                runs.append({name: float(trial[name]) if trial[name] else None for name in HEADLINES})
    return found


def _means(losses: Measured, metric: str) -> dict[str, float]:
    """Average a metric over the finished runs of each loss that has some."""
    measured = {name: [run[metric] for run in runs] for name, runs in losses.items()}
    known = {name: [value for value in values if value is not None] for name, values in measured.items()}
    return {name: fmean(values) for name, values in known.items() if values and len(values) == len(measured[name])}


def _summarise(rankings: Mapping[str, Ranking], data: Sequence[str]) -> RankSummary:
    """Gather the page."""
    origin = describe_origin()
    metrics = [
        RankedMetric(
            name=name,
            ranks=ranking.ranks,
            critical_difference=ranking.critical_difference,
            alike=ranking.alike,
            p=ranking.p,
        )
        for name, ranking in rankings.items()
    ]
    return RankSummary(
        title=f"{len(metrics[0].ranks)} losses on {len(data)} data sets",
        command=origin["command"],
        metrics=metrics,
        facts=[("data", ", ".join(data)), ("date", origin["date"])],
        versions=origin["versions"],
    )
