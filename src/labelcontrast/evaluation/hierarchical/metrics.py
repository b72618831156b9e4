"""The measures of a prediction over a hierarchy: a near miss is better than a far one, and every level counts.

True and predicted label sets are compared closed upwards; where a measure takes the lowest labels of a set, it takes
them from the closed set. A ratio without a denominator is 0.
"""

import numpy as np
from jaxtyping import Bool, Integer, Shaped
from scipy.sparse import csr_array, diags_array, vstack

from labelcontrast.errors import LabelShapeError
from labelcontrast.evaluation.hierarchical.distances import Distances, lowest
from labelcontrast.evaluation.metrics.catalogue import Metric

Integers = Integer[np.ndarray, " pairs"]
Predictions = Shaped[np.ndarray, "examples labels"]

HIERARCHICAL_METRICS = {
    metric.name: metric
    for metric in (
        Metric("hierarchical_precision", "higher", "Share of the predicted labels and all above them that are true."),
        Metric("hierarchical_recall", "higher", "Share of the true labels and all above them that are predicted."),
        Metric("hierarchical_f1", "higher", "Harmonic mean of hierarchical precision and recall."),
        Metric("lca_precision", "higher", "As hierarchical precision, but only up to where a true label is met."),
        Metric("lca_recall", "higher", "As hierarchical recall, but only up to where a predicted label is met."),
        Metric("lca_f1", "higher", "Harmonic mean of the two, of every example; then their mean."),
        Metric("tree_distance_of_errors", "lower", "Steps from a wrong lowest label to the nearest true one, in mean."),
        Metric("violations", "lower", "Share of the predicted labels below others that lack one right above them."),
    )
}


def hierarchical_metrics(labels: Predictions, predictions: Predictions, parents: csr_array) -> dict[str, float]:
    r"""Compute every measure of ``HIERARCHICAL_METRICS``.

    .. math:: hP = \frac{\sum_i |\hat T_i \cap \hat P_i|}{\sum_i |\hat P_i|}, \qquad
       hR = \frac{\sum_i |\hat T_i \cap \hat P_i|}{\sum_i |\hat T_i|},

    the hats closing a label set upwards. The measures up to the lowest common ancestor (lca) are
    those of the sets that :func:`up_to_common_ancestors` makes, in the mean over examples with a true or a predicted
    label.

    Args:
        labels: what is true, 0 or 1.
        predictions: what is predicted, 0 or 1; as it is, for the violations, and else closed.
        parents: [labels, labels], 1 where the column is a parent of the row.

    Returns:
        Fractions; ``tree_distance_of_errors`` in steps, NaN where no lowest predicted label is wrong.

    Raises:
        LabelShapeError: the shapes do not fit, or there is no example.

    Example:
        >>> parents = csr_array([[0, 0, 0], [1, 0, 0], [1, 0, 0]])
        >>> found = hierarchical_metrics(np.array([[1, 1, 0]]), np.array([[0, 0, 1]]), parents)
        >>> found["hierarchical_f1"], found["lca_f1"], found["tree_distance_of_errors"], found["violations"]
        (0.5, 0.5, 2.0, 1.0)

    Reference: Kiritchenko et al., Learning and Evaluation in the Presence of Class Hierarchies, 2006; Kosmopoulos et
    al., Evaluation Measures for Hierarchical Classification, 2015, for those up to the lowest common ancestor.
    """
    _check(labels, predictions, parents)
    distances = Distances(parents)
    ancestors = csr_array(distances.steps.astype(bool))
    true, predicted = (csr_array(given).astype(bool) @ ancestors for given in (labels, predictions))
    hits, claimed, present = (float(matrix.nnz) for matrix in (_both(true, predicted), predicted, true))
    errors, *parts = up_to_common_ancestors(true, predicted, distances)
    part_hits, part_present, part_claimed = (np.diff(part.indptr) for part in (_both(*parts), *parts))
    counted = (part_claimed + part_present) > 0
    rates = [
        (part_hits[counted] / np.maximum(whole[counted], 1)).mean() if counted.any() else 0.0
        for whole in (part_claimed, part_present, (part_claimed + part_present) / 2)
    ]
    below_others = float(predictions[:, np.diff(parents.indptr) > 0].sum())
    names = [*HIERARCHICAL_METRICS]
    values = [
        _ratio(hits, claimed),
        _ratio(hits, present),
        _ratio(2 * hits, claimed + present),
        *map(float, rates),
        float(errors.mean()) if errors.size else float("nan"),
        _ratio(float(violations(predictions, parents).sum()), below_others),
    ]
    return dict(zip(names, values, strict=True))


def violations(predictions: Predictions, parents: csr_array) -> Bool[np.ndarray, "examples labels"]:
    """Mark the predicted labels of which a parent is not predicted.

    Example:
        >>> violations(np.array([[0, 1], [1, 1]]), csr_array([[0, 0], [1, 0]])).tolist()
        [[False, True], [False, False]]
    """
    given = predictions.astype(bool)
    missing = (csr_array(parents, dtype=np.int64) @ (~given).T.astype(np.int64)).T
    return np.asarray(given & (missing > 0))


