"""What an encoder is trained for: a loss, the head that feeds it, how epochs are judged, and how the rate falls."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import nn

from labelcontrast.config import RunSettings
from labelcontrast.contrast.factory import make_loss
from labelcontrast.data.batches import Prepared
from labelcontrast.door import Kind
from labelcontrast.encoders.projector import Projector
from labelcontrast.training.validation import Score, score_features, score_logits


@dataclass(frozen=True)
class Objective:
    """Everything about a training that depends on the kind of its loss."""

    head: nn.Module
    """From embeddings to what the loss takes: logits or projections."""
    loss: nn.Module
    score: Score
    schedule: Literal["cosine", "linear"]
    smallest_batch: int
    """A batch of fewer examples teaches nothing."""


def build_objective(
    settings: RunSettings, kind: Kind, *, width: int, num_labels: int, train: Prepared, validation: Prepared
) -> Objective:
    """Build what the settings ask for.

    Args:
        settings: of the run.
        kind: of its loss. A logit loss trains a linear head that is kept; a contrastive loss trains a projector and,
            where it has them, prototypes, which are dropped.
        width: of the embeddings.
        num_labels: how many labels there are.
        train: the training examples; a part of them serves to judge the epochs of a contrastive loss.
        validation: the examples that epochs are judged on.
    """
    training = settings.training
    parameters: dict[str, Any] = settings.loss.parameters
    if kind == "logit":
        loss = make_loss(settings.loss.name, **parameters)
        return Objective(linear_head(width, num_labels), loss, score_logits(validation), "linear", 1)
    projector = Projector(width, output_dim=training.projection_dim)
    parameters = {"diagnostics": True, **parameters}
    loss = make_loss(settings.loss.name, num_labels=num_labels, dim=training.projection_dim, **parameters)
    judged_on = subset(train, training.selection_examples, seed=settings.seed)
    return Objective(projector, loss, score_features(judged_on, validation), "cosine", 2)


def linear_head(width: int, num_labels: int) -> nn.Linear:
    """Make one logit a label: Xavier weights, no initial bias."""
    head = nn.Linear(width, num_labels)
    nn.init.xavier_uniform_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def subset(prepared: Prepared, size: int, *, seed: int) -> Prepared:
    """Draw at most so many examples, without repetition, in their order."""
    chosen = np.random.default_rng(seed).permutation(len(prepared))[:size]
    return prepared.select(np.sort(chosen))
