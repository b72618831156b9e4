"""Extreme classification: EUR-Lex, Wiki10-31K and their like in the format of the XMC repository."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.lines import numbered_lines
from labelcontrast.data.official.source import Origin, Parts, Row, examples_of_rows, find, paired, words_of
from labelcontrast.errors import DataError, LabelError

TEXTS = ("{}_raw_texts.txt", "{}_texts.txt")
BAGS = ("*_{}.txt", "{}.txt")
FILES: tuple[tuple[Part, str], ...] = (("train", "train"), ("test", "test"))
LARGEST = 2 * 1024**3
"""Bytes that a dense array of features may take."""
KNOWN = {"eurlex": "eurlex4k", "wiki10": "wiki10_31k"}
_HEADER = re.compile(r"\d+ \d+ \d+")


def find_extreme(folder: Path) -> Path | None:
    """Find the training texts with their labels, else the training bag of words by its header of three numbers."""
    texts = find(folder, *(name.format("train") for name in TEXTS))
    if texts is not None and texts.with_name("train_labels.txt").exists():
        return texts
    bags = (find(folder, name.format("train")) for name in BAGS)
    return next((path for path in bags if path is not None and _header(path) is not None), None)


def read_extreme(folder: Path, _wanted: ColumnNames) -> Parts:
    """Read a set of the XMC repository: texts where they are there, else the bag of words.

    Texts are ``train_raw_texts.txt`` (or ``train_texts.txt``) with ``train_labels.txt``, labels between blanks. A bag
    of words opens with the numbers of points, features and labels; a line is ``3,17 5:0.2 90:1``.

    Raises:
        DataError: when a line is not of the format, or the bag of words would be too large as a dense array.
        LabelError: when the number of a label is not below that of the header; with the line.
    """
    first = find_extreme(folder)
    assert first is not None
    if first.name in {name.format("train") for name in TEXTS}:
        return _texts(folder, first)
    parts: Parts = {}
    for part, stem in FILES:
        path = first.with_name(first.name.replace("train", stem))
        if path.exists():
            parts[part] = _bag(path, _dataset(folder))
    return parts


def _texts(folder: Path, first: Path) -> Parts:
    """Read texts and their labels, line by line."""
    rows: dict[Part, list[Row]] = {}
    for part, stem in FILES:
        path = first.with_name(first.name.replace("train", stem))
        if path.exists():
            rows[part] = [
                Row(f"{part}-{number}", number, text, tuple(dict.fromkeys(labels.split())))
                for number, text, labels in paired(path, path.with_name(f"{stem}_labels.txt"))
            ]
    names = tuple(sorted({label for held in rows.values() for row in held for label in row.labels}))
    return {
        part: examples_of_rows(
            held,
            Origin(
                dataset=_dataset(folder),
                title=folder.name,
                path=first.with_name(first.name.replace("train", part)),
                names=names,
            ),
        )
        for part, held in rows.items()
    }


def _bag(path: Path, dataset: str) -> Examples:
    """Read a bag of words as vectors."""
    header = _header(path)
    if header is None:
        message = 'expected three numbers in the first line: points, features and labels, as "15539 5000 3993".'
        raise DataError(message, path=path, line=1)
    points, width, labels = header
    if points * width * 4 > LARGEST:
        size = points * width * 4 / 1024**3
        message = f"{points:,} x {width:,} features take {size:.1f} GiB as an array; put the texts beside them instead."
        raise DataError(message, path=path)
    names = _label_names(path, labels)
    lines = list(_points(path, width, labels))
    if len(lines) != points:
        message = f"there are {len(lines):,} points; the first line says {points:,}."
        raise DataError(message, path=path)
    starts = np.cumsum([0, *(len(columns) for _, columns, _ in lines)])
    columns = np.concatenate([columns for _, columns, _ in lines])
    values = np.concatenate([values for _, _, values in lines])
    features = csr_array((values, columns, starts), shape=(points, width), dtype=np.float32).toarray()
    return Examples(
        inputs=features,
        label_sets=[tuple(names[label] for label in held) for held, _, _ in lines],
        kind="vector",
        ids=[str(row) for row in range(1, points + 1)],
        lines=range(2, points + 2),
        origin=str(path),
        understood=f"{path}: {points:,} bags of {width:,} words; {labels:,} labels",
        label_names=names,
        dataset=dataset,
    )


def _points(path: Path, width: int, labels: int) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    """Read labels, features and values of each line behind the first."""
    for number, line in numbered_lines(path):
        if number == 1:
            continue
        before, _, behind = line.rstrip("\r\n").partition(" ")
        if ":" in before:  # a point without labels begins with its features
            before, behind = "", line
        try:
            held = [int(label) for label in before.split(",") if label]
            pairs = [pair.split(":") for pair in behind.split()]
            columns = np.array([int(column) for column, _ in pairs], dtype=np.int64)
            values = np.array([float(value) for _, value in pairs], dtype=np.float32)
            if not np.isfinite(values).all():
                raise ValueError
        except ValueError:
            message = f'expected labels and features, as "3,17 5:0.2 90:1". Got {line.strip()[:60]!r}.'
            raise DataError(message, path=path, line=number) from None
        if wrong := [label for label in held if not 0 <= label < labels]:
            message = f"label {wrong[0]} is not 0 to {labels - 1}, as the number of labels in the first line says."
            raise LabelError(message, path=path, line=number)
        if len(outside := columns[(columns < 0) | (columns >= width)]):
            message = f"feature {outside[0]} is not 0 to {width - 1}, as the number of features in the first line says."
            raise DataError(message, path=path, line=number)
        yield held, columns, values


def _header(path: Path) -> tuple[int, int, int] | None:
    """Read points, features and labels from the first line, or None."""
    first = next((line.strip() for _, line in numbered_lines(path)), "")
    if not _HEADER.fullmatch(first):
        return None
    points, width, labels = map(int, first.split())
    return points, width, labels


def _label_names(path: Path, labels: int) -> tuple[str, ...]:
    """Take the names of the labels from the file beside, where there is one of the right length; else numbers."""
    beside = find(path.parent, "label_map.txt", "Y.txt")
    names = words_of(beside) if beside else ()
    return names if len(set(names)) == labels else tuple(map(str, range(labels)))


def _dataset(folder: Path) -> str:
    """Guess which set it is by the name of the folder or of its files."""
    names = " ".join(path.name.lower() for path in (folder, *folder.iterdir())).replace("-", "")
    return next((known for mark, known in KNOWN.items() if mark in names), folder.name)
