"""Readers of feature vectors with labels: NumPy archives, and ARFF files as MULAN and MEKA distribute them."""

import csv
import math
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from scipy.sparse import csr_array

from labelcontrast.data.examples import Examples, SplitName
from labelcontrast.data.formats import is_number, numbered_lines, parsed_xml
from labelcontrast.data.label_cells import ONE_OR_ZERO, PRESENT, Values
from labelcontrast.data.table import listed
from labelcontrast.errors import DataError, LabelError
from labelcontrast.labels.label_sets import LabelSets
from labelcontrast.labels.vocabulary import LabelVocabulary

SPLIT_CODES: tuple[SplitName, ...] = ("train", "test", "val")
"""The split of each number in the array ``split`` of an archive."""
SPARSE = ("Y_data", "Y_indices", "Y_indptr", "Y_shape")
KNOWN = ("X", "features", "Y", "y", "labels", *SPARSE, "label_names", "split")
MOST_LABELS = 2**22
"""Labels that an archive may number without naming them."""
PACKED, RATIO = 2**28, 100
"""Bytes that an array may take, and beyond that its size relative to its part of the file."""
FEATURES, LABELS = ("X", "features"), ("Y", "labels", "y", SPARSE[0])
UNREADABLE = (ValueError, OSError, EOFError, TypeError, SyntaxError, OverflowError, MemoryError, NotImplementedError)
"""What NumPy raises on a damaged file."""
NUMERIC = {"numeric", "real", "integer"}
Array = NDArray[Any]
_COMMENT = re.compile(r"\}\s*%.*")
_MEANT = {**ONE_OR_ZERO, "-1": False, "no": False, "yes": True, "n": False, "y": True, "f": False, "t": True}
"""Values of a nominal label."""
_ATTRIBUTE = re.compile(r"@attribute\s+('(?:[^'\\]|\\.)*'|\"[^\"]*\"|\S+)\s+(.*)", re.IGNORECASE)


class Attribute(NamedTuple):
    """A column of an ARFF file: numbers, or one of the values between braces."""

    name: str
    values: tuple[str, ...] | None


def read_npz(path: Path) -> Examples:
    """Read a NumPy archive of feature vectors.

    It holds ``X`` or ``features`` [examples, features]; optionally ``Y``, ``y`` or ``labels`` [examples, labels] of 0
    and 1 with ``label_names`` (else label_0, label_1, ...), and ``split`` (0 train, 1 test, 2 val). A label may be
    soft, a number between, or unknown, NaN or -1. Y may be sparse: ``Y_data``, ``Y_indices``, ``Y_indptr``, ``Y_shape``
    as in a CSR matrix of SciPy. No pickle is read.

    Raises:
        DataError: An array is missing, ragged or of another length, or a feature is not finite; with the place.
    """
    arrays = _arrays(path)
    features = _finite_features(arrays, path)
    label_sets, names, values = _labels(arrays, len(features), path)
    splits = _splits(arrays, len(features), path)
    examples = vector_examples(path, features, label_sets, names, splits=splits, values=values, counted="row")
    taken = {"label_names", "split", *SPARSE, *(_first(arrays, names) for names in (FEATURES, LABELS))}
    unused = [name for name in arrays if name not in taken]
    return replace(examples, understood=f"{examples.understood}; not used: {listed(unused)}") if unused else examples


def read_arff(path: Path) -> Examples:
    """Read an ARFF file, dense or sparse; a nominal feature becomes one column of 0 and 1 for each value.

    The labels are those that the XML file of the same name lists (MULAN), else the first or last attributes, as many as
    ``-C`` in the name of the relation says (MEKA).

    Raises:
        DataError: Nothing says which attributes are labels, or a value does not fit; with line and attribute.
        LabelError: A label is neither 0 and 1 nor such as no and yes.
    """
    relation, attributes, lines = _parsed_arff(path)
    labels = _label_attributes(path, relation, attributes)
    table = np.zeros((len(lines), len(attributes)), dtype=np.float64)
    for row, (number, line) in enumerate(lines):
        _fill(table[row], line, attributes, path, number)
    for column in labels:
        if (meanings := _meanings(attributes[column], path)) is not None:
            table[:, column] = meanings[table[:, column].astype(np.int64)]
        wrong = np.flatnonzero(~np.isin(table[:, column], (0, 1)))
        if len(wrong):
            got = table[wrong[0], column]
            message = f'the label "{attributes[column].name}" must be 0 or 1. Got {got:g}.'
            raise LabelError(message, path=path, line=lines[wrong[0]][0])
    features = _one_hot(table, [column for column in range(len(attributes)) if column not in set(labels)], attributes)
    names = tuple(attributes[column].name for column in labels)
    sets = LabelVocabulary(names).decode(table[:, labels])
    numbers = [number for number, _ in lines]
    return vector_examples(path, features, sets, names, lines=numbers, dataset=_without_split(path).lower())


