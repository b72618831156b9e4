"""Files of this package: written completely or not at all, JSON, checksums, and folders held for results.

A file is written under the name ``.NAME.PROCESS.tmp`` and renamed. What a killed process leaves of these is removed by
the next one that writes the same file or claims the folder.
"""

import fcntl
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from glob import escape
from pathlib import Path
from typing import IO, Any, BinaryIO

from labelcontrast.errors import DataError, RunError

LOCK = ".lock"
"""The file in a folder of results that a command locks while it writes there."""
SEAL = "checksum of the above"
"""The last key of a JSON file that is sealed."""
LONGEST = 200
"""Bytes of a file's name that its temporary name repeats; file systems allow 255."""


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
    temporary = _temporary(path, os.getpid())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_drafts_of_the_dead(path)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        with suppress(OSError):  # on a read-only disk it would hide the refusal
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
    """Write a text file in UTF-8, completely or not at all; half of a surrogate pair is written as its escape."""
    with whole_file(path) as file:
        file.write(text.encode(errors="backslashreplace"))


def write_json(path: str | Path, value: Any, *, sealed: bool = False) -> None:  # noqa: ANN401
    """Write indented JSON, completely or not at all; NaN and infinity become null.

    Args:
        path: The file.
        value: What is written.
        sealed: Add a checksum to an object, so that ``read_json`` refuses the file if it is changed afterwards.
    """
    write_text(path, as_json({**value, SEAL: checksum_of_text(as_json(value))} if sealed else value))


def as_json(value: Any, *, indent: int | None = 1) -> str:  # noqa: ANN401
    """Return the text that ``write_json`` writes; without indent it is one line."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


def parse_json(text: str | bytes, **options: Any) -> Any:  # noqa: ANN401
    """Parse JSON; the options are those of ``json.loads``.

    Raises:
        ValueError: It is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json(path: str | Path) -> Any:  # noqa: ANN401
    """Read a JSON file; one that was sealed without its seal.

    Raises:
        RunError: It is not JSON, or was sealed and changed.
    """
    try:
        value = parse_json(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is damaged: it is not JSON ({error}).") from error
    if isinstance(value, dict) and SEAL in value and value.pop(SEAL) != checksum_of_text(as_json(value)):
        raise RunError(f"{path} is damaged: it has changed since it was written.")
    return value


def checksum(content: Path | bytes) -> str:
    """Return the BLAKE2b hash of a file or of bytes, as 32 hexadecimal digits."""
    if isinstance(content, bytes):
        return hashlib.blake2b(content, digest_size=16).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def checksum_of_text(text: str) -> str:
    """Return the ``checksum`` of a text as ``write_text`` writes it."""
    return checksum(text.encode(errors="backslashreplace"))


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a folder of results holds, by which it is told from any other folder.

    Example:
        >>> Layout(kind="study", marker="study.json", keys={"study"}, entries=("study.json", "trials")).owns("trials")
        True
    """

    kind: str
    """What the results are, such as ``study``."""
    marker: str
    """The file, TOML or JSON, that is written first and removed last."""
    keys: frozenset[str] | set[str]
    """Keys that the marker has."""
    entries: tuple[str, ...]
    """Patterns of the names of all files and folders in it."""

    def owns(self, name: str) -> bool:
        """Return True if a file of this name is one of the results, or a temporary one."""
        match = re.fullmatch(r"\.(?P<name>.+)\.\d+\.tmp", name)
        return name == LOCK or any(fnmatch(match["name"] if match else name, pattern) for pattern in self.entries)

    def marks(self, folder: Path) -> bool:
        """Return True if the marker in a folder is one of these results."""
        path = folder / self.marker
        try:
            values = tomllib.loads(path.read_text("utf-8")) if path.suffix == ".toml" else read_json(path)
        except (OSError, ValueError, RunError):
            return False
        return isinstance(values, dict) and self.keys <= values.keys()


def is_claimed(
    folder: str | Path, layout: Layout, *, named: str | None = None, resume: bool, force: bool, shared: bool = False
) -> bool:
    """Return True if a folder holds earlier results that may be resumed or replaced, and False if it is free.

    A folder is also free if a killed command left nothing in it but temporary files, or was about to remove results.

    Args:
        folder: Where results are to be written.
        layout: Of the results.
        named: How the message names earlier results; by default ``a`` and the kind.
        resume: Earlier results may be resumed.
        force: Earlier results may be replaced; a folder that holds anything else never.
        shared: Several commands may resume at the same time.

    Raises:
        RunError: The folder holds something else, is in use, or neither switch is given; or its path has two colons
            side by side, which the library that writes checkpoints takes for a chain of addresses.

    Example:
        >>> layout = Layout(kind="study", marker="study.json", keys={"study"}, entries=("study.json", "trials"))
        >>> is_claimed("nowhere", layout, resume=False, force=False)
        False
    """
    _refuse_in_use(Path(folder), shared=shared and not force)
    return _holds(Path(folder), layout, named=named, resume=resume, force=force)


@dataclass(frozen=True)
class Hold:
    """The right to write results to a folder."""

    resumes: bool
    """True if there are earlier results, which are kept."""
    share: Callable[[], None]
    """Let other commands resume the same results from now on."""


@contextmanager
def held(
    folder: str | Path, layout: Layout, *, named: str | None = None, resume: bool, force: bool, shared: bool = False
) -> Iterator[Hold]:
    """Hold a folder for results during the block: no other process begins to write there, or removes it.

    Args are those of ``is_claimed``. The folder is made; with ``force`` earlier results are removed, in such an order
    that what a kill leaves of them is recognised.

    Raises:
        RunError: As ``is_claimed``; or the folder cannot be written.
    """
    folder = Path(folder)
    is_claimed(folder, layout, named=named, resume=resume, force=force, shared=shared)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(folder, error) from error
    with locked(folder / LOCK, shared=shared and resume and not force) as file:
        if file is None:
            raise _in_use(folder)
        try:
            # Asked again: another process may have come and gone before the lock.
            resumes = _holds(folder, layout, named=named, resume=resume, force=force) and not force
            if not resumes:
                _clear(folder, layout)
            yield Hold(resumes, lambda: fcntl.flock(file, fcntl.LOCK_SH))
        finally:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not while others share it
                (folder / LOCK).unlink(missing_ok=True)
                folder.rmdir()  # only an empty one


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[IO[str] | None]:
    """Open and lock a file during the block; yield None if another process has locked it.

    The lock ends with the process, even when that is killed. The holder may remove the file.

    Raises:
        RunError: The file cannot be opened or locked.
    """
    while True:
        try:
            file = path.open("a+")
        except OSError as error:
            raise _not_written(path, error) from error
        with file:
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            except OSError as error:
                raise RunError(f"{path} cannot be locked: {error.strerror or error}.") from error
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield file
                return
        # Its previous holder has removed it meanwhile.


def check_new(folder: str | Path) -> None:
    """Refuse a folder that holds anything, before a copy of data is written to it.

    Raises:
        RunError: The folder is a file, or not empty.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} is not empty; choose a new or empty folder, so that no data are overwritten.")


