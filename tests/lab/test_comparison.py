"""A comparison: one table, nothing done twice, failures shown, another protocol refused.

The demo: the main job on the built-in set, as a newcomer sees it.
"""

import json
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labelcontrast.data import digits
from labelcontrast.errors import ConfigError, RunError
from labelcontrast.lab import comparison
from labelcontrast.lab import comparison as demo
from labelcontrast.lab.comparison import Options, plan_comparison, run_comparison
from labelcontrast.lab.comparison_report import summarise_comparison, write_comparison
from labelcontrast.lab.workers import run_trials
from labelcontrast.metrics.measures import Outputs, compute_metrics
from labelcontrast.metrics.registry import METRICS
from labelcontrast.reports.tables import as_text
from labelcontrast.run.fitting import Callbacks
from labelcontrast.settings import LossSettings, RunSettings, parse_loss


@pytest.fixture
def settings(vectors: Path) -> RunSettings:
    return RunSettings.build({"data": str(vectors), "training": {"epochs": 2, "batch_size": 64}})


def test_every_loss_with_every_seed_seed_by_seed(tmp_path: Path) -> None:
    losses = [LossSettings(name="bce"), LossSettings(name="reg", alpha=1), parse_loss("zlpr+0.5*reg:alpha=1")]
    prints = {"data": "abc", "encoder": None}
    trials = plan_comparison(RunSettings(data="a.csv"), losses, 2, tmp_path, prints)
    assert [trial.title for trial in trials[2:4]] == ["zlpr+0.5*reg alpha=1, seed 0", "bce, seed 1"]
    assert [trial.folder.relative_to(tmp_path).as_posix() for trial in trials[:3]] == [
        "runs/bce-seed0",
        "runs/reg-alpha-1-seed0",
        "runs/zlpr-0.5-reg-alpha-1-seed0",
    ]
    assert len({trial.folder for trial in trials}) == len({trial.key for trial in trials}) == 6
    assert trials[1].settings.loss.parameters == {"alpha": 1}
    other = plan_comparison(RunSettings(data="b.csv"), losses, 2, tmp_path, {**prints, "data": "other"})
    assert not {trial.key for trial in other} & {trial.key for trial in trials}


def test_what_is_done_is_not_done_again(settings: RunSettings, tmp_path: Path) -> None:
    losses = [LossSettings(name="bce"), LossSettings(name="reg")]
    table = run_comparison(settings, losses, tmp_path / "out", Options(seeds=1))
    assert [row[0].text for row in table.rows] == ["linear SVM", "bce", "reg"]
    assert (tmp_path / "out" / "table.md").read_text().count("\n") == 5
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("metrics.json")}
    assert len(before) == 2
    kept = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.safetensors"))
    assert [str(path) for path in kept] == [
        "baseline.safetensors",
        "runs/bce-seed0/test.safetensors",
        "runs/reg-seed0/test.safetensors",
    ]
    heard: list[str] = []
    more = run_comparison(
        settings, losses, tmp_path / "out", Options(seeds=2, resume=True), listeners=Callbacks(on_message=heard.append)
    )
    assert heard.count("done before") == 2
    assert all(path.stat().st_mtime_ns == before[path] for path in before)
    assert "±" in as_text(more)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [run["seed"] for run in results["rows"]["reg"]] == [0, 1]


def test_what_is_bold_is_what_was_tested(settings: RunSettings, tmp_path: Path) -> None:
    losses = [LossSettings(name="bce"), LossSettings(name="reg"), LossSettings(name="zlpr")]
    table = run_comparison(settings, losses, tmp_path / "out", Options(seeds=2))
    tested = json.loads((tmp_path / "out" / "results.json").read_text())["significance"]
    assert set(tested) == {"linear SVM", "bce", "reg", "zlpr"}
    for row in table.rows:
        marked = dict(zip(METRICS, [cell.best for cell in row[1:]], strict=False))
        assert {name: marked[name] for name in METRICS} == {
            name: tested[row[0].text][name]["as_good"] for name in METRICS
        }
    assert any(row[1].best for row in table.rows)
    assert not all(row[1].best for row in table.rows)
    page = tmp_path / "out" / "report.html"
    write_comparison(tmp_path / "out")
    assert "not significantly worse" in page.read_text()


