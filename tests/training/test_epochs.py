"""Epochs: their validation score, and the history as CSV."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score, f1_score
from sklearn.preprocessing import StandardScaler

from labelcontrast.data.batches import Prepared
from labelcontrast.probes.linear import selection_score
from labelcontrast.settings import TrainingSettings
from labelcontrast.training.epochs import (
    Epoch,
    read_history,
    score_features,
    score_logits,
    selected_epoch,
    write_history,
)
from labelcontrast.training.features import compute_features
from labelcontrast.training.learner import Learner

number = st.floats(allow_nan=False, allow_infinity=False)


def test_logits_are_scored_by_macro_average_precision(
    prepared: Prepared, build_learner: Callable[..., Learner]
) -> None:
    learner = build_learner(TrainingSettings())
    logits = learner.head(compute_features(learner.encoder, prepared)).detach().numpy()
    expected = average_precision_score(prepared.labels.toarray(), logits, average="macro")
    assert score_logits(prepared)(learner.encoder, learner.head) == {"score": pytest.approx(expected)}
    truth, predicted = prepared.labels.toarray(), logits > 0
    scored = score_logits(prepared, f1=True)(learner.encoder, learner.head)
    assert scored == {
        "score": pytest.approx(expected),
        "micro_f1": pytest.approx(f1_score(truth, predicted, average="micro")),
    }


def test_features_are_scored_by_a_probe_without_the_head(
    prepared: Prepared, build_learner: Callable[..., Learner]
) -> None:
    learner = build_learner(TrainingSettings())
    train, validation = prepared.select(np.arange(25)), prepared.select(np.arange(25, 37))
    features = [compute_features(learner.encoder, part).numpy() for part in (train, validation)]
    expected = selection_score(features[0], train.labels.toarray(), features[1], validation.labels.toarray())
    score = score_features(train, validation)
    assert score(learner.encoder, learner.head) == score(learner.encoder, torch.nn.Identity()) == {"score": expected}
    ridge = Ridge(alpha=0.1 * len(train)).fit(
        StandardScaler().fit(features[0]).transform(features[0]), train.labels.toarray()
    )
    predicted = ridge.predict(StandardScaler().fit(features[0]).transform(features[1])) > 0.5
    scored = score_features(train, validation, f1=True)(learner.encoder, learner.head)
    assert scored["micro_f1"] == pytest.approx(f1_score(validation.labels.toarray(), predicted, average="micro"))


def test_the_epoch_that_is_kept() -> None:
    history = [
        Epoch(n, 0.0, score, 0.0, 0.0, {"micro_f1": f1})
        for n, (score, f1) in enumerate([(0.3, 0.1), (0.2, 0.5), (0.1, 0.2)])
    ]
    assert [selected_epoch(history, keep).epoch for keep in ("best", "micro_f1", "last")] == [0, 1, 2]


@given(
    st.lists(
        st.builds(Epoch, epoch=st.integers(1, 999), loss=number, score=number, learning_rate=number, seconds=number)
    ),
    st.lists(st.sampled_from(["positives_pushed_away", "similarity_of_positives"]), unique=True),
)
def test_the_history_is_read_back_to_the_bit(tmp_path_factory, history: list[Epoch], counted: list[str]) -> None:
    history = [replace(epoch, diagnostics=dict.fromkeys(counted, epoch.score)) for epoch in history]
    path: Path = tmp_path_factory.mktemp("run") / "history.csv"
    write_history(path, history)
    assert read_history(path) == history
