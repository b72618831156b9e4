"""The score of an epoch: what scikit-learn says of the logits; what a ridge probe reads off features."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from labelcontrast.data.batches import Prepared
from labelcontrast.probes.selection import selection_score
from labelcontrast.settings import TrainingSettings
from labelcontrast.training.features import compute_features
from labelcontrast.training.learner import Learner
from labelcontrast.training.validation import score_features, score_logits


def test_logits_are_scored_by_macro_average_precision(
    prepared: Prepared, build_learner: Callable[..., Learner]
) -> None:
    learner = build_learner(TrainingSettings())
    logits = learner.head(compute_features(learner.encoder, prepared)).detach().numpy()
    expected = average_precision_score(prepared.labels.toarray(), logits, average="macro")
    assert score_logits(prepared)(learner.encoder, learner.head) == pytest.approx(expected)


def test_features_are_scored_by_a_probe_and_the_head_has_no_part_in_it(
    prepared: Prepared, build_learner: Callable[..., Learner]
) -> None:
    learner = build_learner(TrainingSettings())
    train, validation = prepared.select(np.arange(25)), prepared.select(np.arange(25, 37))
    features = [compute_features(learner.encoder, part).numpy() for part in (train, validation)]
    expected = selection_score(features[0], train.labels.toarray(), features[1], validation.labels.toarray())
    score = score_features(train, validation)
    assert score(learner.encoder, learner.head) == score(learner.encoder, torch.nn.Identity()) == expected
