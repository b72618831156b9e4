"""The pipeline: equal trials run once, progress is printed, and writing the page has a limited share of the time."""

from dataclasses import replace
from pathlib import Path

import pytest

from labelcontrast.lab import pipeline
from labelcontrast.lab.pipeline import Options, Progress, Throttle, run_missing
from labelcontrast.lab.trials import Record, Store, Trial
from labelcontrast.settings import RunSettings


class Clock:
    """A clock set by the test."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_a_throttle_limits_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(pipeline, "time", clock)
    called = []

    def draw() -> None:
        called.append(clock.now)
        clock.now += 3

    write = Throttle(draw, share=0.1, first=1)
    for _ in range(300):
        clock.now += 1
        write()
        assert 3 * len(called) <= max(0.1 * clock.now, 3)
    assert called[:3] == [10, 60, 90]


def made_trial(key: str, folder: Path, title: str = "") -> Trial:
    return Trial(key, title or f"trial {key}", RunSettings(data="a"), folder / key)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store with a finished trial and a failed one."""
    found = Store(tmp_path / "store")
    found.write("done", {"seconds": 1.0, "result": {"metrics": {"test": {"macro_f1": 0.5}}}})
    found.write("failed", {"seconds": 1.0, "error": "the disk is full."})
    return found


def perform(trial: Trial) -> Record:
    if trial.key == "bad":
        return {"seconds": 2.4, "error": "no room."}
    return {"seconds": 1.0, "result": {"metrics": {"test": {"macro_f1": 0.25}}}}


def test_missing_and_failed_trials_run_and_equal_trials_run_once(store: Store, tmp_path: Path) -> None:
    keys = ("new", "done", "failed", "bad")
    trials = [*(made_trial(key, tmp_path) for key in keys), made_trial("new", tmp_path, "the same again")]
    messages: list[str] = []
    written: list[int] = []
    progress = Progress(messages.append, name="mine")
    run_missing(trials, store, perform, Options(), progress, after_each=lambda: written.append(len(messages)))
    assert messages == [
        "mine: 4 trials, 1 done before",
        "[1/3] trial new: macro-F1 25.0 %, 1 s",
        "[2/3] trial failed: macro-F1 25.0 %, 1 s",
        "[3/3] trial bad: failed: no room., 2 s",
    ]
    assert written == [2, 3, 4]
    assert store.read("bad") == perform(trials[3])


def test_a_trial_that_prints_its_epochs_is_announced(store: Store, tmp_path: Path) -> None:
    messages: list[str] = []
    trials = [made_trial("done", tmp_path), made_trial("new", tmp_path)]
    run_missing(trials, store, perform, Options(), Progress(messages.append, name="mine", announce=True))
    assert messages == ["mine: 2 trials, 1 done before", "[1/1] trial new", "trial new: macro-F1 25.0 %, 1 s"]


def test_without_a_name_each_finished_trial_is_printed(store: Store, tmp_path: Path) -> None:
    messages: list[str] = []
    trials = [made_trial("done", tmp_path), made_trial("new", tmp_path)]
    run_missing(trials, store, perform, Options(), Progress(messages.append, describe=lambda _: "a number"))
    assert messages == ["trial done: done before", "trial new: a number, 1 s"]


def test_a_shared_training_is_removed_after_its_last_trial(store: Store, tmp_path: Path) -> None:
    training = store.folder / "training-x"
    training.mkdir()
    trials = [replace(made_trial(key, tmp_path), training=training) for key in ("new", "other")]
    present: list[bool] = []
    progress = Progress(lambda _: None)
    run_missing(trials, store, perform, Options(), progress, after_each=lambda: present.append(training.exists()))
    assert present == [True, False]
