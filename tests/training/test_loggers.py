"""Loggers: written where they should be, and refused with the install line where they are missing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from labelcontrast.config.sections import Training
from labelcontrast.data.batches import Prepared, training_batches
from labelcontrast.training.fit import fit
from labelcontrast.training.learner import Learner
from labelcontrast.training.loggers import LOGGERS


def test_tensorboard_gets_the_epochs(prepared: Prepared, build_learner: Callable[..., Learner], tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    settings = Training(epochs=2, loggers=("tensorboard",))
    learner = build_learner(settings)
    fit(learner, training_batches(prepared, batch_size=8, seed=0), folder=tmp_path, settings=settings)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    logged = [event.value for event in events.Scalars("score")]
    assert logged == pytest.approx([epoch.score for epoch in learner.history])


def test_mlflow_writes_into_the_run_folder_unless_it_was_told_of_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert LOGGERS["mlflow"][1](tmp_path)["tracking_uri"] == f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert "tracking_uri" not in LOGGERS["mlflow"][1](tmp_path)
