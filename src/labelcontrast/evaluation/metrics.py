"""The measures of a multi-label prediction, over all labels and for each.

A ratio without a denominator is 0, as in scikit-learn: the F1 of a label that is neither present nor predicted, the
precision of a label that is never predicted, the recall of a label that is never present. A label without a positive
has no average precision (NaN) and is left out of the mean; ``labels_scored`` says how many were left in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Integer, Real, Shaped
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score

from labelcontrast.errors import LabelShapeError, TensorError


@dataclass(frozen=True)
class Metric:
    """A measure: its name, which way is better, and one sentence."""

    name: str
    better: Literal["higher", "lower"]
    meaning: str


METRICS = {
    metric.name: metric
    for metric in (
        Metric("micro_f1", "higher", "F1 over all pairs of an example and a label; frequent labels dominate."),
        Metric("macro_f1", "higher", "Mean of the F1 of each label; a rare label counts as much as a frequent one."),
        Metric("sample_f1", "higher", "Mean over examples of the F1 between the predicted and the true label set."),
        Metric("hamming_loss", "lower", "Share of pairs of an example and a label that are predicted wrongly."),
        Metric(
            "map_macro", "higher", "Mean of the average precision of each label with a positive; needs no threshold."
        ),
        Metric(
            "map_micro", "higher", "Average precision over all pairs of an example and a label; needs no threshold."
        ),
        Metric("lrap", "higher", "Label ranking average precision: how high an example's own labels are ranked in it."),
    )
}


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
    labels: Shaped[np.ndarray, "examples labels"],
    scores: Float[np.ndarray, "examples labels"],
    predictions: Shaped[np.ndarray, "examples labels"],
) -> dict[str, float]:
    r"""Compute every measure of ``METRICS``, and ``labels_scored``.

    .. math:: F_1 = \frac{2 \, |\text{true} \cap \text{predicted}|}{|\text{true}| + |\text{predicted}|}

    Args:
        labels: What is true, 0 or 1.
        scores: Logits or probabilities, higher is likelier. Only their order matters.
        predictions: What is predicted, 0 or 1.

    Returns:
        Fractions, not percents. The mean average precisions are NaN where no label has a positive. In ``lrap`` an
        example without labels, or with all of them, counts 1.

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
    _check(labels, scores, predictions)
    true, predicted = labels.astype(bool), predictions.astype(bool)
    by_label = average_precisions(labels, scores)
    return {
        "micro_f1": _f1(true.reshape(-1, 1), predicted.reshape(-1, 1)).item(),
        "macro_f1": float(_f1(true, predicted).mean()),
        "sample_f1": float(_f1(true.T, predicted.T).mean()),
        "hamming_loss": float((true != predicted).mean()),
        "map_macro": _mean(by_label),
        "map_micro": _mean(average_precisions(labels.reshape(-1, 1), scores.reshape(-1, 1))),
        "lrap": float(label_ranking_average_precision_score(true, scores)),
        "labels_scored": float(np.isfinite(by_label).sum()),
    }


def average_precisions(
    labels: Shaped[np.ndarray, "examples labels"], scores: Float[np.ndarray, "examples labels"]
) -> Float[np.ndarray, " labels"]:
    r"""Average precision of each label; NaN for a label without a positive.

    .. math:: \sum_k (R_k - R_{k-1}) P_k

    with precision P and recall R among the examples that score at least the k-th distinct score.

    Example:
        >>> average_precisions(np.array([[1, 0], [0, 0], [1, 0]]), np.array([[0.9, 0.1], [0.7, 0.2], [0.3, 0.3]]))
        array([0.83333333,        nan])
    """
    found = np.full(labels.shape[1], np.nan)
    for label in np.flatnonzero(labels.any(axis=0)):
        found[label] = average_precision_score(labels[:, label], scores[:, label])
    return found


def mean_average_precision(
    labels: Shaped[np.ndarray, "examples labels"], scores: Float[np.ndarray, "examples labels"]
) -> float:
    """Average precision, averaged over the labels that have a positive; NaN when none has."""
    return _mean(average_precisions(labels, scores))


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
        labels: What is true, 0 or 1.
        scores: Logits or probabilities, higher is likelier.
        predictions: What is predicted, 0 or 1.
        train_counts: Positives of each label among the training examples.
        thresholds: What the predictions were cut at.

    Raises:
        LabelShapeError: The matrices have different shapes, or hold no example.
        TensorError: A score is NaN or infinite.
    """
    _check(labels, scores, predictions)
    true, predicted = labels.astype(bool), predictions.astype(bool)
    hits, support, claimed = (true & predicted).sum(axis=0), true.sum(axis=0), predicted.sum(axis=0)
    precision, recall = _ratio(hits, claimed), _ratio(hits, support)
    measured = zip(train_counts, support, precision, recall, _f1(true, predicted), strict=True)
    ranked = zip(average_precisions(labels, scores), thresholds, strict=True)
    return [
        LabelRow(name, int(seen), int(present), *map(float, rates), *map(float, ranking))
        for name, (seen, present, *rates), ranking in zip(names, measured, ranked, strict=True)
    ]


def _f1(
    true: Bool[np.ndarray, "examples labels"], predicted: Bool[np.ndarray, "examples labels"]
) -> Float[np.ndarray, " labels"]:
    """F1 of each column. Counted here: scikit-learn reads a matrix with one column as a problem with two classes."""
    return _ratio(2 * (true & predicted).sum(axis=0), true.sum(axis=0) + predicted.sum(axis=0))


def _ratio(part: Integer[np.ndarray, " labels"], whole: Integer[np.ndarray, " labels"]) -> Float[np.ndarray, " labels"]:
    """Part over whole; 0 where the whole is 0, for then the part is 0 too."""
    return np.asarray(part / np.maximum(whole, 1))


def _mean(values: Float[np.ndarray, " labels"]) -> float:
    """Mean of what is not NaN; NaN when nothing is left."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _check(labels: np.ndarray, scores: np.ndarray, predictions: np.ndarray) -> None:
    """Refuse what cannot be measured."""
    shapes = {labels.shape, scores.shape, predictions.shape}
    if len(shapes) > 1 or labels.ndim != 2 or not labels.size:
        raise LabelShapeError(
            "labels, scores and predictions must be three matrices [examples, labels] of one shape with at least one "
            f"example and one label. Got {labels.shape}, {scores.shape} and {predictions.shape}."
        )
    if not np.isfinite(scores).all():
        raise TensorError(f"scores must be finite. Got {np.count_nonzero(~np.isfinite(scores))} that are not.")
