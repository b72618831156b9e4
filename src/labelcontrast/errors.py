"""Everything this library refuses, as one family.

LabelContrastError            the base; the command line catches it, prints its one line and exits with 1
├── ConfigError               a setting or argument: unknown, of the wrong type, out of its range
├── DataError                 a file that cannot be understood; it names the file and, where there is one, the line
│   └── LabelError            a label that is not in the vocabulary, or a label of the wrong type
├── TensorError               what was handed to a loss or a metric
│   ├── LabelShapeError       a label matrix whose shape does not fit the embeddings or the loss
│   └── EmbeddingError        embeddings of the wrong width, with NaN or infinity, or of length zero
├── EncoderError              a pretrained encoder that cannot be had or does not fit the input
├── MissingExtraError         a library that is not installed; the message is the install line
└── RunError                  a run folder: not empty, not a run, damaged, or the disk is full
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class LabelContrastError(Exception):
    """The base of every error that this library raises on purpose."""


class ConfigError(LabelContrastError):
    """A setting or an argument is unknown, of the wrong type, or out of its range."""


class DataError(LabelContrastError):
    """A file cannot be understood; the message opens with the file and, where there is one, the line."""

    def __init__(self, message: str, *, path: Path | str | None = None, line: int | None = None) -> None:
        """Open the message with the place: ``reviews.jsonl, line 17: ...``."""
        place = [] if path is None else [str(path)]
        if line is not None:
            place.append(f"line {line}")
        super().__init__(f"{', '.join(place)}: {message}" if place else message)


class LabelError(DataError):
    """A label is not in the vocabulary, or is of the wrong type."""


class TensorError(LabelContrastError):
    """A tensor that was handed to a loss or a metric does not fit."""


class LabelShapeError(TensorError):
    """A label matrix has a shape that does not fit the embeddings or the loss."""


class EmbeddingError(TensorError):
    """Embeddings have the wrong width, hold NaN or infinity, or are of length zero."""


class EncoderError(LabelContrastError):
    """A pretrained encoder cannot be had, or does not fit the input."""


class MissingExtraError(LabelContrastError):
    """A library that is needed here is not installed; the message is the line that installs it."""

    def __init__(self, purpose: str, extra: str) -> None:
        """Say what it is for and how it is had."""
        super().__init__(f"{purpose} needs an extra that is not installed: pip install 'labelcontrast[{extra}]'")


class RunError(LabelContrastError):
    """A run folder is not empty, is not a run, is damaged, or cannot be written."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean "sports"?)"`` for the nearest known name, or nothing where none is near.

    Example:
        >>> nearest("sprots", ["sports", "politics"])
        ' (did you mean "sports"?)'
    """
    close = get_close_matches(name, list(known), n=1)
    return f' (did you mean "{close[0]}"?)' if close else ""
