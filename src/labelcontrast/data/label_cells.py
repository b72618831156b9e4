"""Label columns as label sets: lists, text, objects, paths, soft and unknown values, columns of 0 and 1."""

import json
import math
import re
import warnings
from ast import literal_eval
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Never, Self

import numpy as np
from numpy.typing import NDArray

from labelcontrast.data.table import ArrowColumn, DataTable, coded, flattened, listed
from labelcontrast.errors import LabelError
from labelcontrast.files import parse_json
from labelcontrast.labels.label_sets import LabelSets

Values = list[dict[str, float]]
"""For each example the labels whose value is neither 0 nor 1: a number between, or NaN if it is unknown."""
PRESENT = 0.5
"""A soft label of at least this value is in the label set of its example, for counts and metrics."""
ONE_OR_ZERO: dict[object, bool] = {
    0: False, "0": False, "0.0": False, "false": False,
    1: True, "1": True, "1.0": True, "true": True,
}  # fmt: skip
UNKNOWN = frozenset(["", "-1", "-1.0", "nan", "none", "null", "na", "n/a", "#n/a", "<na>", "nat", "?"])
NO_LABEL = frozenset(["nan", "NaN", "None", "null", "NULL", "<NA>", "#N/A"])
"""What programs write into a cell of text where there is nothing."""
STEP = " > "
"""The text between the labels of a path."""
SEPARATORS = ("\n", "\t", ";", "|", ",")
RARE_SEPARATORS = {"#": 1, " ": 3}
"""Marks that names hold too, with the number of cells of several names that it takes to see them as separators."""
READABLE = {"text", "a list", "a number", "an object"}
_TYPES = {str: "text", list: "a list", bool: "true or false", int: "a number", float: "a number", dict: "an object"}
_BRACKET = re.compile(r"(?:[A-Za-z]\w*\s*(?=\(\s*[\[({)]))?(?:[\[{]|\(\s*['\"\[({)]|\([-+.\d\s]+,)")
"""The start of a written list, set, tuple or object; ``(other)`` is a name."""
_CALL = re.compile(r"[A-Za-z]\w*\s*\((.*?)(?:,\s*dtype=[^()\[\]]*)?\)", re.DOTALL)
"""What Python writes around an array or a set, as ``array(['a'], dtype=object)``."""
_ITEM = re.compile(r"""\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s'",\[\]]+)(?=\s|$)""")
_SIDE_BY_SIDE = re.compile(r"""['"]\s*(?:[uUbBrR]?['"])""")


class CellFormat(NamedTuple):
    """How the cells of one label column are written, found over all parts of the data."""

    separator: str | None = None
    """The text between the names of a cell; empty if a cell is one name, None if no cell is plain text."""
    multi_hot: int = 0
    """The length of the lists if they hold a value for each label; 0 if they hold names or numbers of labels."""
    named: bool = False
    """The user named the separator, so that a bracket may open a name."""


class LabelColumn(NamedTuple):
    """The labels of every row."""

    sets: LabelSets
    sentence: str
    """A sentence on the interpretation of the column."""
    values: Values | None = None
    """Soft and unknown labels."""
    parents: dict[str, tuple[str, ...]] | None = None
    """The label above each label, if labels are paths."""

    def select(self, which: NDArray[np.int64]) -> Self:
        """Return the labels at these positions."""
        values = self.values and [self.values[code] for code in which.tolist()]
        return self._replace(sets=self.sets.select(which), values=values)


def labels_of(
    rows: DataTable, labels: str | tuple[str, ...], separator: str | None = None, multi_hot: int | None = None
) -> LabelColumn:
    """Read the labels of every row of a table that is all of the data; see ``read_labels``.

    Example:
        >>> rows = DataTable(origin="reviews.csv", columns={"tags": ["sports; health", ""]}, lines=[2, 3])
        >>> labels_of(rows, "tags")[:2]
        ([('sports', 'health'), ()], 'labels in "tags", separated by ";"')
    """
    return read_labels(rows, labels, find_format([rows], labels, separator, multi_hot))


