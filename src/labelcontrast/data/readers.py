"""Readers by file format: the end of the name chooses the reader; folders and hub data sets too."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa

from labelcontrast.data.arrow import table_cells
from labelcontrast.data.assembly import PART_NAMES, examples_of
from labelcontrast.data.columns import ColumnNames, Table, listed
from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.lines import read_json_lines, read_plain_text
from labelcontrast.data.npz import read_npz
from labelcontrast.data.official import read_official
from labelcontrast.data.official.arff import read_arff
from labelcontrast.data.pictures import pictures_in, read_picture_folder
from labelcontrast.data.tables import read_parquet, read_separated
from labelcontrast.errors import DataError, LabelError, MissingExtraError, nearest
from labelcontrast.labels.label_sets import LabelSets
from labelcontrast.labels.vocabulary import LabelVocabulary

NAME = "hf:"
"""What stands before the name of a data set of the hub, as in ``hf:go_emotions:simplified``."""
Parts = dict[Part, Examples]


def is_hub(path: Path) -> bool:
    """Say whether a path is the name of a data set of the hub, or a folder that ``datasets`` saved."""
    return str(path).startswith(NAME) or any((path / name).is_file() for name in ("dataset_dict.json", "state.json"))


def read_hub(path: Path, wanted: ColumnNames) -> Parts:
    """Read a data set of the hub; what is a class label there has its name here.

    Args:
        path: a folder that ``save_to_disk`` wrote; or ``hf:NAME`` or ``hf:NAME:CONFIGURATION``, which may download.
        wanted: the columns that the user named.

    Raises:
        DataError: when the folder is damaged, or no split is one of train, val and test.
        MissingExtraError: when a name is given and ``datasets`` is not installed.
    """
    tables = _named_tables(path) if str(path).startswith(NAME) else _saved_tables(path)
    parts: Parts = {}
    for split, (table, features) in tables.items():
        part = PART_NAMES.get(split.lower())
        if part is not None:
            rows = Table(
                origin=f"{path}/{split}",
                columns=table_cells(table, features, f"{path}/{split}"),
                lines=range(1, table.num_rows + 1),
                counted="row",
            )
            parts[part] = examples_of(rows, wanted, path)
    if not parts:
        message = f"no split is train, val or test; the splits are {listed(list(tables))}."
        raise DataError(message, path=path)
    return parts


def _saved_tables(path: Path) -> dict[str, tuple[pa.Table, Mapping[str, Any]]]:
    """Map the Arrow files of each split into memory, as ``datasets`` does."""
    try:
        several = path / "dataset_dict.json"
        names = json.loads(several.read_text())["splits"] if several.is_file() else ["train"]
        tables = {}
        for name in names:
            folder = path / name if several.is_file() else path
            files = [
                folder / entry["filename"] for entry in json.loads((folder / "state.json").read_text())["_data_files"]
            ]
            features = json.loads((folder / "dataset_info.json").read_text())["features"]
            tables[name] = (
                pa.concat_tables(pa.ipc.open_stream(pa.memory_map(str(file))).read_all() for file in files),
                features,
            )
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        message = f"not a data set that was saved whole ({str(error).splitlines()[0]})."
        raise DataError(message, path=path) from None
    return tables


def _named_tables(path: Path) -> dict[str, tuple[pa.Table, Mapping[str, Any]]]:
    """Let ``datasets`` find a data set by its name."""
    try:
        load = import_module("datasets").load_dataset
    except ImportError:
        what = f'reading "{path}" by its name'
        raise MissingExtraError(what, "datasets") from None
    name, _, configuration = str(path).removeprefix(NAME).partition(":")
    try:
        # Mapped from the cache on the disk, whatever its size; streaming would show each example once and in one order.
        found = load(name, configuration or None, keep_in_memory=False)
    except Exception as error:
        message = f"datasets could not load it ({str(error).splitlines()[0]})."
        raise DataError(message, path=path) from None
    return {split: (part.data.table, part.features.to_dict()) for split, part in found.items()}


READERS: dict[str, Callable[[Path, ColumnNames], Examples]] = {
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json_lines,
    ".csv": read_separated,
    ".tsv": read_separated,
    ".parquet": read_parquet,
    ".npz": read_npz,
    ".arff": read_arff,
    ".txt": read_plain_text,
}
COMPRESSED = (".jsonl.gz", ".ndjson.gz", ".json.gz", ".csv.gz", ".tsv.gz", ".txt.gz")
LABEL_ORDER = "labels.json"
BESIDE = (LABEL_ORDER, "hierarchy.json", "label_info.json")


def read(
    path: Path | str,
    *,
    text: str | None = None,
    image: str | None = None,
    labels: str | Sequence[str] | None = None,
    separator: str | None = None,
) -> Examples:
    """Read a file in any known format, a folder with one such file, or a folder of pictures.

    Args:
        path: JSON Lines, CSV or TSV (each plain or .gz), Parquet, NumPy .npz, plain text, or a folder.
        text: the column of the texts; columns that are not named are found by looking.
        image: the column of the pictures' paths, which are relative to the folder of the file.
        labels: the column of label sets; or the columns of 0 and 1, as a sequence or joined by commas.
        separator: what stands between the labels of a cell.

    Returns:
        The examples, with a sentence that says what was understood. Without a label column, ``label_sets`` is None.

    Raises:
        DataError: when the file is missing, empty, of an unknown format, or cannot be understood.
        LabelError: when the labels cannot be.
        ConfigError: when both a text and an image column are named.
    """
    wanted = ColumnNames(text=text, image=image, labels=labels, separator=separator)
    return read_as(Path(path), wanted)


def read_parts(path: Path, wanted: ColumnNames) -> dict[Part, Examples] | None:
    """Read what is known to come in parts of its own: a data set of the hub, or an official distribution; else None."""
    if is_hub(path):
        return read_hub(path, wanted)
    return read_official(path, wanted) if path.is_dir() else None


def read_as(path: Path, wanted: ColumnNames) -> Examples:
    """Read a file or a folder with the columns that the user named."""
    if parts := read_parts(path, wanted):
        if len(parts) == 1:
            return next(iter(parts.values()))
        message = f"it has the parts {listed(list(parts))}; expected the file or folder of one."
        raise DataError(message, path=path)
    if not path.exists():
        message = f"there is no such file or folder{_near(path)}."
        raise DataError(message, path=path)
    if path.is_dir():
        return _read_folder(path, wanted)
    reader = READERS.get(format_of(path))
    if reader is None:
        message = f'unknown format "{path.suffix}". Known are {", ".join(READERS)}, and .gz behind the texts.'
        raise DataError(message, path=path)
    if path.stat().st_size == 0:
        message = "the file is empty."
        raise DataError(message, path=path)
    return _in_given_order(reader(path, wanted), path)


def format_of(path: Path) -> str:
    """Return the end of a name that chooses its reader, without ``.gz``; empty where there is no reader."""
    name = path.name.lower()
    plain = name.removesuffix(".gz") if name.endswith(COMPRESSED) else name
    return next((end for end in READERS if plain.endswith(end)), "")


def data_files(folder: Path) -> list[Path]:
    """List the files of a folder that may be data: of a known format, and not about the labels alone."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and format_of(path) not in {"", ".txt"} and path.name not in BESIDE and path.name[0] != "."
    )


