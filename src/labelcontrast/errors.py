"""The errors of this library, all of them descendants of one base.

LabelContrastError            the base; the command line catches it, prints its line and exits with 1
├── ConfigError               a setting or argument is unknown, of the wrong type, or out of range
├── DataError                 a file cannot be read; the message starts with the file and the line, if known
│   └── LabelError            a label is not in the vocabulary, or has the wrong type
├── TensorError               an argument of a loss or a metric does not fit
│   ├── LabelShapeError       a label matrix has another shape than the embeddings or the loss require
│   └── EmbeddingError        embeddings have the wrong width, NaN or infinity, or length zero
├── EncoderError              a pretrained encoder cannot be loaded, or does not read the inputs
├── MissingExtraError         an optional library is not installed; the message is the command that installs it
├── RunError                  a run folder is not empty, not a run, damaged, or cannot be written
└── RequestError              a request to the server is refused; it carries the status of HTTP and a code
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


LONGEST_NAME = 200
"""Characters of a name that is compared with known ones."""


class LabelContrastError(Exception):
    """The base of all errors that this library raises on purpose; half a surrogate pair in a message is escaped."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message.encode(errors="backslashreplace").decode())


class ConfigError(LabelContrastError):
    """A setting or argument is unknown, of the wrong type, or out of range."""


class DataError(LabelContrastError):
    """A file cannot be read; the message starts with the file and the line, if known."""

    def __init__(self, message: str, *, path: Path | str | None = None, line: int | None = None) -> None:
        """Start the message with the place: ``reviews.jsonl, line 17: ...``."""
        place = [] if path is None else [str(path)]
        if line is not None:
            place.append(f"line {line}")
        super().__init__(f"{', '.join(place)}: {message}" if place else message)


class LabelError(DataError):
    """A label is not in the vocabulary, or has the wrong type."""


class TensorError(LabelContrastError):
    """An argument of a loss or a metric does not fit."""


class LabelShapeError(TensorError):
    """A label matrix has another shape than the embeddings or the loss require."""


class EmbeddingError(TensorError):
    """Embeddings have the wrong width, NaN or infinity, or length zero."""


class EncoderError(LabelContrastError):
    """A pretrained encoder cannot be loaded, or does not read the inputs."""


class MissingExtraError(LabelContrastError):
    """An optional library is not installed; the message is the command that installs it."""

    def __init__(self, purpose: str, extra: str) -> None:
        """Name the purpose and the extra, as in ``labelcontrast[timm]``."""
        super().__init__(f"{purpose} needs an extra that is not installed: pip install 'labelcontrast[{extra}]'")


class RunError(LabelContrastError):
    """A run folder is not empty, not a run, damaged, or cannot be written."""


class RequestError(LabelContrastError):
    """A request to the server is refused; it carries the status of HTTP and a code that programs can compare."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``' (did you mean "sports"?)'`` for the most similar known name, or an empty string.

    Example:
        >>> nearest("sprots", ["sports", "politics"])
        ' (did you mean "sports"?)'
    """
    close = get_close_matches(name, list(known), n=1) if len(name) <= LONGEST_NAME else []  # the search takes seconds
    return f' (did you mean "{close[0]}"?)' if close else ""
