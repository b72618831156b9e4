"""Metrics over a hierarchy of labels: distances, near misses, levels.

True and predicted label sets are compared closed upwards; where a measure takes the lowest labels of a set, it takes
them from the closed set. A ratio without a denominator is 0.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped
from scipy.sparse import csr_array, diags_array, eye_array, hstack

from labelcontrast.errors import LabelShapeError
from labelcontrast.metrics.counting import known_pairs, mean_of_known, ratio
from labelcontrast.metrics.registry import HIERARCHICAL_METRICS

Integers = Integer[np.ndarray, " entries"]


class Nearest(NamedTuple):
    """For each label of each set, the nearest of the other set of the example."""

    example: Integers
    label: Integers
    other: Integers
    """Of several that are as near, the first."""
    steps: Integers
    """Up from one and down to the other."""
    over: Integers
    """The label above both on the shortest way, of several the first; where it leads over the roots, one past all."""


def steps_up(parents: csr_array) -> csr_array:
    """Count the fewest steps up from each label to each above it.

    Args:
        parents: [labels, labels], 1 where the column is a parent of the row; without circles.

    Returns:
        [labels, labels + 1]: one more than the steps, and 0 where the column is not above; the last is above all roots.

    Example:
        >>> steps_up(csr_array([[0, 0], [1, 0]])).toarray().tolist()
        [[1, 0, 2], [2, 1, 3]]
    """
    size = parents.shape[0]
    roots = csr_array((np.diff(parents.indptr) == 0).astype(np.int64)[:, None])
    links = hstack([csr_array(parents, dtype=np.int64), roots], format="csr")
    found = csr_array(eye_array(size, size + 1, dtype=np.int64))
    front, number = csr_array(eye_array(size, dtype=np.int64)), 1
    while front.nnz:
        number += 1
        reached = (front @ links).astype(bool)
        fresh = csr_array(reached > found.astype(bool)).astype(np.int64)
        found = csr_array(found + number * fresh)
        front = csr_array(fresh[:, :size])
    found.sort_indices()
    return found


def nearest(first: csr_array, second: csr_array, steps: csr_array) -> Nearest:
    """Find for each label of the first sets the nearest of the second, where the example has one there.

    The time grows with the labels of both sets and those above them, not with the pairs.

    Args:
        first: label sets [examples, labels].
        second: others of the same examples.
        steps: as :func:`steps_up` has them.

    Example:
        >>> steps = steps_up(csr_array([[0, 0, 0], [1, 0, 0], [1, 0, 0]]))
        >>> found = nearest(csr_array([[0, 1, 0]]), csr_array([[1, 0, 1]]), steps)
        >>> found.other.tolist(), found.steps.tolist(), found.over.tolist()
        ([0], [1], [0])
    """
    width = steps.shape[1]
    example, label, above, up = links_up(first, steps)
    of_example, other, there, down = links_up(second, steps)
    places = of_example * width + there
    order = np.lexsort((other, down, places))
    kept = order[_fresh(places[order])]
    table = places[kept]
    wanted = example * width + above
    found = np.minimum(np.searchsorted(table, wanted), max(len(table) - 1, 0))
    met = np.flatnonzero(table[found] == wanted) if len(table) else np.empty(0, np.int64)
    example, label, above, up, pair = example[met], label[met], above[met], up[met], kept[found[met]]
    far, other = up + down[pair] - 2, other[pair]
    order = np.lexsort((above, other, far, label, example))
    chosen = order[_fresh((example * width + label)[order])]
    return Nearest(example[chosen], label[chosen], other[chosen], far[chosen], above[chosen])


def links_up(sets: csr_array, above: csr_array) -> tuple[Integers, Integers, Integers, Integers]:
    """List for every label of every set the entries of its row: example, label, the label above, and the entry."""
    example = np.repeat(np.arange(sets.shape[0]), np.diff(sets.indptr))
    times = np.diff(above.indptr)[sets.indices]
    offsets = np.arange(times.sum()) - np.repeat(times.cumsum() - times, times)
    places = np.repeat(above.indptr[sets.indices], times) + offsets
    return np.repeat(example, times), np.repeat(sets.indices, times), above.indices[places], above.data[places]


def lowest(labels: csr_array, ancestors: csr_array) -> csr_array:
    """Keep of each label set the labels that have no other of the set below them.

    Example:
        >>> lowest(csr_array([[1, 1], [1, 0]]), csr_array([[1, 0], [1, 1]])).toarray().tolist()
        [[0, 1], [1, 0]]
    """
    own = csr_array(labels).astype(bool)
    above = own.astype(np.int64) @ (csr_array(ancestors).astype(np.int64) - eye_array(own.shape[1], dtype=np.int64))
    return csr_array(own > (own.multiply(csr_array(above).astype(bool)))).astype(np.uint8)


def _fresh(ordered: Integers) -> Bool[np.ndarray, " entries"]:
    """Mark the first of each run of equals."""
    return np.asarray(np.diff(ordered, prepend=-1) != 0)


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


class HierarchicalMetrics:
    r"""Every measure of ``HIERARCHICAL_METRICS``, from batches of label sets.

    .. math:: hP = \frac{\sum_i |\hat T_i \cap \hat P_i|}{\sum_i |\hat P_i|}, \qquad
       hR = \frac{\sum_i |\hat T_i \cap \hat P_i|}{\sum_i |\hat T_i|},

    the hats closing a label set upwards. The measures up to the lowest common ancestor (lca) are
    those of the sets that :func:`up_to_common_ancestors` makes, in the mean over examples with a true or a predicted
    label.

    An unknown label leaves unknown what is above it, but for what another label makes true. What is unknown of an
    example is left out of its closed sets, and of the ways up to common ancestors; violations are of predictions alone.

    Args:
        parents: [labels, labels], 1 where the column is a parent of the row.
        resamples: how many resamples of the examples are measured; one are the examples as they are.

    Reference: Kiritchenko et al., Learning and Evaluation in the Presence of Class Hierarchies, 2006; Kosmopoulos et
    al., Evaluation Measures for Hierarchical Classification, 2015, for those up to the lowest common ancestor.
    """

    def __init__(self, parents: csr_array, *, resamples: int = 1) -> None:
        self._parents = parents
        self._steps = steps_up(parents)
        self._ancestors = csr_array(self._steps[:, :-1].astype(bool))
        self._sums = np.zeros((resamples, 11))

    def update(self, labels: Predictions, predictions: Predictions, counts: Counts | None = None) -> None:
        """Count a batch.

        Args:
            labels: what is true, 0 or 1; NaN where it is unknown.
            predictions: what is predicted, 0 or 1; as it is, for the violations, and else closed.
            counts: how often each example is in each resample; by default once.

        Raises:
            LabelShapeError: the shapes do not fit, or there is no example.
        """
        _check(labels, predictions, self._parents)
        true, claimed, open_ = (
            csr_array(csr_array(given).astype(bool) @ self._ancestors)
            for given in (labels == 1, predictions, ~known_pairs(labels))
        )
        unknown = _without(open_, true)
        predicted = _without(claimed, unknown)
        errors, of_errors, *ways = up_to_common_ancestors(true, predicted, self._steps)
        parts = [_without(way, unknown) for way in ways]
        hits, present, found = (_sizes(part) for part in (_both(*parts), *parts))
        wholes = (found, present, (found + present) / 2)
        shares = [
            *(_sizes(matrix) for matrix in (_both(true, predicted), predicted, true)),
            *(ratio(hits, whole) for whole in wholes),
            found + present > 0,
            np.bincount(of_errors, errors, len(labels)),
            np.bincount(of_errors, minlength=len(labels)),
            violations(predictions, self._parents).sum(1),
            (predictions[:, np.diff(self._parents.indptr) > 0] != 0).sum(1),
        ]
        self._sums += (np.ones((1, len(labels))) if counts is None else counts) @ np.stack(shares, 1)

    def measures(self) -> dict[str, float]:
        """Compute the measures of all batches so far.

        Returns:
            Fractions; ``tree_distance_of_errors`` in steps, where need be over a node above all roots, NaN where no
            lowest predicted label is wrong.
        """
        return {name: float(values[0]) for name, values in self.resampled().items()}

    def resampled(self) -> dict[str, Float[np.ndarray, " resamples"]]:
        """Compute the measures of every resample."""
        hits, claimed, present, *rates, rated, steps, wrong, violating, below = self._sums.T
        values = [
            ratio(hits, claimed),
            ratio(hits, present),
            ratio(2 * hits, claimed + present),
            *(ratio(rate, rated) for rate in rates),
            np.where(wrong > 0, ratio(steps, wrong), np.nan),
            ratio(violating, below),
        ]
        return dict(zip(HIERARCHICAL_METRICS, values, strict=True))


def hierarchical_metrics(labels: Predictions, predictions: Predictions, parents: csr_array) -> dict[str, float]:
    """Compute the measures of one batch.

    Example:
        >>> parents = csr_array([[0, 0, 0], [1, 0, 0], [1, 0, 0]])
        >>> found = hierarchical_metrics(np.array([[1, 1, 0]]), np.array([[0, 0, 1]]), parents)
        >>> found["hierarchical_f1"], found["lca_f1"], found["tree_distance_of_errors"], found["violations"]
        (0.5, 0.5, 2.0, 1.0)
    """
    counted = HierarchicalMetrics(parents)
    counted.update(labels, predictions)
    return counted.measures()


def violations(predictions: Predictions, parents: csr_array) -> Bool[np.ndarray, "examples labels"]:
    """Mark the predicted labels of which a parent is not predicted.

    Example:
        >>> violations(np.array([[0, 1], [1, 1]]), csr_array([[0, 0], [1, 0]])).tolist()
        [[False, True], [False, False]]
    """
    example, label, parent, _ = links_up(csr_array(predictions), parents)
    lacking = predictions[example, parent] == 0
    found = np.zeros(predictions.shape, bool)
    found[example[lacking], label[lacking]] = True
    return found


def up_to_common_ancestors(
    true: csr_array, predicted: csr_array, steps: csr_array
) -> tuple[Integer[np.ndarray, " errors"], Integer[np.ndarray, " errors"], csr_array, csr_array]:
    """Cut closed label sets off above the labels where true and predicted meet.

    Every lowest true label is met with the nearest lowest predicted one, and every lowest predicted label with the
    nearest true one, of several the first; a set keeps its labels on the way from these, to where the two meet. Of an
    example without true or without predicted labels the whole sets are kept.

    Args:
        true: closed label sets.
        predicted: others of the same examples, without what is unknown.
        steps: as :func:`steps_up` has them.

    Returns:
        For each lowest predicted label that is not true, the steps to the nearest lowest true one, of the examples that
        have both, and which example that is; then the true sets and the predicted.
    """
    ancestors = csr_array(steps.astype(bool))
    low_true, low_predicted = (lowest(closed, csr_array(ancestors[:, :-1])) for closed in (true, predicted))
    of_true, of_predicted = nearest(low_true, low_predicted, steps), nearest(low_predicted, low_true, steps)
    wrong = ~true.astype(bool).toarray()[of_predicted.example, of_predicted.label]
    example = np.concatenate([of_true.example, of_predicted.example])
    over = np.concatenate([of_true.over, of_predicted.over])
    first = np.concatenate([of_true.label, of_predicted.other])
    second = np.concatenate([of_true.other, of_predicted.label])
    alone = diags_array((np.bincount(example, minlength=true.shape[0]) == 0).astype(np.float64))
    parts = [
        csr_array(_ways(example, end, over, ancestors, true.shape[0]) + alone @ closed)
        for closed, end in ((true, first), (predicted, second))
    ]
    return of_predicted.steps[wrong], of_predicted.example[wrong], parts[0], parts[1]


def _ways(example: Integers, end: Integers, over: Integers, ancestors: csr_array, examples: int) -> csr_array:
    """Collect for each example the labels on the way from each end up to where it leads over; many share a way."""
    width = ancestors.shape[1]
    distinct, which = np.unique(end * width + over, return_inverse=True)
    below = csr_array(ancestors.T.tocsr()[distinct % width])
    below.resize(len(distinct), width - 1)
    ways = csr_array(ancestors[distinct // width, :-1].multiply(below)).astype(np.int64)
    return csr_array(csr_array((np.ones(len(which), np.int64), (example, which)), (examples, len(distinct))) @ ways)


def _without(first: csr_array, second: csr_array) -> csr_array:
    """The labels of the first sets that are not in the second."""
    own = first.astype(bool)
    return csr_array(own > own.multiply(second.astype(bool)))


def _both(first: csr_array, second: csr_array) -> csr_array:
    """The labels that are in both."""
    return csr_array(first.astype(bool).multiply(second.astype(bool)))


def _sizes(sets: csr_array) -> Float[np.ndarray, " examples"]:
    """How many labels each set has."""
    return np.asarray(np.diff(sets.indptr).astype(np.float64))


def _check(labels: np.ndarray, predictions: np.ndarray, parents: csr_array) -> None:
    """Refuse what does not fit."""
    if labels.shape != predictions.shape or labels.ndim != 2 or labels.shape[1] != parents.shape[0] or not len(labels):
        raise LabelShapeError(
            f"labels and predictions must be matrices [examples, {parents.shape[0]}] with at least one example. "
            f"Got {labels.shape} and {predictions.shape}."
        )