def level_metrics(
    labels: Predictions, predictions: Predictions, depths: Integer[np.ndarray, " labels"]
) -> list[dict[str, float]]:
    """Measure each level on its own, from the roots on.

    Args:
        labels: what is true, 0 or 1; closed upwards.
        predictions: what is predicted, 0 or 1.
        depths: the level of each label.

    Returns:
        For each level ``micro_f1``, ``macro_f1``, and ``accuracy``: the share of the examples with a true label of this
        level whose labels of this level are predicted exactly; NaN where there is none.

    Example:
        >>> level_metrics(np.array([[1, 1, 0]]), np.array([[1, 0, 1]]), np.array([0, 1, 1]))[1]["accuracy"]
        0.0
    """
    found = []
    for depth in range(int(depths.max()) + 1):
        true, predicted = (given[:, depths == depth].astype(bool) for given in (labels, predictions))
        hits, sizes = (true & predicted).sum(0), true.sum(0) + predicted.sum(0)
        present = true.any(1)
        exact = (true == predicted).all(1)[present]
        found.append(
            {
                "micro_f1": _ratio(2.0 * hits.sum(), float(sizes.sum())),
                "macro_f1": float((2 * hits / np.maximum(sizes, 1)).mean()),
                "accuracy": float(exact.mean()) if exact.size else float("nan"),
            }
        )
    return found


def up_to_common_ancestors(
    true: csr_array, predicted: csr_array, distances: Distances
) -> tuple[Integer[np.ndarray, " errors"], csr_array, csr_array]:
    """Cut closed label sets off above the labels where true and predicted meet.

    Every lowest true label is met with the nearest lowest predicted one, and every lowest predicted label with the
    nearest true one, of several the first; a set keeps its labels on the way from these, to where the two meet. Of an
    example without true or without predicted labels the whole sets are kept.

    Returns:
        For each lowest predicted label that is not true, the steps to the nearest lowest true one, of the examples that
        have both; then the true sets and the predicted.
    """
    ancestors = csr_array(distances.steps.astype(bool))
    example, first, second = _pairs(lowest(true, ancestors), lowest(predicted, ancestors))
    steps, meet = distances.between(first, second)
    for_second = _nearest(example, second, steps)
    chosen = for_second | _nearest(example, first, steps)
    wrong = for_second & ~_both(true, predicted).toarray()[example, second]
    # a row more, for those that meet nowhere: all is below
    below = vstack([ancestors.T, np.ones((1, ancestors.shape[0]), bool)], format="csr")[meet[chosen]]
    size = (true.shape[0], int(chosen.sum()))
    of_example = csr_array((np.ones(size[1], bool), (example[chosen], np.arange(size[1]))), size)
    alone = np.bincount(example, minlength=size[0]) == 0
    parts = [
        of_example @ csr_array(ancestors[end[chosen]].multiply(below)) + diags_array(alone.astype(np.float64)) @ closed
        for closed, end in ((true, first), (predicted, second))
    ]
    return steps[wrong], csr_array(parts[0]), csr_array(parts[1])


def _pairs(first: csr_array, second: csr_array) -> tuple[Integers, Integers, Integers]:
    """All pairs of a label of the first and one of the second, of the same example: example, label, label."""
    rows = np.repeat(np.arange(first.shape[0]), np.diff(first.indptr))
    times = np.diff(second.indptr)[rows]
    offsets = np.arange(times.sum()) - np.repeat(times.cumsum() - times, times)
    return (
        np.repeat(rows, times),
        np.repeat(first.indices, times),
        second.indices[np.repeat(second.indptr[rows], times) + offsets],
    )


def _nearest(example: Integers, label: Integers, steps: Integers) -> Bool[np.ndarray, " pairs"]:
    """Mark of all pairs of an example and a label the one of the fewest steps, of several the first."""
    order = np.lexsort((steps, label, example))
    fresh = np.ones(len(order), bool)
    fresh[1:] = (np.diff(example[order]) != 0) | (np.diff(label[order]) != 0)
    nearest = np.zeros(len(order), bool)
    nearest[order[fresh]] = True
    return nearest


def _both(first: csr_array, second: csr_array) -> csr_array:
    """The labels that are in both."""
    return csr_array(first.astype(bool).multiply(second.astype(bool)))


def _ratio(part: float, whole: float) -> float:
    """Part over whole; 0 where the whole is."""
    return part / whole if whole else 0.0


def _check(labels: np.ndarray, predictions: np.ndarray, parents: csr_array) -> None:
    """Refuse what does not fit."""
    if labels.shape != predictions.shape or labels.ndim != 2 or labels.shape[1] != parents.shape[0] or not len(labels):
        raise LabelShapeError(
            f"labels and predictions must be matrices [examples, {parents.shape[0]}] with at least one example. "
            f"Got {labels.shape} and {predictions.shape}."
        )
