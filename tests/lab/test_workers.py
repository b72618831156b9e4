"""Workers: every trial once, whoever claims the others; dead processes are replaced, and trials that kill them fail.

The same holds on a Ray cluster.
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

from labelcontrast.errors import MissingExtraError, RunError
from labelcontrast.lab import workers
from labelcontrast.lab.trials import Record, Runner, Store, Trial
from labelcontrast.lab.workers import Event, run_at, run_on_ray, run_trials, work
from labelcontrast.settings import RunSettings


def made_trials(count: int) -> list[Trial]:
    settings = [RunSettings.build({"data": "a", "loss": {"name": "reg", "alpha": alpha}}) for alpha in range(count)]
    return [Trial(f"key{place}", f"trial {place}", one, Path("nowhere")) for place, one in enumerate(settings)]


def test_what_the_store_holds_is_not_run_and_the_order_is_kept(tmp_path: Path) -> None:
    store, trials, run, told = Store(tmp_path), made_trials(4), [], []
    store.write("key1", {"seconds": 0.0})

    def perform(trial: Trial) -> Record:
        run.append(trial.key)
        return {"seconds": 0.0}

    run_trials(trials, store, perform, on_event=told.append)
    assert run == ["key0", "key2", "key3"]
    assert told[:2] == [Event("begun", "key0"), Event("ended", "key0")]
    run_trials(trials, store, perform, on_event=told.append)
    assert len(run) == 3


def test_two_that_share_a_store_run_every_trial_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PAUSE", 0.01)
    trials, run = made_trials(12), []

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


def test_a_trial_that_others_hold_is_waited_for_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, run = Store(tmp_path), []
    with store.claim("key0", command="theirs"):

        def they_finish(_: float) -> None:
            assert run == ["key1"]
            store.write("key0", {})

        monkeypatch.setattr(workers.time, "sleep", they_finish)
        work(made_trials(2), store, lambda trial: run.append(trial.key) or {}, command="x", on_event=lambda _: None)
    assert run == ["key1"]


def test_an_interrupted_trial_is_run_again(tmp_path: Path) -> None:
    store, trials = Store(tmp_path), made_trials(1)

    def interrupted(_: Trial) -> Record:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trials(trials, store, interrupted, on_event=lambda _: None)
    assert not store.has("key0")
    run_trials(trials, store, lambda _: {"seconds": 1.0}, on_event=lambda _: None)
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

    run_trials(made_trials(6), store, perform, jobs=2, on_event=told.append)
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
    run_trials(made_trials(3), store, perform, jobs=2, on_event=lambda _: None)
    assert store.read("key0")["error"] == "its process died, 2 times."
    assert [store.read(key)["good"] for key in ("key1", "key2")] == ["key1", "key2"]


@pytest.mark.usefixtures("forking")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_that_die_before_a_trial_are_not_started_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "keep_freed_memory", lambda: os._exit(3))
    with pytest.raises(RunError, match="died before they began one; --jobs 1 shows why"):
        run_trials(made_trials(2), Store(tmp_path), lambda _: {}, jobs=2, on_event=lambda _: None)


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


def trial(key: str, folder: Path, **settings: object) -> Trial:
    return Trial(key, f"trial {key}", RunSettings.build({"data": "a", **settings}), folder / key)


def test_without_an_address_trials_run_here() -> None:
    assert run_at(None) is run_trials


def test_without_ray_the_install_line_is_the_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'labelcontrast\[ray\]'$"):
        run_at("local")([], Store(tmp_path), Runner(), jobs=1, on_event=lambda _: None)


def perform_anywhere(trial: Trial) -> Record:
    """Return where the trial ran; one kills its process, one raises."""
    if trial.key == "deadly":
        os._exit(9)
    if trial.key == "raises":
        message = "nobody foresaw this"
        raise ValueError(message)
    return {"process": os.getpid(), "place": str(Path.cwd()), "seconds": 0.0}


class FakeRay:
    """Ray's calls that are used, in this process: to see the contract where Ray is not installed."""

    class exceptions:
        class RayError(Exception):
            """Any."""

        class WorkerCrashedError(RayError):
            """A death."""

    def __init__(self) -> None:
        self.asked: dict[str, object] = {}
        self.shut = 0

    def nodes(self) -> list[dict[str, object]]:
        return [{"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}}, {"Alive": False, "Resources": {"CPU": 99.0}}]

    def remote(self, **options: object) -> object:
        self.asked = options
        return lambda function: type("Task", (), {"remote": staticmethod(lambda *given: _Later(function, given))})

    def wait(self, tasks: list["_Later"], timeout: float) -> tuple[list["_Later"], list["_Later"]]:
        return tasks[:1], tasks[1:]

    def get(self, task: "_Later") -> Record:
        if task.given[-1].key == "deadly":
            raise self.exceptions.WorkerCrashedError
        try:
            return task.function(*task.given)
        except ValueError as error:
            raise self.exceptions.RayError(f"a task said:\n{error}") from error

    def shutdown(self) -> None:
        self.shut += 1


class _Later:
    def __init__(self, function, given) -> None:
        self.function, self.given = function, given


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    ray = FakeRay()
    monkeypatch.setattr(workers, "_connect", lambda _: ray)
    return ray


def test_every_trial_once_and_whatever_happens_to_it_is_its_result(fake: FakeRay, tmp_path: Path) -> None:
    store, told = Store(tmp_path), []
    store.write("held", {"seconds": 1.0})
    trials = [trial(key, tmp_path) for key in ("one", "held", "deadly", "raises", "two")]
    run_on_ray(trials, store, perform_anywhere, address="auto", jobs=2, on_event=told.append)
    assert store.read("held") == {"seconds": 1.0}
    assert store.read("one")["place"] == str(Path.cwd())
    assert store.read("deadly")["error"] == "its process died, 2 times."
    assert store.read("raises")["error"] == "a task said: nobody foresaw this"
    assert [event.key for event in told if event.kind == "begun"] == ["one", "deadly", "raises", "two"]
    assert told[:3] == [Event("begun", "one"), Event("begun", "deadly"), Event("ended", "one")]
    assert not list(tmp_path.glob("*.claim"))
    assert fake.asked == {"max_retries": 1, "num_cpus": 2, "num_gpus": 0.5}
    assert fake.shut == 1


def test_what_another_command_holds_is_left_to_it(fake: FakeRay, tmp_path: Path, monkeypatch) -> None:
    store, told = Store(tmp_path), []
    with store.claim("theirs", command="theirs"):
        monkeypatch.setattr(workers.time, "sleep", lambda _: store.write("theirs", {"seconds": 2.0}))
        run_on_ray(
            [trial("theirs", tmp_path), trial("mine", tmp_path)],
            store,
            perform_anywhere,
            address="a",
            jobs=4,
            on_event=told.append,
        )
    assert {event.key for event in told} == {"mine"}
    assert store.read("theirs") == {"seconds": 2.0}


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster of this machine."""
    pytest.importorskip("ray", reason="Ray is an extra")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("real")
@pytest.mark.filterwarnings("default")
def test_a_real_cluster_runs_real_trials(vectors: Path, tmp_path: Path) -> None:
    store, told = Store(tmp_path / "store"), []
    (tmp_path / "vectors.npz").write_bytes(vectors.read_bytes())
    short = {"data": "vectors.npz", "training": {"epochs": 1, "batch_size": 64}}
    trials = [
        trial("good", store.folder, **short, loss={"name": "bce"}),
        trial("refused", store.folder, **short, loss={"name": "proto", "temperature": 1e-9}),
    ]
    run_on_ray(trials, store, Runner(), address="local", jobs=2, on_event=told.append)
    assert store.read("good")["result"]["metrics"]["test"]["micro_f1"] > 0
    assert "temperature must be" in store.read("refused")["error"]
    assert sorted(event.key for event in told if event.kind == "ended") == ["good", "refused"]
    run_on_ray(trials, store, Runner(), address="local", jobs=2, on_event=told.append)
    assert len(told) == 4, "nothing is run twice"


@pytest.mark.slow
@pytest.mark.usefixtures("real")
@pytest.mark.filterwarnings("default")
def test_a_trial_that_kills_its_process_on_a_real_cluster_has_failed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")

    def deadly(trial: Trial) -> Record:
        if trial.key == "deadly":
            os._exit(9)
        return {"process": os.getpid(), "seconds": 0.0}

    run_on_ray(
        [trial("deadly", tmp_path), trial("good", tmp_path)],
        store,
        deadly,
        address="local",
        jobs=2,
        on_event=lambda _: None,
    )
    assert store.read("deadly")["error"] == "its process died, 2 times."
    assert store.read("good")["process"] != os.getpid()
