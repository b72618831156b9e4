"""Label columns as label sets: lists, text, objects, paths, soft and unknown values, columns of 0 and 1."""

import json
import math
from ast import literal_eval
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, Never

import numpy as np
from numpy.typing import NDArray

from labelcontrast.data.table import ArrowColumn, DataTable, coded, flattened, listed
from labelcontrast.errors import LabelError
from labelcontrast.labels.label_sets import LabelSets

Values = list[dict[str, float]]
"""For each example the labels whose value is neither 0 nor 1: a number between, or NaN if it is unknown."""
PRESENT = 0.5
"""A soft label of at least this value is in the label set of its example, for counts and metrics."""
ONE_OR_ZERO: dict[object, bool] = {
    0: False, "0": False, "0.0": False, "False": False, "false": False,
    1: True, "1": True, "1.0": True, "True": True, "true": True,
}  # fmt: skip
UNKNOWN = frozenset(["", "-1", "-1.0", "nan", "none", "null"])
STEP = " > "
"""The text between the labels of a path."""
SEPARATORS = (";", "|", ",")
READABLE = {"text", "a list", "a number", "an object"}
_TYPES = {str: "text", list: "a list", bool: "true or false", int: "a number", float: "a number", dict: "an object"}


class LabelColumn(NamedTuple):
    """The labels of every row."""

    sets: LabelSets
    sentence: str
    """A sentence on the interpretation of the column."""
    values: Values | None = None
    """Soft and unknown labels."""
    parents: dict[str, tuple[str, ...]] | None = None
    """The label above each label, if labels are paths."""


def labels_of(rows: DataTable, labels: str | tuple[str, ...], separator: str | None = None) -> LabelColumn:
    """Read the labels of every row.

    A cell is a list of names or of numbers, a list of 0 and 1 for ``label_0``, ``label_1``, ..., text with a separator
    between names, one name, or an object of names with values. A value, there and in a column for each label, is 0, 1,
    a number between, or unknown (null, empty, NaN or -1). A name with `` > `` in it is a path through a hierarchy.

    Args:
        rows: The table.
        labels: One column of label sets, or several columns of values.
        separator: The text between the labels of a cell; detected if it is None.

    Returns:
        The label sets, each label once and in the order of the file; the interpretation; and soft and unknown labels.
        A soft label of 0.5 or more is in the set too.

    Raises:
        LabelError: Cells are of different types, or a cell cannot be read as labels.

    Example:
        >>> rows = DataTable(origin="reviews.csv", columns={"tags": ["sports; health", ""]}, lines=[2, 3])
        >>> labels_of(rows, "tags")[:2]
        ([('sports', 'health'), ()], 'labels in "tags", separated by ";"')
    """
    if not isinstance(labels, str):
        columns = [rows.columns[name] for name in labels]
        across = zip(range(len(rows)), *columns, strict=True)
        table = [_values(zip(labels, cells, strict=True), rows, row) for row, *cells in across]
        return _valued(table, f"labels are the {len(labels)} columns of 0 and 1 {listed(labels, most=4)}")
    cells = rows.columns[labels]
    expected = _one_type(rows, labels, cells)
    if expected == "an object":
        table = [
            _values(((str(name), value) for name, value in cell.items()), rows, row, labels)
            for row, cell in enumerate(cells)
            if isinstance(cell, dict)
        ]
        return _valued(table, f'labels in "{labels}", one object per row')
    if expected == "a number":
        numbers, which = coded(cells)
        firsts = _first_rows(rows, which)
        names = [(_whole(number, firsts, row, labels),) for row, number in enumerate(numbers)]
        return LabelColumn(LabelSets.of(names).select(which), f'one label per row, a number in "{labels}"')
    if expected == "a list" and (width := _multi_hot_width(cells)):
        table = [
            _values(((f"label_{place}", value) for place, value in enumerate(cell)), rows, row, labels)
            for row, cell in enumerate(cells)
            if isinstance(cell, list)
        ]
        return _valued(table, f'labels in "{labels}", a list of {width} values per row')
    if expected == "text":
        texts, which = coded(cells)
        sets, sentence = _from_text(texts, _first_rows(rows, which), labels, separator)
        return _pathed(sets.select(which), sentence)
    return _pathed(_from_lists(cells, rows, labels), f'labels in "{labels}", one list per row')


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


