"""The figures of a comparison: what each loss reaches, where along the tail of labels, and how it got there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from labelcontrast.reports.canvas import INK, as_svg, canvas, look_of
from labelcontrast.reports.figures import PANEL, binned_means, frequency_and_f1, frequency_axes
from labelcontrast.reports.tables import title_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labelcontrast.reports.summary import ComparedLoss, Measure


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
