"""Training with Lightning, from the start or from the last checkpoint."""

import io
import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile, ZipFile

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, EarlyStopping, LambdaCallback, ModelCheckpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.utils.data import DataLoader

from labelcontrast.data.sampling import SeededBatches
from labelcontrast.errors import RunError
from labelcontrast.files import whole_file
from labelcontrast.progress import steps
from labelcontrast.settings import TrainingSettings
from labelcontrast.training.epochs import HISTORY, MICRO_F1, Epoch, write_history
from labelcontrast.training.learner import Learner

BEST, LAST = Path("checkpoints/best.ckpt"), Path("checkpoints/last.ckpt")
PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "16": "16-mixed",
}
# name: (Lightning's class, its arguments for a run folder)
LOGGERS: dict[str, tuple[str, Callable[[Path], dict[str, Any]]]] = {
    "tensorboard": ("TensorBoardLogger", lambda folder: {"save_dir": folder, "name": "tensorboard", "version": ""}),
    "wandb": ("WandbLogger", lambda folder: {"save_dir": folder, "name": folder.name, "project": "labelcontrast"}),
    "mlflow": ("MLFlowLogger", lambda folder: _mlflow_database(folder) | {"experiment_name": "labelcontrast"}),
}


def fit(
    learner: Learner,
    batches: DataLoader[Any],
    *,
    folder: str | Path,
    settings: TrainingSettings,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> list[Epoch]:
    """Train until the last epoch or until patience ends, and leave the selected epoch's weights in the learner.

    Args:
        learner: The modules to train.
        batches: The loader of the training batches, as ``training_batches`` makes it.
        folder: Where ``history.csv`` and ``checkpoints/`` are written; training resumes from a last checkpoint there.
        settings: Epochs, precision, clipping, patience, checkpoints, loggers, and which epoch is kept.
        on_epoch: Called with every epoch as it ends.

    Returns:
        The history, one entry an epoch.

    Raises:
        RunError: The loss is not finite; or a checkpoint is damaged or cannot be written.
    """
    folder = Path(folder).absolute()  # Lightning would expand a leading ~

    def record(history: list[Epoch]) -> None:
        write_history(folder / HISTORY, history)
        on_epoch(history[-1])

    learner.on_history = record
    last = folder / LAST
    sampler: Any = batches.batch_sampler
    with quiet(), steps("training", settings.epochs * len(batches)) as advance:
        trainer = pl.Trainer(
            max_epochs=settings.epochs,
            devices=1,
            accumulate_grad_batches=settings.accumulate,
            precision=resolve_precision(settings.precision),
            callbacks=[
                CheckpointWithinEpoch(
                    sampler, last, minutes=settings.checkpoint_minutes, accumulate=settings.accumulate
                ),
                *_epoch_callbacks(folder, settings),
                LambdaCallback(
                    on_train_start=lambda trainer, _: advance(trainer.current_epoch * len(batches)),
                    on_train_batch_end=lambda *_: advance(1),
                ),
            ],
            plugins=[WholeCheckpoints()],
            logger=build_loggers(settings.loggers, folder) or False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        with _own_signals():
            trainer.fit(learner, batches, ckpt_path=_last_whole(folder), weights_only=True)
    selected = folder / (LAST if settings.keep == "last" else BEST)
    if not _is_whole(selected):
        raise RunError(f"{selected} is damaged; remove {selected.parent} to train from the start.")
    learner.load_state_dict(torch.load(selected, map_location="cpu", weights_only=True)["state_dict"])
    write_history(folder / HISTORY, learner.history)  # also where the training had ended and its file was damaged since
    return learner.history


def time_batches(learner: Learner, batches: DataLoader[Any], *, settings: TrainingSettings) -> tuple[float, float]:
    """Train one epoch without a checkpoint; return the seconds of a batch, the first left out, and of the epoch's end.

    Args:
        learner: The modules to train, which change.
        batches: The loader of at least two batches; of one alone its time is returned.
        settings: Precision and accumulation.
    """
    marks: list[float] = []

    def mark(*_: object) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        marks.append(time.monotonic())

    with quiet(), _own_signals():
        pl.Trainer(
            max_epochs=1,
            devices=1,
            accumulate_grad_batches=settings.accumulate,
            precision=resolve_precision(settings.precision),
            callbacks=[LambdaCallback(on_train_start=mark, on_train_batch_end=mark)],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(learner, batches)
    mark()
    learner.cpu()
    *batch_ends, end = marks
    timed = batch_ends[1:] if len(batch_ends) > 2 else batch_ends
    return (timed[-1] - timed[0]) / (len(timed) - 1), end - batch_ends[-1]


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are written completely or not at all: a full disk leaves the one before."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ANN401, ARG002
        """Write under a temporary name, then rename."""
        packed = io.BytesIO()
        torch.save(checkpoint, packed)
        with whole_file(Path(path)) as file:
            file.write(packed.getbuffer())

    def load_checkpoint(self, path: Any, *args: Any, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        """Load a checkpoint as of the folder where it is now: in a folder that was moved Lightning forgets the best."""
        checkpoint: dict[str, Any] = super().load_checkpoint(path, *args, **options)
        here = os.path.realpath(Path(path).parent)

        def moved(place: str) -> str:
            return str(Path(here, Path(place).name)) if place else place

        for state in checkpoint.get("callbacks", {}).values():
            if "dirpath" in state:
                state["dirpath"] = here
                state["best_k_models"] = {moved(one): score for one, score in state["best_k_models"].items()}
                for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
                    state[name] = moved(state[name])
        return checkpoint


class CheckpointWithinEpoch(Callback):
    """Update the last checkpoint within an epoch, with the position in its batches; a resumed run continues there."""

    state_key = "Interim"  # as in checkpoints that were written under an earlier name of this class

    def __init__(self, sampler: SeededBatches, path: Path, *, minutes: float, accumulate: int = 1) -> None:
        self._sampler, self._path, self._seconds, self._accumulate = sampler, path, 60 * minutes, accumulate
        self._position: dict[str, int] | None = None

    def state_dict(self) -> dict[str, int]:
        """Return the position of the sampler; nothing is fetched ahead, so all that was drawn has been trained on."""
        return self._sampler.state_dict()

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Remember the position of the sampler."""
        self._position = state_dict

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Restore the position; not before, since the steps of the schedule are counted on the first epoch."""
        if self._position:
            self._sampler.load_state_dict(self._position)
        self._saved = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ANN401, ARG002
        batch: Any,  # noqa: ANN401, ARG002
        batch_idx: int,
    ) -> None:
        """Save if it is time and a step was made; not at an epoch's last: a checkpoint follows its validation."""
        within = batch_idx + 1 < trainer.num_training_batches and (batch_idx + 1) % self._accumulate == 0
        if within and time.monotonic() - self._saved > self._seconds:
            trainer.save_checkpoint(self._path)
            self._saved = time.monotonic()


def resolve_precision(precision: str) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
    """Return Lightning's name of a precision; ``auto`` is bf16 on an accelerator that supports it, else 32 bits."""
    if precision == "auto":
        precision = "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "32"
    return PRECISIONS[precision]


def build_loggers(names: tuple[str, ...], folder: Path) -> list[Logger]:
    """Build the loggers that are asked for; they write into the run folder or where their own settings say."""
    home = import_module("lightning.pytorch.loggers")
    return [getattr(home, LOGGERS[name][0])(**LOGGERS[name][1](folder)) for name in names]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning's banners and its advice about workers and loggers."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        logger.setLevel(level)


def _last_whole(folder: Path) -> Path | None:
    """Return the checkpoint to resume from: the last one, or the best one where the last is damaged.

    Raises:
        RunError: All are damaged.
    """
    found = [folder / name for name in (LAST, BEST) if (folder / name).exists()]
    whole = next(filter(_is_whole, found), None)
    if found and whole is None:
        raise RunError(f"{found[0]} is damaged; remove {found[0].parent} to train from the start.")
    return whole


def _is_whole(checkpoint: Path) -> bool:
    """Return True if a checkpoint, which is a ZIP archive, has the contents that it was written with."""
    try:
        with ZipFile(checkpoint) as archive:
            return archive.testzip() is None
    # A damaged directory of the archive can ask for anything.
    except (OSError, BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError):
        return False


@contextmanager
def _own_signals() -> Iterator[None]:
    """Let an interruption, and the end that SIGTERM asks for, reach the caller; Lightning would exit with 1 and 0."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SIGTERMException:
        raise SystemExit(128 + signal.SIGTERM) from None
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise end.__context__ from None
        raise
    finally:
        if main and handler is not None:
            signal.signal(signal.SIGINT, handler)


def _mlflow_database(folder: Path) -> dict[str, str]:
    """Put MLflow's database into the run folder, unless the environment names a server."""
    return {} if "MLFLOW_TRACKING_URI" in os.environ else {"tracking_uri": f"sqlite:///{folder / 'mlflow.db'}"}


def _epoch_callbacks(folder: Path, settings: TrainingSettings) -> list[Callback]:
    """Save the best and the last epoch, and stop when patience ends."""
    patience, monitor = settings.patience, MICRO_F1 if settings.keep == MICRO_F1 else "score"
    common: dict[str, Any] = {"dirpath": (folder / BEST).parent, "enable_version_counter": False}
    best = ModelCheckpoint(**common, filename=BEST.stem, monitor=monitor, mode="max", save_on_train_epoch_end=True)
    # Lightning's own save_last repeats the best one: it is written only in epochs that are better than all before.
    last = ModelCheckpoint(**common, filename=LAST.stem, every_n_epochs=1, save_on_train_epoch_end=True)
    stop = EarlyStopping(monitor=monitor, mode="max", patience=patience or 1, check_on_train_epoch_end=True)
    return [best, last, stop] if patience else [best, last]
