"""Workers: every trial runs once, and a trial that kills its process fails; in processes and on a Ray cluster."""

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

from labelcontrast.errors import MissingExtraError, RunError
from labelcontrast.lab import workers
from labelcontrast.lab.trials import Record, Runner, Store, Trial
from labelcontrast.lab.workers import Event, run_at, run_on_ray, run_trials, work
from labelcontrast.settings import RunSettings


def make_trial(key: str, folder: Path, **settings: object) -> Trial:
    return Trial(key, f"trial {key}", RunSettings.build({"data": "a", **settings}), folder / key)


def make_trials(count: int) -> list[Trial]:
    return [make_trial(f"key{alpha}", Path("nowhere"), loss={"name": "reg", "alpha": alpha}) for alpha in range(count)]


def test_stored_trials_are_skipped_and_the_others_run_in_order(tmp_path: Path) -> None:
    store, trials, run, events = Store(tmp_path), make_trials(4), [], []
    store.write("key1", {"seconds": 0.0})

    def perform(trial: Trial) -> Record:
        run.append(trial.key)
        return {"seconds": 0.0}

    run_trials(trials, store, perform, on_event=events.append)
    assert run == ["key0", "key2", "key3"]
    assert events[:2] == [Event("begun", "key0"), Event("ended", "key0")]
    run_trials(trials, store, perform, on_event=events.append)
    assert len(run) == 3


