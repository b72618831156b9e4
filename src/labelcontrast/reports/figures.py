"""Figures in one style, as inline SVG or PNG with a text alternative, and the figures of a run."""

from __future__ import annotations

import base64
import html
import logging
import re
import unicodedata
import warnings
from collections import Counter
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, MaxNLocator

from labelcontrast.reports.tables import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jaxtyping import Float
    from matplotlib.axes import Axes

    from labelcontrast.reports.summary import Curve, Diagram, EmbeddingScatter

INK, FAINT, GRID, OTHERS = "#22303c", "#9aa5b1", "#e4e9ee", "#cdd4db"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
"""Okabe and Ito (2008), safe under every kind of colour blindness; ink instead of their black, and no yellow, which is
too weak on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
PANEL = (3.3, 2.3)
"""Width and height of one of several panels, in inches."""
LEVEL = (3.4, 4.3)
"""Width and height of the scatter plot of one level, in inches."""
MOST_SHAPES = 1000
"""A figure of more points is a PNG, not shapes in the page."""
MOST_NAMED = 10
"""Labels that are named beside their points."""
MOST_BARS = 40
"""A histogram of more labels is one area."""
LONGEST = 36
"""Letters of a name in a legend."""
LETTER = 0.013
"""Width of a letter beside a point, as a fraction of the figure's width."""
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.color": GRID,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.fonttype": "path",
    "svg.hashsalt": "labelcontrast",
    "text.color": INK,
    "text.parse_math": False,  # a label may be "$"
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
}


@contextmanager
def canvas(*, width: float = 6.4, height: float = 3.9) -> Iterator[tuple[Figure, Axes]]:
    """Open a figure with one panel in the style of this package, without pyplot's global state; sizes in inches."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height))
        yield figure, figure.subplots()


def style_of(place: int) -> tuple[str, str]:
    """Return colour and marker of the n-th series; beyond the number of colours, markers still differ."""
    lap, color = divmod(place, len(PALETTE))
    return PALETTE[color], MARKERS[(color + lap) % len(MARKERS)]


def add_legend(
    figure: Figure,
    place: Literal["outside lower center", "outside lower left", "outside upper left"],
    *,
    columns: int,
    **style: Any,  # noqa: ANN401
) -> int:
    """Add a legend of the first panel in at most so many columns, fewer if it would be wider than the figure.

    Returns: Its number of lines.
    """
    handles, names = figure.axes[0].get_legend_handles_labels()
    for number in range(min(columns, len(names)), 0, -1):
        legend = figure.legend(handles, names, loc=place, ncols=number, **style)
        if number == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    return -(-len(names) // number)


def as_svg(figure: Figure, *, alternative: str) -> str:
    """Return the figure as an inline SVG element with a text alternative for screen readers."""
    text = as_svg_file(figure)
    # Matplotlib numbers its groups from 1 in each figure, so their ids would clash on a page; nothing refers to them.
    drawing = re.sub(r' id="[a-zA-Z0-9.]+_\d+"', "", text[text.index("<svg") :])
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', drawing)
    assert box is not None
    root = f'<svg role="img" aria-label="{html.escape(printable(alternative))}" {box[0]} xmlns:xlink="http://www.w3.org/1999/xlink">'
    return root + drawing[drawing.index(">") + 1 :]


def as_svg_file(figure: Figure) -> str:
    """Return the figure as a complete SVG document.

    Letters are shapes. Where no installed font has one of them, all are text instead, drawn with the reader's fonts.
    """
    how = {"format": "svg", "metadata": {"Date": None, "Creator": None, "Format": None, "Type": None}}
    drawing, missing = _drawn(figure, **how)
    if missing:
        for text in figure.findobj(Text):
            text.set_path_effects([])  # letters with an outline are shapes
        with rc_context({"svg.fonttype": "none"}):
            drawing, _ = _saved(figure, **how)
    return drawing.decode()


def as_png(figure: Figure) -> bytes:
    """Return the figure as PNG, at a resolution for screens of double density.

    Letters that no installed font has are boxes, and a line below the figure names their scripts.
    """
    how = {"format": "png", "dpi": 200, "metadata": {"Software": None}}
    drawing, missing = _drawn(figure, **how)
    if missing:
        scripts = dict.fromkeys(unicodedata.name(chr(letter), "unnamed").split()[0] for letter in sorted(missing))
        line = f"No installed font has the letters of {', '.join(scripts)}; the Noto fonts have them."
        figure.supxlabel(line, fontsize=8)
        drawing, _ = _saved(figure, **how)
    return drawing


def as_image(figure: Figure, *, alternative: str) -> str:
    """Return the figure as an inline PNG, for more points than a page should hold as shapes."""
    data = base64.b64encode(as_png(figure)).decode("ascii")
    return f'<img alt="{html.escape(printable(alternative))}" src="data:image/png;base64,{data}">'


def frequency_figure(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw F1 of each label against its frequency in training; the labels farthest from the trend are named.

    Args:
        rows: Rows of the per-label table, with ``label``, ``train_count`` and ``f1``.
    """
    count, f1 = frequency_and_f1(rows)
    middle, mean = binned_means(count, f1)
    with canvas() as (figure, axes):
        axes.scatter(count, f1, s=22, color=PALETTE[0], alpha=0.55, linewidths=0, label="one label")
        axes.plot(middle, mean, color=PALETTE[1], linewidth=2, label="mean of labels of similar frequency")
        frequency_axes(axes, count)
        _name_points(axes, [row["label"] for row in rows], count, f1)
        figure.legend(loc="outside upper left", ncols=2)
        alternative = (
            f"Scatter plot of {len(f1)} labels: F1 in percent against the number of training examples, log scale. "
            f"Mean F1 from {mean[0]:.0f} % for the rarest to {mean[-1]:.0f} % for the most frequent."
        )
        return (as_image if len(f1) > MOST_SHAPES else as_svg)(figure, alternative=alternative)


