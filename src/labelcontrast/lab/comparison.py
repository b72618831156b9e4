"""Compare several losses with several seeds on the same data under the same protocol.

compare.toml   the settings that all runs share
prints.json    fingerprints of the data and the encoder, and our version
trials/        the store of records
runs/          a folder for each run
baseline.json  results of the baselines, with their predictions on the test split beside it
results.json   every number
table.md       the table
report.html    the page
"""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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

from labelcontrast.data.batches import dense_truth, encode_labels, prepare
from labelcontrast.data.digits import write_digits
from labelcontrast.data.examples import Examples, SplitName
from labelcontrast.data.splits import Splits
from labelcontrast.encoders.frozen import FrozenEncoder
from labelcontrast.errors import ConfigError, RunError
from labelcontrast.experiment import run_experiment
from labelcontrast.files import (
    Layout,
    cache_folder,
    checksum,
    held,
    is_claimed,
    read_json,
    write_json,
    write_text,
)
from labelcontrast.lab.comparison_report import (
    RESULTS,
    baseline_runs,
    count_levels,
    hierarchy_metrics,
    list_baselines,
    metrics_on_test,
    summarise_comparison,
    write_comparison_report,
)
from labelcontrast.lab.pipeline import TRIALS, Options, Progress, Throttle, claim_folder, refuse_failures, run_missing
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
from labelcontrast.probes.linear import fit_linear_probe
from labelcontrast.reports.tables import Table, as_markdown
from labelcontrast.run.evaluation import StreamedHierarchicalMetrics, fit_decisions
from labelcontrast.run.fitting import Callbacks
from labelcontrast.run.folder import LAYOUT as RUN_LAYOUT
from labelcontrast.run.folder import (
    OUTPUTS,
    REPORT,
    RunResult,
    check_run,
    is_finished,
)
from labelcontrast.run.inputs import RunData, build_encoder, load_data
from labelcontrast.run.machine import describe_origin
from labelcontrast.run.model import HierarchyDecoder
from labelcontrast.run.validation import load_plugins, with_recorded
from labelcontrast.settings import (
    AUTO,
    LOSSES_ALONE,
    EncoderSettings,
    EvaluationSettings,
    LossSettings,
    RunSettings,
    first_difference,
    read_recorded,
)

SHARED, FINGERPRINTS, TABLE, BASELINE, RUNS = "compare.toml", "prints.json", "table.md", "baseline.json", "runs"
LAYOUT = Layout(
    kind="comparison",
    marker=SHARED,
    keys={"data", "training"},
    entries=(SHARED, FINGERPRINTS, TRIALS, RUNS, "baseline*.json", "baseline*.safetensors", RESULTS, TABLE, REPORT),
)
CHANGED = {
    "data": "the data have changed",
    "encoder": "the encoder's files have changed",
    "hierarchy": "the hierarchy has changed",
    "version": "labelcontrast has changed",
    "plugins": "a plugin has changed",
}
"""Messages that refuse to resume with a different fingerprint."""
BASELINES = {"text": "TF-IDF + linear SVM", "vector": "linear SVM"}
"""Name of the linear baseline for each kind of input; images have none."""
FROZEN_BASELINE = "frozen encoder + logistic regression"
DEMO_LOSSES = ("bce", "zlpr", "reg")
DEMO_EPOCHS = 40
DEMO_SETTINGS = {
    "train_fraction": 0.2,
    "training": {"epochs": DEMO_EPOCHS, "batch_size": 32, "learning_rate": 0.004},
    "encoder": {"name": "convnet", "image_size": 20},
}
DEMO_RUN = "run"
"""The folder of the model that the demo trains."""

Features: TypeAlias = csr_matrix | np.ndarray
"""Inputs of the SVM, shape [examples, features]."""
Scores: TypeAlias = dict[SplitName, np.ndarray]
"""Probabilities by split, shape [examples, labels]."""
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

    A failed run is reported with its error, and the others are run. Runs that failed in an earlier command, or whose
    files were removed or damaged since, are repeated.

    Args:
        settings: Settings that all runs share; ``loss`` and ``seed`` are ignored.
        losses: One row each.
        folder: The output folder.
        seeds: Runs of each loss.
        baseline: Add a row for a linear SVM on TF-IDF or on the vectors and, where the settings have a frozen encoder,
            one for logistic regression on its features.
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
        settings = with_recorded(settings, folder / SHARED)
    load_plugins(settings.plugins)
    settings = shared_settings(settings)
    data = load_data(settings)
    fingerprints = fingerprint_comparison(settings)
    with _claim(folder, settings, fingerprints, options):
        for sentence in data.summary():
            callbacks.on_message(sentence)
        fitted = _load_or_fit_baselines(settings, data, folder, options.device) if baseline else None
        trials = plan_comparison(settings, losses, seeds, folder, fingerprints)
        store = Store(folder / TRIALS)
        for trial in trials:
            run = trial.ended_in(store)
            if run is not None and not is_finished(run):
                store.remove(trial.key)
        runner = Runner(options.device, keep_weights=keep_weights)
        if options.jobs == 1 and options.ray is None:
            runner = replace(runner, callbacks=replace(callbacks, on_message=lambda _: None))
        write = partial(_write_results, folder, settings, trials, fitted)
        progress = Progress(callbacks.on_message, name="comparison", announce=True)
        run_missing(trials, store, runner, options, progress, after_each=Throttle(write))
        table = write()
        refuse_failures(trials, store)
        for trial in trials:
            if run := trial.ended_in(store):
                _check_run(run)
        return table