def test_two_workers_with_one_store_run_every_trial_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PAUSE", 0.01)
    trials, run = make_trials(12), []

    def perform(trial: Trial) -> Record:
        run.append(trial.key)
        time.sleep(0.01)
        return {}

    def one() -> None:
        work(trials, Store(tmp_path), perform, command="x", on_event=lambda _: None)

    both = [threading.Thread(target=one) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(run) == sorted(trial.key for trial in trials)


def test_a_trial_claimed_by_another_command_is_awaited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, run = Store(tmp_path), []
    with store.claim("key0", command="theirs"):

        def they_finish(_: float) -> None:
            assert run == ["key1"]
            store.write("key0", {})

        monkeypatch.setattr(workers.time, "sleep", they_finish)
        work(make_trials(2), store, lambda trial: run.append(trial.key) or {}, command="x", on_event=lambda _: None)
    assert run == ["key1"]


def test_an_interrupted_trial_is_run_again(tmp_path: Path) -> None:
    store, trials = Store(tmp_path), make_trials(1)

    def interrupted(_: Trial) -> Record:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trials(trials, store, interrupted, on_event=lambda _: None)
    assert not store.has("key0")
    run_trials(trials, store, lambda _: {"seconds": 1.0}, on_event=lambda _: None)
    assert store.read("key0") == {"seconds": 1.0}


@pytest.fixture
def forking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork worker processes, which saves importing torch; the slow test uses the fork server."""
    forks = multiprocessing.get_context("fork")
    monkeypatch.setattr(workers.multiprocessing, "get_context", lambda _: forks)


@pytest.mark.usefixtures("forking")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_worker_processes_share_trials_and_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(workers.THREADS, "6")
    store, events = Store(tmp_path), []

    def perform(_: Trial) -> Record:
        time.sleep(0.1)
        return {"process": os.getpid(), "threads": os.environ[workers.THREADS]}

    run_trials(make_trials(6), store, perform, jobs=2, on_event=events.append)
    records = [store.read(f"key{place}") for place in range(6)]
    assert {record["threads"] for record in records} == {"3"}
    assert len({record["process"] for record in records} - {os.getpid()}) == 2
    assert sorted(event.key for event in events if event.kind == "ended") == [f"key{place}" for place in range(6)]
    assert os.environ[workers.THREADS] == "6"


@pytest.mark.usefixtures("forking")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_trial_that_kills_its_process_fails_and_the_others_run(tmp_path: Path) -> None:
    def perform(trial: Trial) -> Record:
        if trial.key == "key0":
            os.kill(os.getpid(), signal.SIGKILL)
        return {"good": trial.key}

    store = Store(tmp_path)
    run_trials(make_trials(3), store, perform, jobs=2, on_event=lambda _: None)
    assert store.read("key0")["error"] == "its process died, 2 times."
    assert [store.read(key)["good"] for key in ("key1", "key2")] == ["key1", "key2"]


@pytest.mark.usefixtures("forking")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_that_die_before_a_trial_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "keep_freed_memory", lambda: os._exit(3))
    with pytest.raises(RunError, match="died before they began one; --jobs 1 shows why"):
        run_trials(make_trials(2), Store(tmp_path), lambda _: {}, jobs=2, on_event=lambda _: None)


@pytest.mark.slow
def test_a_killed_and_resumed_study_has_the_same_results_and_repeats_nothing(vectors: Path, tmp_path: Path) -> None:
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


def test_without_an_address_trials_run_locally() -> None:
    assert run_at(None) is run_trials


def test_without_ray_the_error_names_the_install_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'labelcontrast\[ray\]'$"):
        run_at("local")([], Store(tmp_path), Runner(), jobs=1, on_event=lambda _: None)


def perform_anywhere(trial: Trial) -> Record:
    """Return the process and folder of a trial; "deadly" kills its process, and "raises" raises."""
    if trial.key == "deadly":
        os._exit(9)
    if trial.key == "raises":
        message = "an unexpected error"
        raise ValueError(message)
    return {"process": os.getpid(), "place": str(Path.cwd()), "seconds": 0.0}


class FakeRay:
    """The functions of Ray that are used, in this process."""

    class exceptions:
        class RayError(Exception):
            """Base class."""

        class WorkerCrashedError(RayError):
            """A worker process died."""

    def __init__(self) -> None:
        self.asked: dict[str, object] = {}
        self.shut = 0

    def nodes(self) -> list[dict[str, object]]:
        return [{"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}}, {"Alive": False, "Resources": {"CPU": 99.0}}]

    def remote(self, **options: object) -> object:
        self.asked = options
        return lambda function: type("Task", (), {"remote": staticmethod(lambda *given: _Task(function, given))})

    def wait(self, tasks: list["_Task"], timeout: float) -> tuple[list["_Task"], list["_Task"]]:
        return tasks[:1], tasks[1:]

    def get(self, task: "_Task") -> Record:
        if task.given[-1].key == "deadly":
            raise self.exceptions.WorkerCrashedError
        try:
            return task.function(*task.given)
        except ValueError as error:
            raise self.exceptions.RayError(f"a task failed:\n{error}") from error

    def shutdown(self) -> None:
        self.shut += 1


class _Task:
    def __init__(self, function, given) -> None:
        self.function, self.given = function, given


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    ray = FakeRay()
    monkeypatch.setattr(workers, "_connect", lambda _: ray)
    return ray


def test_ray_runs_every_trial_once_and_records_errors(fake: FakeRay, tmp_path: Path) -> None:
    store, events = Store(tmp_path), []
    store.write("held", {"seconds": 1.0})
    trials = [make_trial(key, tmp_path) for key in ("one", "held", "deadly", "raises", "two")]
    run_on_ray(trials, store, perform_anywhere, address="auto", jobs=2, on_event=events.append)
    assert store.read("held") == {"seconds": 1.0}
    assert store.read("one")["place"] == str(Path.cwd())
    assert store.read("deadly")["error"] == "its process died, 2 times."
    assert store.read("raises")["error"] == "a task failed: an unexpected error"
    assert [event.key for event in events if event.kind == "begun"] == ["one", "deadly", "raises", "two"]
    assert events[:3] == [Event("begun", "one"), Event("begun", "deadly"), Event("ended", "one")]
    assert not list(tmp_path.glob("*.claim"))
    assert fake.asked == {"max_retries": 1, "num_cpus": 2, "num_gpus": 0.5}
    assert fake.shut == 1


def test_ray_skips_trials_claimed_by_another_command(fake: FakeRay, tmp_path: Path, monkeypatch) -> None:
    store, events = Store(tmp_path), []
    with store.claim("theirs", command="theirs"):
        monkeypatch.setattr(workers.time, "sleep", lambda _: store.write("theirs", {"seconds": 2.0}))
        run_on_ray(
            [make_trial("theirs", tmp_path), make_trial("mine", tmp_path)],
            store,
            perform_anywhere,
            address="a",
            jobs=4,
            on_event=events.append,
        )
    assert {event.key for event in events} == {"mine"}
    assert store.read("theirs") == {"seconds": 2.0}


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start a local cluster in a temporary folder."""
    pytest.importorskip("ray", reason="Ray is an extra")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("real")
@pytest.mark.filterwarnings("default")
def test_a_real_ray_cluster_runs_trials(vectors: Path, tmp_path: Path) -> None:
    store, events = Store(tmp_path / "store"), []
    (tmp_path / "vectors.npz").write_bytes(vectors.read_bytes())
    short = {"data": "vectors.npz", "training": {"epochs": 1, "batch_size": 64}}
    trials = [
        make_trial("good", store.folder, **short, loss={"name": "bce"}),
        make_trial("refused", store.folder, **short, loss={"name": "proto", "temperature": 1e-9}),
    ]
    run_on_ray(trials, store, Runner(), address="local", jobs=2, on_event=events.append)
    assert store.read("good")["result"]["metrics"]["test"]["micro_f1"] > 0
    assert "temperature must be" in store.read("refused")["error"]
    assert sorted(event.key for event in events if event.kind == "ended") == ["good", "refused"]
    run_on_ray(trials, store, Runner(), address="local", jobs=2, on_event=events.append)
    assert len(events) == 4, "no trial is repeated"


@pytest.mark.slow
@pytest.mark.usefixtures("real")
@pytest.mark.filterwarnings("default")
def test_a_trial_that_kills_its_process_on_a_real_ray_cluster_fails(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")

    def deadly(trial: Trial) -> Record:
        if trial.key == "deadly":
            os._exit(9)
        return {"process": os.getpid(), "seconds": 0.0}

    run_on_ray(
        [make_trial("deadly", tmp_path), make_trial("good", tmp_path)],
        store,
        deadly,
        address="local",
        jobs=2,
        on_event=lambda _: None,
    )
    assert store.read("deadly")["error"] == "its process died, 2 times."
    assert store.read("good")["process"] != os.getpid()