def reliability_figure(diagrams: Mapping[str, Diagram]) -> str:
    """Draw reliability diagrams: observed frequency against predicted probability, with the calibration error.

    The size of a point grows with the number of pairs in its bin; empty bins are left out.

    Args:
        diagrams: By name, such as ``before`` and ``after`` calibration.
    """
    errors = {}
    with canvas(width=7.2, height=4.6) as (figure, axes):
        axes.plot([0, 100], [0, 100], color=FAINT, linestyle="--", linewidth=1, label="perfect calibration")
        for place, (name, diagram) in enumerate(diagrams.items()):
            count, predicted, observed = (np.asarray(one, dtype=float) for one in diagram)
            errors[name] = 100 * float((count * np.abs(predicted - observed)).sum() / max(count.sum(), 1))
            used, (color, marker) = count > 0, style_of(place)
            across, up = 100 * predicted[used], 100 * observed[used]
            axes.plot(across, up, color=color, linewidth=1.5)
            size = 12 + 60 * np.log1p(count[used]) / np.log1p(max(count.max(), 1))
            label = f"{name}, error {errors[name]:.2f} %"
            axes.scatter(across, up, s=size, color=color, marker=marker, label=label, zorder=3, clip_on=False)
        axes.set(xlim=(-2, 102), ylim=(-2, 102), xlabel="predicted probability (%)", ylabel="observed frequency (%)")
        axes.set_aspect("equal")
        axes.legend(loc="upper left")
        listed = "; ".join(f"{name} {error:.2f} %" for name, error in errors.items())
        return as_svg(figure, alternative=f"Reliability diagram. Expected calibration error: {listed}.")


