"""What a verb that uses a model writes is whole or not there."""

import io
from pathlib import Path

import pytest

from labelcontrast.evaluation.metrics.measures import DETAILS
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
