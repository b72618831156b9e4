"""The page of a run, its model card, and the page of a comparison are made from the files in their folders."""

import json
import shutil
from pathlib import Path

import pytest

from labelcontrast.errors import RunError
from labelcontrast.lab.comparison_report import (
    ComparedLoss,
    flat_measures,
    hierarchy_metrics,
    recommend,
    summarise_comparison,
    write_comparison,
)
from labelcontrast.metrics.measures import Outputs
from labelcontrast.metrics.registry import METRICS
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


def test_the_map_and_the_mistaken_labels_are_those_of_the_folder(finished_runs: Runs) -> None:
    folder = finished_runs["reg"]
    summary, outputs = summarise_run(folder, RunResult.load(folder)), Outputs.load(folder / "test.safetensors")
    names = [row["label"] for row in summary.per_label]
    scatter = json.loads((folder / "map.json").read_text())
    assert summary.embedding is not None
    for title, name, labels in zip(summary.embedding.titles, scatter["titles"], scatter["labels"], strict=True):
        assert title == f"{name}\n{', '.join(labels) or 'no label'}"
    assert {one.label for one in summary.mistaken} <= set(names)
    errors = [one.wrong + one.missed for one in summary.mistaken]
    assert errors == sorted(errors, reverse=True)
    for one in summary.mistaken:
        column = names.index(one.label)
        true, predicted = outputs.labels[:, column] > 0, outputs.predictions[:, column] > 0
        counts = ((true & predicted).sum(), (~true & predicted).sum(), (true & ~predicted).sum())
        assert (one.right, one.wrong, one.missed) == counts
        assert one.threshold == summary.per_label[column]["threshold"]
    assert sum(errors) == ((outputs.labels > 0) != (outputs.predictions > 0)).sum()


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


def advised(metrics: dict[str, tuple[list[float], bool | None]], **more: ComparedLoss) -> str:
    losses = [
        ComparedLoss(name=name, metrics={"macro_f1": values}, as_good={} if good is None else {"macro_f1": good})
        for name, (values, good) in metrics.items()
    ]
    return recommend([more.get(loss.name, loss) for loss in losses], [METRICS["macro_f1"], METRICS["micro_f1"]])


def test_the_advice_of_a_comparison_names_what_is_significant_and_what_was_not_tested() -> None:
    found = advised({"svm": ([0.3], None), "bce": ([0.4, 0.42], False), "reg": ([0.5, 0.52], True)})
    assert found == (
        "Choose reg: its macro-F1, in which a rare label counts as much as a frequent one, is the highest, 51.00 %, "
        "10.00 points above bce. Significantly worse: bce. Not tested: svm."
    )
    assert advised({"reg": ([0.5], True)}) == ""
    assert "With one run each, how much another seed" in advised({"bce": ([0.4], False), "reg": ([0.5], True)})
    assert "With one run" not in advised({"svm": ([0.6], True), "reg": ([0.5, 0.52], False)})


def test_the_advice_of_a_comparison_says_what_is_as_good_and_faster_and_who_leads_elsewhere() -> None:
    good = {"macro_f1": True, "micro_f1": False}
    best = ComparedLoss(
        name="reg", metrics={"macro_f1": [0.5, 0.5], "micro_f1": [0.6, 0.6]}, seconds=[50.0], as_good=good
    )
    other = ComparedLoss(
        name="bce",
        metrics={"macro_f1": [0.49, 0.49], "micro_f1": [0.7, 0.7]},
        seconds=[30.0],
        as_good={"macro_f1": True, "micro_f1": True},
        interval={"macro_f1": [-0.03, 0.01]},
    )
    found = advised({"bce": ([], None), "reg": ([], None)}, bce=other, reg=best)
    assert found.endswith(
        "Not significantly worse: bce (-1.00 to 3.00 points). Where time counts, take bce: 30 s a run instead of 50. "
        "By micro-F1, bce is ahead, significantly: 70.00 % against 60.00 %."
    )
