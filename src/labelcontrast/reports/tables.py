"""Tables as plain text, Markdown and LaTeX, and the text of their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labelcontrast.reports.summary import Measure

NOTHING = "\u2013"
COUNTED = {
    "anchors_without_positives": "anchors without a positive",
    "similarity_of_positives": "similarity of positives",
    "similarity_of_negatives": "similarity of negatives",
    "positives_pushed_away": "positives pushed more than pulled",
}
"""How the page names what a contrastive loss counts of its pairs."""


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table; ``best`` where no other row is better."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A header, and rows as long as it."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    texts: int = 1
    """The first so many columns are text, the others are numbers."""


def as_text(table: Table) -> str:
    """Align the table for a terminal; the best of a column has a star."""
    lines = [table.header, *(tuple(f"*{cell.text}" if cell.best else cell.text for cell in row) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < table.texts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def as_markdown(table: Table) -> str:
    r"""Write the table as Markdown; the best of a column is bold.

    Example:
        >>> print(as_markdown(Table(("loss", "mAP"), ((Cell("a|b"), Cell("61.20", best=True)),))))
        | loss | mAP |
        | --- | ---: |
        | a\|b | **61.20** |
    """
    rule = ["---"] * table.texts + ["---:"] * (len(table.header) - table.texts)
    rows = [[f"**{cell.text}**" if cell.best else cell.text.replace("|", "\\|") for cell in row] for row in table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [table.header, rule, *rows])


def as_latex(table: Table) -> str:
    r"""Write the table as LaTeX for the package booktabs; the best of a column is bold.

    Example:
        >>> print(as_latex(Table(("loss", "mAP (%)"), ((Cell("wo_reg"), Cell("61.20 ± 0.10", best=True)),))))
        \begin{tabular}{lr}
        \toprule
        loss & mAP (\%) \\
        \midrule
        wo\_reg & \textbf{61.20 $\pm$ 0.10} \\
        \bottomrule
        \end{tabular}
    """
    rows = [[f"\\textbf{{{_tex(one.text)}}}" if one.best else _tex(one.text) for one in row] for row in table.rows]
    lines = [f"{' & '.join(row)} \\\\" for row in [[_tex(heading) for heading in table.header], *rows]]
    columns = "l" * table.texts + "r" * (len(table.header) - table.texts)
    body = ["\\toprule", lines[0], "\\midrule", *lines[1:], "\\bottomrule"]
    return "\n".join([f"\\begin{{tabular}}{{{columns}}}", *body, "\\end{tabular}"])


def in_unit(measure: Measure, value: object) -> str:
    """Write a value as a table has it: as percent, but for a metric that counts steps.

    Example:
        >>> from labelcontrast.metrics.registry import HIERARCHICAL_METRICS, METRICS
        >>> in_unit(METRICS["micro_f1"], 0.5), in_unit(HIERARCHICAL_METRICS["tree_distance_of_errors"], 2.25)
        ('50.00', '2.25')
    """
    if measure.unit == "steps" and isinstance(value, (int, float)):
        return percent(value / 100)
    return percent(value)


def percent(value: object) -> str:
    """Write a fraction as percent with two decimals, and what is unknown (none, NaN) as a dash.

    Example:
        >>> percent(0.61234), percent(float("nan")), percent(None)
        ('61.23', '–', '–')
    """
    return f"{100 * value:.2f}" if isinstance(value, (int, float)) and isfinite(value) else NOTHING


def duration(seconds: float) -> str:
    """Write a time span in the two units that matter.

    Example:
        >>> duration(4.21), duration(75), duration(7380)
        ('4.2 s', '1 min 15 s', '2 h 03 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _tex(text: str) -> str:
    """Write a text so that LaTeX shows it as it is."""
    return "".join(_TEX.get(character, character) for character in text)


_TEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "±": "$\\pm$",
    NOTHING: "--",
}
