"""Data sets of the Hugging Face hub: a folder that ``datasets`` saved, read without it; or a name, read by it."""

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa

from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.readers.assembly import PART_NAMES, examples_of
from labelcontrast.data.readers.cells.class_labels import table_cells
from labelcontrast.data.readers.rows import ColumnNames, Rows, listed
from labelcontrast.errors import DataError, MissingExtraError

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
            rows = Rows(
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
