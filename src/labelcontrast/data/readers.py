"""Read data of any known format: a file, chosen by its suffix, a folder, or a data set of the Hugging Face hub."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa

from labelcontrast.data.columns import ColumnNames, examples_of
from labelcontrast.data.examples import SPLIT_ALIASES, SPLIT_NAMES, BySplit, Examples, SplitName
from labelcontrast.data.feature_files import read_arff, read_npz
from labelcontrast.data.formats import (
    first_line,
    is_number,
    numbered_lines,
    read_json_lines,
    read_parquet,
    read_plain_text,
    read_separated,
    rows_of_arrow,
)
from labelcontrast.data.official import read_official
from labelcontrast.data.picture_files import PICTURE_SUFFIXES, pictures_in, read_picture_folder
from labelcontrast.data.table import DataTable, listed
from labelcontrast.errors import DataError, LabelError, MissingExtraError, nearest
from labelcontrast.files import parse_json, readable
from labelcontrast.labels.label_sets import LabelSets
from labelcontrast.labels.vocabulary import LabelVocabulary

HUB = "hf:"
"""The prefix of the name of a data set of the hub, as in ``hf:go_emotions:simplified``."""
READERS: dict[str, Callable[[Path], DataTable | Examples]] = {
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
"""Files beside the data that are about the labels alone."""


def read(
    path: Any,  # noqa: ANN401
    *,
    text: str | None = None,
    image: str | None = None,
    labels: str | Sequence[str] | None = None,
    separator: str | None = None,
    multi_hot: int | None = None,
) -> Examples:
    r"""Read a file in any known format, a folder with one such file, a picture, or a folder of pictures.

    Args:
        path: JSON Lines, CSV or TSV (each plain or .gz), Parquet, NumPy .npz, ARFF, plain text, a picture, or a folder;
            or, in memory, a frame of pandas or polars, or a ``datasets.Dataset``.
        text: The column of the texts; a column that is not named is detected.
        image: The column of the paths of pictures, relative to the folder of the file.
        labels: The column of label sets; or the columns of 0 and 1, as a sequence or joined by commas.
        separator: The text between the labels of a cell; empty if a cell is one label.
        multi_hot: The length of the lists if they hold a value for each label, 0 if they hold names or numbers.

    Returns:
        The examples, with a sentence about how the file was interpreted. ``label_sets`` is None without a label column.

    Raises:
        DataError: The file is missing, empty, of an unknown format, or cannot be interpreted.
        LabelError: The labels cannot be interpreted.
        ConfigError: Both a text and an image column are named.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "reviews.csv").write_text("text,tags\nGood food,food;taste\n")
        ...     examples = read(f"{folder}/reviews.csv")
        >>> examples.inputs, examples.label_sets
        (['Good food'], [('food', 'taste')])
    """
    wanted = ColumnNames(text=text, image=image, labels=labels, separator=separator, multi_hot=multi_hot)
    if (held := _held_table(path)) is not None:
        return examples_of([held], wanted)[0]
    return read_as(Path(path), wanted)


def _held_table(data: Any) -> DataTable | None:  # noqa: ANN401
    """Return a frame or a data set in memory as a table; None if it is neither."""
    if hasattr(data, "flatten_indices"):  # of datasets: what select and shuffle left
        return rows_of_arrow(data.flatten_indices().data.table, data.features.to_dict(), "the data set", Path())
    if hasattr(data, "iloc"):
        return rows_of_arrow(pa.Table.from_pandas(data, preserve_index=False), {}, "the frame", Path())
    return rows_of_arrow(data.to_arrow(), {}, "the frame", Path()) if hasattr(data, "to_arrow") else None


def read_as(path: Path, wanted: ColumnNames) -> Examples:
    """Read a file or a folder with the columns that the user named."""
    with readable(path):
        return read_parts([path], wanted)[0]


def read_parts(paths: Sequence[Path], wanted: ColumnNames) -> list[Examples]:
    """Read the files or folders of the splits, train first; the columns of tables are found once over all of them."""
    loaded = [_load(path, wanted) for path in paths]
    tables = [one for one in loaded if isinstance(one, DataTable)]
    read_tables = iter(examples_of(tables, wanted) if tables else ())
    return [_in_given_order(next(read_tables) if isinstance(one, DataTable) else one) for one in loaded]


def _load(path: Path, wanted: ColumnNames) -> DataTable | Examples:
    """Load the table of a file or folder, or its examples where a format gives no choice."""
    splits: Mapping[SplitName, DataTable | Examples] | None = _hub_tables(path)
    if splits := splits or (read_official(path, wanted) if path.is_dir() else None):
        if len(splits) == 1:
            return next(iter(splits.values()))
        raise DataError(f"it has the splits {listed(list(splits))}; expected the file or folder of one.", path=path)
    if not path.exists():
        raise DataError(f"there is no such file or folder{_nearest_file(path)}.", path=path)
    if path.is_dir() and (texts := texts_in_folders(path)):
        return DataTable(origin=str(path), columns=texts, lines=range(1, len(texts["text"]) + 1), folder=path)
    if path.is_dir() and (file := _data_file(path)) != path:
        return _load(file, wanted)
    if path.is_dir():
        return read_picture_folder(path, pictures_in(path))
    if path.suffix.lower() in PICTURE_SUFFIXES:
        one = read_picture_folder(path.parent, [path])
        return replace(one, origin=str(path), understood=f"{path}: one picture, without labels")
    reader = READERS.get(format_of(path))
    if reader is None:
        known = ", ".join(READERS)
        message = f'unknown format "{path.suffix}". Known are {known}, those of text also with .gz, and pictures.'
        raise DataError(message, path=path)
    if path.stat().st_size == 0:
        raise DataError("the file is empty.", path=path)
    return reader(path)


def read_split_data(path: Path, wanted: ColumnNames) -> BySplit | None:
    """Read data that come in splits of their own: a data set of the hub, or an official distribution; else None."""
    if tables := _hub_tables(path):
        return dict(zip(tables, examples_of(list(tables.values()), wanted), strict=True))
    return read_official(path, wanted) if path.is_dir() else None


def is_hub(path: Path) -> bool:
    """Return True if a path is the name of a data set of the hub, or a folder that ``datasets`` saved."""
    return str(path).startswith(HUB) or any((path / name).is_file() for name in ("dataset_dict.json", "state.json"))


def _hub_tables(path: Path) -> dict[SplitName, DataTable] | None:
    """Load a data set of the hub, train first; class labels get their names. None for anything else.

    It is a folder that ``save_to_disk`` wrote; or ``hf:NAME`` or ``hf:NAME:CONFIGURATION``, which may download.

    Raises:
        DataError: The folder is damaged, or no split is one of train, val and test.
        MissingExtraError: A name is given and ``datasets`` is not installed.
    """
    if not is_hub(path):
        return None
    found = _named_tables(path) if str(path).startswith(HUB) else _saved_tables(path)
    splits: dict[SplitName, DataTable] = {}
    for name, (table, features) in found.items():
        if (split := SPLIT_ALIASES.get(name.lower())) is not None:
            splits[split] = rows_of_arrow(table, features, f"{path}/{name}", path)
    if not splits:
        raise DataError(f"no split is train, val or test; the splits are {listed(list(found))}.", path=path)
    return {split: splits[split] for split in SPLIT_NAMES if split in splits}


def format_of(path: Path) -> str:
    """Return the suffix that chooses the reader of a file, without ``.gz``; empty if there is no reader."""
    name = path.name.lower()
    plain = name.removesuffix(".gz") if name.endswith(COMPRESSED) else name
    return next((end for end in READERS if plain.endswith(end)), "")


def texts_in_folders(folder: Path) -> dict[str, list[Any]] | None:
    """Read text files from folders that are named by their labels; None for a folder of another kind.

    A text that is in several folders has several labels.

    Raises:
        DataError: A file is not UTF-8.
    """
    below = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    files = [path for one in below for path in sorted(one.glob("*.txt"))]
    if not files or data_files(folder) or pictures_in(folder):
        return None
    found: dict[str, tuple[str, list[str]]] = {}
    for path in files:
        text = "".join(line for _, line in numbered_lines(path)).strip()
        found.setdefault(text, (path.name, []))[1].append(path.parent.name)
    names, label_lists = zip(*found.values(), strict=True)
    return {"id": list(names), "text": list(found), "labels": [list(dict.fromkeys(one)) for one in label_lists]}


def data_files(folder: Path) -> list[Path]:
    """List the files of a folder that may be data: of a known format, and not about the labels alone."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and format_of(path) not in {"", ".txt"} and path.name not in BESIDE and path.name[0] != "."
    )


