"""The page of a study or a search: its content, and its figures, drawn from panels of plain numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from labelcontrast.files import write_text
from labelcontrast.reports.figures import INK, add_legend, as_png, as_svg, as_svg_file, canvas, style_of
from labelcontrast.reports.pages import render, write_page
from labelcontrast.reports.summary import PageSummary
from labelcontrast.reports.tables import Table, as_markdown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from labelcontrast.lab.trials import Record

WIDTH = 4.6
MOST_TICKS = 8
LONGEST_LABEL, LONGEST_NAME = 32, 10
"""Characters in a line of an axis label, and of a tick label."""
SIDE_BY_SIDE = 0.6
"""Share of the distance between two names on the x axis over which the points of all series are spread."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line, or one row of dots: at each x, in the order of the axis, the values of all seeds.

    Without x it is a constant level, with its values in one list.
    """

    name: str
    x: Sequence[float | str] = ()
    values: Sequence[Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One figure: a quantity over an axis with a line for each series, or a row of dots for each series."""

    name: str
    """Stem of its files."""
    kind: Literal["lines", "dots"]
    title: str
    """The part of the grid that it shows, such as a data set."""
    x_label: str
    y_label: str
    scale: Literal["linear", "log"] = "linear"
    """Scale of the x axis."""
    y_limits: tuple[float, float] | None = None
    """Common limits for panels that are compared; by default the range of the series."""
    series: Sequence[Series]


@dataclass(frozen=True)
class Drawing:
    """One figure, inline for a page and as files for a paper."""

    name: str
    description: str
    inline: str
    svg: str
    png: bytes


@dataclass(frozen=True, kw_only=True)
class TrialsSummary(PageSummary):
    """The content of a page about many trials: a question, a table, figures and failures."""

    question: str
    source: str = ""
    """The published table or figure that is reproduced."""
    table: Table
    tested: bool = False
    """Bold cells include those that are not significantly worse than the best."""
    within: Sequence[str] = ()
    """Dimensions within which rows are compared."""
    panels: Sequence[Panel]
    glossary: Sequence[tuple[str, str]]
    """The quantities, each with an explanation."""
    failures: Sequence[tuple[str, str]] = ()
    """Failed trials, each with its error."""
    drawn: str = (
        "A line is the mean over seeds and the band its standard deviation; over categories, a point is the mean and "
        "its bar the standard deviation. A dashed line is a loss without the setting on the axis. In a row of dots, "
        "each dot is a run, and the bar is the mean."
    )
    """Explanation of the figures."""

    @property
    def marked(self) -> str:
        """Return the meaning of bold."""
        among = f" among the rows with the same {' and '.join(self.within)}" if self.within else ""
        best = f"Bold: the best mean of the column{among}"
        spread = "Mean and standard deviation over the finished runs, one per seed."
        if not self.tested:
            return f"{spread} {best}; the difference need not be significant."
        return (
            f"{spread} {best}, and every mean that is not significantly worse. Differences are paired and tested over "
            "seeds and test examples jointly, at 5 % over all pairs of rows (Holm); with one seed, over test examples "
            "only. Quantities that are not metrics of predictions are not tested: there only the best mean is bold."
        )


def count_failures(records: "Sequence[Record]") -> str:
    """Return the number of trials that have ended, with that of the failed ones.

    Example:
        >>> count_failures([{"result": {}}, {"error": "no room"}])
        '2, 1 failed'
    """
    failed = sum("error" in record for record in records)
    return f"{len(records)}" + (f", {failed} failed" if failed else "")


def write_trials_page(
    path: Path, template: Literal["study.html", "search.html"], summary: TrialsSummary, drawings: Sequence[Drawing]
) -> None:
    """Write the HTML page of a study or a search; empty sections are left out."""
    figures = {"panels": [drawing.inline for drawing in drawings]}
    write_page(path, template, figures, summary=summary, table=summary.table)


