"""Tables, figures and page of a comparison, made from the files in its folder and in those of its runs.

Numbers are percents with two decimals: the mean over seeds and, with two or more seeds, ± the standard deviation
(n - 1). The best mean of a column is marked, and so are those that a test finds not significantly worse. Means that are
equal to two decimals count as equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from math import isfinite, nan
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from labelcontrast.files import read_json
from labelcontrast.lab.trial_pages import draw_dots
from labelcontrast.metrics.registry import HIERARCHICAL_METRICS, LEVEL_METRICS, METRICS, Metric
from labelcontrast.reports.figures import (
    PANEL,
    add_legend,
    as_svg,
    binned_means,
    canvas,
    frequency_and_f1,
    frequency_axes,
    style_of,
)
from labelcontrast.reports.pages import HEADLINES, write_page
from labelcontrast.reports.summary import Measure, PageSummary
from labelcontrast.reports.tables import NOTHING, Cell, Table, percent
from labelcontrast.run.folder import PER_LABEL, REPORT
from labelcontrast.run.report import read_curves, run_facts
from labelcontrast.settings import flatten

if TYPE_CHECKING:
    from labelcontrast.reports.summary import Curve

RESULTS = "results.json"
VARIED = ("seed", "loss.name")
"""Settings that differ from run to run."""
CHOSEN_BY = "macro_f1"
"""The metric of test by which a page says what to choose."""
PER_LEVEL = ("macro_f1", "accuracy")
"""Metrics shown for each level of a hierarchy."""
OVER_ALL_LEVELS = ("hierarchical_f1", "lca_f1", "tree_distance_of_errors", "violations")
"""Metrics shown over all levels."""


@dataclass(frozen=True, kw_only=True)
class ComparedLoss:
    """One row of a comparison: the results of all finished runs of a loss, in the order of the seeds."""

    name: str
    metrics: Mapping[str, Sequence[float]]
    """Test metrics, one value per run."""
    seconds: Sequence[float] = ()
    per_label: Sequence[Mapping[str, Any]] = ()
    """Rows with ``label``, ``train_count`` and ``f1``, averaged over seeds."""
    curves: Mapping[str, "Curve"] = field(default_factory=dict)
    """Learning curves by epoch, of the first run."""
    runs: Sequence[tuple[str, str]] = ()
    """Title and relative link of each run."""
    failures: Sequence[str] = ()
    """One line for each run that failed."""
    as_good: Mapping[str, bool] = field(default_factory=dict)
    """For each tested metric, True if the loss is the best or not significantly worse."""
    interval: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """For each tested metric, the 95 % interval of the difference from the best loss."""


@dataclass(frozen=True, kw_only=True)
class ComparisonSummary(PageSummary):
    """Several losses under one protocol on one data set, each with several seeds."""

    measures: Sequence[Measure]
    losses: Sequence[ComparedLoss]
    over_hierarchy: Sequence[Measure] = ()
    """Metrics over a hierarchy, shown in a table of their own; empty without a hierarchy."""

    @property
    def table(self) -> Table:
        """The table of losses by metrics."""
        return comparison_table(self.losses, self.measures)

    @property
    def hierarchy_table(self) -> Table | None:
        """The table of losses by metrics over the hierarchy; None without a hierarchy."""
        return hierarchy_comparison_table(self.losses, self.over_hierarchy) if self.over_hierarchy else None


def write_comparison(folder: str | Path) -> Path:
    """Write the page of a comparison from the files in its folder and return its path."""
    page = Path(folder) / REPORT
    write_comparison_report(page, summarise_comparison(Path(folder)))
    return page


def summarise_comparison(folder: Path) -> ComparisonSummary:
    """Read the results of a comparison from its folder."""
    results = read_json(folder / RESULTS)
    runs = [run for row in results["rows"].values() for run in row if "metrics" in run]
    return ComparisonSummary(
        title=f"{', '.join(results['rows'])} on {Path(results['data']).name}",
        command=results["origin"]["command"],
        measures=list(METRICS.values()),
        losses=_compared_losses(folder, results),
        over_hierarchy=hierarchy_metrics(count_levels(runs)),
        facts=run_facts(runs[0]) if runs else (),
        settings={name: value for name, value in flatten(results["settings"]).items() if name not in VARIED},
        warnings=runs[0]["warnings"] if runs else (),
        versions=results["origin"]["versions"],
        duration=sum(sum(run["seconds"].values()) for run in runs),
    )


def write_comparison_report(path: Path, summary: ComparisonSummary) -> None:
    """Write the page of a comparison.

    Args:
        path: The HTML file; links to the runs are relative to its folder.
        summary: The content of the page; empty sections are left out.
    """
    shown = [measure for measure in summary.measures if measure.name in HEADLINES]
    figures = {
        "dots": dot_figures(summary.losses, shown),
        "tail": [tail_figure(summary.losses)] if any(loss.per_label for loss in summary.losses) else [],
        "learning": learning_figures(summary.losses),
    }
    named = [measure for measure in summary.over_hierarchy if not measure.name.startswith("level_")]
    advice = recommend(summary.losses, shown)
    content = {"table": summary.table, "over": summary.hierarchy_table, "named": named, "advice": advice}
    write_page(path, "comparison.html", figures, summary=summary, **content)


def recommend(losses: Sequence[ComparedLoss], measures: Sequence[Measure]) -> str:
    """Say which loss to choose by macro-F1, what the other measures say, and how sure that is; empty for one loss.

    Example:
        >>> losses = [ComparedLoss(name="bce", metrics={"macro_f1": [0.40, 0.42]}, as_good={"macro_f1": False}),
        ...           ComparedLoss(name="reg", metrics={"macro_f1": [0.50, 0.52]}, as_good={"macro_f1": True})]
        >>> print(recommend(losses, [METRICS["macro_f1"]]))
        Choose reg: its macro-F1, in which a rare label counts as much as a frequent one, is the highest, 51.00 %, \
