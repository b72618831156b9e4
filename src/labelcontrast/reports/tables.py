"""Tables as plain text, Markdown and LaTeX; the tables of a run over a hierarchy, and the tree of its labels."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from labelcontrast.files import as_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from labelcontrast.reports.summary import Measure

    Level = Mapping[str, float | None]

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
NOTHING = "\u2013"
"""A dash, for an unknown value."""
PAIR_STATISTICS = {
    "anchors_without_positives": "anchors without a positive",
    "similarity_of_positives": "similarity of positives",
    "similarity_of_negatives": "similarity of negatives",
    "positives_pushed_away": "positives pushed more than pulled",
}
"""Titles of the statistics that a contrastive loss collects of its pairs."""
SEPARATORS = " >/|:-.\u2013\u2014"
"""Characters that may separate a node's name from its parent's, if it begins with that."""


@dataclass(frozen=True)
class Cell:
    """The text of a cell, and whether it is the best of its column."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A header, and rows of the same length."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    texts: int = 1
    """Number of leading columns that are text; the others are numbers."""


@dataclass(frozen=True)
class Branch:
    """A node of a tree with the nodes below it."""

    name: str
    """Without the name of its parent, if it begins with that."""
    f1: float | None
    """None if no example has the node."""
    support: int
    below: tuple[Branch, ...]
    elsewhere: bool = False
    """True if the nodes below it are shown at an earlier place: it has several parents."""


def printable(text: str) -> str:
    r"""Replace what a terminal or a page would obey by its escape: control characters and changes of direction.

    Line ends and tabs stay.

    Example:
        >>> printable("a \x1b[31mlabel")
        'a \\x1b[31mlabel'
    """
    return CONTROL.sub(lambda one: one[0].encode("unicode_escape").decode(), text)


def json_line(value: Any) -> str:  # noqa: ANN401
    r"""Return JSON on one line, with NaN as null and what a terminal would obey as escapes of JSON.

    Example:
        >>> print(json_line({"caf\u00e9 \x9b": float("nan")}))
        {"café \u009b": null}
    """
    return CONTROL.sub(lambda one: json.dumps(one[0])[1:-1], as_json(value, indent=None).rstrip())


def as_text(table: Table) -> str:
    """Return the table as aligned text; the best of a column is marked with a star."""
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
    r"""Return the table as Markdown; the best of a column is bold.

    Example:
        >>> print(as_markdown(Table(("loss", "mAP"), ((Cell("a|b"), Cell("61.20", best=True)),))))
        | loss | mAP |
        | --- | ---: |
        | a\|b | **61.20** |
    """
    rule = ["---"] * table.texts + ["---:"] * (len(table.header) - table.texts)
    rows = [
        [f"**{text}**" if cell.best else text for cell in row for text in [markdown(cell.text)]] for row in table.rows
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in [[*map(markdown, table.header)], rule, *rows])


def markdown(value: object) -> str:
    r"""Return a text as one line of Markdown that shows it: no markup, HTML or control character in it has effect.

    Example:
        >>> print(markdown("a|b <script>"), markdown("wo_reg"), markdown("[x](y) *z*"), sep="\n")
        a\|b &lt;script>
        wo_reg
        \[x](y) \*z\*
    """
    line = "".join(one if one.isprintable() else " " for one in " ".join(str(value).split()))
    line = re.sub(r"[\\`*\[|]|(?<!\w)_|_(?!\w)", r"\\\g<0>", line)
    return re.sub(r"&(?=#?\w+;)", "&amp;", line).replace("<", "&lt;")


def spreadsheet(value: object) -> object:
    """Return a cell of a CSV file: a text that a spreadsheet would compute as a formula follows an apostrophe.

    Example:
        >>> spreadsheet("=1+1"), spreadsheet("-0.50 ± 0.10"), spreadsheet(-1.5)
        ("'=1+1", '-0.50 ± 0.10', -1.5)
    """
    is_formula = isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} and len(value) > 1
    return f"'{value}" if is_formula and not re.match(r"[-+][\d.]+( ±.*)?$", str(value)) else value


