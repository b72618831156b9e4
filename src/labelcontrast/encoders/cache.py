"""Arrays that are made once and kept in a file, under a name made of all that they depend on."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from labelcontrast.errors import RunError
from labelcontrast.files import whole_file

Arrays = Mapping[str, NDArray[Any]]


def kept_arrays(folder: Path, made_by: Sequence[bytes], inputs: Iterable[Any], make: Callable[[], Arrays]) -> Arrays:
    """Read the arrays where they were kept, or make and keep them.

    Args:
        folder: where they are kept. One that cannot be written costs time and nothing else: they are made anew.
        made_by: the whole state of what makes them out of the inputs.
        inputs: texts, arrays, or files, which count by their content.
        make: makes them; asked where there is no file, or a damaged one, which is replaced.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for number in (1, 2):
        ...         print(kept_arrays(Path(folder), [b"count"], ["a"], lambda: {"made": np.array([number])}))
        {'made': array([1])}
        {'made': array([1])}
    """
    path = folder / f"{_key(made_by, inputs)}.safetensors"
    with suppress(OSError, SafetensorError):
        kept: Arrays = safetensors.numpy.load_file(path)
        return kept
    arrays = make()
    with suppress(RunError), whole_file(path) as file:
        file.write(safetensors.numpy.save(dict(arrays)))
    return arrays


def _key(made_by: Sequence[bytes], inputs: Iterable[Any]) -> str:
    """Boil down to one name what arrays depend on; each part after its length, so that none runs into the next."""
    whole = hashlib.blake2b(digest_size=16)
    for content in chain(made_by, map(_as_bytes, inputs)):
        whole.update(len(content).to_bytes(8, "little"))
        whole.update(content)
    return whole.hexdigest()


def _as_bytes(value: Any) -> bytes:  # noqa: ANN401
    """A text, a file's content, or an array with its type and shape, as bytes."""
    if isinstance(value, Path):
        return value.read_bytes()
    if isinstance(value, str):
        return value.encode(errors="surrogatepass")
    array = np.ascontiguousarray(value)
    return f"{array.dtype}{array.shape}".encode() + array.tobytes()
