"""Pictures as files or as bytes: open them, check that they are complete, and list those of a folder."""

import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TypeAlias

from PIL import Image, UnidentifiedImageError

from labelcontrast.data.examples import Examples
from labelcontrast.errors import DataError

Picture: TypeAlias = Path | bytes
PICTURE_SUFFIXES = frozenset(
    [".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"]
)
_END = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
"""The bytes that end a complete file."""


def opened(picture: Picture) -> BinaryIO:
    """Open a picture for reading."""
    return BytesIO(picture) if isinstance(picture, bytes) else picture.open("rb")


def picture_problem(picture: Picture) -> str | None:
    """Return what is wrong with a picture, as ``is truncated``, or None.

    A file that ends with the end marker of its format counts as complete; any other file is decoded.
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


def pictures_in(folder: Path) -> list[Path]:
    """List the pictures in a folder and its subfolders, sorted by name; hidden ones are skipped."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    return sorted(path for path in found if not any(part[0] == "." for part in path.relative_to(folder).parts))


def read_picture_folder(folder: Path, paths: Sequence[Path]) -> Examples:
    """Return the pictures of a folder as examples without labels; an id is the path below the folder.

    Raises:
        DataError: A picture is truncated or cannot be read.
    """
    for path in paths:
        if problem := picture_problem(path):
            raise DataError(f"the picture {problem}.", path=path)
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
