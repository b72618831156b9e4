"""Several losses with several seeds on the same data under the same protocol, and one table.

compare.toml   what all runs share
prints.json    of which data and encoder, and of which version of ours, they are runs
trials/        the store: what each run came to
runs/          a folder a run
baseline.json  what the linear model came to, with what it said of the test examples beside it
results.json   every number
table.md       the table
report.html    the page

The main job on the built-in set: three losses compared on pictures of digits, with no download.
"""

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from labelcontrast.data.digits import write_digits
from labelcontrast.errors import ConfigError
from labelcontrast.files import is_claimed, read_json, write_json, write_text
from labelcontrast.lab.baseline import fit_baseline
from labelcontrast.lab.comparison_report import (
    RESULTS,
    baseline_runs,
    count_levels,
    hierarchy_metrics,
    metrics_on_test,
    summarise_comparison,
    write_comparison_report,
)
from labelcontrast.lab.ray_cluster import run_at
from labelcontrast.lab.significance import FLAT, Measured, Runs, find_best
from labelcontrast.lab.store import Record, Store
from labelcontrast.lab.trials import Runner, RunOptions, Trial, data_print, encoder_print, hierarchy_print, identify
from labelcontrast.lab.workers import Event, Pace, Tell
from labelcontrast.reports.tables import Table, as_markdown
from labelcontrast.run.fitting import Callbacks
from labelcontrast.run.folder import OUTPUTS, REPORT, is_finished
from labelcontrast.run.inputs import RunData, load_data
from labelcontrast.run.machine import describe_origin
from labelcontrast.run.model import HierarchyDecoder
from labelcontrast.settings import LossSettings, RunSettings, read_settings

SHARED, PRINTS, TABLE, BASELINE = "compare.toml", "prints.json", "table.md", "baseline.json"
RUNS, TRIALS = "runs", "trials"
Prints = dict[str, Any]
Rows = dict[str, list[dict[str, Any]]]
CHANGED = {
    "data": "the data have changed",
    "encoder": "the encoder's files have changed",
    "hierarchy": "the hierarchy has changed",
    "version": "labelcontrast has changed",
}
"""What the results depend on beside the settings, and what is said where it is not as it was."""


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """How a comparison is run; losses and seeds may have been added when it is resumed."""

    seeds: int = 3
    """Runs a loss."""
    baseline: bool = True
    """Add a row for a linear model on what needs no training."""
    keep_weights: bool = False
    """Keep every model; by default only results stay."""


def run_comparison(
    settings: RunSettings,
    losses: Sequence[LossSettings],
    folder: Path,
    options: Options = Options(),
    *,
    listeners: Callbacks = Callbacks(),  # noqa: B008  frozen
) -> Table:
    """Train every loss with every seed; results, table and page are written as the runs end.

    A run that fails is shown in the table's place with its one line; the others go on. What failed in an earlier
    command is tried again.

    Args:
        settings: what all runs share; their ``loss`` and ``seed`` are not looked at.
        losses: a row each.
        folder: where everything goes.
        options: how it is run.
        listeners: who hears of progress; of epochs, where the runs are in this process.

    Returns:
        The table, a row a loss; ``results.json`` holds every number.

    Raises:
        RunError: when the folder holds something and neither switch allows it.
        ConfigError: when the comparison to be resumed had other settings, or was made of something else.
    """
    data = load_data(settings := settings.model_copy(update={"seed": 0}))
    prints = take_prints(settings)
    claim_comparison(folder, settings, prints, resume=options.resume, force=options.force)
    for sentence in data.summary():
        listeners.on_message(sentence)
    baseline = _baseline(settings, data, folder) if options.baseline else None
    trials = plan_comparison(settings, losses, options.seeds, folder, prints)
    store = Store(folder / TRIALS)
    write = partial(_write, folder, settings, trials, baseline)
    unique = list({trial.key: trial for trial in reversed(trials)}.values())[::-1]
    _forget(unique, store)
    runner = Runner(options.device, keep_weights=options.keep_weights)
    if options.jobs == 1 and options.ray is None:
        runner = replace(runner, listeners=replace(listeners, on_message=lambda _: None))
    tell = _teller(unique, store, listeners.on_message, Pace(write))
    run_at(options.ray)(unique, store, runner, jobs=options.jobs, tell=tell)
    return write()


