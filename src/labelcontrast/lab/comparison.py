"""Compare several losses with several seeds on the same data under the same protocol.

compare.toml   the settings that all runs share
prints.json    fingerprints of the data and the encoder, and our version
trials/        the store of records
runs/          a folder for each run
baseline.json  results of the linear baseline, with its predictions on the test split beside it
results.json   every number
table.md       the table
report.html    the page
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Shaped
from scipy.sparse import csr_matrix
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from labelcontrast.data.batches import dense_truth, encode_labels
from labelcontrast.data.digits import write_digits
from labelcontrast.data.splits import Splits
from labelcontrast.errors import ConfigError
from labelcontrast.files import read_json, write_json, write_text
from labelcontrast.lab.comparison_report import (
    RESULTS,
    baseline_runs,
    count_levels,
    hierarchy_metrics,
    metrics_on_test,
    summarise_comparison,
    write_comparison_report,
)
from labelcontrast.lab.pipeline import TRIALS, Options, Progress, Throttle, claim_folder, run_missing
from labelcontrast.lab.significance import DIRECTIONS, EvaluatedRun, Runs, compare_with_best
from labelcontrast.lab.trials import (
    Runner,
    Store,
    Trial,
    fingerprint_data,
    fingerprint_encoder,
    fingerprint_hierarchy,
    fingerprint_plugins,
    identify,
)
from labelcontrast.metrics.counting import known_pairs
from labelcontrast.metrics.measures import Outputs, compute_metrics
from labelcontrast.probes.thresholds import fixed_threshold
from labelcontrast.reports.tables import Table, as_markdown
from labelcontrast.run.evaluation import StreamedHierarchicalMetrics
from labelcontrast.run.fitting import Callbacks
from labelcontrast.run.folder import OUTPUTS, REPORT, is_finished
from labelcontrast.run.inputs import RunData, load_data
from labelcontrast.run.machine import describe_origin
from labelcontrast.run.model import HierarchyDecoder
from labelcontrast.run.validation import load_plugins, with_recorded_plugins
from labelcontrast.settings import LossSettings, RunSettings, first_difference, read_settings

SHARED, FINGERPRINTS, TABLE, BASELINE, RUNS = "compare.toml", "prints.json", "table.md", "baseline.json", "runs"
CHANGED = {
    "data": "the data have changed",
    "encoder": "the encoder's files have changed",
    "hierarchy": "the hierarchy has changed",
    "version": "labelcontrast has changed",
    "plugins": "a plugin has changed",
}
"""Messages that refuse to resume with a different fingerprint."""
BASELINES = {"text": "TF-IDF + linear SVM", "vector": "linear SVM"}
"""Name of the baseline for each kind of input; images have none."""
DEMO_LOSSES = ("bce", "zlpr", "reg")
DEMO_EPOCHS = 8
DEMO_SETTINGS = {
    "training": {"epochs": DEMO_EPOCHS, "batch_size": 32, "learning_rate": 0.004},
    "encoder": {"name": "convnet", "image_size": 40},
}

Features: TypeAlias = csr_matrix | np.ndarray
"""Inputs of the SVM, shape [examples, features]."""
Rows: TypeAlias = dict[str, list[dict[str, Any]]]
"""Result or error of each run that has ended, keyed by loss."""


def run_comparison(
    settings: RunSettings,
    losses: Sequence[LossSettings],
    folder: str | Path,
    *,
    seeds: int = 3,
    baseline: bool = True,
    keep_weights: bool = False,
    options: Options = Options(),  # noqa: B008  frozen
    callbacks: Callbacks = Callbacks(),  # noqa: B008  frozen
) -> Table:
    """Train every loss with every seed, and write results, table and page as the runs end.

    A failed run is reported with its error, and the others are run. Runs that failed in an earlier command are
    repeated.

    Args:
        settings: Settings that all runs share; ``loss`` and ``seed`` are ignored.
        losses: One row each.
        folder: The output folder.
        seeds: Runs of each loss.
        baseline: Add a row for a linear SVM on TF-IDF or on the vectors.
        keep_weights: Keep the weights of every model; by default only results are kept.
        options: How the runs are run.
        callbacks: Receive messages, and epochs where the runs are in this process.

    Returns:
        The table, with a row for each loss; ``results.json`` has every number.

    Raises:
        RunError: The folder holds something, and ``options`` neither resume nor remove it.
        ConfigError: The comparison to be resumed had other settings, data, encoder files, plugins or version.
    """
    folder = Path(folder)
    if options.resume:
        settings = with_recorded_plugins(settings, folder / SHARED)
    load_plugins(settings.plugins)
    data = load_data(settings := settings.model_copy(update={"seed": 0}))
    fingerprints = {
        "data": fingerprint_data(settings.data),
        "encoder": fingerprint_encoder(settings.encoder.name),
        "hierarchy": fingerprint_hierarchy(settings.hierarchy.file),
        "version": version("labelcontrast"),
    }
    if settings.plugins:
        fingerprints["plugins"] = fingerprint_plugins(settings.plugins)
    _claim(folder, settings, fingerprints, options)
    for sentence in data.summary():
        callbacks.on_message(sentence)
    fitted = _load_or_fit_baseline(settings, data, folder) if baseline else None
    trials = plan_comparison(settings, losses, seeds, folder, fingerprints)
    store = Store(folder / TRIALS)
    for trial in trials:
        record = store.read(trial.key)
        if record and "error" not in record and not is_finished(trial.folder.parent / record["folder"]):
            store.remove(trial.key)  # its run folder has been removed
    runner = Runner(options.device, keep_weights=keep_weights)
    if options.jobs == 1 and options.ray is None:
        runner = replace(runner, callbacks=replace(callbacks, on_message=lambda _: None))
    write = partial(_write_results, folder, settings, trials, fitted)
    progress = Progress(callbacks.on_message, name="comparison", announce=True)
    run_missing(trials, store, runner, options, progress, after_each=Throttle(write))
    return write()


def plan_comparison(
    settings: RunSettings,
    losses: Sequence[LossSettings],
    seeds: int,
    folder: Path,
    fingerprints: Mapping[str, str | None],
) -> list[Trial]:
    """Return the trials of all losses seed by seed, so that there is an early table of all losses."""
    data, encoder = fingerprints["data"], fingerprints["encoder"]
    assert data is not None
    varied = [settings.model_copy(update={"loss": loss, "seed": seed}) for seed in range(seeds) for loss in losses]
    return [
        Trial(
            identify(one, data=data, encoder=encoder),
            f"{one.loss.title}, seed {one.seed}" + (f", fold {one.tested_fold}" if one.folds else ""),
            one,
            folder / RUNS / f"{re.sub('[ =+*]', '-', one.loss.title)}-seed{one.seed}",
        )
        for one in varied
    ]


def fit_baseline(
    splits: Splits, decoder: HierarchyDecoder | None = None, *, outputs: Path | None = None
) -> dict[str, Any] | None:
    """Fit one linear SVM per label and evaluate it on the validation and test splits; images have no baseline.

    Texts become TF-IDF of words and word pairs; vectors are standardised. The decision threshold is the SVM's own, 0,
    which is 0.5 of the logistic function of its margin. A label is fitted on the examples with a known value of it; a
    label that all or none of these have is always or never predicted.

    Args:
        splits: The data.
        decoder: Makes scores and predictions consistent with a hierarchy.
        outputs: File for the predictions on the test split.

    Returns:
        ``name``, ``metrics`` by split and, with a decoder, ``hierarchy`` by split; None for images.
    """
    kind = splits.train.kind
    if kind not in BASELINES:
        return None
    vectoriser = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True) if kind == "text" else StandardScaler()
    features, vocabulary = vectoriser.fit_transform(splits.train.inputs), splits.vocabulary
    margins = [_fit_label(features, truth) for truth in dense_truth(*encode_labels(splits.train, vocabulary)).T]
    metrics, over_hierarchy, thresholds = {}, {}, fixed_threshold(len(vocabulary))
    for name, examples in {"val": splits.val, "test": splits.test}.items():
        labels, unseen = dense_truth(*encode_labels(examples, vocabulary)), vectoriser.transform(examples.inputs)
        scores = expit(np.stack([margin(unseen) for margin in margins], axis=1))
        scores = decoder.make_consistent(scores) if decoder else scores
        predictions = decoder.decide(scores, thresholds) if decoder else thresholds.predict(scores)
        metrics[name] = compute_metrics(labels, scores, predictions)
        if decoder:
            counted = StreamedHierarchicalMetrics(decoder.tree)
            counted.update(labels, predictions)
            over_hierarchy[name] = counted.measures()
        if outputs and name == "test":
            Outputs(labels, scores, predictions).save(outputs)
    return {"name": BASELINES[kind], "metrics": metrics} | ({"hierarchy": over_hierarchy} if decoder else {})


def run_demo(folder: str | Path, *, force: bool = False, device: str = "cpu", callbacks: Callbacks) -> Table:
    """Compare three losses on pictures of digits, one seed each, without a download.

    Args:
        folder: Receives the data in ``digits/`` and the comparison in ``comparison/``.
        force: Remove an earlier demo.
        device: Device that runs are on.
        callbacks: Receive messages and epochs.

    Returns:
        The table of the comparison.
    """
    callbacks.on_message("Composing 2,700 pictures of 1 to 4 real handwritten digits; zero is frequent, nine is rare.")
    data = write_digits(Path(folder) / "digits")
    return run_comparison(
        RunSettings.build({"data": str(data), **DEMO_SETTINGS}),
        [LossSettings(name=name) for name in DEMO_LOSSES],
        Path(folder) / "comparison",
        seeds=1,
        keep_weights=True,
        options=Options(force=force, device=device),
        callbacks=callbacks,
    )


def _claim(folder: Path, settings: RunSettings, fingerprints: Mapping[str, str | None], options: Options) -> None:
    """Claim the folder; a comparison that is resumed must have the same settings and fingerprints."""
    shared = settings.model_copy(update={"loss": LossSettings(), "seed": 0})
    if claim_folder(folder, SHARED, "comparison", options):
        if difference := first_difference(RunSettings.build(read_settings(folder / SHARED)), shared):
            message = f"{folder / SHARED} has {difference}; a comparison has one protocol."
            raise ConfigError(message)
        before = read_json(folder / FINGERPRINTS) if (folder / FINGERPRINTS).exists() else {}
        for name, value in before.items():
            if value != fingerprints[name]:
                message = f"{CHANGED[name]} since {folder} was begun; a comparison has one protocol."
                raise ConfigError(message)
    shared.write(folder / SHARED)
    write_json(folder / FINGERPRINTS, fingerprints)


def _load_or_fit_baseline(settings: RunSettings, first: RunData, folder: Path) -> dict[str, Any] | None:
    """Fit the baseline on every fold that the runs are tested on, or read its results."""
    path = folder / BASELINE
    if not path.exists():
        others = range(1, settings.folds) if settings.folds and settings.fold is None else range(0)
        folds = chain([first], (load_data(settings.model_copy(update={"seed": fold})) for fold in others))
        fitted = [
            fit_baseline(
                data.splits,
                HierarchyDecoder(data.tree, settings.hierarchy) if data.tree else None,
                outputs=_baseline_outputs(folder, fold),
            )
            for fold, data in enumerate(folds)
        ]
        found = fitted[0]
        if found and others:
            found = {"name": found["name"], "folds": [one for one in fitted if one]}
        write_json(path, found)
    result: dict[str, Any] | None = read_json(path)
    return result


def _baseline_outputs(folder: Path, fold: int) -> Path:
    return folder / BASELINE.replace(".json", f"-fold{fold}.safetensors" if fold else ".safetensors")


def _fit_label(features: Features, truth: Shaped[np.ndarray, " examples"]) -> Callable[[Features], np.ndarray]:
    """Fit the SVM of a label on the examples with a known value, and return its margin as a function of features."""
    known = known_pairs(truth)
    present = truth[known] == 1
    if present.any() and not present.all():
        svm = LinearSVC(random_state=0).fit(features if known.all() else features[known], present)
        margin: Callable[[Features], np.ndarray] = svm.decision_function
        return margin
    constant = 1.0 if present.any() else -1.0
    return lambda others: np.full(others.shape[0], constant)


def _write_results(
    folder: Path, settings: RunSettings, trials: Sequence[Trial], baseline: dict[str, Any] | None
) -> Table:
    """Write every number, the table and the page of the runs that have ended."""
    rows = _read_rows(trials, Store(folder / TRIALS))
    finished = [run for runs in rows.values() for run in runs if "metrics" in run]
    tested = {**DIRECTIONS, **{measure.name: measure.better for measure in hierarchy_metrics(count_levels(finished))}}
    results: dict[str, Any] = {"data": settings.data, "settings": settings.model_dump(mode="json", exclude_none=True)}
    results |= {"baseline": baseline, "rows": rows, "origin": describe_origin()}
    results |= {"significance": compare_with_best(_tested_runs(folder, rows, baseline), tested)}
    write_json(folder / RESULTS, results)
    summary = summarise_comparison(folder)
    write_text(folder / TABLE, as_markdown(summary.table) + "\n")
    write_comparison_report(folder / REPORT, summary)
    return summary.table


def _read_rows(trials: Sequence[Trial], store: Store) -> Rows:
    rows: Rows = {trial.settings.loss.title: [] for trial in trials}
    for trial in trials:
        if (record := store.read(trial.key)) is not None:
            failed = "error" in record
            result = (
                {"error": record["error"]} if failed else {"folder": f"{RUNS}/{record['folder']}", **record["result"]}
            )
            rows[trial.settings.loss.title].append({"seed": trial.settings.seed, **result})
    return rows


def _tested_runs(folder: Path, rows: Rows, baseline: dict[str, Any] | None) -> Runs:
    """Return the runs with saved predictions; the baseline has no seed, so it is the same for all runs of a fold."""
    found = {
        name: {
            run["seed"]: EvaluatedRun.beside(folder / run["folder"] / OUTPUTS, metrics_on_test(run), run.get("fold", 0))
            for run in runs
            if "metrics" in run
        }
        for name, runs in rows.items()
    }
    if baseline:
        fits = baseline_runs(baseline)
        found[baseline["name"]] = {
            seed: replace(
                run,
                metrics=metrics_on_test(fits[run.fold % len(fits)]),
                outputs=_baseline_outputs(folder, run.fold % len(fits)),
            )
            for runs in list(found.values())
            for seed, run in runs.items()
        }
    saved = {name: {seed: run for seed, run in runs.items() if run.outputs.exists()} for name, runs in found.items()}
    return {name: runs for name, runs in saved.items() if runs}
