"""From the files of a run or of a comparison to its page; what the page shows is what the folder holds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from labelcontrast.config.files import flatten
from labelcontrast.errors import RunError
from labelcontrast.evaluation.metrics.catalogue import METRICS, Metric
from labelcontrast.evaluation.thresholds.rules import Thresholds
from labelcontrast.files import read_json
from labelcontrast.reports.pages import write_comparison_report, write_model_card, write_run_report
from labelcontrast.reports.summary import (
    ComparedLoss,
    ComparisonSummary,
    EmbeddingMap,
    HierarchySummary,
    RunSummary,
)
from labelcontrast.reports.tables import COUNTED, percent
from labelcontrast.run.folder import (
    MAP,
    PER_LABEL,
    PER_NODE,
    REPORT,
    THRESHOLDS,
    is_finished,
    load_settings,
)
from labelcontrast.run.folder import METRICS as METRICS_FILE
from labelcontrast.run.hierarchical.showing import compared_measures, flat_measures, summarise_hierarchy
from labelcontrast.training.history import HISTORY, read_history

CARD, RESULTS = "README.md", "results.json"
VARIED = ("seed", "loss.name")
"""What a comparison varies from run to run."""
MAPPED_LABELS = 7
"""As many labels of the map have a colour as there are colours that everyone tells apart."""


def write_report(folder: Path) -> Path:
    """Write the page of a run, with its model card, or of a comparison, from what the folder holds.

    Raises:
        RunError: when the folder is neither a finished run nor a comparison.
    """
    page = folder / REPORT
    if (folder / RESULTS).exists():
        write_comparison_report(page, summarise_comparison(folder))
    elif is_finished(folder):
        summary, thresholds = summarise_run(folder), Thresholds.load(folder / THRESHOLDS)
        write_run_report(page, summary)
        write_model_card(
            folder / CARD,
            summary,
            kind=read_json(folder / METRICS_FILE)["kind"],
            threshold=float(thresholds.values.mean()),
            rule=thresholds.rule,
        )
    else:
        message = f"{folder} is neither a finished run nor a comparison."
        raise RunError(message)
    return page


def summarise_run(folder: Path) -> RunSummary:
    """Gather the page of a run."""
    result, settings = read_json(folder / METRICS_FILE), load_settings(folder)
    return RunSummary(
        title=f"{settings.loss.title} on {Path(settings.data).name}",
        command=result["command"],
        measures=list(METRICS.values()),
        metrics=result["metrics"],
        facts=[
            *_facts(result),
            ("epoch kept", result["best_epoch"]),
            *_embedding_facts(result.get("representation", {})),
        ],
        per_label=read_json(folder / PER_LABEL),
        curves=read_curves(folder),
        reliability={
            name: (one["count"], one["said"], one["true"]) for name, one in result.get("reliability", {}).items()
        },
        embedding=_read_map(folder / MAP) if (folder / MAP).exists() else None,
        hierarchy=_hierarchy(folder, result["hierarchy"]) if "hierarchy" in result else None,
        settings=flatten(settings.model_dump(mode="json", exclude_none=True)),
        warnings=result["warnings"],
        versions=result["versions"],
        duration=sum(result["seconds"].values()),
    )


def _hierarchy(folder: Path, found: Mapping[str, Any]) -> HierarchySummary:
    """Gather what the page shows of the hierarchy of a run."""
    drawn = read_json(folder / MAP) if (folder / MAP).exists() else {}
    maps = [_as_map(drawn, label_sets) for label_sets in drawn.get("levels", ())]
    return summarise_hierarchy(found, read_json(folder / PER_NODE), maps)


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
        facts=_facts(runs[0]) if runs else (),
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


def read_curves(folder: Path) -> dict[str, tuple[list[float], list[float]]]:
    """Read the learning curves of a run, by epoch."""
    history = read_history(folder / HISTORY)
    epochs = [float(epoch.epoch) for epoch in history]
    names = {"loss": "training loss", "score": "validation mAP", "learning_rate": "learning rate"}
    curves = {title: (epochs, [asdict(epoch)[name] for epoch in history]) for name, title in names.items()}
    for name in history[0].diagnostics if history else ():
        curves[COUNTED.get(name, name)] = (epochs, [epoch.diagnostics[name] for epoch in history])
    return curves


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


def _embedding_facts(found: Mapping[str, Any]) -> list[tuple[str, object]]:
    """List what was measured of the test embeddings without a probe."""
    named = {
        "alignment": "alignment of equal label sets, lower is better",
        "uniformity": "uniformity, lower is more even",
        "effective_rank": "effective rank",
    }
    facts: list[tuple[str, object]] = [
        (said, f"{found[name]:.3g}") for name, said in named.items() if found.get(name) is not None
    ]
    if "neighbours" in found:
        facts.append(("mAP of nearest neighbours", percent(found["neighbours"]["map_macro"])))
    return facts


def _read_map(path: Path) -> EmbeddingMap:
    """Read the map of embeddings, with one label a point to colour it by."""
    drawn = read_json(path)
    return _as_map(drawn, drawn["labels"])


def _as_map(drawn: Mapping[str, Any], label_sets: Sequence[Sequence[str]]) -> EmbeddingMap:
    """Colour the map by some labels of each point."""
    return EmbeddingMap(coordinates=np.array(drawn["points"]), labels=_rarest_label(label_sets), method=drawn["method"])


def _rarest_label(label_sets: Sequence[Sequence[str]]) -> list[str | None]:
    """Colour each point by the rarest of its labels among the most frequent of the map; others stay grey."""
    counts = Counter(label for labels in label_sets for label in labels)
    shown = {label for label, _ in counts.most_common(MAPPED_LABELS)}
    return [
        min((label for label in labels if label in shown), key=counts.__getitem__, default=None)
        for labels in label_sets
    ]


def _facts(result: Mapping[str, Any]) -> list[tuple[str, object]]:
    """List what the run was made of and on which machine."""
    machine, examples = result["machine"], result["examples"]
    return [
        ("examples", ", ".join(f"{count:,} {part}" for part, count in examples.items())),
        ("labels", result["labels"]),
        ("encoder parameters", f"{result['encoder_parameters']:,}"),
        ("machine", f"{machine['processors']} processors, {machine['memory_gib']} GiB"),
        ("accelerator", machine["accelerator"] or "none"),
        ("date", result["date"]),
    ]
