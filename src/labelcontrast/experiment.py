"""One experiment, to be read top to bottom: from files to a run folder.

Files, examples, multi-hot labels, embeddings, projections or logits, loss; then frozen features, linear probe, scores,
thresholds, metrics, and the folder that holds all of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from labelcontrast.config import RunSettings
from labelcontrast.data.batches import Prepared, prepare, training_batches
from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.splits import Splits, load_splits
from labelcontrast.door import Kind, check_door
from labelcontrast.encoders.base import Encoder
from labelcontrast.encoders.registry import make_encoder
from labelcontrast.evaluation.linear_probe import fit_linear_probe
from labelcontrast.evaluation.metrics import compute_metrics, per_label_table
from labelcontrast.evaluation.per_label import per_label_thresholds
from labelcontrast.evaluation.thresholds import (
    Thresholds,
    expected_f1_rule,
    fixed_threshold,
    global_threshold,
    top_labels,
)
from labelcontrast.objective import build_objective
from labelcontrast.prediction import probabilities
from labelcontrast.provenance import Clock, describe_origin, seeded
from labelcontrast.reporting import REPORT, write_report
from labelcontrast.reports.projection import project
from labelcontrast.run_folder import (
    CONFIG,
    MAP,
    METRICS,
    PER_LABEL,
    TrainedModel,
    claim,
    is_finished,
    make_room,
    read_json,
    save_model,
    write_json,
)
from labelcontrast.training.features import compute_features
from labelcontrast.training.history import Epoch

if TYPE_CHECKING:
    from labelcontrast.training.learner import Learner

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
        resume: go on with the run that is there; a finished one is only read.
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
    if is_finished(folder) and not force:
        return read_result(folder)
    clock = Clock()
    with seeded(settings.seed):
        material = gather(settings, listeners.say)
        make_room(folder, force=force)
        settings.write(folder / CONFIG)
        clock.lap("reading")
        learner = learn(settings, material, kind, folder, listeners)
        clock.lap("training")
        clock.laps["training"] = round(sum(epoch.seconds for epoch in learner.history), 3)  # a kill's share with it
        material.encoder.to(device)
        features = {name: compute_features(material.encoder, part).numpy() for name, part in material.prepared.items()}
        material.encoder.cpu()
        clock.lap("features")
        classifier = read_off(learner, material, features, kind)
        clock.lap("probe")
    model, judged = judge(settings, material, classifier, features)
    save_model(folder, model)
    write_json(folder / PER_LABEL, judged["per_label"])
    write_json(folder / MAP, draw_map(settings, material, features["test"]))
    clock.lap("evaluation")
    best = max(learner.history, key=lambda epoch: epoch.score)
    result = {"metrics": judged["metrics"], "best_epoch": best.epoch, "validation_score": best.score}
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


def read_splits(settings: RunSettings) -> Splits:
    """Read the files that the settings name as training, validation and test examples."""
    return load_splits(
        Path(settings.data),
        seed=settings.split_seed,
        fractions=settings.fractions,
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


def learn(settings: RunSettings, material: Material, kind: Kind, folder: Path, listeners: Listeners) -> "Learner":
    """Train encoder and head under the loss, from the start or from the last checkpoint; the best epoch is kept."""
    # Lightning takes seconds to import; bad data are refused before.
    from labelcontrast.training.fit import fit
    from labelcontrast.training.learner import Learner, Rates

    training, encoder = settings.training, material.encoder
    train, validation = material.prepared["train"], material.prepared["val"]
    sizes = {"width": encoder.output_dim, "num_labels": len(material.splits.vocabulary)}
    objective = build_objective(settings, kind, **sizes, train=train, validation=validation)
    schedule = objective.schedule if training.schedule == "auto" else training.schedule
    rates = Rates(settings.learning_rate, training.head_learning_rate or settings.learning_rate, schedule)
    learner = Learner(encoder, objective.head, objective.loss, score=objective.score, settings=training, rates=rates)
    batches = training_batches(
        train, batch_size=training.batch_size, seed=settings.seed, smallest=objective.smallest_batch
    )
    fit(learner, batches, folder=folder, settings=training, progress=listeners.bar, listen=listeners.epoch)
    return learner


def read_off(learner: "Learner", material: Material, features: Mapping[Part, np.ndarray], kind: Kind) -> nn.Linear:
    """Take the trained linear head, or fit a linear probe a label on the frozen features."""
    if kind == "logit":
        assert isinstance(learner.head, nn.Linear)
        return learner.head.cpu()
    labels = material.labels
    probe = fit_linear_probe(features["train"], labels["train"], features["val"], labels["val"])
    classifier = nn.Linear(probe.weight.shape[1], probe.weight.shape[0])
    classifier.load_state_dict({"weight": torch.from_numpy(probe.weight), "bias": torch.from_numpy(probe.bias)})
    return classifier


def judge(
    settings: RunSettings, material: Material, classifier: nn.Linear, features: Mapping[Part, np.ndarray]
) -> tuple[TrainedModel, dict[str, Any]]:
    """Choose thresholds on validation, then measure validation and test."""
    scores = {name: probabilities(classifier, rows) for name, rows in features.items()}
    labels = material.labels
    thresholds = choose_thresholds(settings, labels["val"], scores["val"])
    predictions = {name: thresholds.predict(score) for name, score in scores.items()}
    metrics = {name: compute_metrics(labels[name], scores[name], predictions[name]) for name in ("val", "test")}
    table = per_label_table(
        material.splits.vocabulary.names,
        labels["test"],
        scores["test"],
        predictions["test"],
        train_counts=labels["train"].sum(0),
        thresholds=thresholds.values,
    )
    model = TrainedModel(material.encoder, classifier, material.splits.vocabulary, thresholds)
    return model, {"metrics": metrics, "per_label": [asdict(row) for row in table]}


def choose_thresholds(settings: RunSettings, labels: np.ndarray, scores: np.ndarray) -> Thresholds:
    """Follow the rule of the settings; what it has to choose is chosen on validation."""
    wanted, count = settings.evaluation, labels.shape[1]
    rules: dict[str, Callable[[], Thresholds]] = {
        "fixed": lambda: fixed_threshold(count),
        "global": lambda: global_threshold(labels, scores),
        "per_label": lambda: per_label_thresholds(labels, scores),
        "top_k": lambda: top_labels(count, most=wanted.top_k),
        "expected_f1": lambda: expected_f1_rule(count),
    }
    return replace(rules[wanted.threshold](), empty=wanted.empty)


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