def test_every_fold_is_tested_on_by_every_loss_and_by_the_baseline(settings: RunSettings, tmp_path: Path) -> None:
    heard: list[str] = []
    settings = settings.model_copy(update={"folds": 3, "seed": 5})
    listeners = Callbacks(on_message=heard.append)
    table = run_comparison(settings, [LossSettings(name="bce")], tmp_path, Options(seeds=3), listeners=listeners)
    assert any(sentence.startswith("test is fold 0 of 3") for sentence in heard)
    assert "[3/3] bce, seed 2, fold 2" in heard
    results = json.loads((tmp_path / "results.json").read_text())
    assert [run["fold"] for run in results["rows"]["bce"]] == [0, 1, 2]
    assert [row[-2].text for row in table.rows] == ["3", "3"]
    kept = [f"baseline{fold}.safetensors" for fold in ("", "-fold1", "-fold2")]
    for fold, name in enumerate(kept):
        one, other = Outputs.load(tmp_path / name), Outputs.load(tmp_path / f"runs/bce-seed{fold}/test.safetensors")
        np.testing.assert_array_equal(one.labels, other.labels)
        measured = results["baseline"]["folds"][fold]["metrics"]["test"]["micro_f1"]
        assert measured == pytest.approx(compute_metrics(one.labels, one.scores, one.predictions)["micro_f1"])
    assert sum(len(Outputs.load(tmp_path / name).labels) for name in kept) == 240
    micro = [fit["metrics"]["test"]["micro_f1"] for fit in results["baseline"]["folds"]]
    assert table.rows[0][1].text == f"{100 * np.mean(micro):.2f} ± {100 * np.std(micro, ddof=1):.2f}"
    assert "p_examples" in results["significance"]["linear SVM"]["micro_f1"] or table.rows[0][1].best
    assert "seed 2, fold 2" in (tmp_path / "report.html").read_text()


def test_the_one_fold_that_is_named_is_that_of_the_baseline_too(settings: RunSettings, tmp_path: Path) -> None:
    settings = settings.model_copy(update={"folds": 3, "fold": 2})
    run_comparison(settings, [LossSettings(name="bce")], tmp_path, Options(seeds=2))
    results = json.loads((tmp_path / "results.json").read_text())
    assert [run["fold"] for run in results["rows"]["bce"]] == [2, 2]
    labels = [
        Outputs.load(tmp_path / name).labels for name in ("baseline.safetensors", "runs/bce-seed1/test.safetensors")
    ]
    np.testing.assert_array_equal(*labels)
    assert "metrics" in results["baseline"]


def test_what_is_measured_over_a_hierarchy_is_a_table_too(living: Path, tmp_path: Path) -> None:
    hierarchy = {"closure": True, "consistency": "max"}
    values = {"data": str(living), "training": {"epochs": 1, "batch_size": 64}, "hierarchy": hierarchy}
    losses = [LossSettings(name="bce"), LossSettings(name="himulcon")]
    run_comparison(RunSettings.build(values), losses, tmp_path, Options(seeds=1))
    summary = summarise_comparison(tmp_path)
    measures, table = summary.over_hierarchy, summary.hierarchy_table
    assert table is not None
    assert [row[0].text for row in table.rows] == ["linear SVM", "bce", "himulcon"]
    assert table.header[-2:] == ("macro-F1, level 1", "accuracy, level 1")
    assert all(row[4].text == "0.00" for row in table.rows)
    results = json.loads((tmp_path / "results.json").read_text())
    tested = {measure.name for measure in measures} - {"violations", "tree_distance_of_errors"}
    assert tested <= set(results["significance"]["linear SVM"])
    run = results["rows"]["himulcon"][0]
    assert table.rows[2][3].text == f"{run['hierarchy']['test']['tree_distance_of_errors']:.2f}"
    assert 'id="over-hierarchy"' in write_comparison(tmp_path).read_text()


def test_a_failure_is_shown_and_the_others_go_on(settings: RunSettings, tmp_path: Path) -> None:
    losses = [LossSettings(name="proto", temperature=1e-9), LossSettings(name="bce")]
    table = run_comparison(settings, losses, tmp_path / "out", Options(seeds=1, baseline=False))
    assert [row[-2].text for row in table.rows] == ["0 of 1", "1"]
    run = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]["proto temperature=1e-09"][0]
    assert "temperature must be" in run["error"]


def test_another_protocol_is_refused_and_force_starts_anew(settings: RunSettings, tmp_path: Path) -> None:
    losses, out = [LossSettings(name="bce")], tmp_path / "out"
    run_comparison(settings, losses, out, Options(seeds=1, baseline=False))
    with pytest.raises(RunError, match="holds a comparison; go on with --resume"):
        run_comparison(settings, losses, out, Options(seeds=1))
    other = settings.model_copy(update={"split_seed": 1})
    with pytest.raises(ConfigError, match=r"has other settings than these; a comparison has one protocol\.$"):
        run_comparison(other, losses, out, Options(seeds=1, resume=True))
    run_comparison(other, losses, out, Options(seeds=1, baseline=False, force=True))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    with pytest.raises(RunError, match="is not empty and is not a comparison"):
        run_comparison(settings, losses, tmp_path / "mine", Options(force=True))


