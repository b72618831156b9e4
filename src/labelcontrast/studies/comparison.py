"""Several losses with several seeds on the same data under the same protocol, and one table.

A comparison's folder holds ``compare.toml`` (what all runs share), ``runs/`` (a run folder a trial), ``results.json``
(every number), ``table.md`` and ``report.html``. What is done is not done again.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labelcontrast.config.files import read_settings
from labelcontrast.config.sections import Loss
from labelcontrast.config.settings import RunSettings
from labelcontrast.data.splitting.splits import Splits
from labelcontrast.errors import ConfigError, LabelContrastError, RunError
from labelcontrast.evaluation.metrics.measures import METRICS
from labelcontrast.experiment import run_experiment
from labelcontrast.files import write_text
from labelcontrast.reports.tables import Table, as_markdown, comparison_table
from labelcontrast.run.folder import OUTPUTS, drop_weights, is_finished, read_json, write_json
from labelcontrast.run.material import Listeners, introduce, read_data
from labelcontrast.run.provenance import describe_origin
from labelcontrast.run.reporting import RESULTS, compared_losses
from labelcontrast.studies.baseline import fit_baseline
from labelcontrast.studies.grid import Trial, build_grid
from labelcontrast.studies.significance import Measured, Runs, find_best

SHARED, TABLE, BASELINE = "compare.toml", "table.md", "baseline.json"


@dataclass(frozen=True)
class Options:
    """How a comparison is run."""

    seeds: int = 3
    """Runs a loss."""
    baseline: bool = True
    """Add a row for a linear model on what needs no training."""
    keep_weights: bool = False
    """Keep every model; by default only results stay."""
    resume: bool = False
    """Go on with the comparison that is there; losses and seeds may have been added."""
    force: bool = False
    """Remove the comparison that is there."""
    device: str = "cpu"
    """Where features are computed."""


def run_comparison(
    settings: RunSettings,
    losses: Sequence[Loss],
    folder: Path,
    options: Options = Options(),
    *,
    listeners: Listeners = Listeners(),  # noqa: B008  frozen
) -> Table:
    """Train every loss with every seed, and write the table after each run.

    A run that fails is shown in the table's place with its one line; the others go on.

    Args:
        settings: what all runs share; their ``loss`` and ``seed`` are not looked at.
        losses: a row each.
        folder: where everything goes.
        options: how it is run.
        listeners: who hears of progress.

    Returns:
        The table, a row a loss; ``results.json`` holds every number.

    Raises:
        RunError: when the folder holds something and neither switch allows it.
        ConfigError: when the comparison to be resumed had other settings.
    """
    data = read_data(settings)
    claim_comparison(folder, settings, resume=options.resume, force=options.force)
    for sentence in introduce(data):
        listeners.say(sentence)
    baseline = _baseline(data.splits, folder / BASELINE) if options.baseline else None
    trials = build_grid(settings, list(losses), options.seeds)
    rows: dict[str, list[dict[str, Any]]] = {trial.name: [] for trial in trials}
    for number, trial in enumerate(trials, start=1):
        listeners.say(f"[{number}/{len(trials)}] {trial.name}, seed {trial.settings.seed}")
        rows[trial.name].append(_run(trial, folder / "runs" / trial.folder, options, listeners))
        results = {"baseline": baseline, "rows": rows, "origin": describe_origin()}
        results["significance"] = find_best(_finished(folder, rows, baseline))
        write_json(
            folder / RESULTS,
            {"data": settings.data, "settings": settings.model_dump(mode="json", exclude_none=True), **results},
        )
        table = comparison_table(compared_losses(folder), list(METRICS.values()))
        write_text(folder / TABLE, as_markdown(table) + "\n")
    return table


def claim_comparison(folder: Path, settings: RunSettings, *, resume: bool, force: bool) -> None:
    """Make sure that a comparison may write here, and say in ``compare.toml`` what its runs share."""
    shared = settings.model_copy(update={"loss": Loss(), "seed": 0})
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not (folder / SHARED).exists():
            message = f"{folder} is not empty and is not a comparison; choose another folder."
            raise RunError(message)
        if force:
            shutil.rmtree(folder)
        elif not resume:
            message = (
                f"{folder} holds a comparison; go on with --resume, start anew with --force, or choose another folder."
            )
            raise RunError(message)
        elif RunSettings.build(read_settings(folder / SHARED)) != shared:
            message = f"{folder / SHARED} has other settings than these; a comparison has one protocol."
            raise ConfigError(message)
    shared.write(folder / SHARED)


def _run(trial: Trial, folder: Path, options: Options, listeners: Listeners) -> dict[str, Any]:
    """Run one trial, or read what it came to; a refusal is a result too."""
    done = is_finished(folder)
    try:
        quiet = replace(listeners, say=lambda _: None)
        result = run_experiment(trial.settings, folder, resume=True, device=options.device, listeners=quiet)
    except LabelContrastError as error:
        listeners.say(f"failed: {error}")
        return {"seed": trial.settings.seed, "error": str(error)}
    if done:
        listeners.say("done before")
    elif not options.keep_weights:
        drop_weights(folder)
    return {"seed": trial.settings.seed, "folder": f"runs/{folder.name}", **result}


def _baseline(splits: Splits, path: Path) -> dict[str, Any] | None:
    """Fit the baseline, or read what it came to."""
    if not path.exists():
        write_json(path, fit_baseline(splits, keep=path.with_suffix(".safetensors")))
    result: dict[str, Any] | None = read_json(path)
    return result


def _finished(folder: Path, rows: dict[str, list[dict[str, Any]]], baseline: dict[str, Any] | None) -> Runs:
    """Gather the runs that can be compared; the baseline draws nothing, so it is the same under every seed."""
    found = {}
    for name, runs in rows.items():
        done = [run for run in runs if "metrics" in run]
        found[name] = {run["seed"]: Measured(run["metrics"]["test"], folder / run["folder"] / OUTPUTS) for run in done}
    if baseline:
        seeds = {seed for runs in found.values() for seed in runs}
        measured = Measured(baseline["metrics"]["test"], (folder / BASELINE).with_suffix(".safetensors"))
        found[baseline["name"]] = dict.fromkeys(seeds, measured)
    kept = {name: {seed: run for seed, run in runs.items() if run.outputs.exists()} for name, runs in found.items()}
    return {name: runs for name, runs in kept.items() if runs}
