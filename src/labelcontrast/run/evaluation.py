"""Evaluation of a trained encoder: probe, scores, thresholds, metrics, and measures of its embeddings."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from labelcontrast.data.batches import Prepared
from labelcontrast.labels.tree import LabelTree
from labelcontrast.metrics.counting import TrainingLabels
from labelcontrast.metrics.measures import compute_metrics, per_label_table
from labelcontrast.metrics.neighbours import (
    neighbour_scores,
    neighbourhood_purity,
)
from labelcontrast.metrics.outputs import Outputs
from labelcontrast.metrics.representation import describe_representation
from labelcontrast.probes.calibration import calibration_errors, fit_calibration, reliability
from labelcontrast.probes.choice import fit_probe
from labelcontrast.probes.decoding import level_thresholds
from labelcontrast.probes.linear import Classifier
from labelcontrast.probes.thresholds import Thresholds, choose_thresholds
from labelcontrast.reports.projection import project
from labelcontrast.run.fitting import TrainResult
from labelcontrast.run.folder import TrainedModel
from labelcontrast.run.hierarchy_use import Decoder, StreamedHierarchy, measure_unseen
from labelcontrast.run.inputs import RunInputs
from labelcontrast.run.prediction import probabilities
from labelcontrast.settings import RunSettings


def probe_inputs(settings: RunSettings, learned: TrainResult, material: RunInputs) -> dict[str, Prepared]:
    """Return the parts whose features are asked for: train only where something is fitted or looked up there."""
    fitted = learned.classifier is None or settings.transfer_to is not None or settings.evaluation.neighbours
    return {name: part for name, part in material.prepared.items() if fitted or name != "train"}


def fit_classifier(
    settings: RunSettings, learned: TrainResult, material: RunInputs, features: Mapping[str, np.ndarray]
) -> Classifier:
    """Take the linear head that was trained; or, on other data too, fit a linear probe on the frozen features."""
    if learned.classifier is not None and settings.transfer_to is None:
        return learned.classifier
    generator, wanted = torch.Generator().manual_seed(settings.seed), settings.evaluation
    given = {
        "rates": wanted.probe_rates,
        "decays": wanted.probe_decays,
        "batch_size": wanted.probe_batch_size,
        "precision": wanted.probe_precision,
    }
    changes = {name: value for name, value in given.items() if value}
    parts = features["train"], material.truth("train"), features["val"], material.truth("val")
    return fit_probe(wanted.probe, *parts, generator=generator, changes=changes)


def evaluate_inputs(
    settings: RunSettings, material: RunInputs, classifier: Classifier, features: Mapping[str, np.ndarray]
) -> tuple[TrainedModel, Outputs, dict[str, Any]]:
    """Calibrate and choose thresholds on validation, measure validation and test, and keep what is said of the test."""
    labels, method = {name: material.truth(name) for name in ("val", "test")}, settings.evaluation.calibration
    said = {name: probabilities(classifier, features[name]) for name in labels}
    calibration = None if method == "none" else fit_calibration(labels["val"], said["val"], method=method)
    scores = said if calibration is None else {name: calibration.apply(score) for name, score in said.items()}
    decoder = None if material.data.tree is None else Decoder(material.data.tree, settings.hierarchy)
    scores = scores if decoder is None else {name: decoder.settle(score) for name, score in scores.items()}
    thresholds = set_thresholds(settings, labels["val"], scores["val"], material.data.tree)
    model = TrainedModel(material.encoder, classifier, material.splits.vocabulary, thresholds, calibration, decoder)
    predictions = {name: model.decide(score) for name, score in scores.items()}
    train = TrainingLabels.of(material.labels("train"))
    metrics = {name: compute_metrics(labels[name], scores[name], predictions[name], train=train) for name in labels}
    table = per_label_table(
        material.splits.vocabulary.names,
        labels["test"],
        scores["test"],
        predictions["test"],
        train_counts=train.counts,
        thresholds=thresholds.values,
    )
    outputs = Outputs(labels["test"], scores["test"], predictions["test"])
    believed = {"as said": said["test"]} | ({"calibrated": scores["test"]} if calibration else {})
    diagrams = {name: diagram(labels["test"], score) for name, score in believed.items()}
    found = {"metrics": metrics, "per_label": [asdict(row) for row in table], "reliability": diagrams}
    return model, outputs, found | _judge_hierarchy(material, predictions)


def _judge_hierarchy(material: RunInputs, predictions: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Measure validation and test over the hierarchy, and every node on the test, where there is one."""
    tree = material.data.tree
    if tree is None:
        return {}
    counted = {name: StreamedHierarchy(tree) for name in ("val", "test")}
    for name, one in counted.items():
        one.update(material.truth(name), predictions[name])
    measured = {name: one.measures() for name, one in counted.items()}
    return {"hierarchy": {"source": material.data.source, **measured}, "per_node": counted["test"].per_node()}