def _check_run(run: Path) -> None:
    """Refuse a run whose files were removed or changed since it ended; its weights may have been left out.

    Raises:
        RunError: The run is damaged.
    """
    if not is_finished(run):
        raise RunError(f"{run} is damaged: it is no finished run any more; --resume runs it again.")
    try:
        check_run(run)
    except (RunError, ConfigError) as error:
        problem = str(error).partition(";")[0].removesuffix(".")
        raise RunError(f"{problem}; --resume runs it again.") from error


def shared_settings(settings: RunSettings) -> RunSettings:
    """Return the settings that all runs of a comparison share."""
    return settings.with_defaults(LOSSES_ALONE).model_copy(update={"loss": LossSettings(), "seed": 0})


def fingerprint_comparison(settings: RunSettings) -> dict[str, str | None]:
    """Return the fingerprints of all that the runs of a comparison share beside their settings."""
    fingerprints = {
        "data": fingerprint_data(settings.data),
        "encoder": fingerprint_encoder(settings.encoder.name),
        "hierarchy": fingerprint_hierarchy(settings.hierarchy.file),
        "version": version("labelcontrast"),
    }
    return fingerprints | ({"plugins": fingerprint_plugins(settings.plugins)} if settings.plugins else {})


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
    splits: Splits,
    decoder: HierarchyDecoder | None = None,
    *,
    evaluation: EvaluationSettings = EvaluationSettings(),  # noqa: B008  frozen
    outputs: Path | None = None,
) -> dict[str, Any] | None:
    """Fit one linear SVM per label and evaluate it on the validation and test splits; images have no baseline.

    Texts become TF-IDF of words and word pairs; vectors are standardised. The scores are the logistic function of the
    margins. Calibration and thresholds are fitted to them on validation, as to the scores of a run. A label is fitted
    on the examples with a known value of it; a label that all or none of these have gets the same score everywhere.

    Args:
        splits: The data.
        decoder: Makes scores and predictions consistent with a hierarchy.
        evaluation: Settings of calibration and thresholds.
        outputs: File for the predictions on the test split.

    Returns:
        ``name``, ``thresholds`` (the rule), ``metrics`` by split and, with a decoder, ``hierarchy`` by split; None for
        images.
    """
    kind = splits.train.kind
    if kind not in BASELINES:
        return None
    vectoriser = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True) if kind == "text" else StandardScaler()
    features = vectoriser.fit_transform(splits.train.inputs)
    truth = dense_truth(*encode_labels(splits.train, splits.vocabulary))
    margins = [_fit_label(features, column) for column in truth.T]

    def score(examples: Examples) -> np.ndarray:
        unseen = vectoriser.transform(examples.inputs)
        return np.asarray(expit(np.stack([margin(unseen) for margin in margins], axis=1)))

    scores: Scores = {name: score(examples) for name, examples in splits.by_name.items() if name != "train"}
    return _evaluate_baseline(BASELINES[kind], splits, scores, decoder=decoder, evaluation=evaluation, outputs=outputs)