def curve_figures(curves: Mapping[str, Curve]) -> list[str]:
    """Draw each learning curve in a figure of its own, as their units differ."""
    drawn = []
    for place, (name, (epochs, values)) in enumerate(curves.items()):
        with canvas(width=PANEL[0], height=PANEL[1]) as (figure, axes):
            axes.plot(epochs, values, color=style_of(place)[0], marker="o" if len(epochs) < 4 else None)
            axes.set(title=name, xlabel="epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            alternative = f"{name} by epoch, from {values[0]:.4g} to {values[-1]:.4g}."
            drawn.append(as_svg(figure, alternative=alternative))
    return drawn


def level_figures(scatters: Sequence[EmbeddingScatter]) -> list[str]:
    """Draw the scatter plot of each level, from the roots down; its most frequent nodes have a colour and a marker."""
    drawn = []
    for level, embedding in enumerate(scatters):
        with canvas(width=LEVEL[0], height=LEVEL[1]) as (figure, axes):
            named, count = _draw_scatter(axes, embedding, size=9), len(embedding.labels)
            axes.set(title=f"level {level}", xlabel="first direction", ylabel="second direction")
            figure.legend(loc="outside lower left", fontsize=8, markerscale=1.6, borderpad=0)
            labels = ", ".join(named)
            alternative = f"Scatter plot of {count} embeddings ({embedding.method}), level {level}: {labels}."
            drawn.append(as_image(figure, alternative=alternative))
    return drawn


def label_histogram(counts: Mapping[str, int]) -> bytes:
    """Draw the number of examples of each label, from frequent to rare, as PNG; few labels are named."""
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    names, heights = [printable(name) for name, _ in ranked], np.array([count for _, count in ranked])
    few = len(ranked) <= MOST_BARS
    with canvas(height=0.22 * len(ranked) + 0.9 if few else 3.9) as (figure, axes):
        axes.set_title(f"{len(ranked)} labels, {(heights < 10).sum()} of them in fewer than 10 examples")
        if few:
            axes.bar_label(axes.barh(names, heights, color=PALETTE[0]), fmt="{:,.0f}", padding=3, fontsize=8)
            axes.invert_yaxis()
            axes.grid(visible=False, axis="y")
            axes.set_xlabel("examples")
        else:
            axes.fill_between(np.arange(1, len(ranked) + 1), heights, step="mid", color=PALETTE[0], linewidth=0)
            axes.set(xlabel="rank of the label", ylabel="examples (log scale)", yscale="log")
            axes.set(ylim=(0.8, None), xlim=(0.5, len(ranked) + 0.5))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:,.0f}"))
            axes.minorticks_off()
        return as_png(figure)


def frequency_and_f1(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[Float[np.ndarray, " labels"], Float[np.ndarray, " labels"]]:
    """Return training examples and F1 in percent of each label; for the log scale, zero examples count as one half."""
    count = np.array([max(float(row["train_count"]), 0.5) for row in rows])
    return count, np.array([100 * row["f1"] for row in rows])


def binned_means(
    count: Float[np.ndarray, " labels"], f1: Float[np.ndarray, " labels"], *, bins: int = 8
) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " bins"]]:
    """Return the geometric mean count and the mean F1 of groups of labels of similar frequency, equal in size.

    Example:
        >>> middle, mean = binned_means(np.array([1.0, 4.0, 100.0, 100.0]), np.array([0.0, 10.0, 60.0, 80.0]), bins=2)
        >>> middle.tolist(), mean.tolist()
        ([2.0, 100.0], [5.0, 70.0])
    """
    groups = np.array_split(np.argsort(count, kind="stable"), min(bins, len(count)))
    middle = np.array([np.exp(np.log(count[group]).mean()) for group in groups])
    return middle.round(6), np.array([f1[group].mean() for group in groups])


def frequency_axes(axes: Axes, count: Float[np.ndarray, " labels"]) -> None:
    """Label the axes of F1 against frequency; labels without a training example have a tick of their own."""
    axes.set_xscale("log")
    axes.set(ylim=(-4, 104), xlabel="training examples with the label (log scale)", ylabel="F1 (%)")
    ticks = [10.0**power for power in range(9) if count.min() <= 2 * 10**power <= 4 * count.max()]
    shown = [f"{int(tick):,}" for tick in ticks]
    axes.set_xticks(([0.5] if count.min() < 1 else []) + ticks, (["0"] if count.min() < 1 else []) + shown)
    axes.minorticks_off()


