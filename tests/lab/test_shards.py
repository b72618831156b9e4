"""Shards: every file has one output with each of its examples once, also where a process is killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import labelcontrast as lc
from labelcontrast.cli.verbs import app
from labelcontrast.data.readers import read
from labelcontrast.errors import DataError, LabelContrastError, RunError
from labelcontrast.experiment import run_experiment
from labelcontrast.lab.pipeline import Options, Progress
from labelcontrast.lab.shards import ShardRunner, describe_shard, measure_shards, run_shards
from labelcontrast.metrics.registry import METRICS
from labelcontrast.run.evaluation import evaluate
from labelcontrast.run.model import predict
from labelcontrast.settings import RunSettings

EACH = 7


@pytest.fixture
def parts(vectors: Path, tmp_path: Path) -> Path:
    """Five files of seven vectors."""
    (tmp_path / "in").mkdir()
    features = np.load(vectors)["X"]
    for number in range(5):
        np.savez(tmp_path / "in" / f"part-{number}.npz", X=features[number * EACH : (number + 1) * EACH])
    return tmp_path / "in"


def compute(run: Path, parts: Path, out: Path, verb: str = "predict", top: int | None = None, **how: object) -> list:
    said: list[str] = []
    progress = Progress(said.append, name=verb, describe=describe_shard, what="files")
    found = run_shards(parts, out, ShardRunner(run, verb, top), Options(**how), progress)
    assert found == (len(list(parts.glob("*.npz"))), EACH * len(list(parts.glob("*.npz"))))
    return said


def check_predictions(run: Path, parts: Path, out: Path) -> None:
    """Every file has the rows that it has alone."""
    model, files = lc.load(run), sorted(parts.iterdir())
    assert sorted(path.name for path in out.glob("*.jsonl")) == [f"{path.name}.jsonl" for path in files]
    for path in files:
        rows = [json.loads(line) for line in (out / f"{path.name}.jsonl").read_text().splitlines()]
        assert rows == list(predict(model, read(path)))


def test_every_file_has_its_output(reg_run: Path, parts: Path, tmp_path: Path) -> None:
    said = compute(reg_run, parts, tmp_path / "out")
    assert said[:2] == ["predict: 5 files", said[1]]
    assert said[1].startswith("[1/5] part-0.npz: 7 examples, ")
    check_predictions(reg_run, parts, tmp_path / "out")
    compute(reg_run, parts, tmp_path / "embedded", "embed")
    found = pq.read_table(tmp_path / "embedded" / "part-3.npz.parquet")["embedding"].to_pylist()
    expected = lc.load(reg_run).embed(np.load(parts / "part-3.npz")["X"])
    np.testing.assert_array_equal(np.array(found, np.float32), expected)


def test_what_is_missing_or_failed_is_computed_when_resumed(reg_run: Path, parts: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", (parts / "part-2.npz").read_bytes()
    (parts / "part-2.npz").write_bytes(whole[:100])
    (parts / "notes.md").write_text("not data")
    with pytest.raises(RunError, match=r"^1 of 5 files have no output; --resume tries them again. The first: .*part-2"):
        compute(reg_run, parts, out)
    (parts / "notes.md").unlink()
    (parts / "part-2.npz").write_bytes(whole)
    (out / "part-4.npz.jsonl").unlink()
    kept = (out / "part-0.npz.jsonl").stat().st_mtime_ns
    said = compute(reg_run, parts, out, resume=True)
    assert said[0] == "predict: 5 files, 3 done before"
    assert (out / "part-0.npz.jsonl").stat().st_mtime_ns == kept
    check_predictions(reg_run, parts, out)


def test_files_that_are_not_read_are_named(reg_run: Path, parts: Path, tmp_path: Path) -> None:
    (parts / "notes.md").write_text("not data")
    assert compute(reg_run, parts, tmp_path / "out")[0] == 'not read: "notes.md"'


def test_what_would_mix_outputs_is_refused(reg_run: Path, parts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    compute(reg_run, parts, out)
    before = sorted(path.name for path in out.iterdir())

    def refused(error: type[LabelContrastError], message: str, *given: object, **how: object) -> None:
        with pytest.raises(error, match=message):
            compute(*given, **{"resume": True, **how})
        assert sorted(path.name for path in out.iterdir()) == before

    refused(RunError, "holds results of labelcontrast predict", reg_run, parts, out, resume=False)
    refused(RunError, "was made with --top left out; use --force", reg_run, parts, out, top=2)
    refused(RunError, "was made with labelcontrast predict; use --force", reg_run, parts, out, "embed")
    refused(RunError, "is the folder that is read", reg_run, parts, parts)
    refused(DataError, "expected a folder of files, one a shard", reg_run, parts / "part-0.npz", out)
    refused(DataError, "there is no data file", reg_run, reg_run / "checkpoints", out)
    (parts / "part-4.npz").unlink()
    refused(RunError, 'holds "part-4.npz.jsonl", of files that are gone', reg_run, parts, out)
    compute(reg_run, parts, out, force=True)
    check_predictions(reg_run, parts, out)


def test_files_are_measured_together(finished_runs: dict[str, Path], vectors: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    whole = np.load(vectors)
    for number, rows in enumerate(np.array_split(np.arange(len(whole["X"])), 3)):
        arrays = {"X": whole["X"][rows], "Y": whole["Y"][rows], "label_names": whole["label_names"]}
        np.savez(tmp_path / "in" / f"part-{number}.npz", **arrays)
    for name, run in finished_runs.items():
        out, progress = tmp_path / name, Progress(lambda _: None, describe=describe_shard, what="files")
        assert run_shards(tmp_path / "in", out, ShardRunner(run, "evaluate"), Options(), progress) == (3, 240)
        found, expected = measure_shards(run, out), evaluate(run, vectors)
        assert set(found) == set(expected)
        for metric, value in expected.items():
            exact = METRICS[metric].counted == "predictions" if metric in METRICS else True
            assert found[metric] == pytest.approx(value, abs=1e-12 if exact else 2e-3, nan_ok=True), metric


def test_the_rows_of_one_split_are_measured(tmp_path: Path) -> None:
    """As of a single file that tells the split of its rows; one of the files has none of them."""
    words, splits = 24 * ["red", "blue"], 8 * (3 * ["train"] + 2 * ["test"] + ["val"])
    pairs = enumerate(zip(words, splits, strict=True))
    rows = [{"text": f"{word} of {number}", "labels": [word], "split": split} for number, (word, split) in pairs]
    (tmp_path / "in").mkdir()
    for name, part in {"whole": rows, "in/one": rows[:30], "in/two": rows[30:33], "in/three": rows[33:]}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    values = {"data": str(tmp_path / "whole.jsonl"), "encoder": {"name": "hashed"}, "training": {"epochs": 1}}
    run_experiment(RunSettings.build(values), tmp_path / "run")
    command = ["evaluate", str(tmp_path / "run")]
    whole, files = (
        json.loads(CliRunner().invoke(app, [*command, str(tmp_path / where), "--json", *more]).stdout)
        for where, more in (("whole.jsonl", []), ("in", ["--out", str(tmp_path / "out"), "--shards"]))
    )
    assert (files["files"], files["examples"], files["split"]) == (3, whole["examples"], "test")
    assert files["metrics"]["micro_f1"] == whole["metrics"]["micro_f1"]
    with pytest.raises(DataError, match='no example is of the split "train"'):
        (tmp_path / "in" / "one.jsonl").unlink()
        (tmp_path / "in" / "three.jsonl").write_text(json.dumps(rows[3]) + "\n")
        (tmp_path / "in" / "two.jsonl").unlink()
        runner = ShardRunner(tmp_path / "run", "evaluate", split="train")
        progress = Progress(lambda _: None, describe=describe_shard)
        run_shards(tmp_path / "in", tmp_path / "other", runner, Options(), progress)


def test_a_file_that_no_longer_has_the_split_is_not_measured_as_it_was(reg_run, vectors: Path, tmp_path: Path) -> None:
    whole, out, place = np.load(vectors), tmp_path / "out", tmp_path / "in"
    place.mkdir()
    arrays = {"Y": whole["Y"], "label_names": whole["label_names"]}
    np.savez(place / "kept.npz", X=whole["X"], **arrays)
    np.savez(place / "changed.npz", X=whole["X"], **arrays)
    progress, runner = Progress(lambda _: None, describe=describe_shard), ShardRunner(reg_run, "evaluate")
    assert run_shards(place, out, runner, Options(), progress) == (2, 480)
    np.savez(place / "changed.npz", X=whole["X"], split=np.zeros(240, int), **arrays)
    for _ in range(2):
        assert run_shards(place, out, runner, Options(resume=True), progress) == (2, 240)
        assert [path.name for path in out.glob("*.safetensors")] == ["kept.npz.safetensors"]


def test_files_without_labels_are_not_measured(reg_run: Path, parts: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"^5 of 5 files have no output.*has no labels to evaluate against"):
        compute(reg_run, parts, tmp_path / "out", "evaluate")


@pytest.mark.slow
def test_a_command_that_is_killed_is_continued(reg_run: Path, parts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [sys.executable, "-m", "labelcontrast", "predict", str(reg_run), str(parts), "--out", str(out)]
    with subprocess.Popen([*words, "--jobs", "2"], stderr=subprocess.PIPE, start_new_session=True) as process:
        while not list(out.glob("*.jsonl")):
            time.sleep(0.01)
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
    done = subprocess.run([*words, "--resume"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{5 * EACH} examples in 5 files in {out}\n"
    check_predictions(reg_run, parts, out)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_process_of_a_cluster_that_is_killed_is_replaced(
    reg_run: Path, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="Ray is an extra")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    once = tmp_path / "killed"

    class Killed(ShardRunner):
        def __call__(self, shard):
            if shard.title == "part-1.npz" and not once.exists():
                once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(shard)

    out = tmp_path / "out"
    progress = Progress(lambda _: None, name="predict", describe=describe_shard, what="files")
    found = run_shards(parts, out, Killed(reg_run, "predict"), Options(ray="local", jobs=2), progress)
    assert once.exists()
    assert found == (5, 5 * EACH)
    check_predictions(reg_run, parts, out)
