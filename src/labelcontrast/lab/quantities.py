"""What a study can show of a trial: its test metrics, what its loss counted of pairs, and its time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from labelcontrast.metrics.registry import HEAD, HIERARCHICAL_METRICS, LEVEL_METRICS, METRICS, TAIL
from labelcontrast.reports.tables import PAIR_STATISTICS

if TYPE_CHECKING:
    from labelcontrast.lab.trials import Record

LEVELS = 3
"""Levels of a hierarchy, from the roots on, that can be shown."""
OF_NEIGHBOURS = (
    ("map", "retrieval mAP", "How early, by cosine, the test examples come that share a label of it."),
    ("precision_at_1", "precision@1", "Share of the nearest test examples, by cosine, that share a label of it."),
    ("precision_at_10", "precision@10", "Share of the ten nearest test examples that share a label of it."),
    ("nmi", "NMI", "Normalised mutual information of clusters by k-means and the label sets of it."),
)


@dataclass(frozen=True)
class Quantity:
    """A number of a trial, or one of each epoch."""

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"] | None
    """Which way is better; None where it is neither."""
    meaning: str
    path: tuple[str | int, ...] = ()
    """Where the result has it, if not among the test metrics; where a step is missing, it was not measured."""
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
    return Quantity(name, PAIR_STATISTICS[name], unit, None, meaning, by_epoch=True)


def _over_hierarchy() -> Iterator[Quantity]:
    """What predictions come to over a hierarchy, and embeddings on seen and on unseen leaves."""
    for one in HIERARCHICAL_METRICS.values():
        yield Quantity(one.name, one.title, one.unit, one.better, one.meaning, ("hierarchy", "test", one.name))
    for level, one in product(range(LEVELS), LEVEL_METRICS.values()):
        name, place = f"level_{level}_{one.name}", ("hierarchy", "test", "levels", level, one.name)
        yield Quantity(name, f"level {level} {one.title}", one.unit, one.better, one.meaning, place)
    for name, title, meaning in OF_NEIGHBOURS:
        alone = f"unseen leaves {title}"
        yield Quantity(f"unseen_leaves_{name}", alone, "%", "higher", meaning, ("hierarchy", "unseen_leaves", name))
        for which, level in product(("seen", "unseen"), range(LEVELS)):
            head, there = f"{which} leaves, level {level} {title}", ("hierarchy", which, level, name)
            yield Quantity(f"{which}_level_{level}_{name}", head, "%", "higher", meaning, there)


def _repulsion(bucket: str, which: str) -> list[Quantity]:
    """What a loss does to the positives that share a label of a bucket."""
    often = f"Share of positive pairs that are pushed more than pulled, of those with a label in common {which}."
    far = "How much more they are pushed than pulled, of the loss of an anchor, before any of it is stopped."
    return [
        Quantity(f"pushed_away_{bucket}", "positives pushed away", "%", None, often, part=bucket, by_epoch=True),
        Quantity(f"push_{bucket}", "mean push of these", "", None, far, part=bucket, by_epoch=True),
    ]


def _of_embeddings(name: str, better: Literal["higher", "lower"] | None, meaning: str) -> Quantity:
    """What test embeddings are measured by without a probe."""
    return Quantity(name, name.replace("_", " "), "", better, meaning, ("representation", name))


QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        *(Quantity(one.name, one.title, one.unit, one.better, one.meaning) for one in METRICS.values()),
        Quantity("score", "validation mAP", "%", "higher", "Of an epoch, by a quick read-out.", by_epoch=True),
        _counted("positives_pushed_away", "%", "Share of positive pairs whose gradient pushes them apart (PRR)."),
        _counted("anchors_without_positives", "%", "Share of anchors of a batch that nothing attracts."),
        _counted("similarity_of_positives", "", "Mean cosine of pairs that attract."),
        _counted("similarity_of_negatives", "", "Mean cosine of pairs that do not."),
        *_over_hierarchy(),
        *_repulsion("head", f"with more than {HEAD} training examples"),
        *_repulsion("medium", f"with {TAIL} to {HEAD} training examples"),
        *_repulsion("tail", f"with fewer than {TAIL} training examples"),
        _of_embeddings("alignment", "lower", "Mean squared distance of test embeddings of one label set."),
        _of_embeddings("uniformity", "lower", "Log of the mean Gaussian potential of all pairs of these."),
        _of_embeddings("effective_rank", None, "How many directions the test embeddings use."),
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
    """Go down a result, step by step; None where there is no such step."""
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
