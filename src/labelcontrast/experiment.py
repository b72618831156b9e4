"""One experiment, to be read top to bottom: from files to a run folder.

Files, examples, multi-hot labels, embeddings, projections or logits, loss; then frozen features, linear probe, scores,
thresholds, metrics, and the folder that holds all of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labelcontrast.config import RunSettings
from labelcontrast.data.batches import Prepared, prepare
from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.splitting.splits import Splits, load_splits
from labelcontrast.door import check_door
from labelcontrast.encoders.base import Encoder
from labelcontrast.encoders.registry import make_encoder
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
from labelcontrast.learning import Learned, Lesson, learn
from labelcontrast.prediction import probabilities
from labelcontrast.provenance import Clock, describe_origin, seeded
from labelcontrast.reporting import write_report
from labelcontrast.reports.projection import project
from labelcontrast.run_folder import (
    CONFIG,
    FEATURES,
    MAP,
    METRICS,
    OUTPUTS,
    PER_LABEL,
    REPORT,
    TrainedModel,
    claim,
    is_finished,
    load_settings,
    make_room,
    read_json,
    reopen,
    save_model,
    write_json,
)
from labelcontrast.training.feature_store import stored_features
from labelcontrast.training.history import Epoch

Say = Callable[[str], None]


@dataclass(frozen=True)
class Material:
    """What an experiment is made of: the examples of each split, their labels, and an encoder that fits them."""

    splits: Splits
    encoder: Encoder
    prepared: dict[Part, Prepared]
    """By part: ``train``, ``val`` and ``test``."""

    @property
    def labels(self) -> dict[Part, np.ndarray]:
        """The multi-hot labels by part, dense."""
        return {name: part.labels.toarray() for name, part in self.prepared.items() if part.labels is not None}

    def lesson(self, listeners: "Listeners") -> Lesson:
        """What the encoder is trained on, and who hears of it."""
        return Lesson(
            encoder=self.encoder,
            train=self.prepared["train"],
            validation=self.prepared["val"],
            num_labels=len(self.splits.vocabulary),
            listen=listeners.epoch,
            bar=listeners.bar,
        )


@dataclass(frozen=True)
class Listeners:
    """Who hears of progress; by default nobody."""

    say: Say = lambda _: None
    epoch: Callable[[Epoch], None] = lambda _: None
    bar: bool = False


def run_experiment(
    settings: RunSettings,
    folder: Path,
    *,
    resume: bool = False,
    force: bool = False,
    device: str = "cpu",
    listeners: Listeners = Listeners(),
) -> dict[str, Any]:
    """Train, evaluate and keep one model.

    Args:
        settings: all of the run.
        folder: the run folder; it is made once the data have been read and found good.
        resume: go on with the run that is there; a finished one is only read, unless the settings of the evaluation
            differ: then it is evaluated anew, on the features it has.
        force: remove a run that is there.
        device: where features are computed after training, such as ``cuda``.
        listeners: who hears of progress.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        LabelContrastError: one of the family, in one line, for whatever is wrong.
    """
    kind = check_door(settings)
    claim(folder, settings, resume=resume, force=force)
    if is_finished(folder) and not force and load_settings(folder) == settings:
        return read_result(folder)
    clock = Clock()
    with seeded(settings.seed):
        material = gather(settings, listeners.say)
        make_room(folder, force=force)
        reopen(folder)
        settings.write(folder / CONFIG)
        clock.lap("reading")
        learned = learn(settings, kind, material.lesson(listeners), folder)
        clock.lap("training")
        clock.laps["training"] = round(sum(epoch.seconds for epoch in learned.history), 3)  # a kill's share with it
        material.encoder.to(device)
        features = stored_features(folder / FEATURES, material.encoder, material.prepared)
        material.encoder.cpu()
        clock.lap("features")
        classifier = read_off(settings, learned, material.labels, features)
        clock.lap("probe")
    model, outputs, judged = judge(settings, material, classifier, features)
    save_model(folder, model)
    outputs.save(folder / OUTPUTS)
    write_json(folder / PER_LABEL, judged["per_label"])
    write_json(folder / MAP, draw_map(settings, material, features["test"]))
    clock.lap("evaluation")
    result = {"metrics": judged["metrics"], "reliability": judged["reliability"]}
    result |= {"best_epoch": learned.best.epoch, "validation_score": learned.best.score}
    result |= {"representation": describe_embeddings(settings, material, features)}
    clock.lap("representation")
    result |= {"seconds": clock.laps, **facts(material), **describe_origin()}
    write_json(folder / METRICS, result)
    return read_result(folder)


def read_result(folder: Path) -> dict[str, Any]:
    """Read what a finished run came to; and write its page, where a kill came between the two."""
    if not (folder / REPORT).exists():
        write_report(folder)
    result: dict[str, Any] = read_json(folder / METRICS)
    return result


def gather(settings: RunSettings, say: Say = lambda _: None) -> Material:
    """Read the files, make multi-hot labels, and prepare the inputs for an encoder of their kind."""
    splits = read_splits(settings)
    for sentence in introduce(splits):
        say(sentence)
    encoder = build_encoder(settings, splits.train)
    prepared = {name: prepare(encoder, part, splits.vocabulary) for name, part in splits.parts.items()}
    return Material(splits, encoder, prepared)


def read_splits(settings: RunSettings, *, check_pictures: bool = True) -> Splits:
    """Read the files that the settings name as training, validation and test examples."""
    return load_splits(
        Path(settings.data),
        seed=settings.split_seed,
        fractions=settings.fractions,
        protocol=settings.protocol,
        check_pictures=check_pictures,
        difficult=settings.difficult,
        train_fraction=settings.train_fraction,
        **settings.columns.model_dump(),
    )


def introduce(splits: Splits) -> list[str]:
    """Say what was understood of the data, how they are divided, how much there is, and what to beware of."""
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in splits.parts.items())
    return [splits.train.understood, splits.how, f"{sizes}; {len(splits.vocabulary)} labels", *splits.warnings]


def build_encoder(settings: RunSettings, train: Examples) -> Encoder:
    """Make the encoder that the settings name for the kind of input there is."""
    wanted = settings.encoder
    width = train.inputs.shape[1] if isinstance(train.inputs, np.ndarray) else None
    return make_encoder(
        wanted.name,
        kind=train.kind,
        pooling=wanted.pooling,
        max_length=wanted.max_length,
        image_size=wanted.image_size,
        input_dim=width,
    )


def read_off(
    settings: RunSettings, learned: Learned, labels: Mapping[Part, np.ndarray], features: Mapping[Part, np.ndarray]
) -> Classifier:
    """Take the linear head that was trained, or fit a linear probe on the frozen features."""
    if learned.classifier is not None:
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


def facts(material: Material) -> dict[str, Any]:
    """Count what the run was made of."""
    encoder = material.encoder
    return {
        "examples": {name: len(part) for name, part in material.prepared.items()},
        "kind": encoder.kind,
        "labels": len(material.splits.vocabulary),
        "encoder_parameters": sum(parameter.numel() for parameter in encoder.parameters()),
        "warnings": list(material.splits.warnings),
    }
