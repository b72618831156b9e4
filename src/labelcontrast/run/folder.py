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
changes.json         what ``labelcontrast labels`` changed since training, and the run that this version was made from
data.json            the fingerprint of the data
history.csv          loss, validation score and learning rate by epoch
map.json             the scatter plot of the test embeddings
examples.json        the worst mistakes on test and a few successes: snippets of texts, small copies of pictures
report.html          the page made of these files
README.md            the model card
manifest.json        size and checksum of the files above from config.toml to data.json, written when the run has ended
checkpoints/         best and last, for resuming
finetuning/          history and checkpoints of a second stage
epochs-N/            those of each number of epochs, where several were tried

No file that prediction reads is a pickle. A file is checked against the manifest before it is read.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from labelcontrast.errors import ConfigError, DataError, RunError
from labelcontrast.files import LOCK, Layout, as_json, checksum, held, is_claimed, read_json, write_json, write_text
from labelcontrast.losses.registry import fingerprint_plugin
from labelcontrast.metrics.counting import TrainingLabels
from labelcontrast.settings import RunSettings, first_difference, read_recorded

CONFIG, LABELS, HIERARCHY, ENCODER = "config.toml", "labels.json", "hierarchy.json", "encoder"
MODEL, FEATURES, CHECKPOINTS = "model.safetensors", "features.safetensors", "checkpoints"
VIEWS, BLEND = "views", "blend.json"
CALIBRATION, THRESHOLDS, OUTPUTS = "calibration.json", "thresholds.json", "test.safetensors"
METRICS, PER_LABEL, PER_NODE, SCATTER = "metrics.json", "per_label.json", "per_node.json", "map.json"
EXAMPLES, PLUGINS, DATA_PRINT, HISTORY = "examples.json", "plugins.json", "data.json", "history.csv"
CHANGES = "changes.json"
REPORT, CARD, MANIFEST = "report.html", "README.md", "manifest.json"
MODEL_FILES = (CONFIG, LABELS, HIERARCHY, ENCODER, MODEL, VIEWS, BLEND, CALIBRATION, THRESHOLDS)
"""The files that a model is loaded from."""
RESULT_FILES = (METRICS, PER_LABEL, PER_NODE, OUTPUTS, SCATTER, EXAMPLES, PLUGINS, DATA_PRINT, CHANGES, HISTORY)
LAYOUT = Layout(
    kind="run",
    marker=CONFIG,
    keys={"data", "training"},
    entries=(
        *(*MODEL_FILES, *RESULT_FILES, MANIFEST, FEATURES, REPORT, CARD, CHECKPOINTS, "finetuning", "epochs-*"),
        *("tensorboard", "wandb", "mlflow.db*", "mlruns", "lightning_logs"),  # of the loggers
    ),
)
ANEW = "resuming needs the same. Begin anew with --force, or in another folder"
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
        """Write the manifest, and then ``metrics.json``, which makes a run finished; undefined numbers become null.

        Raises:
            RunError: A file that the model needs was removed while the run was at work.
        """
        folder, text = Path(folder), as_json(dict(self))
        if gone := next((name for name in self._needed() if not (folder / name).exists()), None):
            raise RunError(f"{folder}: {gone} was removed while the run was at work; continue it with --resume.")
        files = {
            name: {"size": path.stat().st_size, "checksum": checksum(path)} for name, path in _found(folder).items()
        }
        files[METRICS] = {"size": len(text.encode()), "checksum": checksum(text.encode())}
        write_json(folder / MANIFEST, {"files": files, "checksum": checksum(as_json(files).encode())})
        write_text(folder / METRICS, text)

    def _needed(self) -> Iterator[str]:
        """Yield the files without which the folder would pass for another model, or for none."""
        yield from (CONFIG, LABELS, f"{ENCODER}/settings.json", MODEL, THRESHOLDS)
        if self.views:
            yield BLEND
        if self.hierarchy:
            yield HIERARCHY
        if "calibrated" in (self.reliability or {}):
            yield CALIBRATION

    @classmethod
    def load(cls, folder: str | Path) -> "RunResult":
        """Read the result of a finished run.

        Raises:
            RunError: The folder is not a finished run, or its file is damaged.
        """
        if not is_finished(folder):
            raise RunError(f"{folder} is not a finished run: it has no {METRICS}.")
        check_files(folder, [METRICS])
        with undamaged(folder):
            return cls(**read_json(Path(folder) / METRICS))


