"""Metrics of predictions that arrive in batches, in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Integer

from labelcontrast.errors import LabelShapeError, TensorError
from labelcontrast.metrics.counting import Counts, TrainingLabels, known_pairs, mean_of_known
from labelcontrast.metrics.ranking import Rankings, inverse_propensities

REACH = 16.0
"""The histogram ends at this logit on either side."""


@dataclass
class ScoreHistogram:
    """How many examples, and how many positives, have which probability; bins are of equal width in the logit.

    Probabilities in one bin count as equal, which is all that the average precisions lose.
    """

    labels: int
    bins: int
    everyone: Integer[np.ndarray, "labels bins"] = field(init=False)
    positives: Integer[np.ndarray, "labels bins"] = field(init=False)

    def __post_init__(self) -> None:
        self.everyone, self.positives = np.zeros((2, self.labels, self.bins), dtype=np.int64)

    def update(
        self,
        true: Bool[np.ndarray, "examples labels"],
        known: Bool[np.ndarray, "examples labels"],
        probabilities: Float[np.ndarray, "examples labels"],
    ) -> None:
        """Count a batch."""
        # Beyond the reach all are in the last bin; 1 - 1e-16 is the largest double below 1, and keeps the log finite.
        inside = np.clip(probabilities.astype(np.float64), 1e-16, 1 - 1e-16)
        place = ((np.log(inside) - np.log1p(-inside)) / REACH + 1) / 2 * self.bins
        spot = np.clip(place, 0, self.bins - 1).astype(np.int64) + self.bins * np.arange(self.labels)
        self.everyone += self._count(spot[known])
        self.positives += self._count(spot[true])

    def average_precisions(self) -> Float[np.ndarray, " labels"]:
        """Average precision of each label; NaN for a label without a positive."""
        return np.array(
            [_of_counts(*pair) for pair in zip(self.positives, self.everyone, strict=True)], dtype=np.float64
        )

    def micro_average_precision(self) -> float:
        """Average precision over all pairs of an example and a label."""
        return _of_counts(self.positives.sum(axis=0), self.everyone.sum(axis=0))

    def _count(self, spots: Integer[np.ndarray, " pairs"]) -> Integer[np.ndarray, "labels bins"]:
        """Count how many pairs lie in each bin."""
        return np.bincount(spots, minlength=self.everyone.size).reshape(self.everyone.shape)


def _of_counts(positives: Integer[np.ndarray, " bins"], everyone: Integer[np.ndarray, " bins"]) -> float:
    """Average precision from counts by bin, the lowest first."""
    if not positives.any():
        return float("nan")
    hits, above = positives[::-1].cumsum(), everyone[::-1].cumsum()
    return float((positives[::-1] * hits / np.maximum(above, 1)).sum() / hits[-1])


Matrix: TypeAlias = np.ndarray | sp.csr_array
"""[examples, labels], dense or sparse."""
BLOCK = 2**20
"""Pairs of an example and a label that are looked at together."""


class StreamedMetrics:
    """Every measure of ``compute_metrics`` from batches of labels, scores and predictions.

    Exact are all but the two mean average precisions: these need all scores at once, and come from a histogram of
    probabilities for each label, 2 x 8 bytes a bin. With 2,048 bins a bin is 1.6 % wide in the odds.

    Args:
        num_labels: How many labels there are.
        train: How frequent they were in training; without it head, medium, tail and ``psp@k`` are left out.
        bins: Of the histogram; with None the scores may be any numbers, and there are no mean average precisions.

    Example:
        >>> streamed = StreamedMetrics(2)
        >>> for score in (0.9, 0.4):
        ...     streamed.update(np.array([[1, 0]]), np.array([[score, 0.1]]), np.array([[score > 0.5, False]]))
        >>> measures = streamed.measures()
        >>> round(measures["micro_f1"], 3), measures["map_macro"]
        (0.667, 1.0)
    """

    def __init__(self, num_labels: int, *, train: TrainingLabels | None = None, bins: int | None = 2048) -> None:
        self._train = train
        self._counts = Counts(num_labels)
        self._rankings = Rankings(None if train is None else inverse_propensities(train))
        self._histogram = None if bins is None else ScoreHistogram(num_labels, bins)

    def update(self, labels: Matrix, scores: Matrix, predictions: Matrix) -> None:
        """Count a batch, dense or sparse; a sparse one is made dense a few rows at a time.

        Raises:
            LabelShapeError: The three have different shapes, or hold no example.
            TensorError: A score is NaN or infinite, or no probability where there is a histogram.
        """
        check_measurable(labels, scores, predictions)
        for truth, ranked, claimed in _blocks(labels, scores, predictions):
            if self._histogram is not None and not ((ranked >= 0) & (ranked <= 1)).all():
                raise TensorError(f"scores must be probabilities. Got {ranked.min():g} to {ranked.max():g}.")
            known = known_pairs(truth)
            true = known & (truth == 1)
            self._counts.update(true, known, known & claimed.astype(bool))
            self._rankings.update(true, known, ranked)
            if self._histogram is not None:
                self._histogram.update(true, known, ranked)

    def measures(self) -> dict[str, float]:
        """Compute the measures of all batches so far."""
        found = self._counts.measures(self._train) | self._rankings.measures()
        found["labels_scored"] = float((self._counts.support > 0).sum())
        if self._histogram is not None:
            found["map_macro"] = mean_of_known(self._histogram.average_precisions())
            found["map_micro"] = self._histogram.micro_average_precision()
        return found


def dense(matrix: Matrix) -> np.ndarray:
    """Make a matrix dense."""
    return matrix if isinstance(matrix, np.ndarray) else np.asarray(matrix.toarray())


def check_measurable(labels: Matrix, scores: Matrix, predictions: Matrix) -> None:
    """Refuse what cannot be measured.

    Raises:
        LabelShapeError: The three have different shapes, or hold no example.
        TensorError: A score is NaN or infinite.
    """
    shapes = {labels.shape, scores.shape, predictions.shape}
    if len(shapes) > 1 or labels.ndim != 2 or not min(labels.shape):
        raise LabelShapeError(
            "labels, scores and predictions must be three matrices [examples, labels] of one shape with at least one "
            f"example and one label. Got {labels.shape}, {scores.shape} and {predictions.shape}."
        )
    values = scores if isinstance(scores, np.ndarray) else scores.data
    if not np.isfinite(values).all():
        raise TensorError(f"scores must be finite. Got {np.count_nonzero(~np.isfinite(values))} that are not.")


def _blocks(*matrices: Matrix) -> Iterator[list[np.ndarray]]:
    """Yield the same few rows of each matrix, dense."""
    rows, labels = matrices[0].shape
    step = max(1, BLOCK // labels)
    for at in range(0, rows, step):
        yield [dense(matrix[at : at + step]) for matrix in matrices]