def take_prints(settings: RunSettings) -> Prints:
    """Say what the results depend on beside the settings."""
    return {
        "data": data_print(settings.data),
        "encoder": encoder_print(settings.encoder.name),
        "hierarchy": hierarchy_print(settings.hierarchy.file),
        "version": version("labelcontrast"),
    }


def plan_comparison(
    settings: RunSettings, losses: Sequence[LossSettings], seeds: int, folder: Path, prints: Prints
) -> list[Trial]:
    """Plan every loss with the first seed, then every loss with the second, so that a table is there early."""
    varied = [settings.model_copy(update={"loss": loss, "seed": seed}) for seed in range(seeds) for loss in losses]
    return [
        Trial(
            identify(one, data=prints["data"], encoder=prints["encoder"]),
            f"{one.loss.title}, seed {one.seed}" + (f", fold {one.tested_fold}" if one.folds else ""),
            one,
            folder / RUNS / f"{re.sub('[ =+*]', '-', one.loss.title)}-seed{one.seed}",
        )
        for one in varied
    ]


def claim_comparison(folder: Path, settings: RunSettings, prints: Prints, *, resume: bool, force: bool) -> None:
    """Make sure that a comparison may write here, and keep what its runs share and what they are runs of."""
    shared = settings.model_copy(update={"loss": LossSettings(), "seed": 0})
    if is_claimed(folder, SHARED, "comparison", resume=resume, force=force):
        if force:
            shutil.rmtree(folder)
        elif RunSettings.build(read_settings(folder / SHARED)) != shared:
            message = f"{folder / SHARED} has other settings than these; a comparison has one protocol."
            raise ConfigError(message)
        else:
            _refuse_other_prints(folder, prints)
    shared.write(folder / SHARED)
    write_json(folder / PRINTS, prints)


def _refuse_other_prints(folder: Path, prints: Prints) -> None:
    """Compare what the runs that are there were made of with what is there now."""
    before = read_json(folder / PRINTS) if (folder / PRINTS).exists() else {}
    for name, value in before.items():
        if value != prints[name]:
            message = f"{CHANGED[name]} since {folder} was begun; a comparison has one protocol."
            raise ConfigError(message)


def _forget(trials: Sequence[Trial], store: Store) -> None:
    """Let those run again that failed in an earlier command, or whose folder somebody has removed."""
    for trial in trials:
        record = store.read(trial.key)
        if record and ("error" in record or not is_finished(trial.folder.parent / record["folder"])):
            store.forget(trial.key)


def _teller(trials: Sequence[Trial], store: Store, say: Callable[[str], None], write: Pace) -> Tell:
    """Say what is done already, what begins and what fails; and let the table be written."""
    lines = {trial.key: f"[{place}/{len(trials)}] {trial.title}" for place, trial in enumerate(trials, start=1)}
    for trial in trials:
        if store.holds(trial.key):
            say(lines[trial.key])
            say("done before")

    def tell(event: Event) -> None:
        if event.kind == "begun":
            say(lines[event.key])
            return
        record = store.read(event.key) or {}
        if "error" in record:
            say(f"{record['title']} failed: {record['error']}")
        write()

    return tell


def _baseline(settings: RunSettings, first: RunData, folder: Path) -> dict[str, Any] | None:
    """Fit the baseline, on every fold that the runs are tested on, or read what it came to."""
    path = folder / BASELINE
    if not path.exists():
        others = range(1, settings.folds) if settings.folds and settings.fold is None else range(0)
        every = chain([first], (load_data(settings.model_copy(update={"seed": fold})) for fold in others))
        fitted = [
            fit_baseline(
                one.splits,
                HierarchyDecoder(one.tree, settings.hierarchy) if one.tree else None,
                keep=_baseline_outputs(folder, fold),
            )
            for fold, one in enumerate(every)
        ]
        found = fitted[0]
        if found and others:
            found = {"name": found["name"], "folds": [one for one in fitted if one]}
        write_json(path, found)
    result: dict[str, Any] | None = read_json(path)
    return result


