"""What a study can show of a trial: its test metrics, what its loss counted of pairs, and its time."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from labelcontrast.evaluation.metrics.counting import HEAD, TAIL
from labelcontrast.evaluation.metrics.measures import METRICS
from labelcontrast.reports.tables import title_of
from labelcontrast.run.reporting import COUNTED
from labelcontrast.studies.engine.store import Record


@dataclass(frozen=True)
class Quantity:
    """A number of a trial, or one of each epoch."""

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"] | None
    """Which way is better; None where it is neither."""
    meaning: str
    part: str = ""
    """Of which part of the labels, where there are several numbers of the same title."""
    by_epoch: bool = False
    """The record has it for every epoch; a table shows the mean over them."""

    @property
    def factor(self) -> int:
        """From the number that is kept to the one that is shown."""
        return 100 if self.unit == "%" else 1

    @property
    def label(self) -> str:
        """Title and unit, for an axis.

        Example:
            >>> QUANTITIES["macro_f1"].label, QUANTITIES["seconds"].label
            ('macro-F1 (%)', 'time of a run (s)')
        """
        return self.axis if not self.part else f"{self.part}: {self.axis}"

    @property
    def axis(self) -> str:
        """The same, of whichever part."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


def _counted(name: str, unit: str, meaning: str) -> Quantity:
    """What a contrastive loss counts of its pairs."""
    return Quantity(name, COUNTED[name], unit, None, meaning, by_epoch=True)


def _repulsion(bucket: str, which: str) -> list[Quantity]:
    """What a loss does to the positives that share a label of a bucket."""
    often = f"Share of positive pairs that are pushed more than pulled, of those with a label in common {which}."
    far = "How much more they are pushed than pulled, of the loss of an anchor, before any of it is stopped."
    return [
        Quantity(f"pushed_away_{bucket}", "positives pushed away", "%", None, often, part=bucket, by_epoch=True),
        Quantity(f"push_{bucket}", "mean push of these", "", None, far, part=bucket, by_epoch=True),
    ]


REPRESENTATION = ("alignment", "uniformity", "effective_rank")
"""What the embeddings are measured by without a probe."""
QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        *(Quantity(one.name, title_of(one.name), "%", one.better, one.meaning) for one in METRICS.values()),
        Quantity("score", "validation mAP", "%", "higher", "Of an epoch, by a quick read-out.", by_epoch=True),
        _counted("positives_pushed_away", "%", "Share of positive pairs whose gradient pushes them apart (PRR)."),
        _counted("anchors_without_positives", "%", "Share of anchors of a batch that nothing attracts."),
        _counted("similarity_of_positives", "", "Mean cosine of pairs that attract."),
        _counted("similarity_of_negatives", "", "Mean cosine of pairs that do not."),
        *_repulsion("head", f"with more than {HEAD} training examples"),
        *_repulsion("medium", f"with {TAIL} to {HEAD} training examples"),
        *_repulsion("tail", f"with fewer than {TAIL} training examples"),
        Quantity("alignment", "alignment", "", "lower", "Mean squared distance of test embeddings of one label set."),
        Quantity("uniformity", "uniformity", "", "lower", "Log of the mean Gaussian potential of all pairs of these."),
        Quantity("effective_rank", "effective rank", "", None, "How many directions the test embeddings use."),
        Quantity("seconds", "time of a run", "s", "lower", "From reading the data to the last metric."),
    )
}


def measure(record: Record, name: str) -> float | None:
    """Read a quantity off a record, as it is kept; None where the trial failed or did not measure it."""
    result: Mapping[str, Any] | None = record.get("result")
    if result is None:
        return None
    if name in METRICS:
        value: float | None = result["metrics"]["test"][name]
        return value
    if name in REPRESENTATION:
        number: float | None = result.get("representation", {}).get(name)
        return number
    if name == "seconds":
        return float(sum(result["seconds"].values()))
    course = measure_epochs(record, name)
    return fmean(course) if course else None


def measure_epochs(record: Record, name: str) -> list[float]:
    """Read a quantity off every epoch of a record; empty where the trial failed or did not measure it.

    Example:
        >>> history = [{"score": 0.4, "diagnostics": {}}, {"score": 0.5, "diagnostics": {}}]
        >>> measure_epochs({"history": history}, "score"), measure_epochs({"error": "no"}, "score")
        ([0.4, 0.5], [])
    """
    rows = [{**epoch["diagnostics"], **epoch} for epoch in record.get("history", ())]
    return [row[name] for row in rows] if rows and all(row.get(name) is not None for row in rows) else []
