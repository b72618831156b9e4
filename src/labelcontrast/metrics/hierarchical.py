"""Metrics of label sets over a hierarchy: of closed sets, up to common ancestors, and of each level.

True and predicted label sets are closed upwards before they are compared, and the lowest labels of a set are those of
the closed set. A ratio without a denominator is 0.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, diags_array, issparse

from labelcontrast.dag import lowest, steps_up
from labelcontrast.errors import LabelShapeError
from labelcontrast.metrics.counting import Confusion, Labels, Weights, as_matrix, average_labels, known_pairs, ratio
from labelcontrast.metrics.registry import HIERARCHICAL_METRICS, LEVEL_METRICS, RATIOS

Integers: TypeAlias = Integer[np.ndarray, " entries"]
Resampled: TypeAlias = Shaped[np.ndarray, " resamples"]


class Nearest(NamedTuple):
    """For each label of each set, the nearest label of another set of the same example."""

    example: Integers
    label: Integers
    other: Integers
    """Between equals the first."""
    steps: Integers
    """Steps up from one and down to the other."""
    over: Integers
    """The highest label of the shortest path, between equals the first; one past all labels for a path over roots."""


def nearest(first: csr_array, second: csr_array, steps: csr_array) -> Nearest:
    """Find for each label of the first sets the nearest label of the second set of the example, if that is not empty.

    The time grows with the labels of both sets and their ancestors, not with the pairs.

    Args:
        first: Label sets, shape [examples, labels].
        second: Other label sets of the same examples.
        steps: From :func:`labelcontrast.dag.steps_up`.

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
    """List for every label of every set the entries of its row in ``above``: example, label, column and value."""
    example = np.repeat(np.arange(sets.shape[0]), np.diff(sets.indptr))
    times = np.diff(above.indptr)[sets.indices]
    offsets = np.arange(times.sum()) - np.repeat(times.cumsum() - times, times)
    places = np.repeat(above.indptr[sets.indices], times) + offsets
    return np.repeat(example, times), np.repeat(sets.indices, times), above.indices[places], above.data[places]


def _fresh(ordered: Integers) -> Bool[np.ndarray, " entries"]:
    return np.asarray(np.diff(ordered, prepend=-1) != 0)


class LevelMetrics:
    """F1 and accuracy of every level of a hierarchy, from batches of label sets.

    Args:
        depths: The level of each label, 0 for the roots.
        resamples: Number of resamples of the examples; by default one, in which each example counts once.

    Example:
        >>> counted = LevelMetrics(np.array([0, 1, 1]))
        >>> counted.update(np.array([[1, 1, 0]]), np.array([[1, 0, 1]]))
        >>> [level["accuracy"] for level in counted.measures()]
        [1.0, 0.0]
    """

    def __init__(self, depths: Integer[np.ndarray, " labels"], *, resamples: int = 1) -> None:
        self._levels = [depths == depth for depth in range(int(depths.max()) + 1)]
        self._counts = Confusion.zeros(resamples, len(depths))
        # By level the examples that are right there, and those that have a label there.
        self._right, self._present = np.zeros((2, resamples, len(self._levels)))

    def update(self, labels: Labels, predictions: Labels, counts: Weights | None = None) -> None:
        """Count a batch.

        Args:
            labels: True labels, 0 or 1, shape [examples, labels], closed upwards; NaN where unknown, and such a pair is
                left out.
            predictions: Predicted labels, 0 or 1.
            counts: How often each example is in each resample; by default once.
        """
        pairs = Confusion.of(labels, predictions)
        self._counts.add(pairs.over_examples(counts))
        weights = np.ones((1, len(labels))) if counts is None else counts.astype(np.float64)
        for level, here in enumerate(self._levels):
            present = pairs.support[:, here].any(1)
            exact = (pairs.support == pairs.predicted)[:, here].all(1)
            self._right[:, level] += weights @ (exact & present)
            self._present[:, level] += weights @ present

    @property
    def support(self) -> Float[np.ndarray, " labels"]:
        """Positives of each label of all batches so far, in the first resample."""
        return np.asarray(self._counts.support[0])

    @property
    def f1(self) -> Float[np.ndarray, " labels"]:
        """F1 of each label of all batches so far, in the first resample; NaN where nothing is known of it."""
        values = ratio(*RATIOS["f1"](self._counts))
        return np.asarray(np.where(self._counts.known > 0, values, np.nan)[0])

    def measures(self) -> list[dict[str, float]]:
        """Compute the metrics of all batches so far.

        Returns:
            For each level, from the roots down, the values of ``LEVEL_METRICS``. The accuracy is NaN if no example has
            a label of the level; all are NaN if no label of the level is known.
        """
        return [{name: float(values[0]) for name, values in level.items()} for level in self.resampled()]

    def resampled(self) -> list[dict[str, Float[np.ndarray, " resamples"]]]:
        """Compute the metrics of every resample."""
        accuracy = ratio(self._right, self._present, empty=np.nan)
        return [
            {
                name: accuracy[:, level] if metric.terms is None else average_labels(metric, self._counts.select(here))
                for name, metric in LEVEL_METRICS.items()
            }
            for level, here in enumerate(self._levels)
        ]


