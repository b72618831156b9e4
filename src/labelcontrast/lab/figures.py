"""Figures of comparisons, studies and rankings."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from labelcontrast.reports.canvas import FAINT, INK, as_png, as_svg, as_svg_file, canvas, look_of
from labelcontrast.reports.figures import PANEL, binned_means, frequency_and_f1, frequency_axes
from labelcontrast.reports.tables import title_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from labelcontrast.reports.summary import ComparedLoss, Measure, RankedMetric


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line, or one row of dots: at every x, in the order of the axis, the values of all seeds.

    Without x it is a level that holds everywhere, with the values in one list.
    """

    name: str
    x: Sequence[float | str] = ()
    values: Sequence[Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One figure: a quantity against something, a line for each of some things; or dots."""

    name: str
    """Stem of its files."""
    kind: Literal["lines", "dots"]
    title: str
    """What it shows a part of, such as a data set; the quantity stands at the axis."""
    x_label: str
    y_label: str
    scale: Literal["linear", "log"] = "linear"
    """Of the x axis."""
    y_limits: tuple[float, float] | None = None
    """Where panels are to be compared with one another; by default what fits the series."""
    series: Sequence[Series]


def dot_figures(losses: Sequence[ComparedLoss], measures: Sequence[Measure]) -> list[str]:
    """Draw every run as a dot and the mean of a loss as a bar, a figure a metric."""
    drawn = []
    for measure in measures:
        said = []
        with canvas(width=PANEL[0], height=0.26 * len(losses) + 0.8) as (figure, axes):
            for place, loss in enumerate(losses):
                values = 100 * np.array(loss.metrics.get(measure.name, ()), dtype=float)
                values = values[np.isfinite(values)]
                if values.size:
                    color, marker = look_of(place)
                    axes.scatter(
                        values, [place] * len(values), s=24, color=color, marker=marker, alpha=0.6, linewidths=0
                    )
                    axes.plot([values.mean()] * 2, [place - 0.3, place + 0.3], color=INK, linewidth=1.8)
                    said.append(f"{loss.name} {values.mean():.1f}")
            axes.set_yticks(range(len(losses)), [loss.name for loss in losses])
            axes.set(
                ylim=(len(losses) - 0.5, -0.5), title=title_of(measure.name), xlabel=f"% ({measure.better} is better)"
            )
            drawn.append(as_svg(figure, alternative=f"{title_of(measure.name)} in percent, mean: {', '.join(said)}."))
    return drawn


def tail_figure(losses: Sequence[ComparedLoss]) -> str:
    """Draw the mean F1 of labels about as frequent against their frequency, a line a loss."""
    said, middles, highest = [], [], 0.0
    with canvas() as (figure, axes):
        for place, loss in enumerate(losses):
            if loss.per_label:
                middle, mean = binned_means(*frequency_and_f1(loss.per_label))
                color, marker = look_of(place)
                axes.plot(middle, mean, color=color, marker=marker, markersize=5, linewidth=1.8, label=loss.name)
                said.append(
                    f"{loss.name} from {mean[0]:.0f} % for the rarest to {mean[-1]:.0f} % for the most frequent"
                )
                middles.append(middle)
                highest = max(highest, mean.max())
        frequency_axes(axes, np.concatenate(middles))
        axes.set_ylim(-2, min(104, 1.25 * highest + 5))
        figure.legend(loc="outside upper left", ncols=6)
        return as_svg(figure, alternative=f"Mean F1 by frequency of the label: {'; '.join(said)}.")


def learning_figures(losses: Sequence[ComparedLoss]) -> list[str]:
    """Draw the learning curves, a figure a quantity, a line a loss where it has that quantity."""
    drawn = []
    for name in dict.fromkeys(name for loss in losses for name in loss.curves):
        with canvas(width=PANEL[0], height=PANEL[1] + 0.3) as (figure, axes):
            for place, loss in enumerate(losses):
                if name in loss.curves:
                    color, marker = look_of(place)
                    epochs, values = loss.curves[name]
                    every = max(len(epochs) // 8, 1)
                    axes.plot(
                        epochs, values, color=color, marker=marker, markevery=every, markersize=4, label=loss.name
                    )
            axes.set(title=name, xlabel="epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            figure.legend(loc="outside lower left", ncols=4, fontsize=8, columnspacing=1)
            drawn.append(as_svg(figure, alternative=f"{name} by epoch, a line for each loss that has it."))
    return drawn


_ROW, _TOP = 0.55, 1.0


def rank_figure(metric: RankedMetric) -> str:
    """Draw mean ranks, the best on the left, and a bar under each group whose differences may be chance.

    Args:
        metric: The mean rank of each loss, the best first, the critical difference, and the groups.
    """
    ranks, alike, critical_difference = metric.ranks, metric.alike, metric.critical_difference
    lines = (len(ranks) + 1) // 2
    depth = _TOP + 0.28 * len(alike) + _ROW * lines
    with canvas(width=7.2, height=0.5 * depth + 1.0) as (figure, axes):
        low, high = 1, len(ranks)
        axes.set(xlim=(low - 0.45 * (high - low), high + 0.45 * (high - low)), ylim=(-depth, 1.5))
        axes.set_axis_off()
        _draw_scale(axes, low, high)
        axes.plot([low, low + critical_difference], [1.0, 1.0], color=INK, linewidth=1.4, marker="|", markersize=7)
        said = f"critical difference {critical_difference:.2f}"
        axes.text(low + critical_difference + 0.025 * (high - low), 1.0, said, va="center")
        for row, group in enumerate(alike):
            ends = ranks[group[0]] - 0.04, ranks[group[-1]] + 0.04
            axes.plot(ends, [-0.35 - 0.28 * row] * 2, color=INK, linewidth=4, solid_capstyle="round", zorder=3)
        _draw_losses(axes, ranks, edges=(low, high), first=-_TOP - 0.28 * len(alike))
        ranked = ", ".join(f"{name} {rank:.2f}" for name, rank in ranks.items())
        return as_svg(figure, alternative=f"Mean rank, 1 is best: {ranked}. {said.capitalize()}.")


def _draw_scale(axes: Axes, low: int, high: int) -> None:
    """Draw the line of ranks with a number at each."""
    axes.plot([low, high], [0, 0], color=INK, linewidth=1)
    for rank in range(low, high + 1):
        axes.plot([rank, rank], [0, 0.12], color=INK, linewidth=1)
        axes.text(rank, 0.2, str(rank), ha="center")


def _draw_losses(axes: Axes, ranks: Mapping[str, float], *, edges: tuple[int, int], first: float) -> None:
    """Write the better half on the left and the worse half on the right, each led to its place on the line."""
    names, left = list(ranks), (len(ranks) + 1) // 2
    margin = 0.08 * (edges[1] - edges[0])
    for place, name in enumerate(names):
        better = place < left
        row = place if better else len(names) - 1 - place
        height, end = first - _ROW * row, edges[0] - margin if better else edges[1] + margin
        axes.plot([ranks[name], ranks[name], end], [0, height, height], color=FAINT, linewidth=1)
        label = f"{name}  {ranks[name]:.2f}"
        axes.text(
            end - margin / 4 if better else end + margin / 4,
            height,
            label,
            va="center",
            ha="right" if better else "left",
        )


WIDTH = 4.6
MOST_TICKS = 8
LONGEST_LABEL, LONGEST_NAME = 32, 10
"""Characters in a line of the label of an axis, and of the name of a tick."""
SIDE_BY_SIDE = 0.6
"""Of the way from one name to the next, what the points of all series take up."""


@dataclass(frozen=True)
class Drawing:
    """One figure, for a page and as files for a paper."""

    name: str
    said: str
    """What it shows, in words."""
    inline: str
    svg: str
    png: bytes


def draw(panel: Panel) -> Drawing:
    """Draw a panel."""
    rows = len(panel.series)
    legend = 0.24 * -(-rows // 3) if panel.kind == "lines" and rows > 1 else 0.0
    height = 2.6 + legend if panel.kind == "lines" else 0.28 * rows + 0.9
    with canvas(width=_width(panel), height=height) as (figure, axes):
        if panel.kind == "lines":
            _draw_lines(axes, panel)
            if legend:
                figure.legend(loc="outside lower center", ncols=3, columnspacing=1.2, handlelength=2.4)
        else:
            _draw_dots(axes, panel)
        axes.set(title=panel.title)
        where = f" on {panel.title}" if panel.title else ""
        said = f"{panel.y_label} by {panel.x_label}{where}. {_in_words(panel)}"
        return Drawing(panel.name, said, as_svg(figure, alternative=said), as_svg_file(figure), as_png(figure))


def _draw_lines(axes: Axes, panel: Panel) -> None:
    """Draw the mean over seeds as a line and the deviation (n - 1) as a band; what has no x is a dashed level.

    Between names there is nothing to draw a line through: there each mean is a point, with the deviation as a bar.
    """
    every = list(dict.fromkeys(x for series in panel.series for x in series.x))
    named = any(isinstance(x, str) for x in every)
    at = {x: place if named else float(x) for place, x in enumerate(every)}
    for place, series in enumerate(panel.series):
        color, marker = look_of(place)
        mean, spread = _mean_and_deviation(series)
        x = np.array([at[one] for one in series.x])
        if not series.x:
            axes.axhline(mean[0], color=color, linestyle="--", linewidth=1.4, label=series.name)
            axes.axhspan(mean[0] - spread[0], mean[0] + spread[0], color=color, alpha=0.12, linewidth=0)
        elif named:
            beside = (place - (len(panel.series) - 1) / 2) * SIDE_BY_SIDE / len(panel.series)
            axes.errorbar(
                x + beside, mean, spread, color=color, marker=marker, markersize=5, linestyle="none", label=series.name
            )
        else:
            step = max(len(x) // MOST_TICKS, 1)
            axes.plot(
                x, mean, color=color, marker=marker, markersize=4.5, markevery=step, linewidth=1.6, label=series.name
            )
            axes.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.15, linewidth=0)
    axes.set(xlabel=panel.x_label, ylabel=fill(panel.y_label, LONGEST_LABEL), xscale=panel.scale, ylim=panel.y_limits)
    _set_ticks(axes, panel, every, at)


def _set_ticks(axes: Axes, panel: Panel, every: Sequence[float | str], at: Mapping[float | str, float]) -> None:
    """Put a tick at every value where there are not too many; names that are long are wrapped."""
    if any(isinstance(x, str) for x in every):
        axes.set_xticks(range(len(every)), [fill(str(x).replace("_", " "), LONGEST_NAME) for x in every])
        axes.set_xlim(-0.5, len(every) - 0.5)
        axes.xaxis.grid(visible=False)
    elif panel.scale == "log" or len(every) <= MOST_TICKS:
        axes.xaxis.set_major_locator(FixedLocator(sorted(at.values())))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_dots(axes: Axes, panel: Panel) -> None:
    """Draw a dot a run, in a row for each series, and a bar at the mean."""
    for place, series in enumerate(panel.series):
        color, marker = look_of(place)
        values = np.array(series.values[0])
        axes.scatter(values, np.full(len(values), place), s=24, color=color, marker=marker, alpha=0.6, linewidths=0)
        axes.plot([values.mean()] * 2, [place - 0.3, place + 0.3], color=INK, linewidth=1.8)
    axes.set_yticks(range(len(panel.series)), [series.name for series in panel.series])
    axes.set(ylim=(len(panel.series) - 0.5, -0.5), xlabel=panel.y_label)


def _width(panel: Panel) -> float:
    """In inches: one column of a paper, and more where there are many names below it."""
    names = {x for series in panel.series for x in series.x if isinstance(x, str)}
    return max(WIDTH, 1.0 + 0.8 * len(names))


def _mean_and_deviation(series: Series) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation over seeds at every x; a single seed has none."""
    mean = [np.mean(values) for values in series.values]
    spread = [np.std(values, ddof=1) if len(values) > 1 else 0.0 for values in series.values]
    return np.array(mean), np.array(spread)


def _in_words(panel: Panel) -> str:
    """Say of every line where it begins and ends, and of a row of dots its mean."""
    said = []
    for series in panel.series:
        mean, _ = _mean_and_deviation(series)
        said.append(f"{series.name} {mean[0]:.4g}" + (f" to {mean[-1]:.4g}" if len(mean) > 1 else ""))
    return "; ".join(said) + "."