def vector_examples(
    path: Path,
    features: NDArray[np.float32],
    label_sets: LabelSets | list[tuple[str, ...]] | None,
    names: tuple[str, ...] | None,
    **more: Any,  # noqa: ANN401
) -> Examples:
    """Return feature vectors as examples.

    Args:
        path: The file that they come from.
        features: Shape [examples, features].
        label_sets: The labels of each example, or None.
        names: The names of the labels in their order, or None.
        **more: Further fields of ``Examples``, or others in place of those that are made here.
    """
    rows, width = features.shape
    labels = "no labels" if names is None else f"{len(names)} labels"
    made = {
        "ids": [str(row) for row in range(1, rows + 1)],
        "lines": range(1, rows + 1),
        "understood": f"{path}: {rows:,} rows of {width:,} features; {labels}",
    }
    return Examples(
        inputs=features, label_sets=label_sets, kind="vector", origin=str(path), label_names=names, **(made | more)
    )


def _arrays(path: Path) -> dict[str, Array | None]:
    """Load the arrays with a known name, without pickle; the others are None."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, NpzFile):
                raise ValueError
            arrays = {name: _array(archive, name, path) if name in KNOWN else None for name in archive.files}
    except (*UNREADABLE, zipfile.BadZipFile, zlib.error):
        raise DataError("not a NumPy archive that can be read.", path=path) from None
    if _first(arrays, FEATURES) is None:
        raise DataError(f'there is no array "X" or "features"; the arrays are {listed(arrays)}.', path=path)
    return arrays


def _first(arrays: Mapping[str, object], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in arrays), None)


def _array(archive: NpzFile, name: str, path: Path) -> Array:
    """Load an array, or refuse one that is larger than its part of the file, or of objects.

    NumPy takes the memory for the shape that an array claims before it reads it, and makes objects of rows of different
    lengths.
    """
    assert archive.zip is not None
    part = archive.zip.getinfo(f"{name}.npy" if f"{name}.npy" in archive.zip.namelist() else name)
    with archive.zip.open(part) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read(file)
    if kind.hasobject:
        text = "; save names as text: np.array(names, dtype=str)" if name == "label_names" else ""
        expected = "names" if text else "one rectangle of numbers"
        raise DataError(f"{name} is ragged or holds objects; expected {expected}{text}.", path=path)
    if math.prod(shape) * max(kind.itemsize, 1) > part.file_size:
        raise DataError(f"{name} is cut: it has {part.file_size:,} bytes for {kind} {list(shape)}.", path=path)
    if part.file_size > max(PACKED, RATIO * part.compress_size):
        message = f"{name} unpacks {part.compress_size:,} bytes to {part.file_size:,}; save it without compression."
        raise DataError(message, path=path)
    array: Array = archive[name]
    return array


def _finite_features(arrays: Mapping[str, Any], path: Path) -> NDArray[np.float32]:
    name = "X" if "X" in arrays else "features"
    raw: Array = arrays[name]
    if raw.ndim != 2 or raw.dtype.kind not in "biuf" or not raw.size:
        raise DataError(f"{name} must be numbers [examples, features]. Got {raw.dtype} {list(raw.shape)}.", path=path)
    with np.errstate(over="ignore"):
        features = raw.astype(np.float32)
    broken = np.argwhere(~np.isfinite(features))
    if len(broken):
        row, column = broken[0].tolist()
        message = f"{name}[{row}, {column}] is {raw[row, column]}; features are finite numbers in 32 bits."
        raise DataError(message, path=path)
    return features


def _labels(
    arrays: Mapping[str, Any], rows: int, path: Path
) -> tuple[LabelSets | None, tuple[str, ...] | None, Values | None]:
    """Return the label sets, the names of the labels, and soft and unknown labels; None for each without labels."""
    name = _first(arrays, LABELS)
    if name is None:
        return None, None, None
    hot = (
        _sparse_labels(arrays, path) if name == SPARSE[0] else csr_array(_dense_labels(arrays[name], name, rows, path))
    )
    if hot.shape[0] != rows:
        raise DataError(f"Y has {hot.shape[0]} rows, but there are {rows} examples.", path=path)
    known = ~np.isnan(hot.data) & (hot.data != -1)
    wrong = np.flatnonzero(known & ((hot.data < 0) | (hot.data > 1)))
    if len(wrong):
        row, column = int(np.searchsorted(hot.indptr, wrong[0], side="right")) - 1, hot.indices[wrong[0]]
        message = f"{name}[{row}, {column}] must be 0, 1, a number between, or NaN or -1 where it is unknown."
        raise LabelError(f"{message} Got {hot.data[wrong[0]]:g}.", path=path)
    names = _label_names(arrays.get("label_names"), hot.shape[1], path)
    if len(names) != hot.shape[1]:
        raise LabelError(f"there are {len(names)} label_names, but {name} has {hot.shape[1]} columns.", path=path)
    present = hot.astype(np.float64)
    present.data = np.where(known & (hot.data >= PRESENT), 1.0, 0.0)
    try:
        label_sets = LabelVocabulary(names).decode(present)
    except LabelError as error:
        raise LabelError(str(error), path=path) from None
    return label_sets, names, _values(hot, known, names)


def _label_names(given: Array | None, count: int, path: Path) -> tuple[str, ...]:
    if given is not None:
        if given.ndim != 1 or given.dtype.kind not in "USiu":
            message = f"label_names must be a list of names. Got {given.dtype} {list(given.shape)}."
            raise DataError(message, path=path)
        return tuple(name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in given.tolist())
    if count > MOST_LABELS:
        raise DataError(f"there are {count:,} labels without names; expected at most {MOST_LABELS:,}.", path=path)
    return tuple(f"label_{place}" for place in range(count))


def _dense_labels(hot: Array, name: str, rows: int, path: Path) -> Array:
    if hot.ndim != 2 or hot.dtype.kind not in "biuf" or len(hot) != rows:
        message = f"{name} must be 0 and 1 [{rows} examples, labels]. Got {hot.dtype} {list(hot.shape)}."
        raise DataError(message, path=path)
    return hot.astype(np.float64)


def _sparse_labels(arrays: Mapping[str, Any], path: Path) -> csr_array:
    try:
        data, indices, indptr, shape = (arrays[name] for name in SPARSE)
        matrix = csr_array((data.astype(np.float64), indices, indptr), shape=tuple(shape.tolist()))
        matrix.check_format()
    except (*UNREADABLE, KeyError, IndexError) as error:
        raise DataError(f"expected a CSR matrix in {listed(SPARSE)} ({error}).", path=path) from None
    return _each_once(matrix, path)


def _each_once(matrix: csr_array, path: Path) -> csr_array:
    """Keep each label of a row once, which SciPy would add up, or refuse a row with two values for a label."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, rows))
    rows, columns, values = rows[order], matrix.indices[order], matrix.data[order]
    again = np.flatnonzero((rows[1:] == rows[:-1]) & (columns[1:] == columns[:-1])) + 1
    same = (values[again] == values[again - 1]) | (np.isnan(values[again]) & np.isnan(values[again - 1]))
    if not same.all():
        at = int(again[np.argmin(same)])
        message = f"row {rows[at]} has two values for label {columns[at]}: {values[at - 1]:g} and {values[at]:g}."
        raise LabelError(message, path=path)
    kept = np.delete(np.arange(len(rows)), again)
    return csr_array((values[kept], (rows[kept], columns[kept])), shape=matrix.shape)


