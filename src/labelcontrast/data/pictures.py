"""Pictures, in files of their own or as bytes in a table: every one must be there and be whole."""

import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TypeAlias

from PIL import Image, UnidentifiedImageError

from labelcontrast.data.arrow import ArrowColumn
from labelcontrast.data.columns import PICTURE_SUFFIXES, Table
from labelcontrast.data.examples import Examples
from labelcontrast.errors import DataError

Picture: TypeAlias = Path | bytes
_END = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}


def pictures_of(rows: Table, column: str, folder: Path, *, check: bool = True) -> list[Path] | ArrowColumn:
    """Find the picture of every row, and look whether it is whole; bytes stay where they are.

    Args:
        rows: the file.
        column: the column of the names, or of the bytes.
        folder: what the names are relative to.
        check: whether to look; else anything passes.

    Raises:
        DataError: at the first picture that is missing, truncated or not a picture; with the line that names it.
    """
    cells = rows.columns[column]
    if isinstance(cells, ArrowColumn) and cells.holds_bytes:
        for row, picture in enumerate(cells if check else ()):
            if problem := picture_problem(picture):
                message = f"the picture {problem}."
                raise DataError(message, path=rows.where(row, column))
        return cells
    paths = []
    for row, name in enumerate(cells):
        if not isinstance(name, str) or not name:
            message = "there is nothing; expected the name of a picture."
            raise DataError(message, path=rows.where(row, column))
        path = folder / name
        if check and (problem := picture_problem(path)):
            message = f"the picture {name} {problem}."
            raise DataError(message, path=rows.where(row, column))
        paths.append(path)
    return paths


def read_picture_folder(folder: Path, paths: Sequence[Path]) -> Examples:
    """Take the pictures of a folder as examples without labels; the name of each is its path below the folder.

    Raises:
        DataError: at the first picture that is truncated or not a picture.
    """
    for path in paths:
        if problem := picture_problem(path):
            message = f"the picture {problem}."
            raise DataError(message, path=path)
    return Examples(
        inputs=list(paths),
        label_sets=None,
        kind="image",
        ids=[path.relative_to(folder).as_posix() for path in paths],
        lines=range(1, len(paths) + 1),
        origin=str(folder),
        understood=f"{folder}: {len(paths):,} pictures, without labels",
        counted="picture",
    )


def pictures_in(folder: Path) -> list[Path]:
    """List the pictures in a folder and below it, sorted by name; not what is hidden behind a leading dot."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    return sorted(path for path in found if not any(part[0] == "." for part in path.relative_to(folder).parts))


def opened(picture: Picture) -> BinaryIO:
    """Open a picture for reading, whatever it is."""
    return BytesIO(picture) if isinstance(picture, bytes) else picture.open("rb")


def picture_problem(picture: Picture) -> str | None:
    """Say what is wrong with a picture, or None.

    A picture whose file ends with the mark of its format is taken as whole; any other is decoded.
    """
    try:
        with opened(picture) as file, Image.open(file) as image:
            if end := _END.get(image.format or ""):
                file.seek(max(0, file.seek(0, os.SEEK_END) - 64))
                if end in file.read():
                    return None
                file.seek(0)
            image.load()
    except FileNotFoundError:
        return "is missing"
    except UnidentifiedImageError:
        return "is not a picture that can be read"
    except (OSError, SyntaxError, ValueError) as error:
        return "is truncated" if "truncated" in str(error) else f"cannot be read ({error})"
    return None