10.00 points above bce. Significantly worse: bce.
    """
    means = {loss.name: _finite_mean(loss, CHOSEN_BY) for loss in losses}
    ranked = sorted((loss for loss in losses if isfinite(means[loss.name])), key=lambda loss: -means[loss.name])
    if len(ranked) < 2:
        return ""
    best, second = ranked[:2]
    title, top, gap = METRICS[CHOSEN_BY].title, means[best.name], means[best.name] - means[second.name]
    said = [
        f"Choose {best.name}: its {title}, in which a rare label counts as much as a frequent one, is the highest, "
        f"{percent(top)} %, {percent(gap)} points above {second.name}."
    ]
    tested = {loss.name: loss.as_good.get(CHOSEN_BY) for loss in ranked[1:]}
    groups = (("Significantly worse", False), ("Not significantly worse", True), ("Not tested", None))
    for verdict, group in groups:
        if names := [f"{loss.name}{_interval(loss)}" for loss in ranked[1:] if tested[loss.name] is group]:
            said.append(f"{verdict}: {', '.join(names)}.")
    faster = [
        loss
        for loss in ranked[1:]
        if tested[loss.name] and loss.seconds and best.seconds and fmean(loss.seconds) < 0.8 * fmean(best.seconds)
    ]
    if faster:
        quick = min(faster, key=lambda loss: fmean(loss.seconds))
        seconds = f"{fmean(quick.seconds):.0f} s a run instead of {fmean(best.seconds):.0f}"
        said.append(f"Where time counts, take {quick.name}: {seconds}.")
    for measure in measures:
        values = {loss.name: value for loss in losses if isfinite(value := _finite_mean(loss, measure.name))}
        if measure.name == CHOSEN_BY or best.name not in values:
            continue
        other = max(values, key=values.__getitem__)
        if other != best.name:
            sure = {True: ", not significantly", False: ", significantly", None: ""}[best.as_good.get(measure.name)]
            numbers = f"{percent(values[other])} % against {percent(values[best.name])} %"
            said.append(f"By {measure.title}, {other} is ahead{sure}: {numbers}.")
    if max(len(loss.metrics[CHOSEN_BY]) for loss in ranked) == 1:
        said.append("With one run each, how much another seed changes the order is unknown: compare with --seeds 3.")
    return " ".join(said)


def comparison_table(losses: Sequence[ComparedLoss], measures: Sequence[Measure]) -> Table:
    """Tabulate losses by metrics, with the number of finished runs and the seconds per run.

    Example:
        >>> from labelcontrast.reports.tables import as_text
        >>> losses = [ComparedLoss(name="bce", metrics={"micro_f1": [0.61, 0.63]}, seconds=[40, 42]),
        ...           ComparedLoss(name="reg", metrics={"micro_f1": [0.64, 0.65]}, seconds=[50, 54])]
        >>> print(as_text(comparison_table(losses, [METRICS["micro_f1"]])))
        loss      micro-F1  runs  s/run
        bce   62.00 ± 1.41     2     41
        reg  *64.50 ± 0.71     2     52
    """
    columns = [_metric_column(losses, measure) for measure in measures]
    runs = [Cell(_count_runs(loss)) for loss in losses]
    seconds = [Cell(f"{fmean(loss.seconds):.0f}" if loss.seconds else NOTHING) for loss in losses]
    names = [Cell(loss.name) for loss in losses]
    header = ("loss", *(measure.title for measure in measures), "runs", "s/run")
    return Table(header, tuple(zip(names, *columns, runs, seconds, strict=True)))


def hierarchy_comparison_table(losses: Sequence[ComparedLoss], measures: Sequence[Measure]) -> Table:
    """Tabulate losses by metrics over the hierarchy; losses without any of these metrics are left out.

    Example:
        >>> losses = [ComparedLoss(name="linear SVM", metrics={"micro_f1": [0.4]}),
        ...           ComparedLoss(name="himulcon", metrics={"violations": [0.25, 0.75]})]
        >>> hierarchy_comparison_table(losses, [HIERARCHICAL_METRICS["violations"]]).rows
        ((Cell(text='himulcon', best=False), Cell(text='50.00 ± 35.36', best=False)),)
    """
    names = {measure.name for measure in measures}
    table = comparison_table([loss for loss in losses if names & set(loss.metrics)], measures)
    width = 1 + len(measures)  # runs and seconds stand in the table of the losses
    return Table(table.header[:width], tuple(row[:width] for row in table.rows))


def count_levels(runs: Sequence[Mapping[str, Any]]) -> int:
    """Count the levels of the hierarchy of finished runs; 0 without a hierarchy."""
    return max((len(run["hierarchy"]["test"]["levels"]) for run in runs if "hierarchy" in run), default=0)


def hierarchy_metrics(levels: int) -> list[Metric]:
    """List the metrics that a comparison shows of a hierarchy with this number of levels."""
    if levels == 0:
        return []
    per_level = [(level, LEVEL_METRICS[name]) for level in range(levels) for name in PER_LEVEL]
    return [HIERARCHICAL_METRICS[name] for name in OVER_ALL_LEVELS] + [
        replace(one, name=f"level_{level}_{one.name}", title=f"{one.title}, level {level}") for level, one in per_level
    ]


def metrics_on_test(run: Mapping[str, Any]) -> dict[str, float | None]:
    """Return all test metrics of a run or a baseline, including those over its hierarchy."""
    return {**run["metrics"]["test"], **(flat_measures(run["hierarchy"]["test"]) if "hierarchy" in run else {})}


def flat_measures(found: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the hierarchical metrics of one split as a flat mapping, with a key per level and metric.

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


def list_baselines(stored: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401
    """Return the baselines of a comparison; an earlier version stored one or null instead of a list.

    Example:
        >>> [one["name"] for one in list_baselines({"name": "linear SVM"})], list_baselines(None)
        (['linear SVM'], [])
    """
    return stored if isinstance(stored, list) else [stored] if stored else []


def baseline_runs(baseline: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the results of a baseline on each fold; one result without cross-validation."""
    runs: list[Mapping[str, Any]] = baseline.get("folds", [baseline])
    return runs


