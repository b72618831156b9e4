"""Loggers: written where they should be, and refused with the install line where they are missing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from labelcontrast.config import Training
from labelcontrast.data.batches import Prepared, training_batches
from labelcontrast.errors import MissingExtraError
from labelcontrast.training import loggers
from labelcontrast.training.fit import fit
from labelcontrast.training.learner import Learner


def test_tensorboard_gets_the_epochs(prepared: Prepared, build_learner: Callable[..., Learner], tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    settings = Training(epochs=2, loggers=("tensorboard",))
    learner = build_learner(settings)
    fit(learner, training_batches(prepared, batch_size=8, seed=0), folder=tmp_path, settings=settings)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    logged = [event.value for event in events.Scalars("score")]
    assert logged == pytest.approx([epoch.score for epoch in learner.history])


def test_a_missing_one_is_refused_with_the_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'labelcontrast\[wandb\]'"):
        loggers.build_loggers(("wandb",), tmp_path)
