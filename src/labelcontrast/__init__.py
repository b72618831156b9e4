"""Multi-label and hierarchical contrastive learning on text, images and feature vectors.

Importing the package is instant: a name below is loaded, with torch where it needs it, when it is first used.
"""

from typing import TYPE_CHECKING

from labelcontrast.doors import lazy_names

if TYPE_CHECKING:
    from labelcontrast import data as data
    from labelcontrast import encoders as encoders
    from labelcontrast import lab as lab
    from labelcontrast import labels as labels
    from labelcontrast import losses as losses
    from labelcontrast import metrics as metrics
    from labelcontrast import probes as probes
    from labelcontrast.data.description import describe as describe
    from labelcontrast.data.examples import Examples as Examples
    from labelcontrast.data.readers import read as read
    from labelcontrast.data.splits import load_splits as load_splits
    from labelcontrast.encoders.registry import make_encoder as make_encoder
    from labelcontrast.errors import LabelContrastError as LabelContrastError
    from labelcontrast.estimator import ContrastiveClassifier as ContrastiveClassifier
    from labelcontrast.experiment import run_experiment as run_experiment
    from labelcontrast.labels.hierarchy import Hierarchy as Hierarchy
    from labelcontrast.labels.hierarchy_files import read_hierarchy as read_hierarchy
    from labelcontrast.labels.vocabulary import LabelVocabulary as LabelVocabulary
    from labelcontrast.losses.factory import make_loss as make_loss
    from labelcontrast.losses.loss import ContrastiveLoss as ContrastiveLoss
    from labelcontrast.losses.registry import check_loss as check_loss
    from labelcontrast.losses.registry import loss_catalogue as loss_catalogue
    from labelcontrast.losses.registry import register_loss as register_loss
    from labelcontrast.run.evaluation import evaluate as evaluate
    from labelcontrast.run.model import TrainedModel as TrainedModel
    from labelcontrast.run.model import embed as embed
    from labelcontrast.run.model import load as load
    from labelcontrast.run.model import load_model as load_model
    from labelcontrast.run.model import predict as predict
    from labelcontrast.settings import RunSettings as RunSettings

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "data": [],
        "encoders": [],
        "lab": [],
        "labels": [],
        "losses": [],
        "metrics": [],
        "probes": [],
        "data.description": ["describe"],
        "data.examples": ["Examples"],
        "data.readers": ["read"],
        "data.splits": ["load_splits"],
        "encoders.registry": ["make_encoder"],
        "errors": ["LabelContrastError"],
        "estimator": ["ContrastiveClassifier"],
        "experiment": ["run_experiment"],
        "labels.hierarchy": ["Hierarchy"],
        "labels.hierarchy_files": ["read_hierarchy"],
        "labels.vocabulary": ["LabelVocabulary"],
        "losses.factory": ["make_loss"],
        "losses.loss": ["ContrastiveLoss"],
        "losses.registry": ["check_loss", "loss_catalogue", "register_loss"],
        "run.evaluation": ["evaluate"],
        "run.model": ["TrainedModel", "embed", "load", "load_model", "predict"],
        "settings": ["RunSettings"],
    },
)
