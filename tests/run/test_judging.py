"""A trained encoder is judged: by a probe, with the thresholds of the settings, and without either."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import average_precision_score, f1_score
from sklearn.neighbors import KNeighborsClassifier

from labelcontrast.config.settings import RunSettings
from labelcontrast.data.splitting.splits import load_splits
from labelcontrast.experiment import run_experiment
from labelcontrast.run.folder import load_model
from labelcontrast.run.prediction import compute_scores

Runs = dict[str, Path]


def build(vectors: Path, **values: object) -> RunSettings:
    training = {"epochs": 3, "batch_size": 32}
    return RunSettings.build({"data": str(vectors), "training": training, "loss": {"name": "reg"}, **values})


@pytest.mark.parametrize(
    ("rule", "calibration"), [("per_label", "none"), ("top_k", "temperature"), ("global", "isotonic")]
)
def test_thresholds_and_calibration_are_those_of_the_settings_and_of_the_kept_model(
    vectors: Path, tmp_path: Path, rule: str, calibration: str
) -> None:
    evaluation = {"threshold": rule, "top_k": 2, "empty": "best", "calibration": calibration}
    settings = build(vectors, train_fraction=0.5, evaluation=evaluation)
    said = run_experiment(settings, tmp_path / "run")
    model, splits = load_model(tmp_path / "run"), load_splits(vectors, seed=0, train_fraction=0.5)
    assert said["examples"]["train"] == len(splits.train) == 84
    predicted = model.thresholds.predict(compute_scores(model, splits.test))
    labels = model.vocabulary.encode(splits.test.label_sets or []).toarray()
    assert said["metrics"]["test"]["micro_f1"] == pytest.approx(f1_score(labels, predicted, average="micro"), abs=1e-12)
    assert model.thresholds.how == rule
    assert (model.calibration.method if model.calibration else "none") == calibration
    assert set(said["reliability"]) == {"as said"} | ({"calibrated"} if calibration != "none" else set())
    assert all(sum(diagram["count"]) == labels.size for diagram in said["reliability"].values())
    assert predicted.any(axis=1).all()
    assert set(predicted.sum(axis=1)) == {2} or rule != "top_k"
    assert (len(set(model.thresholds.values)) > 1) == (rule == "per_label")


@pytest.mark.parametrize(("probe", "heads"), [("paper", 3), ("released", 5)])
def test_a_published_probe_is_kept_as_it_was_measured(vectors: Path, tmp_path: Path, probe: str, heads: int) -> None:
    said = run_experiment(build(vectors, evaluation={"probe": probe}), tmp_path / "run")["metrics"]["test"]
    model, test = load_model(tmp_path / "run"), load_splits(vectors, seed=0).test
    assert len(model.classifier.weight) == heads
    scores = compute_scores(model, test)
    labels = model.vocabulary.encode(test.label_sets or []).toarray()
    assert said["map_macro"] == pytest.approx(average_precision_score(labels, scores, average="macro"), abs=1e-9)
    assert said["micro_f1"] == pytest.approx(
        f1_score(labels, scores > model.thresholds.values, average="micro"), abs=1e-12
    )
    assert said["map_macro"] > 0.75


def test_embeddings_are_judged_without_a_probe_too(vectors: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_experiment(build(vectors), folder)
    plain = run_experiment(build(vectors), folder, resume=True)["representation"]
    assert set(plain) == {"alignment", "uniformity", "uniformity_error", "effective_rank"}
    asked = build(vectors, evaluation={"neighbours": 7})
    found = run_experiment(asked, folder, resume=True)["representation"]
    assert {name: found[name] for name in plain} == plain
    splits = load_splits(vectors, seed=0)
    features = load_file(folder / "features.safetensors")
    labels = {name: splits.vocabulary.encode(part.label_sets or []).toarray() for name, part in splits.parts.items()}
    model = KNeighborsClassifier(n_neighbors=7, metric="cosine").fit(features["train"], labels["train"])
    scores = np.stack([one[:, 1] for one in model.predict_proba(features["test"])], axis=1)
    expected = average_precision_score(labels["test"], scores, average="macro")
    assert found["neighbours"]["map_macro"] == pytest.approx(expected, abs=0.01)
    assert set(found["purity"]) == set(splits.vocabulary.names)
    assert "mAP of nearest neighbours" in (folder / "report.html").read_text()


def test_a_published_probe_has_the_grid_of_the_settings(vectors: Path, tmp_path: Path) -> None:
    results = []
    for values in ({}, {"probe_rates": [1.0]}, {"probe_decays": [0.01]}, {"probe_batch_size": 64}):
        settings = build(vectors, evaluation={"probe": "paper", **values})
        results.append(run_experiment(settings, tmp_path / "run", resume=bool(results))["metrics"]["test"]["map_macro"])
    usual, *others = results
    assert usual not in others
