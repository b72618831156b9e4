"""Files of this package: written completely or not at all, JSON, and folders that are claimed for results."""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from labelcontrast.errors import DataError, RunError


@contextmanager
def draft(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path; its file replaces ``path`` when the block ends without an error.

    Args:
        path: Final path. Missing parent folders are created; an older file stays until it is replaced.

    Raises:
        RunError: When the system refuses the write, as on a full disk. No partial file is left behind.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with draft(f"{folder}/new/a.txt") as temporary:
        ...         _ = temporary.write_text("complete")
        ...     Path(folder, "new", "a.txt").read_text()
        'complete'
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        message = f"{path} could not be written: {error.strerror or error}."
        raise RunError(message) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces ``path`` when the block ends without an error; see ``draft``."""
    with draft(path) as temporary, temporary.open("wb") as file:
        yield file


def is_utf8(text: str) -> bool:
    r"""Return True if a text can be written as UTF-8: it has no half of a surrogate pair.

    Example:
        >>> is_utf8("caf\u00e9"), is_utf8("cut \ud83d")
        (True, False)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def readable(path: str | Path) -> Iterator[None]:
    """Turn the refusals of the system while data are read into errors of ours.

    Raises:
        DataError: The path, or a file that is read, cannot be read, as without permission; or the path is not UTF-8.
    """
    if not is_utf8(str(path)):
        shown = str(path).encode(errors="backslashreplace").decode()
        raise DataError("the path is not UTF-8; rename it.", path=shown)
    try:
        yield
    except OSError as error:
        place = error.filename if isinstance(error.filename, str) else path
        raise DataError(f"it cannot be read ({error.strerror or error}).", path=place) from None


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, completely or not at all."""
    with whole_file(path) as file:
        file.write(text.encode())


def write_json(path: str | Path, value: Any) -> None:  # noqa: ANN401
    """Write indented JSON, completely or not at all; NaN and infinity become null."""
    write_text(path, json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:  # noqa: ANN401
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def is_claimed(
    folder: str | Path, marker: str, kind: str, *, named: str | None = None, resume: bool, force: bool
) -> bool:
    """Return True if a folder holds earlier results that may be resumed or replaced, and False if it is free.

    Args:
        folder: Where results are to be written.
        marker: The file by which results of this kind are recognised, such as ``study.json``.
        kind: What the results are, such as ``study``.
        named: How the message names earlier results; by default ``a`` and the kind.
        resume: Earlier results may be resumed.
        force: Earlier results may be replaced; a folder of anything else never.

    Raises:
        RunError: When the folder holds something else, or neither switch is given; or when its path has two colons side
            by side, which the library that writes checkpoints takes for a chain of addresses.

    Example:
        >>> is_claimed("nowhere", "study.json", "study", resume=False, force=False)
        False
    """
    folder = Path(folder)
    if "::" in str(folder.absolute()):
        message = (
            f'{folder.absolute()} has "::" in its path, where no checkpoint can be written; choose another folder.'
        )
        raise RunError(message)
    if folder.exists() and not folder.is_dir():
        message = f"{folder} is a file; expected a new or empty folder."
        raise RunError(message)
    if not folder.exists() or not any(folder.iterdir()):
        return False
    if not (folder / marker).exists():
        message = f"{folder} is not empty and is not a {kind}; choose another folder."
        raise RunError(message)
    if not resume and not force:
        earlier = named or f"a {kind}"
        message = (
            f"{folder} holds {earlier}; continue with --resume, replace it with --force, or choose another folder."
        )
        raise RunError(message)
    return True


def cache_folder() -> Path:
    """Return the user's cache folder: ``LABELCONTRAST_CACHE``, or a folder in the system's cache.

    Example:
        >>> cache_folder().is_absolute()
        True
    """
    own, system = os.environ.get("LABELCONTRAST_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own) if own else (Path(system) if system else Path.home() / ".cache") / "labelcontrast"


def _finite(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
