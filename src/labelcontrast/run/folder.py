"""The folder of a run: its files, whether a run may write to it, and its result.

config.toml          every setting, resolved
labels.json          the vocabulary, in the order of the score columns
hierarchy.json       the parents of each label, where there is a hierarchy; its first nodes are the labels
encoder/             the encoder's own files (configuration, tokenizer) and settings.json
model.safetensors    weights of the encoder and of the linear classifier on it
features.safetensors the embeddings of all examples, for stages that are repeated
views/NAME.safetensors  what the views beside the probe need, where there are some
blend.json           the weight of each view for each label, where there are several
calibration.json     calibration of the probabilities, where there is one
thresholds.json      the threshold of each label
metrics.json         RunResult: metrics, sizes, times, versions and the command
per_label.json       the metrics of each label on the test split
per_node.json        every node of the hierarchy with its F1 on the test split
test.safetensors     labels, scores and predictions of every test example
plugins.json         hashes of the code of the plugins, where there are some
history.csv          loss, validation score and learning rate by epoch
map.json             the scatter plot of the test embeddings
examples.json        the worst mistakes on test and a few successes: snippets of texts, small copies of pictures
report.html          the page made of these files
README.md            the model card
checkpoints/         best and last, for resuming
finetuning/          history and checkpoints of a second stage
epochs-N/            those of each number of epochs, where several were tried

No file that prediction reads is a pickle.
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from labelcontrast.errors import ConfigError, RunError
from labelcontrast.files import is_claimed, read_json, write_json
from labelcontrast.losses.registry import fingerprint_plugin
from labelcontrast.metrics.counting import TrainingLabels
from labelcontrast.settings import RunSettings, first_difference, read_recorded

CONFIG, LABELS, HIERARCHY, ENCODER = "config.toml", "labels.json", "hierarchy.json", "encoder"
MODEL, FEATURES, CHECKPOINTS = "model.safetensors", "features.safetensors", "checkpoints"
VIEWS, BLEND = "views", "blend.json"
CALIBRATION, THRESHOLDS, OUTPUTS = "calibration.json", "thresholds.json", "test.safetensors"
METRICS, PER_LABEL, PER_NODE, SCATTER = "metrics.json", "per_label.json", "per_node.json", "map.json"
EXAMPLES, PLUGINS, REPORT, CARD = "examples.json", "plugins.json", "report.html", "README.md"
REPEATED = ("evaluation.", "hierarchy.consistency", "hierarchy.decoding", "transfer_to")
"""Settings of the stages after training, which can be repeated alone."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RunResult(Mapping[str, Any]):
    """The result of a finished run, as ``metrics.json`` holds it.

    It is also a mapping: ``result["metrics"]["test"]["micro_f1"]`` equals ``result.metrics["test"]["micro_f1"]``.
    Optional parts that a run does not have are not among its keys.

    Example:
        >>> result = RunResult(
        ...     metrics={"test": {"micro_f1": 0.5}}, best_epoch=3, validation_score=0.4, seconds={}, examples={},
        ...     kind="text", labels=2, encoder_parameters=10, command="", date="", versions={}, machine={},
        ... )
        >>> result["metrics"]["test"]["micro_f1"], "hierarchy" in result
        (0.5, False)
    """

    metrics: Mapping[str, Mapping[str, float | None]]
    """The metrics of ``val`` and ``test``, as fractions; None where one is undefined."""
    reliability: Mapping[str, Mapping[str, Any]] | None = None
    """Reliability diagrams of the test probabilities, ``as said`` (uncalibrated) and ``calibrated``."""
    best_epoch: int
    """The epoch whose weights were kept, counted from 1."""
    validation_score: float
    """The validation score of that epoch."""
    views: Mapping[str, Mapping[str, Any]] | None = None
    """For each view that is blended its mean ``share`` in the weights, and its own metrics of ``test``."""
    representation: Mapping[str, Any] | None = None
    """Measures of the test embeddings that need no probe."""
    fold: int | None = None
    """The fold that was tested on, where the data were divided into folds."""
    hierarchy: Mapping[str, Any] | None = None
    """Metrics over the hierarchy of ``val`` and ``test``, its ``source``, and retrieval of held-out leaves."""
    seconds: Mapping[str, float]
    """Seconds by stage."""
    examples: Mapping[str, int]
    """Number of examples by split."""
    kind: str
    """Kind of input: ``text``, ``image`` or ``vector``."""
    labels: int
    """Number of labels."""
    encoder_parameters: int
    """Number of weights of the encoder."""
    warnings: tuple[str, ...] | list[str] = ()
    """Warnings about the data."""
    command: str
    """The command line that started the run."""
    date: str
    """The day of the run."""
    versions: Mapping[str, str]
    """Versions of Python and of the main libraries."""
    machine: Mapping[str, Any]
    """Number of processors, memory and accelerator."""

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401
        """Return one part by its name."""
        if name in iter(self):
            return getattr(self, name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (field.name for field in fields(self) if getattr(self, field.name) is not None)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def save(self, folder: str | Path) -> None:
        """Write ``metrics.json`` in a run folder; an undefined number becomes null."""
        write_json(Path(folder) / METRICS, dict(self))

    @classmethod
    def load(cls, folder: str | Path) -> "RunResult":
        """Read the result of a finished run.

        Raises:
            RunError: The folder is not a finished run, or its file is damaged.
        """
        if not is_finished(folder):
            raise RunError(f"{folder} is not a finished run: it has no {METRICS}.")
        try:
            return cls(**read_json(Path(folder) / METRICS))
        except (TypeError, ValueError) as error:
            raise RunError(f"{folder} is damaged: {METRICS} is not the result of a run ({error}).") from error


def claim(folder: str | Path, settings: RunSettings, *, resume: bool, force: bool) -> None:
    """Check that a run may write to a folder, before anything is read or computed.

    Args:
        folder: The run folder; it need not exist.
        settings: Settings of the run.
        resume: Continue the same run if it is there.
        force: A run that is there may be removed, which ``open_run`` does; a folder that is not a run may not.

    Raises:
        RunError: The folder is not empty, and neither argument allows its content.
        ConfigError: The run to be resumed has other settings of training, and the message names the first that differs;
            or a plugin has changed.
    """
    folder = Path(folder)
    if is_claimed(folder, CONFIG, "run", named="a run already", resume=resume, force=force) and not force:
        _refuse_other_settings(folder, settings)
        _refuse_changed_plugins(folder, settings)


def open_run(folder: str | Path, settings: RunSettings, *, force: bool) -> None:
    """Create a run folder, or prepare one to be resumed: results are removed, checkpoints and features stay.

    Called once the data are read and found valid. With ``force`` a run that is there is removed first.
    """
    folder = Path(folder)
    if force and (folder / CONFIG).exists():
        shutil.rmtree(folder)
    for name in (METRICS, REPORT, CALIBRATION, BLEND, HIERARCHY, PER_NODE, EXAMPLES):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / VIEWS, ignore_errors=True)
    settings.write(folder / CONFIG)
    if settings.plugins:
        write_json(folder / PLUGINS, _hash_plugins(settings))


