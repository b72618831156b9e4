"""Which column of a table holds the input, the labels and the ids; and tables as examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from labelcontrast.encoders.base import Kind
from labelcontrast.errors import ConfigError, DataError, nearest

TEXT_NAMES = (
    "text",
    "sentence",
    "review",
    "comment_text",
    "comment",
    "tweet",
    "content",
    "body",
    "abstract",
    "document",
)
IMAGE_NAMES = ("image", "picture", "photo", "path", "file_name", "filename", "image_path", "file")
LABEL_NAMES = (
    "labels",
    "label",
    "tags",
    "tag",
    "categories",
    "category",
    "topics",
    "topic",
    "classes",
    "class",
    "genres",
)
ID_NAMES = ("id", "uid")
PICTURE_SUFFIXES = frozenset(
    [".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"]
)
ONE_OR_ZERO: dict[object, bool] = {
    0: False, "0": False, "0.0": False, "False": False, "false": False,
    1: True, "1": True, "1.0": True, "True": True, "true": True,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ColumnNames:
    """What the user says about the columns; what is None is found by looking."""

    text: str | None = None
    image: str | None = None
    labels: str | Sequence[str] | None = None
    """One column of label sets; or several columns of 0 and 1, as a sequence or joined by commas."""
    separator: str | None = None
    """What stands between the labels of a cell."""
    check_pictures: bool = True
    """Whether a picture that cannot be read is refused; else it is kept, for the doctor to see."""
    difficult: Literal["count", "leave_out"] = "count"
    """Whether objects that PASCAL VOC marks difficult give a picture their label."""

    def __post_init__(self) -> None:
        """Refuse an example that would be two inputs."""
        if self.text is not None and self.image is not None:
            both = f'the text column "{self.text}" and the image column "{self.image}"'
            message = f"an example is a text or a picture. Got {both}."
            raise ConfigError(message)


@dataclass(frozen=True, kw_only=True)
class Table:
    """What a file of rows holds; a cell that a row does not have is None."""

    origin: str
    columns: Mapping[str, Sequence[object]]
    lines: Sequence[int]
    counted: str = "line"

    def __len__(self) -> int:
        return len(self.lines)

    def where(self, row: int, column: str | None = None) -> str:
        """Say where a row stands, as ``reviews.jsonl, line 17``; of a cell, with its column."""
        place = f"{self.origin}, {self.counted} {self.lines[row]}"
        return place if column is None else f'{place}, column "{column}"'

    def named(self, names: Sequence[str]) -> str | None:
        """Find the first column that has one of these names, whatever its case."""
        known = {column.lower(): column for column in reversed(list(self.columns))}
        return next((known[name] for name in names if name in known), None)

    def required(self, name: str) -> str:
        """Return a column that the user named, or refuse with the nearest one."""
        if name in self.columns:
            return name
        message = f'there is no column "{name}"{nearest(name, self.columns)}. The columns are {listed(self.columns)}.'
        raise DataError(message, path=self.origin)


def numbered(lines: Sequence[int]) -> Sequence[int]:
    """Return the numbers of lines as a range where they are one, which takes no memory.

    Example:
        >>> numbered([2, 3, 4]), numbered([2, 4])
        (range(2, 5), [2, 4])
    """
    whole = range(lines[0], lines[0] + len(lines)) if lines else range(0)
    return whole if len(whole) and lines[-1] == whole[-1] else lines


def label_columns(rows: Table, wanted: ColumnNames) -> str | tuple[str, ...] | None:
    """Find the labels: one column of label sets, or several columns of 0 and 1, or none.

    In this order: what the user named; a usual name; the only column of lists; two or more columns of 0 and 1. A usual
    name whose cells are all null, as in the input of a prediction, is none.
    """
    if isinstance(wanted.labels, str) and ("," not in wanted.labels or wanted.labels in rows.columns):
        return rows.required(wanted.labels)
    if wanted.labels is not None:
        names = wanted.labels.split(",") if isinstance(wanted.labels, str) else wanted.labels
        return tuple(rows.required(name.strip()) for name in names)
    if usual := rows.named(LABEL_NAMES):
        return None if set(map(type, rows.columns[usual])) == {type(None)} else usual
    lists = [name for name, cells in rows.columns.items() if cells and isinstance(cells[0], list)]
    if len(lists) == 1:
        return lists[0]
    binary = tuple(name for name, cells in rows.columns.items() if _is_binary(cells))
    return binary if len(binary) > 1 else None


def input_column(rows: Table, wanted: ColumnNames, labels: str | tuple[str, ...] | None) -> tuple[Kind, str]:
    """Find the input: what the user named, else a usual name of a picture or a text, else the longest text.

    Raises:
        DataError: when no column could be the input.
    """
    if wanted.image is not None:
        return "image", rows.required(wanted.image)
    if wanted.text is not None:
        return "text", rows.required(wanted.text)
    if (image := rows.named(IMAGE_NAMES)) and _is_a_picture(rows.columns[image][0]):
        return "image", image
    if usual := rows.named(TEXT_NAMES):
        return "text", usual
    taken = {labels} if isinstance(labels, str) else set(labels or ())
    taken.add(rows.named(ID_NAMES) or "")
    lengths = {name: _mean_length(cells) for name, cells in rows.columns.items() if name not in taken}
    if not lengths or max(lengths.values()) == 0:
        message = (
            f"no column of texts or pictures was found. The columns are {listed(rows.columns)}; name the one to read."
        )
        raise DataError(message, path=rows.origin)
    return "text", max(lengths, key=lambda name: lengths[name])


def listed(names: Sequence[str] | Mapping[str, object], most: int = 8) -> str:
    """Write names in quotes, the first few of many.

    Example:
        >>> listed(["id", "review", "tags"], most=2)
        '"id", "review" and 1 more'
    """
    shown = ", ".join(f'"{name}"' for name in list(names)[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _is_binary(cells: Sequence[object]) -> bool:
    """Say whether every cell is 0, 1, or empty or -1 where it is unknown."""
    known = [cell for cell in cells if cell not in (None, "", "-1", -1)]
    return bool(known) and all(isinstance(cell, str | int | float) and cell in ONE_OR_ZERO for cell in known)


def _is_a_picture(cell: object) -> bool:
    """Say whether a cell is bytes, or ends as the name of a picture does."""
    return isinstance(cell, bytes) or (isinstance(cell, str) and PurePath(cell).suffix.lower() in PICTURE_SUFFIXES)


def _mean_length(cells: Sequence[object]) -> float:
    """Mean length of the texts of a column, from its first rows; 0 where one is not text."""
    first = [cell for cell in cells[:1000] if cell is not None]
    if not all(isinstance(cell, str) for cell in first):
        return 0
    return sum(len(str(cell)) for cell in first) / max(len(first), 1)
