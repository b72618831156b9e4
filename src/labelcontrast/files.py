"""Files that are whole or not there: written under a temporary name, then renamed."""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from labelcontrast.errors import RunError


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when the block has ended well.

    Args:
        path: where the file shall be; its folder is made where it is missing. An older file stays until the rename.

    Raises:
        RunError: when the system refuses the write, as on a full disk; nothing half-written is left behind.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with whole_file(Path(folder) / "a.txt") as file:
        ...         _ = file.write(b"whole")
        ...     (Path(folder) / "a.txt").read_text()
        'whole'
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        message = f"{path} could not be written: {error.strerror or error}."
        raise RunError(message) from error
    finally:
        draft.unlink(missing_ok=True)


def is_claimed(folder: Path, marker: str, kind: str, *, named: str | None = None, resume: bool, force: bool) -> bool:
    """Say whether a folder holds earlier results of a kind, to be gone on with or removed; or is free.

    Args:
        folder: where results are to go.
        marker: the file that results of this kind begin with.
        kind: what they are: a ``study``.
        named: what is said to be there; by default ``a`` and the kind.
        resume: they may be gone on with.
        force: they may be removed, but never a folder of anything else.

    Raises:
        RunError: when the folder holds something else, or neither switch allows what it holds.

    Example:
        >>> is_claimed(Path("nowhere"), "study.json", "study", resume=False, force=False)
        False
    """
    if folder.exists() and not folder.is_dir():
        message = f"{folder} is a file; expected a new or empty folder."
        raise RunError(message)
    if not folder.exists() or not any(folder.iterdir()):
        return False
    if not (folder / marker).exists():
        message = f"{folder} is not empty and is not a {kind}; choose another folder."
        raise RunError(message)
    if not resume and not force:
        there = named or f"a {kind}"
        message = f"{folder} holds {there}; go on with --resume, start anew with --force, or choose another folder."
        raise RunError(message)
    return True


def cache_folder() -> Path:
    """Name the user's folder for what can be computed again: LABELCONTRAST_CACHE, or one where the system keeps such.

    Example:
        >>> cache_folder().is_absolute()
        True
    """
    own, system = os.environ.get("LABELCONTRAST_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own) if own else (Path(system) if system else Path.home() / ".cache") / "labelcontrast"


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole_file(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401
    """Write JSON that a person can read, whole or not at all; what is no number becomes null."""
    write_text(path, json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401
    """Read JSON."""
    return json.loads(path.read_text())


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Put null in the place of NaN and infinity, which JSON does not know."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
