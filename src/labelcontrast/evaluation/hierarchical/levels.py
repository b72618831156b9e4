"""Each level of a hierarchy measured on its own, from the roots on."""

import numpy as np
from jaxtyping import Float, Integer, Shaped

from labelcontrast.evaluation.metrics.counting import known_pairs, mean_of_known, ratio

Predictions = Shaped[np.ndarray, "examples labels"]
Counts = Shaped[np.ndarray, "resamples examples"]


class LevelMetrics:
    """F1 and accuracy of every level, from batches of label sets; a pair whose truth is not known is left out.

    Args:
        depths: the level of each label.
        resamples: how many resamples of the examples are measured; one are the examples as they are.

    Example:
        >>> counted = LevelMetrics(np.array([0, 1, 1]))
        >>> counted.update(np.array([[1, 1, 0]]), np.array([[1, 0, 1]]))
        >>> [level["accuracy"] for level in counted.measures()]
        [1.0, 0.0]
    """

    def __init__(self, depths: Integer[np.ndarray, " labels"], *, resamples: int = 1) -> None:
        self._levels = [depths == depth for depth in range(int(depths.max()) + 1)]
        self.hits, self.sizes, self.support, self.known = np.zeros((4, resamples, len(depths)))
        self._right, self._present = np.zeros((2, resamples, len(self._levels)))
        """By level the examples that are right there, and those that have a label there."""

    def update(self, labels: Predictions, predictions: Predictions, counts: Counts | None = None) -> None:
        """Count a batch.

        Args:
            labels: what is true, 0 or 1, closed upwards; NaN where it is unknown.
            predictions: what is predicted, 0 or 1.
            counts: how often each example is in each resample; by default once.
        """
        weights = np.ones((1, len(labels))) if counts is None else counts.astype(np.float64)
        known = known_pairs(labels)
        true, predicted = labels == 1, known & (predictions != 0)
        self.hits += weights @ (true & predicted)
        self.support += weights @ true
        self.sizes += weights @ (true + predicted.astype(np.float64))
        self.known += weights @ known
        for level, here in enumerate(self._levels):
            present = true[:, here].any(1)
            exact = (true == predicted)[:, here].all(1)
            self._right[:, level] += weights @ (exact & present)
            self._present[:, level] += weights @ present

    @property
    def f1(self) -> np.ndarray:
        """By resample the F1 of each label of all batches so far; NaN where nothing is known of it."""
        return np.where(self.known > 0, ratio(2 * self.hits, self.sizes), np.nan)

    def measures(self) -> list[dict[str, float]]:
        """Compute the measures of all batches so far.

        Returns:
            For each level ``micro_f1``, ``macro_f1``, and ``accuracy``: the share of the examples with a true label of
            this level whose labels of this level are predicted exactly, NaN where there is none; NaN too where nothing
            is known of a level.
        """
        return [{name: float(values[0]) for name, values in level.items()} for level in self.resampled()]

    def resampled(self) -> list[dict[str, Float[np.ndarray, " resamples"]]]:
        """Compute the measures of every resample."""
        f1, found = self.f1, []
        accuracy = np.where(self._present > 0, ratio(self._right, self._present), np.nan)
        for level, here in enumerate(self._levels):
            hits, sizes, known = (each[:, here].sum(1) for each in (self.hits, self.sizes, self.known))
            micro = np.where(known > 0, ratio(2 * hits, sizes), np.nan)
            macro = np.array([mean_of_known(each) for each in f1[:, here]])
            found.append({"micro_f1": micro, "macro_f1": macro, "accuracy": accuracy[:, level]})
        return found
