"""Rankings: of the labels of each example, and of the examples of each label (average precision).

Labels of one example with the same score share their places: LRAP, coverage and ranking loss take the worst of them, as
scikit-learn does; metrics at k take the mean over every order of equals.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float, Integer, Shaped
from numpy.typing import ArrayLike

from labelcontrast.metrics.counting import (
    AnyMatrix,
    Labels,
    Matrix,
    TrainingLabels,
    Weights,
    as_blocks,
    column_blocks,
    known_pairs,
    mean_of_known,
    ratio,
)
from labelcontrast.metrics.registry import TOP

_AT_ONCE = 2**22  # numbers that are held for a label at a time
_REACH = 16.0  # the histogram ends at this logit on either side


def average_precisions(
    labels: AnyMatrix, scores: AnyMatrix, weights: ArrayLike | None = None
) -> Float[np.ndarray, " labels"]:
    r"""Compute the average precision of each label.

    .. math:: \frac{1}{|P|} \sum_{i \in P} \frac{|\{j \in P : s_j \ge s_i\}|}{|\{j : s_j \ge s_i\}|}

    with P the examples that have the label; it is the sum of precision times the rise of recall over distinct scores.

    Args:
        labels: 0 or 1, shape [examples, labels]; NaN where it is not known, and such a pair is left out.
        scores: Higher is more likely.
        weights: Of the examples; by default each counts once.

    Returns: Between 0 and 1 for each label; NaN for a label without a positive.

    Example:
        >>> average_precisions(np.array([[1, 0], [0, 0], [1, 0]]), np.array([[0.9, 0.1], [0.7, 0.2], [0.3, 0.3]]))
        array([0.83333333,        nan])
    """
    labels, scores = as_blocks(labels, "labels"), as_blocks(scores, "scores")
    if weights is not None:
        pairs = ((labels[:, label], scores[:, label]) for label in range(labels.shape[1]))
        once = np.asarray(weights, dtype=np.float64)[None]
        return np.array([weighted_average_precision(*pair, once)[0] for pair in pairs])
    found = np.full(labels.shape[1], np.nan)
    for at in column_blocks(labels.shape):
        true, ranked = labels[:, at].T, np.ascontiguousarray(scores[:, at].T)
        known, positive = known_pairs(true), true == 1
        for label in np.flatnonzero(positive.any(axis=1)):
            positives = np.sort(ranked[label, positive[label]])
            above = _at_least(positives, np.sort(ranked[label, known[label]]))
            found[at.start + label] = (_at_least(positives, positives) / above).mean()
    return found


def micro_average_precision(labels: AnyMatrix, scores: AnyMatrix) -> float:
    """Compute the average precision of all pairs as one ranking; NaN when no label has a positive.

    Example:
        >>> round(micro_average_precision(np.array([[1, 0], [0, 1]]), np.array([[0.9, 0.1], [0.3, 0.2]])), 3)
        0.833
    """
    labels, scores = as_blocks(labels, "labels"), as_blocks(scores, "scores")
    positives, above, _ = rank_positives(labels, scores)
    return float((_at_least(positives, positives) / above).mean()) if len(positives) else float("nan")


def rank_positives(
    labels: Matrix, scores: Matrix
) -> tuple[Float[np.ndarray, " positives"], Integer[np.ndarray, " positives"], Float[np.ndarray, " positives"]]:
    """Rank the pairs with a true label among all known pairs.

    Returns: The scores of the positives from the lowest on; for each the number of pairs that score at least as high,
        itself included; and the highest score below its own, minus infinity where there is none.

    Example:
        >>> [one.tolist() for one in rank_positives(np.array([[1, 0, 1]]), np.array([[0.9, 0.5, 0.2]]))]
        [[0.2, 0.9], [3, 1], [-inf, 0.5]]
    """
    blocks = list(column_blocks(labels.shape))
    positives = np.sort(np.concatenate([scores[:, at][labels[:, at] == 1] for at in blocks]))
    above, below = np.zeros(len(positives), dtype=np.int64), np.full(len(positives), -np.inf)
    for at in blocks if len(positives) else ():
        everyone = np.sort(scores[:, at][known_pairs(labels[:, at])])
        above += _at_least(positives, everyone)
        before = np.searchsorted(everyone, positives) - 1
        below = np.where(before >= 0, np.maximum(below, everyone[before]), below)
    return positives, above, below


def _at_least(values: np.ndarray, ascending: np.ndarray) -> Integer[np.ndarray, " values"]:
    """Count the entries that are at least as large as each value."""
    return len(ascending) - np.searchsorted(ascending, values)


def mean_average_precision(labels: AnyMatrix, scores: AnyMatrix, weights: ArrayLike | None = None) -> float:
    """Compute the mean average precision over the labels that have a positive; NaN when none has.

    Example:
        >>> mean_average_precision(np.array([[1, 0], [0, 0], [1, 0]]), np.array([[0.9, 0.1], [0.7, 0.2], [0.8, 0.3]]))
        1.0
    """
    return mean_of_known(average_precisions(labels, scores, weights))


def weighted_average_precision(
    labels: Shaped[np.ndarray, "examples *labels"], scores: Float[np.ndarray, "examples *labels"], weights: Weights
) -> Float[np.ndarray, " weightings"]:
    """Compute the average precision of all pairs as one ranking, under every weighting; the pairs are sorted once.

    Returns: NaN where no positive has a weight.

    Example:
        >>> weighted_average_precision(np.array([1, 0, 1]), np.array([0.9, 0.7, 0.3]), np.array([[1, 1, 1], [1, 0, 2]]))
        array([0.83333333, 1.        ])
    """
    known = known_pairs(labels)
    example_of, scores = np.nonzero(known)[0], scores[known]
    order = np.argsort(-scores, kind="stable")
    place = np.flatnonzero(labels[known][order])
    # Pairs of the same score are ranked together: a positive is found where the last of its score is.
    ends = np.flatnonzero(np.append(np.diff(scores[order]), 1.0))
    end = ends[np.searchsorted(ends, place)]
    last = np.searchsorted(end, end, side="right") - 1
    columns = example_of[order]
    found = []
    for start in range(0, len(weights), step := max(_AT_ONCE // max(len(order), 1), 1)):
        chosen = weights[start : start + step][:, columns]
        gained = chosen[:, place]
        hits, seen = gained.cumsum(axis=1)[:, last], chosen.cumsum(axis=1)[:, end]
        precision = np.ascontiguousarray(ratio(hits, seen))  # so that the order of the sum depends on no block
        found.append(ratio((gained * precision).sum(axis=1), gained.sum(axis=1), empty=np.nan))
    return np.concatenate(found)


@dataclass
class ScoreHistogram:
    """Counts of all and of positive examples by their probability, for each label, in bins of equal width in the logit.

    Average precisions take the probabilities of one bin for equal, and are exact otherwise.
    """

    labels: int
    bins: int
    everyone: Integer[np.ndarray, "labels bins"] = field(init=False)
    positives: Integer[np.ndarray, "labels bins"] = field(init=False)

    def __post_init__(self) -> None:
        self.everyone, self.positives = np.zeros((2, self.labels, self.bins), dtype=np.int64)

    def update(self, labels: Labels, probabilities: Float[np.ndarray, "examples labels"]) -> None:
        """Count a batch."""
        # Beyond the reach all are in the last bin; 1 - 1e-16 is the largest double below 1, and keeps the log finite.
        inside = np.clip(probabilities.astype(np.float64), 1e-16, 1 - 1e-16)
        place = ((np.log(inside) - np.log1p(-inside)) / _REACH + 1) / 2 * self.bins
        spot = np.clip(place, 0, self.bins - 1).astype(np.int64) + self.bins * np.arange(self.labels)
        self.everyone += self._count(spot[known_pairs(labels)])
        self.positives += self._count(spot[labels == 1])

    def average_precisions(self) -> Float[np.ndarray, " labels"]:
        """Compute the average precision of each label; NaN for a label without a positive."""
        pairs = zip(self.positives, self.everyone, strict=True)
        return np.array([_from_bins(*pair) for pair in pairs], dtype=np.float64)

    def micro_average_precision(self) -> float:
        """Compute the average precision over all pairs of an example and a label."""
        return _from_bins(self.positives.sum(axis=0), self.everyone.sum(axis=0))

    def _count(self, spots: Integer[np.ndarray, " pairs"]) -> Integer[np.ndarray, "labels bins"]:
        return np.bincount(spots, minlength=self.everyone.size).reshape(self.everyone.shape)


def _from_bins(positives: Integer[np.ndarray, " bins"], everyone: Integer[np.ndarray, " bins"]) -> float:
    """Average precision from counts by bin, the lowest score first."""
    if not positives.any():
        return float("nan")
    hits, above = positives[::-1].cumsum(), everyone[::-1].cumsum()
    return float((positives[::-1] * hits / np.maximum(above, 1)).sum() / hits[-1])


def inverse_propensities(train: TrainingLabels, *, a: float = 0.55, b: float = 1.5) -> Float[np.ndarray, " labels"]:
    r"""Compute the weight of each label in ``psp@k``: how likely its positives are to be missed in annotation.

    .. math:: 1 + C e^{-A \log(n_l + B)}, \qquad C = (\log N - 1)(B + 1)^A

    with n the positives of the label among N training examples; C is at least 0.

    Example:
        >>> inverse_propensities(TrainingLabels(np.array([1, 100, 10_000]), 20_000)).round(2)
        array([9.9 , 2.16, 1.09])

    Reference: Jain, Prabhu and Varma, Extreme Multi-label Loss Functions, 2016.
    """
    constant = max(np.log(max(train.examples, 1)) - 1, 0.0) * (b + 1) ** a
    return np.asarray(1 + constant * np.exp(-a * np.log(train.counts + b)))


class LabelRanking:
    """The labels of each example in the order of their scores; a label that is not known has no place.

    Args:
        labels: 0 or 1, shape [examples, labels]; NaN where it is not known. Each example has a known label.
        scores: Higher is more likely.
        weights: Of each label, for the weighted hits.

    Example:
        >>> ranking = LabelRanking(np.array([[1, 0, 1]]), np.array([[0.9, 0.7, 0.3]]))
        >>> ranking.precision(1).tolist(), ranking.coverage().tolist(), ranking.average_precision().round(3).tolist()
        ([1.0], [3], [0.833])
    """

    def __init__(
        self,
        labels: Labels,
        scores: Float[np.ndarray, "examples labels"],
        weights: Float[np.ndarray, " labels"] | None = None,
    ) -> None:
        known = known_pairs(labels)
        # Unknown labels come after all others. Only labels that are true need a place, and they are few.
        self._ascending = np.sort(scores if known.all() else np.where(known, scores, -np.inf), axis=1)
        rows, columns = np.nonzero(labels == 1)
        order = np.lexsort((-scores[rows, columns], rows))
        self._rows, columns = rows[order], columns[order]
        self._scores = scores[self._rows, columns]
        self._weights = None if weights is None else weights[columns]
        self._known = known.sum(axis=1)
        self._positives = np.bincount(self._rows, minlength=len(labels))
        self._starts = np.cumsum(self._positives) - self._positives
        self._places = labels.shape[1] - _number_below(self._ascending, self._rows, self._scores)
        ends = np.flatnonzero((np.diff(self._rows, append=-1) != 0) | (np.diff(self._scores, append=np.inf) != 0))
        last = ends[np.searchsorted(ends, np.arange(len(order)))]  # of the positives with the same score
        self._hits = last - self._starts[self._rows] + 1

    def average_precision(self) -> Float[np.ndarray, " examples"]:
        """Mean over true labels of the precision at their place; 1 where no label, or each label, is true."""
        precision = self._sum(self._hits / self._places)
        trivial = (self._positives == 0) | (self._positives == self._known)
        return np.where(trivial, 1.0, ratio(precision, self._positives))

    def coverage(self) -> Integer[np.ndarray, " examples"]:
        """Places of the ranking that it takes to include all true labels."""
        return np.append(self._places, 0)[np.where(self._positives > 0, self._starts + self._positives - 1, -1)]

    def loss(self) -> Float[np.ndarray, " examples"]:
        """Share of pairs of a true and a false label in the wrong order."""
        worse = self._sum(self._places - self._hits)
        return ratio(worse, self._positives * (self._known - self._positives))

    def precision(self, k: int) -> Float[np.ndarray, " examples"]:
        """Hits among the first k places, over k."""
        return np.asarray(self._gains[:, :k].sum(axis=1) / k)

    def ndcg(self, k: int) -> Float[np.ndarray, " examples"]:
        """Discounted hits among the first k places, over the most that are possible."""
        here = self._gains[:, :k]
        discounts = 1 / np.log2(np.arange(2, max(TOP) + 2))[: here.shape[1]]
        ideal = np.append(0.0, discounts.cumsum())[np.minimum(self._positives, here.shape[1])]
        return ratio(here @ discounts, ideal)

    def weighted_hits(self, k: int) -> Float[np.ndarray, " examples"]:
        """Sum of the weights of the hits among the first k places."""
        return np.asarray(self._weighted_gains[:, :k].sum(axis=1))

    def most_weighted_hits(self, k: int) -> Float[np.ndarray, " examples"]:
        """Highest such sum that is possible."""
        return np.asarray(self._best_weights[:, :k].sum(axis=1))

    @cached_property
    def _gains(self) -> Float[np.ndarray, "examples top"]:
        return self._shared(np.ones(len(self._rows)))

    @cached_property
    def _weighted_gains(self) -> Float[np.ndarray, "examples top"]:
        assert self._weights is not None
        return self._shared(self._weights)

    @cached_property
    def _best_weights(self) -> Float[np.ndarray, "examples top"]:
        assert self._weights is not None
        order = np.lexsort((-self._weights, self._rows))
        place = np.arange(len(order)) - self._starts[self._rows]
        first = place < max(TOP)
        best = np.zeros((len(self._positives), max(TOP)))
        best[self._rows[first], place[first]] = self._weights[order][first]
        return best

    def _shared(self, gains: Float[np.ndarray, " positives"]) -> Float[np.ndarray, "examples top"]:
        """Mean gain of the places that equal each of the first ones."""
        everyone, shared = np.arange(len(self._positives)), []
        for score in self._ascending[:, : -max(TOP) - 1 : -1].T:
            below = _number_below(self._ascending, everyone, score)
            equals = _number_below(self._ascending, everyone, score, side="right") - below
            shared.append(self._sum(gains * (self._scores == score[self._rows])) / equals)
        return np.stack(shared, axis=1)

    def _sum(self, values: Shaped[np.ndarray, " positives"]) -> Float[np.ndarray, " examples"]:
        """Sum over the true labels of each example."""
        return np.bincount(self._rows, weights=values, minlength=len(self._positives)).astype(np.float64)


def _number_below(
    ascending: Float[np.ndarray, "examples labels"],
    rows: Integer[np.ndarray, " values"],
    values: Float[np.ndarray, " values"],
    *,
    side: Literal["left", "right"] = "left",
) -> Integer[np.ndarray, " values"]:
    """Count the entries of a row that are smaller than each value, or on the right side not larger."""
    low, high = np.zeros(len(rows), dtype=np.int64), np.full(len(rows), ascending.shape[1])
    while (low < high).any():
        middle = np.minimum((low + high) // 2, ascending.shape[1] - 1)
        found = ascending[rows, middle]
        before = ((found < values) if side == "left" else (found <= values)) & (low < high)
        low, high = np.where(before, middle + 1, low), np.where(before, high, np.minimum(high, middle))
    return low
