"""Rankings: of the labels of each example, and of the examples of each label (average precision).

Labels of one example with the same score share their places: LRAP, coverage and ranking loss take the worst of them, as
scikit-learn does; metrics at k take the mean over every order of equals.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped
from numpy.typing import ArrayLike

from labelcontrast.metrics.counting import Labels, TrainingLabels, Weights, as_matrix, known_pairs, mean_of_known, ratio
from labelcontrast.metrics.registry import TOP

_AT_ONCE = 2**22  # numbers that are held for a label at a time
_REACH = 16.0  # the histogram ends at this logit on either side


def average_precisions(
    labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None
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
    labels, scores = as_matrix(labels, "labels"), as_matrix(scores, "scores")
    if weights is not None:
        pairs = zip(labels.T, scores.T, strict=True)
        once = np.asarray(weights, dtype=np.float64)[None]
        return np.array([weighted_average_precision(*pair, once)[0] for pair in pairs])
    known = known_pairs(labels)
    found = np.full(labels.shape[1], np.nan)
    for label in np.flatnonzero((known & (labels == 1)).any(axis=0)):
        everyone = np.sort(scores[known[:, label], label])
        positives = np.sort(scores[labels[:, label] == 1, label])
        above = len(everyone) - np.searchsorted(everyone, positives)
        found[label] = ((len(positives) - np.searchsorted(positives, positives)) / above).mean()
    return found


def mean_average_precision(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
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
        # Unknown labels come after all others, and count as neither hit nor place.
        order = np.argsort(np.where(known, -scores, np.inf), axis=1)
        self._first, self._last = _ties(np.take_along_axis(np.where(known, scores, -np.inf), order, axis=1))
        self._hits: Bool[np.ndarray, "examples labels"] = np.take_along_axis(labels == 1, order, axis=1)
        self._positives, self._known = self._hits.sum(axis=1), known.sum(axis=1)
        self._weighted = None if weights is None else self._hits * weights[order]

    def average_precision(self) -> Float[np.ndarray, " examples"]:
        """Mean over true labels of the precision at their place; 1 where no label, or each label, is true."""
        precision = np.where(self._hits, self._hits_above / (self._last + 1.0), 0.0).sum(axis=1)
        trivial = (self._positives == 0) | (self._positives == self._known)
        return np.where(trivial, 1.0, ratio(precision, self._positives))

    def coverage(self) -> Integer[np.ndarray, " examples"]:
        """Places of the ranking that it takes to include all true labels."""
        return np.asarray(np.where(self._hits, self._last + 1, 0).max(axis=1))

    def loss(self) -> Float[np.ndarray, " examples"]:
        """Share of pairs of a true and a false label in the wrong order."""
        worse = np.where(self._hits, self._last + 1 - self._hits_above, 0).sum(axis=1)
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
    def _hits_above(self) -> Integer[np.ndarray, "examples labels"]:
        return np.take_along_axis(self._hits.cumsum(axis=1, dtype=np.int32), self._last, axis=1)

    @cached_property
    def _gains(self) -> Float[np.ndarray, "examples top"]:
        return self._shared(self._hits.astype(np.float64))

    @cached_property
    def _weighted_gains(self) -> Float[np.ndarray, "examples top"]:
        assert self._weighted is not None
        return self._shared(self._weighted)

    @cached_property
    def _best_weights(self) -> Float[np.ndarray, "examples top"]:
        assert self._weighted is not None
        return np.asarray(-np.sort(-self._weighted, axis=1)[:, : max(TOP)])

    def _shared(self, gains: Float[np.ndarray, "examples labels"]) -> Float[np.ndarray, "examples top"]:
        """Mean gain of the places that equal each of the first ones."""
        sums = np.pad(gains.cumsum(axis=1), ((0, 0), (1, 0)))
        first, last = self._first[:, : max(TOP)], self._last[:, : max(TOP)]
        total = np.take_along_axis(sums, last + 1, axis=1) - np.take_along_axis(sums, first, axis=1)
        return np.asarray(total / (last + 1 - first))


def _ties(ranked: Float[np.ndarray, "examples labels"]) -> tuple[np.ndarray, np.ndarray]:
    """First and last place, from 0, of the scores that equal the one at each place."""
    places = np.arange(ranked.shape[1], dtype=np.int32)
    new = np.ones(ranked.shape, dtype=bool)
    new[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    ends = np.ones(ranked.shape, dtype=bool)
    ends[:, :-1] = new[:, 1:]
    first = np.maximum.accumulate(np.where(new, places, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, places, places[-1])[:, ::-1], axis=1)[:, ::-1]
    return first, last
