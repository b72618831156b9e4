"""The measures of a multi-label prediction, over all labels and for each.

A ratio without a denominator is 0, as in scikit-learn: the F1 of a label that is neither present nor predicted, the
precision of a label that is never predicted, the recall of a label that is never present, the gain of an example
without labels. A label without a positive has no average precision (NaN) and is left out of the mean;
``labels_scored`` says how many were left in. A mean of nothing, as the F1 of tail labels where there are none, is NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer, Real, Shaped

from labelcontrast.metrics.counting import Counts, TrainingLabels, known_pairs, mean_of_known, rates
from labelcontrast.metrics.ranking import TOP
from labelcontrast.metrics.registry import HEAD, METRICS, TAIL, Metric
from labelcontrast.metrics.streaming import Matrix, StreamedMetrics, check_measurable, dense

DETAILS = {
    metric.name: metric
    for metric in (
        *(
            Metric(f"{mean}_{name}", "higher", f"{name.capitalize()}, {how}.")
            for mean, how in (
                ("micro", "over all pairs of an example and a label"),
                ("macro", "the mean over labels"),
                ("weighted", "the mean over labels, weighted by their positives"),
                ("sample", "the mean over examples"),
            )
            for name in ("precision", "recall", "f1")
            if f"{mean}_{name}" not in METRICS
        ),
        Metric("subset_accuracy", "higher", "Share of examples whose whole label set is right."),
        Metric("coverage", "lower", "How many places of the ranking it takes to have all labels of an example."),
        Metric("ranking_loss", "lower", "Share of the pairs of a right and a wrong label that are in the wrong order."),
        *(Metric(f"precision@{k}", "higher", f"Share of right ones among the first {k} labels.") for k in TOP),
        *(Metric(f"ndcg@{k}", "higher", f"Normalised discounted gain of the first {k} labels.") for k in TOP),
        *(
            Metric(f"psp@{k}", "higher", f"Precision of the first {k}, rare labels weighted up, of the best there is.")
            for k in TOP
        ),
        Metric("head_f1", "higher", f"Mean F1 of the labels with more than {HEAD} training examples."),
        Metric("medium_f1", "higher", f"Mean F1 of the labels with {TAIL} to {HEAD} training examples."),
        Metric("tail_f1", "higher", f"Mean F1 of the labels with fewer than {TAIL} training examples."),
    )
}
"""The rest, which ``metrics.json`` holds beside the short table."""


@dataclass(frozen=True)
class LabelRow:
    """What is known of one label: how frequent it is, and how well it is predicted."""

    label: str
    train_count: int
    support: int
    precision: float
    recall: float
    f1: float
    average_precision: float
    threshold: float


def compute_metrics(
    labels: Matrix, scores: Matrix, predictions: Matrix, *, train: TrainingLabels | None = None
) -> dict[str, float]:
    r"""Compute every measure of ``METRICS`` and of ``DETAILS``, and ``labels_scored``; all of them exactly.

    .. math:: F_1 = \frac{2 \, |\text{true} \cap \text{predicted}|}{|\text{true}| + |\text{predicted}|}

    Where the scores do not fit into memory, ``StreamedMetrics`` takes them in batches.

    Args:
        labels: What is true, 0 or 1; NaN where it is not known, and such a pair is left out. Dense or sparse.
        scores: Logits or probabilities, higher is likelier. Only their order matters.
        predictions: What is predicted, 0 or 1.
        train: How frequent the labels were in training; without it head, medium, tail and ``psp@k`` are left out.

    Returns:
        Fractions, not percents; only ``coverage`` counts places. The mean average precisions are NaN where no label has
        a positive. In ``lrap`` an example without labels, or with all of them, counts 1.

    Raises:
        LabelShapeError: The three have different shapes, or hold no example.
        TensorError: A score is NaN or infinite.

    Example:
        >>> labels = np.array([[1, 0], [1, 1], [0, 0]])
        >>> scores = np.array([[0.9, 0.2], [0.6, 0.3], [0.7, 0.1]])
        >>> metrics = compute_metrics(labels, scores, scores > 0.5)
        >>> round(metrics["micro_f1"], 3), round(metrics["macro_f1"], 3), round(metrics["map_macro"], 3)
        (0.667, 0.4, 0.917)

    Reference: Tsoumakas, Katakis and Vlahavas, Mining Multi-label Data, 2010.
    """
    streamed = StreamedMetrics(labels.shape[-1], train=train, bins=None)
    streamed.update(labels, scores, predictions)
    true, ranked = dense(labels), dense(scores)
    by_label = average_precisions(true, ranked)
    found = streamed.measures()
    found |= {
        "map_macro": mean_of_known(by_label),
        "map_micro": mean_average_precision(true.reshape(-1, 1), ranked.reshape(-1, 1)),
    }
    return {name: found[name] for name in (*METRICS, *DETAILS, "labels_scored") if name in found}


def average_precisions(
    labels: Shaped[np.ndarray, "examples labels"], scores: Float[np.ndarray, "examples labels"]
) -> Float[np.ndarray, " labels"]:
    r"""Average precision of each label; NaN for a label without a positive. What is not known (NaN) is left out.

    .. math:: \frac{1}{|P|} \sum_{i \in P} \frac{|\{j \in P : s_j \ge s_i\}|}{|\{j : s_j \ge s_i\}|}

    with P the examples that have the label; it is the sum of precision times the rise of recall over distinct scores.

    Example:
        >>> average_precisions(np.array([[1, 0], [0, 0], [1, 0]]), np.array([[0.9, 0.1], [0.7, 0.2], [0.3, 0.3]]))
        array([0.83333333,        nan])
    """
    known = known_pairs(labels)
    found = np.full(labels.shape[1], np.nan)
    for label in np.flatnonzero((known & (labels == 1)).any(axis=0)):
        everyone = np.sort(scores[known[:, label], label])
        positives = np.sort(scores[labels[:, label] == 1, label])
        above = len(everyone) - np.searchsorted(everyone, positives)
        found[label] = ((len(positives) - np.searchsorted(positives, positives)) / above).mean()
    return found


def mean_average_precision(
    labels: Shaped[np.ndarray, "examples labels"], scores: Float[np.ndarray, "examples labels"]
) -> float:
    """Average precision, averaged over the labels that have a positive; NaN when none has."""
    return mean_of_known(average_precisions(labels, scores))


def per_label_table(
    names: Sequence[str],
    labels: Shaped[np.ndarray, "examples labels"],
    scores: Float[np.ndarray, "examples labels"],
    predictions: Shaped[np.ndarray, "examples labels"],
    *,
    train_counts: Integer[np.ndarray, " labels"],
    thresholds: Real[np.ndarray, " labels"],
) -> list[LabelRow]:
    """Measure each label on its own, in the order of the vocabulary.

    Args:
        names: One a label.
        labels: What is true, 0 or 1; NaN where it is not known.
        scores: Logits or probabilities, higher is likelier.
        predictions: What is predicted, 0 or 1.
        train_counts: Positives of each label among the training examples.
        thresholds: What the predictions were cut at.

    Raises:
        LabelShapeError: The matrices have different shapes, or hold no example.
        TensorError: A score is NaN or infinite.
    """
    check_measurable(labels, scores, predictions)
    counts, known = Counts(len(names)), known_pairs(labels)
    counts.update(known & (labels == 1), known, known & predictions.astype(bool))
    measured = zip(train_counts, counts.support, *rates(counts.hits, counts.claimed, counts.support), strict=True)
    ranked = zip(average_precisions(labels, scores), thresholds, strict=True)
    return [
        LabelRow(name, int(seen), int(present), *map(float, shares), *map(float, ranking))
        for name, (seen, present, *shares), ranking in zip(names, measured, ranked, strict=True)
    ]
