"""The critical-difference diagram: mean ranks of many losses on many data sets on one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labelcontrast.reports.canvas import FAINT, INK, as_svg, canvas

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from labelcontrast.reports.summary import RankedMetric

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
