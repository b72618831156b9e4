"""Features: in order, without dropout, without a gradient, and the module left as it was."""

from collections.abc import Callable

import torch

from labelcontrast.config.sections import Training
from labelcontrast.data.batches import Prepared
from labelcontrast.training.features import compute_features
from labelcontrast.training.learner import Learner


def test_features_are_the_rows_in_order(prepared: Prepared, build_learner: Callable[..., Learner]) -> None:
    encoder = build_learner(Training()).encoder
    encoder.train()
    features = compute_features(encoder, prepared, batch_size=5)
    assert encoder.training
    assert not features.requires_grad
    with torch.no_grad():
        expected = encoder.eval()(prepared.batch(range(len(prepared)))[0])
    torch.testing.assert_close(features, expected)


def test_the_batch_size_changes_nothing(prepared: Prepared, build_learner: Callable[..., Learner]) -> None:
    encoder = build_learner(Training()).encoder
    whole = compute_features(encoder, prepared, batch_size=100)
    torch.testing.assert_close(compute_features(encoder, prepared, batch_size=1), whole)
