"""One trial: a run of its own folder, and the record of what it came to, good or bad."""

import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from labelcontrast.config.settings import RunSettings
from labelcontrast.errors import LabelContrastError
from labelcontrast.experiment import run_experiment
from labelcontrast.run.folder import drop_weights
from labelcontrast.run.learning import Listeners
from labelcontrast.studies.engine.store import Record
from labelcontrast.training.history import HISTORY, read_history


@dataclass(frozen=True)
class Trial:
    """One run of a study."""

    key: str
    """Its name in the store."""
    title: str
    """Its name for a reader."""
    settings: RunSettings
    folder: Path
    """The run's own folder."""
    training: Path | None = None
    """Where its training is kept, in common with trials that differ in what comes after it; by default in its own."""

    @property
    def claimed(self) -> str:
        """Name what nobody else may be at meanwhile."""
        return self.training.name if self.training else self.key


Perform = Callable[[Trial], Record]
"""Runs a trial and never raises for its sake."""


@dataclass(frozen=True)
class Runner:
    """Runs trials on a device; without listeners it can be sent to another process."""

    device: str = "cpu"
    keep_weights: bool = False
    """Keep every model; by default only results stay."""
    listeners: Listeners | None = None
    """Who hears of the epochs of a trial that runs in this process."""

    def __call__(self, trial: Trial) -> Record:
        """Run one trial, or go on with it where a kill has stopped it.

        Returns:
            The record. A failure is a result too: a refusal is its one line; what nobody foresaw comes with its trace.
        """
        begun = time.monotonic()
        settings = trial.settings.model_dump(mode="json", exclude_none=True)
        record: Record = {"title": trial.title, "folder": trial.folder.name, "settings": settings}
        try:
            result = run_experiment(
                trial.settings,
                trial.folder,
                training=trial.training,
                resume=True,
                device=self.device,
                listeners=self.listeners or Listeners(),
            )
            record |= {"result": result, "history": [asdict(epoch) for epoch in read_history(trial.folder / HISTORY)]}
        except LabelContrastError as error:
            record["error"] = str(error)
        except Exception as error:
            record |= {"error": " ".join(f"{type(error).__name__}: {error}".split()), "trace": traceback.format_exc()}
        else:
            if not self.keep_weights:
                drop_weights(trial.folder)
        return record | {"seconds": round(time.monotonic() - begun, 3)}