def claim(folder: str | Path, settings: RunSettings, *, resume: bool, force: bool) -> None:
    """Check that a run may write to a folder, before anything is read or computed.

    Args:
        folder: The run folder; it need not exist.
        settings: Settings of the run.
        resume: Continue the same run if it is there.
        force: A run that is there may be removed, which ``open_run`` does; a folder that holds anything else may not.

    Raises:
        RunError: The folder is not empty, and neither argument allows its content; or another process writes to it.
        ConfigError: The run to be resumed has other settings of training, and the message names the first that differs;
            or a plugin has changed.
    """
    folder = Path(folder)
    if is_claimed(folder, LAYOUT, named="a run already", resume=resume, force=force) and not force:
        _refuse_other_settings(folder, settings)
        _refuse_changed_plugins(folder, settings)


@contextmanager
def open_run(
    folder: str | Path,
    settings: RunSettings,
    *,
    given: RunSettings | None = None,
    data: str = "",
    resume: bool = False,
    force: bool = False,
) -> Iterator[None]:
    """Hold a run folder during the block: made, or prepared to be resumed. Results are removed, checkpoints stay.

    Called once the data are read and found valid. With ``force`` a run that is there is removed first.

    Args:
        folder: The run folder.
        settings: Settings of the run, which are recorded.
        given: Those that ``claim`` compared, before columns and encoder were found; by default the same.
        data: Fingerprint of the data; a run that was begun on other data is not resumed.
        resume: Continue the run that is there.
        force: Remove the run that is there.

    Raises:
        RunError: As ``claim``.
        ConfigError: As ``claim``; or the data have changed.
    """
    folder = Path(folder)
    with held(folder, LAYOUT, named="a run already", resume=resume, force=force) as hold:
        if hold.resumes:
            _refuse_other_settings(folder, given or settings)
            refuse_other_data(folder, data)
        _remove_drafts(folder)
        for name in (METRICS, MANIFEST, REPORT, CARD, CALIBRATION, BLEND, HIERARCHY, PER_NODE, EXAMPLES):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / VIEWS, ignore_errors=True)
        settings.write(folder / CONFIG, sealed=True)
        write_json(folder / DATA_PRINT, {"data": data}, sealed=True)
        if settings.plugins:
            write_json(folder / PLUGINS, {"plugins": _hash_plugins(settings)}, sealed=True)
        yield


def complete(folder: str | Path, write_pages: Callable[[Path], object]) -> None:
    """Write the pages of a finished run and remove drafts and lock, if the run was killed before it had done so.

    Raises:
        RunError: Another process writes to the folder, or it cannot be written.
    """
    folder = Path(folder)
    if (folder / REPORT).exists() and (folder / CARD).exists() and not (folder / LOCK).exists():
        return
    with held(folder, LAYOUT, named="a run already", resume=True, force=False):
        _remove_drafts(folder)
        write_pages(folder)


def refuse_other_data(folder: str | Path, data: str, *, instead: str = ANEW) -> None:
    """Refuse to continue a run that was begun on data with another fingerprint.

    Args:
        folder: The run folder.
        data: The fingerprint.
        instead: The end of the message, which says what to do.

    Raises:
        ConfigError: The data have changed.
    """
    path = Path(folder) / DATA_PRINT
    before = read_json(path).get("data") if path.exists() else data
    if before != data:
        raise ConfigError(f"the data have changed since {folder} was begun; {instead}.")


def check_files(folder: str | Path, names: Sequence[str]) -> None:
    """Check files of a run before they are read: their type, and by the manifest their size and checksum.

    Args:
        folder: The run folder. One that was written before there were manifests has none; then only types are checked.
        names: Files and folders in it.

    Raises:
        RunError: A file is no file, missing, not listed, cut or changed; the message names it.
    """
    folder = Path(folder)
    found, listed = _found(folder, names), _listed_files(folder)
    for name in sorted({*found, *(one for one in listed or () if one.split("/")[0] in names)}):
        path, expected = folder / name, (listed or {}).get(name)
        if name not in found:
            problem = "is missing"
        elif path.is_symlink() or not path.is_file():
            problem = "is not a regular file"
        elif listed is None:
            continue
        elif expected is None:
            problem = f"is not listed in {MANIFEST}"
        elif (size := path.stat().st_size) != expected["size"]:
            problem = f"has {size:,} bytes instead of {expected['size']:,}"
        elif checksum(path) != expected["checksum"]:
            problem = "has changed since the run ended"
        else:
            continue
        undo = "" if listed is None else f"; remove {MANIFEST} to use the folder unchecked"
        raise RunError(f"{folder} is damaged: {name} {problem}{undo}.")


