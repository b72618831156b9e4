"""The tree of labels as a page shows it: every node below its parent, with its F1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