def _baseline_outputs(folder: Path, fold: int) -> Path:
    """Where it is kept what the baseline says of the test examples."""
    return folder / BASELINE.replace(".json", f"-fold{fold}.safetensors" if fold else ".safetensors")


def _write(folder: Path, settings: RunSettings, trials: Sequence[Trial], baseline: dict[str, Any] | None) -> Table:
    """Write every number, the table and the page of the runs that have ended."""
    rows = _rows(trials, Store(folder / TRIALS))
    results: dict[str, Any] = {"data": settings.data, "settings": settings.model_dump(mode="json", exclude_none=True)}
    results |= {"baseline": baseline, "rows": rows, "origin": describe_origin()}
    write_json(folder / RESULTS, results)
    finished = [run for runs in rows.values() for run in runs if "metrics" in run]
    tested = {**FLAT, **{measure.name: measure.better for measure in hierarchy_metrics(count_levels(finished))}}
    write_json(folder / RESULTS, results | {"significance": find_best(_finished(folder, rows, baseline), tested)})
    summary = summarise_comparison(folder)
    write_text(folder / TABLE, as_markdown(summary.table) + "\n")
    write_comparison_report(folder / REPORT, summary)
    return summary.table


def _rows(trials: Sequence[Trial], store: Store) -> Rows:
    """Gather what the runs of each loss came to, a refusal too."""
    rows: Rows = {trial.settings.loss.title: [] for trial in trials}
    for trial in trials:
        record, seed = store.read(trial.key), trial.settings.seed
        if record is not None:
            told = {"error": record["error"]} if "error" in record else _result(record)
            rows[trial.settings.loss.title].append({"seed": seed, **told})
    return rows


def _result(record: Record) -> dict[str, Any]:
    """Take the result of a finished run, with where its folder is."""
    return {"folder": f"{RUNS}/{record['folder']}", **record["result"]}


def _finished(folder: Path, rows: Rows, baseline: dict[str, Any] | None) -> Runs:
    """Gather the runs that can be compared; the baseline draws nothing, so is the same for all runs of a fold."""
    found: dict[str, dict[int, Measured]] = {}
    for name, runs in rows.items():
        done = [run for run in runs if "metrics" in run]
        found[name] = {
            run["seed"]: Measured.beside(folder / run["folder"] / OUTPUTS, metrics_on_test(run), run.get("fold", 0))
            for run in done
        }
    if baseline:
        fits = baseline_runs(baseline)
        tested = {seed: run for runs in found.values() for seed, run in runs.items()}
        found[baseline["name"]] = {
            seed: replace(
                run,
                metrics=metrics_on_test(fits[run.fold % len(fits)]),
                outputs=_baseline_outputs(folder, run.fold % len(fits)),
            )
            for seed, run in tested.items()
        }
    kept = {name: {seed: run for seed, run in runs.items() if run.outputs.exists()} for name, runs in found.items()}
    return {name: runs for name, runs in kept.items() if runs}


LOSSES = ("bce", "zlpr", "reg")
EPOCHS = 8
SETTINGS = {
    "training": {"epochs": EPOCHS, "batch_size": 32, "learning_rate": 0.004},
    "encoder": {"name": "convnet", "image_size": 40},
}


def run_demo(folder: Path, *, force: bool = False, device: str = "cpu", listeners: Callbacks) -> Table:
    """Compose the pictures and compare the losses on them, one seed each.

    Args:
        folder: the data go into ``digits/`` and the comparison into ``comparison/``.
        force: remove a demo that is there.
        device: where features are computed.
        listeners: who hears of progress.

    Returns:
        The table of the comparison.
    """
    listeners.on_message("Composing 2,700 pictures of 1 to 4 real handwritten digits; zero is frequent, nine is rare.")
    data = write_digits(folder / "digits")
    settings = RunSettings.build({"data": str(data), **SETTINGS})
    options = Options(seeds=1, keep_weights=True, force=force, device=device)
    return run_comparison(
        settings, [LossSettings(name=name) for name in LOSSES], folder / "comparison", options, listeners=listeners
    )
