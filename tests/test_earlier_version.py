"""Folders written by the version before the house was rearranged (commit d231961) are read by this one.

They were made by these commands, on vectors.npz; checkpoints, features, figures and pages were left out afterwards:

    labelcontrast train vectors.npz --loss reg --epochs 2 --out run --set training.batch_size=32 \
        --set evaluation.calibration=temperature
    labelcontrast predict run vectors.npz --out run-predictions.jsonl
    labelcontrast compare vectors.npz --losses bce,reg:alpha=1 --seeds 2 --epochs 2 --out comparison \
        --set training.batch_size=32
    labelcontrast study alpha vectors.npz --seeds 1 --losses reg --out study --set training.batch_size=32 \
        --set training.epochs=1
"""

import csv
import json
import shutil
from contextlib import chdir
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labelcontrast.cli.verbs import app

EARLIER = Path(__file__).parent / "earlier_version"


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A copy of the folders that may be written to."""
    return Path(shutil.copytree(EARLIER, tmp_path / "earlier"))


def command(folder: Path, *arguments: str) -> str:
    """Run the command in a folder, in this process, and return what it printed."""
    with chdir(folder):
        done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done
    return done.stdout + done.stderr


def test_a_run_predicts_the_same_and_is_reported_and_evaluated(earlier: Path) -> None:
    printed, expected = command(earlier, "predict", "run", "vectors.npz"), earlier / "run-predictions.jsonl"
    rows = zip(printed.splitlines(), expected.read_text().splitlines(), strict=True)
    for row, before in ((json.loads(one), json.loads(other)) for one, other in rows):
        assert (row["id"], row["labels"]) == (before["id"], before["labels"])
        # another processor may round the last of six digits otherwise
        assert row["scores"] == pytest.approx(before["scores"], abs=1.5e-6)
    metrics = (earlier / "run" / "metrics.json").read_text()
    command(earlier, "report", "run")
    assert (earlier / "run" / "report.html").read_text().startswith("<!doctype html>")
    assert (earlier / "run" / "metrics.json").read_text() == metrics
    found = command(earlier, "evaluate", "run", "vectors.npz")
    assert f"{100 * json.loads(metrics)['metrics']['test']['micro_f1']:.2f}" in found


def test_a_finished_run_is_not_trained_again(earlier: Path) -> None:
    arguments = ["--loss", "reg", "--epochs", "2", "--set", "training.batch_size=32"]
    calibration = ["--set", "evaluation.calibration=temperature"]
    weights = (earlier / "run" / "model.safetensors").read_bytes()
    command(earlier, "train", "vectors.npz", *arguments, *calibration, "--out", "run", "--resume")
    assert (earlier / "run" / "model.safetensors").read_bytes() == weights
    assert not (earlier / "run" / "checkpoints").exists()


def test_a_comparison_is_resumed_without_running_a_trial(earlier: Path) -> None:
    before = json.loads((earlier / "comparison" / "results.json").read_text())
    grid = ["--losses", "bce,reg:alpha=1", "--seeds", "2", "--epochs", "2", "--set", "training.batch_size=32"]
    printed = command(earlier, "compare", "vectors.npz", *grid, "--out", "comparison", "--resume")
    assert printed.endswith("comparison: 4 trials, 4 done before\n")
    after = json.loads((earlier / "comparison" / "results.json").read_text())
    assert after["rows"] == before["rows"]
    assert after["baseline"] == before["baseline"]
    assert after["significance"] == before["significance"]


def rows_of(path: Path) -> list[dict[str, str]]:
    """Read a table in CSV."""
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_study_is_resumed_without_running_a_trial(earlier: Path) -> None:
    names = ("table.csv", "table.md", "significance.json")
    before = {name: (earlier / "study" / name).read_text() for name in names}
    trials = rows_of(earlier / "study" / "results.csv")
    changes = ["--set", "training.batch_size=32", "--set", "training.epochs=1"]
    changes += ["--set", "evaluation.threshold=global"]  # the default of that version
    grid = ["--seeds", "1", "--losses", "reg", *changes]
    command(earlier, "study", "alpha", "vectors.npz", *grid, "--out", "study", "--resume")
    assert {name: (earlier / "study" / name).read_text() for name in names} == before
    again = rows_of(earlier / "study" / "results.csv")
    assert len(again) == len(trials) == 5
    for one, found in zip(trials, again, strict=True):  # with the seconds that each trial took
        assert found.items() >= one.items()
        assert not any(found[name] for name in found.keys() - one.keys())  # quantities that are new
