"""ARFF: feature vectors with labels as MULAN (an XML file names the labels) and MEKA (``-C`` counts them) have them."""

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from labelcontrast.data.columns import ColumnNames, listed
from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.lines import numbered_lines
from labelcontrast.data.official.source import Parts, find
from labelcontrast.errors import DataError, LabelError
from labelcontrast.labels.vocabulary import LabelVocabulary

NUMERIC = {"numeric", "real", "integer"}
_ATTRIBUTE = re.compile(r"@attribute\s+('(?:[^'\\]|\\.)*'|\"[^\"]*\"|\S+)\s+(.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Attribute:
    """A column: numbers, or one of the values between braces."""

    name: str
    values: tuple[str, ...] | None


def find_arff(folder: Path) -> Path | None:
    """Find the training file of a set of MULAN or MEKA that comes in two files."""
    train = find(folder, "*[-_]train.arff")
    return train if train is not None and _partner(train).exists() else None


def read_arff_folder(folder: Path, wanted: ColumnNames) -> Parts:
    """Read the training and the test file of a set."""
    train = find_arff(folder)
    assert train is not None
    files: dict[Part, Path] = {"train": train, "test": _partner(train)}
    return {part: read_arff(path, wanted) for part, path in files.items()}


def read_arff(path: Path, _wanted: ColumnNames) -> Examples:
    """Read an ARFF file, dense or sparse; nominal features become a column of 0 and 1 a value.

    The labels are those that the XML file of the same name lists (MULAN), else the first or last attributes that
    ``-C`` in the name of the relation counts (MEKA).

    Raises:
        DataError: when nothing says which attributes are labels, or a value does not fit; with line and attribute.
        LabelError: when a label is not 0 or 1; with line and attribute.
    """
    relation, attributes, lines = _parsed(path)
    labels = _label_columns(path, relation, attributes)
    table = np.zeros((len(lines), len(attributes)), dtype=np.float64)
    for row, (number, line) in enumerate(lines):
        _fill(table[row], line, attributes, path, number)
    for column in labels:
        wrong = np.flatnonzero(~np.isin(table[:, column], (0, 1)))
        if len(wrong):
            got = table[wrong[0], column]
            message = f'the label "{attributes[column].name}" must be 0 or 1. Got {got:g}.'
            raise LabelError(message, path=path, line=lines[wrong[0]][0])
    features = _features(table, [column for column in range(len(attributes)) if column not in set(labels)], attributes)
    names = tuple(attributes[column].name for column in labels)
    dataset = re.sub(r"[-_](train|test)$", "", path.stem).lower()
    return Examples(
        inputs=features,
        label_sets=LabelVocabulary(names).decode(table[:, labels]),
        kind="vector",
        ids=[str(row) for row in range(1, len(lines) + 1)],
        lines=[number for number, _ in lines],
        origin=str(path),
        understood=f"{path}: {len(lines):,} rows of {features.shape[1]:,} features; {len(names)} labels",
        label_names=names,
        dataset=dataset,
    )


def _partner(train: Path) -> Path:
    """Name the test file beside a training file."""
    return train.with_name(train.name.removesuffix("train.arff") + "test.arff")


def _parsed(path: Path) -> tuple[str, list[Attribute], list[tuple[int, str]]]:
    """Read the name of the relation, the attributes and the lines of data."""
    relation, attributes, lines, in_data = "", [], [], False
    for number, raw in numbered_lines(path):
        line = raw.strip()
        if not line or line.startswith("%"):
            continue
        if in_data:
            lines.append((number, line))
        elif line.lower().startswith("@relation"):
            relation = line.partition(" ")[2]
        elif line.lower().startswith("@data"):
            in_data = True
        elif found := _ATTRIBUTE.match(line):
            attributes.append(_attribute(*found.groups(), path=path, number=number))
        else:
            message = f"expected @relation, @attribute or @data. Got {line[:60]!r}."
            raise DataError(message, path=path, line=number)
    if not attributes or not lines:
        message = "there is no @attribute or no row behind @data."
        raise DataError(message, path=path)
    return relation, attributes, lines


def _attribute(name: str, kind: str, *, path: Path, number: int) -> Attribute:
    """Read what a column holds."""
    name = name.strip("'\"").replace("\\'", "'")
    if kind.split(maxsplit=1)[0].lower() in NUMERIC:
        return Attribute(name, None)
    if kind.startswith("{") and kind.rstrip().endswith("}"):
        return Attribute(name, tuple(_cells(kind.rstrip()[1:-1])))
    message = f'the attribute "{name}" is of type {kind[:30]}; expected numeric or values between braces.'
    raise DataError(message, path=path, line=number)


def _cells(line: str) -> list[str]:
    """Divide at commas that are not in quotes."""
    quote = "'" if "'" in line else '"'
    return [cell.strip() for cell in next(csv.reader([line], quotechar=quote, skipinitialspace=True), [])]


def _fill(row: NDArray[np.float64], line: str, attributes: list[Attribute], path: Path, number: int) -> None:
    """Read one line into a row: all values between commas, or ``{column value, ...}`` where others are 0."""
    if line.startswith("{"):
        pairs = [cell.split(None, 1) for cell in _cells(line.rstrip("}").lstrip("{")) if cell]
        cells = {
            int(pair[0]): pair[-1].strip("'\"")
            for pair in pairs
            if pair[0].isdigit() and int(pair[0]) < len(attributes)
        }
        complete = len(cells) == len(pairs)
    else:
        cells = dict(enumerate(_cells(line)))
        complete = len(cells) == len(attributes)
    if not complete:
        message = f"{len(cells)} values that fit, but {len(attributes)} attributes. Got {line[:60]!r}."
        raise DataError(message, path=path, line=number)
    for column, cell in cells.items():
        values = attributes[column].values
        try:
            row[column] = float(cell) if values is None or set(values) == {"0", "1"} else values.index(cell)
            if not math.isfinite(row[column]):
                raise ValueError
        except ValueError:
            expected = "a finite number" if values is None else f"one of {listed(values, most=4)}"
            message = f'the attribute "{attributes[column].name}" must be {expected}. Got {cell!r}.'
            raise DataError(message, path=path, line=number) from None


def _label_columns(path: Path, relation: str, attributes: list[Attribute]) -> list[int]:
    """Find which columns are labels."""
    beside = [path.with_suffix(".xml"), path.with_name(re.sub(r"[-_](train|test)$", "", path.stem) + ".xml")]
    place = {attribute.name: column for column, attribute in enumerate(attributes)}
    for other in beside:
        if other.exists():
            names = [item.get("name", "") for item in _parsed_xml(other).iter() if item.tag.endswith("label")]
            if missing := [name for name in names if name not in place]:
                message = f'there is no attribute "{missing[0]}", which {other.name} has as a label.'
                raise DataError(message, path=path)
            return [place[name] for name in names]
    counted = re.search(r"-[cC]\s+(-?\d+)", relation)
    if counted is None or not 0 < abs(count := int(counted[1])) < len(attributes):
        message = f'nothing says which attributes are labels; expected {beside[-1].name} or "-C" in the relation.'
        raise DataError(message, path=path)
    return list(range(count)) if count > 0 else list(range(len(attributes) + count, len(attributes)))


def _parsed_xml(path: Path) -> ET.Element:
    """Parse the file that names the labels, or refuse it with the line."""
    try:
        return ET.parse(path).getroot()
    except ET.ParseError as error:
        message = f"not XML that names labels ({error.msg.partition(':')[0]})."
        raise DataError(message, path=path, line=error.position[0]) from None


def _features(table: NDArray[np.float64], columns: list[int], attributes: list[Attribute]) -> NDArray[np.float32]:
    """Take the features: numbers as they are, a value between braces as a column of 0 and 1 each."""
    blocks = []
    for column in columns:
        values = attributes[column].values
        binary = values is None or set(values) == {"0", "1"}
        choices = np.arange(len(values or ()))
        blocks.append(table[:, [column]] if binary else table[:, [column]] == choices)
    return np.hstack(blocks).astype(np.float32)