def _drawn(figure: Figure, **how: Any) -> tuple[bytes, set[int]]:  # noqa: ANN401
    # Returns the drawing, and the letters without a glyph: the names of labels may be in any script.
    for text in figure.findobj(Text):
        if text.get_text() != (shown := printable(text.get_text())):
            text.set_text(shown)
    drawing, missing = _saved(figure, **how)
    if families := _families_with(frozenset(missing)):
        for text in figure.findobj(Text):
            text.set_fontfamily([*text.get_fontfamily(), *families])
        told = logging.getLogger("matplotlib.font_manager")
        level = told.level
        told.setLevel(logging.ERROR)  # few fonts of other scripts are bold
        drawing, missing = _saved(figure, **how)
        told.setLevel(level)
    return drawing, missing


def _saved(figure: Figure, **how: Any) -> tuple[bytes, set[int]]:  # noqa: ANN401
    # Matplotlib tells of letters without a glyph in warnings only.
    buffer = BytesIO()
    with warnings.catch_warnings(record=True) as raised:
        warnings.filterwarnings("always", message=r"Glyph \d+ ")
        figure.savefig(buffer, **how)
    missing = set()
    for one in raised:
        if found := re.match(r"Glyph (\d+) ", str(one.message)):
            missing.add(int(found[1]))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return buffer.getvalue(), missing


@cache
def _families_with(letters: frozenset[int]) -> tuple[str, ...]:
    # The fewest installed fonts with these letters, found greedily. The last resort has a box for every letter.
    lacking, found = set(letters), []
    fonts = {font.name: font.fname for font in fontManager.ttflist if not font.name.startswith("Last Resort")}
    held = {name: lacking & set(get_font(path).get_charmap()) for name, path in fonts.items()} if lacking else {}
    while lacking and (best := max(sorted(held), key=lambda name: len(held[name] & lacking))) and held[best] & lacking:
        found.append(best)
        lacking -= held[best]
    return tuple(found)


def _draw_scatter(axes: Axes, embedding: EmbeddingScatter, *, size: float) -> list[str]:
    # Returns the labels that have a colour and a marker: the most frequent.
    found = Counter(label for label in embedding.labels if label is not None)
    named = [label for label, _ in found.most_common(len(PALETTE))]
    ranks = np.array([named.index(label) if label in named else -1 for label in embedding.labels])
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[])
    # Frequent labels are drawn first: their many points would hide those of rarer labels.
    for rank in [-1, *range(len(named))]:
        color, marker = style_of(rank) if rank >= 0 else (OTHERS, "o")
        area, name = (size, _shortened(named[rank])) if rank >= 0 else (0.55 * size, "other labels")
        across, up = embedding.coordinates[ranks == rank].T
        axes.scatter(across, up, s=area, color=color, marker=marker, alpha=0.75, linewidths=0, label=name)
    return named


def _shortened(name: str, letters: int = LONGEST) -> str:
    # The end is kept, as a name can be a path.
    return name if len(name) <= letters else f"…{name[1 - letters :]}"


def _name_points(
    axes: Axes, names: Sequence[str], count: Float[np.ndarray, " labels"], f1: Float[np.ndarray, " labels"]
) -> None:
    # Labels are named by their distance from the trend, where no earlier name is in the way.
    place, middle_and_mean = np.log10(count), binned_means(count, f1)
    width = max(float(np.ptp(place)), 1e-9)
    trend = np.interp(place, np.log10(middle_and_mean[0]), middle_and_mean[1])
    taken: list[tuple[float, float, float]] = []
    for label in np.argsort(-np.abs(f1 - trend), kind="stable"):
        if len(taken) == MOST_NAMED:
            return
        name = _shortened(names[label], LONGEST // 2 + 4)
        spot, room = (place[label] - place.min()) / width, LETTER * (len(name) + 2)
        left = spot > 0.7
        start, end, up = spot - room * left, spot + room * (not left), f1[label] / 100
        if any(start < other[1] and other[0] < end and abs(up - other[2]) < 0.07 for other in taken):
            continue
        taken.append((start, end, up))
        axes.annotate(
            name,
            (count[label], f1[label]),
            xytext=(-5 if left else 5, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=8,
            color=INK,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )
