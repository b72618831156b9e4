"""What the verbs about many runs do and print: comparisons, studies, searches, ranks and their pages; imports torch."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from labelcontrast.cli.output import say, show, show_json
from labelcontrast.cli.printing import (
    AFTERWARDS,
    callbacks,
    duration,
    gigabytes,
    pick_device,
    show_evaluation,
    show_metrics,
)
from labelcontrast.errors import RunError
from labelcontrast.files import read_json
from labelcontrast.lab.comparison import (
    DEMO_RUN,
    fingerprint_comparison,
    plan_comparison,
    run_comparison,
    run_demo,
    shared_settings,
)
from labelcontrast.lab.comparison_report import RESULTS, summarise_comparison, write_comparison
from labelcontrast.lab.pipeline import TRIALS, Options, Progress, estimate_missing
from labelcontrast.lab.ranks import rank_comparisons
from labelcontrast.lab.search import BEST, SEARCH, read_histories, run_search, write_search
from labelcontrast.lab.search_space import SearchedLoss
from labelcontrast.lab.shards import ShardRunner, describe_shard, measure_shards, run_shards
from labelcontrast.lab.study import GridTrial, Study
from labelcontrast.lab.study_report import STUDY, list_results, name_trials, read_outcomes, run_study, write_study
from labelcontrast.lab.trials import Store, Trial
from labelcontrast.metrics.registry import METRICS
from labelcontrast.reports.tables import (
    Cell,
    Table,
    as_text,
)
from labelcontrast.run.folder import METRICS as RUN
from labelcontrast.run.folder import REPORT
from labelcontrast.run.report import write_report
from labelcontrast.run.validation import load_plugins
from labelcontrast.settings import LossSettings, RunSettings

MARK = "* the best mean of its column, or one that was tested and is not significantly worse"
"""Meaning of the star in the tables of comparisons and studies."""


def print_planned_comparison(
    settings: RunSettings, losses: list[LossSettings], out: Path, *, seeds: int, jobs: int, as_json: bool = False
) -> None:
    """Print the runs that a comparison would do, as ``print_estimate`` does; the baselines are not timed."""
    load_plugins(settings.plugins)
    shared = shared_settings(settings)
    trials = plan_comparison(shared, losses, seeds, out, fingerprint_comparison(shared))
    _show_planned(trials, Store(out / TRIALS), jobs=jobs, as_json=as_json)


def print_planned_study(
    planned: Sequence[GridTrial], out: Path, *, store: Path | None, jobs: int, as_json: bool = False
) -> None:
    """Print the trials that a study would run, as ``print_estimate`` does."""
    records = Store(Path(store or out / TRIALS))
    _show_planned(name_trials(planned, records), records, jobs=jobs, as_json=as_json)


def _show_planned(trials: Sequence[Trial], store: Store, *, jobs: int, as_json: bool) -> None:
    found = estimate_missing(trials, store, device=pick_device())
    if as_json:
        for one in found:
            show_json(asdict(one) | {"seconds": one.seconds})
        return
    rows = [
        (
            Cell(one.title),
            Cell(str(one.number)),
            Cell(f"{one.each.steps:,}"),
            Cell(f"{one.each.seconds_per_step:.3g}"),
            Cell(duration(one.seconds)),
            Cell(gigabytes(one.each.memory)),
        )
        for one in found
    ]
    show(as_text(Table(("would run", "trials", "batches each", "s a batch", "time", "memory"), tuple(rows))))
    done = len({trial.key for trial in trials}) - sum(one.number for one in found)
    if done:
        show(f"{done} trials were done before")
    show(f"together {duration(sum(one.seconds for one in found) / jobs)} at {jobs} at a time, before {AFTERWARDS}")


def print_demo(out: Path, *, force: bool) -> None:
    """Run the demo, and print its tables, its pages and the commands to try next."""
    table, result = run_demo(out, force=force, device=pick_device(), callbacks=callbacks())
    run = out / DEMO_RUN
    show("three losses, each with the probe or head alone")
    _show_marked(table)
    show("\nthe model of reg, blended with the nearest training pictures")
    show_metrics(result)
    show(f"\nPictures and their predicted labels, mistakes first: {run / REPORT}")
    show(f"The comparison, with figures: {out / 'comparison' / REPORT}")
    show(f"\nPredict: labelcontrast predict {run} {out / 'digits' / 'images'}")
    show("Your own data: labelcontrast train YOUR_FILE --out run")
    show("Which loss helps there: labelcontrast compare YOUR_FILE --losses bce,zlpr,reg --out results")


def print_comparison(
    settings: RunSettings,
    losses: list[LossSettings],
    out: Path,
    options: Options,
    *,
    seeds: int,
    baseline: bool,
    keep_weights: bool,
    as_json: bool = False,
) -> None:
    """Compare losses and print the table; or as JSON every loss with the test metrics of its runs."""
    table = run_comparison(
        settings,
        losses,
        out,
        seeds=seeds,
        baseline=baseline,
        keep_weights=keep_weights,
        options=replace(options, device=pick_device()),
        callbacks=callbacks(),
    )
    summary = summarise_comparison(out)
    if as_json:
        for one in summary.losses:
            values = {name: getattr(one, name) for name in ("metrics", "seconds", "failures")}
            show_json({"loss": one.name, **values, "as_good": one.as_good})
        return
    _show_marked(table)
    if over_hierarchy := summary.hierarchy_table:
        show("\nover the hierarchy\n" + as_text(over_hierarchy))
    show(f"\nreport in {out / REPORT}")


def print_study(
    study: Study,
    data: list[str],
    settings: dict[str, Any],
    out: Path,
    options: Options,
    *,
    store: Path | None,
    as_json: bool = False,
) -> None:
    """Run a study and print its table; or as JSON every trial with every quantity."""
    options = replace(options, device=pick_device())
    table = run_study(study, data, settings, out, store=store, options=options, say=say)
    if as_json:
        names, *rows = list_results(study, read_outcomes(out, read_json(out / STUDY)))
        for row in rows:
            show_json(dict(zip(map(str, names), row, strict=True)))
        return
    _show_marked(table)
    show(f"\nreport in {out / REPORT}")


def print_search(
    settings: RunSettings,
    searched: list[SearchedLoss],
    out: Path,
    options: Options,
    *,
    trials: int,
    store: Path | None,
    as_json: bool = False,
) -> None:
    """Run a search and print the table of the best settings; or as JSON every trial with its values and score."""
    options = replace(options, device=pick_device())
    table = run_search(settings, searched, out, trials=trials, store=store, options=options, say=say)
    if as_json:
        for found in read_histories(out, read_json(out / SEARCH)):
            for number, one in enumerate(found.trials, start=1):
                scored = {"map_macro": one.score, "error": one.error}
                show_json({"loss": found.loss, "trial": number, "values": one.values, **scored})
        return
    _show_marked(table, "* the best of all trials")
    show(f"\nbest settings in {out / BEST}, report in {out / REPORT}")


def print_ranks(folders: Sequence[Path], out: Path, *, as_json: bool = False) -> None:
    """Rank losses over comparisons and print their mean ranks."""
    rankings = rank_comparisons(folders, out)
    if as_json:
        show_json({name: asdict(one) for name, one in rankings.items()})
        return
    first = next(iter(rankings.values()))
    rows = [(Cell(name), *(Cell(f"{one.ranks[name]:.2f}") for one in rankings.values())) for name in first.ranks]
    show(as_text(Table(("mean rank", *(METRICS[name].title for name in rankings)), tuple(rows))))
    show(f"\ncritical difference {first.critical_difference:.2f}; report in {out}")


def print_report(folder: Path) -> None:
    """Write the report of a run, a comparison, a study or a search again, and print its path.

    Raises:
        RunError: The folder is none of these.
    """
    writers: dict[str, Callable[[Path], object]] = {
        STUDY: write_study,
        SEARCH: write_search,
        RESULTS: write_comparison,
        RUN: write_report,
    }
    write = next((writer for marker, writer in writers.items() if (folder / marker).exists()), None)
    if write is None:
        state = "is neither a finished run, a comparison, a study nor a search" if folder.exists() else "does not exist"
        raise RunError(f"{folder} {state}.")
    write(folder)
    show(str(folder / REPORT))


def _show_marked(table: Table, mark: str = MARK) -> None:
    show("\n" + as_text(table))
    if any(cell.best for row in table.rows for cell in row):
        show(mark)


def print_shards(runner: ShardRunner, source: str, out: Path, how: Options, *, as_json: bool = False) -> None:
    """Compute the outputs of a folder of files, a line for each, and print how many there are, or their metrics."""
    progress = Progress(say, name=runner.verb, describe=describe_shard, what="files")
    files, examples = run_shards(source, out, runner, how, progress)
    if runner.verb == "evaluate":
        found = measure_shards(runner.run, out)
        if as_json:
            show_json(
                {"run": str(runner.run), "split": runner.split, "files": files, "examples": examples, **asdict(found)}
            )
            return
        show_evaluation(found, runner.split)
    show(f"{examples:,} examples in {files} files in {out}")
