"""How every figure looks, and how it gets into a page: as inline SVG with a text alternative, or as PNG."""

from __future__ import annotations

import base64
import html
import re
from contextlib import contextmanager
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

# Okabe and Ito (2008), told apart under every kind of colour blindness; ink for their black, no yellow: it is too weak.
INK, FAINT, GRID, OTHERS = "#22303c", "#9aa5b1", "#e4e9ee", "#cdd4db"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

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
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
}


@contextmanager
def canvas(*, width: float = 6.4, height: float = 3.9) -> Iterator[tuple[Figure, Axes]]:
    """Open a figure with one panel, in inches, in the style of this package and without pyplot's global state."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height))
        yield figure, figure.subplots()


def look_of(place: int) -> tuple[str, str]:
    """Colour and marker of the n-th thing drawn; with more things than colours the markers still differ."""
    lap, color = divmod(place, len(PALETTE))
    return PALETTE[color], MARKERS[(color + lap) % len(MARKERS)]


def as_svg(figure: Figure, *, alternative: str) -> str:
    """Write the figure as an inline SVG element that a screen reader reads as the alternative."""
    text = as_svg_file(figure)
    # Matplotlib numbers its groups from 1 in each figure: on one page the names would clash, and none is referred to.
    drawing = re.sub(r' id="[a-zA-Z0-9.]+_\d+"', "", text[text.index("<svg") :])
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', drawing)
    assert box is not None
    root = (
        f'<svg role="img" aria-label="{html.escape(alternative)}" {box[0]} xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return root + drawing[drawing.index(">") + 1 :]


def as_svg_file(figure: Figure) -> str:
    """Write the figure as an SVG document that stands alone."""
    buffer = StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return buffer.getvalue()


def as_png(figure: Figure) -> bytes:
    """Write the figure as PNG, sharp on a screen of double density."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=200, metadata={"Software": None})
    return buffer.getvalue()


def as_image(figure: Figure, *, alternative: str) -> str:
    """Write the figure as an inline image: for more points than a page should hold as shapes."""
    data = base64.b64encode(as_png(figure)).decode("ascii")
    return f'<img alt="{html.escape(alternative)}" src="data:image/png;base64,{data}">'
