"""Mean ranks of losses over several data sets, their significance, and the page with critical-difference diagrams."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from scipy import stats

from labelcontrast.errors import ConfigError, RunError
from labelcontrast.files import read_json
from labelcontrast.lab.comparison_report import RESULTS
from labelcontrast.lab.study import DATA, SEED
from labelcontrast.lab.study_report import STUDY_RESULTS
from labelcontrast.lab.study_table import row_title
from labelcontrast.metrics.registry import METRICS
from labelcontrast.reports.figures import FAINT, INK, as_svg, canvas
from labelcontrast.reports.pages import HEADLINES, write_page
from labelcontrast.reports.summary import PageSummary
from labelcontrast.run.machine import describe_origin

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TestMetrics: TypeAlias = Mapping[str, Sequence[Mapping[str, float | None]]]
"""Test metrics of each finished run, keyed by loss."""


@dataclass(frozen=True)
class Ranking:
    """Mean ranks of losses, 1 is best, and the critical difference between two of them."""

    ranks: dict[str, float]
    """Mean rank of each loss, the best first."""
    critical_difference: float
    """Two losses differ significantly if their mean ranks are further apart than this."""
    p: float
    """P-value of Friedman's test that all losses perform equally."""
    data_sets: int

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """The largest groups of neighbours without a significant difference."""
        names = list(self.ranks)
        groups: list[tuple[str, ...]] = []
        for start, name in enumerate(names):
            group = [
                other for other in names[start:] if self.ranks[other] - self.ranks[name] <= self.critical_difference
            ]
            if len(group) > 1 and not (groups and set(group) <= set(groups[-1])):
                groups.append(tuple(group))
        return groups


@dataclass(frozen=True, kw_only=True)
class RankSummary(PageSummary):
    """The same losses ranked over many data sets, by metric."""

    rankings: Mapping[str, Ranking]


