"""Sets of the MULAN, MEKA and XMC (extreme classification) repositories in their formats."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.examples import BySplit, Examples, SplitName
from labelcontrast.data.feature_files import read_arff, vector_examples
from labelcontrast.data.formats import numbered_lines
from labelcontrast.data.official.source import (
    examples_by_split,
    find,
    paired_rows,
    split_files,
    words_of,
)
from labelcontrast.errors import DataError, LabelError

STEMS: dict[SplitName, str] = {"train": "train", "test": "test"}
TEXTS = ("train_raw_texts.txt", "train_texts.txt")
BAGS = ("*_train.txt", "train.txt")
LARGEST = 2 * 1024**3
"""Bytes that a dense array of features may take."""
KNOWN = {"eurlex": "eurlex4k", "wiki10": "wiki10_31k"}
MOST_LABELS = 10**7
_HEADER = re.compile(r"\d{1,18} \d{1,18} \d{1,18}")


def read_mulan(folder: Path, _wanted: ColumnNames) -> BySplit | None:
    """Read a set of MULAN or MEKA that comes as a training and a test file."""
    train = find(folder, "*[-_]train.arff")
    files = {} if train is None else split_files(train, STEMS)
    return {split: read_arff(path) for split, path in files.items()} if "test" in files else None


def read_xmc(folder: Path, _wanted: ColumnNames) -> BySplit | None:
    """Read a set of the XMC repository: its texts if they are there, else its bags of words.

    Texts are ``train_raw_texts.txt`` (or ``train_texts.txt``) with ``train_labels.txt``, whose labels stand between
    blanks. A file of bags of words begins with the numbers of points, features and labels; then a line is
    ``3,17 5:0.2 90:1``.

    Raises:
        DataError: A line is not in the format, or the bags of words are too large for a dense array.
        LabelError: The number of a label is not below the number of labels in the header; with the line.
    """
    texts = find(folder, *TEXTS)
    if texts is not None and texts.with_name("train_labels.txt").exists():
        rows = {
            split: paired_rows(split, path, path.with_name(f"{STEMS[split]}_labels.txt"))
            for split, path in split_files(texts, STEMS).items()
        }
        return examples_by_split(rows, dataset=_dataset(folder), title=folder.name)
    bags = (find(folder, name) for name in BAGS)
    first = next((path for path in bags if path is not None and _header(path) is not None), None)
    if first is None:
        return None
    return {split: _bag(path, _dataset(folder)) for split, path in split_files(first, STEMS).items()}


def _bag(path: Path, dataset: str) -> Examples:
    """Read bags of words as vectors."""
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
        raise DataError(f"there are {len(lines):,} points; the first line says {points:,}.", path=path)
    starts = np.cumsum([0, *(len(columns) for _, columns, _ in lines)])
    columns = np.concatenate([columns for _, columns, _ in lines])
    values = np.concatenate([values for _, _, values in lines])
    return vector_examples(
        path,
        csr_array((values, columns, starts), shape=(points, width), dtype=np.float32).toarray(),
        [tuple(names[label] for label in held) for held, _, _ in lines],
        names,
        lines=range(2, points + 2),
        understood=f"{path}: {points:,} bags of {width:,} words; {labels:,} labels",
        dataset=dataset,
    )


def _points(path: Path, width: int, labels: int) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    """Yield the labels, features and values of each line below the first."""
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
        except (ValueError, OverflowError):
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
    """Read the numbers of points, features and labels from the first line, or return None."""
    first = next((line.strip() for _, line in numbered_lines(path)), "")
    if not _HEADER.fullmatch(first):
        return None
    points, width, labels = map(int, first.split())
    return points, width, labels


def _label_names(path: Path, labels: int) -> tuple[str, ...]:
    """Read the names of the labels from the file beside, if it has the right length; else they are numbers."""
    if labels > MOST_LABELS:
        message = f"the first line says {labels:,} labels; at most {MOST_LABELS:,} are read."
        raise DataError(message, path=path, line=1)
    beside = find(path.parent, "label_map.txt", "Y.txt")
    names = words_of(beside) if beside else ()
    return names if len(set(names)) == labels else tuple(map(str, range(labels)))


def _dataset(folder: Path) -> str:
    """Guess the data set from the name of the folder or of its files."""
    names = " ".join(path.name.lower() for path in (folder, *folder.iterdir())).replace("-", "")
    return next((known for mark, known in KNOWN.items() if mark in names), folder.name)
