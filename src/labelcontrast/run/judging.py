"""What a trained encoder is worth: scores, thresholds, metrics, and what its embeddings look like."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from labelcontrast.config.settings import RunSettings
from labelcontrast.data.examples import Part
from labelcontrast.evaluation.embedding.neighbours import neighbour_scores, neighbourhood_purity
from labelcontrast.evaluation.embedding.representation import describe_representation
from labelcontrast.evaluation.metrics.counting import TrainingLabels
from labelcontrast.evaluation.metrics.measures import compute_metrics, per_label_table
from labelcontrast.evaluation.outputs import Outputs
from labelcontrast.evaluation.probes.averaged_heads import Classifier
from labelcontrast.evaluation.probes.choice import fit_probe
from labelcontrast.evaluation.thresholds.calibration import fit_calibration, reliability
from labelcontrast.evaluation.thresholds.choice import choose_thresholds
from labelcontrast.evaluation.thresholds.rules import Thresholds
from labelcontrast.reports.projection import project
from labelcontrast.run.folder import TrainedModel
from labelcontrast.run.learning import Learned
from labelcontrast.run.material import Material
from labelcontrast.run.prediction import probabilities


def read_off(
    settings: RunSettings, learned: Learned, labels: Mapping[Part, np.ndarray], features: Mapping[Part, np.ndarray]
) -> Classifier:
    """Take the linear head that was trained; or, on other data too, fit a linear probe on the frozen features."""
    if learned.classifier is not None and settings.transfer_to is None:
        return learned.classifier
    generator = torch.Generator().manual_seed(settings.seed)
    parts = features["train"], labels["train"], features["val"], labels["val"]
    return fit_probe(settings.evaluation.probe, *parts, generator=generator)


def judge(
    settings: RunSettings, material: Material, classifier: Classifier, features: Mapping[Part, np.ndarray]
) -> tuple[TrainedModel, Outputs, dict[str, Any]]:
    """Calibrate and choose thresholds on validation, measure validation and test, and keep what is said of the test."""
    labels, method = material.labels, settings.evaluation.calibration
    said = {name: probabilities(classifier, rows) for name, rows in features.items()}
    calibration = None if method == "none" else fit_calibration(labels["val"], said["val"], method=method)
    scores = said if calibration is None else {name: calibration.apply(score) for name, score in said.items()}
    thresholds = set_thresholds(settings, labels["val"], scores["val"])
    predictions = {name: thresholds.predict(score) for name, score in scores.items()}
    train = TrainingLabels(labels["train"].sum(0), len(labels["train"]))
    metrics = {
        name: compute_metrics(labels[name], scores[name], predictions[name], train=train) for name in ("val", "test")
    }
    table = per_label_table(
        material.splits.vocabulary.names,
        labels["test"],
        scores["test"],
        predictions["test"],
        train_counts=train.counts,
        thresholds=thresholds.values,
    )
    model = TrainedModel(material.encoder, classifier, material.splits.vocabulary, thresholds, calibration)
    outputs = Outputs(labels["test"], scores["test"], predictions["test"])
    believed = {"as said": said["test"]} | ({"calibrated": scores["test"]} if calibration else {})
    diagrams = {name: diagram(labels["test"], score) for name, score in believed.items()}
    return model, outputs, {"metrics": metrics, "per_label": [asdict(row) for row in table], "reliability": diagrams}


def diagram(labels: np.ndarray, scores: np.ndarray) -> dict[str, list[float]]:
    """Hold what is said of all pairs of an example and a label against what is true."""
    found = reliability(labels.ravel(), scores.ravel())
    return {"count": found.count.tolist(), "said": found.said.tolist(), "true": found.true.tolist()}


def set_thresholds(settings: RunSettings, labels: np.ndarray, scores: np.ndarray) -> Thresholds:
    """Choose the thresholds on validation, by the rule of the settings."""
    wanted = settings.evaluation
    return choose_thresholds(wanted.threshold, labels, scores, top_k=wanted.top_k, empty=wanted.empty)


def describe_embeddings(
    settings: RunSettings, material: Material, features: Mapping[Part, np.ndarray]
) -> dict[str, Any]:
    """Measure the test embeddings without a probe; and by nearest neighbours, where the settings ask for them."""
    labels = material.labels
    count = min(settings.evaluation.neighbours, len(labels["train"]), len(labels["test"]) - 1)
    found: dict[str, Any] = describe_representation(
        features["test"], labels["test"], generator=np.random.default_rng(settings.seed)
    )
    if count:
        scores = {
            name: neighbour_scores(features["train"], labels["train"], features[name], neighbours=count)
            for name in ("val", "test")
        }
        predictions = set_thresholds(settings, labels["val"], scores["val"]).predict(scores["test"])
        purity = neighbourhood_purity(features["test"], labels["test"], neighbours=count)
        found["neighbours"] = compute_metrics(labels["test"], scores["test"], predictions)
        found["purity"] = dict(zip(material.splits.vocabulary.names, purity.tolist(), strict=True))
    return found


def draw_map(settings: RunSettings, material: Material, features: np.ndarray) -> dict[str, Any]:
    """Project the test embeddings to the plane, each with its labels."""
    drawn = project(features, generator=np.random.default_rng(settings.seed), method=settings.evaluation.map)
    label_sets = material.splits.test.label_sets or []
    labels = [list(label_sets[index]) for index in drawn.chosen]
    return {"method": drawn.method, "points": drawn.coordinates.round(4).tolist(), "labels": labels}