def find_format(
    parts: Sequence[DataTable],
    labels: str | tuple[str, ...],
    separator: str | None = None,
    multi_hot: int | None = None,
) -> CellFormat:
    """Find out how the label cells are written, from those of all parts of the data together.

    Lists hold a value for each label if all are equally long, hold nothing but values, and one repeats a value or has
    one that is not a whole number: a list of label numbers does not repeat a label.

    Args:
        parts: The tables of all splits.
        labels: One column of label sets, or several columns of values, which have no format.
        separator: The separator if the user named it.
        multi_hot: The length of the lists of values if the user named it, 0 for lists of names.

    Raises:
        LabelError: The cells of a part are of different types.
    """
    if not isinstance(labels, str):
        return CellFormat(separator, 0, named=separator is not None)
    plain: list[str] = []
    lists: list[Sequence[list[object]]] = []
    for rows in parts:
        cells = _choices(rows.columns[labels])
        kind = _one_type(rows, labels, cells)
        if kind == "text":
            texts = coded(cells)[0]
            plain += [text for text in texts if not _opens_with_bracket(text)]
            lists.append([written for text in texts if (written := _written_numbers(text))])
        elif kind == "a list":
            lists.append(cells)  # type: ignore[arg-type]
    found = _separator(list(map(str.strip, plain))) if separator is None else separator
    width = _multi_hot_width(lists) if multi_hot is None else multi_hot
    return CellFormat(found, width, named=separator is not None)


def read_labels(rows: DataTable, labels: str | tuple[str, ...], form: CellFormat) -> LabelColumn:
    """Read the labels of every row.

    A cell is a list of names or of numbers, a list of values for ``label_0``, ``label_1``, ..., text with a separator
    between names, one name, an object of names with values, or any of these written as text. A value, there and in a
    column for each label, is 0, 1, a number between, or unknown (null, empty, NaN, NA or -1). A name with `` > `` in it
    is a path through a hierarchy.

    Args:
        rows: The table.
        labels: One column of label sets, or several columns of values.
        form: How the cells are written.

    Returns:
        The label sets, each label once and in the order of the file; the interpretation; and soft and unknown labels.
        A soft label of 0.5 or more is in the set too.

    Raises:
        LabelError: Cells are of different types, or a cell cannot be read as labels.
    """
    if not isinstance(labels, str):
        columns = [rows.columns[name] for name in labels]
        across = zip(range(len(rows)), *columns, strict=True)
        table = [_values(zip(labels, cells, strict=True), rows, row) for row, *cells in across]
        return _valued(table, f"labels are the {len(labels)} columns of 0 and 1 {listed(labels, most=4)}")
    cells = _choices(rows.columns[labels])
    expected = _one_type(rows, labels, cells)
    if expected == "a number":
        numbers, which = coded(cells)
        firsts = _first_rows(rows, which)
        names = [(_whole(number, firsts, row, labels),) for row, number in enumerate(numbers)]
        return LabelColumn(LabelSets.of(names).select(which), f'one label per row, a number in "{labels}"')
    if expected == "text":
        texts, which = coded(cells)
        return _from_texts(texts, _first_rows(rows, which), labels, form).select(which)
    return _from_items(cells, rows, labels, form.multi_hot, expected)


def value_of(cell: object) -> float | None:
    """Read the value of a label: 0 to 1, NaN for an unknown one (null, empty, NaN or -1), None for anything else.

    Example:
        >>> value_of("0.25"), value_of(True), value_of(-1), value_of("maybe")
        (0.25, 1.0, nan, None)
    """
    if isinstance(cell, list | dict | bytes):
        return None
    written = "" if cell is None else cell.strip().lower() if isinstance(cell, str) else cell
    if written in ONE_OR_ZERO:
        return float(ONE_OR_ZERO[written])
    try:
        if str(written).lower() in UNKNOWN:
            return math.nan
        value = float(written)  # type: ignore[arg-type]
    except (ValueError, TypeError, OverflowError):
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


def _choices(cells: Sequence[object]) -> Sequence[object]:
    """Return lists for cells as Label Studio writes them: ``{"choices": ["a", "b"]}`` for several, ``"a"`` for one.

    Other cells are returned as they are.
    """
    if isinstance(cells, ArrowColumn) or not any(isinstance(cell, dict) for cell in cells):
        return cells
    held = [_inner_list(cell) for cell in cells]
    if any(inner is cell and not isinstance(cell, str) for inner, cell in zip(held, cells, strict=True)):
        return cells
    return [[inner] if isinstance(inner, str) else inner for inner in held]


