"""The same contract on a cluster: every trial once, in its own processes, failures and deaths as results."""

import os
import sys
from pathlib import Path

import pytest

from labelcontrast.errors import MissingExtraError
from labelcontrast.lab import ray_cluster
from labelcontrast.lab.ray_cluster import run_at, run_on_ray
from labelcontrast.lab.store import Record, Store
from labelcontrast.lab.trials import Runner, Trial
from labelcontrast.lab.workers import Event, run_trials
from labelcontrast.settings import RunSettings


def trial(key: str, folder: Path, **settings: object) -> Trial:
    return Trial(key, f"trial {key}", RunSettings.build({"data": "a", **settings}), folder / key)


def test_without_an_address_trials_run_here() -> None:
    assert run_at(None) is run_trials


def test_without_ray_the_install_line_is_the_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'labelcontrast\[ray\]'$"):
        run_at("local")([], Store(tmp_path), Runner(), jobs=1, tell=lambda _: None)


def perform(trial: Trial) -> Record:
    """A trial that says where it ran; one kills its process, one raises."""
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
    monkeypatch.setattr(ray_cluster, "_connect", lambda _: ray)
    return ray


def test_every_trial_once_and_whatever_happens_to_it_is_its_result(fake: FakeRay, tmp_path: Path) -> None:
    store, told = Store(tmp_path), []
    store.keep("held", {"seconds": 1.0})
    trials = [trial(key, tmp_path) for key in ("one", "held", "deadly", "raises", "two")]
    run_on_ray(trials, store, perform, address="auto", jobs=2, tell=told.append)
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
        monkeypatch.setattr(ray_cluster.time, "sleep", lambda _: store.keep("theirs", {"seconds": 2.0}))
        run_on_ray(
            [trial("theirs", tmp_path), trial("mine", tmp_path)], store, perform, address="a", jobs=4, tell=told.append
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
    run_on_ray(trials, store, Runner(), address="local", jobs=2, tell=told.append)
    assert store.read("good")["result"]["metrics"]["test"]["micro_f1"] > 0
    assert "temperature must be" in store.read("refused")["error"]
    assert sorted(event.key for event in told if event.kind == "ended") == ["good", "refused"]
    run_on_ray(trials, store, Runner(), address="local", jobs=2, tell=told.append)
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
        tell=lambda _: None,
    )
    assert store.read("deadly")["error"] == "its process died, 2 times."
    assert store.read("good")["process"] != os.getpid()
