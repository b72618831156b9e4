"""Changes of the labels of a trained run, without training its encoder; each makes a new version of the run beside it.

A label that is added, or merged from others, gets a row of its own in every view, fitted on the features that the run
keeps. All other rows stay as they are. A version is a run folder like any other, whose ``changes.json`` tells what led
to it and which run it was made from.
"""

import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from labelcontrast.data.batches import LazyItems, Prepared, encode_labels
from labelcontrast.data.examples import Examples, SplitName
from labelcontrast.encoders.base import Encoder
from labelcontrast.encoders.cache import save_arrays, saved_arrays
from labelcontrast.errors import ConfigError, LabelError, RunError, nearest
from labelcontrast.files import check_new, checksum, held, read_json, write_json
from labelcontrast.metrics.counting import Confusion, ratio
from labelcontrast.metrics.measures import Outputs
from labelcontrast.probes.thresholds import wanted_thresholds
from labelcontrast.run.evaluation import (
    Decisions,
    Features,
    RunEvaluation,
    decisions,
    describe_embeddings,
    measure_model,
    save_scatter,
)
from labelcontrast.run.examples import save_examples
from labelcontrast.run.folder import (
    CHANGES,
    FEATURES,
    HISTORY,
    LAYOUT,
    MANIFEST,
    METRICS,
    OUTPUTS,
    RunResult,
    is_finished,
    load_settings,
    open_run,
    refuse_other_data,
)
from labelcontrast.run.inputs import RunData, RunInputs, change_data, fingerprint_data, load_data, with_label_of
from labelcontrast.run.label_rows import Logits, compute_logits, fit_label, select_rows
from labelcontrast.run.machine import describe_origin
from labelcontrast.run.model import (
    HierarchyDecoder,
    TrainedModel,
    blend_views,
    final_scores,
    load,
)
from labelcontrast.run.report import write_report
from labelcontrast.settings import LabelChange, RunSettings