def _inner_list(value: object) -> object:
    """Return the list in an object that holds nothing else, any other value as it is."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(inner := next(iter(value.values())), list):
        return inner
    return value


def _one_type(rows: DataTable, name: str, cells: Sequence[object]) -> str:
    """Return the type of all cells of a column, or refuse the first cell that differs."""
    if isinstance(cells, ArrowColumn) and (cells.holds_lists or cells.holds_texts):
        return "a list" if cells.holds_lists else "text"
    types = ["missing" if cell is None else _type_of(cell) for cell in cells]
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


def _type_of(cell: object) -> str:
    return "null" if cell is None else _TYPES.get(type(cell), f"a {type(cell).__name__}")


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
        what = f"the label {_shown(label)} is {_type_of(label)}"
        if type(label) is first[1]:
            message = f"{what}; a label is a name or a whole number."
        else:
            place = f"{rows.counted} {rows.lines[first[0]]}"
            message = f"{what}, but {_TYPES.get(first[1], 'null')} in {place}; labels are of one type."
        raise LabelError(message, path=rows.where(row, name))
    raise AssertionError


def _from_items(cells: Sequence[object], rows: DataTable, name: str, multi_hot: int, kind: str) -> LabelColumn:
    """Read cells that are all lists, or all objects."""
    if kind == "an object":
        table = [
            _values(((str(label), value) for label, value in cell.items()), rows, row, name)
            for row, cell in enumerate(cells)
            if isinstance(cell, Mapping)
        ]
        return _valued(table, f'labels in "{name}", one object per row')
    if multi_hot:
        table = [
            _values(_of_each_label(cell, multi_hot, rows.where(row, name)), rows, row, name)
            for row, cell in enumerate(cells)
            if isinstance(cell, list)
        ]
        return _valued(table, f'labels in "{name}", a list of {multi_hot} values per row')
    return _pathed(_from_lists(cells, rows, name), f'labels in "{name}", one list per row')


def _of_each_label(cell: list[object], multi_hot: int, place: str) -> Iterable[tuple[str, object]]:
    if len(cell) != multi_hot:
        raise LabelError(f"a list of {len(cell)} values; expected one for each of {multi_hot} labels.", path=place)
    return ((f"label_{number}", value) for number, value in enumerate(cell))


def _from_texts(texts: list[str], rows: DataTable, name: str, form: CellFormat) -> LabelColumn:
    """Read cells of text, each as what it is: a written list or object, names with a separator between, or one name."""
    cells = [_written(text, rows, row, name, form) for row, text in enumerate(texts)]
    objects = [isinstance(cell, dict) for cell in cells]
    if any(objects):
        if other := next((row for row, cell in enumerate(cells) if cell and not objects[row]), None):
            message = f"the labels of other rows are objects. Got {_cut(texts[other])}"
            raise LabelError(message, path=rows.where(other, name))
        read = _from_items([cell or {} for cell in cells], rows, name, 0, "an object")
    elif form.multi_hot:  # an empty cell says nothing of any label
        cells = [cell or [None] * form.multi_hot for cell in cells]
        read = _from_items(cells, rows, name, form.multi_hot, "a list")
    else:
        read = _from_items(cells, rows, name, 0, "a list")
    plain = [text for text in texts if text.strip() and not _opens_with_bracket(text)]
    if not all(text in NO_LABEL for text in map(str.strip, plain)):
        parts = f', separated by "{_SHOWN.get(form.separator, form.separator)}"' if form.separator else ""
        told = f'labels in "{name}"{parts}' if parts else f'one label per row, in "{name}"'
        told += ", or lists as text" if any(map(_opens_with_bracket, texts)) else ""
        read = read._replace(sentence=read.sentence.replace(f'labels in "{name}", one list per row', told))
    elif len(plain) < len(texts):
        read = read._replace(sentence=f"{read.sentence}, as text")
    if empty := sorted({text.strip() for text in plain} & NO_LABEL):
        read = read._replace(sentence=f"{read.sentence}; {listed(empty)} is no label")
    return read


def _opens_with_bracket(text: str) -> bool:
    return _BRACKET.match(text.lstrip()) is not None


def _separator(cells: list[str]) -> str | None:
    """Find the text between the names of cells; empty if every cell is one name, None if there is no cell."""
    if not cells:
        return None
    if usual := next((mark for mark in SEPARATORS if any(mark in cell for cell in cells)), None):
        return usual
    whole = set(cells)
    for mark, enough in RARE_SEPARATORS.items():
        several = [parts for cell in whole if len(parts := _split(cell, mark)) > 1]
        inside = not any(cell.startswith(mark) or cell.endswith(mark) for cell in whole)
        if inside and len(several) >= enough and whole.issuperset(part for parts in several for part in parts):
            return mark
    return ""


def _split(cell: str, separator: str | None) -> list[str]:
    if not separator:
        return [name] if (name := cell.strip()) else []
    return [name for part in (cell.split() if separator == " " else cell.split(separator)) if (name := part.strip())]


def _written(text: str, rows: DataTable, row: int, name: str, form: CellFormat) -> list[object] | dict[str, object]:
    """Parse a cell of text; an empty one has no label."""
    if _opens_with_bracket(text):
        parsed = _parsed(text.strip())
        if parsed is not None:
            return parsed
        if not form.named:
            message = (
                f"expected a list of labels. Got {_cut(text.strip())} (a name may open with a bracket where the "
                "separator is named: --set columns.separator=...)"
            )
            raise LabelError(message, path=rows.where(row, name))
    return [] if text.strip() in NO_LABEL else list(_split(text, form.separator))


def _written_numbers(text: str) -> list[object] | None:
    """Return a written list if it may be one of values: it holds no name."""
    parsed = _parsed(text.strip()) if text.lstrip()[:1] in {"[", "("} and not {"'", '"'} & set(text) else None
    return parsed if isinstance(parsed, list) else None


def _parsed(text: str) -> list[object] | dict[str, object] | None:
    """Parse a list, set, tuple or object as JSON, Python or NumPy write it; None for anything else.

    Example:
        >>> _parsed("['a' 'b']"), _parsed("{'b', 'a'}"), _parsed('{"choices": ["a"]}'), _parsed("[a, b]")
        (['a', 'b'], ['a', 'b'], ['a'], None)
    """
    if called := _CALL.fullmatch(text):
        text = called[1].strip() or "[]"
    side_by_side = _SIDE_BY_SIDE.search(text)
    value = _json(text)
    if value is None:
        value = _numpy(text)
    if value is None and not (side_by_side and _joins_names(text)):
        value = _python(text)
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    value = _inner_list(value)
    return list(value) if isinstance(value, list | tuple) else value if isinstance(value, dict) else None


def _json(text: str) -> object:
    try:
        return parse_json(text)
    except ValueError:
        return None


def _python(text: str) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know
            return literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _numpy(text: str) -> list[object] | None:
    """Parse a list whose items have white space between them and no comma; Python would join two names to one."""
    items, place, inner = [], 0, text[1:-1].rstrip()
    if text[:1] != "[" or text[-1:] != "]":
        return None
    while place < len(inner):
        found = _ITEM.match(inner, place)
        if found is None:
            return None
        item = {"True": True, "False": False, "nan": math.nan, "None": None}.get(found[1], _UNREAD)
        item = _python(found[1]) if item is _UNREAD else item
        if item is Ellipsis or (item is None and found[1] != "None"):
            return None
        items.append(item)
        place = found.end()
    return items


_SHOWN = {"\n": "\\n", "\t": "\\t"}
_UNREAD = object()


def _joins_names(text: str) -> bool:
    """Return True if two quoted names stand side by side, which Python would join to one."""
    quote, ended = "", False
    place = 0
    while place < len(text):
        mark = text[place]
        if quote:
            if mark == "\\":
                place += 1
            elif mark == quote:
                quote, ended = "", True
        elif mark in "'\"":
            if ended:
                return True
            quote = mark
        elif not mark.isspace():
            ended = False
        place += 1
    return False


def _shown(label: object) -> str:
    try:
        return _cut(json.dumps(label, ensure_ascii=False))
    except (TypeError, ValueError):
        return _cut(repr(label))


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."


def _multi_hot_width(parts: Sequence[Sequence[list[object]]]) -> int:
    """Return the length of the lists of all parts if they hold a value for each label; else 0."""
    odd, sizes = False, Counter[int]()
    for cells in parts:
        values, lengths = flattened(cells)
        sizes.update(lengths.tolist())
        if len(sizes) > 1 or not all(sizes) or (len(values) and isinstance(values[0], str)):
            return 0
        lists: Iterable[list[object]] = cells
        for cell in lists:
            if not all(value is None or type(value) in {int, float, bool} for value in cell):
                return 0
            if not all(value is None or value == -1 or not value > 1 for value in cell):  # type: ignore[operator]
                return 0
            odd = odd or len(set(map(str, cell))) < len(cell) or any(type(value) in {float, bool} for value in cell)
    return next(iter(sizes)) if odd else 0


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
            message = f'"{label}" must be 0, 1, a number between, or empty where it is unknown. Got {_cut(repr(cell))}.'
            raise LabelError(message, path=rows.where(row, column or label))
        if value:
            found[label] = value
    return found


def _whole(cell: object, rows: DataTable, row: int, name: str) -> str:
    if isinstance(cell, int | float) and float(cell).is_integer():
        return str(int(cell))
    raise LabelError(f"the label {cell} is not a whole number.", path=rows.where(row, name))
