"""Report of a comparison, made from the files in its folder and in those of its runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

from labelcontrast.files import read_json
from labelcontrast.lab.pages import write_comparison_report
from labelcontrast.metrics.registry import HIERARCHICAL_METRICS, METRICS, Metric
from labelcontrast.reports.summary import ComparedLoss, ComparisonSummary
from labelcontrast.run.folder import PER_LABEL, REPORT
from labelcontrast.run.report import read_curves, run_facts
from labelcontrast.settings import flatten

RESULTS = "results.json"
VARIED = ("seed", "loss.name")
"""What a comparison varies from run to run."""
OF_LEVELS = ("macro_f1", "accuracy")
"""Of the measures of each level, what a comparison shows."""
COMPARED = ("hierarchical_f1", "lca_f1", "tree_distance_of_errors", "violations")
"""Of the measures over all levels, what a comparison shows."""


def flat_measures(found: Mapping[str, Any]) -> dict[str, float | None]:
    """List the measures of one part under one name each, those of levels too.

    Example:
        >>> found = {"violations": 0.25, "levels": [{"nodes": 2, "macro_f1": 0.5, "accuracy": None}]}
        >>> flat_measures(found)
        {'violations': 0.25, 'level_0_macro_f1': 0.5, 'level_0_accuracy': None}
    """
    flat = {name: value for name, value in found.items() if name in HIERARCHICAL_METRICS}
    levels = found["levels"]
    return flat | {
        f"level_{place}_{name}": level[name] for place, level in enumerate(levels) for name in level if name != "nodes"
    }


def write_comparison(folder: Path) -> Path:
    """Write the page of a comparison from the files in its folder."""
    page = folder / REPORT
    write_comparison_report(page, summarise_comparison(folder))
    return page


def compared_measures(levels: int) -> list[Metric]:
    """List what a comparison shows of a hierarchy of so many levels."""
    shown = [HIERARCHICAL_METRICS[name] for name in COMPARED]
    meanings = {"macro_f1": METRICS["macro_f1"].meaning, "accuracy": "Share of the examples that are right there."}
    return shown + [
        Metric(f"level_{level}_{name}", "higher", meanings[name]) for level in range(levels) for name in OF_LEVELS
    ]


def summarise_comparison(folder: Path) -> ComparisonSummary:
    """Gather the page of a comparison."""
    results = read_json(folder / RESULTS)
    runs = [run for row in results["rows"].values() for run in row if "metrics" in run]
    return ComparisonSummary(
        title=f"{', '.join(results['rows'])} on {Path(results['data']).name}",
        command=results["origin"]["command"],
        measures=list(METRICS.values()),
        losses=compared_losses(folder),
        over_hierarchy=over_hierarchy(folder),
        facts=run_facts(runs[0]) if runs else (),
        settings={name: value for name, value in flatten(results["settings"]).items() if name not in VARIED},
        warnings=runs[0]["warnings"] if runs else (),
        versions=results["origin"]["versions"],
        duration=sum(sum(run["seconds"].values()) for run in runs),
    )


def compared_losses(folder: Path) -> list[ComparedLoss]:
    """Gather the rows of a comparison: the baseline, where there is one, then a row a loss."""
    results = read_json(folder / RESULTS)
    baseline, tested = results["baseline"], results.get("significance", {})
    rows = []
    if baseline:
        measured = [measured_on_test(fit) for fit in baseline_runs(baseline)]
        rows = [ComparedLoss(name=baseline["name"], metrics=_by_metric(measured))]
    rows += [_compared_loss(folder, name, runs) for name, runs in results["rows"].items()]
    return [replace(row, as_good=_as_good(tested.get(row.name, {}))) for row in rows]


def baseline_runs(baseline: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """List what a baseline came to, on the one split or on every fold."""
    runs: list[Mapping[str, Any]] = baseline.get("folds", [baseline])
    return runs


def over_hierarchy(folder: Path) -> list[Metric]:
    """List what the runs of a comparison measured over a hierarchy; nothing where there is none."""
    runs = chain.from_iterable(read_json(folder / RESULTS)["rows"].values())
    levels = [len(run["hierarchy"]["test"]["levels"]) for run in runs if "hierarchy" in run]
    return compared_measures(max(levels)) if levels else []


def _compared_loss(folder: Path, name: str, runs: Sequence[Mapping[str, Any]]) -> ComparedLoss:
    """Gather one row: what its finished runs measured, and what its failed ones said."""
    finished = [run for run in runs if "metrics" in run]
    places = [folder / run["folder"] for run in finished]
    return ComparedLoss(
        name=name,
        metrics=_by_metric([measured_on_test(run) for run in finished]),
        seconds=[sum(run["seconds"].values()) for run in finished],
        per_label=_mean_per_label([read_json(place / PER_LABEL) for place in places]),
        curves=read_curves(places[0]) if places else {},
        runs=[(_named(run), f"{run['folder']}/{REPORT}") for run in finished],
        failures=[f"seed {run['seed']}: {run['error']}" for run in runs if "error" in run],
    )


def _named(run: Mapping[str, Any]) -> str:
    """Name a run of a loss."""
    return f"seed {run['seed']}, fold {run['fold']}" if "fold" in run else f"seed {run['seed']}"


def measured_on_test(run: Mapping[str, Any]) -> dict[str, float | None]:
    """List what a run measured on the test part, over its hierarchy too."""
    return {**run["metrics"]["test"], **(flat_measures(run["hierarchy"]["test"]) if "hierarchy" in run else {})}


def _by_metric(measured: Sequence[Mapping[str, float | None]]) -> dict[str, list[float]]:
    """Turn metrics by run into runs by metric; what could not be measured is left out."""
    names = dict.fromkeys([*METRICS, *chain.from_iterable(measured)])
    return {name: [value for run in measured if (value := run.get(name)) is not None] for name in names}


def _as_good(tested: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """Say on which metrics a loss is the best or not significantly worse."""
    return {metric: row["as_good"] for metric, row in tested.items()}


def _mean_per_label(tables: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, object]]:
    """Average the F1 of each label over the runs of a loss."""
    return [
        {"label": rows[0]["label"], "train_count": rows[0]["train_count"], "f1": fmean(row["f1"] for row in rows)}
        for rows in zip(*tables, strict=True)
    ]