def parents_of(names: Iterable[str]) -> dict[str, tuple[str, ...]] | None:
    """Return the label above each label that is a path; None if there is no path."""
    paths = [name for name in dict.fromkeys(names) if STEP in name]
    return {path: (path.rpartition(STEP)[0],) for path in paths} or None


def _prefixes(label: str) -> list[str]:
    """Return the prefixes of a path, the shortest first, the path last; white space around its steps is removed."""
    steps = [step.strip() for step in label.split(STEP.strip())] if STEP in label else [label]
    return [STEP.join(steps[: length + 1]) for length in range(len(steps))]


def _valued(table: list[dict[str, float]], sentence: str) -> LabelColumn:
    """Divide the values of labels into label sets, and the values that a set cannot hold."""
    sets = LabelSets.of(tuple(name for name, value in row.items() if value >= PRESENT) for row in table)
    values = [{name: value for name, value in row.items() if value != 1} for row in table]
    if not any(values):
        return LabelColumn(sets, sentence)
    unknown = sum(math.isnan(value) for row in values for value in row.values())
    soft = sum(map(len, values)) - unknown
    return LabelColumn(sets, f"{sentence}; {soft:,} values are soft, {unknown:,} unknown", values)


def _pathed(sets: LabelSets, sentence: str) -> LabelColumn:
    """If one label is a path, interpret all as paths and add the labels above them."""
    if not any(STEP in label for label in sets.names):
        return LabelColumn(sets, sentence)
    sets = sets.mapped(_prefixes)
    sentence = f'{sentence}; labels are paths with the separator ">"; the labels above each are added'
    return LabelColumn(sets, sentence, None, parents_of(sets.held))


def _first_rows(rows: DataTable, which: NDArray[np.int64]) -> DataTable:
    """Return the first row of each distinct cell, for the place in an error message."""
    firsts = np.unique(which, return_index=True)[1]
    return replace(rows, lines=[rows.lines[row] for row in firsts.tolist()])


def _one_type(rows: DataTable, name: str, cells: Sequence[object]) -> str:
    """Return the type of all cells of a column, or refuse the first cell that differs."""
    if isinstance(cells, ArrowColumn) and (cells.holds_lists or cells.holds_texts):
        return "a list" if cells.holds_lists else "text"
    types = [_TYPES.get(type(cell), "missing") for cell in cells]
    if set(types) <= {types[0]} & READABLE:
        return types[0]
    row = next(row for row, kind in enumerate(types) if kind != types[0] or kind not in READABLE)
    if types[row] == "missing":
        message = "there is nothing; an example without labels has an empty list."
    elif row == 0:
        message = f"labels are a list, a text, a whole number or an object. Got {types[0]}."
    else:
        message = f"labels are of one type: {types[0]} in {rows.counted} {rows.lines[0]}. Got {types[row]}."
    raise LabelError(message, path=rows.where(row, name))


def _from_lists(cells: Sequence[object], rows: DataTable, name: str) -> LabelSets:
    labels, sizes = flattened(cells)
    # A column in Arrow has one type, so its first label is enough.
    types = set(map(type, labels[:1] if isinstance(labels, ArrowColumn) else labels))
    if types not in ({str}, {int}, set()):
        _refuse_mixed(cells, rows, name)
    distinct, which = coded(labels)
    if "" in distinct:
        row = int(np.searchsorted(np.cumsum(sizes), np.argmax(which == distinct.index("")), side="right"))
        raise LabelError("a label is empty text; expected a name.", path=rows.where(row, name))
    return LabelSets.of_each_once(list(map(str, distinct)), which, sizes)