class HierarchyCounts(NamedTuple):
    """Sums over examples; those of precision, recall and F1 up to common ancestors are sums of ratios."""

    hits: Resampled
    """Labels of the closed sets that are true and predicted."""
    predicted: Resampled
    support: Resampled
    """True labels of the closed sets."""
    lca_precision: Resampled
    lca_recall: Resampled
    lca_f1: Resampled
    rated: Resampled
    """Examples with a true or a predicted label."""
    steps: Resampled
    """From each wrong lowest predicted label to the nearest lowest true one."""
    errors: Resampled
    """Such labels."""
    violating: Resampled
    """Predicted labels of which a parent is not predicted."""
    below: Resampled
    """Predicted labels that have a parent."""


class HierarchicalMetrics:
    r"""Every metric of ``HIERARCHICAL_METRICS``, from batches of label sets.

    .. math:: hP = \frac{\sum_i |\hat T_i \cap \hat P_i|}{\sum_i |\hat P_i|}, \qquad
       hR = \frac{\sum_i |\hat T_i \cap \hat P_i|}{\sum_i |\hat T_i|},

    where the hats close a label set upwards. The metrics up to the lowest common ancestor (lca) are those of the sets
    that :func:`up_to_common_ancestors` makes, as a mean over the examples with a true or a predicted label.

    The ancestors of an unknown label are unknown too, unless another label makes them true. Unknown labels
    are left out of the closed sets and of the paths up to common ancestors; violations are of predictions alone.

    Args:
        parents: Shape [labels, labels], 1 where the column is a parent of the row.
        resamples: Number of resamples of the examples; by default one, in which each example counts once.

    Example:
        >>> counted = HierarchicalMetrics(csr_array([[0, 0, 0], [1, 0, 0], [1, 0, 0]]))
        >>> counted.update(np.array([[1, 1, 0]]), np.array([[0, 0, 1]]))
        >>> counted.measures()["hierarchical_f1"]
        0.5

    Reference: Kiritchenko et al., Learning and Evaluation in the Presence of Class Hierarchies, 2006; Kosmopoulos et
    al., Evaluation Measures for Hierarchical Classification, 2015, for those up to the lowest common ancestor.
    """

    def __init__(self, parents: csr_array, *, resamples: int = 1) -> None:
        self._parents = parents
        self._steps = steps_up(parents)
        self._ancestors = csr_array(self._steps[:, :-1].astype(bool))
        self._sums = np.zeros((resamples, len(HierarchyCounts._fields)))

    def update(self, labels: Labels, predictions: Labels, counts: Weights | None = None) -> None:
        """Count a batch.

        Args:
            labels: True labels, 0 or 1, shape [examples, labels]; NaN where unknown.
            predictions: Predicted labels, 0 or 1; they are closed upwards for all metrics but the violations.
            counts: How often each example is in each resample; by default once.

        Raises:
            LabelShapeError: The shapes do not fit, or there is no example.
        """
        _check(labels, predictions, self._parents)
        true, claimed, open_ = (
            csr_array(csr_array(given).astype(bool) @ self._ancestors)
            for given in (labels == 1, predictions, ~known_pairs(labels))
        )
        unknown = _without(open_, true)
        predicted = _without(claimed, unknown)
        errors, of_errors, *paths = up_to_common_ancestors(true, predicted, self._steps)
        parts = [_without(path, unknown) for path in paths]
        hits, present, found = (_sizes(part) for part in (_both(*parts), *parts))
        by_example = HierarchyCounts(
            hits=_sizes(_both(true, predicted)),
            predicted=_sizes(predicted),
            support=_sizes(true),
            lca_precision=ratio(hits, found),
            lca_recall=ratio(hits, present),
            lca_f1=ratio(hits, (found + present) / 2),
            rated=found + present > 0,
            steps=np.bincount(of_errors, errors, len(labels)),
            errors=np.bincount(of_errors, minlength=len(labels)),
            violating=violations(predictions, self._parents).sum(1),
            below=(predictions[:, np.diff(self._parents.indptr) > 0] != 0).sum(1),
        )
        self._sums += (np.ones((1, len(labels))) if counts is None else counts) @ np.stack(by_example, 1)

    def measures(self) -> dict[str, float]:
        """Compute the metrics of all batches so far.

        Returns:
            Fractions; ``tree_distance_of_errors`` in steps, which lead over a node above all roots where there is no
            other path, and NaN where no lowest predicted label is wrong.
        """
        return {name: float(values[0]) for name, values in self.resampled().items()}

    def resampled(self) -> dict[str, Float[np.ndarray, " resamples"]]:
        """Compute the metrics of every resample."""
        counts, found = HierarchyCounts(*self._sums.T), {}
        for name, metric in HIERARCHICAL_METRICS.items():
            assert metric.terms is not None
            found[name] = ratio(*metric.terms(counts), empty=metric.empty)
        return found