def diagram(labels: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """Hold what is said of all pairs of an example and a label against what is true; with the calibration errors."""
    found = reliability(labels.ravel(), scores.ravel())
    errors = {"error": found.error, "error_by_label": calibration_errors(labels, scores).tolist()}
    return {"count": found.count.tolist(), "said": found.said.tolist(), "true": found.true.tolist(), **errors}


def set_thresholds(settings: RunSettings, labels: np.ndarray, scores: np.ndarray, tree: LabelTree | None) -> Thresholds:
    """Choose the thresholds on validation, by the rule of the settings."""
    wanted = settings.evaluation
    if wanted.threshold == "per_level":
        assert tree is not None, "thresholds by level without a hierarchy are refused when the data are read"
        return replace(level_thresholds(labels, scores, tree.depths), empty=wanted.empty)
    return choose_thresholds(wanted.threshold, labels, scores, top_k=wanted.top_k, empty=wanted.empty)


def describe_embeddings(
    settings: RunSettings, material: RunInputs, features: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Measure the test embeddings without a probe; and by nearest neighbours, where the settings ask for them."""
    true, prepared = material.truth("test"), material.prepared
    count = min(settings.evaluation.neighbours, len(prepared["train"]), len(prepared["test"]) - 1)
    found: dict[str, Any] = describe_representation(
        features["test"], true, generator=np.random.default_rng(settings.seed)
    )
    if count:
        scores = {
            name: neighbour_scores(features["train"], material.truth("train"), features[name], neighbours=count)
            for name in ("val", "test")
        }
        thresholds = set_thresholds(settings, material.truth("val"), scores["val"], material.data.tree)
        purity = neighbourhood_purity(features["test"], true, neighbours=count)
        found["neighbours"] = compute_metrics(true, scores["test"], thresholds.predict(scores["test"]))
        found["purity"] = dict(zip(material.splits.vocabulary.names, purity.tolist(), strict=True))
    return found


def evaluate_unseen(settings: RunSettings, material: RunInputs, features: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Measure the embeddings of seen and of unseen leaves, where some are held out."""
    data = material.data
    if data.tree is None or data.unseen is None:
        return {}
    return measure_unseen(data.tree, material.truth("test"), data.unseen, features, seed=settings.seed)


def project_embeddings(settings: RunSettings, material: RunInputs, features: np.ndarray) -> dict[str, Any]:
    """Project the test embeddings to the plane, each with its labels."""
    drawn = project(features, generator=np.random.default_rng(settings.seed), method=settings.evaluation.map)
    label_sets = material.splits.test.label_sets or []
    labels = [list(label_sets[index]) for index in drawn.chosen]
    levels = [] if material.data.tree is None else _by_level(material, material.data.tree, drawn.chosen)
    points = drawn.coordinates.round(4).tolist()
    return {"method": drawn.method, "points": points, "labels": labels, "levels": levels}


def _by_level(material: RunInputs, tree: LabelTree, chosen: np.ndarray) -> list[list[list[str]]]:
    """List for each level the nodes of it that each of some test examples has."""
    closed = tree.close(material.labels("test")[chosen].toarray()).toarray()
    depths = tree.nodes.depths
    decode = tree.nodes.vocabulary.decode
    return [[list(nodes) for nodes in decode(closed * (depths == level))] for level in range(int(depths.max()) + 1)]
