"""The numbers by which a checkpoint is chosen: threshold-free, on validation, higher is better.

The value of a contrastive loss does not do. Under L_REG the gradient of a positive is clamped and the clamp is not
differentiated, so that the printed value is not what is descended, can be negative, and rises while the model gets
better; and two losses, or two temperatures, have no common scale. F1 at 0.5 moves with calibration before it moves with
quality. So an embedding is judged by what a quick linear read-out of it ranks first, and logits by what they do.
"""

import numpy as np
from jaxtyping import Float, Shaped

from labelcontrast.errors import ConfigError
from labelcontrast.metrics.counting import known_pairs
from labelcontrast.metrics.ranking import mean_average_precision
from labelcontrast.probes.linear import check_features, standardise


def selection_score(
    train_features: Float[np.ndarray, "train dim"],
    train_labels: Shaped[np.ndarray, "train labels"],
    val_features: Float[np.ndarray, "val dim"],
    val_labels: Shaped[np.ndarray, "val labels"],
    *,
    ridge: float = 0.1,
) -> float:
    r"""Macro average precision, on validation, of a ridge regression of the labels on the features.

    .. math:: W = (\tilde X^\top \tilde X / n + \rho I)^{-1} \, \tilde X^\top Y / n

    with :math:`\tilde X` the standardised features: one system of the width of the embedding for all labels, hundreds
    of times cheaper than the probe, and close enough to it to order checkpoints.

    Args:
        train_features: Embeddings to fit on; a few thousand are plenty.
        train_labels: What is true of them, 0 or 1. One that is not known, NaN, is taken for the mean of its label, so
            that all labels keep one system.
        val_features: Embeddings to judge on.
        val_labels: What is true of them, 0 or 1; NaN where it is not known, and such a pair is left out.
        ridge: Penalty :math:`\rho`, on the scale of the variance of a standardised feature, 1.

    Returns:
        Between 0 and 1; NaN when no label has a positive among the validation examples.

    Raises:
        ConfigError: The penalty is not positive.
        LabelShapeError: Features and labels have different lengths, or there is no example.
        EmbeddingError: Features have different widths, or hold NaN or infinity.

    Example:
        >>> features = np.random.default_rng(0).normal(size=(60, 4))
        >>> labels = features[:, :2] > 0
        >>> selection_score(features[:40], labels[:40], features[40:], labels[40:]) > 0.9
        True

    Reference: Hoerl and Kennard, Ridge Regression, 1970.
    """
    if not ridge > 0:
        raise ConfigError(f"ridge must be a positive number. Got {ridge}.")
    check_features(train_features, train_labels, val_features, val_labels)
    mean, deviation = standardise(train_features)
    design, val_design = (train_features - mean) / deviation, (val_features - mean) / deviation
    spread = design.T @ design / len(design) + ridge * np.eye(design.shape[1])
    weight = np.linalg.solve(spread, design.T @ _filled(train_labels) / len(design))
    # The constant that centring leaves out shifts all scores of a label alike: no rank changes.
    return mean_average_precision(val_labels, val_design @ weight)


def ranking_score(labels: Shaped[np.ndarray, "val labels"], scores: Float[np.ndarray, "val labels"]) -> float:
    """Macro average precision of the scores a model gives by itself: for logit losses, which have their own head.

    Example:
        >>> ranking_score(np.array([[1, 0], [0, 1]]), np.array([[0.3, 0.1], [0.2, 0.4]]))
        1.0
    """
    return mean_average_precision(labels, scores)


def _filled(labels: Shaped[np.ndarray, "examples labels"]) -> Float[np.ndarray, "examples labels"]:
    """Put the mean of its label in the place of what is not known."""
    true, known = labels.astype(np.float64), known_pairs(labels)
    return np.where(known, true, np.where(known, true, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