def hierarchical_metrics(labels: ArrayLike, predictions: ArrayLike, parents: csr_array | ArrayLike) -> dict[str, float]:
    """Compute every metric of ``HIERARCHICAL_METRICS`` at once.

    Args:
        labels: True labels, 0 or 1, shape [examples, labels]; NaN where unknown.
        predictions: Predicted labels, 0 or 1.
        parents: Shape [labels, labels], 1 where the column is a parent of the row, such as ``LabelTree.parents``.

    Raises:
        LabelShapeError: The shapes do not fit, or there is no example.

    Example:
        >>> parents = csr_array([[0, 0, 0], [1, 0, 0], [1, 0, 0]])
        >>> found = hierarchical_metrics(np.array([[1, 1, 0]]), np.array([[0, 0, 1]]), parents)
        >>> found["hierarchical_f1"], found["lca_f1"], found["tree_distance_of_errors"], found["violations"]
        (0.5, 0.5, 2.0, 1.0)
    """
    if hasattr(parents, "parents"):
        message = f"parents must be a matrix [labels, labels]: the parents of the {type(parents).__name__}, not itself."
        raise LabelShapeError(message)
    links = csr_array(parents) if issparse(parents) else csr_array(as_matrix(parents, "parents"))
    counted = HierarchicalMetrics(links)
    counted.update(as_matrix(labels, "labels"), as_matrix(predictions, "predictions"))
    return counted.measures()


def violations(predictions: Labels, parents: csr_array) -> Bool[np.ndarray, "examples labels"]:
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
    """Restrict closed label sets to the paths up to common ancestors of true and predicted labels.

    Every lowest true label is paired with the nearest lowest predicted one, and every lowest predicted label with the
    nearest lowest true one. A set keeps its labels on the paths from these up to the highest label of the shortest
    path. Without true or without predicted labels an example keeps its whole sets.

    Args:
        true: Closed label sets, shape [examples, labels].
        predicted: Those of predictions, without unknown labels.
        steps: From :func:`labelcontrast.dag.steps_up`.

    Returns:
        For each wrong lowest predicted label of an example with true labels, the steps to the nearest lowest true one,
        and its example; then the restricted true and predicted sets.
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
    """Collect for each example the labels on the paths from each end up to its highest label; many paths repeat."""
    width = ancestors.shape[1]
    distinct, which = np.unique(end * width + over, return_inverse=True)
    below = csr_array(ancestors.T.tocsr()[distinct % width])
    below.resize(len(distinct), width - 1)
    ways = csr_array(ancestors[distinct // width, :-1].multiply(below)).astype(np.int64)
    return csr_array(csr_array((np.ones(len(which), np.int64), (example, which)), (examples, len(distinct))) @ ways)


def _without(first: csr_array, second: csr_array) -> csr_array:
    own = first.astype(bool)
    return csr_array(own > own.multiply(second.astype(bool)))


def _both(first: csr_array, second: csr_array) -> csr_array:
    return csr_array(first.astype(bool).multiply(second.astype(bool)))


def _sizes(sets: csr_array) -> Float[np.ndarray, " examples"]:
    return np.asarray(np.diff(sets.indptr).astype(np.float64))


def _check(labels: np.ndarray, predictions: np.ndarray, parents: csr_array) -> None:
    if labels.shape != predictions.shape or labels.ndim != 2 or labels.shape[1] != parents.shape[0] or not len(labels):
        raise LabelShapeError(
            f"labels and predictions must be matrices [examples, {parents.shape[0]}] with at least one example. "
            f"Got {labels.shape} and {predictions.shape}."
        )