def rank_losses(
    results: Mapping[str, Mapping[str, float]], *, better: Literal["higher", "lower"] = "higher", level: float = 0.05
) -> Ranking:
    r"""Rank losses on every data set, average the ranks, and compute the critical difference.

    .. math:: CD = q_\alpha \sqrt{\frac{k (k + 1)}{6 N}}

    for k losses on N data sets, with :math:`q_\alpha` of the studentised range over :math:`\sqrt 2` (Nemenyi).

    Args:
        results: By data set and loss, the mean of a metric over seeds.
        better: The direction of the metric: ``higher`` or ``lower``.
        level: The probability that any of several equal losses are called different.

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
            listed, expected = ", ".join(sorted(measured)), ", ".join(sorted(losses))
            message = f"every data set needs the same losses. {data} has {listed}, not {expected}."
            raise ConfigError(message)
    if len(results) < 2 or len(losses) < 3:
        message = f"mean ranks need at least two data sets and three losses. Got {len(results)} and {len(losses)}."
        raise ConfigError(message)
    sign = -1 if better == "higher" else 1
    values = sign * np.array([[measured[loss] for loss in losses] for measured in results.values()])
    mean = stats.rankdata(values, axis=1).mean(axis=0)
    order = np.argsort(mean, kind="stable")
    quantile = stats.studentized_range.ppf(1 - level, len(losses), np.inf) / np.sqrt(2)
    distance = float(quantile * np.sqrt(len(losses) * (len(losses) + 1) / (6 * len(results))))
    p = float(stats.friedmanchisquare(*values.T).pvalue)
    return Ranking({losses[place]: float(mean[place]) for place in order}, distance, p, len(results))


def rank_comparisons(folders: Sequence[str | Path], page: str | Path) -> dict[str, Ranking]:
    """Rank the losses of several comparisons or studies on each headline metric, and write a page.

    Args:
        folders: Of comparisons, one per data set, or of studies, each on one or more data sets; of a study
            ``results.csv`` suffices. All contain the same losses. Baselines are left out.
        page: The HTML file to write.

    Returns:
        By metric, the ranking of the losses' means over seeds.

    Raises:
        RunError: A folder is neither a comparison nor a study, or two are on the same data set.
        ConfigError: There are fewer than two data sets or three losses, or the losses differ between data sets.
    """
    measured: dict[str, TestMetrics] = {}
    for folder in map(Path, folders):
        for data, losses in _read_metrics(folder).items():
            if data in measured:
                message = f"{folder} is on {data}, and so is one before it; a data set counts once."
                raise RunError(message)
            measured[data] = losses
    rankings = {
        name: rank_losses({data: _means(one, name) for data, one in measured.items()}, better=METRICS[name].better)
        for name in HEADLINES
    }
    origin, first = describe_origin(), next(iter(rankings.values()))
    summary = RankSummary(
        title=f"{len(first.ranks)} losses on {len(measured)} data sets",
        command=origin["command"],
        rankings=rankings,
        facts=[("data", ", ".join(measured)), ("date", origin["date"])],
        versions=origin["versions"],
    )
    figures = {"ranks": [rank_figure(one) for one in rankings.values()]}
    write_page(Path(page), "ranks.html", figures, summary=summary, metrics=METRICS)
    return rankings


def _read_metrics(folder: Path) -> Mapping[str, TestMetrics]:
    """Return the test metrics of a comparison or a study by data set."""
    if (folder / RESULTS).exists():
        rows = read_json(folder / RESULTS)["rows"].items()
        return {
            str(folder): {name: [run["metrics"]["test"] for run in runs if "metrics" in run] for name, runs in rows}
        }
    if not (folder / STUDY_RESULTS).exists():
        message = f"{folder} is neither a comparison nor a study: it has no {RESULTS} and no {STUDY_RESULTS}."
        raise RunError(message)
    found: dict[str, dict[str, list[dict[str, float | None]]]] = {}
    with (folder / STUDY_RESULTS).open(newline="") as file:
        for trial in csv.DictReader(file):
            dimensions = list(trial)[: list(trial).index(SEED)]
            row = row_title({name: trial[name] for name in dimensions if name != DATA and trial[name]})
            runs = found.setdefault(trial[DATA], {}).setdefault(row, [])
            if not trial["error"]:
                runs.append({name: float(trial[name]) if trial[name] else None for name in HEADLINES})
    return found


def _means(losses: TestMetrics, metric: str) -> dict[str, float]:
    """Average a metric over the finished runs of each loss that measured it in all of them."""
    measured = {name: [run[metric] for run in runs] for name, runs in losses.items()}
    known = {name: [value for value in values if value is not None] for name, values in measured.items()}
    return {name: fmean(values) for name, values in known.items() if values and len(values) == len(measured[name])}


_ROW, _TOP = 0.55, 1.0


def rank_figure(ranking: Ranking) -> str:
    """Draw the critical-difference diagram: mean ranks, best on the left, and a bar for each of the groups."""
    ranks, groups, critical_difference = ranking.ranks, ranking.groups, ranking.critical_difference
    lines = (len(ranks) + 1) // 2
    depth = _TOP + 0.28 * len(groups) + _ROW * lines
    with canvas(width=7.2, height=0.5 * depth + 1.0) as (figure, axes):
        low, high = 1, len(ranks)
        axes.set(xlim=(low - 0.45 * (high - low), high + 0.45 * (high - low)), ylim=(-depth, 1.5))
        axes.set_axis_off()
        _draw_scale(axes, low, high)
        axes.plot([low, low + critical_difference], [1.0, 1.0], color=INK, linewidth=1.4, marker="|", markersize=7)
        label = f"critical difference {critical_difference:.2f}"
        axes.text(low + critical_difference + 0.025 * (high - low), 1.0, label, va="center")
        for row, group in enumerate(groups):
            ends = ranks[group[0]] - 0.04, ranks[group[-1]] + 0.04
            axes.plot(ends, [-0.35 - 0.28 * row] * 2, color=INK, linewidth=4, solid_capstyle="round", zorder=3)
        _draw_losses(axes, ranks, edges=(low, high), first=-_TOP - 0.28 * len(groups))
        ranked = ", ".join(f"{name} {rank:.2f}" for name, rank in ranks.items())
        return as_svg(figure, alternative=f"Mean rank, 1 is best: {ranked}. {label.capitalize()}.")


def _draw_scale(axes: "Axes", low: int, high: int) -> None:
    axes.plot([low, high], [0, 0], color=INK, linewidth=1)
    for rank in range(low, high + 1):
        axes.plot([rank, rank], [0, 0.12], color=INK, linewidth=1)
        axes.text(rank, 0.2, str(rank), ha="center")


def _draw_losses(axes: "Axes", ranks: Mapping[str, float], *, edges: tuple[int, int], first: float) -> None:
    """Label the better half on the left and the worse half on the right, each connected to its rank on the scale."""
    names, left = list(ranks), (len(ranks) + 1) // 2
    margin = 0.08 * (edges[1] - edges[0])
    for place, name in enumerate(names):
        better = place < left
        row = place if better else len(names) - 1 - place
        height, end = first - _ROW * row, edges[0] - margin if better else edges[1] + margin
        axes.plot([ranks[name], ranks[name], end], [0, height, height], color=FAINT, linewidth=1)
        x, align = (end - margin / 4, "right") if better else (end + margin / 4, "left")
        axes.text(x, height, f"{name}  {ranks[name]:.2f}", va="center", ha=align)
