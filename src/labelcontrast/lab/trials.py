"""A trial: its settings, its name (a hash of all that its result depends on), its run, and its record."""

import hashlib
import json
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from labelcontrast.data.readers import HUB
from labelcontrast.encoders.pretrained import locate
from labelcontrast.errors import ConfigError, DataError, LabelContrastError
from labelcontrast.experiment import run_experiment
from labelcontrast.lab.store import Record
from labelcontrast.losses.catalogue import check_loss
from labelcontrast.run.fitting import Callbacks
from labelcontrast.run.folder import drop_weights
from labelcontrast.run.hierarchy import BESIDE
from labelcontrast.settings import EMBEDDED_ENCODERS, RunSettings, flatten
from labelcontrast.training.epochs import HISTORY, read_history

LENGTH = 16
"""Hexadecimal digits of a name: 64 bits, so that a million trials meet by chance once in 37 million stores."""


def fingerprint(path: Path) -> str:
    """Hash a file, or every file of a folder with its name; where it lies does not matter.

    Raises:
        DataError: there is nothing of this name.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for name in ("a.csv", "b.csv"):
        ...         _ = (Path(folder) / name).write_text("text,label")
        ...     fingerprint(Path(folder) / "a.csv") == fingerprint(Path(folder) / "b.csv")
        True
    """
    if not path.exists():
        message = "there is no such file or folder."
        raise DataError(message, path=path)
    whole = hashlib.blake2b(digest_size=16)
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            name = file.relative_to(path).as_posix() if path.is_dir() else ""
            with file.open("rb") as content:
                own = hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16))
            whole.update(f"{name}\0{own.hexdigest()}\n".encode())
    return whole.hexdigest()


def data_print(name: str) -> str:
    """Hash the files of a data set; one of the hub, which has none here, is known by its name.

    A hierarchy that would be found beside a single file belongs to it.
    """
    if name.startswith(HUB):
        return name
    data = Path(name)
    beside = [data.parent / file for file in BESIDE if data.is_file() and (data.parent / file).is_file()]
    return "+".join(map(fingerprint, [data, *beside]))


def hierarchy_print(name: str) -> str:
    """Hash the file that the settings name for the hierarchy; what names none, or none that is there, is itself.

    Example:
        >>> hierarchy_print("auto")
        'auto'
    """
    return fingerprint(Path(name)) if Path(name).is_file() else name


def encoder_print(name: str) -> str | None:
    """Hash the files of an encoder that lies in a folder here; nothing for one of ours or of a hub, known by its name.

    Example:
        >>> encoder_print("auto") is None
        True
    """
    place = None if name in EMBEDDED_ENCODERS else Path(locate(name).place)
    return fingerprint(place) if place and place.is_dir() else None


def identify(settings: RunSettings, *, data: str, encoder: str | None, without: tuple[str, ...] = ()) -> str:
    """Name a run by its settings, with every default filled in, its data, its encoder's files, and our version.

    Args:
        settings: of the run; where its data lie, and a file of their hierarchy, is not looked at.
        data: the fingerprint of the data.
        encoder: that of the encoder's files, where it has some.
        without: what the names of settings begin with that are not looked at, to name a part of a run.
    """
    values: dict[str, Any] = settings.model_dump(mode="json") | {"data": data}
    with suppress(ConfigError):  # a wrong loss is refused when it is run; it needs a name all the same
        values["loss"] |= check_loss(settings.loss.name, settings.loss.parameters)
    values["hierarchy"]["file"] = hierarchy_print(settings.hierarchy.file)
    values["training"]["learning_rate"] = settings.learning_rate
    if without:
        values = {name: value for name, value in flatten(values).items() if not name.startswith(without)}
    everything = {"settings": values, "encoder": encoder, "version": version("labelcontrast")}
    return hashlib.blake2b(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:LENGTH]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a comparison, a study and a search have in common."""

    jobs: int = 1
    """Trials at a time, each in a process of its own."""
    ray: str | None = None
    """The Ray cluster where they run; by default they run here."""
    resume: bool = False
    """Go on with what is there; more may be asked for."""
    force: bool = False
    """Remove what is there."""
    device: str = "cpu"
    """Where features are computed."""


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
    listeners: Callbacks | None = None
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
                callbacks=self.listeners or Callbacks(),
            )
            history = read_history(trial.folder / HISTORY)
            record |= {"result": dict(result), "history": [asdict(epoch) for epoch in history]}
        except LabelContrastError as error:
            record["error"] = str(error)
        except Exception as error:
            record |= {"error": " ".join(f"{type(error).__name__}: {error}".split()), "trace": traceback.format_exc()}
        else:
            if not self.keep_weights:
                drop_weights(trial.folder)
        return record | {"seconds": round(time.monotonic() - begun, 3)}
