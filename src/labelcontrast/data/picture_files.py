"""Check that pictures are complete, and list those of a folder."""

import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import UnidentifiedImageError

from labelcontrast.data.examples import Examples
from labelcontrast.encoders.pictures import UNREADABLE, Picture, decode_picture, open_picture
from labelcontrast.errors import DataError

PICTURE_SUFFIXES = frozenset(
    [".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"]
)
_END = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
"""The bytes that end a complete file."""


def picture_problem(picture: Picture, *, decode: bool = False) -> str | None:
    """Return what is wrong with a picture, as ``is truncated``, or None.

    A file that ends with the end marker of its format counts as complete; any other file is decoded.

    Args:
        picture: A path, or the bytes of a file.
        decode: Decode every picture: one may be damaged in its middle.
    """
    try:
        with open_picture(picture) as image:
            if not decode and (end := _END.get(image.format or "")) and end in _last_bytes(picture):
                return None
            image.load()
        if decode:
            decode_picture(picture, place="")
    except FileNotFoundError:
        return "is missing"
    except UnidentifiedImageError:
        return "is not a picture that can be read"
    except (*UNREADABLE, DataError) as error:
        return "is truncated" if "truncated" in str(error) else f"cannot be read ({error})"
    return None


def _last_bytes(picture: Picture) -> bytes:
    with BytesIO(picture) if isinstance(picture, bytes) else picture.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 64))
        return file.read()


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
        ids=[path.relative_to(folder).as_posix().encode(errors="replace").decode() for path in paths],
        lines=range(1, len(paths) + 1),
        origin=str(folder),
        understood=f"{folder}: {len(paths):,} pictures, without labels",
        counted="picture",
    )
