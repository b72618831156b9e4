"""From rows to examples: the columns found, the cells read, and a sentence that says what was understood."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from labelcontrast.data.arrow import ArrowColumn, coded
from labelcontrast.data.columns import ID_NAMES, ColumnNames, Table, input_column, label_columns, listed
from labelcontrast.data.examples import Examples, Inputs, Part
from labelcontrast.data.label_cells import LabelColumn, labels_of
from labelcontrast.data.pictures import pictures_of
from labelcontrast.errors import DataError, nearest
from labelcontrast.labels.label_sets import LabelSets

ANNOTATED = "annotated"
"""The column of the labels that somebody looked for; the others of an example are unknown."""
PART_NAMES: dict[str, Part] = {
    "train": "train", "training": "train", "test": "test", "testing": "test",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
}  # fmt: skip


def examples_of(rows: Table, wanted: ColumnNames, folder: Path) -> Examples:
    """Give the columns of a file their meaning.

    Args:
        rows: the file.
        wanted: the columns that the user named.
        folder: what the names of pictures are relative to.

    Raises:
        DataError: when there is no row, no column fits, or a row has no input.
        LabelError: when a label cell cannot be read.
    """
    if not len(rows):
        message = "there are no rows in the file."
        raise DataError(message, path=rows.origin)
    labels = label_columns(rows, wanted)
    kind, column = input_column(rows, wanted, labels)
    read = LabelColumn(LabelSets.of([]), "no labels") if labels is None else labels_of(rows, labels, wanted.separator)
    annotated = (
        None if labels is None or ANNOTATED not in rows.columns else labels_of(rows, ANNOTATED, wanted.separator)
    )
    ids, parts = rows.named(ID_NAMES), _parts(rows)
    used = {column, ids, *([labels] if isinstance(labels, str) else labels or ())}
    used |= {name for name, there in ((ANNOTATED, annotated), ("split", parts)) if there is not None}
    said = [f'{kind} in "{column}"', read.sentence, *_about_columns(rows, used, annotated=annotated is not None)]
    inputs: Inputs
    inputs = _texts(rows, column) if kind == "text" else pictures_of(rows, column, folder, check=wanted.check_pictures)
    return Examples(
        inputs=inputs,
        label_sets=None if labels is None else read.sets,
        kind=kind,
        ids=_ids(rows, ids),
        lines=rows.lines,
        origin=rows.origin,
        understood=f"{rows.origin}: {len(rows):,} rows; {'; '.join(said)}",
        label_names=labels if isinstance(labels, tuple) else None,
        parts=parts,
        counted=rows.counted,
        values=read.values,
        annotated=None if annotated is None else annotated.sets,
        parents=read.parents,
        label_column=labels if isinstance(labels, str) else None,
    )


def _about_columns(rows: Table, used: set[str | None], *, annotated: bool) -> list[str]:
    """Say what becomes of the columns beside input and labels."""
    said = [f'labels that are not in "{ANNOTATED}" are unknown'] if annotated else []
    unused = [name for name in rows.columns if name not in used]
    return [*said, f"not used: {listed(unused)}"] if unused else said


def _texts(rows: Table, column: str) -> list[str] | ArrowColumn:
    """Return the texts of a column, or refuse the first row that has none; texts in a file stay there."""
    texts = []
    cells = rows.columns[column]
    if isinstance(cells, ArrowColumn) and cells.holds_texts:
        return cells
    for row, cell in enumerate(cells):
        if cell is None:
            message = "there is nothing; expected a text."
            raise DataError(message, path=rows.where(row, column))
        if not isinstance(cell, str):
            message = f"expected a text. Got {_shown(cell)}."
            raise DataError(message, path=rows.where(row, column))
        texts.append(cell)
    return texts


def _shown(cell: object) -> str:
    """Write a cell that is not what it should be; a long one is cut."""
    return text if len(text := repr(cell)) <= 40 else f"{text[:40]}..."


def _ids(rows: Table, column: str | None) -> Sequence[str]:
    """Return the name of every row; its line where the file has no name for it."""
    if column is None:
        return ArrowColumn(pa.chunked_array([pa.array(rows.lines, pa.int64()).cast(pa.string())]))
    names = rows.columns[column]
    return [str(line if name is None else name) for name, line in zip(names, rows.lines, strict=True)]


def _parts(rows: Table) -> list[Part] | None:
    """Return the part of each row, where a column ``split`` names parts; one that names none is an ordinary column.

    Raises:
        DataError: when some rows have a part, and one has something else.
    """
    names, which = coded([str(cell) for cell in rows.columns.get("split", ())])
    parts = [PART_NAMES.get(name.strip().lower()) for name in names]
    if not any(parts):
        return None
    if None in parts:
        wrong = names[parts.index(None)]
        row = int(np.argmax(which == parts.index(None)))
        message = f'expected train, val or test, as in the other rows. Got "{wrong}"{nearest(wrong, PART_NAMES)}.'
        raise DataError(message, path=rows.where(row, "split"))
    return [part for code in which.tolist() if (part := parts[code])]
