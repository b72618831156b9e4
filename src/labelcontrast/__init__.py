"""Multi-label and hierarchical contrastive learning on text, images and feature vectors.

Importing the package is instant: a name below is loaded, with torch where it needs it, when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labelcontrast.contrast.catalogue import check_loss as check_loss
    from labelcontrast.contrast.catalogue import loss_catalogue as loss_catalogue
    from labelcontrast.contrast.factory import make_loss as make_loss
    from labelcontrast.contrast.loss import ContrastiveLoss as ContrastiveLoss
    from labelcontrast.errors import LabelContrastError as LabelContrastError

__version__ = "0.1.0"

_HOME = {
    "ContrastiveLoss": "labelcontrast.contrast.loss",
    "check_loss": "labelcontrast.contrast.catalogue",
    "loss_catalogue": "labelcontrast.contrast.catalogue",
    "make_loss": "labelcontrast.contrast.factory",
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