def dot_figures(losses: Sequence[ComparedLoss], measures: Sequence[Measure]) -> list[str]:
    """Draw one figure per metric: a dot for each run and a bar at the mean of each loss."""
    drawn = []
    for measure in measures:
        percents = [100 * np.array(loss.metrics.get(measure.name, ()), dtype=float) for loss in losses]
        rows = [(loss.name, own[np.isfinite(own)]) for loss, own in zip(losses, percents, strict=True)]
        with canvas(width=PANEL[0], height=0.26 * len(losses) + 0.8) as (figure, axes):
            draw_dots(axes, rows)
            axes.set(title=measure.title, xlabel=f"% ({measure.better} is better)")
            means = ", ".join(f"{name} {own.mean():.1f}" for name, own in rows if own.size)
            drawn.append(as_svg(figure, alternative=f"{measure.title} in percent, mean: {means}."))
    return drawn


def tail_figure(losses: Sequence[ComparedLoss]) -> str:
    """Draw the mean F1 of labels of similar frequency against their frequency, a line for each loss."""
    described, middles, highest = [], [], 0.0
    with canvas() as (figure, axes):
        for place, loss in enumerate(losses):
            if loss.per_label:
                middle, mean = binned_means(*frequency_and_f1(loss.per_label))
                color, marker = style_of(place)
                axes.plot(middle, mean, color=color, marker=marker, markersize=5, linewidth=1.8, label=loss.name)
                described.append(
                    f"{loss.name} from {mean[0]:.0f} % for the rarest to {mean[-1]:.0f} % for the most frequent"
                )
                middles.append(middle)
                highest = max(highest, mean.max())
        frequency_axes(axes, np.concatenate(middles))
        axes.set_ylim(-2, min(104, 1.25 * highest + 5))
        add_legend(figure, "outside upper left", columns=6)
        return as_svg(figure, alternative=f"Mean F1 by frequency of the label: {'; '.join(described)}.")


