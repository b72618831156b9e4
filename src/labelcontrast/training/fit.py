"""Training on Lightning, from the start or from the last checkpoint."""

import io
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import Logger
from torch.utils.data import DataLoader

from labelcontrast.data.sampling import SeededBatches
from labelcontrast.files import whole_file
from labelcontrast.settings import TrainingSettings
from labelcontrast.training.history import HISTORY, Epoch, write_history
from labelcontrast.training.learner import Learner

# name: (Lightning's class, its arguments for a run folder)
LOGGERS: dict[str, tuple[str, Callable[[Path], dict[str, Any]]]] = {
    "tensorboard": ("TensorBoardLogger", lambda folder: {"save_dir": folder, "name": "tensorboard", "version": ""}),
    "wandb": ("WandbLogger", lambda folder: {"save_dir": folder, "name": folder.name, "project": "labelcontrast"}),
    "mlflow": ("MLFlowLogger", lambda folder: _mlflow_home(folder) | {"experiment_name": "labelcontrast"}),
}


def build_loggers(names: tuple[str, ...], folder: Path) -> list[Logger]:
    """Build the loggers that were asked for; they write into the run folder or where their own settings say."""
    home = import_module("lightning.pytorch.loggers")
    return [getattr(home, LOGGERS[name][0])(**LOGGERS[name][1](folder)) for name in names]


def _mlflow_home(folder: Path) -> dict[str, str]:
    """Keep MLflow's database in the run folder, unless MLflow has been told of a server."""
    return {} if "MLFLOW_TRACKING_URI" in os.environ else {"tracking_uri": f"sqlite:///{folder / 'mlflow.db'}"}


BEST, LAST = Path("checkpoints/best.ckpt"), Path("checkpoints/last.ckpt")
KEPT = {"best": BEST, "last": LAST}
PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "16": "16-mixed",
}


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or not there: a full disk leaves the one before."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ANN401, ARG002
        """Write under a temporary name, then rename."""
        packed = io.BytesIO()
        torch.save(checkpoint, packed)
        with whole_file(Path(path)) as file:
            file.write(packed.getbuffer())


class Interim(Callback):
    """Brings the last checkpoint up to date within an epoch, with the place in the batches; resumed, goes on there."""

    def __init__(self, sampler: SeededBatches, path: Path, *, minutes: float) -> None:
        self._sampler, self._path, self._seconds = sampler, path, 60 * minutes
        self._place: dict[str, int] | None = None

    def state_dict(self) -> dict[str, int]:
        """Say where the sampler is; nothing is fetched ahead, so what was drawn has been trained on."""
        return self._sampler.state_dict()

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Remember where the sampler was."""
        self._place = state_dict

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Go there; not before, since the steps of the schedule are counted on the first epoch."""
        if self._place:
            self._sampler.load_state_dict(self._place)
        self._saved = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ANN401, ARG002
        batch: Any,  # noqa: ANN401, ARG002
        batch_idx: int,
    ) -> None:
        """Save when it is time; after an epoch's last batch its validation is still to come, and then a checkpoint."""
        within = batch_idx + 1 < trainer.num_training_batches
        if within and time.monotonic() - self._saved > self._seconds:
            trainer.save_checkpoint(self._path)
            self._saved = time.monotonic()


def fit(
    learner: Learner,
    batches: DataLoader[Any],
    *,
    folder: Path,
    settings: TrainingSettings,
    progress: bool = False,
    listen: Callable[[Epoch], None] = lambda _: None,
) -> list[Epoch]:
    """Train until the last epoch or until patience ends, and leave the kept epoch's weights in the learner.

    Args:
        learner: what is trained.
        batches: the loader of the training batches, as ``training_batches`` makes it.
        folder: ``history.csv`` and ``checkpoints/`` go here; training goes on from a last checkpoint that is there.
        settings: epochs, precision, clipping, patience, checkpoints, loggers, and whether the best epoch is kept.
        progress: show a progress bar.
        listen: called with every epoch as it ends.

    Returns:
        The history, one entry an epoch.

    Raises:
        RunError: when the loss is not finite, or a checkpoint cannot be written.
    """

    def note(history: list[Epoch]) -> None:
        write_history(folder / HISTORY, history)
        listen(history[-1])

    learner.note = note
    last = folder / LAST
    sampler: Any = batches.batch_sampler
    with quiet():
        trainer = pl.Trainer(
            max_epochs=settings.epochs,
            devices=1,
            precision=resolve_precision(settings.precision),
            callbacks=[
                Interim(sampler, last, minutes=settings.checkpoint_minutes),
                *_callbacks(folder, settings.patience),
            ],
            plugins=[WholeCheckpoints()],
            logger=build_loggers(settings.loggers, folder) or False,
            enable_progress_bar=progress,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(learner, batches, ckpt_path=last if last.exists() else None, weights_only=True)
    kept = torch.load(folder / KEPT[settings.keep], map_location="cpu", weights_only=True)
    learner.load_state_dict(kept["state_dict"])
    return learner.history


def resolve_precision(precision: str) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
    """Name the precision as Lightning does; ``auto`` is bf16 on an accelerator that has it, else 32 bits."""
    if precision == "auto":
        precision = "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "32"
    return PRECISIONS[precision]


def _callbacks(folder: Path, patience: int | None) -> list[Callback]:
    """Keep the best and the last epoch, and stop when patience ends."""
    common: dict[str, Any] = {"dirpath": (folder / BEST).parent, "enable_version_counter": False}
    best = ModelCheckpoint(**common, filename=BEST.stem, monitor="score", mode="max", save_on_train_epoch_end=True)
    # Lightning's own save_last repeats the best one: it is written only in epochs that are better than all before.
    last = ModelCheckpoint(**common, filename=LAST.stem, every_n_epochs=1, save_on_train_epoch_end=True)
    stop = EarlyStopping(monitor="score", mode="max", patience=patience or 1, check_on_train_epoch_end=True)
    return [best, last, stop] if patience else [best, last]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning from speaking for us: no banners, and no advice about workers or loggers."""
    speaker = logging.getLogger("lightning.pytorch")
    level = speaker.level
    speaker.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        speaker.setLevel(level)
