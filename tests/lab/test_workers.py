"""What is done while trials run takes less than its share of the time.

Sharing out: every trial once, whoever holds the others; processes that die are replaced, trials that kill fail.
"""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from labelcontrast.errors import RunError
from labelcontrast.lab import workers
from labelcontrast.lab import workers as pace
from labelcontrast.lab.store import Record, Store
from labelcontrast.lab.trials import Trial
from labelcontrast.lab.workers import Event, Pace, run_trials, work
from labelcontrast.settings import RunSettings


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_all_calls_together_stay_below_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    called = []

    def draw() -> None:
        called.append(clock.now)
        clock.now += 3

    keep = Pace(draw, share=0.1, first=1)
    for _ in range(300):
        clock.now += 1
        keep()
        assert 3 * len(called) <= max(0.1 * clock.now, 3)
    assert called[:3] == [10, 60, 90]


def made_trials(count: int) -> list[Trial]:
    settings = [RunSettings.build({"data": "a", "loss": {"name": "reg", "alpha": alpha}}) for alpha in range(count)]
    return [Trial(f"key{place}", f"trial {place}", one, Path("nowhere")) for place, one in enumerate(settings)]


def test_what_the_store_holds_is_not_run_and_the_order_is_kept(tmp_path: Path) -> None:
    store, trials, run, told = Store(tmp_path), made_trials(4), [], []
    store.keep("key1", {"seconds": 0.0})

    def perform(trial: Trial) -> Record:
        run.append(trial.key)
        return {"seconds": 0.0}

    run_trials(trials, store, perform, tell=told.append)
    assert run == ["key0", "key2", "key3"]
    assert told[:2] == [Event("begun", "key0"), Event("ended", "key0")]
    run_trials(trials, store, perform, tell=told.append)
    assert len(run) == 3


def test_two_that_share_a_store_run_every_trial_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PAUSE", 0.01)
    trials, run = made_trials(12), []

    def perform(trial: Trial) -> Record:
        run.append(trial.key)
        time.sleep(0.01)
        return {}

    def one() -> None:
        work(trials, Store(tmp_path), perform, command="x", tell=lambda _: None)

    both = [threading.Thread(target=one) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(run) == sorted(trial.key for trial in trials)


def test_a_trial_that_others_hold_is_waited_for_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, run = Store(tmp_path), []
    with store.claim("key0", command="theirs"):

        def they_finish(_: float) -> None:
            assert run == ["key1"]
            store.keep("key0", {})

        monkeypatch.setattr(workers.time, "sleep", they_finish)
        work(made_trials(2), store, lambda trial: run.append(trial.key) or {}, command="x", tell=lambda _: None)
    assert run == ["key1"]


def test_an_interrupted_trial_is_run_again(tmp_path: Path) -> None:
    store, trials = Store(tmp_path), made_trials(1)

    def interrupted(_: Trial) -> Record:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trials(trials, store, interrupted, tell=lambda _: None)
    assert not store.holds("key0")
    run_trials(trials, store, lambda _: {"seconds": 1.0}, tell=lambda _: None)
    assert store.read("key0") == {"seconds": 1.0}


@pytest.fixture
def forking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork this process in place of a server, which imports torch for seconds; the slow test starts one."""
    forks = multiprocessing.get_context("fork")
    monkeypatch.setattr(workers.multiprocessing, "get_context", lambda _: forks)


@pytest.mark.usefixtures("forking")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_several_processes_share_the_trials_and_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(workers.THREADS, "6")
    store, told = Store(tmp_path), []

    def perform(_: Trial) -> Record:
        time.sleep(0.1)
        return {"process": os.getpid(), "threads": os.environ[workers.THREADS]}

    run_trials(made_trials(6), store, perform, jobs=2, tell=told.append)
    records = [store.read(f"key{place}") for place in range(6)]
    assert {record["threads"] for record in records} == {"3"}
    assert len({record["process"] for record in records} - {os.getpid()}) == 2
    assert sorted(event.key for event in told if event.kind == "ended") == [f"key{place}" for place in range(6)]
    assert os.environ[workers.THREADS] == "6"


@pytest.mark.usefixtures("forking")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_trial_that_kills_its_process_has_failed_and_the_others_go_on(tmp_path: Path) -> None:
    def perform(trial: Trial) -> Record:
        if trial.key == "key0":
            os.kill(os.getpid(), signal.SIGKILL)
        return {"good": trial.key}

    store = Store(tmp_path)
    run_trials(made_trials(3), store, perform, jobs=2, tell=lambda _: None)
    assert store.read("key0")["error"] == "its process died, 2 times."
    assert [store.read(key)["good"] for key in ("key1", "key2")] == ["key1", "key2"]


@pytest.mark.usefixtures("forking")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_that_die_before_a_trial_are_not_started_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "keep_freed_memory", lambda: os._exit(3))
    with pytest.raises(RunError, match="died before they began one; --jobs 1 shows why"):
        run_trials(made_trials(2), Store(tmp_path), lambda _: {}, jobs=2, tell=lambda _: None)


@pytest.mark.slow
def test_sigkill_in_the_middle_and_resume_give_the_same_results_and_repeat_nothing(
    vectors: Path, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "labelcontrast", "study", "multiclass", str(vectors), "--seeds", "2"]
    words += ["--set", "training.epochs=8", "--set", "training.batch_size=32", "--jobs", "2", "--out"]
    subprocess.run([*words, "whole"], cwd=tmp_path, check=True, capture_output=True)
    process = subprocess.Popen([*words, "killed"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("[2/6]"):
            process.kill()
            break
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    time.sleep(5)  # the processes it started have seen its end by then
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed" / "trials").glob("*.json")}
    assert 2 <= len(done) < 6
    subprocess.run([*words, "killed", "--resume"], cwd=tmp_path, check=True, capture_output=True)
    assert all(path.stat().st_mtime_ns == before for path, before in done.items())
    results = [
        {
            path.name: json.loads(path.read_text())["result"]["metrics"]
            for path in (tmp_path / name).glob("trials/*.json")
        }
        for name in ("whole", "killed")
    ]
    assert len(results[0]) == 6
    assert results[0] == results[1]
