"""Decoding over a hierarchy: label sets in which every label comes with its ancestors."""

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy.sparse import csr_array

from labelcontrast.errors import LabelShapeError
from labelcontrast.metrics.counting import AnyMatrix, checked_pair, part_of
from labelcontrast.probes.thresholds import Thresholds, global_threshold


def all_paths(
    scores: Float[np.ndarray, "examples labels"], ancestors: csr_array, thresholds: Thresholds
) -> Bool[np.ndarray, "examples labels"]:
    """Predict the labels that exceed their threshold and whose ancestors all do.

    Args:
        scores: Shape [examples, labels].
        ancestors: Shape [labels, labels], 1 where the column is the row or above it.
        thresholds: Of the labels.

    Raises:
        LabelShapeError: The numbers of labels differ.

    Example:
        >>> from labelcontrast.probes.thresholds import fixed_threshold
        >>> all_paths(np.array([[0.4, 0.8], [0.6, 0.8]]), csr_array([[1, 0], [1, 1]]), fixed_threshold(2)).tolist()
        [[False, False], [True, True]]
    """
    passed = thresholds.predict(scores)
    _check_width(scores.shape[1], ancestors)
    failed_above = csr_array(ancestors, dtype=np.int64) @ (~passed).T.astype(np.int64)
    return np.asarray(failed_above.T == 0)


def best_path(
    scores: Float[np.ndarray, "examples labels"], ancestors: csr_array
) -> Bool[np.ndarray, "examples labels"]:
    """Predict the leaf with the highest score and its ancestors: in a tree, one path.

    With scores that were made consistent as a product, it is the most probable path.

    Args:
        scores: Shape [examples, labels]; between equal leaves the first is taken.
        ancestors: Shape [labels, labels], 1 where the column is the row or above it.

    Raises:
        LabelShapeError: The numbers of labels differ.

    Example:
        >>> best_path(np.array([[0.1, 0.3, 0.6]]), csr_array([[1, 0, 0], [1, 1, 0], [1, 0, 1]])).tolist()
        [[True, False, True]]
    """
    _check_width(scores.shape[1], ancestors)
    leaves = np.flatnonzero(np.asarray(ancestors.sum(0)).ravel() == 1)
    best = leaves[scores[:, leaves].argmax(1)]
    return np.asarray(csr_array(ancestors)[best].toarray() > 0)


def level_thresholds(
    labels: AnyMatrix,
    scores: AnyMatrix,
    depths: Integer[np.ndarray, " labels"],
) -> Thresholds:
    """Choose one threshold for each level of a hierarchy, which maximises micro-F1 on its labels.

    Args:
        labels: Of validation examples, 0 or 1, shape [examples, labels], closed upwards.
        scores: Of the same examples.
        depths: The level of each label, 0 for the roots, such as ``LabelTree.depths``.

    Raises:
        LabelShapeError: Labels and scores are no matrices of one shape, or the levels are of other labels.

    Example:
        >>> labels, scores = np.array([[1, 1], [1, 0]]), np.array([[0.9, 0.3], [0.8, 0.1]])
        >>> level_thresholds(labels, scores, np.array([0, 1])).values.round(6)
        array([0.5, 0.2])
    """
    true, given = checked_pair(labels, scores)
    _check_width(given.shape[1], depths)
    values = np.empty(len(depths))
    for depth in np.unique(depths):
        here = np.flatnonzero(depths == depth)
        values[here] = global_threshold(part_of(true, columns=here), part_of(given, columns=here)).values
    return Thresholds(values, "level")


def _check_width(width: int, ancestors: csr_array | np.ndarray) -> None:
    if width != ancestors.shape[0]:
        raise LabelShapeError(f"scores must have a column for each of {ancestors.shape[0]} labels. Got {width}.")
