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
    # A pair that is not known comes after all others; no cut falls among the -1, and none is claimed before them.
    scores = np.where(np.isnan(true), -1.0, probabilities.astype(np.float64))
    order = np.argsort(-scores, axis=0)
    scores, true = (np.take_along_axis(one, order, axis=0) for one in (scores, np.nan_to_num(true)))
    edge = np.ones((1, scores.shape[1]))
    upper, lower = np.vstack([edge, scores]), np.maximum(np.vstack([scores, 0 * edge]), 0.0)
    hits = np.vstack([0 * edge, true.cumsum(axis=0)])
    claimed = np.arange(len(upper))[:, None]
    f1 = 2 * hits / np.maximum(claimed + hits[-1], 1)
    possible = (upper > lower) | (claimed == 0)
    middle = (upper + lower) / 2
    # The middle of two neighbouring floats can be the upper one, which would then no longer be predicted.
    cuts = np.where((lower <= preferred) & (preferred < upper), preferred, np.where(middle < upper, middle, lower))
    best = possible & (f1 == np.where(possible, f1, -1).max(axis=0))
    chosen = np.where(best, np.abs(cuts - preferred), np.inf).argmin(axis=0)
    return np.asarray(cuts[chosen, np.arange(cuts.shape[1])])
