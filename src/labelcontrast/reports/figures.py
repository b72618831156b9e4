"""Figures of one run: F1 against frequency, learning curves, embeddings in the plane, label histogram, reliability."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator

from labelcontrast.reports.canvas import FAINT, INK, OTHERS, PALETTE, as_image, as_png, as_svg, canvas, look_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Float
    from matplotlib.axes import Axes

    from labelcontrast.reports.summary import Curve, Diagram, EmbeddingScatter


def reliability_figure(diagrams: Mapping[str, Diagram]) -> str:
    """Draw each diagram as a line, an empty bin left out; the larger a dot, the more pairs are in its bin.

    Args:
        diagrams: By name, as ``before`` and ``after`` calibration.
    """
    errors = {}
    with canvas(width=7.2, height=4.6) as (figure, axes):
        axes.plot([0, 100], [0, 100], color=FAINT, linestyle="--", linewidth=1, label="as often as said")
        for place, (name, diagram) in enumerate(diagrams.items()):
            count, said, true = (np.asarray(one, dtype=float) for one in diagram)
            errors[name] = 100 * float((count * np.abs(said - true)).sum() / max(count.sum(), 1))
            used, (color, marker) = count > 0, look_of(place)
            axes.plot(100 * said[used], 100 * true[used], color=color, linewidth=1.5)
            size = 12 + 60 * np.log1p(count[used]) / np.log1p(max(count.max(), 1))
            named = f"{name}, error {errors[name]:.2f} %"
            axes.scatter(
                100 * said[used],
                100 * true[used],
                s=size,
                color=color,
                marker=marker,
                label=named,
                zorder=3,
                clip_on=False,
            )
        axes.set(xlim=(-2, 102), ylim=(-2, 102), xlabel="probability, as said (%)", ylabel="true of so many (%)")
        axes.set_aspect("equal")
        axes.legend(loc="upper left")
        listed = "; ".join(f"{name} {error:.2f} %" for name, error in errors.items())
        return as_svg(figure, alternative=f"Reliability diagram. Expected calibration error: {listed}.")


MOST_SHAPES = 1000
MOST_NAMED = 10
MOST_BARS = 40
LONGEST = 36
"""Letters of a name in a legend."""
LETTER = 0.013
"""Width of a letter beside a point, as a share of the figure's."""
PANEL = (3.3, 2.3)


def frequency_figure(rows: Sequence[Mapping[str, Any]]) -> str:
    """F1 of each label against how often it stands in the training examples; the most telling labels by name."""
    count, f1 = frequency_and_f1(rows)
    middle, mean = binned_means(count, f1)
    with canvas() as (figure, axes):
        axes.scatter(count, f1, s=22, color=PALETTE[0], alpha=0.55, linewidths=0, label="one label")
        axes.plot(middle, mean, color=PALETTE[1], linewidth=2, label="mean of labels about as frequent")
        frequency_axes(axes, count)
        _name_points(axes, [row["label"] for row in rows], count, f1)
        figure.legend(loc="outside upper left", ncols=2)
        alternative = (
            f"Scatter plot of {len(f1)} labels: F1 in percent against the number of training examples, log scale. "
            f"Mean F1 from {mean[0]:.0f} % for the rarest to {mean[-1]:.0f} % for the most frequent."
        )
        return (as_image if len(f1) > MOST_SHAPES else as_svg)(figure, alternative=alternative)


def curve_figures(curves: Mapping[str, Curve]) -> list[str]:
    """Draw each curve in a figure of its own, for they have no unit in common."""
    drawn = []
    for place, (name, (epochs, values)) in enumerate(curves.items()):
        with canvas(width=PANEL[0], height=PANEL[1]) as (figure, axes):
            axes.plot(epochs, values, color=look_of(place)[0], marker="o" if len(epochs) < 4 else None)
            axes.set(title=name, xlabel="epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            said = f"{name} by epoch, from {values[0]:.4g} to {values[-1]:.4g}."
            drawn.append(as_svg(figure, alternative=said))
    return drawn


def embedding_figure(embedding: EmbeddingScatter) -> str:
    """Draw the embeddings in the plane; the most frequent labels have a colour and a marker, the others are grey."""
    with canvas(height=4.4) as (figure, axes):
        named, count = scatter_labels(axes, embedding), len(embedding.labels)
        axes.set(xlabel=f"first direction ({embedding.method})", ylabel="second direction")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=1.6, title="label", alignment="left")
        alternative = f"Map of {count} embeddings ({embedding.method}), coloured by label: {', '.join(named)}."
        return (as_image if count > MOST_SHAPES else as_svg)(figure, alternative=alternative)