def test_what_failed_is_tried_again_and_what_was_removed_too(settings: RunSettings, tmp_path: Path) -> None:
    losses, out = [LossSettings(name="bce")], tmp_path / "out"
    once = Options(seeds=1, baseline=False)
    run_comparison(settings, losses, out, once)
    record = next((out / "trials").glob("*.json"))
    shutil.rmtree(out / "runs" / "bce-seed0")
    run_comparison(settings, losses, out, replace(once, resume=True))
    assert (out / "runs" / "bce-seed0" / "metrics.json").exists()
    record.write_text(json.dumps({"title": "bce", "error": "the disk was full.", "seconds": 0}))
    table = run_comparison(settings, losses, out, replace(once, resume=True))
    assert table.rows[0][-2].text == "1"


def test_losses_that_are_the_same_run_once(settings: RunSettings, tmp_path: Path) -> None:
    heard: list[str] = []
    losses = [LossSettings(name="reg"), LossSettings(name="reg", temperature=0.1)]
    options = Options(seeds=1, baseline=False)
    table = run_comparison(settings, losses, tmp_path / "out", options, listeners=Callbacks(on_message=heard.append))
    assert [row[0].text for row in table.rows] == ["reg", "reg temperature=0.1"]
    assert [cell.text for cell in table.rows[0][1:]] == [cell.text for cell in table.rows[1][1:]]
    assert "[1/1] reg, seed 0" in heard
    assert [path.name for path in (tmp_path / "out" / "runs").iterdir()] == ["reg-seed0"]


def test_data_that_have_changed_since_are_refused(settings: RunSettings, vectors: Path, tmp_path: Path) -> None:
    data = tmp_path / "mine.npz"
    shutil.copy(vectors, data)
    settings = settings.model_copy(update={"data": str(data)})
    losses, out = [LossSettings(name="bce")], tmp_path / "out"
    run_comparison(settings, losses, out, Options(seeds=1, baseline=False))
    with np.load(vectors) as arrays:
        np.savez(data, **{**arrays, "X": arrays["X"] + 1})
    with pytest.raises(
        ConfigError, match=r"^the data have changed since \S+ was begun; a comparison has one protocol\.$"
    ):
        run_comparison(settings, losses, out, Options(seeds=1, resume=True))


def test_several_processes_share_the_runs_and_the_table_is_written_here(
    settings: RunSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    asked: list[int] = []

    def in_this_process(trials, store, perform, *, jobs, tell) -> None:
        asked.append(jobs)
        assert perform.listeners is None
        run_trials(trials, store, pickle.loads(pickle.dumps(perform)), jobs=1, tell=tell)

    monkeypatch.setattr(comparison, "run_at", lambda address: in_this_process)
    losses = [LossSettings(name="bce"), LossSettings(name="proto", temperature=1e-9)]
    options = Options(seeds=1, baseline=False, jobs=2)
    table = run_comparison(settings, losses, tmp_path / "out", options, listeners=Callbacks(on_message=heard.append))
    assert asked == [2]
    assert [row[-2].text for row in table.rows] == ["1", "0 of 1"]
    assert heard[-3:-1] == ["[1/2] bce, seed 0", "[2/2] proto temperature=1e-09, seed 0"]
    assert heard[-1].startswith("proto temperature=1e-09, seed 0 failed: temperature must be")
    assert "proto temperature=1e-09" in (tmp_path / "out" / "report.html").read_text()


def test_it_compares_three_losses_and_keeps_the_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "SIZES", {"train": 96, "val": 40, "test": 40})
    monkeypatch.setitem(demo.SETTINGS, "training", {"epochs": 1})
    table = demo.run_demo(tmp_path, listeners=Callbacks())
    assert [row[0].text for row in table.rows] == list(demo.LOSSES)
    assert len(list(tmp_path.rglob("model.safetensors"))) == 3
    with pytest.raises(RunError, match="holds a comparison"):
        demo.run_demo(tmp_path, listeners=Callbacks())


@pytest.mark.slow
def test_the_command_learns_and_ends_with_the_page(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "labelcontrast", "demo", "--out", "demo"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "demo/comparison/report.html" in done.stdout
    rows = json.loads((tmp_path / "demo" / "comparison" / "results.json").read_text())["rows"]
    for loss in demo.LOSSES:
        metrics = rows[loss][0]["metrics"]["test"]
        assert metrics["micro_f1"] > 0.9, loss
        assert metrics["macro_f1"] > 0.7, loss
