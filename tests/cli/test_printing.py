"""What the verbs print: descriptions, metrics, progress and ranks; and files that are whole or not there."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from labelcontrast.cli import output
from labelcontrast.cli.printing import (
    metrics_table,
    print_description,
    print_evaluation,
    print_training,
    write_predictions,
)
from labelcontrast.cli.trial_printing import print_ranks
from labelcontrast.experiment import run_experiment
from labelcontrast.files import read_json, write_json
from labelcontrast.metrics.registry import DETAILS
from labelcontrast.reports.tables import NOTHING, as_text, percent
from labelcontrast.run.inputs import read_splits
from labelcontrast.settings import RunSettings


def test_metrics_are_printed_in_percent() -> None:
    names = ("micro_f1", "macro_f1", "sample_f1", "hamming_loss", "map_macro", "map_micro", "lrap")
    text = as_text(metrics_table({"test": {**dict.fromkeys(names, 0.5), "map_macro": None}}))
    header, row = text.splitlines()
    assert header.split()[0] == "%"
    assert row.split() == ["test", "50.00", "50.00", "50.00", "50.00", NOTHING, "50.00", "50.00"]


def test_a_hierarchy_is_described(living: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_description(RunSettings.build({"data": str(living)}), None)
    printed = capsys.readouterr().out.partition("\nHierarchy\n")[2].splitlines()
    assert printed[0].startswith(
        "  hierarchy in hierarchy.json: 7 nodes on 2 levels (2, 5), 5 of them leaves; 1 label on"
    )
    splits = read_splits(RunSettings.build({"data": str(living)}))
    rows = [{*own} for own in splits.train.label_sets]
    below = sum(bool(own - {"animal"}) for own in rows)
    assert f"  level 0: 2 nodes, 0 of them leaves, 1 label; {len(rows)} of {len(rows)} training examples" in printed
    assert f"  level 1: 5 nodes, 5 of them leaves, 5 labels; {below} of {len(rows)} training examples" in printed
    paths = f"{sum(map(len, rows)) / len(rows):.2f} paths each, at most 2"
    assert f"  training examples: {paths}; {len(rows) - below} have one that ends above a leaf" in printed
    assert any(line.startswith(f"  {below} lack a parent of one of their labels;") for line in printed)


def test_a_hierarchy_that_does_not_fit_does_not_stop_the_description(
    living: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "living.npz").write_bytes(living.read_bytes())
    (tmp_path / "hierarchy.json").write_text('{"cat": null}')
    print_description(RunSettings.build({"data": str(tmp_path / "living.npz")}), None)
    printed = capsys.readouterr().out
    assert "5 labels" in printed or "6 labels" in printed
    assert f"is not a node of {tmp_path / 'hierarchy.json'}" in printed.partition("\nHierarchy: ")[2]


def test_a_description_is_printed_and_its_histogram_drawn(
    vectors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_description(RunSettings.build({"data": str(vectors)}), tmp_path / "labels.png")
    assert "240 rows of 8 features; 5 labels" in capsys.readouterr().out
    assert (tmp_path / "labels.png").read_bytes().startswith(b"\x89PNG")


def test_training_prints_progress_to_standard_error_and_results_to_standard_output(
    vectors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training = {"epochs": 2, "batch_size": 64}
    settings = RunSettings.build({"data": str(vectors), "loss": {"name": "bce"}, "training": training})
    print_training(settings, tmp_path / "run", resume=False, force=False)
    out, err = capsys.readouterr()
    assert "epoch 1/2   loss" in err
    assert "168 train, 24 val, 48 test; 5 labels" in err
    assert (
        out.splitlines()[-1]
        == f"epoch 2 kept; model in {tmp_path / 'run'}, report in {tmp_path / 'run' / 'report.html'}"
    )


def test_ranks_are_printed_and_the_page_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = []
    for number, values in enumerate([(0.1, 0.3, 0.2), (0.2, 0.6, 0.5)]):
        folders.append(tmp_path / str(number))
        metrics = [
            {"metrics": {"test": dict.fromkeys(("micro_f1", "macro_f1", "map_macro"), value)}} for value in values
        ]
        folders[-1].mkdir()
        write_json(
            folders[-1] / "results.json",
            {"rows": {n: [m] for n, m in zip(("bce", "reg", "msc"), metrics, strict=True)}},
        )
    print_ranks(folders, tmp_path / "ranks.html")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:4]] == [
        [n, r, r, r] for n, r in [("reg", "1.00"), ("msc", "2.00"), ("bce", "3.00")]
    ]
    assert lines[-1] == f"critical difference 2.34; report in {tmp_path / 'ranks.html'}"
    assert (tmp_path / "ranks.html").exists()
    print_ranks(folders, tmp_path / "ranks.html", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["micro_f1"]["ranks"] == {"reg": 1.0, "msc": 2.0, "bce": 3.0}
    assert found["micro_f1"]["critical_difference"] == pytest.approx(2.34, abs=0.005)


def test_an_evaluation_shows_every_measure_and_last_the_short_table(
    finished_runs: dict[str, Path], vectors: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finished_runs["bce"]
    print_evaluation(folder, str(vectors), "test")
    lines = capsys.readouterr().out.splitlines()
    printed = read_json(folder / "metrics.json")["metrics"]["test"]
    shown = {line.split()[0]: line.split()[1] for line in lines[1:-3]}
    assert set(shown) == set(DETAILS)
    for name, value in shown.items():
        assert value == (f"{printed[name]:.2f}" if name == "coverage" else percent(printed[name])), name
    assert lines[-1].split()[:2] == ["test", f"{100 * printed['micro_f1']:.2f}"]


def test_predictions_to_a_file_are_whole_or_not_there(
    finished_runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a text, where vectors are expected\n"))
    with pytest.raises(Exception, match="trained on vector inputs"):
        write_predictions(finished_runs["bce"], "-", tmp_path / "out.jsonl", top=None)
    assert list(tmp_path.iterdir()) == []


def test_a_run_trained_on_a_share_of_the_labels_is_evaluated_on_those(
    vectors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"data": str(vectors), "loss": {"name": "bce"}, "label_fraction": 0.5, "training": {"epochs": 1}}
    result = run_experiment(RunSettings.build(values), tmp_path / "run")
    print_evaluation(tmp_path / "run", str(vectors), "test")
    assert capsys.readouterr().out.splitlines()[-1].split()[1] == percent(result["metrics"]["test"]["micro_f1"])
    (tmp_path / "test.npz").write_bytes(vectors.read_bytes())
    print_evaluation(tmp_path / "run", str(tmp_path / "test.npz"), "test")
    assert capsys.readouterr().err == "3 labels left out: the run was trained on a share of the labels\n"


def test_a_transferred_run_is_evaluated_on_the_test_split_of_its_target(
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


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("terminal", "verbosity", "seconds", "shown"),
    [
        (True, 0, 3.0, True),
        (True, 0, 1.0, False),
        (True, -1, 3.0, False),
        (False, 0, 3.0, False),
        (False, 1, 3.0, False),
    ],
)
def test_a_bar_with_the_time_left_is_shown_on_a_terminal_after_two_seconds(
    monkeypatch: pytest.MonkeyPatch, *, terminal: bool, verbosity: int, seconds: float, shown: bool
) -> None:
    stream, clock = Terminal() if terminal else io.StringIO(), iter([0.0, seconds, seconds, seconds, seconds])
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(output.time, "monotonic", lambda: next(clock))
    before = output.VERBOSITY.set(verbosity)
    with output.show_progress("embeddings", 400) as advance:
        advance(100)
        output.say("a sentence")
    output.VERBOSITY.reset(before)
    printed = stream.getvalue()
    assert ("embeddings  25 % |" in printed) == shown
    assert ("100 of 400, 00:09 left" in printed) == shown
    assert ("a sentence\n" in printed) == (verbosity >= 0)
    assert printed.endswith("embeddings: 3.0 s\n") == (verbosity > 0)
    if not shown:
        assert "\r" not in printed
