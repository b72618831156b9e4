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
Unit = Literal["%", "labels", "steps"]
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
    unit: Unit = "%"
    from_training: bool = False


RATIOS: dict[str, Terms] = {
    "precision": lambda count: (count.hits, count.predicted),
    "recall": lambda count: (count.hits, count.support),
    "f1": lambda count: (2 * count.hits, count.predicted + count.support),
}


def _by_name(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


def _rate(average: Average, name: str, meaning: str, *, title: str = "") -> Metric:
    full, rare = f"{average}_{name}", average in {"head", "medium", "tail"}
    return Metric(
        full, title or full, "higher", meaning, "predictions", RATIOS[name], average=average, from_training=rare
    )


def _ranked(
    name: str,
    meaning: str,
    value: Callable[[Any], Any],
    *,
    better: Better = "higher",
    title: str = "",
    unit: Unit = "%",
) -> Metric:
    terms: Terms = lambda ranking: (value(ranking), 1)  # noqa: E731
    return Metric(name, title or name, better, meaning, "ranking", terms, average="sample", unit=unit)


def _wrong(count: Any) -> Any:  # noqa: ANN401
    return count.predicted + count.support - 2 * count.hits


METRICS = _by_name(
    _rate("micro", "f1", "F1 over all pairs of an example and a label; frequent labels dominate.", title="micro-F1"),
    _rate(
        "macro", "f1", "Mean of the F1 of each label; a rare label counts as much as a frequent one.", title="macro-F1"
    ),
    _rate(
        "sample", "f1", "Mean over examples of the F1 between the predicted and the true label set.", title="sample-F1"
    ),
    Metric(
        "hamming_loss",
        "Hamming loss",
        "lower",
        "Share of pairs of an example and a label that are predicted wrongly.",
        "predictions",
        lambda count: (_wrong(count), count.known),
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
        "Label ranking average precision: how high an example's own labels are ranked in it.",
        lambda ranking: ranking.average_precision(),
        title="LRAP",
    ),
)
"""The short table: the metrics that reports print and that are tested between losses."""

_AVERAGED: dict[Average, str] = {
    "micro": "over all pairs of an example and a label",
    "macro": "the mean over labels",
    "weighted": "the mean over labels, weighted by their positives",
    "sample": "the mean over examples",
}


def _at(k: int) -> tuple[Metric, Metric, Metric]:
    share = f"Share of true labels among the first {k} of an example."
    gain = f"Normalised discounted cumulative gain of the first {k} labels of an example."
    rare = f"Precision of the first {k} labels, rare ones weighted up, as a share of the highest possible value."
    hits: Terms = lambda ranking: (ranking.weighted_hits(k), ranking.most_weighted_hits(k))  # noqa: E731
    return (
        _ranked(f"precision@{k}", share, lambda ranking: ranking.precision(k)),
        _ranked(f"ndcg@{k}", gain, lambda ranking: ranking.ndcg(k)),
        Metric(f"psp@{k}", f"psp@{k}", "higher", rare, "ranking", hits, from_training=True),
    )


DETAILS = _by_name(
    *(
        _rate(average, name, f"{name.capitalize()}, {how}.")
        for average, how in _AVERAGED.items()
        for name in RATIOS
        if f"{average}_{name}" not in METRICS
    ),
    Metric(
        "subset_accuracy",
        "subset_accuracy",
        "higher",
        "Share of examples whose whole label set is predicted exactly.",
        "predictions",
        lambda count: (_wrong(count) == 0, 1),
        average="sample",
    ),
    _ranked(
        "coverage",
        "Mean number of first labels that include all true labels of an example.",
        lambda ranking: ranking.coverage(),
        better="lower",
        unit="labels",
    ),
    _ranked(
        "ranking_loss",
        "Share of the pairs of a true and a false label of an example that are in the wrong order.",
        lambda ranking: ranking.loss(),
        better="lower",
    ),
    *(metric for kind in zip(*map(_at, TOP), strict=True) for metric in kind),
    _rate("head", "f1", f"Mean F1 of the labels with more than {HEAD} training examples."),
    _rate("medium", "f1", f"Mean F1 of the labels with {TAIL} to {HEAD} training examples."),
    _rate("tail", "f1", f"Mean F1 of the labels with fewer than {TAIL} training examples."),
)
"""The other metrics of predictions, which ``metrics.json`` holds beside the short table."""


def _closed(name: str, title: str, meaning: str, terms: Terms) -> Metric:
    return Metric(name, title, "higher", meaning, "hierarchy", terms)


HIERARCHICAL_METRICS = _by_name(
    _closed(
        "hierarchical_precision",
        "hP",
        "Share of the predicted labels and their ancestors that are true.",
        RATIOS["precision"],
    ),
    _closed(
        "hierarchical_recall",
        "hR",
        "Share of the true labels and their ancestors that are predicted.",
        RATIOS["recall"],
    ),
    _closed("hierarchical_f1", "hF1", "Harmonic mean of hierarchical precision and recall.", RATIOS["f1"]),
    _closed(
        "lca_precision",
        "LCA-P",
        "Mean hierarchical precision, counted only up to the lowest common ancestors with true labels.",
        lambda count: (count.lca_precision, count.rated),
    ),
    _closed(
        "lca_recall",
        "LCA-R",
        "Mean hierarchical recall, counted only up to the lowest common ancestors with predicted labels.",
        lambda count: (count.lca_recall, count.rated),
    ),
    _closed(
        "lca_f1",
        "LCA-F1",
        "Mean over examples of the harmonic mean of these two.",
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
    Metric(
        "violations",
        "violations",
        "lower",
        "Share of the predicted labels below others of which a parent is not predicted.",
        "hierarchy",
        lambda count: (count.violating, count.below),
    ),
)
"""The metrics of label sets over a hierarchy."""

LEVEL_METRICS = _by_name(
    _rate("micro", "f1", "F1 over all labels of the level.", title="micro-F1"),
    _rate("macro", "f1", "Mean F1 of the labels of the level.", title="macro-F1"),
    Metric(
        "accuracy",
        "accuracy",
        "higher",
        "Share of the examples with a label of the level whose labels of the level are predicted exactly.",
    ),
)
"""The metrics of each level of a hierarchy."""

RETRIEVAL_METRICS = _by_name(
    Metric("map", "MAP", "higher", "Mean average precision of retrieving examples that share a label, by cosine."),
    Metric("precision_at_1", "P@1", "higher", "Share of the nearest examples, by cosine, that share a label."),
    Metric("precision_at_10", "P@10", "higher", "Share of the ten nearest examples, by cosine, that share a label."),
    Metric("nmi", "NMI", "higher", "Normalised mutual information of k-means clusters and label sets."),
)
"""The metrics of embeddings over a hierarchy, without a probe."""