def _saved_tables(path: Path) -> dict[str, tuple[pa.Table, Mapping[str, Any]]]:
    """Map the Arrow files of each split into memory, as ``datasets`` does."""
    try:
        several = path / "dataset_dict.json"
        names = parse_json(several.read_text())["splits"] if several.is_file() else ["train"]
        tables = {}
        for name in names:
            folder = path / name if several.is_file() else path
            state = parse_json((folder / "state.json").read_text())
            files = [str(folder / entry["filename"]) for entry in state["_data_files"]]
            features = parse_json((folder / "dataset_info.json").read_text())["features"]
            table = pa.concat_tables(pa.ipc.open_stream(pa.memory_map(file)).read_all() for file in files)
            table.validate(full=True)  # a damaged file would crash the process where it is used
            tables[name] = table, features
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, pa.ArrowException) as error:
        raise DataError(f"not a data set that was saved whole ({first_line(error)}).", path=path) from None
    return tables


def _named_tables(path: Path) -> dict[str, tuple[pa.Table, Mapping[str, Any]]]:
    """Load a data set by its name with ``datasets``."""
    try:
        load = import_module("datasets").load_dataset
    except ImportError:
        raise MissingExtraError(f'reading "{path}" by its name', "datasets") from None
    name, _, configuration = str(path).removeprefix(HUB).partition(":")
    try:
        # Mapped from the cache on disk, whatever its size; streaming would give each example once and in one order.
        found = load(name, configuration or None, keep_in_memory=False)
    except Exception as error:
        raise DataError(f"datasets could not load it ({first_line(error)}).", path=path) from None
    return {split: (part.data.table, part.features.to_dict()) for split, part in found.items()}