def _refuse_mixed(cells: Sequence[object], rows: DataTable, name: str) -> Never:
    """Refuse the first label that is not a name or whole number, or not of the type of the first label."""
    labels = ((row, label) for row, cell in enumerate(cells) if isinstance(cell, list) for label in cell)
    first: tuple[int, type] | None = None
    for row, label in labels:
        first = first or (row, type(label))
        if type(label) is first[1] and first[1] in {str, int}:
            continue
        what = f"the label {json.dumps(label, ensure_ascii=False)} is {_TYPES.get(type(label), 'null')}"
        if type(label) is first[1]:
            message = f"{what}; a label is a name or a whole number."
        else:
            place = f"{rows.counted} {rows.lines[first[0]]}"
            message = f"{what}, but {_TYPES.get(first[1], 'null')} in {place}; labels are of one type."
        raise LabelError(message, path=rows.where(row, name))
    raise AssertionError


def _from_text(cells: list[str], rows: DataTable, name: str, separator: str | None) -> tuple[LabelSets, str]:
    """Read text: a written list, names with a separator between, or one name."""
    filled = [cell for cell in cells if cell.strip()]
    if separator is None and filled and all(cell.lstrip()[0] == "[" and cell.rstrip()[-1] == "]" for cell in filled):
        lists = [_written_list(cell, rows, row, name) for row, cell in enumerate(cells)]
        return _from_lists(lists, rows, name), f'labels in "{name}", one list per row, as text'
    found = separator or next((mark for mark in SEPARATORS if any(mark in cell for cell in cells)), None)
    if found is None:
        single = ((label,) if (label := cell.strip()) else () for cell in cells)
        return LabelSets.of(single), f'one label per row, in "{name}"'
    split: Callable[[str], list[str]] = str.split if found.isspace() else lambda cell: cell.split(found)
    sets = ([label for part in split(cell) if (label := part.strip())] for cell in cells)
    return LabelSets.of(sets), f'labels in "{name}", separated by "{found}"'


def _written_list(cell: str, rows: DataTable, row: int, name: str) -> list[object]:
    """Parse a list as JSON or as a Python literal; an empty cell is an empty list."""
    if not cell.strip():
        return []
    try:
        return list(json.loads(cell))
    except ValueError:
        pass
    try:
        return list(literal_eval(cell.strip()))
    except (ValueError, SyntaxError):
        raise LabelError(f"expected a list of labels. Got {cell.strip()[:60]}", path=rows.where(row, name)) from None


def _multi_hot_width(cells: Sequence[object]) -> int:
    """Return the length of the lists if they hold a value for each label and cannot be numbers of labels; else 0.

    That is so if all are equally long, hold nothing but values, and one repeats a value or has one that is not a whole
    number: a list of label numbers does not repeat a label.
    """
    values, sizes = flattened(cells)
    if not sizes.any() or (sizes != sizes[0]).any() or isinstance(values[0], str):
        return 0
    lists = [cell for cell in cells if isinstance(cell, list)]
    odd = any(len(set(map(str, cell))) < len(cell) or any(type(value) is float for value in cell) for cell in lists)
    whole = all(value is None or type(value) in {int, float} for cell in lists for value in cell)
    fits = whole and all(value is None or value == -1 or not value > 1 for cell in lists for value in cell)
    return int(sizes[0]) if odd and fits else 0


def _values(
    cells: Iterable[tuple[str, object]], rows: DataTable, row: int, column: str | None = None
) -> dict[str, float]:
    """Read the values of the labels of a row, without zeros, or refuse the first cell that is not a value.

    Args:
        cells: Labels with their values.
        rows: The table.
        row: The position of the row.
        column: The column that holds all values; by default each label has its own.
    """
    found = {}
    for label, cell in cells:
        value = value_of(cell)
        if value is None:
            message = f'"{label}" must be 0, 1, a number between, or empty where it is unknown. Got {cell!r}.'
            raise LabelError(message, path=rows.where(row, column or label))
        if value:
            found[label] = value
    return found


def _whole(cell: object, rows: DataTable, row: int, name: str) -> str:
    if isinstance(cell, int | float) and float(cell).is_integer():
        return str(int(cell))
    raise LabelError(f"the label {cell} is not a whole number.", path=rows.where(row, name))
