"""Trials: one run of a comparison, study or search, its name, its record, and the store of all records.

A trial is named by a hash of everything that its result depends on. A store is a folder with one record per trial. Any
number of processes, commands and studies may share it:

KEY.json    the record of a trial; written whole or not at all
KEY.claim   the process that runs the trial; its lock ends with the process, even when that is killed
training-*  a training shared by several trials, as long as some of them have not ended; and its claim
"""

import hashlib
import json
import os
import shutil
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Protocol

from labelcontrast.data.readers import HUB
from labelcontrast.encoders.pretrained import find_installed, locate
from labelcontrast.errors import ConfigError, DataError, LabelContrastError, RunError
from labelcontrast.experiment import run_experiment
from labelcontrast.files import checksum, locked, parse_json, read_json, write_json
from labelcontrast.losses.registry import check_loss, fingerprint_plugin
from labelcontrast.run.fitting import Callbacks
from labelcontrast.run.folder import CONFIG, LAYOUT, check_run, drop_weights
from labelcontrast.run.hierarchy import BESIDE
from labelcontrast.settings import AUTO, EMBEDDED, EMBEDDED_ENCODERS, RunSettings, flatten
from labelcontrast.training.epochs import HISTORY, read_history

KEY_LENGTH = 16
"""Hexadecimal digits of a key: 64 bits, so that a million trials collide once in 37 million stores."""

LATER: dict[str, Any] = {
    "margin_on": "negatives",
    "denominator": "all",
    "label_power": 0.0,
    "instance_attraction": 1.0,
    "instance_repulsion": 1.0,
    "prototype_update": "learned",
    "prototype_momentum": 0.9,
}
LATER_OF: dict[str, dict[str, Any]] = {"weighted": {"candidates": "instances", "prototype_anchors": False}}
"""Parameters that losses were given later, with defaults that have no part in a key: older trials keep theirs."""

Record = dict[str, Any]
"""Record of a trial: ``title``, ``seconds``, and ``error`` or ``settings``, ``folder``, ``result``, ``history``."""


class Job(Protocol):
    """What runs once, under a claim, and has a record: a trial, or a file to be predicted."""

    @property
    def key(self) -> str:
        """Its name in the store."""

    @property
    def title(self) -> str:
        """Its name on the page and in messages."""

    @property
    def claim_key(self) -> str:
        """The name of the claim under which it runs."""


@dataclass(frozen=True)
class Trial:
    """One run of a comparison, study or search."""

    key: str
    """Its name in the store."""
    title: str
    """Its name on the page and in messages."""
    settings: RunSettings
    folder: Path
    """The run folder."""
    training: Path | None = None
    """The folder of a training shared with trials that differ only in later stages; by default the run folder's own."""

    def ended_in(self, store: "Store") -> Path | None:
        """Return the folder of its run, which an equal trial may have made; None if it has not ended or has failed."""
        record = store.read(self.key)
        if not record or "error" in record:
            return None
        return self.folder.with_name(record.get("folder", self.folder.name))

    @property
    def claim_key(self) -> str:
        """The name of the claim under which it runs: one claim for all trials that share a training."""
        return self.training.name if self.training else self.key


Perform = Callable[[Any], Record]
"""Runs a ``Job`` and returns its record; a failure is a record too."""


