"""Several comparisons of the same losses, each on data of its own, and one ranking over them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from labelcontrast.errors import RunError
from labelcontrast.evaluation.metrics.catalogue import METRICS
from labelcontrast.files import read_json
from labelcontrast.reports.pages import HEADLINES, write_rank_report
from labelcontrast.reports.summary import RankedMetric, RankSummary
from labelcontrast.run.provenance import describe_origin
from labelcontrast.run.reporting import RESULTS
from labelcontrast.studies.ranks import Ranking, rank_losses


def rank_comparisons(folders: Sequence[Path], page: Path) -> dict[str, Ranking]:
    """Rank the losses of several comparisons on each headline metric, and write a page of it.

    Args:
        folders: Of comparisons, one a data set, all of the same losses. Their baselines are left out.
        page: The HTML file to write.

    Returns:
        By metric the ranking of the losses' means over seeds.

    Raises:
        RunError: A folder is no comparison.
        ConfigError: There are fewer than two data sets or three losses, or a data set has other losses than the first.
    """
    results = {str(folder): _read(folder) for folder in folders}
    rankings = {
        name: rank_losses({data: _means(one, name) for data, one in results.items()}, better=METRICS[name].better)
        for name in HEADLINES
    }
    write_rank_report(page, _summarise(rankings, list(results)))
    return rankings


def _read(folder: Path) -> dict[str, Any]:
    """Read what a comparison came to."""
    if not (folder / RESULTS).exists():
        message = f"{folder} is not a comparison: it has no {RESULTS}."
        raise RunError(message)
    results: dict[str, Any] = read_json(folder / RESULTS)
    return results


def _means(results: Mapping[str, Any], metric: str) -> dict[str, float]:
    """Average a metric over the finished runs of each loss that has some."""
    measured = {
        name: [run["metrics"]["test"][metric] for run in runs if "metrics" in run]
        for name, runs in results["rows"].items()
    }
    return {name: fmean(values) for name, values in measured.items() if values and None not in values}


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
        facts=[("comparisons", ", ".join(data)), ("date", origin["date"])],
        versions=origin["versions"],
    )