def check_run(folder: str | Path) -> None:
    """Check the files of a run, finished or not, of which the weights may have been left out.

    Raises:
        RunError: A file was removed or changed.
        ConfigError: The settings are not TOML any more.
    """
    folder = Path(folder)
    load_settings(folder)
    for path in (folder / DATA_PRINT, folder / PLUGINS):
        if path.exists():
            read_json(path)
    if is_finished(folder):
        check_files(folder, (*RESULT_FILES, *MODEL_FILES) if (folder / MODEL).exists() else RESULT_FILES)


@contextmanager
def undamaged(folder: str | Path) -> Iterator[None]:
    """Turn any error from reading the files of a run into one that says that the folder is damaged."""
    try:
        yield
    # What a damaged file leads to depends on the place of the damage.
    except (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise RunError(f"{folder} is damaged: {reason}") from error
    except DataError as error:
        raise RunError(f"{folder} is damaged: {error}") from error


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
    check_files(folder, [CONFIG])
    return RunSettings.build(read_recorded(path))


def load_training_labels(folder: str | Path) -> TrainingLabels | None:
    """Read the label frequencies in training from the results of a run; None if these are missing."""
    table = Path(folder) / PER_LABEL
    if not is_finished(folder):
        return None
    check_files(folder, [PER_LABEL])
    if not table.exists():
        return None
    with undamaged(folder):
        counts = [row["train_count"] for row in read_json(table)]
        return TrainingLabels(np.array(counts), RunResult.load(folder).examples["train"])


def copy_histories(training: str | Path, folder: str | Path) -> None:
    """Copy the histories of a training in another folder; its checkpoints and features stay there."""
    shutil.copytree(
        training, folder, ignore=shutil.ignore_patterns(CHECKPOINTS, FEATURES, ".*.tmp"), dirs_exist_ok=True
    )


def drop_weights(folder: str | Path) -> None:
    """Remove weights, checkpoints and features of a finished run, which are large; the results stay."""
    folder = Path(folder)
    for name in (MODEL, FEATURES):
        (folder / name).unlink(missing_ok=True)
    for path in (folder / ENCODER, folder / VIEWS, *folder.rglob(CHECKPOINTS)):
        shutil.rmtree(path, ignore_errors=True)


def _remove_drafts(folder: Path) -> None:
    """Remove what a kill left of files that were being written."""
    for left in [path for path in folder.rglob(".*.tmp") if path.is_file()]:
        left.unlink()


def _refuse_other_settings(folder: Path, settings: RunSettings) -> None:
    if difference := first_difference(load_settings(folder), settings, except_for=REPEATED):
        raise ConfigError(f"{folder} was run with {difference}; resuming needs the same.")
    if (folder / CHANGES).exists() and load_settings(folder) != settings:
        message = "its evaluation cannot be repeated; train into another folder, with its config.toml for --config."
        raise ConfigError(f"the labels of {folder} were changed after training: {message}")


def _refuse_changed_plugins(folder: Path, settings: RunSettings) -> None:
    before = read_json(folder / PLUGINS) if (folder / PLUGINS).exists() else []
    before = before["plugins"] if isinstance(before, dict) else before  # a list in earlier versions
    for plugin, old, new in zip(settings.plugins, before, _hash_plugins(settings) if before else [], strict=False):
        if old != new:
            raise ConfigError(f"the plugin {plugin} has changed since {folder} was begun; it cannot be resumed.")


def _hash_plugins(settings: RunSettings) -> list[str]:
    return [fingerprint_plugin(path) for path in settings.plugins]


def _found(folder: Path, names: Sequence[str] = (*MODEL_FILES, *RESULT_FILES)) -> dict[str, Path]:
    """Return the files of a run by their names in the folder."""
    tops = [folder / name for name in names if os.path.lexists(folder / name)]
    folders = {top for top in tops if top.is_dir() and not top.is_symlink()}
    files = [path for top in tops for path in (sorted(top.rglob("*")) if top in folders else [top])]
    return {path.relative_to(folder).as_posix(): path for path in files if path.is_symlink() or not path.is_dir()}


def _listed_files(folder: Path) -> dict[str, dict[str, Any]] | None:
    """Read the manifest; None if there is none."""
    if not os.path.lexists(folder / MANIFEST):
        return None
    with undamaged(folder):
        manifest = read_json(folder / MANIFEST)
        files: dict[str, dict[str, Any]] = manifest["files"]
        if manifest["checksum"] != checksum(as_json(files).encode()):
            raise ValueError(f"{MANIFEST} has changed since the run ended")
        return files
