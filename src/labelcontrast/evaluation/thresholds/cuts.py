"""Where to cut each column of scores so that F1 is best: one sort a column, all columns at once."""

import numpy as np
from jaxtyping import Float, Shaped

BLOCK = 2**22
"""Pairs of an example and a label that are sorted together, so that memory does not grow with the labels."""


def best_cuts(
    labels: Shaped[np.ndarray, "examples labels"],
    probabilities: Float[np.ndarray, "examples labels"],
    *,
    preferred: float = 0.5,
) -> Float[np.ndarray, " labels"]:
    r"""Return for each column the threshold with the best F1 of that column.

    .. math:: \operatorname{argmax}_t \frac{2 \, |\{p > t\} \cap \text{true}|}{|\{p > t\}| + |\text{true}|}

    Between two neighbours among the probabilities, 0 and 1, every threshold predicts the same: the preferred one is
    taken where it lies there, else the middle. Of several that are as good, the nearest to the preferred is taken; so
    the preferred itself where nothing is true.

    Args:
        labels: What is true, 0 or 1; NaN where it is not known, and such a pair has no say.
        probabilities: What the model says.
        preferred: The threshold to stay near.

    Example:
        >>> best_cuts(np.array([[1, 0], [0, 0], [1, 0]]), np.array([[0.4, 0.1], [0.2, 0.8], [0.9, 0.2]])).round(6)
        array([0.3, 0.5])
    """
    step = max(1, BLOCK // len(labels))
    blocks = range(0, labels.shape[1], step)
    return np.concatenate(
        [_block(labels[:, at : at + step], probabilities[:, at : at + step], preferred) for at in blocks]
    )


def _block(labels: np.ndarray, probabilities: np.ndarray, preferred: float) -> Float[np.ndarray, " labels"]:
    """Find the best cuts of a few columns."""
    true = labels.astype(np.float64)
    # A pair that is not known comes after all others, as if nothing were said of it, and no cut is below it.
    scores = np.where(np.isnan(true), -1.0, probabilities.astype(np.float64))
    order = np.argsort(-scores, axis=0)
    scores, true = np.take_along_axis(scores, order, axis=0), np.nan_to_num(np.take_along_axis(true, order, axis=0))
    del order
    edge = np.ones((1, scores.shape[1]))
    bounds = np.maximum(np.vstack([edge, scores, 0 * edge]), 0.0)
    hits = np.vstack([0 * edge, true.cumsum(axis=0)])
    del scores, true
    claimed = np.arange(len(hits))[:, None]
    f1 = 2 * hits / np.maximum(claimed + hits[-1], 1)
    del hits
    f1[(bounds[:-1] <= bounds[1:]) & (claimed > 0)] = -1
    rows, columns = np.nonzero(f1 == f1.max(axis=0))
    upper, lower = bounds[rows, columns], bounds[rows + 1, columns]
    middle = (upper + lower) / 2
    # The middle of two neighbouring floats can be the upper one, which would then no longer be predicted.
    cuts = np.where((lower <= preferred) & (preferred < upper), preferred, np.where(middle < upper, middle, lower))
    nearest = np.lexsort((rows, np.abs(cuts - preferred), columns))
    return np.asarray(cuts[nearest[np.unique(columns[nearest], return_index=True)[1]]])
