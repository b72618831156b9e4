"""The evaluation metrics as data: name, title, direction, one sentence, and how each is computed.

A metric is a ratio of two terms, averaged in one way. The terms are taken from counts, which know weights: so one entry
serves a whole test set, batches, a bootstrap, a permutation test, and each level of a hierarchy. Importing this file
needs no numpy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from typing import Any, Literal

HEAD, TAIL = 100, 20
"""A head label has more training examples than the first number, a tail label fewer than the second."""
TOP = (1, 3, 5)
"""The k of the metrics at k."""

Better = Literal["higher", "lower"]
Average = Literal["micro", "macro", "weighted", "sample", "head", "medium", "tail"]
Terms = Callable[[Any], tuple[Any, Any]]


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: The key of its value in ``metrics.json``.
        title: Its name in tables.
        better: Which direction is better.
        meaning: One sentence for a reader.
        counted: What its terms are a function of: ``predictions``, of ``counting.Confusion``; ``ranking``, of
            ``ranking.LabelRanking``, an example at a time; ``hierarchy``, of ``hierarchical.HierarchyCounts``. From
            ``scores`` average precisions are computed, by sorting or from a histogram; all else ``elsewhere``.
        terms: Numerator and denominator.
        average: ``micro`` divides sums over all examples and labels; ``macro`` is the mean over labels, ``weighted``
            the same weighted by their positives, ``sample`` the mean over examples; ``head``, ``medium`` and ``tail``
            are means over the labels that are so frequent in training.
        empty: The value of a metric over a hierarchy whose denominator is 0.
        unit: What its value is printed in.
        from_training: True if it needs the frequencies of the labels in training.
    """

    name: str
    title: str
    better: Better
    meaning: str
    counted: Literal["predictions", "ranking", "scores", "hierarchy", "elsewhere"] = "elsewhere"
    terms: Terms | None = None
    average: Average = "micro"
    empty: float = 0.0
    unit: Literal["%", "labels", "steps"] = "%"
    from_training: bool = False


