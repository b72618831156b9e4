"""What a verb that uses a model writes is whole or not there."""

import io
from pathlib import Path

import numpy as np
import pytest

from labelcontrast.config.settings import RunSettings
from labelcontrast.evaluation.metrics.measures import DETAILS
from labelcontrast.experiment import run_experiment
from labelcontrast.files import read_json
from labelcontrast.reports.tables import percent
from labelcontrast.terminal.using import print_evaluation, write_predictions


def test_an_evaluation_shows_every_measure_and_last_the_short_table(
    finished_runs: dict[str, Path], vectors: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finished_runs["bce"]
    print_evaluation(folder, str(vectors), "test")
    lines = capsys.readouterr().out.splitlines()
    said = read_json(folder / "metrics.json")["metrics"]["test"]
    shown = {line.split()[0]: line.split()[1] for line in lines[1:-3]}
    assert set(shown) == set(DETAILS)
    for name, value in shown.items():
        assert value == (f"{said[name]:.2f}" if name == "coverage" else percent(said[name])), name
    assert lines[-1].split()[:2] == ["test", f"{100 * said['micro_f1']:.2f}"]


def test_predictions_to_a_file_are_whole_or_not_there(
    finished_runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a text, where vectors are expected\n"))
    with pytest.raises(Exception, match="trained on vector inputs"):
        write_predictions(finished_runs["bce"], "-", tmp_path / "out.jsonl", top=None)
    assert list(tmp_path.iterdir()) == []


def test_a_run_with_a_share_of_the_labels_is_measured_on_those(
    vectors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"data": str(vectors), "loss": {"name": "bce"}, "label_fraction": 0.5, "training": {"epochs": 1}}
    result = run_experiment(RunSettings.build(values), tmp_path / "run")
    print_evaluation(tmp_path / "run", str(vectors), "test")
    assert capsys.readouterr().out.splitlines()[-1].split()[1] == percent(result["metrics"]["test"]["micro_f1"])
    (tmp_path / "test.npz").write_bytes(vectors.read_bytes())
    print_evaluation(tmp_path / "run", str(tmp_path / "test.npz"), "test")
    assert capsys.readouterr().err == "3 labels left out: the run was trained on a share of the labels\n"


def test_a_transferred_run_is_measured_on_the_test_part_of_what_it_is_read_off_on(
    vectors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(vectors) as arrays:
        np.savez(tmp_path / "b.npz", X=arrays["X"][:150], Y=arrays["Y"][:150, 1:3])
    values = {"data": str(vectors), "loss": {"name": "bce"}, "transfer_to": str(tmp_path / "b.npz")}
    result = run_experiment(RunSettings.build({**values, "training": {"epochs": 1}}), tmp_path / "run")
    print_evaluation(tmp_path / "run", str(tmp_path / "b.npz"), "test")
    shown = capsys.readouterr().out.splitlines()[-1].split()
    assert shown[1] == percent(result["metrics"]["test"]["micro_f1"])
    assert shown[4] == percent(result["metrics"]["test"]["hamming_loss"])
