"""The linear probe: one logistic regression per label on frozen features; and averaged heads as one classifier.

For each label a logistic regression on standardised features at its convex optimum, along a path of strengths of the
L2 penalty from strong to weak. The strength is chosen for each label by the average precision on validation, its own
and that of all labels mixed: half and half at ``POSITIVES_TO_TRUST`` validation positives.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from labelcontrast.errors import ConfigError, EmbeddingError, LabelShapeError
from labelcontrast.metrics.counting import known_pairs
from labelcontrast.metrics.ranking import average_precisions
from labelcontrast.probes.logistic import solve_logistic


class AveragedHeads(nn.Module):
    r"""The log-odds of the mean probability of several linear heads; of one head its own logits.

    .. math:: x \mapsto \log \frac{\bar p}{1 - \bar p}, \qquad \bar p = \frac1H \sum_h \sigma(w_h^\top x + b_h)

    Args:
        weight: A hyperplane for each head and label.
        bias: What is added to its product with the features.

    Example:
        >>> heads = AveragedHeads(torch.tensor([[[1.0]], [[-1.0]]]), torch.zeros(2, 1))
        >>> heads(torch.tensor([[0.0], [100.0]])).sigmoid()  # one head is certain of yes, the other of no
        tensor([[0.5000],
                [0.5000]])
    """

    def __init__(self, weight: Float[Tensor, "heads labels dim"], bias: Float[Tensor, "heads labels"]) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    @property
    def out_features(self) -> int:
        """How many labels there are, by the name that a linear layer has for it."""
        return self.weight.shape[1]

    def forward(self, features: Float[Tensor, "examples dim"]) -> Float[Tensor, "examples labels"]:
        """Compute the logits of the mean probability."""
        logits = torch.einsum("nd,hld->hnl", features, self.weight) + self.bias.unsqueeze(1)
        # The logarithms of both sides, added up as they are: no probability is too near to 0 or 1.
        return F.logsigmoid(logits).logsumexp(0) - F.logsigmoid(-logits).logsumexp(0)


Classifier = nn.Linear | AveragedHeads
"""What gives the logits of embeddings."""


def build_classifier(weight: Float[Tensor, "*heads labels dim"], bias: Float[Tensor, "*heads labels"]) -> Classifier:
    """Build the linear layer that these weights are of; with a first axis of heads, the average of several."""
    if weight.ndim == 3:
        return AveragedHeads(weight, bias)
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


STRENGTHS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
POSITIVES_TO_TRUST = 100


@dataclass(frozen=True)
class LinearProbe:
    """One hyperplane a label, on the features as they are; ``strength`` is the penalty each was fitted with."""

    weight: Float[np.ndarray, "labels dim"]
    bias: Float[np.ndarray, " labels"]
    strength: Float[np.ndarray, " labels"]

    def scores(self, features: Float[np.ndarray, "examples dim"]) -> Float[np.ndarray, "examples labels"]:
        """Logits: the signed distance from each hyperplane, in units of its weight."""
        return np.asarray(features @ self.weight.T + self.bias)

    def probabilities(self, features: Float[np.ndarray, "examples dim"]) -> Float[np.ndarray, "examples labels"]:
        """Logits through the sigmoid."""
        return np.asarray(expit(self.scores(features)))


def fit_linear_probe(
    train_features: Float[np.ndarray, "train dim"],
    train_labels: Shaped[np.ndarray, "train labels"],
    val_features: Float[np.ndarray, "val dim"],
    val_labels: Shaped[np.ndarray, "val labels"],
    *,
    strengths: Sequence[float] = STRENGTHS,
) -> LinearProbe:
    r"""Fit the probe of every label, all labels in one solve a strength.

    .. math:: \min_{w, b} \; \frac1n \sum_i \left[ \log(1 + e^{m_i}) - y_i m_i \right]
              + \frac{\lambda}{2} \lVert w \rVert^2, \qquad m_i = w^\top \tilde x_i + b

    with :math:`\tilde x` the features, each shifted and scaled to mean 0 and deviation 1 over the training examples.
    A label that is the same in all training examples has no optimum. It gets the same score everywhere: the log-odds
    of half an example more on either side, far below 0 where it has no positive.

    Args:
        train_features: Frozen features to fit on.
        train_labels: What is true of them, 0 or 1; NaN where it is not known, and such a pair is left out of the mean.
        val_features: Features to choose the strength on.
        val_labels: What is true of them, in the same way. A label without a positive here takes the strength that is
            best on average over the labels.
        strengths: The penalties :math:`\lambda` to choose from; scikit-learn's C is :math:`1 / (n \lambda)`.

    Raises:
        ConfigError: No strength is given, or one is not positive.
        LabelShapeError: Features and labels have different lengths, or there is no example.
        EmbeddingError: Features have different widths, or hold NaN or infinity.

    Example:
        >>> features = np.random.default_rng(0).normal(size=(60, 4))
        >>> labels = (features[:, :2] > 0).astype(np.uint8)
        >>> probe = fit_linear_probe(features[:40], labels[:40], features[40:], labels[40:])
        >>> probe.weight.shape
        (2, 4)
        >>> bool(np.mean((probe.probabilities(features[40:]) > 0.5) == labels[40:]) > 0.9)
        True

    Reference: Alain and Bengio, Understanding Intermediate Layers Using Linear Classifier Probes, 2017.
    """
    path = sorted(strengths, reverse=True)
    if not path or path[-1] <= 0:
        raise ConfigError(f"strengths must be one or more positive numbers. Got {tuple(strengths)}.")
    check_features(train_features, train_labels, val_features, val_labels)

    mean, axes = _principal_axes(train_features)
    design, val_design = _with_ones((train_features - mean) @ axes), _with_ones((val_features - mean) @ axes)
    fitted = _solve_path(design, train_labels.astype(np.float64), path)
    precision = np.stack([average_precisions(val_labels, val_design @ one) for one in fitted])
    chosen = _choose(precision, (val_labels == 1).sum(axis=0))
    rotated = fitted[chosen, :, np.arange(len(chosen))]
    weight = rotated[:, :-1] @ axes.T
    return LinearProbe(weight, rotated[:, -1] - weight @ mean, np.array(path)[chosen])


def standardise(
    features: Float[np.ndarray, "examples dim"],
) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, " dim"]]:
    """Mean and deviation of each feature in double precision; the deviation of a constant feature is given as 1."""
    wide = features.astype(np.float64)
    mean, deviation = wide.mean(axis=0), wide.std(axis=0)
    # The deviation of a constant is rounding, not always 0.
    return mean, np.where(deviation > 1e-12 * np.abs(mean), deviation, 1.0)


def check_features(train: np.ndarray, train_labels: np.ndarray, val: np.ndarray, val_labels: np.ndarray) -> None:
    """Refuse features and labels that do not belong together, or that are not numbers.

    Raises:
        LabelShapeError: Features and labels have different lengths, or there is no example.
        EmbeddingError: Features have different widths, or hold NaN or infinity.
    """
    for name, features, labels in (("train", train, train_labels), ("validation", val, val_labels)):
        if len(features) != len(labels) or not len(features):
            raise LabelShapeError(
                f"{name} features and labels must have the same number of rows, at least one. "
                f"Got {len(features)} and {len(labels)}."
            )
        if not np.isfinite(features).all():
            rows = np.count_nonzero(~np.isfinite(features).all(axis=1))
            raise EmbeddingError(f"{name} features must be finite. Got {rows} rows with NaN or infinity.")
    if train.shape[1] != val.shape[1] or train_labels.shape[1] != val_labels.shape[1]:
        raise EmbeddingError(
            "train and validation must have as many features and as many labels. Got "
            f"{train.shape[1]} and {val.shape[1]} features, {train_labels.shape[1]} and {val_labels.shape[1]} labels."
        )


def _solve_path(
    design: Float[np.ndarray, "examples coefficients"], labels: Float[np.ndarray, "examples labels"], path: list[float]
) -> Float[np.ndarray, "strengths coefficients labels"]:
    """Solve for one strength after the other, each from where the last one ended."""
    count, known = np.nansum(labels, axis=0), known_pairs(labels).sum(axis=0)
    bias = np.log(count + 0.5) - np.log(known - count + 0.5)
    solution = np.vstack([np.zeros((design.shape[1] - 1, len(count))), bias])
    varies = (count > 0) & (count < known)
    solutions = []
    for strength in path:
        solution = solution.copy()
        solution[:, varies] = solve_logistic(design, labels[:, varies], solution[:, varies], strength=strength)
        solutions.append(solution)
    return np.stack(solutions)


def _principal_axes(
    features: Float[np.ndarray, "examples dim"],
) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, "dim rank"]]:
    """Mean of the features, and what takes them to their standardised principal axes.

    The turn changes no length, so the penalty and the optimum stay the same. What has no extent is dropped: there the
    optimal weight is 0, and with fewer examples than features that is most of the space.
    """
    mean, deviation = standardise(features)
    standard = (features - mean) / deviation
    extent, axes = np.linalg.eigh(standard.T @ standard / len(standard))
    return mean, axes[:, extent > 1e-10 * extent[-1]] / deviation[:, None]


def _with_ones(features: Float[np.ndarray, "examples dim"]) -> Float[np.ndarray, "examples coefficients"]:
    """Append the column that the bias multiplies."""
    return np.hstack([features, np.ones((len(features), 1))])


def _choose(
    precision: Float[np.ndarray, "strengths labels"], positives: Shaped[np.ndarray, " labels"]
) -> Shaped[np.ndarray, " labels"]:
    """Index of the best strength for each label; the fewer positives speak for a label, the more the average does.

    Chosen by its own few validation positives alone, a rare label fares worse than with the strength of all others.
    """
    own = np.nan_to_num(precision)
    average = own.sum(axis=1, keepdims=True) / max(np.count_nonzero(positives), 1)
    trust = positives / (positives + POSITIVES_TO_TRUST)
    return np.asarray((trust * own + (1 - trust) * average).argmax(axis=0))
