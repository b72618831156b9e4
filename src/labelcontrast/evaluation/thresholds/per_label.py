"""A threshold for each label that does not ruin the rare ones: chosen in folds, and drawn towards the global one."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped

from labelcontrast.evaluation.metrics.counting import known_pairs
from labelcontrast.evaluation.thresholds.cuts import best_cuts
from labelcontrast.evaluation.thresholds.rules import Thresholds, global_threshold

STRENGTHS = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, np.inf)
"""After how many positives a label's own threshold weighs as much as the global one."""
FOLDS = 5


def per_label_thresholds(
    labels: Shaped[np.ndarray, "examples labels"],
    probabilities: Float[np.ndarray, "examples labels"],
    *,
    strengths: Sequence[float] = STRENGTHS,
    generator: np.random.Generator | None = None,
) -> Thresholds:
    r"""Choose a threshold for each label, the nearer to the global one the fewer positives the label has.

    .. math:: t_l = t + \frac{n_l}{n_l + s} (\bar t_l - t)

    with t the global threshold, n the positives of the label and the mean, over five folds, of the threshold that has
    the best F1 of the label on the other four. The strength s is the one with the best mean of micro- and macro-F1 when
    each example is predicted with thresholds that have not seen its label (but for t, one number for all). A label
    without a positive has the global threshold; and all have it where the strength is infinite.

    Args:
        labels: What is true of the validation examples, 0 or 1; NaN where it is not known.
        probabilities: What the model says of them.
        strengths: To choose from; of equals the largest is taken.
        generator: Deals the examples to folds; by default always in the same way.

    Example:
        >>> labels = np.tile(np.array([[1, 0], [0, 1], [0, 0], [0, 0]]), (50, 1))
        >>> scores = np.tile(np.array([[0.3, 0.2], [0.1, 0.9], [0.1, 0.5], [0.1, 0.8]]), (50, 1))
        >>> per_label_thresholds(labels, scores).values.round(2)
        array([0.25, 0.82])
    """
    start = global_threshold(labels, probabilities).values[0]
    known = known_pairs(labels)
    true = known & (labels == 1)
    folds = _folds(true, generator or np.random.default_rng(0))
    own, positives = np.empty((2, FOLDS, labels.shape[1]))
    for fold in range(FOLDS):
        seen = np.where(folds == fold, np.nan, labels)
        own[fold], positives[fold] = best_cuts(seen, probabilities, preferred=start), np.nansum(seen, axis=0)

    def held_out_f1(strength: float) -> float:
        cuts = _shrink(own, positives, start, strength)
        return _mean_f1(true, known & (probabilities > np.take_along_axis(cuts, folds, axis=0)))

    best = max(sorted(strengths, reverse=True), key=held_out_f1)
    return Thresholds(_shrink(own.mean(axis=0), true.sum(axis=0), start, best), "per_label")


def _folds(
    true: Bool[np.ndarray, "examples labels"], generator: np.random.Generator
) -> Integer[np.ndarray, "examples labels"]:
    """Deal the positives of each label evenly to the folds, and its negatives; each label for itself."""
    order = generator.permutation(len(true))
    shuffled = true[order]
    folds = np.empty(true.shape, dtype=np.int64)
    folds[order] = np.where(shuffled, shuffled.cumsum(axis=0), (~shuffled).cumsum(axis=0)) % FOLDS
    return folds


def _shrink(own: np.ndarray, positives: np.ndarray, start: float, strength: float) -> np.ndarray:
    """Draw thresholds towards the global one."""
    weight = positives / np.maximum(positives + strength, 1e-9) if np.isfinite(strength) else 0.0 * positives
    return np.asarray(start + weight * (own - start))


def _mean_f1(true: Bool[np.ndarray, "examples labels"], predicted: Bool[np.ndarray, "examples labels"]) -> float:
    """Mean of micro-F1 and macro-F1; a label without a positive has no say in the latter."""
    hits, sizes = (true & predicted).sum(axis=0), true.sum(axis=0) + predicted.sum(axis=0)
    present = true.any(axis=0)
    if not present.any():
        return 0.0
    return float(2 * hits.sum() / sizes.sum() + (2 * hits[present] / sizes[present]).mean()) / 2
