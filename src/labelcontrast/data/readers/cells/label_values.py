"""Labels that are more than there or not: soft, or unknown; and labels written as paths through a hierarchy."""

import math
from collections.abc import Iterable

from labelcontrast.data.readers.rows import ONE_OR_ZERO
from labelcontrast.labels.label_sets import LabelSets

Values = list[dict[str, float]]
"""For each example, the labels whose value is neither 0 nor 1: a number between, or NaN where it is unknown."""
UNKNOWN = frozenset(["", "-1", "-1.0", "nan", "none", "null"])
STEP = " > "
"""Stands between the labels of a path."""
PRESENT = 0.5
"""A soft label from here on is in the label set of its example, where sets are counted and measured."""


def value_of(cell: object) -> float | None:
    """Read the value of a label: 0 to 1, NaN for an unknown one (null, empty, NaN or -1), None for anything else.

    Example:
        >>> value_of("0.25"), value_of(True), value_of(-1), value_of("maybe")
        (0.25, 1.0, nan, None)
    """
    if isinstance(cell, list | dict):
        return None
    if cell in ONE_OR_ZERO:
        return float(ONE_OR_ZERO[cell])
    written = "" if cell is None else str(cell).strip()
    if written.lower() in UNKNOWN:
        return math.nan
    try:
        value = float(written)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def divided(rows: Iterable[dict[str, float]]) -> tuple[LabelSets, Values | None]:
    """Divide the values of labels into label sets and what a set cannot say; None where that is nothing.

    Example:
        >>> divided([{"a": 1.0, "b": 0.7, "c": 0.0}])
        ([('a', 'b')], [{'b': 0.7}])
    """
    sets: list[tuple[str, ...]] = []
    values: Values = []
    for row in rows:
        sets.append(tuple(name for name, value in row.items() if value >= PRESENT))
        values.append({name: value for name, value in row.items() if value not in {0.0, 1.0}})
    return LabelSets.of(sets), values if any(values) else None


def with_ancestors(label_sets: LabelSets) -> LabelSets:
    """Read labels as paths: each also stands for every path that it goes on from.

    Example:
        >>> with_ancestors(LabelSets.of([("food > drinks > tea", "food > fruit"), ("toys",)]))
        [('food', 'food > drinks', 'food > drinks > tea', 'food > fruit'), ('toys',)]
    """
    return label_sets.mapped(_prefixes)


def parents_of(names: Iterable[str]) -> dict[str, tuple[str, ...]] | None:
    """Return the label above each label that is a path; None where none is."""
    paths = [name for name in dict.fromkeys(names) if STEP in name]
    return {path: (path.rpartition(STEP)[0],) for path in paths} or None


def _prefixes(label: str) -> list[str]:
    """Return the beginnings of a path, the shortest first, the path last; blanks around its steps do not matter."""
    steps = [step.strip() for step in label.split(STEP.strip())] if STEP in label else [label]
    return [STEP.join(steps[: length + 1]) for length in range(len(steps))]
