"""Multi-label and hierarchical contrastive learning on text, images and feature vectors.

Importing the package is instant: a name below is loaded, with torch where it needs it, when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labelcontrast.errors import LabelContrastError as LabelContrastError

__version__ = "0.1.0"

_HOME = {
    "LabelContrastError": "labelcontrast.errors",
}

__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> object:
    """Load a public name from the module where it lives."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    message = f"module 'labelcontrast' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted([*globals(), *_HOME])
