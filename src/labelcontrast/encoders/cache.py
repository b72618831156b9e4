"""Arrays that are computed once and cached in a file, by the content of everything that they depend on."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from labelcontrast.errors import RunError
from labelcontrast.files import draft, parse_json

Arrays = Mapping[str, NDArray[Any]]
KEYS = "keys"
"""The metadata entry that holds the key and the checksum of each array, as JSON; in earlier versions the key alone."""
ALIGNMENT = 64
"""Mapped arrays begin at a multiple of this many bytes, as torch's do in memory: products of arrays that are aligned
otherwise can differ in their last digits."""


KINDS = ("features", "tokens")
"""Folders of the cache: the features of frozen encoders, and the token ids of texts."""
DAY = 86_400


@dataclass(frozen=True)
class CachedFile:
    """A file of the cache folder."""

    path: Path
    kind: str
    """The folder below the cache folder."""
    size: int
    """In bytes."""
    unused: float
    """Days since it was last written or read."""


def cached_files(folder: str | Path) -> list[CachedFile]:
    """List the files of a cache folder, those used last first; other files that are there are not listed."""
    found = []
    for kind in KINDS:
        for path in Path(folder, kind).rglob("*"):
            with suppress(FileNotFoundError):  # another process has removed it
                if path.is_file():
                    status = path.stat()
                    used = max(status.st_atime, status.st_mtime)
                    found.append(CachedFile(path, kind, status.st_size, (time.time() - used) / DAY))
    return sorted(found, key=lambda file: file.unused)


def prune_cache(folder: str | Path, *, days: float | None = None, size: int | None = None) -> list[CachedFile]:
    """Remove files of a cache folder, and return them; a process that has read one keeps it.

    Args:
        folder: The cache folder.
        days: Remove files that were not used for so long.
        size: Remove the files that were used least recently, until all together have at most so many bytes.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = cached_arrays(f"{folder}/tokens/a", {"made": "key"}, lambda: {"made": np.zeros(9)})
        ...     [file.kind for file in prune_cache(folder, size=0)], cached_files(folder)
        (['tokens'], [])
    """
    files = cached_files(folder)
    kept = accumulate(file.size for file in files)
    removed = [
        file
        for file, so_far in zip(files, kept, strict=True)
        if (days is not None and file.unused >= days) or (size is not None and so_far > size)
        if not file.path.name.startswith(".") or file.unused > 1  # one that is being written
    ]
    for file in removed:
        file.path.unlink(missing_ok=True)
        with suppress(OSError):  # others are left in it
            file.path.parent.rmdir()
    return removed


def content_key(*contents: Iterable[Any]) -> str:
    """Hash texts, bytes, arrays and the content of files (given as ``Path``) to a key of 32 hexadecimal digits.

    Example:
        >>> content_key(["ab", "c"]) == content_key(["ab"], ["c"]), content_key(["ab", "c"]) == content_key(["a", "bc"])
        (True, False)
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in map(_as_bytes, chain.from_iterable(contents)):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def cached_arrays(
    path: str | Path, keys: Mapping[str, str], compute: Callable[[], Arrays], *, must_save: bool = False
) -> Arrays:
    """Read arrays from a file, or compute and save them.

    Args:
        path: A safetensors file. It is replaced when it is damaged (its checksums do not fit), or when an array is
            missing or has another key.
        keys: The ``content_key`` of each array.
        compute: Computes all arrays.
        must_save: Raise an error when the file cannot be written, instead of returning the arrays unsaved.

    Returns:
        The arrays, mapped from the file: they need no memory of their own, and writing into them does not change it.

    Raises:
        RunError: When the file cannot be written and must be.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for number in (1, 2):
        ...         arrays = cached_arrays(f"{folder}/a", {"made": "key"}, lambda: {"made": np.array([number])})
        ...         print(arrays["made"])
        [1]
        [1]
    """
    path = Path(path)
    cached = _read(path, keys)
    if cached is not None:
        with suppress(OSError):  # a folder that may only be read
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))  # for ``prune_cache``; not every disk does it
        return cached
    arrays = compute()
    try:
        save_arrays(path, keys, arrays)
    except RunError:
        if must_save:
            raise
        return arrays
    return _read(path, keys) or arrays


def save_arrays(path: Path, keys: Mapping[str, str], arrays: Arrays) -> None:
    """Save arrays in a file, with their keys and checksums.

    Raises:
        RunError: The file cannot be written.
    """
    total = sum(array.nbytes for array in arrays.values())
    text = json.dumps({name: [key, _checksum(arrays[name])] for name, key in keys.items()})
    with draft(path) as temporary:
        temporary.touch()
        permissions = temporary.stat().st_mode
        try:
            save_file(dict(arrays), temporary, {KEYS: text})
            # The arrays stand at the end of the file. Spaces behind the keys move them to where they are aligned.
            offset = temporary.stat().st_size - total
            if offset % ALIGNMENT:
                save_file(dict(arrays), temporary, {KEYS: text + " " * (-offset % ALIGNMENT)})
        except SafetensorError as error:
            message = f"{path} could not be written: {error}."
            raise RunError(message) from error
        temporary.chmod(permissions)  # the library gives its files to their owner alone


def saved_arrays(path: str | Path) -> Arrays:
    """Read all arrays that ``save_arrays`` has saved in a file.

    Raises:
        RunError: The file is missing or damaged.
    """
    arrays = _read(Path(path), None)
    if arrays is None:
        raise RunError(f"{path} is missing or damaged; it can be removed.")
    return arrays


def _as_bytes(value: Any) -> bytes:  # noqa: ANN401
    if isinstance(value, bytes):
        return value
    if isinstance(value, Path):
        return value.read_bytes()
    if isinstance(value, str):
        return value.encode(errors="surrogatepass")
    array = np.ascontiguousarray(value)
    return f"{array.dtype}{array.shape}".encode() + array.tobytes()


def _read(path: Path, keys: Mapping[str, str] | None) -> Arrays | None:
    """Read the arrays with these keys, or all; None if a key or a checksum differs."""
    try:
        with safe_open(path, framework="pt") as file:  # torch maps the file, where numpy would copy it
            saved = parse_json((file.metadata() or {}).get(KEYS, "{}"))
            arrays = {name: file.get_tensor(name).numpy() for name in (saved if keys is None else keys)}
            if all(_fits(array, saved.get(name), (keys or {}).get(name)) for name, array in arrays.items()):
                return arrays
    except (OSError, SafetensorError, ValueError, AttributeError):
        pass
    return None


def _fits(array: NDArray[Any], saved: object, key: str | None) -> bool:
    """Compare an array with the key and the checksum that were saved with it; with any key if it is None."""
    saved_key, checksum = saved if isinstance(saved, list) else (saved, None)
    return saved_key == (key or saved_key) and checksum in {None, _checksum(array)}


def _checksum(array: NDArray[Any]) -> str:
    digest = hashlib.blake2b(f"{array.dtype}{array.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
