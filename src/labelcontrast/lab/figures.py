"""Figures of studies and searches: lines over an axis, or a row of dots for each series."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from labelcontrast.reports.canvas import INK, as_png, as_svg, as_svg_file, canvas, look_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes


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
