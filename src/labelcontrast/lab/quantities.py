"""Quantities of a trial that a study can show: test metrics, pair statistics of the loss, and time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from labelcontrast.metrics.registry import HEAD, HIERARCHICAL_METRICS, LEVEL_METRICS, METRICS, RETRIEVAL_METRICS, TAIL
from labelcontrast.reports.tables import PAIR_STATISTICS

if TYPE_CHECKING:
    from labelcontrast.lab.trials import Record

LEVELS = 3
"""Number of levels of a hierarchy, from the roots, that can be shown."""
RETRIEVAL_TITLES = {"map": "retrieval mAP", "precision_at_1": "precision@1", "precision_at_10": "precision@10"}
"""Titles of retrieval metrics that differ from their column headers in the registry."""


@dataclass(frozen=True)
class Quantity:
    """A number of a trial, or of each of its epochs."""

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"] | None
    """The direction that is better; None if neither is."""
    meaning: str
    path: tuple[str | int, ...] = ()
    """Its place in the result, if it is not a test metric; a missing key means that it was not measured."""
    part: str = ""
    """The group of labels that it is about, if the title is that of several quantities."""
    by_epoch: bool = False
    """True if it is recorded for every epoch; a table shows the mean over epochs."""

    @property
    def factor(self) -> int:
        """Factor from the stored to the displayed number."""
        return 100 if self.unit == "%" else 1

    @property
    def label(self) -> str:
        """Group, title and unit.

        Example:
            >>> QUANTITIES["macro_f1"].label, QUANTITIES["seconds"].label
            ('macro-F1 (%)', 'time of a run (s)')
        """
        return self.axis if not self.part else f"{self.part}: {self.axis}"

    @property
    def axis(self) -> str:
        """Title and unit, for an axis."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


def _pair_statistic(name: str, unit: str, meaning: str) -> Quantity:
    return Quantity(name, PAIR_STATISTICS[name], unit, None, meaning, by_epoch=True)


def _over_hierarchy() -> Iterator[Quantity]:
    """Yield metrics of predictions over a hierarchy, and of embeddings on seen and unseen leaves."""
    for one in HIERARCHICAL_METRICS.values():
        yield Quantity(one.name, one.title, one.unit, one.better, one.meaning, ("hierarchy", "test", one.name))
    for level, one in product(range(LEVELS), LEVEL_METRICS.values()):
        name, place = f"level_{level}_{one.name}", ("hierarchy", "test", "levels", level, one.name)
        yield Quantity(name, f"level {level} {one.title}", one.unit, one.better, one.meaning, place)
    for one in RETRIEVAL_METRICS.values():
        title = RETRIEVAL_TITLES.get(one.name, one.title)
        name, path = f"unseen_leaves_{one.name}", ("hierarchy", "unseen_leaves", one.name)
        yield Quantity(name, f"unseen leaves {title}", one.unit, one.better, one.meaning, path)
        for which, level in product(("seen", "unseen"), range(LEVELS)):
            name, head = f"{which}_level_{level}_{one.name}", f"{which} leaves, level {level} {title}"
            yield Quantity(name, head, one.unit, one.better, one.meaning, ("hierarchy", which, level, one.name))


def _repulsion(bucket: str, which: str) -> list[Quantity]:
    """Return the repulsion of positive pairs with a common label in a frequency bucket."""
    often = f"Share of positive pairs with more repulsion than attraction, among those with a common label {which}."
    far = "Mean excess of repulsion over attraction in these pairs, as a share of an anchor's loss, before L_REG."
    return [
        Quantity(f"pushed_away_{bucket}", "positives pushed away", "%", None, often, part=bucket, by_epoch=True),
        Quantity(f"push_{bucket}", "mean push of these", "", None, far, part=bucket, by_epoch=True),
    ]