def cache_folder() -> Path:
    """Return the user's cache folder: ``LABELCONTRAST_CACHE``, or a folder in the system's cache.

    A user without a home folder has one of their own in the system's folder of temporary files.

    Raises:
        RunError: That folder belongs to another user.

    Example:
        >>> cache_folder().is_absolute()
        True
    """
    own, system = os.environ.get("LABELCONTRAST_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own)
    with suppress(RuntimeError):
        return (Path(system) if system else Path.home() / ".cache") / "labelcontrast"
    folder = Path(tempfile.gettempdir(), f"labelcontrast-{os.getuid()}")
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise RunError(f"{folder} belongs to another user; set LABELCONTRAST_CACHE to a folder for cached files.")
    return folder


def _holds(folder: Path, layout: Layout, *, named: str | None, resume: bool, force: bool) -> bool:
    if "::" in str(folder.absolute()):
        raise RunError(
            f'{folder.absolute()} has "::" in its path, where no checkpoint can be written; choose another folder.'
        )
    try:
        if folder.exists() and not folder.is_dir():
            raise RunError(f"{folder} is a file; expected a new or empty folder.")
        names = [path.name for path in folder.iterdir()] if folder.exists() else []
    except OSError as error:
        raise RunError(f"{folder} cannot be read: {error.strerror or error}.") from error
    drafts = [name for name in names if name.endswith(".tmp") and layout.owns(name)]
    strangers = sorted(name for name in names if not layout.owns(name))
    removed = not strangers and any(name.startswith(f".{layout.marker}.") for name in drafts)
    if layout.marker not in names and (removed or set(names) <= {LOCK, *drafts}):
        return False
    if not layout.marks(folder):
        raise RunError(f"{folder} is not empty and is not a {layout.kind}; choose another folder.")
    if not resume and not force:
        earlier = named or f"a {layout.kind}"
        raise RunError(
            f"{folder} holds {earlier}; continue with --resume, replace it with --force, or choose another folder."
        )
    if force and strangers:
        raise RunError(
            f"{folder} also holds {strangers[0]}, which --force would remove and which is no file of a {layout.kind}; "
            "move it away, or choose another folder."
        )
    return True


def _temporary(path: Path, process: int | str) -> Path:
    name = path.name
    if len(os.fsencode(name)) > LONGEST:
        name = checksum(os.fsencode(name))
    return path.with_name(f".{name}.{process}.tmp")


def _remove_drafts_of_the_dead(path: Path) -> None:
    """Remove the temporary files that killed processes of this machine have left of a file."""
    pattern = _temporary(path.with_name(escape(path.name)), "*").name
    for left in path.parent.glob(pattern):
        process = left.name.split(".")[-2]
        try:
            if process.isdecimal():
                os.kill(int(process), 0)
        except ProcessLookupError:
            left.unlink(missing_ok=True)
        except (OSError, OverflowError):  # of another user
            continue


def _clear(folder: Path, layout: Layout) -> None:
    """Remove all results, or what a killed command left of them; the marker stays as a temporary file to the last."""
    marker = folder / layout.marker
    last = _temporary(marker, os.getpid())
    try:
        if marker.exists():
            marker.replace(last)
        for path in folder.iterdir():
            if path.name == LOCK or path == last:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        last.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"{error.filename or folder} could not be removed: {error.strerror or error}.") from error


def _refuse_in_use(folder: Path, *, shared: bool) -> None:
    if os.path.isfile(folder / LOCK) and os.access(folder / LOCK, os.W_OK):  # noqa: PTH113  it never raises
        with locked(folder / LOCK, shared=shared) as file:
            if file is None:
                raise _in_use(folder)


def _in_use(folder: Path) -> RunError:
    return RunError(f"{folder} is in use by another process; wait for its end, or choose another folder.")


def _not_written(path: Path, error: OSError) -> RunError:
    return RunError(f"{path} could not be written: {error.strerror or error}.")


def _finite(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