@dataclass(frozen=True, kw_only=True)
class Version:
    """A new version of a run."""

    folder: Path
    entry: Mapping[str, Any]
    """What was changed and measured, as ``changes.json`` holds it."""


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A run with the data and the features that it was trained on."""

    folder: Path
    settings: RunSettings
    model: TrainedModel
    data: RunData
    features: Features


@dataclass(frozen=True, kw_only=True)
class _Changed:
    """What a version is made of."""

    settings: RunSettings
    inputs: RunInputs
    features: Features
    model: TrainedModel
    logits: Logits
    """Of every view, on validation and test."""
    entry: dict[str, Any]
    """What was changed, for the log."""


def change_labels(
    run: str | Path,
    change: LabelChange,
    *,
    frequency: float | None = None,
    data: str | None = None,
    out: str | Path | None = None,
) -> Version:
    r"""Add, remove, rename or merge labels, and write a new version of the run.

    A new row of a view is fitted as that view is in training, on the training examples and the given ones, of which
    those without the label are :math:`10\,000` at most. In the blend it has the mean weights of the other labels, and a
    bias that makes its mean probability the frequency of the label; its threshold is half of its best F1, which is
    best for calibrated probabilities. Both, and the figures, come from scores of examples that the row was not fitted
    on: the given ones in five folds, and those of validation, which are taken as lacking a label that is added.

    Args:
        run: A finished run, whose data are still there.
        change: The change.
        frequency: Expected share of examples with a label that is added; by default its share of the training examples,
            or the mean of the other labels, whichever is larger.
        data: The data of the run, if they are no longer where they were.
        out: The folder of the version; by default the run's name with the next free number, beside it.

    Raises:
        LabelContrastError: The run, its data or the change do not allow it; nothing is written then.

    Reference: Lipton, Elkan and Naryanaswamy, Optimal Thresholding of Classifiers to Maximize F1 Measure, 2014.
    """
    start = time.monotonic()
    _check_frequency(frequency)
    before = _open(run, data, out)
    after = change_data(before.data, change, before.settings)
    inputs = _inputs(after, before.model.encoder)
    settings = before.settings.model_copy(update={"changes": (*before.settings.changes, change)})
    decoder = None if after.tree is None else HierarchyDecoder(after.tree, settings.hierarchy)
    model = replace(before.model, vocabulary=after.splits.vocabulary, decoder=decoder)
    facts: dict[str, Any] = {}
    if change.verb in ("add", "merge"):
        features = _features(before, after, ("train", "val", "test"))
        name = change.into or change.labels[0]
        added = change.verb == "add"
        fitted = fit_label(
            before.model,
            model,
            inputs,
            features,
            name,
            trained_on=before.data,
            added=added,
            frequency=frequency,
            seed=before.settings.seed,
        )
        model, logits, facts = fitted
    else:
        features = _features(before, after, ("val", "test"))
        renamed = {change.into: change.labels[0]}
        column = before.model.vocabulary.column
        model = select_rows(model, [column[renamed.get(name, name)] for name in model.labels])
        logits = compute_logits(model, after, features)
    entry = {**change.model_dump(mode="json"), **facts}
    changed = _Changed(settings=settings, inputs=inputs, features=features, model=model, logits=logits, entry=entry)
    return _write(before, changed, out=out, start=start)


def add_label_of(
    model: TrainedModel,
    data: RunData,
    settings: RunSettings,
    name: str,
    given: Examples,
    *,
    frequency: float | None = None,
) -> tuple[TrainedModel, RunData, dict[str, Any]]:
    """Add a label to a model and the data in memory that it was trained on, as ``change_labels`` does to a run.

    Args:
        model: The model.
        data: Its data, without a hierarchy.
        settings: Its settings.
        name: The new label.
        given: Examples of it; see ``data.relabelling.examples_of``.
        frequency: Expected share of examples with it.

    Returns: The model and the data with the label, and what was measured.
    """
    _check_frequency(frequency)
    before = _Run(folder=Path(), settings=settings, model=model, data=data, features={})
    after = with_label_of(data, name, given)
    features = _features(before, after, ("train", "val", "test"))
    grown = replace(model, vocabulary=after.splits.vocabulary)
    inputs = _inputs(after, model.encoder)
    fitted, _, facts = fit_label(
        before.model,
        grown,
        inputs,
        features,
        name,
        trained_on=before.data,
        added=True,
        frequency=frequency,
        seed=before.settings.seed,
    )
    return fitted, after, facts


def set_thresholds(
    run: str | Path,
    *,
    labels: Sequence[str] | None = None,
    precision: float | None = None,
    recall: float | None = None,
    cost: tuple[float, float] | None = None,
    data: str | None = None,
    out: str | Path | None = None,
) -> Version:
    """Choose thresholds on validation by a wanted precision or recall, or by cost, and write a new version of the run.

    Args:
        run: A finished run, whose data are still there.
        labels: Names of the labels whose thresholds are changed; by default all.
        precision: The smallest precision of each label; the largest recall with it is taken.
        recall: The smallest recall of each label; the largest precision with it is taken.
        cost: Of a label that is wrongly predicted, and of one that is missed; the smallest sum is taken.
        data: The data of the run, if they are no longer where they were.
        out: The folder of the version; by default the run's name with the next free number, beside it.

    Raises:
        LabelContrastError: The run, its data or the wish do not allow it; nothing is written then.
    """
    start = time.monotonic()
    before = _open(run, data, out)
    model, inputs = before.model, _inputs(before.data, before.model.encoder)
    if model.decoder is not None and model.decoder.settings.decoding == "best_path":
        raise ConfigError("under hierarchy.decoding=best_path no threshold decides; it needs another decoding.")
    for name in labels or ():
        if name not in model.labels:
            raise LabelError(f'label "{name}" is not in the vocabulary{nearest(name, model.labels)}.')
    features = _features(before, before.data, ("val", "test"))
    logits = compute_logits(model, before.data, features)
    scores = final_scores(blend_views(model.blend, logits["val"]), model.calibration, model.decoder)
    columns = None if labels is None else [model.vocabulary.column[name] for name in labels]
    thresholds, kept = wanted_thresholds(
        model.thresholds, inputs.truth("val"), scores, columns=columns, precision=precision, recall=recall, cost=cost
    )
    entry = {
        "verb": "thresholds",
        "labels": list(labels or ()),
        "precision": precision,
        "recall": recall,
        "cost": cost,
        "unchanged": [model.labels[column] for column in kept],
    }
    model = replace(model, thresholds=thresholds)
    settings = before.settings
    changed = _Changed(settings=settings, inputs=inputs, features=features, model=model, logits=logits, entry=entry)
    return _write(before, changed, out=out, start=start)


def read_changes(run: str | Path) -> list[dict[str, Any]]:
    """Read the changes that led from the run that was trained to this one, the first one first.

    Raises:
        RunError: The folder is not a finished run, or its file is damaged.
    """
    load_settings(run)
    path = Path(run) / CHANGES
    changes: list[dict[str, Any]] = read_json(path)["changes"] if path.exists() else []
    return changes


def undo_change(run: str | Path) -> Path:
    """Remove the version that a change made, and return the run that it was made from.

    Raises:
        RunError: The folder is not a version; the run that it was made from is gone or has changed; another version
            was made from it; or it holds files that are not of a run. Nothing is removed then.
    """
    run = Path(run)
    if not read_changes(run):
        raise RunError(f"{run} was trained as it is; there is no change to undo.")
    parent, state = _parent(run)
    if not is_finished(parent) or _state(parent) != state:
        raise RunError(f"{run} was made from {parent}, which is gone or has changed; nothing is removed.")
    for other in sorted(run.resolve().parent.iterdir()):
        if (
            (other / CHANGES).is_file()
            and _parent(other)[0].resolve() == run.resolve()
            and other.resolve() != run.resolve()
        ):
            raise RunError(f"{other} was made from {run}; undo it first.")
    with held(run, LAYOUT, resume=False, force=True):
        pass
    return parent


def _check_frequency(frequency: float | None) -> None:
    if frequency is not None and not 0 < frequency < 1:
        raise ConfigError(f"frequency must be between 0 and 1. Got {frequency}.")


def _open(run: str | Path, data: str | None, out: str | Path | None) -> _Run:
    """Load a run with its data and features, and refuse one whose labels cannot be changed."""
    run = Path(run)
    settings = load_settings(run)
    if settings.transfer_to is not None:
        raise RunError(f"{run} was evaluated on the data of transfer_to; its labels cannot be changed.")
    if out is not None:
        check_new(out)
    model = load(run)
    settings = settings if data is None else settings.model_copy(update={"data": data})
    if not Path(settings.data).exists() and ":" not in settings.data:
        raise RunError(f"the data of the run, {settings.data}, are not there; name them with --data.")
    whole = load_data(settings)
    refuse_other_data(run, fingerprint_data(whole), instead="its labels can only be changed with the same")
    features = saved_arrays(run / FEATURES) if (run / FEATURES).exists() else {}
    return _Run(folder=run, settings=settings, model=model, data=whole, features=features)


def _inputs(data: RunData, encoder: Encoder) -> RunInputs:
    """Encode the labels of data; their inputs are prepared only if they are asked for."""
    prepared = {
        str(name): Prepared(
            LazyItems(encoder, examples),
            np.ones(len(examples), np.int64),
            encoder.collate,
            *encode_labels(examples, data.splits.vocabulary),
        )
        for name, examples in data.splits.by_name.items()
    }
    return RunInputs(data, encoder, prepared)


def _features(before: _Run, after: RunData, splits: Sequence[SplitName]) -> Features:
    """Return the embeddings of splits: those that the run keeps, and of examples that it has none of, computed now."""
    found = dict(before.features)
    for name in splits:
        examples = after.splits.by_name[name]
        kept = found.get(name, np.empty((0, before.model.encoder.output_dim), np.float32))
        if len(kept) < len(examples):
            new = before.model.embed(examples.select(np.arange(len(kept), len(examples))))
            found[name] = np.concatenate([kept, new])
    return found


def _write(before: _Run, after: _Changed, *, out: str | Path | None, start: float) -> Version:
    """Measure the model of a version, and write its folder whole or not at all."""
    settings, inputs, model, entry = after.settings, after.inputs, after.model, after.entry
    evaluation, seed, logits, features = settings.evaluation, settings.seed, after.logits, after.features
    probabilities = {part: blend_views(model.blend, one) for part, one in logits.items()}
    scores = {part: final_scores(one, model.calibration, model.decoder) for part, one in probabilities.items()}
    decided = decisions(model.calibration, model.thresholds, scores, model.decoder)
    measured = measure_model(evaluation, inputs, model, logits, decided)
    result = RunResult.load(before.folder)
    entry |= {"predicted": _predicted(entry, model, decided), "others": _compare(entry, before, model.labels, measured)}
    changes = [*read_changes(before.folder), {**entry, "date": describe_origin()["date"]}]
    folder = _next_folder(before.folder) if out is None else Path(out)
    with open_run(folder, settings, data=fingerprint_data(inputs.data)):
        try:
            measured.save(folder)
            save_arrays(folder / FEATURES, dict.fromkeys(features, ""), features)
            save_scatter(folder, evaluation, inputs, features["test"], seed=seed)
            test, names = inputs.splits.test, model.labels
            save_examples(folder, test, names, measured.outputs, most=evaluation.examples)
            if (before.folder / HISTORY).exists():
                shutil.copy(before.folder / HISTORY, folder / HISTORY)
            entry["seconds"] = changes[-1]["seconds"] = round(time.monotonic() - start, 3)
            parent = os.path.relpath(before.folder.resolve(), folder.resolve())
            write_json(folder / CHANGES, {"parent": parent, "state": _state(before.folder), "changes": changes})
            replace(
                result,
                metrics=measured.metrics,
                reliability=measured.reliability,
                views=measured.views,
                representation=describe_embeddings(evaluation, inputs, features, seed=seed),
                hierarchy=measured.hierarchy and {**(result.hierarchy or {}), **measured.hierarchy},
                seconds={**result.seconds, "changes": result.seconds.get("changes", 0.0) + entry["seconds"]},
                examples={**result.examples, "train": len(inputs.splits.train)},
                labels=len(names),
                warnings=[*inputs.splits.warnings, *filter(None, map(_warning, changes))],
                **describe_origin(),
            ).save(folder)
            write_report(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return Version(folder=folder, entry=entry)


def _predicted(entry: Mapping[str, Any], model: TrainedModel, decided: Decisions) -> dict[str, tuple[int, int]] | None:
    """Count the validation and test examples that a fitted label is predicted for, and all of them."""
    if entry["verb"] not in ("add", "merge"):
        return None
    column = model.vocabulary.column[entry["into"] if entry["verb"] == "merge" else entry["labels"][0]]
    return {part: (int(one[:, column].sum()), len(one)) for part, one in decided.predictions.items()}


def _compare(
    entry: Mapping[str, Any], before: _Run, names: Sequence[str], after: RunEvaluation
) -> dict[str, Any] | None:
    """Compare what is decided on test about the labels that are as before; None where the run keeps no decisions."""
    if not (before.folder / OUTPUTS).exists():
        return None
    column = before.model.vocabulary.column
    earlier = {name: name for name in names if name in column and name != entry.get("into")}
    if entry["verb"] == "rename":
        earlier[entry["into"]] = entry["labels"][0]
    at, old = [names.index(name) for name in earlier], [column[name] for name in earlier.values()]
    truth = after.outputs.labels[:, at]
    decided = [Outputs.load(before.folder / OUTPUTS).predictions[:, old], after.outputs.predictions[:, at]]
    counts = [Confusion.of(truth, one).over_examples() for one in decided]
    f1 = [ratio(2 * one.hits[0], one.predicted[0] + one.support[0]) for one in counts]
    total = [ratio(2 * one.hits.sum(), one.predicted.sum() + one.support.sum()) for one in counts]
    worst = int((f1[1] - f1[0]).argmin()) if earlier else 0
    return {
        "labels": len(earlier),
        "decisions": truth.size,
        "changed": int((decided[0] != decided[1]).sum()),
        "micro_f1": [float(one) for one in total],
        "macro_f1": [float(one.mean()) if earlier else 0.0 for one in f1],
        "worst": {"label": names[at[worst]], "f1": [float(one[worst]) for one in f1]} if earlier else None,
    }


def _warning(entry: Mapping[str, Any]) -> str | None:
    """Return a sentence about a label that was added, for the page of the version."""
    if entry["verb"] != "add":
        return None
    name, found = entry["labels"][0], entry["measured"]
    return (
        f'"{name}" was added with {entry["positives"]} examples: F1 {100 * found["f1"]:.1f} % on those held out and on '
        "validation. No test example tells whether it has it."
    )


def _next_folder(run: Path) -> Path:
    """Return the name of the run, or of the one it is a version of, with the next number that is free."""
    run = run if run.name else run.resolve()
    stem = re.sub(r"-\d+$", "", run.name) if (run / CHANGES).exists() else run.name
    number = 2
    while (folder := run.with_name(f"{stem}-{number}")).exists():
        number += 1
    return folder


def _parent(version: Path) -> tuple[Path, str]:
    """Return the run that a version was made from, and the state that it had."""
    saved = read_json(version / CHANGES)
    return Path(os.path.relpath(version.resolve() / saved["parent"])), saved["state"]


def _state(run: Path) -> str:
    """Return the checksum of what lists the files of a run."""
    return checksum(next(path for name in (MANIFEST, METRICS) if (path := run / name).exists()))