def _values(hot: csr_array, known: Array, names: tuple[str, ...]) -> Values | None:
    """Return the labels of each example that are neither 0 nor 1."""
    odd = np.flatnonzero(~known | ((hot.data != 0) & (hot.data != 1)))
    if not len(odd):
        return None
    values: Values = [{} for _ in range(hot.shape[0])]
    for row, place in zip((np.searchsorted(hot.indptr, odd, side="right") - 1).tolist(), odd.tolist(), strict=True):
        values[row][names[hot.indices[place]]] = float(hot.data[place]) if known[place] else np.nan
    return values


def _splits(arrays: Mapping[str, Any], rows: int, path: Path) -> list[SplitName] | None:
    if "split" not in arrays:
        return None
    split = arrays["split"]
    if split.shape != (rows,) or not np.isin(split, (0, 1, 2)).all():
        raise DataError(f"split must be {rows} numbers, each 0 (train), 1 (test) or 2 (val).", path=path)
    return [SPLIT_CODES[number] for number in split.tolist()]


def _without_split(path: Path) -> str:
    """Return the name of an ARFF file without its suffix and the split at its end."""
    return re.sub(r"[-_](train|test)$", "", path.stem)


def _parsed_arff(path: Path) -> tuple[str, list[Attribute], list[tuple[int, str]]]:
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
            raise DataError(f"expected @relation, @attribute or @data. Got {line[:60]!r}.", path=path, line=number)
    if not attributes or not lines:
        raise DataError("there is no @attribute or no row behind @data.", path=path)
    return relation, attributes, lines


