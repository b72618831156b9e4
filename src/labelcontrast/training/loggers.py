"""Logs beside the CSV file, for those who keep their runs elsewhere too; each is an extra."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from labelcontrast.errors import MissingExtraError

# name: (the library it needs, Lightning's class, its arguments for a run folder)
LOGGERS: dict[str, tuple[str, str, Any]] = {
    "tensorboard": (
        "tensorboard",
        "TensorBoardLogger",
        lambda folder: {"save_dir": folder, "name": "tensorboard", "version": ""},
    ),
    "wandb": (
        "wandb",
        "WandbLogger",
        lambda folder: {"save_dir": folder, "name": folder.name, "project": "labelcontrast"},
    ),
    "mlflow": (
        "mlflow",
        "MLFlowLogger",
        lambda folder: {"save_dir": folder / "mlflow", "experiment_name": "labelcontrast"},
    ),
}


def build_loggers(names: tuple[str, ...], folder: Path) -> list[Logger]:
    """Build the loggers that were asked for; they write into the run folder or where their own settings say.

    Raises:
        MissingExtraError: when one is not installed; the message is the line that installs it.
    """
    missing = [name for name in names if find_spec(LOGGERS[name][0]) is None]
    if missing:
        raise MissingExtraError(f"Logging to {missing[0]}", missing[0])
    home = import_module("lightning.pytorch.loggers")
    return [getattr(home, LOGGERS[name][1])(**LOGGERS[name][2](folder)) for name in names]
