"""Tables of a run over a hierarchy, and the tree of labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labelcontrast.reports.tables import Cell, Table, in_unit

if TYPE_CHECKING:
    Level = Mapping[str, float | None]
    from collections.abc import Mapping, Sequence

    from labelcontrast.reports.summary import Measure


def measures_table(metrics: Mapping[str, Mapping[str, float]], measures: Sequence[Measure]) -> Table:
    """Tabulate the measures over the hierarchy, a row a part of the data.

    Example:
        >>> from labelcontrast.metrics.registry import HIERARCHICAL_METRICS
        >>> shown = [HIERARCHICAL_METRICS[name] for name in ("hierarchical_f1", "tree_distance_of_errors")]
        >>> measures_table({"test": {"hierarchical_f1": 0.5, "tree_distance_of_errors": 2.0}}, shown).rows
        ((Cell(text='test', best=False), Cell(text='50.00', best=False), Cell(text='2.00', best=False)),)
    """
    rows = [(Cell(part), *_cells(one, measures)) for part, one in metrics.items()]
    return Table(("over the hierarchy", *_titles(measures)), tuple(rows))


def level_table(levels: Sequence[Level], measures: Sequence[Measure]) -> Table:
    """Tabulate the levels, from the roots on.

    Example:
        >>> from labelcontrast.metrics.registry import LEVEL_METRICS
        >>> levels = [{"nodes": 3, "micro_f1": 0.5, "macro_f1": 0.25, "accuracy": None}]
        >>> level_table(levels, list(LEVEL_METRICS.values())).rows[0][1:3]
        (Cell(text='3', best=False), Cell(text='50.00', best=False))
    """
    rows = [
        (Cell(_name(place, len(levels))), Cell(f"{one['nodes']:,}"), *_cells(one, measures))
        for place, one in enumerate(levels)
    ]
    return Table(("level", "nodes", *_titles(measures)), tuple(rows))


def retrieval_table(groups: Mapping[str, Sequence[Level]], measures: Sequence[Measure]) -> Table:
    """Tabulate retrieval and clusters of embeddings, the levels of one group after those of the other.

    A group of one row is named alone.

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


def _cells(values: Mapping[str, float | None], measures: Sequence[Measure]) -> list[Cell]:
    return [Cell(in_unit(measure, values[measure.name])) for measure in measures]


def _titles(measures: Sequence[Measure]) -> list[str]:
    return [measure.title for measure in measures]


def _name(level: int, levels: int) -> str:
    """Name a level by its number, and what is at either end."""
    ends = {0: " (roots)", levels - 1: " (deepest)"} if levels > 1 else {}
    return f"{level}{ends.get(level, '')}"


SEPARATORS = " >/|:-.\u2013\u2014"
"""What may stand between a node's name and that of its parent, where it begins with it."""
MOST_OPEN = 60
"""A tree of more nodes opens with its roots alone."""


@dataclass(frozen=True)
class Branch:
    """A node, and those below it."""

    name: str
    """Without what its parent is called, where it begins so."""
    f1: float | None
    """None where no example has the node."""
    support: int
    below: tuple[Branch, ...]
    elsewhere: bool = False
    """What is below it stands where it comes first: it has several parents."""


def branches(nodes: Sequence[Mapping[str, Any]]) -> tuple[Branch, ...]:
    """Put the nodes of a table below their parents, in its order; one with several parents comes below each.

    Args:
        nodes: rows with ``node``, ``parents``, ``f1`` and ``support``.

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
    """Leave out the parent's name at the beginning, and what stands behind it.

    Example:
        >>> short_name("food > drinks", "food"), short_name("cat", "animal"), short_name("foods", "food")
        ('drinks', 'cat', 'foods')
    """
    rest = name.removeprefix(parent)
    step = rest.lstrip(SEPARATORS)
    return step if parent and step and len(rest) < len(name) and step != rest else name