def write_study_notes(path: Path, summary: TrialsSummary, drawings: Sequence[Drawing], *, figures: str) -> None:
    """Write the page of a study as Markdown.

    Args:
        path: The Markdown file.
        summary: The content; empty sections are left out.
        drawings: The figures.
        figures: The folder of the figures' files, relative to that of the page.
    """
    content = {"table": as_markdown(summary.table), "drawings": drawings, "figures": figures}
    write_text(path, render("study.md", autoescape=False, summary=summary, **content))


def draw(panel: Panel) -> Drawing:
    """Draw a panel."""
    rows = len(panel.series)
    height = 2.6 if panel.kind == "lines" else 0.28 * rows + 0.9
    with canvas(width=_width(panel), height=height) as (figure, axes):
        if panel.kind == "lines":
            _draw_lines(axes, panel)
            if rows > 1:
                lines = add_legend(figure, "outside lower center", columns=3, columnspacing=1.2, handlelength=2.4)
                figure.set_figheight(height + 0.24 * lines)
        else:
            _draw_dots(axes, panel)
        axes.set(title=panel.title)
        where = f" on {panel.title}" if panel.title else ""
        text = f"{panel.y_label} by {panel.x_label}{where}. {_describe(panel)}"
        return Drawing(panel.name, text, as_svg(figure, alternative=text), as_svg_file(figure), as_png(figure))


def _draw_lines(axes: "Axes", panel: Panel) -> None:
    """Draw the mean over seeds as a line and the deviation (n - 1) as a band; a series without x is a dashed level.

    Over names, where lines would mean nothing, each mean is a point with the deviation as a bar.
    """
    every = list(dict.fromkeys(x for series in panel.series for x in series.x))
    named = any(isinstance(x, str) for x in every)
    at = {x: place if named else float(x) for place, x in enumerate(every)}
    for place, series in enumerate(panel.series):
        color, marker = style_of(place)
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


def _draw_dots(axes: "Axes", panel: Panel) -> None:
    draw_dots(axes, [(series.name, np.array(series.values[0])) for series in panel.series])
    axes.set(xlabel=panel.y_label)


def _set_ticks(axes: "Axes", panel: Panel, every: Sequence[float | str], at: Mapping[float | str, float]) -> None:
    """Set a tick at every value unless there are too many; long names are wrapped."""
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


def draw_dots(axes: "Axes", rows: Sequence[tuple[str, np.ndarray]]) -> None:
    """Draw named rows: a dot for each value, and a bar at the mean; a row may be empty."""
    for place, (_, values) in enumerate(rows):
        if values.size:
            color, marker = style_of(place)
            axes.scatter(values, np.full(len(values), place), s=24, color=color, marker=marker, alpha=0.6, linewidths=0)
            axes.plot([values.mean()] * 2, [place - 0.3, place + 0.3], color=INK, linewidth=1.8)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set(ylim=(len(rows) - 0.5, -0.5))


def _width(panel: Panel) -> float:
    """Return the width in inches: one column of a paper, and more for many names on the x axis."""
    names = {x for series in panel.series for x in series.x if isinstance(x, str)}
    return max(WIDTH, 1.0 + 0.8 * len(names))


def _mean_and_deviation(series: Series) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation over seeds at every x; the deviation of a single seed is 0."""
    mean = [np.mean(values) for values in series.values]
    spread = [np.std(values, ddof=1) if len(values) > 1 else 0.0 for values in series.values]
    return np.array(mean), np.array(spread)


def _describe(panel: Panel) -> str:
    """Describe each line by its first and last mean, and a row of dots by its mean."""
    parts = []
    for series in panel.series:
        mean, _ = _mean_and_deviation(series)
        parts.append(f"{series.name} {mean[0]:.4g}" + (f" to {mean[-1]:.4g}" if len(mean) > 1 else ""))
    return "; ".join(parts) + "."
