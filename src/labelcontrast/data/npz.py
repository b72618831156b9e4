"""NumPy archives: feature vectors X with multi-hot labels Y."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from labelcontrast.data.columns import ColumnNames, listed
from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.label_cells import PRESENT, Values
from labelcontrast.errors import DataError, LabelError
from labelcontrast.labels.label_sets import LabelSets
from labelcontrast.labels.vocabulary import LabelVocabulary

PARTS: tuple[Part, ...] = ("train", "test", "val")
SPARSE = ("Y_data", "Y_indices", "Y_indptr", "Y_shape")
KNOWN = ("X", "features", "Y", "labels", *SPARSE, "label_names", "split")
Array = NDArray[Any]


def read_npz(path: Path, _wanted: ColumnNames) -> Examples:
    """Read an archive of feature vectors.

    It holds ``X`` or ``features`` [examples, features]; where there are labels, ``Y`` or ``labels`` [examples, labels]
    of 0 and 1 with ``label_names`` (else label_0, label_1, ...); and ``split`` (0 train, 1 test, 2 val). A label may be
    soft, a number between, or unknown, NaN or -1; and Y may be sparse: ``Y_data``, ``Y_indices``, ``Y_indptr`` and
    ``Y_shape``, as a CSR matrix of SciPy has them. No pickle is read.

    Raises:
        DataError: when an array is missing, ragged or of another length, or a feature is not finite; with the place.
    """
    arrays = _arrays(path)
    features = _features(arrays, path)
    label_sets, names, values = _labels(arrays, len(features), path)
    parts = _parts(arrays, len(features), path)
    labels = "no labels" if names is None else f"{len(names)} labels"
    return Examples(
        inputs=features,
        label_sets=label_sets,
        kind="vector",
        ids=[str(row) for row in range(1, len(features) + 1)],
        lines=range(1, len(features) + 1),
        origin=str(path),
        understood=f"{path}: {len(features):,} rows of {features.shape[1]:,} features; {labels}",
        label_names=names,
        parts=parts,
        counted="row",
        values=values,
    )


def _arrays(path: Path) -> dict[str, Array]:
    """Load the arrays that are known by name, without pickle."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = list(archive.files)
            arrays = {name: _array(archive, name, path) for name in names if name in KNOWN}
    except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile, zlib.error):
        message = "not a NumPy archive that can be read."
        raise DataError(message, path=path) from None
    if not {"X", "features"} & set(arrays):
        message = f'there is no array "X" or "features"; the arrays are {listed(names)}.'
        raise DataError(message, path=path)
    return arrays


def _array(archive: Mapping[str, Array], name: str, path: Path) -> Array:
    """Load one array, or refuse one of objects: that is what rows of different lengths become."""
    try:
        return archive[name]
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        message = f"{name} is ragged or holds objects; expected one rectangle of numbers."
        raise DataError(message, path=path) from None


def _features(arrays: dict[str, Array], path: Path) -> NDArray[np.float32]:
    """Return the features as 32-bit numbers, all finite."""
    name = "X" if "X" in arrays else "features"
    raw = arrays[name]
    if raw.ndim != 2 or raw.dtype.kind not in "biuf" or not raw.size:
        message = f"{name} must be numbers [examples, features]. Got {raw.dtype} {list(raw.shape)}."
        raise DataError(message, path=path)
    with np.errstate(over="ignore"):
        features = raw.astype(np.float32)
    broken = np.argwhere(~np.isfinite(features))
    if len(broken):
        row, column = broken[0].tolist()
        message = f"{name}[{row}, {column}] is {raw[row, column]}; features are finite numbers in 32 bits."
        raise DataError(message, path=path)
    return features


def _labels(
    arrays: dict[str, Array], rows: int, path: Path
) -> tuple[LabelSets | None, tuple[str, ...] | None, Values | None]:
    """Return the label sets, the names of the labels, and soft and unknown labels; or None."""
    name = next((name for name in ("Y", "labels", SPARSE[0]) if name in arrays), None)
    if name is None:
        return None, None, None
    hot = (
        _sparse_labels(arrays, path) if name == SPARSE[0] else csr_array(_dense_labels(arrays[name], name, rows, path))
    )
    if hot.shape[0] != rows:
        message = f"Y has {hot.shape[0]} rows, but there are {rows} examples."
        raise DataError(message, path=path)
    known = ~np.isnan(hot.data) & (hot.data != -1)
    wrong = np.flatnonzero(known & ((hot.data < 0) | (hot.data > 1)))
    if len(wrong):
        row, column = int(np.searchsorted(hot.indptr, wrong[0], side="right")) - 1, hot.indices[wrong[0]]
        message = f"{name}[{row}, {column}] must be 0, 1, a number between, or NaN or -1 where it is unknown."
        raise LabelError(f"{message} Got {hot.data[wrong[0]]:g}.", path=path)
    names = (
        tuple(map(str, arrays["label_names"]))
        if "label_names" in arrays
        else tuple(f"label_{column}" for column in range(hot.shape[1]))
    )
    if len(names) != hot.shape[1]:
        message = f"there are {len(names)} label_names, but {name} has {hot.shape[1]} columns."
        raise LabelError(message, path=path)
    present = hot.astype(np.float64)
    present.data = np.where(known & (hot.data >= PRESENT), 1.0, 0.0)
    try:
        label_sets = LabelVocabulary(names).decode(present)
    except LabelError as error:
        raise LabelError(str(error), path=path) from None
    return label_sets, names, _values(hot, known, names)


def _dense_labels(hot: Array, name: str, rows: int, path: Path) -> Array:
    """Return labels as a matrix of numbers, or refuse."""
    if hot.ndim != 2 or hot.dtype.kind not in "biuf" or len(hot) != rows:
        message = f"{name} must be 0 and 1 [{rows} examples, labels]. Got {hot.dtype} {list(hot.shape)}."
        raise DataError(message, path=path)
    return hot.astype(np.float64)


def _sparse_labels(arrays: dict[str, Array], path: Path) -> csr_array:
    """Put the parts of a CSR matrix together, or refuse."""
    try:
        data, indices, indptr, shape = (arrays[name] for name in SPARSE)
        matrix = csr_array((data.astype(np.float64), indices, indptr), shape=tuple(shape.tolist()))
        matrix.check_format()
    except (KeyError, ValueError, TypeError) as error:
        message = f"expected a CSR matrix in {listed(SPARSE)} ({error})."
        raise DataError(message, path=path) from None
    return matrix


def _values(hot: csr_array, known: Array, names: tuple[str, ...]) -> Values | None:
    """Return the labels of each example that are neither 0 nor 1."""
    odd = np.flatnonzero(~known | ((hot.data != 0) & (hot.data != 1)))
    if not len(odd):
        return None
    values: Values = [{} for _ in range(hot.shape[0])]
    for row, place in zip((np.searchsorted(hot.indptr, odd, side="right") - 1).tolist(), odd.tolist(), strict=True):
        values[row][names[hot.indices[place]]] = float(hot.data[place]) if known[place] else np.nan
    return values


def _parts(arrays: dict[str, Array], rows: int, path: Path) -> list[Part] | None:
    """Return the part of each row, where there is an array ``split``."""
    if "split" not in arrays:
        return None
    split = arrays["split"]
    if split.shape != (rows,) or not np.isin(split, (0, 1, 2)).all():
        message = f"split must be {rows} numbers, each 0 (train), 1 (test) or 2 (val)."
        raise DataError(message, path=path)
    return [PARTS[number] for number in split.tolist()]
