"""What a user might use instead: every rival scores, all are evaluated alike, and the page shows the results."""

import argparse
import json
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from labelcontrast.files import read_json

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def rivals() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))
    import rivals

    yield rivals
    sys.path.remove(str(BENCHMARKS))


def write_set(root: Path, kind: str) -> str:
    """Write a set with a label that each input shows, and one that no training example has; return its name."""
    random, folder = np.random.default_rng(0), root / "seen"
    folder.mkdir()
    bright = random.random(120) < 0.4
    if kind == "vector":
        (root / "tabular").mkdir()
        labels = np.stack([bright, ~bright], axis=1)
        features = np.where(labels, 2.0, 0.0) + random.normal(size=(120, 2))
        np.savez(root / "tabular" / "emotions.npz", X=features.astype(np.float32), Y=labels.astype(np.uint8))
        return "emotions"
    for split, rows in {"train": range(80), "val": range(80, 100), "test": range(100, 120)}.items():
        lines = []
        for row in rows:
            line = {"labels": (["bright"] if bright[row] else ["dark"]) + (["late"] if row == 110 else [])}
            if kind == "text":
                line["text"] = f"{'sun' if bright[row] else 'moon'} word{row % 7}"
            else:
                line["image"] = f"{row}.png"
                pixels = random.integers(0, 100, (16, 16, 3)) + (150 if bright[row] else 0)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{row}.png")
            lines.append(json.dumps(line) + "\n")
        (folder / f"{split}.jsonl").write_text("".join(lines))
    return "seen"


HERE = {
    "text": ["tfidf_svm", "tfidf_svm_plain", "tfidf_logistic"],
    "vector": ["svm", "logistic_regression", "classifier_chain", "random_forest", "extra_trees"],
    "image": ["histograms_trees"],
}
"""Rivals whose packages this environment has."""


@pytest.mark.parametrize("kind", HERE)
def test_a_rival_is_run_once_and_judged_on_the_splits_of_labelcontrast(
    kind: str, rivals: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rivals, "RESULTS", tmp_path / "results")
    (tmp_path / "cache" / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "cache" / "venv" / "bin" / "python").symlink_to(sys.executable)
    name, names = write_set(tmp_path, kind), HERE[kind]
    wanted = argparse.Namespace(classes=["classical"], rivals=names, seeds=1, retry=False)
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    rivals.run_set(name, tmp_path, tmp_path / "cache", wanted)
    assert capsys.readouterr().out.count(name) == len(names)
    for rival in names:
        found = read_json(tmp_path / "results" / name / f"{rival}-0.json")
        assert found["metrics"]["micro_f1"] > 0.8, (rival, found)
        assert found["metrics"] == {name: found["by rule"][rule][name] for name, rule in found["rules"].items()}
        assert 0.02 < found["peak GiB"] < 2
        assert found["processor seconds"] > 0
        assert set(found["versions"]) == set(rivals.COMPETITORS[rival].packages)
    if kind != "vector":
        with np.load(tmp_path / "cache" / "scores" / name / f"{names[0]}-0.npz") as scores:
            assert (scores["test"][:, 2] == 0).all()  # the label without a training example
    rivals.run_set(name, tmp_path, tmp_path / "cache", wanted)
    assert capsys.readouterr().out == ""
    table = rivals.table(rivals.read_results())
    assert all(f"\n| {rivals.COMPETITORS[rival].title} | " in table for rival in names)


def test_a_rival_that_fails_is_recorded_with_one_line(
    rivals: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rivals, "RESULTS", tmp_path / "results")
    (tmp_path / "cache" / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "cache" / "venv" / "bin" / "python").symlink_to(sys.executable)
    name = write_set(tmp_path, "text")
    wanted = argparse.Namespace(classes=["classical"], rivals=["fasttext"], seeds=1, retry=False)
    rivals.run_set(name, tmp_path, tmp_path / "cache", wanted)
    found = read_json(tmp_path / "results" / name / "fasttext-0.json")
    assert found["error"] == "ModuleNotFoundError: No module named 'fasttext'"
    assert "- fastText, one against all, seed 0: ModuleNotFoundError" in rivals.table(rivals.read_results())


def test_the_rule_is_chosen_for_each_metric_on_validation_alone(rivals: ModuleType) -> None:
    random = np.random.default_rng(0)
    labels = (random.random((600, 4)) < [0.5, 0.5, 0.1, 0.1]).astype(float)
    scores = np.clip(0.2 * labels + [0.6, 0.1, 0.3, 0.0] + random.normal(0, 0.05, (600, 4)), 0, 1)  # own thresholds
    truth = {"val": labels[:300], "test": labels[300:]}
    found = rivals.measure(truth, {"val": scores[:300], "test": scores[300:]})
    assert set(found["rules"].values()) <= {"per_label", "global"}
    assert found["rules"]["micro_f1"] == found["rules"]["macro_f1"] == "per_label"
    assert found["metrics"]["micro_f1"] > found["by rule"]["global"]["micro_f1"] + 0.1
    wrong = rivals.measure({**truth, "test": 1 - labels[300:]}, {"val": scores[:300], "test": scores[300:]})
    assert wrong["rules"] == found["rules"]
    one = rivals.measure(
        {"val": labels[:300, :1], "test": labels[300:, :1]}, {"val": scores[:300, :1], "test": scores[300:, :1]}
    )
    assert one["by rule"]["global"] == one["by rule"]["per_label"]


def test_metrics_are_computed_again_from_the_scores(
    rivals: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rivals, "RESULTS", tmp_path / "results")
    name = write_set(tmp_path, "text")
    target = tmp_path / "results" / name / "tfidf_svm-0.json"
    target.parent.mkdir(parents=True)
    target.write_text(json.dumps({"set": name, "kind": "text", "rival": "tfidf_svm", "seed": 0, "peak GiB": 0.1}))
    truth = {split: rivals.truth_of(rivals.load_splits(tmp_path / name, seed=0), split) for split in ("val", "test")}
    scores = tmp_path / "cache" / "scores" / name / "tfidf_svm-0.npz"
    scores.parent.mkdir(parents=True)
    np.savez(scores, **{split: 0.1 + 0.8 * labels for split, labels in truth.items()})
    rivals.measure_again(tmp_path, tmp_path / "cache")
    found = read_json(target)
    assert found["metrics"]["micro_f1"] == 1
    assert found["peak GiB"] == 0.1


def test_lines_are_those_of_a_function_and_its_helpers(rivals: ModuleType) -> None:
    lines = {name: rival.lines for name, rival in rivals.RIVALS.items()}
    assert lines["tfidf_svm_plain"] == 8
    assert lines["tfidf_svm"] > lines["tfidf_svm_plain"] + 10


def test_the_page_is_that_of_the_results(rivals: ModuleType) -> None:
    assert rivals.TABLE.read_text() == rivals.table(rivals.read_results())
    assert rivals.read_results()


def test_data_are_written_in_plain_types(rivals: ModuleType, tmp_path: Path) -> None:
    name = write_set(tmp_path, "text")
    path, share = rivals.data_of(f"{name}@40", tmp_path)
    splits = rivals.load_splits(path, seed=0, train_fraction=share)
    assert len(splits.train) == 40
    with rivals.export(splits, tmp_path / "data.pickle", tmp_path).open("rb") as file:
        written = pickle.load(file)
    assert [type(one) for one in written["inputs"]["train"]] == [str] * 40
    assert written["labels"]["test"].shape == (20, 3)