def _directions(bucket: str, which: str, by: str = "") -> Iterator[Quantity]:
    """Yield where the steps of training lead, seen from the positives of a bucket, without and with L_REG."""
    for ending, how in {"": "without L_REG", "_regularised": "with L_REG"}.items():
        angle = f"Mean angle between the step of an anchor, {how}, and the way to a positive {which}."
        away = "Share of these positives that the step leads away from: the angle is above 90 degrees."
        part = f"{bucket}, {how}"
        yield Quantity(
            f"angle_{bucket}{ending}", f"angle of the step{by}", "degrees", None, angle, part=part, by_epoch=True
        )
        yield Quantity(
            f"away_{bucket}{ending}", f"positives left behind{by}", "%", None, away, part=part, by_epoch=True
        )


def _of_embeddings(name: str, better: Literal["higher", "lower"] | None, meaning: str) -> Quantity:
    return Quantity(name, name.replace("_", " "), "", better, meaning, ("representation", name))


QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        *(Quantity(one.name, one.title, one.unit, one.better, one.meaning) for one in METRICS.values()),
        Quantity("score", "validation mAP", "%", "higher", "Of an epoch, by a quick probe.", by_epoch=True),
        _pair_statistic("positives_pushed_away", "%", "Share of positive pairs with a repulsive gradient (PRR)."),
        _pair_statistic("anchors_without_positives", "%", "Share of the anchors of a batch without a positive."),
        _pair_statistic("similarity_of_positives", "", "Mean cosine of positive pairs."),
        _pair_statistic("similarity_of_negatives", "", "Mean cosine of negative pairs."),
        *_over_hierarchy(),
        *_repulsion("head", f"with more than {HEAD} training examples"),
        *_repulsion("medium", f"with {TAIL} to {HEAD} training examples"),
        *_repulsion("tail", f"with fewer than {TAIL} training examples"),
        *_directions("head", f"with a common label with more than {HEAD} training examples"),
        *_directions("medium", f"with a common label with {TAIL} to {HEAD} training examples"),
        *_directions("tail", f"with a common label with fewer than {TAIL} training examples"),
        *_directions("far", "of the farthest third of a batch", by=" by similarity"),
        *_directions("near", "of the middle third of a batch", by=" by similarity"),
        *_directions("close", "of the nearest third of a batch", by=" by similarity"),
        _of_embeddings("alignment", "lower", "Mean squared distance between test embeddings with the same label set."),
        _of_embeddings("uniformity", "lower", "Log of the mean Gaussian potential over all pairs of test embeddings."),
        _of_embeddings("effective_rank", None, "Effective number of dimensions of the test embeddings."),
        Quantity("seconds", "time of a run", "s", "lower", "From reading the data to the last metric."),
    )
}


def read_quantity(record: "Record", name: str) -> float | None:
    """Return a quantity of a record; None if the trial failed or did not measure it."""
    result: Mapping[str, Any] | None = record.get("result")
    if result is None:
        return None
    if name in METRICS:
        value: float | None = result["metrics"]["test"][name]
        return value
    path = QUANTITIES[name].path
    if path:
        return _follow(result, path)
    if name == "seconds":
        return float(sum(result["seconds"].values()))
    by_epoch = read_epochs(record, name)
    return fmean(by_epoch) if by_epoch else None


def _follow(result: Mapping[str, Any], path: Sequence[str | int]) -> float | None:
    """Return a nested entry of a result; None if it is missing."""
    found: Any = result
    for step in path:
        try:
            found = found[step]
        except LookupError:
            return None
    return None if found is None else float(found)


def read_epochs(record: "Record", name: str) -> list[float]:
    """Return a quantity of every epoch of a record; empty if the trial failed or did not measure it.

    Example:
        >>> history = [{"score": 0.4, "diagnostics": {}}, {"score": 0.5, "diagnostics": {}}]
        >>> read_epochs({"history": history}, "score"), read_epochs({"error": "no"}, "score")
        ([0.4, 0.5], [])
    """
    rows = [{**epoch["diagnostics"], **epoch} for epoch in record.get("history", ())]
    return [row[name] for row in rows] if rows and all(row.get(name) is not None for row in rows) else []