def _by_name(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


RATIOS: dict[str, Terms] = {
    "precision": lambda count: (count.hits, count.predicted),
    "recall": lambda count: (count.hits, count.support),
    "f1": lambda count: (2 * count.hits, count.predicted + count.support),
}
HAMMING: Terms = lambda count: (count.predicted + count.support - 2 * count.hits, count.known)  # noqa: E731


def _predicted(
    name: str, title: str, meaning: str, terms: Terms, average: Average = "micro", *, better: Better = "higher"
) -> Metric:
    rare = average in {"head", "medium", "tail"}
    return Metric(name, title, better, meaning, "predictions", terms, average, from_training=rare)


def _ranked(name: str, title: str, meaning: str, value: Callable[[Any], Any], better: Better = "higher") -> Metric:
    unit: Literal["labels", "%"] = "labels" if name == "coverage" else "%"
    return Metric(name, title, better, meaning, "ranking", lambda ranking: (value(ranking), 1), "sample", unit=unit)


METRICS = _by_name(
    _predicted(
        "micro_f1", "micro-F1", "F1 over all pairs of an example and a label; frequent labels dominate.", RATIOS["f1"]
    ),
    _predicted(
        "macro_f1",
        "macro-F1",
        "Mean of the F1 of each label; a rare label counts as much as a frequent one.",
        RATIOS["f1"],
        "macro",
    ),
    _predicted(
        "sample_f1",
        "sample-F1",
        "Mean over examples of the F1 between the predicted and the true label set.",
        RATIOS["f1"],
        "sample",
    ),
    _predicted(
        "hamming_loss",
        "Hamming loss",
        "Share of pairs of an example and a label that are predicted wrongly.",
        HAMMING,
        better="lower",
    ),
    Metric(
        "map_macro",
        "mAP",
        "higher",
        "Mean of the average precision of each label with a positive; needs no threshold.",
        "scores",
        average="macro",
    ),
    Metric(
        "map_micro",
        "micro-mAP",
        "higher",
        "Average precision over all pairs of an example and a label; needs no threshold.",
        "scores",
    ),
    _ranked(
        "lrap",
        "LRAP",
        "Label ranking average precision: how high an example's own labels are ranked in it.",
        lambda ranking: ranking.average_precision(),
    ),
)
"""The short table: what reports print, and what is tested between losses."""

_AVERAGED: dict[Average, str] = {
    "micro": "over all pairs of an example and a label",
    "macro": "the mean over labels",
    "weighted": "the mean over labels, weighted by their positives",
    "sample": "the mean over examples",
}


def _at(k: int) -> list[Metric]:
    return [
        _ranked(
            f"precision@{k}",
            f"precision@{k}",
            f"Share of true labels among the first {k} of an example.",
            lambda ranking: ranking.precision(k),
        ),
        _ranked(
            f"ndcg@{k}",
            f"ndcg@{k}",
            f"Normalised discounted cumulative gain of the first {k} labels of an example.",
            lambda ranking: ranking.ndcg(k),
        ),
        Metric(
            f"psp@{k}",
            f"psp@{k}",
            "higher",
            f"Precision of the first {k} labels, rare ones weighted up, as a share of the highest possible value.",
            "ranking",
            lambda ranking: (ranking.weighted_hits(k), ranking.most_weighted_hits(k)),
            from_training=True,
        ),
    ]


DETAILS = _by_name(
    *(
        _predicted(f"{average}_{name}", f"{average}_{name}", f"{name.capitalize()}, {how}.", terms, average)
        for average, how in _AVERAGED.items()
        for name, terms in RATIOS.items()
        if f"{average}_{name}" not in METRICS
    ),
    _predicted(
        "subset_accuracy",
        "subset_accuracy",
        "Share of examples whose whole label set is predicted exactly.",
        lambda count: (HAMMING(count)[0] == 0, 1),
        "sample",
    ),
    _ranked(
        "coverage",
        "coverage",
        "Mean number of first labels that include all true labels of an example.",
        lambda ranking: ranking.coverage(),
        better="lower",
    ),
    _ranked(
        "ranking_loss",
        "ranking_loss",
        "Share of the pairs of a true and a false label of an example that are in the wrong order.",
        lambda ranking: ranking.loss(),
        better="lower",
    ),
    *(metric for kind in zip(*map(_at, TOP), strict=True) for metric in kind),
    _predicted(
        "head_f1", "head_f1", f"Mean F1 of the labels with more than {HEAD} training examples.", RATIOS["f1"], "head"
    ),
    _predicted(
        "medium_f1",
        "medium_f1",
        f"Mean F1 of the labels with {TAIL} to {HEAD} training examples.",
        RATIOS["f1"],
        "medium",
    ),
    _predicted(
        "tail_f1", "tail_f1", f"Mean F1 of the labels with fewer than {TAIL} training examples.", RATIOS["f1"], "tail"
    ),
)
"""The other metrics of predictions, which ``metrics.json`` holds beside the short table."""


def _over_hierarchy(name: str, title: str, meaning: str, terms: Terms, better: Better = "higher") -> Metric:
    return Metric(name, title, better, meaning, "hierarchy", terms)


HIERARCHICAL_METRICS = _by_name(
    _over_hierarchy(
        "hierarchical_precision",
        "hP",
        "Share of the predicted labels, with all labels above them, that are true.",
        RATIOS["precision"],
    ),
    _over_hierarchy(
        "hierarchical_recall",
        "hR",
        "Share of the true labels, with all labels above them, that are predicted.",
        RATIOS["recall"],
    ),
    _over_hierarchy("hierarchical_f1", "hF1", "Harmonic mean of hierarchical precision and recall.", RATIOS["f1"]),
    _over_hierarchy(
        "lca_precision",
        "LCA-P",
        "Hierarchical precision of an example, only up to where a true label is met; in the mean.",
        lambda count: (count.lca_precision, count.rated),
    ),
    _over_hierarchy(
        "lca_recall",
        "LCA-R",
        "Hierarchical recall of an example, only up to where a predicted label is met; in the mean.",
        lambda count: (count.lca_recall, count.rated),
    ),
    _over_hierarchy(
        "lca_f1",
        "LCA-F1",
        "Harmonic mean of these two for each example; then the mean over examples.",
        lambda count: (count.lca_f1, count.rated),
    ),
    Metric(
        "tree_distance_of_errors",
        "tree distance",
        "lower",
        "Mean number of steps from a wrong lowest label to the nearest true one.",
        "hierarchy",
        lambda count: (count.steps, count.errors),
        empty=nan,
        unit="steps",
    ),
    _over_hierarchy(
        "violations",
        "violations",
        "Share of the predicted labels below others of which a parent is not predicted.",
        lambda count: (count.violating, count.below),
        "lower",
    ),
)
"""The metrics of label sets over a hierarchy."""

LEVEL_METRICS = _by_name(
    _predicted("micro_f1", "micro-F1", "F1 over all labels of the level.", RATIOS["f1"]),
    _predicted("macro_f1", "macro-F1", "Mean F1 of the labels of the level.", RATIOS["f1"], "macro"),
    Metric(
        "accuracy",
        "accuracy",
        "higher",
        "Share of the examples with a label of the level whose labels of the level are predicted exactly.",
    ),
)
"""The metrics of each level of a hierarchy."""

RETRIEVAL_METRICS = _by_name(
    Metric("map", "MAP", "higher", "Mean average precision of the search, by cosine, for examples that share a label."),
    Metric("precision_at_1", "P@1", "higher", "Share of the nearest examples, by cosine, that share a label."),
    Metric("precision_at_10", "P@10", "higher", "Share of the ten nearest examples that share a label."),
    Metric("nmi", "NMI", "higher", "Normalised mutual information of clusters by k-means and the label sets."),
)
"""The metrics of embeddings over a hierarchy, without a probe."""