def learning_figures(losses: Sequence[ComparedLoss]) -> list[str]:
    """Draw the learning curves: one figure per quantity, with a line for each loss that has it."""
    drawn = []
    for name in dict.fromkeys(name for loss in losses for name in loss.curves):
        with canvas(width=PANEL[0], height=PANEL[1] + 0.3) as (figure, axes):
            for place, loss in enumerate(losses):
                if name in loss.curves:
                    color, marker = style_of(place)
                    epochs, values = loss.curves[name]
                    every = max(len(epochs) // 8, 1)
                    axes.plot(
                        epochs, values, color=color, marker=marker, markevery=every, markersize=4, label=loss.name
                    )
            axes.set(title=name, xlabel="epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            add_legend(figure, "outside lower left", columns=4, fontsize=8, columnspacing=1)
            drawn.append(as_svg(figure, alternative=f"{name} by epoch, a line for each loss that has it."))
    return drawn


def _compared_losses(folder: Path, results: Mapping[str, Any]) -> list[ComparedLoss]:
    """Return the rows of a comparison: the baselines, if any, then the losses."""
    tested, rows = results.get("significance", {}), []
    for baseline in list_baselines(results["baseline"]):
        fits = [metrics_on_test(fit) for fit in baseline_runs(baseline)]
        rows.append(ComparedLoss(name=baseline["name"], metrics=_by_metric(fits)))
    rows += [_compared_loss(folder, name, runs) for name, runs in results["rows"].items()]
    return [
        replace(
            row,
            as_good={metric: one["as_good"] for metric, one in tested.get(row.name, {}).items()},
            interval={m: one["interval"] for m, one in tested.get(row.name, {}).items() if "interval" in one},
        )
        for row in rows
    ]


def _compared_loss(folder: Path, name: str, runs: Sequence[Mapping[str, Any]]) -> ComparedLoss:
    finished = [run for run in runs if "metrics" in run]
    places = [folder / run["folder"] for run in finished]
    return ComparedLoss(
        name=name,
        metrics=_by_metric([metrics_on_test(run) for run in finished]),
        seconds=[sum(run["seconds"].values()) for run in finished],
        per_label=_mean_per_label([read_json(place / PER_LABEL) for place in places]),
        curves=read_curves(places[0]) if places else {},
        runs=[(_run_title(run), f"{run['folder']}/{REPORT}") for run in finished],
        failures=[f"seed {run['seed']}: {run['error']}" for run in runs if "error" in run],
    )


def _run_title(run: Mapping[str, Any]) -> str:
    return f"seed {run['seed']}, fold {run['fold']}" if "fold" in run else f"seed {run['seed']}"


def _by_metric(measured: Sequence[Mapping[str, float | None]]) -> dict[str, list[float]]:
    """Transpose metrics by run into values by metric; None is left out."""
    names = dict.fromkeys([*METRICS, *chain.from_iterable(measured)])
    return {name: [value for run in measured if (value := run.get(name)) is not None] for name in names}


def _mean_per_label(tables: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, object]]:
    """Average the F1 of each label over the runs of a loss."""
    return [
        {"label": rows[0]["label"], "train_count": rows[0]["train_count"], "f1": fmean(row["f1"] for row in rows)}
        for rows in zip(*tables, strict=True)
    ]


def _metric_column(losses: Sequence[ComparedLoss], measure: Measure) -> list[Cell]:
    """Write mean and deviation of one metric for each loss; with two or more means the best is marked."""
    scale = 0.01 if measure.unit == "steps" else 1.0
    measured = [[scale * value for value in loss.metrics.get(measure.name, ()) if isfinite(value)] for loss in losses]
    means = [round(100 * fmean(values), 2) for values in measured if values]
    best = None if len(means) < 2 else max(means) if measure.better == "higher" else min(means)

    def is_marked(loss: ComparedLoss, values: Sequence[float]) -> bool:
        looks_best = round(100 * fmean(values), 2) == best
        return best is not None and (looks_best or loss.as_good.get(measure.name, False))

    return [
        Cell(_mean_and_deviation(values), best=is_marked(loss, values)) if values else Cell(NOTHING)
        for loss, values in zip(losses, measured, strict=True)
    ]


def _finite_mean(loss: ComparedLoss, metric: str) -> float:
    values = [value for value in loss.metrics.get(metric, ()) if isfinite(value)]
    return fmean(values) if values else nan


def _interval(loss: ComparedLoss) -> str:
    """Return the interval of the difference from the best, by the measure that is chosen by, in brackets."""
    if CHOSEN_BY not in loss.interval:
        return ""
    low, high = loss.interval[CHOSEN_BY]
    return f" ({percent(-high)} to {percent(-low)} points)"


def _mean_and_deviation(values: Sequence[float]) -> str:
    mean = percent(fmean(values))
    return f"{mean} ± {percent(stdev(values))}" if len(values) > 1 else mean


def _count_runs(loss: ComparedLoss) -> str:
    """Count the finished runs, with the total where some failed."""
    finished = max((len(values) for values in loss.metrics.values()), default=0)
    return f"{finished} of {finished + len(loss.failures)}" if loss.failures else str(finished)