def is_finished(folder: str | Path) -> bool:
    """Return True if a run has metrics, which are written last."""
    return (Path(folder) / METRICS).exists()


def load_settings(folder: str | Path) -> RunSettings:
    """Read the settings of a run.

    Raises:
        RunError: The folder is not a run.
    """
    path = Path(folder) / CONFIG
    if not path.exists():
        raise RunError(f"{folder} is not a run: it has no {CONFIG}.")
    return RunSettings.build(read_recorded(path))


def load_training_labels(folder: str | Path) -> TrainingLabels | None:
    """Read the label frequencies in training from the results of a run; None if these are missing."""
    table = Path(folder) / PER_LABEL
    if not table.exists() or not is_finished(folder):
        return None
    counts = [row["train_count"] for row in read_json(table)]
    return TrainingLabels(np.array(counts), RunResult.load(folder).examples["train"])


def copy_histories(training: str | Path, folder: str | Path) -> None:
    """Copy the histories of a training in another folder; its checkpoints and features stay there."""
    shutil.copytree(training, folder, ignore=shutil.ignore_patterns(CHECKPOINTS, FEATURES), dirs_exist_ok=True)


def drop_weights(folder: str | Path) -> None:
    """Remove weights, checkpoints and features of a finished run, which are large; the results stay."""
    folder = Path(folder)
    for name in (MODEL, FEATURES):
        (folder / name).unlink(missing_ok=True)
    for path in (folder / ENCODER, folder / VIEWS, *folder.rglob(CHECKPOINTS)):
        shutil.rmtree(path, ignore_errors=True)


def _refuse_other_settings(folder: Path, settings: RunSettings) -> None:
    if difference := first_difference(load_settings(folder), settings, except_for=REPEATED):
        raise ConfigError(f"{folder} was run with {difference}; resuming needs the same.")


def _refuse_changed_plugins(folder: Path, settings: RunSettings) -> None:
    before = read_json(folder / PLUGINS) if (folder / PLUGINS).exists() else []
    for plugin, old, new in zip(settings.plugins, before, _hash_plugins(settings) if before else [], strict=False):
        if old != new:
            raise ConfigError(f"the plugin {plugin} has changed since {folder} was begun; it cannot be resumed.")


def _hash_plugins(settings: RunSettings) -> list[str]:
    return [fingerprint_plugin(path) for path in settings.plugins]
