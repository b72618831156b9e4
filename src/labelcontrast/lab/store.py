"""The store: what each trial came to, one JSON file a trial, shared by any number of processes and of studies.

KEY.json    what a trial came to, whole or not there
KEY.claim   who is at work on it; the lock on this file ends with its process, however that ends
training-*  a training that several trials have in common, as long as some of them are to come; and its claim
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from labelcontrast.errors import RunError
from labelcontrast.files import read_json, write_json

Record = dict[str, Any]
"""What a trial came to: ``title``, ``seconds``, and ``error``, or ``settings``, ``folder``, ``result``, ``history``."""


@dataclass(frozen=True)
class Claim:
    """The right to run a trial."""

    deaths: int
    """How often the processes of this command have died of the trial before."""


@dataclass(frozen=True)
class Store:
    """The results below a folder."""

    folder: Path

    def read(self, key: str) -> Record | None:
        """Read what a trial came to; nothing where it has not ended.

        Raises:
            RunError: the file has been damaged by somebody else; ours are whole.
        """
        path = self._result(key)
        try:
            record: Record = read_json(path)
        except FileNotFoundError:
            return None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            message = f"{path} is damaged: {error}; remove it, and its trial is run again."
            raise RunError(message) from error
        return record

    def holds(self, key: str) -> bool:
        """Say whether a trial has ended."""
        return self._result(key).exists()

    def keep(self, key: str, record: Record) -> None:
        """Write what a trial came to."""
        write_json(self._result(key), record)

    def forget(self, key: str) -> None:
        """Remove what a trial came to, so that it is run again."""
        self._result(key).unlink(missing_ok=True)

    @contextmanager
    def claim(self, key: str, *, command: str) -> Iterator[Claim | None]:
        """Hold a trial while the block runs; nothing is given where another living process holds it.

        Args:
            key: the trial, or the training that it has in common with others.
            command: names the command that all its processes belong to; the deaths of another are not counted.
        """
        path = self._result(key).with_suffix(".claim")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+") as file:
            if not _lock(file) or not _is_at(file, path):
                yield None
                return
            before = _owner(file)
            deaths = before["deaths"] + 1 if before.get("command") == command else 0
            owner = {"host": socket.gethostname(), "process": os.getpid(), "command": command, "deaths": deaths}
            file.truncate(0)
            file.write(json.dumps(owner))
            file.flush()
            yield Claim(deaths)
            path.unlink(missing_ok=True)  # not after an interruption: then it says who was at work

    def _result(self, key: str) -> Path:
        """Where a trial's result is."""
        return self.folder / f"{key}.json"


def _lock(file: IO[str]) -> bool:
    """Lock a file for as long as it is open, unless another has."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: IO[str], path: Path) -> bool:
    """Say whether a file has not been removed by who held it before."""
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())


def _owner(file: IO[str]) -> dict[str, Any]:
    """Read who claimed a trial before and died of it; nothing where nobody did, or it died while it wrote this."""
    file.seek(0)
    try:
        owner: dict[str, Any] = json.loads(file.read())
    except json.JSONDecodeError:
        return {}
    return owner
