"""The figures of a study: lines with the deviation over seeds as a band, or a dot a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from labelcontrast.reports.canvas import INK, as_png, as_svg, as_svg_file, canvas, look_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from labelcontrast.reports.studies.summary import Panel, Series

WIDTH = 4.6
MOST_TICKS = 8


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
    with canvas(width=WIDTH, height=height) as (figure, axes):
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
    """Draw the mean over seeds as a line and the deviation (n - 1) as a band; what has no x is a dashed level."""
    every = list(dict.fromkeys(x for series in panel.series for x in series.x))
    named = any(isinstance(x, str) for x in every)
    at = {x: place if named else float(x) for place, x in enumerate(every)}
    for place, series in enumerate(panel.series):
        color, marker = look_of(place)
        mean, spread = _mean_and_deviation(series)
        if not series.x:
            axes.axhline(mean[0], color=color, linestyle="--", linewidth=1.4, label=series.name)
            axes.axhspan(mean[0] - spread[0], mean[0] + spread[0], color=color, alpha=0.12, linewidth=0)
            continue
        x = [at[one] for one in series.x]
        step = max(len(x) // MOST_TICKS, 1)
        axes.plot(x, mean, color=color, marker=marker, markersize=4.5, markevery=step, linewidth=1.6, label=series.name)
        axes.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.15, linewidth=0)
    axes.set(xlabel=panel.x_label, ylabel=panel.y_label, xscale=panel.scale)
    if named:
        axes.set_xticks(range(len(every)), [str(x) for x in every])
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
