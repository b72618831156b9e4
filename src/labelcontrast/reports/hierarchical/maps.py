"""The map of embeddings, coloured by level: the same dots in a panel for each level of the hierarchy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labelcontrast.reports.canvas import as_image, canvas
from labelcontrast.reports.figures import scatter_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labelcontrast.reports.summary import EmbeddingMap

WIDTH, HEIGHT = 3.4, 4.3


def level_figures(maps: Sequence[EmbeddingMap]) -> list[str]:
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
