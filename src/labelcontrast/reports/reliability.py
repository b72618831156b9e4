"""The reliability diagram: what a model says against how often it is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from labelcontrast.reports.canvas import FAINT, as_svg, canvas, look_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Diagram = tuple["Sequence[float]", "Sequence[float]", "Sequence[float]"]
"""By bin: how many pairs, the mean probability, the share that is true."""


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
