"""The page of a run, its model card, and the page of a comparison are made from the files in their folders."""

import json
import shutil
from pathlib import Path

import pytest

from labelcontrast.errors import RunError
from labelcontrast.lab.comparison_report import flat_measures, hierarchy_metrics, summarise_comparison, write_comparison
from labelcontrast.metrics.measures import Outputs
from labelcontrast.run.folder import RunResult
from labelcontrast.run.report import read_curves, retrieval_groups, summarise_hierarchy, summarise_run, write_report

LEVEL = {"nodes": 2, "micro_f1": 0.5, "macro_f1": 0.25, "accuracy": None}
PART = {"hierarchical_f1": 0.5, "violations": 0.0, "levels": [LEVEL, LEVEL]}
FOUND = {"source": "hierarchy in a.json", "val": PART, "test": PART}


def test_every_measure_that_a_comparison_shows_is_measured() -> None:
    flat = flat_measures({"lca_f1": 0.1, "tree_distance_of_errors": 2.0, **PART})
    assert {measure.name for measure in hierarchy_metrics(2)} <= set(flat)
    assert "nodes" not in "".join(flat)
    assert flat["level_1_macro_f1"] == 0.25


def test_held_out_leaves_are_shown_if_there_are_some() -> None:
    assert retrieval_groups(FOUND) == {}
    held = {"held_out": ["cat"], "seen": [LEVEL], "unseen": [LEVEL, LEVEL], "unseen_leaves": LEVEL}
    assert [len(levels) for levels in retrieval_groups({**FOUND, **held}).values()] == [1, 2, 1]
    summary = summarise_hierarchy({**FOUND, **held}, [])
    assert (summary.held_out, summary.levels, summary.source) == (["cat"], [LEVEL, LEVEL], "hierarchy in a.json")


Runs = dict[str, Path]


def test_a_run_is_summarised_from_its_files(finished_runs: Runs) -> None:
    folder = finished_runs["reg"]
    summary = summarise_run(folder, RunResult.load(folder))
    result = json.loads((folder / "metrics.json").read_text())
    assert summary.title == "reg on vectors.npz"
    assert summary.metrics == result["metrics"]
    assert len(summary.per_label) == 5
    assert summary.embedding is not None
    assert len(summary.embedding.coordinates) == len(summary.embedding.labels) == result["examples"]["test"]
    assert summary.duration == pytest.approx(sum(result["seconds"].values()))
    epochs, scores = read_curves(folder)["validation mAP"]
    assert epochs == [1, 2, 3, 4]
    assert max(scores) == result["validation_score"]


def test_a_run_without_a_scatter_plot_still_has_a_page(finished_runs: Runs, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_runs["bce"], tmp_path / "run")
    for name in ("map.json", "manifest.json"):  # as in a run of an earlier version
        (folder / name).unlink()
    assert summarise_run(folder, RunResult.load(folder)).embedding is None
    assert write_report(folder).read_text().startswith("<!doctype html>")


def test_the_page_shows_the_examples_of_the_folder_and_does_without(finished_runs: Runs, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_runs["reg"], tmp_path / "run")
    result, predictions = RunResult.load(folder), Outputs.load(folder / "test.safetensors")
    shown = summarise_run(folder, result).examples
    assert shown is not None
    assert shown.examples == result.examples["test"]
    assert shown.wrong == ((predictions.labels > 0) != predictions.predictions).any(axis=1).sum() > 0
    assert len(shown.mistakes) == min(24, shown.wrong)
    assert 'id="examples"' in write_report(folder).read_text()
    for name in ("examples.json", "manifest.json"):  # as in a run of an earlier version
        (folder / name).unlink()
    assert summarise_run(folder, result).examples is None
    assert 'id="examples"' not in write_report(folder).read_text()


def test_the_model_card_describes_the_model_and_its_weakest_labels(finished_runs: Runs) -> None:
    card = (finished_runs["bce"] / "README.md").read_text()
    result = json.loads((finished_runs["bce"] / "metrics.json").read_text())
    rows = json.loads((finished_runs["bce"] / "per_label.json").read_text())
    assert card.startswith("# bce on vectors.npz\n")
    assert f"{100 * result['metrics']['test']['micro_f1']:.2f}" in card
    assert min(rows, key=lambda row: row["f1"])["label"] in card.split("Weakest")[1]
    assert "\n\n\n" not in card


def test_a_comparison_has_the_baseline_first_and_failures_in_their_place(finished_runs: Runs, tmp_path: Path) -> None:
    run = json.loads((finished_runs["bce"] / "metrics.json").read_text())
    shutil.copytree(finished_runs["bce"], tmp_path / "runs" / "bce-seed0")
    results = {
        "data": "vectors.npz",
        "settings": {},
        "baseline": {"name": "linear SVM", "metrics": run["metrics"]},
        "rows": {
            "bce": [{"seed": 0, "folder": "runs/bce-seed0", **run}, {"seed": 1, "error": "the loss became nan."}],
            "reg": [{"seed": 0, "error": "no."}],
        },
        "origin": {"command": "labelcontrast compare", "versions": run["versions"]},
    }
    (tmp_path / "results.json").write_text(json.dumps(results))
    baseline, bce, reg = summarise_comparison(tmp_path).losses
    assert (baseline.name, bce.name, reg.name) == ("linear SVM", "bce", "reg")
    assert bce.metrics["micro_f1"] == [run["metrics"]["test"]["micro_f1"]]
    assert bce.failures == ["seed 1: the loss became nan."]
    assert bce.runs == [("seed 0", "runs/bce-seed0/report.html")]
    assert reg.metrics["micro_f1"] == []
    page = write_comparison(tmp_path).read_text()
    assert "the loss became nan." in page


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is neither a finished run nor a comparison\.$"):
        write_report(tmp_path)
