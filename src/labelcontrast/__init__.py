"""Multi-label and hierarchical contrastive learning on text, images and feature vectors.

Importing the package is instant: a name below is loaded, with torch where it needs it, when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labelcontrast.data.describe import describe as describe
    from labelcontrast.data.examples import Examples as Examples
    from labelcontrast.data.readers import read as read
    from labelcontrast.data.splits import load_splits as load_splits
    from labelcontrast.encoders.registry import make_encoder as make_encoder
    from labelcontrast.errors import LabelContrastError as LabelContrastError
    from labelcontrast.experiment import run_experiment as run_experiment
    from labelcontrast.labels.hierarchy import Hierarchy as Hierarchy
    from labelcontrast.labels.hierarchy_files import read_hierarchy as read_hierarchy
    from labelcontrast.labels.vocabulary import LabelVocabulary as LabelVocabulary
    from labelcontrast.losses.catalogue import check_loss as check_loss
    from labelcontrast.losses.catalogue import loss_catalogue as loss_catalogue
    from labelcontrast.losses.factory import make_loss as make_loss
    from labelcontrast.losses.loss import ContrastiveLoss as ContrastiveLoss
    from labelcontrast.run.folder import load_model as load_model
    from labelcontrast.run.prediction import embed as embed
    from labelcontrast.run.prediction import evaluate as evaluate
    from labelcontrast.run.prediction import predict as predict
    from labelcontrast.settings import RunSettings as RunSettings

__version__ = "0.1.0"

_HOME = {
    "ContrastiveLoss": "labelcontrast.losses.loss",
    "Examples": "labelcontrast.data.examples",
    "Hierarchy": "labelcontrast.labels.hierarchy",
    "LabelContrastError": "labelcontrast.errors",
    "LabelVocabulary": "labelcontrast.labels.vocabulary",
    "RunSettings": "labelcontrast.settings",
    "check_loss": "labelcontrast.losses.catalogue",
    "describe": "labelcontrast.data.describe",
    "embed": "labelcontrast.run.prediction",
    "evaluate": "labelcontrast.run.prediction",
    "load_model": "labelcontrast.run.folder",
    "load_splits": "labelcontrast.data.splits",
    "loss_catalogue": "labelcontrast.losses.catalogue",
    "make_encoder": "labelcontrast.encoders.registry",
    "make_loss": "labelcontrast.losses.factory",
    "predict": "labelcontrast.run.prediction",
    "read": "labelcontrast.data.readers",
    "read_hierarchy": "labelcontrast.labels.hierarchy_files",
    "run_experiment": "labelcontrast.experiment",
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
