"""The store: results whole or not there; a claim that ends with its process, however that ends."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from labelcontrast.errors import RunError
from labelcontrast.lab import store
from labelcontrast.lab.store import Store

HOLDER = """
import fcntl, json, sys, time
file = open(sys.argv[1], "a+")
fcntl.flock(file, fcntl.LOCK_EX)
file.write(json.dumps({"command": sys.argv[2], "deaths": int(sys.argv[3])})); file.flush()
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def another_process(store: Store, key: str, command: str, deaths: int) -> Iterator[subprocess.Popen[str]]:
    """Hold a claim in a process of its own."""
    store.folder.mkdir(exist_ok=True)
    words = [sys.executable, "-c", HOLDER, str(store.folder / f"{key}.claim"), command, str(deaths)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_result_is_read_back_and_forgotten(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert not store.holds("a")
    assert store.read("a") is None
    store.keep("a", {"seconds": 1.5, "result": {"nan": float("nan")}})
    assert store.holds("a")
    assert store.read("a") == {"seconds": 1.5, "result": {"nan": None}}
    store.forget("a")
    assert store.read("a") is None


def test_a_damaged_result_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"seconds": ')
    with pytest.raises(RunError, match=r"a\.json is damaged: .*; remove it, and its trial is run again\."):
        Store(tmp_path).read("a")


def test_a_claim_is_held_by_one_at_a_time_in_this_process_too(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with store.claim("a", command="x") as first, store.claim("a", command="x") as second:
        assert first is not None
        assert second is None
        with store.claim("b", command="x") as other:
            assert other is not None
    with store.claim("a", command="x") as again:
        assert again is not None


def test_the_claim_of_a_killed_process_is_taken_over_and_its_deaths_are_counted(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with another_process(store, "a", "mine", deaths=1) as process:
        with store.claim("a", command="mine") as claim:
            assert claim is None
        process.kill()
        process.wait()
        with store.claim("a", command="mine") as claim:
            assert claim is not None
            assert claim.deaths == 2
            owner = json.loads((store.folder / "a.claim").read_text())
            assert owner["command"] == "mine"
        with store.claim("a", command="another") as claim:
            assert claim is not None
            assert claim.deaths == 0


def test_a_claim_goes_with_its_block_and_stays_as_a_trace_when_that_is_interrupted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt), store.claim("a", command="x"):
        raise KeyboardInterrupt
    assert (tmp_path / "a.claim").exists()
    with store.claim("a", command="x"):
        store.keep("a", {})
    assert not (tmp_path / "a.claim").exists()


def test_who_waited_for_a_claim_that_is_gone_asks_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Store(tmp_path).claim("a", command="x")
    held.__enter__()

    def they_end(file: IO[str]) -> bool:
        held.__exit__(None, None, None)  # between our opening of the file and our lock on it
        return lock(file)

    lock = store._lock
    monkeypatch.setattr(store, "_lock", they_end)
    with Store(tmp_path).claim("a", command="y") as claim:
        assert claim is None, "a third could hold the file that is there by now"
    monkeypatch.setattr(store, "_lock", lock)
    with Store(tmp_path).claim("a", command="y") as claim:
        assert claim is not None
