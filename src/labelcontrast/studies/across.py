"""Several comparisons or studies of the same losses, each on data of its own, and one ranking over them."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TypeAlias

from labelcontrast.errors import RunError
from labelcontrast.evaluation.metrics.catalogue import METRICS
from labelcontrast.files import read_json
from labelcontrast.reports.pages import HEADLINES, write_rank_report
from labelcontrast.reports.summary import RankedMetric, RankSummary
from labelcontrast.run.provenance import describe_origin
from labelcontrast.run.reporting import RESULTS
from labelcontrast.studies.declared.report import RESULTS as STUDY_RESULTS
from labelcontrast.studies.declared.study import DATA, SEED
from labelcontrast.studies.declared.verdicts import title
from labelcontrast.studies.ranks import Ranking, rank_losses

Measured: TypeAlias = Mapping[str, Sequence[Mapping[str, float | None]]]
"""By loss, of every finished run its test metrics."""


def rank_comparisons(folders: Sequence[Path], page: Path) -> dict[str, Ranking]:
    """Rank the losses of several comparisons or studies on each headline metric, and write a page of it.

    Args:
        folders: Of comparisons, one a data set; or of studies, each on one data set or several, of which the table of
            all trials suffices. All are of the same losses. Baselines are left out.
        page: The HTML file to write.

    Returns:
        By metric the ranking of the losses' means over seeds.

    Raises:
        RunError: A folder is neither, or two are of the same data set.
        ConfigError: There are fewer than two data sets or three losses, or a data set has other losses than the first.
    """
    measured: dict[str, Measured] = {}
    for folder in folders:
        for data, losses in _read(folder).items():
            if data in measured:
                message = f"{folder} is on {data}, and so is one before it; a data set counts once."
                raise RunError(message)
            measured[data] = losses
    rankings = {
        name: rank_losses({data: _means(one, name) for data, one in measured.items()}, better=METRICS[name].better)
        for name in HEADLINES
    }
    write_rank_report(page, _summarise(rankings, list(measured)))
    return rankings


def _read(folder: Path) -> Mapping[str, Measured]:
    """Read what a comparison, or a study, came to on each of its data sets."""
    if (folder / RESULTS).exists():
        rows = read_json(folder / RESULTS)["rows"].items()
        return {
            str(folder): {name: [run["metrics"]["test"] for run in runs if "metrics" in run] for name, runs in rows}
        }
    if not (folder / STUDY_RESULTS).exists():
        message = f"{folder} is no comparison and no study: it has neither {RESULTS} nor {STUDY_RESULTS}."
        raise RunError(message)
    found: dict[str, dict[str, list[dict[str, float | None]]]] = {}
    with (folder / STUDY_RESULTS).open(newline="") as file:
        for trial in csv.DictReader(file):
            dimensions = list(trial)[: list(trial).index(SEED)]
            row = title({name: trial[name] for name in dimensions if name != DATA and trial[name]})
            runs = found.setdefault(trial[DATA], {}).setdefault(row, [])
            if not trial["error"]:
                runs.append({name: float(trial[name]) if trial[name] else None for name in HEADLINES})
    return found


def _means(losses: Measured, metric: str) -> dict[str, float]:
    """Average a metric over the finished runs of each loss that has some."""
    measured = {name: [run[metric] for run in runs] for name, runs in losses.items()}
    known = {name: [value for value in values if value is not None] for name, values in measured.items()}
    return {name: fmean(values) for name, values in known.items() if values and len(values) == len(measured[name])}


def _summarise(rankings: Mapping[str, Ranking], data: Sequence[str]) -> RankSummary:
    """Gather the page."""
    origin = describe_origin()
    metrics = [
        RankedMetric(
            name=name,
            ranks=ranking.ranks,
            critical_difference=ranking.critical_difference,
            alike=ranking.alike,
            p=ranking.p,
        )
        for name, ranking in rankings.items()
    ]
    return RankSummary(
        title=f"{len(metrics[0].ranks)} losses on {len(data)} data sets",
        command=origin["command"],
        metrics=metrics,
        facts=[("data", ", ".join(data)), ("date", origin["date"])],
        versions=origin["versions"],
    )
