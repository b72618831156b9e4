"""One experiment, to be read top to bottom: from files to a run folder.

Files, examples, multi-hot labels, embeddings, projections or logits, loss; then frozen features, linear probe, scores,
thresholds, metrics, and the folder that holds all of it.
"""

from pathlib import Path
from typing import Any

from labelcontrast.files import read_json, write_json
from labelcontrast.reports.projection import FEWEST_POINTS
from labelcontrast.run.evaluation import (
    describe_embeddings,
    evaluate_inputs,
    evaluate_unseen,
    fit_classifier,
    probe_inputs,
    project_embeddings,
)
from labelcontrast.run.fitting import Callbacks, train_encoder
from labelcontrast.run.folder import (
    CONFIG,
    FEATURES,
    METRICS,
    OUTPUTS,
    PER_LABEL,
    PER_NODE,
    REPORT,
    SCATTER,
    claim,
    copy_course,
    is_finished,
    load_settings,
    make_room,
    reopen,
    save_model,
)
from labelcontrast.run.inputs import RunInputs, load_inputs, load_transfer_inputs
from labelcontrast.run.machine import Clock, describe_origin, seeded
from labelcontrast.run.report import write_report
from labelcontrast.run.validation import validate_settings
from labelcontrast.settings import RunSettings
from labelcontrast.training.features import stored_features


def run_experiment(
    settings: RunSettings,
    folder: Path,
    *,
    training: Path | None = None,
    resume: bool = False,
    force: bool = False,
    device: str = "cpu",
    listeners: Callbacks = Callbacks(),  # noqa: B008  frozen
) -> dict[str, Any]:
    """Train, evaluate and keep one model.

    Args:
        settings: all of the run.
        folder: the run folder; it is made once the data have been read and found good.
        training: where checkpoints, history and features are kept, for runs that differ in what comes after the
            training alone: one begins from what another has left there. By default in the run folder.
        resume: go on with the run that is there; a finished one is only read, unless what comes after the training
            differs: then it is evaluated anew, on the features it has.
        force: remove a run that is there.
        device: where features are computed after training, such as ``cuda``.
        listeners: who hears of progress.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        LabelContrastError: one of the family, in one line, for whatever is wrong.
    """
    kind = validate_settings(settings)
    claim(folder, settings, resume=resume, force=force)
    if is_finished(folder) and not force and load_settings(folder) == settings:
        return read_result(folder)
    clock = Clock()
    with seeded(settings.seed):
        material = load_inputs(settings, listeners.say, device=device)
        target = load_transfer_inputs(settings, material, listeners.say)
        make_room(folder, force=force)
        reopen(folder)
        settings.write(folder / CONFIG)
        clock.lap("reading")
        learned = train_encoder(settings, kind, material.lesson(listeners), training or folder)
        clock.lap("training")
        clock.laps["training"] = round(sum(epoch.seconds for epoch in learned.history), 3)  # a kill's share with it
        target.encoder.to(device)
        seen = probe_inputs(settings, learned, target)
        features = stored_features((training or folder) / FEATURES, target.encoder, seen)
        target.encoder.cpu()
        clock.lap("features")
        classifier = fit_classifier(settings, learned, target, features)
        clock.lap("probe")
    if training:
        copy_course(training, folder)
    model, outputs, judged = evaluate_inputs(settings, target, classifier, features)
    save_model(folder, model)
    outputs.save(folder / OUTPUTS)
    write_json(folder / PER_LABEL, judged["per_label"])
    if "per_node" in judged:
        write_json(folder / PER_NODE, judged["per_node"])
    if len(features["test"]) >= FEWEST_POINTS:
        write_json(folder / SCATTER, project_embeddings(settings, target, features["test"]))
    clock.lap("evaluation")
    result = {"metrics": judged["metrics"], "reliability": judged["reliability"]}
    result |= {"best_epoch": learned.kept.epoch, "validation_score": learned.kept.score}
    result |= {"representation": describe_embeddings(settings, target, features)}
    if settings.folds is not None:
        result["fold"] = settings.tested_fold
    if "hierarchy" in judged:
        result |= {"hierarchy": judged["hierarchy"] | evaluate_unseen(settings, target, features)}
    clock.lap("representation")
    result |= {"seconds": clock.laps, **facts(target), **describe_origin()}
    write_json(folder / METRICS, result)
    return read_result(folder)


def read_result(folder: Path) -> dict[str, Any]:
    """Read what a finished run came to; and write its page, where a kill came between the two."""
    if not (folder / REPORT).exists():
        write_report(folder)
    result: dict[str, Any] = read_json(folder / METRICS)
    return result


def facts(material: RunInputs) -> dict[str, Any]:
    """Count what the run was made of."""
    encoder = material.encoder
    return {
        "examples": {name: len(part) for name, part in material.prepared.items()},
        "kind": encoder.kind,
        "labels": len(material.splits.vocabulary),
        "encoder_parameters": sum(parameter.numel() for parameter in encoder.parameters()),
        "warnings": list(material.splits.warnings),
    }