def _read_folder(folder: Path, wanted: ColumnNames) -> Examples:
    """Read the one data file of a folder; where there is none, its pictures."""
    files = data_files(folder)
    if len(files) == 1:
        return read_as(files[0], wanted)
    if files:
        message = (
            f"there are {len(files)} data files: {listed([path.name for path in files], most=4)}. Name one of them."
        )
        raise DataError(message, path=folder)
    if pictures := pictures_in(folder):
        return read_picture_folder(folder, pictures)
    message = f"there is no data file and no picture in the folder. Known formats are {', '.join(READERS)}."
    raise DataError(message, path=folder)


def _in_given_order(examples: Examples, path: Path) -> Examples:
    """Take the order of the labels from the ``labels.json`` beside the file, where there is one."""
    beside = path.parent / LABEL_ORDER
    if examples.label_sets is None or examples.label_names is not None or beside == path or not beside.exists():
        return examples
    names = LabelVocabulary.load(beside).names
    return _numbers_named(replace(examples, label_names=names), names)


def _numbers_named(examples: Examples, names: tuple[str, ...]) -> Examples:
    """Take labels that are all whole numbers, and none of them a name, as places in the list of names from 0."""
    assert examples.label_sets is not None
    sets = LabelSets.of(examples.label_sets)
    held = set(sets.held)
    if not held or not all(label.isdecimal() for label in held) or held & set(names):
        return examples
    if beyond := {label for label in held if int(label) >= len(names)}:
        row, label = next((row, label) for row, labels in enumerate(sets) for label in labels if label in beyond)
        message = f"the label {label} is no place in {LABEL_ORDER}; expected 0 to {len(names) - 1}."
        raise LabelError(message, path=examples.where_labels(row))
    named = sets.mapped(lambda label: (names[int(label)],))
    return replace(examples, label_sets=named, understood=f"{examples.understood}; numbers are places in {LABEL_ORDER}")


def _near(path: Path) -> str:
    """Offer the nearest name in the folder where a file was looked for."""
    return nearest(path.name, [other.name for other in path.parent.iterdir()]) if path.parent.is_dir() else ""
