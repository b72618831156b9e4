"""Average precision of scores that come in batches, from a histogram of the probabilities of each label."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Integer

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
