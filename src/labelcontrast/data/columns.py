"""From a table to examples: find the columns of inputs, labels, ids and splits, and read their cells."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Literal

import numpy as np
import pyarrow as pa

from labelcontrast.data.examples import SPLIT_ALIASES, Columns, Examples, Inputs, SplitName
from labelcontrast.data.label_cells import CellFormat, LabelColumn, find_format, labels_of, read_labels, value_of
from labelcontrast.data.picture_files import PICTURE_SUFFIXES, picture_problem
from labelcontrast.data.table import ArrowColumn, DataTable, coded, listed
from labelcontrast.encoders.base import Kind
from labelcontrast.errors import ConfigError, DataError, nearest
from labelcontrast.labels.label_sets import LabelSets

# Usual names of columns, the most specific first.
TEXT_NAMES = (
    "text", "sentence", "review", "comment_text", "comment", "tweet", "content", "body", "abstract", "document",
)  # fmt: skip
IMAGE_NAMES = ("image", "picture", "photo", "path", "file_name", "filename", "image_path", "file")
LABEL_NAMES = (
    "labels", "label", "tags", "tag", "categories", "category", "topics", "topic", "classes", "class", "genres",
)  # fmt: skip
ID_NAMES = ("id", "uid")
SPLIT = "split"
ANNOTATED = "annotated"
"""The column of the labels that were annotated; the others of an example are unknown."""

MISTAKES = 0.05
"""The share of other numbers in a column of 0 and 1 up to which it is taken for a label column with mistakes."""


@dataclass(frozen=True, kw_only=True)
class ColumnNames:
    """The columns that the user names, and options of the readers; a column that is None is detected."""

    text: str | None = None
    image: str | None = None
    labels: str | Sequence[str] | None = None
    """One column of label sets; or several columns of 0 and 1, as a sequence or joined by commas."""
    separator: str | None = None
    """The text between the labels of a cell; empty if a cell is one label."""
    multi_hot: int | None = None
    """The length of the lists if they hold a value for each label; 0 if they hold names or numbers of labels."""
    check_pictures: bool = True
    """If true, an unreadable picture is an error; otherwise it is kept for the doctor."""
    difficult: Literal["count", "leave_out"] = "count"
    """Treatment of objects that PASCAL VOC marks as difficult: they give a picture their label or not."""
    remembered: bool = False
    """The columns are those of a trained run: where one is missing, a usual name stands for it, and nothing else."""
    with_labels: bool = True
    """If false, only inputs and ids are read: labels and splits may hold anything."""

    def __post_init__(self) -> None:
        """Refuse two inputs for one example."""
        if self.text is not None and self.image is not None:
            both = f'the text column "{self.text}" and the image column "{self.image}"'
            raise ConfigError(f"an example is a text or a picture. Got {both}.")


def examples_of(parts: Sequence[DataTable], wanted: ColumnNames) -> list[Examples]:
    """Interpret the columns of tables as examples: those of train and of the other splits, by the same reading.

    Args:
        parts: The tables, train first; the columns are found over all of them.
        wanted: The columns that the user named.

    Raises:
        DataError: There is no row, no input column was found, a part lacks a column, or a row has no input.
        LabelError: A label cell cannot be read.
    """
    for rows in parts:
        if not len(rows):
            raise DataError("there are no rows in the file.", path=rows.origin)
    named = wanted if wanted.with_labels else replace(wanted, labels=None)
    found = label_columns(parts, named)
    kind, column = input_column(parts, wanted, found)
    labels = found if wanted.with_labels else None
    for rows in parts:
        for name in (column, *([labels] if isinstance(labels, str) else labels or ())):
            rows.required(name)
    form = CellFormat() if labels is None else find_format(parts, labels, wanted.separator, wanted.multi_hot)
    columns = Columns(inputs=column, labels=labels, form=form)
    return [_examples(rows, wanted, kind, columns) for rows in parts]


def label_columns(parts: Sequence[DataTable], wanted: ColumnNames) -> str | tuple[str, ...] | None:
    """Find the labels: one column of label sets, several columns of values, or none.

    The first that applies: the columns that the user named; a usual name; the only column of lists; two or more columns
    of 0 and 1, of which some cells may be soft or unknown. The names are those of the first part, the cells those of
    all parts. A column with a usual name whose cells are all null, as in the input of a prediction, does not count.
    """
    rows = parts[0]
    usual = rows.named(LABEL_NAMES)
    if wanted.labels is not None:
        return _named_labels(rows, wanted, usual)
    if usual is not None:
        return None if set(map(type, rows.columns[usual])) == {type(None)} else usual
    lists = [name for name, cells in rows.columns.items() if cells and isinstance(cells[0], list)]
    if len(lists) == 1:
        return lists[0]
    values = tuple(name for name in rows.columns if _holds_values([part.columns.get(name, ()) for part in parts]))
    return values if len(values) > 1 else None


def _named_labels(rows: DataTable, wanted: ColumnNames, usual: str | None) -> str | tuple[str, ...] | None:
    """Return the label columns that the user or the run names."""
    names = wanted.labels or ()
    if isinstance(names, str) and ("," not in names or names in rows.columns):
        return (wanted.remembered and _instead(rows, names, usual)) or rows.required(names)
    every = names.split(",") if isinstance(names, str) else names
    return tuple(rows.required(name if name in rows.columns else name.strip()) for name in every)


def input_column(
    parts: Sequence[DataTable], wanted: ColumnNames, labels: str | tuple[str, ...] | None
) -> tuple[Kind, str]:
    """Find the input: the column that the user named, else a usual name of pictures or texts, else the longest texts.

    Raises:
        DataError: No column could be the input.
    """
    rows = parts[0]
    image, usual = rows.named(IMAGE_NAMES), rows.named(TEXT_NAMES)
    if wanted.image is not None:
        return "image", (wanted.remembered and _instead(rows, wanted.image, image)) or rows.required(wanted.image)
    if wanted.text is not None:
        return "text", (wanted.remembered and _instead(rows, wanted.text, usual)) or rows.required(wanted.text)
    if image and _is_a_picture(rows.columns[image][0]):
        return "image", image
    if usual:
        return "text", usual
    taken = {labels} if isinstance(labels, str) else set(labels or ())
    taken.add(rows.named(ID_NAMES) or "")
    lengths = {
        name: _mean_length([part.columns.get(name, ()) for part in parts]) for name in rows.columns if name not in taken
    }
    if not lengths or max(lengths.values()) == 0:
        columns = listed(rows.columns)
        message = f"no column of texts or pictures was found. The columns are {columns}; name the one to read."
        raise DataError(message, path=rows.origin)
    return "text", max(lengths, key=lambda name: lengths[name])


def _instead(rows: DataTable, name: str, usual: str | None) -> str | None:
    """Return a usual name where the table lacks the column that a run was trained on."""
    return None if name in rows.columns else usual


def _examples(rows: DataTable, wanted: ColumnNames, kind: Kind, columns: Columns) -> Examples:
    """Read the cells of one table."""
    column, labels = columns.inputs, columns.labels
    none = LabelColumn(LabelSets.of([]), "no labels")
    read = none if labels is None else read_labels(rows, labels, columns.form)
    has_annotated = labels is not None and ANNOTATED in rows.columns
    annotated = labels_of(rows, ANNOTATED, wanted.separator).sets if has_annotated else None
    ids, splits = rows.named(ID_NAMES), _splits(rows) if wanted.with_labels else None
    used = {column, ids, *([labels] if isinstance(labels, str) else labels or ())}
    used |= {name for name, there in ((ANNOTATED, annotated), (SPLIT, splits)) if there is not None}
    notes = [f'{kind} in "{column}"', *([read.sentence] if wanted.with_labels else [])]
    notes += [f'labels that are not in "{ANNOTATED}" are unknown'] if has_annotated else []
    if unused := [name for name in rows.columns if name not in used]:
        notes.append(f"not used: {listed(unused)}")
    inputs: Inputs
    inputs = _texts(rows, column) if kind == "text" else _pictures(rows, column, check=wanted.check_pictures)
    return Examples(
        inputs=inputs,
        label_sets=None if labels is None else read.sets,
        kind=kind,
        ids=_ids(rows, ids),
        lines=rows.lines,
        origin=rows.origin,
        understood=f"{rows.origin}: {len(rows):,} rows; {'; '.join(notes)}",
        label_names=labels if isinstance(labels, tuple) else None,
        splits=splits,
        counted=rows.counted,
        values=read.values,
        annotated=annotated,
        parents=read.parents,
        columns=columns,
    )


def _holds_values(parts: Sequence[Sequence[object]]) -> bool:
    """Return True if the cells are values of a label, 0 or 1 for the most part.

    Words that are fewer, and a few other numbers, count as mistakes, which the reader refuses with their line: one
    wrong cell must not make a label vanish.
    """
    counts = Counter[str]()
    for cells in parts:
        try:
            distinct, which = coded(cells)
        except TypeError:  # lists and objects
            return False
        for cell, count in zip(distinct, np.bincount(which, minlength=len(distinct)).tolist(), strict=True):
            counts[_kind_of_value(cell)] += count
    certain = counts["certain"]
    few = counts["number"] <= MISTAKES * counts.total() and counts["word"] < certain
    return certain > counts["soft"] and few and not counts["other"]


def _kind_of_value(cell: object) -> str:
    value = value_of(cell)
    if value is not None:
        return "unknown" if math.isnan(value) else "certain" if value in {0, 1} else "soft"
    if not isinstance(cell, str | int | float):
        return "other"
    try:
        float(cell)
    except (ValueError, OverflowError):
        return "word"
    return "number"


def _is_a_picture(cell: object) -> bool:
    return isinstance(cell, bytes) or (isinstance(cell, str) and PurePath(cell).suffix.lower() in PICTURE_SUFFIXES)


def _mean_length(parts: Sequence[Sequence[object]]) -> float:
    """Return the mean length of the first texts of a column; 0 if one is not a text."""
    first = [cell for cells in parts for cell in cells[:1000] if cell is not None]
    if not all(isinstance(cell, str) for cell in first):
        return 0
    return sum(len(str(cell)) for cell in first) / max(len(first), 1)


def _texts(rows: DataTable, column: str) -> list[str] | ArrowColumn:
    """Return the texts of a column, or refuse the first row without one; texts in Arrow stay there."""
    texts = []
    cells = rows.columns[column]
    if isinstance(cells, ArrowColumn) and cells.holds_texts:
        return cells
    for row, cell in enumerate(cells):
        if not isinstance(cell, str):
            message = "there is nothing; expected a text." if cell is None else f"expected a text. Got {_shown(cell)}."
            raise DataError(message, path=rows.where(row, column))
        texts.append(cell)
    return texts


def _shown(cell: object) -> str:
    return text if len(text := repr(cell)) <= 40 else f"{text[:40]}..."


def _pictures(rows: DataTable, column: str, *, check: bool) -> list[Path] | ArrowColumn:
    """Return the picture of every row, or refuse the first one that is missing or damaged; bytes stay in Arrow."""
    cells = rows.columns[column]
    if isinstance(cells, ArrowColumn) and cells.holds_bytes:
        for row, picture in enumerate(cells if check else ()):
            if problem := picture_problem(picture):
                raise DataError(f"the picture {problem}.", path=rows.where(row, column))
        return cells
    paths = []
    for row, name in enumerate(cells):
        if not isinstance(name, str) or not name:
            raise DataError("there is nothing; expected the name of a picture.", path=rows.where(row, column))
        path = rows.folder / name
        if check and (problem := picture_problem(path)):
            raise DataError(f"the picture {name} {problem}.", path=rows.where(row, column))
        paths.append(path)
    return paths


def _ids(rows: DataTable, column: str | None) -> Sequence[str]:
    """Return the id of every row; its line if the file has none."""
    if column is None:
        return ArrowColumn(pa.chunked_array([pa.array(rows.lines, pa.int64()).cast(pa.string())]))
    names = rows.columns[column]
    return [str(line if name is None else name) for name, line in zip(names, rows.lines, strict=True)]


def _splits(rows: DataTable) -> list[SplitName] | None:
    """Return the split of each row from a column ``split``; a column without any known name is an ordinary one.

    Raises:
        DataError: Some rows have a known split, and one has something else.
    """
    names, which = coded([str(cell) for cell in rows.columns.get(SPLIT, ())])
    splits = [SPLIT_ALIASES.get(name.strip().lower()) for name in names]
    if not any(splits):
        return None
    if None in splits:
        wrong = names[splits.index(None)]
        row = int(np.argmax(which == splits.index(None)))
        message = f'expected train, val or test, as in the other rows. Got "{wrong}"{nearest(wrong, SPLIT_ALIASES)}.'
        raise DataError(message, path=rows.where(row, SPLIT))
    return [split for code in which.tolist() if (split := splits[code])]