def as_latex(table: Table) -> str:
    r"""Return the table as LaTeX for the package booktabs; the best of a column is bold.

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
    """Format a value of a metric for a table: in percent, except for metrics that count steps.

    Example:
        >>> from labelcontrast.metrics.registry import HIERARCHICAL_METRICS, METRICS
        >>> in_unit(METRICS["micro_f1"], 0.5), in_unit(HIERARCHICAL_METRICS["tree_distance_of_errors"], 2.25)
        ('50.00', '2.25')
    """
    if measure.unit == "steps" and isinstance(value, (int, float)):
        return percent(value / 100)
    return percent(value)


def percent(value: object) -> str:
    """Format a fraction in percent with two decimals, and an unknown value (None, NaN) as a dash.

    Example:
        >>> percent(0.61234), percent(float("nan")), percent(None)
        ('61.23', '–', '–')
    """
    return f"{100 * value:.2f}" if isinstance(value, (int, float)) and isfinite(value) else NOTHING


def duration(seconds: float) -> str:
    """Format seconds in the two largest units that apply.

    Example:
        >>> duration(4.21), duration(75), duration(7380)
        ('4.2 s', '1 min 15 s', '2 h 03 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def measures_table(metrics: Mapping[str, Mapping[str, float]], measures: Sequence[Measure]) -> Table:
    """Tabulate metrics over the hierarchy, with a row per split.

    Example:
        >>> from labelcontrast.metrics.registry import HIERARCHICAL_METRICS
        >>> shown = [HIERARCHICAL_METRICS[name] for name in ("hierarchical_f1", "tree_distance_of_errors")]
        >>> measures_table({"test": {"hierarchical_f1": 0.5, "tree_distance_of_errors": 2.0}}, shown).rows
        ((Cell(text='test', best=False), Cell(text='50.00', best=False), Cell(text='2.00', best=False)),)
    """
    rows = [(Cell(split), *_cells(values, measures)) for split, values in metrics.items()]
    return Table(("over the hierarchy", *_titles(measures)), tuple(rows))


def level_table(levels: Sequence[Level], measures: Sequence[Measure]) -> Table:
    """Tabulate the metrics of each level, from the roots down.

    Example:
        >>> from labelcontrast.metrics.registry import LEVEL_METRICS
        >>> levels = [{"nodes": 3, "micro_f1": 0.5, "macro_f1": 0.25, "accuracy": None}]
        >>> level_table(levels, list(LEVEL_METRICS.values())).rows[0][1:3]
        (Cell(text='3', best=False), Cell(text='50.00', best=False))
    """
    rows = [
        (Cell(_level_title(place, len(levels))), Cell(f"{one['nodes']:,}"), *_cells(one, measures))
        for place, one in enumerate(levels)
    ]
    return Table(("level", "nodes", *_titles(measures)), tuple(rows))


def retrieval_table(groups: Mapping[str, Sequence[Level]], measures: Sequence[Measure]) -> Table:
    """Tabulate retrieval and clustering of embeddings by group and level; a group of one level is named alone.

    Example:
        >>> from labelcontrast.metrics.registry import RETRIEVAL_METRICS
        >>> found = {"map": 0.5, "precision_at_1": 1.0, "precision_at_10": 0.5, "nmi": 0.25}
        >>> groups, measures = {"seen": [found, found], "unseen leaves": [found]}, list(RETRIEVAL_METRICS.values())
        >>> [row[0].text for row in retrieval_table(groups, measures).rows]
        ['seen, level 0', 'seen, level 1', 'unseen leaves']
    """
    rows = [
        (Cell(group if len(levels) == 1 else f"{group}, level {place}"), *_cells(one, measures))
        for group, levels in groups.items()
        for place, one in enumerate(levels)
    ]
    return Table(("embeddings", *_titles(measures)), tuple(rows))


def branches(nodes: Sequence[Mapping[str, Any]]) -> tuple[Branch, ...]:
    """Return the roots of the tree of nodes, in the order of the rows; a node is placed below each of its parents.

    Args:
        nodes: Rows with ``node``, ``parents``, ``f1`` and ``support``.

    Example:
        >>> rows = [{"node": "a", "parents": [], "f1": 0.5, "support": 2},
        ...         {"node": "a/b", "parents": ["a"], "f1": 0.0, "support": 0}]
        >>> branches(rows)[0].below
        (Branch(name='b', f1=None, support=0, below=(), elsewhere=False),)
    """
    rows = {row["node"]: row for row in nodes}
    below: dict[str, list[str]] = {name: [] for name in rows}
    for name, row in rows.items():
        for parent in row["parents"]:
            below[parent].append(name)
    shown: set[str] = set()

    def branch(name: str, parent: str) -> Branch:
        row, again = rows[name], name in shown
        shown.add(name)
        held = () if again else tuple(branch(child, name) for child in below[name])
        f1 = row["f1"] if row["support"] else None
        return Branch(short_name(name, parent), f1, row["support"], held, elsewhere=again and bool(below[name]))

    return tuple(branch(name, "") for name, row in rows.items() if not row["parents"])


def short_name(name: str, parent: str) -> str:
    """Return a name without its parent's name at the beginning and the separator after it.

    Example:
        >>> short_name("food > drinks", "food"), short_name("cat", "animal"), short_name("foods", "food")
        ('drinks', 'cat', 'foods')
    """
    rest = name.removeprefix(parent)
    step = rest.lstrip(SEPARATORS)
    return step if parent and step and len(rest) < len(name) and step != rest else name


def _cells(values: Mapping[str, float | None], measures: Sequence[Measure]) -> list[Cell]:
    return [Cell(in_unit(measure, values[measure.name])) for measure in measures]


def _titles(measures: Sequence[Measure]) -> list[str]:
    return [measure.title for measure in measures]


def _level_title(level: int, levels: int) -> str:
    ends = {0: " (roots)", levels - 1: " (deepest)"} if levels > 1 else {}
    return f"{level}{ends.get(level, '')}"


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)


_TEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "±": "$\\pm$",
    NOTHING: "--",
}
