"""Confusion counts of predictions, and the averages of a metric over them.

A weighting says how often each example counts; a resample of a bootstrap is one. Counts have one row a weighting.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Real, Shaped
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from labelcontrast.errors import LabelShapeError
from labelcontrast.metrics.registry import HEAD, TAIL, Metric

Labels: TypeAlias = Shaped[np.ndarray, "examples labels"]
"""True labels are 0, 1 or NaN (unknown); predictions are 0 or 1."""
Weights: TypeAlias = Real[np.ndarray, "weightings examples"]
"""Weight of each example in each weighting, such as its count in a resample."""


@dataclass(frozen=True)
class TrainingLabels:
    """Frequencies of the labels in the training data, for metrics of rare labels."""

    counts: Real[np.ndarray, " labels"]
    """Positives of each label."""
    examples: int
    """All examples, with labels or without."""

    @classmethod
    def of(cls, labels: "Shaped[np.ndarray, 'examples labels'] | csr_array") -> "TrainingLabels":
        """Count the positives of training labels, dense or sparse; unknown ones (NaN) do not count."""
        return cls((labels == 1).sum(axis=0), labels.shape[0])


@dataclass
class Confusion:
    """Counts of pairs of an example and a label, or of sums of them: four arrays of one shape.

    Pairs whose true label is not known (NaN) count nothing.

    Example:
        >>> counts = Confusion.of(np.array([[1, 0], [1, 1]]), np.array([[1, 1], [0, 1]])).over_examples()
        >>> counts.hits.tolist(), counts.predicted.tolist(), counts.support.tolist()
        ([[1, 1]], [[1, 2]], [[2, 1]])
    """

    hits: Shaped[np.ndarray, "..."]
    """Predicted and true."""
    predicted: Shaped[np.ndarray, "..."]
    support: Shaped[np.ndarray, "..."]
    """True."""
    known: Shaped[np.ndarray, "..."]

    @classmethod
    def of(cls, labels: Labels, predictions: Labels) -> "Confusion":
        """Mark the pairs of each kind."""
        known = known_pairs(labels)
        true, predicted = known & (labels == 1), known & (predictions != 0)
        return cls(true & predicted, predicted, true, known)

    @classmethod
    def zeros(cls, *shape: int) -> "Confusion":
        """Start counting."""
        return cls(*np.zeros((4, *shape)))

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.hits, self.predicted, self.support, self.known))

    def add(self, other: "Confusion") -> None:
        """Add the counts of other examples."""
        for own, more in zip(self, other, strict=True):
            np.add(own, more, out=own)

    def over_labels(self) -> "Confusion":
        """Sum over the last axis, the labels."""
        return Confusion(*(one.sum(axis=-1) for one in self))

    def over_examples(self, weights: Weights | None = None) -> "Confusion":
        """Sum marked pairs over the examples: a row a weighting; without weights, each example counts once."""
        return Confusion(*(one.sum(axis=0, keepdims=True) if weights is None else weights @ one for one in self))

    def select(self, chosen: Shaped[np.ndarray, "..."]) -> "Confusion":
        """Take some labels."""
        return Confusion(*(one[..., chosen] for one in self))


def average_labels(
    metric: Metric, counts: Confusion, train: TrainingLabels | None = None
) -> Float[np.ndarray, " weightings"]:
    """Compute a metric of predictions from the counts of each label.

    Args:
        metric: Any whose ``average`` is not ``sample``.
        counts: [weightings, labels].
        train: For ``head``, ``medium`` and ``tail``.

    Returns: NaN where no pair is known, or no label is averaged over.
    """
    assert metric.terms is not None
    if metric.average == "micro":
        total = counts.over_labels()
        return np.where(total.known > 0, ratio(*metric.terms(total)), np.nan)
    values = ratio(*metric.terms(counts))
    if metric.average == "weighted":
        weighted = np.array([row @ support for row, support in zip(values, counts.support, strict=True)])
        return ratio(weighted, counts.support.sum(axis=1))
    averaged = counts.known > 0
    if metric.average != "macro":
        assert train is not None
        averaged = averaged & by_frequency(train.counts)[metric.average]
    return np.array([mean_of_known(row[chosen]) for row, chosen in zip(values, averaged, strict=True)])


def by_frequency(counts: Real[np.ndarray, " labels"]) -> dict[str, Bool[np.ndarray, " labels"]]:
    """Mark the head, medium and tail labels, by their positives in training.

    Example:
        >>> by_frequency(np.array([101, 100, 20, 19]))["medium"]
        array([False,  True,  True, False])
    """
    head, tail = counts > HEAD, counts < TAIL
    return {"head": head, "medium": ~head & ~tail, "tail": tail}


def as_matrix(values: ArrayLike, name: str) -> np.ndarray:
    """Convert a list or a tensor to an array, and check that it is a matrix of numbers; an array stays as it is.

    Raises:
        LabelShapeError: It is no matrix of numbers.

    Example:
        >>> as_matrix([[1, 0], [0, 1]], "labels").shape
        (2, 2)
    """
    try:
        array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    except ValueError as error:
        message = f"{name} must be a matrix with one row for each example. Got rows of different lengths."
        raise LabelShapeError(message) from error
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        message = f"{name} must be a matrix of numbers with one row for each example. "
        raise LabelShapeError(f"{message}Got shape {list(array.shape)} of type {array.dtype}.")
    return array


def as_features(features: ArrayLike, name: str) -> Float[np.ndarray, "examples dim"]:
    """Convert features to a matrix of floating-point numbers; those in float32 or float64 keep their type.

    Raises:
        LabelShapeError: They are no matrix of numbers.
    """
    matrix = as_matrix(features, name)
    return matrix if matrix.dtype in (np.float32, np.float64) else matrix.astype(np.float32)


def checked_pair(labels: ArrayLike, probabilities: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Convert labels and probabilities to two matrices of one shape.

    Raises:
        LabelShapeError: They are no matrices of one shape, or hold no example.

    Example:
        >>> [one.shape for one in checked_pair([[1, 0]], [[0.9, 0.2]])]
        [(1, 2), (1, 2)]
    """
    labels, probabilities = as_matrix(labels, "labels"), as_matrix(probabilities, "probabilities")
    if labels.shape != probabilities.shape or not len(labels):
        message = "labels and probabilities must have one shape, with at least one example. "
        raise LabelShapeError(f"{message}Got {list(labels.shape)} and {list(probabilities.shape)}.")
    return labels, probabilities


def known_pairs(labels: Shaped[np.ndarray, "..."]) -> Bool[np.ndarray, "..."]:
    """Mark the labels that are known, which are those that are not NaN."""
    if labels.dtype.kind == "f":
        return np.asarray(~np.isnan(labels))
    return np.ones(labels.shape, dtype=bool)


def ratio(part: np.ndarray, whole: np.ndarray | int, *, empty: float = 0.0) -> np.ndarray:
    """Return part / whole, and ``empty`` where the whole is 0: the part is 0 there too."""
    nothing = np.asarray(whole) == 0
    found = np.asarray(part / np.where(nothing, 1, whole))
    return found if empty == 0 else np.where(nothing, empty, found)


def mean_of_known(values: Float[np.ndarray, " values"]) -> float:
    """Return the mean of the values that are not NaN; NaN where there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