@dataclass(frozen=True)
class Runner:
    """Runs trials on a device; without callbacks it can be pickled for another process."""

    device: str = "cpu"
    keep_weights: bool = False
    """Keep the weights of every model; by default only results are kept."""
    callbacks: Callbacks | None = None
    """Receive the epochs of trials that run in this process."""

    def __call__(self, trial: Trial) -> Record:
        """Run one trial, or resume it after a kill; where what a kill left is damaged, begin it anew.

        Returns:
            The record. Errors of this package are recorded as one line, other exceptions with their traceback.
        """
        begun = time.monotonic()
        settings = trial.settings.model_dump(mode="json", exclude_none=True)
        record: Record = {"title": trial.title, "folder": trial.folder.name, "settings": settings}
        try:
            if is_damaged(trial.folder):
                shutil.rmtree(trial.folder)
            result = run_experiment(
                trial.settings,
                trial.folder,
                training=trial.training,
                resume=True,
                device=self.device,
                callbacks=self.callbacks or Callbacks(),
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


def is_damaged(run: Path) -> bool:
    """Return True if there is a run, finished or not, of which a file was removed or changed."""
    if not (run / CONFIG).exists():
        return run.is_dir() and all(LAYOUT.owns(path.name) for path in run.iterdir())
    try:
        check_run(run)
    except (RunError, ConfigError):
        return True
    return False


def identify(settings: RunSettings, *, data: str, encoder: str | None, without: tuple[str, ...] = ()) -> str:
    """Return the key of a run: a hash of its resolved settings, its data, its encoder's files, and our version.

    Args:
        settings: Settings of the run; the paths of its data, its plugins and a hierarchy file do not matter.
        data: Fingerprint of the data.
        encoder: Fingerprint of the encoder's files, if it has some.
        without: Prefixes of dotted settings to leave out, for the key of an earlier stage of the run.
    """
    values: dict[str, Any] = settings.model_dump(mode="json") | {"data": data}
    with suppress(ConfigError):  # a wrong loss is refused when it is run; it needs a key all the same
        values["loss"] |= check_loss(settings.loss.name, settings.loss.parameters)
    later = LATER | LATER_OF.get(settings.loss.name, {})
    values["loss"] = {name: value for name, value in values["loss"].items() if (name, value) not in later.items()}
    del values["evaluation"]["examples"]  # of the page alone
    if settings.evaluation.views == ("probe",):
        del values["evaluation"]["views"]  # as before there were others
    if settings.encoder.name == EMBEDDED:
        values["encoder"]["name"] = AUTO  # its name when it was the only one
    elif settings.encoder.name == AUTO:
        values["encoder"]["name"] = [AUTO, find_installed("text"), find_installed("image")]
    values["encoder"]["frozen"] = bool(settings.encoder.frozen)
    if settings.columns.multi_hot is None:
        del values["columns"]["multi_hot"]  # as before it could be named
    values["hierarchy"]["file"] = fingerprint_hierarchy(settings.hierarchy.file)
    if settings.plugins:
        values["plugins"] = fingerprint_plugins(settings.plugins)
    values["training"]["learning_rate"] = settings.learning_rate
    if without:
        values = {name: value for name, value in flatten(values).items() if not name.startswith(without)}
    everything = {"settings": values, "encoder": encoder, "version": version("labelcontrast")}
    return hashlib.blake2b(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]


def fingerprint(path: Path) -> str:
    """Hash a file, or all files of a folder with their names; its location does not matter.

    Raises:
        DataError: There is no such file or folder.

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
            whole.update(f"{name}\0{checksum(file)}\n".encode())
    return whole.hexdigest()


def fingerprint_data(name: str) -> str:
    """Hash the files of a data set, with a hierarchy file found beside a single file; a hub data set is its name."""
    if name.startswith(HUB):
        return name
    data = Path(name)
    beside = [data.parent / file for file in BESIDE if data.is_file() and (data.parent / file).is_file()]
    return "+".join(map(fingerprint, [data, *beside]))


def fingerprint_plugins(paths: Sequence[str]) -> str:
    """Hash the code of the files that register losses."""
    return "+".join(map(fingerprint_plugin, paths))


def fingerprint_hierarchy(name: str) -> str:
    """Hash the hierarchy file of the settings; other values, such as ``auto``, are returned as they are."""
    return fingerprint(Path(name)) if Path(name).is_file() else name


def fingerprint_encoder(name: str) -> str | None:
    """Hash the files of an encoder in a local folder; None for our own and for one of a hub, known by its name.

    Example:
        >>> fingerprint_encoder("auto") is None
        True
    """
    place = None if name in EMBEDDED_ENCODERS else Path(locate(name).place)
    return fingerprint(place) if place and place.is_dir() else None


@dataclass(frozen=True)
class Claim:
    """The exclusive right to run a trial."""

    deaths: int
    """Number of processes of this command that died while running the trial."""


@dataclass(frozen=True)
class Store:
    """The records of trials in a folder."""

    folder: Path

    def read(self, key: str) -> Record | None:
        """Return the record of a trial; None if it has not ended.

        Raises:
            RunError: The file is damaged.
        """
        path = self._path(key)
        try:
            record = read_json(path)
        except FileNotFoundError:
            return None
        except RunError as error:
            raise RunError(f"{error} Remove it, and its trial is run again.") from error
        if not isinstance(record, dict):
            raise RunError(f"{path} is damaged: it is no record of a trial. Remove it, and its trial is run again.")
        return record

    def has(self, key: str) -> bool:
        """Return True if a trial has ended."""
        return self._path(key).exists()

    def write(self, key: str, record: Record) -> None:
        """Write the record of a trial."""
        write_json(self._path(key), record, sealed=True)

    def remove(self, key: str) -> None:
        """Remove the record of a trial, so that it is run again."""
        self._path(key).unlink(missing_ok=True)

    @contextmanager
    def claim(self, key: str, *, command: str) -> Iterator[Claim | None]:
        """Claim a trial for the duration of the block; None if another living process has claimed it.

        Args:
            key: The ``claim_key`` of the trial.
            command: A name for the command that all its processes share; deaths under other commands do not count.
        """
        path = self._path(key).with_suffix(".claim")
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path) as file:
            if file is None:
                yield None
                return
            before = _read_owner(file)
            deaths = before["deaths"] + 1 if before.get("command") == command else 0
            owner = {"host": socket.gethostname(), "process": os.getpid(), "command": command, "deaths": deaths}
            file.truncate(0)
            file.write(json.dumps(owner))
            file.flush()
            yield Claim(deaths)
            path.unlink(missing_ok=True)  # not after an exception: then it records the interrupted process

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def _read_owner(file: IO[str]) -> dict[str, Any]:
    """Return the previous owner of a claim; empty if there was none, or it died while it wrote the file."""
    file.seek(0)
    try:
        owner: dict[str, Any] = parse_json(file.read())
    except ValueError:
        return {}
    return owner
