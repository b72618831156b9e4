"""Each level of a hierarchy measured on its own, from the roots on."""

import numpy as np
from jaxtyping import Integer, Shaped

from labelcontrast.evaluation.metrics.counting import known_pairs, mean_of_known, ratio

Predictions = Shaped[np.ndarray, "examples labels"]


class LevelMetrics:
    """F1 and accuracy of every level, from batches of label sets; a pair whose truth is not known is left out.

    Args:
        depths: the level of each label.

    Example:
        >>> counted = LevelMetrics(np.array([0, 1, 1]))
        >>> counted.update(np.array([[1, 1, 0]]), np.array([[1, 0, 1]]))
        >>> [level["accuracy"] for level in counted.measures()]
        [1.0, 0.0]
    """

    def __init__(self, depths: Integer[np.ndarray, " labels"]) -> None:
        self._levels = [depths == depth for depth in range(int(depths.max()) + 1)]
        self.hits, self.sizes, self.support, self.known = np.zeros((4, len(depths)))
        self._right = np.zeros((2, len(self._levels)))
        """By level the examples that are right there, and those that have a label there."""

    def update(self, labels: Predictions, predictions: Predictions) -> None:
        """Count a batch.

        Args:
            labels: what is true, 0 or 1, closed upwards; NaN where it is unknown.
            predictions: what is predicted, 0 or 1.
        """
        known = known_pairs(labels)
        true, predicted = labels == 1, known & (predictions != 0)
        self.hits += (true & predicted).sum(0)
        self.support += true.sum(0)
        self.sizes += true.sum(0) + predicted.sum(0)
        self.known += known.sum(0)
        for level, here in enumerate(self._levels):
            present = true[:, here].any(1)
            exact = (true == predicted)[:, here].all(1)
            self._right[:, level] += (exact & present).sum(), present.sum()

    @property
    def f1(self) -> np.ndarray:
        """The F1 of each label of all batches so far; NaN where nothing is known of it."""
        return np.where(self.known > 0, ratio(2 * self.hits, self.sizes), np.nan)

    def measures(self) -> list[dict[str, float]]:
        """Compute the measures of all batches so far.

        Returns:
            For each level ``micro_f1``, ``macro_f1``, and ``accuracy``: the share of the examples with a true label of
            this level whose labels of this level are predicted exactly, NaN where there is none; NaN too where nothing
            is known of a level.
        """
        right, present = np.asarray(self._right)
        counted = np.array([self.hits, self.sizes, self.known])
        hits, sizes, known = np.stack([counted[:, here].sum(1) for here in self._levels], 1)
        micro = np.where(known > 0, ratio(2 * hits, sizes), np.nan)
        macro = [mean_of_known(self.f1[here]) for here in self._levels]
        accuracy = np.where(present > 0, ratio(right, present), np.nan)
        names = ("micro_f1", "macro_f1", "accuracy")
        rows = zip(micro.tolist(), macro, accuracy.tolist(), strict=True)
        return [dict(zip(names, row, strict=True)) for row in rows]