def _meanings(attribute: Attribute, path: Path) -> NDArray[np.float64] | None:
    """Return 0 or 1 for each value of a nominal label, in any order; None if the values are the numbers 0 and 1."""
    if attribute.values is None or set(attribute.values) == {"0", "1"}:
        return None
    meant = [_MEANT.get(value.lower()) for value in attribute.values]
    if None in meant or len(set(meant)) < len(meant):
        values = listed(attribute.values, most=4)
        message = f'the label "{attribute.name}" must have the values 0 and 1, or such as no and yes. Got {values}.'
        raise LabelError(message, path=path)
    return np.array(meant, dtype=np.float64)


def _attribute(name: str, kind: str, *, path: Path, number: int) -> Attribute:
    name = name.strip("'\"").replace("\\'", "'")
    kind = _COMMENT.sub("}", kind)
    if kind.split(maxsplit=1)[0].lower() in NUMERIC:
        return Attribute(name, None)
    if kind.startswith("{") and kind.rstrip().endswith("}"):
        return Attribute(name, tuple(_cells(kind.rstrip()[1:-1])))
    message = f'the attribute "{name}" is of type {kind[:30]}; expected numeric or values between braces.'
    raise DataError(message, path=path, line=number)


def _cells(line: str) -> list[str]:
    """Split at commas that are not in quotes."""
    quote = "'" if "'" in line else '"'
    return [cell.strip() for cell in next(csv.reader([line], quotechar=quote, skipinitialspace=True), [])]


def _fill(row: NDArray[np.float64], line: str, attributes: list[Attribute], path: Path, number: int) -> None:
    """Read one line into a row: all values between commas, or ``{column value, ...}`` with zeros left out."""
    if line.startswith("{"):
        pairs = [cell.split(None, 1) for cell in _cells(line.rstrip("}").lstrip("{")) if cell]
        fitting = [pair for pair in pairs if is_number(pair[0]) and int(pair[0]) < len(attributes)]
        cells = {int(pair[0]): pair[-1].strip("'\"") for pair in fitting}
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


def _label_attributes(path: Path, relation: str, attributes: list[Attribute]) -> list[int]:
    beside = [path.with_suffix(".xml"), path.with_name(_without_split(path) + ".xml")]
    place = {attribute.name: column for column, attribute in enumerate(attributes)}
    for other in beside:
        if other.exists():
            names = [item.get("name", "") for item in parsed_xml(other).iter() if item.tag.endswith("label")]
            if missing := [name for name in names if name not in place]:
                raise DataError(f'there is no attribute "{missing[0]}", which {other.name} has as a label.', path=path)
            return [place[name] for name in names]
    counted = re.search(r"-[cC]\s+(-?\d{1,18})\b", relation)
    if counted is None or not 0 < abs(count := int(counted[1])) < len(attributes):
        message = f'nothing says which attributes are labels; expected {beside[-1].name} or "-C" in the relation.'
        raise DataError(message, path=path)
    return list(range(count)) if count > 0 else list(range(len(attributes) + count, len(attributes)))


def _one_hot(table: NDArray[np.float64], columns: list[int], attributes: list[Attribute]) -> NDArray[np.float32]:
    """Return the features: numbers as they are, and one column of 0 and 1 for each value of a nominal feature."""
    blocks = []
    for column in columns:
        values = attributes[column].values
        binary = values is None or set(values) == {"0", "1"}
        choices = np.arange(len(values or ()))
        blocks.append(table[:, [column]] if binary else table[:, [column]] == choices)
    return np.hstack(blocks).astype(np.float32)
