"""From scores to label sets in which no label is without those above it: all paths that pass, or the best."""

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped
from scipy.sparse import csr_array

from labelcontrast.errors import LabelShapeError
from labelcontrast.probes.thresholds import Thresholds, global_threshold


def all_paths(
    scores: Float[np.ndarray, "examples labels"], ancestors: csr_array, thresholds: Thresholds
) -> Bool[np.ndarray, "examples labels"]:
    """Predict the labels that exceed their threshold together with all that are above them.

    Args:
        scores: of every label.
        ancestors: [labels, labels], 1 where the column is the row or above it.
        thresholds: one a label.

    Raises:
        LabelShapeError: the numbers of labels differ.

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
    """Predict the leaf with the highest score and all that is above it: one path, and in a tree only that.

    With scores made consistent as a product, it is the most probable path. Of several leaves that are as good, the
    first is taken.

    Raises:
        LabelShapeError: the scores have not a column for each label.

    Example:
        >>> best_path(np.array([[0.1, 0.3, 0.6]]), csr_array([[1, 0, 0], [1, 1, 0], [1, 0, 1]])).tolist()
        [[True, False, True]]
    """
    _check_width(scores.shape[1], ancestors)
    leaves = np.flatnonzero(np.asarray(ancestors.sum(0)).ravel() == 1)
    best = leaves[scores[:, leaves].argmax(1)]
    return np.asarray(csr_array(ancestors)[best].toarray() > 0)


def level_thresholds(
    labels: Shaped[np.ndarray, "examples labels"],
    scores: Float[np.ndarray, "examples labels"],
    depths: Integer[np.ndarray, " labels"],
) -> Thresholds:
    """Return for all labels of a level the one threshold that maximises micro-F1 on them.

    Args:
        labels: what is true of the validation examples, 0 or 1; closed upwards.
        scores: what the model says of them.
        depths: the level of each label.

    Example:
        >>> labels, scores = np.array([[1, 1], [1, 0]]), np.array([[0.9, 0.3], [0.8, 0.1]])
        >>> level_thresholds(labels, scores, np.array([0, 1])).values.round(6)
        array([0.5, 0.2])
    """
    values = np.empty(len(depths))
    for depth in np.unique(depths):
        here = depths == depth
        values[here] = global_threshold(labels[:, here], scores[:, here]).values
    return Thresholds(values, "level")


def _check_width(width: int, ancestors: csr_array) -> None:
    """Refuse scores of other labels than those of the hierarchy."""
    if width != ancestors.shape[0]:
        raise LabelShapeError(f"scores must have a column for each of {ancestors.shape[0]} labels. Got {width}.")