def fit_frozen_baseline(
    encoder: EncoderSettings,
    splits: Splits,
    decoder: HierarchyDecoder | None = None,
    *,
    evaluation: EvaluationSettings = EvaluationSettings(),  # noqa: B008  frozen
    outputs: Path | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Fit a logistic regression per label on the features of a pretrained encoder, and evaluate it as ``fit_baseline``.

    This is what a run with this frozen encoder would be without its trained adapter. The features are those that the
    runs cache and use.

    Args:
        encoder: The pretrained encoder.
        splits: The data.
        decoder: Makes scores and predictions consistent with a hierarchy.
        evaluation: Settings of calibration and thresholds.
        outputs: File for the predictions on the test split.
        device: Where the features are computed.

    Returns:
        As ``fit_baseline``.
    """
    frozen = FrozenEncoder(build_encoder(encoder, splits.train)).to(device)
    inputs = {
        name: prepare(frozen, part, splits.vocabulary, cache=cache_folder()) for name, part in splits.by_name.items()
    }
    features = {name: np.asarray(one.items) for name, one in inputs.items()}
    probe = fit_linear_probe(features["train"], inputs["train"].truth(), features["val"], inputs["val"].truth())
    scores: Scores = {name: probe.probabilities(rows) for name, rows in features.items() if name != "train"}
    return _evaluate_baseline(FROZEN_BASELINE, splits, scores, decoder=decoder, evaluation=evaluation, outputs=outputs)


def run_demo(
    folder: str | Path, *, force: bool = False, device: str = "cpu", callbacks: Callbacks
) -> tuple[Table, RunResult]:
    """Compare three losses on few pictures of digits, one seed each, and make a model of the last one; no download.

    The model is that of the comparison, with the views that a run has by default beside its probe.

    Args:
        folder: Receives the data in ``digits/``, the comparison in ``comparison/``, and the model in ``run/``.
        force: Remove an earlier demo.
        device: Device that runs are on.
        callbacks: Receive messages and epochs.

    Returns:
        The table of the comparison, and the result of the model.
    """
    folder, run = Path(folder), Path(folder) / DEMO_RUN
    is_claimed(run, RUN_LAYOUT, resume=False, force=force)
    callbacks.on_message("Composing 2,700 pictures of 1 to 4 real handwritten digits; zero is frequent, nine is rare.")
    callbacks.on_message("300 of them are trained on, 400 choose epoch and thresholds, 800 test.")
    settings = RunSettings.build({"data": str(write_digits(folder / "digits")), **DEMO_SETTINGS})
    table = run_comparison(
        settings,
        [LossSettings(name=name) for name in DEMO_LOSSES],
        folder / "comparison",
        seeds=1,
        keep_weights=True,
        options=Options(force=force, device=device),
        callbacks=callbacks,
    )
    callbacks.on_message(f"{DEMO_LOSSES[-1]}: its scores are blended with those of the nearest training pictures")
    with held(run, RUN_LAYOUT, resume=False, force=force):
        shutil.copytree(folder / "comparison" / RUNS / f"{DEMO_LOSSES[-1]}-seed0", run, dirs_exist_ok=True)
    views = {"data": settings.data, "evaluation": {"views": AUTO}}
    return table, run_experiment(RunSettings.build(views), run, resume=True, device=device)


@contextmanager
def _claim(
    folder: Path, settings: RunSettings, fingerprints: Mapping[str, str | None], options: Options
) -> Iterator[None]:
    """Hold the folder; a comparison that is resumed must have the same settings and fingerprints."""
    with claim_folder(folder, LAYOUT, options) as hold:
        if hold.resumes:
            if difference := first_difference(_read_shared(folder), settings):
                message = f"{folder / SHARED} has {difference}; a comparison has one protocol."
                raise ConfigError(message)
            before = read_json(folder / FINGERPRINTS) if (folder / FINGERPRINTS).exists() else {}
            for name, value in before.items():
                if value != fingerprints[name]:
                    message = f"{CHANGED[name]} since {folder} was begun; a comparison has one protocol."
                    raise ConfigError(message)
        settings.write(folder / SHARED, sealed=True)
        write_json(folder / FINGERPRINTS, fingerprints, sealed=True)
        hold.share()
        yield


def _read_shared(folder: Path) -> RunSettings:
    return RunSettings.build(read_recorded(folder / SHARED)).with_defaults(LOSSES_ALONE)


def _load_or_fit_baselines(settings: RunSettings, first: RunData, folder: Path, device: str) -> Any:  # noqa: ANN401
    """Fit the baselines on every fold that the runs are tested on, or read their results."""
    path = folder / BASELINE
    found = _read_baselines(path)
    if found is None:
        others = range(1, settings.folds) if settings.folds and settings.fold is None else range(0)
        folds = chain([first], (load_data(settings.model_copy(update={"seed": fold})) for fold in others))
        fitted = [_fit_baselines(settings, data, folder, fold, device) for fold, data in enumerate(folds)]
        found = [
            {"name": fits[0]["name"], "folds": fits} if others else fits[0]
            for fits in map(list, zip(*fitted, strict=True))
        ]
        files = {
            outputs.name: checksum(outputs)
            for place, one in enumerate(found)
            for fold in range(len(one.get("folds", [one])))
            if (outputs := _baseline_outputs(folder, place, fold)).exists()
        }
        write_json(path, {"baselines": found, "files": files}, sealed=True)
    return _read_baselines(path)


def _read_baselines(path: Path) -> Any:  # noqa: ANN401
    """Read the results of the baselines; None if they, or their predictions, are missing or damaged."""
    try:
        found = read_json(path)
    except (FileNotFoundError, RunError):
        return None
    if isinstance(found, list):  # of an earlier version
        return None
    if "files" not in found:  # of one that had a single baseline, which decided otherwise
        return found
    files = {path.with_name(name): expected for name, expected in found["files"].items()}
    whole = all(file.exists() and checksum(file) == expected for file, expected in files.items())
    return found["baselines"] if whole else None


def _fit_baselines(settings: RunSettings, data: RunData, folder: Path, fold: int, device: str) -> list[dict[str, Any]]:
    """Fit the baselines that the data and the encoder allow, on one fold."""
    decoder, evaluation = HierarchyDecoder(data.tree, settings.hierarchy) if data.tree else None, settings.evaluation
    linear = fit_baseline(data.splits, decoder, evaluation=evaluation, outputs=_baseline_outputs(folder, 0, fold))
    found = [linear] if linear else []
    if settings.encoder.frozen:
        outputs = _baseline_outputs(folder, len(found), fold)
        given: dict[str, Any] = {"evaluation": evaluation, "outputs": outputs, "device": device}
        found.append(fit_frozen_baseline(settings.encoder, data.splits, decoder, **given))
    return found


def _baseline_outputs(folder: Path, place: int, fold: int) -> Path:
    """Return the file of the predictions of a baseline, by its place among the baselines."""
    name = BASELINE.removesuffix(".json") + (f"-{place + 1}" if place else "") + (f"-fold{fold}" if fold else "")
    return folder / f"{name}.safetensors"


def _evaluate_baseline(
    name: str,
    splits: Splits,
    probabilities: Scores,
    *,
    decoder: HierarchyDecoder | None,
    evaluation: EvaluationSettings,
    outputs: Path | None,
) -> dict[str, Any]:
    """Fit calibration and thresholds on validation, measure validation and test, and save the predictions on test."""
    truth = {part: dense_truth(*encode_labels(splits.by_name[part], splits.vocabulary)) for part in probabilities}
    decided = fit_decisions(evaluation, truth, probabilities, decoder)
    found: dict[str, Any] = {"name": name, "thresholds": decided.thresholds.rule}
    found["metrics"] = {part: compute_metrics(labels, *decided.of(part)) for part, labels in truth.items()}
    if outputs:
        Outputs(truth["test"], *decided.of("test")).save(outputs)
    if decoder:
        found["hierarchy"] = {}
        for part, labels in truth.items():
            counted = StreamedHierarchicalMetrics(decoder.tree)
            counted.update(labels, decided.predictions[part])
            found["hierarchy"][part] = counted.measures()
    return found


def _fit_label(features: Features, truth: Shaped[np.ndarray, " examples"]) -> Callable[[Features], np.ndarray]:
    """Fit the SVM of a label on the examples with a known value, and return its margin as a function of features."""
    known = known_pairs(truth)
    present = truth[known] == 1
    if present.any() and not present.all():
        svm = LinearSVC(random_state=0).fit(features if known.all() else features[known], present)
        margin: Callable[[Features], np.ndarray] = svm.decision_function
        return margin
    log_odds = np.log(present.sum() + 0.5) - np.log((~present).sum() + 0.5)
    return lambda others: np.full(others.shape[0], log_odds)


def _write_results(
    folder: Path,
    settings: RunSettings,
    trials: Sequence[Trial],
    baseline: Any,  # noqa: ANN401
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


def _tested_runs(folder: Path, rows: Rows, baseline: Any) -> Runs:  # noqa: ANN401
    """Return the runs with saved predictions; a baseline has no seed, so it is the same for all runs of a fold."""
    found = {
        name: {
            run["seed"]: EvaluatedRun.beside(folder / run["folder"] / OUTPUTS, metrics_on_test(run), run.get("fold", 0))
            for run in runs
            if "metrics" in run
        }
        for name, runs in rows.items()
    }
    of_losses = {seed: run for runs in found.values() for seed, run in runs.items()}
    for place, one in enumerate(list_baselines(baseline)):
        fits = baseline_runs(one)
        found[one["name"]] = {
            seed: replace(
                run,
                metrics=metrics_on_test(fits[run.fold % len(fits)]),
                outputs=_baseline_outputs(folder, place, run.fold % len(fits)),
            )
            for seed, run in of_losses.items()
        }
    saved = {name: {seed: run for seed, run in runs.items() if run.outputs.exists()} for name, runs in found.items()}
    return {name: runs for name, runs in saved.items() if runs}
