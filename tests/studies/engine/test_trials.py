"""One trial: its record, good or bad, and what is left in its folder."""

import pickle
from pathlib import Path

import pytest

from labelcontrast.config.settings import RunSettings
from labelcontrast.studies.engine import trials
from labelcontrast.studies.engine.trials import Runner, Trial


def trial(vectors: Path, folder: Path, **loss: object) -> Trial:
    settings = RunSettings.build({"data": str(vectors), "loss": loss, "training": {"epochs": 2, "batch_size": 64}})
    return Trial("key", "title", settings, folder)


def test_a_record_holds_metrics_and_history_and_the_weights_go(vectors: Path, tmp_path: Path) -> None:
    record = Runner()(trial(vectors, tmp_path / "run", name="reg"))
    assert record["result"]["metrics"]["test"]["micro_f1"] > 0.3
    assert [epoch["epoch"] for epoch in record["history"]] == [1, 2]
    assert "positives_pushed_away" in record["history"][0]["diagnostics"]
    assert record["seconds"] >= sum(record["result"]["seconds"].values()) * 0.5
    assert record["settings"]["loss"]["name"] == "reg"
    assert record["folder"] == "run"
    assert not list(tmp_path.rglob("model.safetensors"))


def test_a_refusal_is_a_result(vectors: Path, tmp_path: Path) -> None:
    record = Runner()(trial(vectors, tmp_path / "run", name="proto", temperature=1e-9))
    assert "temperature must be" in record["error"]
    assert "result" not in record
    assert "trace" not in record


def test_what_nobody_foresaw_is_kept_with_its_trace(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def burst(*_: object, **__: object) -> None:
        raise MemoryError("no room\nfor 8 GiB")

    monkeypatch.setattr(trials, "run_experiment", burst)
    record = Runner()(trial(vectors, tmp_path / "run", name="bce"))
    assert record["error"] == "MemoryError: no room for 8 GiB"
    assert "in burst" in record["trace"]


def test_a_runner_without_listeners_can_be_sent_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(Runner(device="cuda"))) == Runner(device="cuda")
