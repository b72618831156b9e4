"""What stands in a label column, as label sets: lists, delimited text, single labels, or columns of 0 and 1."""

import json
from ast import literal_eval
from collections.abc import Callable, Sequence

from labelcontrast.data.readers.rows import ONE_OR_ZERO, Rows, listed
from labelcontrast.errors import DataError, LabelError

LabelSets = list[tuple[str, ...]]
SEPARATORS = (";", "|", ",")
_TYPES = {str: "text", list: "a list", bool: "true or false", int: "a number", float: "a number", dict: "an object"}


def label_sets_of(rows: Rows, labels: str | tuple[str, ...], separator: str | None = None) -> tuple[LabelSets, str]:
    """Read the labels of every row.

    Args:
        rows: the file.
        labels: one column of label sets, or several columns of 0 and 1.
        separator: what stands between the labels of a cell; found by looking where it is None.

    Returns:
        The label set of each row, each label once, in the order of the file; and what was understood.

    Raises:
        LabelError: when cells are of different types, or one is nothing that a label can be.

    Example:
        >>> rows = Rows(origin="reviews.csv", columns={"tags": ["sports; health", ""]}, lines=[2, 3])
        >>> label_sets_of(rows, "tags")
        ([('sports', 'health'), ()], 'labels in "tags", separated by ";"')
    """
    if not isinstance(labels, str):
        return _from_binary(rows, labels), f"labels are the {len(labels)} columns of 0 and 1 {listed(labels, most=4)}"
    cells = rows.columns[labels]
    expected = _one_type(rows, labels, cells)
    if expected == "a number":
        sets: LabelSets = [(_whole(cell, rows, row),) for row, cell in enumerate(cells)]
        return sets, f'one label a row, a number in "{labels}"'
    if expected == "text":
        return _from_text([str(cell) for cell in cells], rows, labels, separator)
    return _from_lists(cells, rows), f'labels in "{labels}", a list a row'


def _one_type(rows: Rows, name: str, cells: Sequence[object]) -> str:
    """Return the one type of all cells of a column, or refuse the first that differs."""
    types = [_TYPES.get(type(cell), "missing") for cell in cells]
    if set(types) <= {types[0]} & {"text", "a list", "a number"}:
        return types[0]
    row = next(row for row, kind in enumerate(types) if kind != types[0] or kind not in {"text", "a list", "a number"})
    if types[row] == "missing":
        message = f'there is no "{name}". An example without labels has an empty list.'
    elif row == 0:
        message = f'"{name}" is {types[0]}; labels are a list, a text or a whole number.'
    else:
        message = f'"{name}" is {types[row]}, but {types[0]} in {rows.counted} {rows.lines[0]}; labels are of one type.'
    raise LabelError(message, path=rows.where(row))


def _from_lists(cells: Sequence[object], rows: Rows) -> LabelSets:
    """Read lists of names or of whole numbers."""
    sets: LabelSets = []
    first: tuple[int, type] | None = None
    for row, cell in enumerate(cells):
        assert isinstance(cell, list)
        types = set(map(type, cell))
        if types and first is None:
            first = (row, type(cell[0]))
        if first and not types <= {first[1]} & {str, int}:
            wrong = next(label for label in cell if type(label) is not first[1] or first[1] not in {str, int})
            raise LabelError(_mixed(wrong, first[1], f"{rows.counted} {rows.lines[first[0]]}"), path=rows.where(row))
        if "" in cell:
            message = "a label is empty text."
            raise LabelError(message, path=rows.where(row))
        sets.append(tuple(dict.fromkeys(map(str, cell))))
    return sets


def _mixed(label: object, first: type, place: str) -> str:
    """Say why a label in a list cannot be one, or cannot stand beside the first."""
    what = f"the label {json.dumps(label, ensure_ascii=False)} is {_TYPES.get(type(label), 'null')}"
    if type(label) is first:
        return f"{what}; a label is a name or a whole number."
    return f"{what}, but {_TYPES.get(first, 'null')} in {place}; labels are of one type."


def _from_text(cells: list[str], rows: Rows, name: str, separator: str | None) -> tuple[LabelSets, str]:
    """Read text: a written list, names with a separator between, or one name."""
    filled = [cell for cell in cells if cell.strip()]
    if separator is None and filled and all(cell.lstrip()[0] == "[" and cell.rstrip()[-1] == "]" for cell in filled):
        lists = [_written_list(cell, rows, row) for row, cell in enumerate(cells)]
        return _from_lists(lists, rows), f'labels in "{name}", a written list a row'
    found = separator or next((mark for mark in SEPARATORS if any(mark in cell for cell in cells)), None)
    if found is None:
        return [(label,) if (label := cell.strip()) else () for cell in cells], f'one label a row, in "{name}"'
    split: Callable[[str], list[str]] = str.split if found.isspace() else lambda cell: cell.split(found)
    sets = [tuple(dict.fromkeys(label for part in split(cell) if (label := part.strip()))) for cell in cells]
    return sets, f'labels in "{name}", separated by "{found}"'


def _written_list(cell: str, rows: Rows, row: int) -> list[object]:
    """Read a list as JSON or as Python writes it; an empty cell is an empty list."""
    if not cell.strip():
        return []
    try:
        return list(json.loads(cell))
    except ValueError:
        pass
    try:
        return list(literal_eval(cell.strip()))
    except (ValueError, SyntaxError):
        message = f"not a list of labels: {cell.strip()[:60]}"
        raise LabelError(message, path=rows.where(row)) from None


def _from_binary(rows: Rows, names: tuple[str, ...]) -> LabelSets:
    """Read one column a label, of 0 and 1."""
    held: list[list[str]] = [[] for _ in range(len(rows))]
    for name in names:
        for row, cell in enumerate(rows.columns[name]):
            if isinstance(cell, list | dict) or cell not in ONE_OR_ZERO:
                message = f'"{name}" must be 0 or 1. Got {cell!r}.'
                raise DataError(message, path=rows.where(row))
            if ONE_OR_ZERO[cell]:
                held[row].append(name)
    return [tuple(labels) for labels in held]


def _whole(cell: object, rows: Rows, row: int) -> str:
    """Write a whole number as a label."""
    if isinstance(cell, int | float) and float(cell).is_integer():
        return str(int(cell))
    message = f"the label {cell} is not a whole number."
    raise LabelError(message, path=rows.where(row))