def _data_file(path: Path) -> Path:
    """Return the one data file of a folder; the path itself if it is a file, or a folder of pictures or of the hub."""
    if not path.is_dir() or is_hub(path):
        return path
    files = data_files(path)
    if len(files) > 1:
        names = listed([path.name for path in files], most=4)
        raise DataError(f"there are {len(files)} data files: {names}. Name one of them.", path=path)
    if not files and not pictures_in(path):
        message = f"there is no data file and no picture in the folder. Known formats are {', '.join(READERS)}."
        raise DataError(message, path=path)
    return files[0] if files else path


def _in_given_order(examples: Examples) -> Examples:
    """Take the order of the labels from the ``labels.json`` beside the file, if there is one."""
    path = Path(examples.origin)
    beside = path.parent / LABEL_ORDER
    if examples.label_sets is None or examples.label_names is not None or beside == path or not beside.exists():
        return examples
    names = LabelVocabulary.load(beside).names
    return _numbers_named(replace(examples, label_names=names), names)


def _numbers_named(examples: Examples, names: tuple[str, ...]) -> Examples:
    """Replace labels by names if all are whole numbers and none is a name: they are positions in the list, from 0."""
    sets = LabelSets.of(examples.label_sets or [])
    held = set(sets.held)
    if not held or not all(is_number(label) for label in held) or held & set(names):
        return examples
    if beyond := {label for label in held if int(label) >= len(names)}:
        row, label = next((row, label) for row, labels in enumerate(sets) for label in labels if label in beyond)
        message = f"the label {label} is not an index of {LABEL_ORDER}; expected 0 to {len(names) - 1}."
        raise LabelError(message, path=examples.where_labels(row))
    named = sets.mapped(lambda label: (names[int(label)],))
    return replace(examples, label_sets=named, understood=f"{examples.understood}; numbers are places in {LABEL_ORDER}")


def _nearest_file(path: Path) -> str:
    return nearest(path.name, [other.name for other in path.parent.iterdir()]) if path.parent.is_dir() else ""
