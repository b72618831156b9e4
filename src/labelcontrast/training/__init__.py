"""Training with Lightning, for any encoder, any head, and any loss of projections or logits and labels."""

from typing import TYPE_CHECKING

from labelcontrast.doors import lazy_names

if TYPE_CHECKING:
    from labelcontrast.training.epochs import Epoch as Epoch
    from labelcontrast.training.epochs import read_history as read_history
    from labelcontrast.training.epochs import score_features as score_features
    from labelcontrast.training.epochs import score_logits as score_logits
    from labelcontrast.training.features import compute_features as compute_features
    from labelcontrast.training.learner import Learner as Learner
    from labelcontrast.training.learner import Rates as Rates
    from labelcontrast.training.learner import build_optimiser as build_optimiser
    from labelcontrast.training.trainer import fit as fit

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "epochs": ["Epoch", "read_history", "score_features", "score_logits"],
        "features": ["compute_features"],
        "learner": ["Learner", "Rates", "build_optimiser"],
        "trainer": ["fit"],
    },
)
