"""Logs beside the CSV file, for those who keep their runs elsewhere too; each is an extra."""

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

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
