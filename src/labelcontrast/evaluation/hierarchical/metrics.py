"""The measures of a prediction over a hierarchy: a near miss is better than a far one, and every level counts.

True and predicted label sets are compared closed upwards; where a measure takes the lowest labels of a set, it takes
them from the closed set. A ratio without a denominator is 0.
"""

import numpy as np
from jaxtyping import Bool, Integer, Shaped
from scipy.sparse import csr_array, diags_array

from labelcontrast.errors import LabelShapeError
from labelcontrast.evaluation.hierarchical.distances import links_up, lowest, nearest, steps_up
from labelcontrast.evaluation.metrics.catalogue import HIERARCHICAL_METRICS

Integers = Integer[np.ndarray, " ways"]
Predictions = Shaped[np.ndarray, "examples labels"]


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
        Fractions; ``tree_distance_of_errors`` in steps, where need be over a node above all roots, NaN where no lowest
        predicted label is wrong.

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
    steps = steps_up(parents)
    ancestors = csr_array(steps[:, :-1].astype(bool))
    true, predicted = (csr_array(given).astype(bool) @ ancestors for given in (labels, predictions))
    hits, claimed, present = (float(matrix.nnz) for matrix in (_both(true, predicted), predicted, true))
    errors, *parts = up_to_common_ancestors(true, predicted, steps)
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
    example, label, parent, _ = links_up(csr_array(predictions), parents)
    lacking = predictions[example, parent] == 0
    found = np.zeros(predictions.shape, bool)
    found[example[lacking], label[lacking]] = True
    return found


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
    true: csr_array, predicted: csr_array, steps: csr_array
) -> tuple[Integer[np.ndarray, " errors"], csr_array, csr_array]:
    """Cut closed label sets off above the labels where true and predicted meet.

    Every lowest true label is met with the nearest lowest predicted one, and every lowest predicted label with the
    nearest true one, of several the first; a set keeps its labels on the way from these, to where the two meet. Of an
    example without true or without predicted labels the whole sets are kept.

    Args:
        true: closed label sets.
        predicted: others of the same examples.
        steps: as :func:`steps_up` has them.

    Returns:
        For each lowest predicted label that is not true, the steps to the nearest lowest true one, of the examples that
        have both; then the true sets and the predicted.
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
    return of_predicted.steps[wrong], parts[0], parts[1]


def _ways(example: Integers, end: Integers, over: Integers, ancestors: csr_array, examples: int) -> csr_array:
    """Collect for each example the labels on the way from each end up to where it leads over; many share a way."""
    width = ancestors.shape[1]
    distinct, which = np.unique(end * width + over, return_inverse=True)
    below = csr_array(ancestors.T.tocsr()[distinct % width])
    below.resize(len(distinct), width - 1)
    ways = csr_array(ancestors[distinct // width, :-1].multiply(below)).astype(np.int64)
    return csr_array(csr_array((np.ones(len(which), np.int64), (example, which)), (examples, len(distinct))) @ ways)


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