def scatter_labels(axes: Axes, embedding: EmbeddingScatter, *, size: float = 15) -> list[str]:
    """Draw the dots of a map, and say which labels have a colour and a marker: the most frequent."""
    found = Counter(label for label in embedding.labels if label is not None)
    named = [label for label, _ in found.most_common(len(PALETTE))]
    ranks = np.array([named.index(label) if label in named else -1 for label in embedding.labels])
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[])
    # One sweep a label: many dots over few would hide the few.
    for rank in [-1, *range(len(named))]:
        color, marker = look_of(rank) if rank >= 0 else (OTHERS, "o")
        area, name = (size, _shortened(named[rank])) if rank >= 0 else (0.55 * size, "other labels")
        across, up = embedding.coordinates[ranks == rank].T
        axes.scatter(across, up, s=area, color=color, marker=marker, alpha=0.75, linewidths=0, label=name)
    return named


def _shortened(name: str, letters: int = LONGEST) -> str:
    """Cut a long name; its end says most, for names can be paths."""
    return name if len(name) <= letters else f"…{name[1 - letters :]}"


def label_histogram(counts: Mapping[str, int]) -> bytes:
    """Draw how often each label stands in the data, from frequent to rare, as PNG; with names where there is room."""
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    names, heights = [name for name, _ in ranked], np.array([count for _, count in ranked])
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
    """Training examples and F1 in percent of each label; none in training is drawn at one half, for the log scale."""
    count = np.array([max(float(row["train_count"]), 0.5) for row in rows])
    return count, np.array([100 * row["f1"] for row in rows])


def binned_means(
    count: Float[np.ndarray, " labels"], f1: Float[np.ndarray, " labels"], *, bins: int = 8
) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " bins"]]:
    """Mean F1 of groups of labels that are about as frequent, each with as many labels, and their mean log count.

    Example:
        >>> middle, mean = binned_means(np.array([1.0, 4.0, 100.0, 100.0]), np.array([0.0, 10.0, 60.0, 80.0]), bins=2)
        >>> middle.tolist(), mean.tolist()
        ([2.0, 100.0], [5.0, 70.0])
    """
    groups = np.array_split(np.argsort(count, kind="stable"), min(bins, len(count)))
    middle = np.array([np.exp(np.log(count[group]).mean()) for group in groups])
    return middle.round(6), np.array([f1[group].mean() for group in groups])


def frequency_axes(axes: Axes, count: Float[np.ndarray, " labels"]) -> None:
    """Label the axes of F1 against frequency; what is not in training has a tick of its own."""
    axes.set_xscale("log")
    axes.set(ylim=(-4, 104), xlabel="training examples with the label (log scale)", ylabel="F1 (%)")
    ticks = [10.0**power for power in range(9) if count.min() <= 2 * 10**power <= 4 * count.max()]
    shown = [f"{int(tick):,}" for tick in ticks]
    axes.set_xticks(([0.5] if count.min() < 1 else []) + ticks, (["0"] if count.min() < 1 else []) + shown)
    axes.minorticks_off()


def _name_points(
    axes: Axes, names: Sequence[str], count: Float[np.ndarray, " labels"], f1: Float[np.ndarray, " labels"]
) -> None:
    """Name the labels farthest from what their frequency promises, as long as there is room beside them."""
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


WIDTH, HEIGHT = 3.4, 4.3


def level_figures(maps: Sequence[EmbeddingScatter]) -> list[str]:
    """Draw the map of each level, from the roots on; its most frequent nodes have a colour and a marker."""
    drawn = []
    for level, embedding in enumerate(maps):
        with canvas(width=WIDTH, height=HEIGHT) as (figure, axes):
            named = scatter_labels(axes, embedding, size=9)
            axes.set(title=f"level {level}", xlabel="first direction", ylabel="second direction")
            figure.legend(loc="outside lower left", fontsize=8, markerscale=1.6, borderpad=0)
            said = f"Map of {len(embedding.labels)} embeddings ({embedding.method}), level {level}: {', '.join(named)}."
            drawn.append(as_image(figure, alternative=said))
    return drawn
