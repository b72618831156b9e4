"""Linear probes on frozen features: a logistic regression for each label, and averaged heads as one classifier.

A probe is fitted at its convex optimum on standardised features, along a path of strengths of the L2 penalty. The
strength of each label is chosen by average precision on validation, that of the label and that of all
labels mixed: half and half at ``POSITIVES_TO_TRUST`` validation positives. ``selection_score`` is a cheaper ridge
regression that scores the embeddings of an epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from labelcontrast.errors import ConfigError, EmbeddingError, LabelShapeError
from labelcontrast.metrics.counting import (
    ALL,
    AnyMatrix,
    Matrix,
    Places,
    as_blocks,
    as_features,
    column_blocks,
    in_blocks,
    known_pairs,
    ratio,
)
from labelcontrast.metrics.ranking import average_precisions, mean_average_precision
from labelcontrast.probes.logistic import solve_logistic
from labelcontrast.progress import tracked

STRENGTHS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
POSITIVES_TO_TRUST = 100
ExampleWeights = tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]
"""The weights of the training and of the validation examples, above 0; None where each counts once."""
MOST_EXACT = 1_000
"""Labels up to which the probe is fitted to its optimum."""
BIAS_STEPS = 10


def fit_linear_probe(
    train_features: ArrayLike,
    train_labels: AnyMatrix,
    val_features: ArrayLike,
    val_labels: AnyMatrix,
    *,
    strengths: Sequence[float] = STRENGTHS,
    weights: ExampleWeights = (None, None),
) -> "LinearProbe":
    r"""Fit a logistic regression for each label; all labels are solved together, one strength at a time.

    .. math:: \min_{w, b} \; \frac1n \sum_i \left[ \log(1 + e^{m_i}) - y_i m_i \right]
              + \frac{\lambda}{2} \lVert w \rVert^2, \qquad m_i = w^\top \tilde x_i + b

    with :math:`\tilde x` the features, each shifted and scaled to mean 0 and deviation 1 over the training examples.
    A label that is constant over the training examples has no optimum. It gets the same score everywhere: the log-odds
    with half an example more on either side, far below 0 where it has no positive.

    With more than 1,000 labels the weights are those of one Newton step from the bias alone, for which all labels share
    one matrix, and the bias is then fitted to them:

    .. math:: w_l = \left(\pi_l (1 - \pi_l) \tfrac1n \tilde X^\top \tilde X + \lambda I\right)^{-1}
              \tfrac1n \tilde X^\top (y_l - \pi_l)

    with :math:`\pi_l` the frequency of the label. In principal axes the matrix is diagonal.

    Args:
        train_features: Features to fit on, shape [train, dim].
        train_labels: 0 or 1, shape [train, labels]; NaN where it is not known, and such a pair is left out of the mean.
        val_features: Features to choose the strength on, shape [val, dim].
        val_labels: 0, 1 or NaN, shape [val, labels]. A label without a positive here takes the strength that is best on
            average over the labels.
        strengths: The penalties :math:`\lambda` to choose from; scikit-learn's C is :math:`1 / (n \lambda)`.
        weights: Of the examples in all means and in the choice of the strength. A weight of 2 is a row given twice.

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
    train, true, val, held_out = checked_data(train_features, train_labels, val_features, val_labels)
    mean, axes = _principal_axes(train, weights[0])
    design, val_design = _with_ones((train - mean) @ axes), _with_ones((val - mean) @ axes)
    exact = true.shape[1] <= MOST_EXACT
    blocks = [slice(0, true.shape[1])] if exact else list(column_blocks(true.shape))
    precision, positives = np.empty((len(path), true.shape[1])), np.empty(true.shape[1])
    for at in blocks:
        fitted = (_solve_path if exact else _first_steps)(design, true[:, at].astype(np.float64), path, weights[0])
        precision[:, at] = [average_precisions(held_out[:, at], val_design @ one, weights[1]) for one in fitted]
        positives[at] = _times(held_out[:, at] == 1, weights[1]).sum(axis=0)
    chosen = _choose(precision, positives)
    rotated = np.empty((true.shape[1], design.shape[1]))
    for at in blocks:
        labels = true[:, at].astype(np.float64)
        fitted = fitted if exact else _first_steps(design, labels, path, weights[0])
        solution = fitted[chosen[at], :, np.arange(labels.shape[1])].T
        rotated[at] = (solution if exact else _with_bias(design, labels, solution, weights[0])).T
    weight = rotated[:, :-1] @ axes.T
    return LinearProbe(weight, rotated[:, -1] - weight @ mean, np.array(path)[chosen])


def selection_score(
    train_features: ArrayLike,
    train_labels: AnyMatrix,
    val_features: ArrayLike,
    val_labels: AnyMatrix,
    *,
    ridge: float = 0.1,
    weights: ExampleWeights = (None, None),
) -> float:
    r"""Compute the mean average precision, on validation, of a ridge regression of the labels on the features.

    .. math:: W = (\tilde X^\top \tilde X / n + \rho I)^{-1} \, \tilde X^\top Y / n

    with :math:`\tilde X` the standardised features: one linear system for all labels, hundreds of times cheaper than
    the probe, and close enough to it to rank checkpoints. Neither the loss nor F1 at a fixed threshold can do that: the
    value of a loss with stopped repulsion may rise while the model gets better, the losses of two temperatures have no
    common scale, and F1 at 0.5 depends on calibration.

    Args:
        train_features: Embeddings to fit on, shape [train, dim]; a few thousand are enough.
        train_labels: 0 or 1, shape [train, labels]. An unknown one (NaN) is replaced by the mean of its label, so
            that all labels share one system.
        val_features: Embeddings to score, shape [val, dim].
        val_labels: 0 or 1, shape [val, labels]; NaN where it is not known, and such a pair is left out.
        ridge: Penalty :math:`\rho`, on the scale of the variance of a standardised feature, 1.
        weights: Of the examples.

    Returns: Between 0 and 1, higher is better; NaN when no label has a positive among the validation examples.

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
    train, true, val, held_out = checked_data(train_features, train_labels, val_features, val_labels)
    scores, _ = ridge_scores(train, true, val, ridge=ridge, weights=weights[0])
    return mean_average_precision(held_out, scores, weights[1])


def ridge_scores(
    train_features: Float[np.ndarray, "train dim"],
    train_labels: Matrix,
    val_features: Float[np.ndarray, "val dim"],
    *,
    ridge: float = 0.1,
    weights: Float[np.ndarray, " train"] | None = None,
) -> tuple[Matrix, Float[np.ndarray, " labels"]]:
    """Compute the scores of ``selection_score``, and those of one half: a label is predicted from there on."""
    if not ridge > 0:
        raise ConfigError(f"ridge must be a positive number. Got {ridge}.")
    mean, deviation = standardise(train_features, weights)
    design, val_design = (train_features - mean) / deviation, (val_features - mean) / deviation
    weighted, total = _times(design, weights), len(design) if weights is None else weights.sum()
    spread = design.T @ weighted / total + ridge * np.eye(design.shape[1])
    weight, half = np.empty((design.shape[1], train_labels.shape[1])), np.empty(train_labels.shape[1])
    for at in column_blocks(train_labels.shape):
        targets = _fill_unknown(train_labels[:, at], weights)
        weight[:, at] = np.linalg.solve(spread, weighted.T @ targets / total)
        # The constant that centring leaves out shifts all scores of a label equally: no rank changes.
        half[at] = 0.5 - np.average(targets, axis=0, weights=weights)
    shape = (len(val_design), weight.shape[1])
    return in_blocks(shape, lambda rows, columns: val_design[rows] @ weight[:, columns]), half


def standardise(
    features: Float[np.ndarray, "examples *columns"],
    weights: Float[np.ndarray, " examples"] | None = None,
    *,
    constant: float = 1e-12,
) -> tuple[Float[np.ndarray, "*columns"], Float[np.ndarray, "*columns"]]:
    """Compute mean and deviation of each column in double precision.

    Args:
        features: The columns.
        weights: How often each example counts; by default once.
        constant: A column whose deviation is at most this share of its mean counts as constant, with a deviation of 1.
    """
    wide = features.astype(np.float64)
    if weights is None:
        mean, deviation = wide.mean(axis=0), wide.std(axis=0)
    else:
        mean = np.average(wide, axis=0, weights=weights)
        deviation = np.sqrt(np.average((wide - mean) ** 2, axis=0, weights=weights))
    # The deviation of a constant is rounding, not always 0.
    return mean, np.where(deviation > constant * np.abs(mean), deviation, 1.0)


def checked_data(
    train: ArrayLike, train_labels: AnyMatrix, val: ArrayLike, val_labels: AnyMatrix
) -> tuple[np.ndarray, Any, np.ndarray, Any]:
    """Convert features and labels to matrices, and check that they fit together and that the features are finite.

    Raises:
        LabelShapeError: Features and labels have different lengths, or there is no example.
        EmbeddingError: Features have different widths, or hold NaN or infinity.
    """
    train, val = as_features(train, "train features"), as_features(val, "validation features")
    true, held_out = as_blocks(train_labels, "train labels"), as_blocks(val_labels, "validation labels")
    for name, features, labels in (("train", train, true), ("validation", val, held_out)):
        if len(features) != len(labels) or not len(features):
            raise LabelShapeError(
                f"{name} features and labels must have the same number of rows, at least one. "
                f"Got {len(features)} and {len(labels)}."
            )
        if not np.isfinite(features).all():
            rows = np.count_nonzero(~np.isfinite(features).all(axis=1))
            raise EmbeddingError(f"{name} features must be finite. Got {rows} rows with NaN or infinity.")
    if train.shape[1] != val.shape[1] or true.shape[1] != held_out.shape[1]:
        raise EmbeddingError(
            "train and validation must have as many features and as many labels. Got "
            f"{train.shape[1]} and {val.shape[1]} features, {true.shape[1]} and {held_out.shape[1]} labels."
        )
    return train, true, val, held_out


@dataclass(frozen=True)
class LinearProbe:
    """One hyperplane for each label, for features that are not standardised."""

    weight: Float[np.ndarray, "labels dim"]
    bias: Float[np.ndarray, " labels"]
    strength: Float[np.ndarray, " labels"]
    """The penalty that was chosen for each label."""

    def __repr__(self) -> str:
        return f"LinearProbe({self.weight.shape[0]} labels, {self.weight.shape[1]} features)"

    def scores(self, features: ArrayLike) -> Float[np.ndarray, "examples labels"]:
        """Compute logits."""
        return np.asarray(_features_of_width(features, self.weight.shape[-1]) @ self.weight.T + self.bias)

    def probabilities(self, features: ArrayLike) -> Float[np.ndarray, "examples labels"]:
        """Compute probabilities: the sigmoid of the logits."""
        return np.asarray(expit(self.scores(features)))


class LinearHead(nn.Linear):
    """Compute logits: a linear layer that also returns probabilities as an array.

    Example:
        >>> LinearHead(4, 2).probabilities([[0.0] * 4]).shape
        (1, 2)
    """

    def probabilities(self, features: ArrayLike) -> Float[np.ndarray, "examples labels"]:
        """Compute probabilities: the sigmoid of the logits."""
        return _probabilities(self, features)


class AveragedHeads(nn.Module):
    r"""Compute the log-odds of the mean probability of several linear heads; with one head, its logits.

    .. math:: x \mapsto \log \frac{\bar p}{1 - \bar p}, \qquad \bar p = \frac1H \sum_h \sigma(w_h^\top x + b_h)

    Args:
        weight: Of each head and label, shape [heads, labels, dim].
        bias: Shape [heads, labels].

    Example:
        >>> heads = AveragedHeads(torch.tensor([[[1.0]], [[-1.0]]]), torch.zeros(2, 1))
        >>> heads(torch.tensor([[0.0], [100.0]])).sigmoid()  # one head says 1, the other 0
        tensor([[0.5000],
                [0.5000]])
    """

    def __init__(self, weight: Float[Tensor, "heads labels dim"], bias: Float[Tensor, "heads labels"]) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    @property
    def out_features(self) -> int:
        """Number of labels, named as in ``nn.Linear``."""
        return self.weight.shape[1]

    def forward(self, features: Float[Tensor, "examples dim"]) -> Float[Tensor, "examples labels"]:
        """Compute the logits of the mean probability."""
        logits = torch.einsum("nd,hld->hnl", features, self.weight) + self.bias.unsqueeze(1)
        # In logarithms no probability is too near to 0 or 1.
        return F.logsigmoid(logits).logsumexp(0) - F.logsigmoid(-logits).logsumexp(0)

    def probabilities(self, features: ArrayLike) -> Float[np.ndarray, "examples labels"]:
        """Compute the mean probability of the heads."""
        return _probabilities(self, features)

    def extra_repr(self) -> str:
        """Return the sizes, as ``nn.Linear`` does."""
        heads, labels, dim = self.weight.shape
        return f"heads={heads}, in_features={dim}, out_features={labels}"


Classifier = nn.Linear | AveragedHeads
"""A module that computes logits from embeddings."""


def head_logits(
    classifier: Classifier, embeddings: Float[np.ndarray, "examples dim"], at: Places = ALL
) -> Float[np.ndarray, "examples labels"]:
    """Compute the logits of some labels; by default of all.

    Example:
        >>> head = LinearHead(4, 3)
        >>> head_logits(head, np.ones((2, 4), np.float32), slice(1, 3)).shape
        (2, 2)
    """
    weight, bias = classifier.weight[..., at, :], classifier.bias[..., at]
    rows = torch.from_numpy(embeddings).to(weight)
    with torch.inference_mode():
        found = F.linear(rows, weight, bias) if weight.ndim == 2 else AveragedHeads(weight, bias)(rows)
        return np.asarray(found.float().cpu())


def build_classifier(
    weight: Float[Tensor, "*heads labels dim"], bias: Float[Tensor, "*heads labels"]
) -> LinearHead | AveragedHeads:
    """Build a linear layer from its weights, or averaged heads if the weights have a first axis of heads."""
    if weight.ndim == 3:
        return AveragedHeads(weight, bias)
    layer = LinearHead(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


def select_labels(classifier: Classifier, columns: Sequence[int]) -> LinearHead | AveragedHeads:
    """Return the classifier of some labels, in this order."""
    rows = torch.tensor(columns)
    return build_classifier(classifier.weight.detach()[..., rows, :], classifier.bias.detach()[..., rows])


def append_label(classifier: Classifier, weight: Float[np.ndarray, " dim"], bias: float) -> LinearHead | AveragedHeads:
    """Append a label; averaged heads all get the same row, whose mean probability is its own.

    Example:
        >>> append_label(LinearHead(4, 2), np.zeros(4), 0.0)
        LinearHead(in_features=4, out_features=3, bias=True)
    """
    old, constant = classifier.weight.detach(), classifier.bias.detach()
    row = torch.from_numpy(weight).to(old).expand(*old.shape[:-2], 1, -1)
    added = torch.full_like(constant[..., :1], bias)
    return build_classifier(torch.cat([old, row], -2), torch.cat([constant, added], -1))


def _features_of_width(features: ArrayLike, width: int) -> np.ndarray:
    rows = as_features(features, "features")
    if rows.shape[1] != width:
        raise EmbeddingError(f"features must have the width {width} that the probe was fitted on. Got {rows.shape[1]}.")
    return rows


def _probabilities(classifier: LinearHead | AveragedHeads, features: ArrayLike) -> np.ndarray:
    rows = torch.from_numpy(_features_of_width(features, classifier.weight.shape[-1])).to(classifier.weight)
    with torch.inference_mode():
        return np.asarray(classifier(rows).sigmoid().cpu())


def _times(
    values: Shaped[np.ndarray, "examples columns"], weights: Float[np.ndarray, " examples"] | None
) -> Shaped[np.ndarray, "examples columns"]:
    return values if weights is None else values * weights[:, None]


def _solve_path(
    design: Float[np.ndarray, "examples coefficients"],
    labels: Float[np.ndarray, "examples labels"],
    path: list[float],
    weights: Float[np.ndarray, " examples"] | None,
) -> Float[np.ndarray, "strengths coefficients labels"]:
    """Solve for each strength, starting from the solution for the one before."""
    count, known = np.nansum(_times(labels, weights), axis=0), _times(known_pairs(labels), weights).sum(axis=0)
    bias = np.log(count + 0.5) - np.log(known - count + 0.5)
    solution = np.vstack([np.zeros((design.shape[1] - 1, len(count))), bias])
    varies = (count > 0) & (count < known)
    solutions = []
    for strength in tracked(path, "probe"):
        solution = solution.copy()
        start = solution[:, varies]
        solution[:, varies] = solve_logistic(design, labels[:, varies], start, strength=strength, weights=weights)
        solutions.append(solution)
    return np.stack(solutions)


def _first_steps(
    design: Float[np.ndarray, "examples coefficients"],
    labels: Float[np.ndarray, "examples labels"],
    path: Sequence[float],
    weights: Float[np.ndarray, " examples"] | None,
) -> Float[np.ndarray, "strengths coefficients labels"]:
    """Compute one Newton step from the solution of the bias alone, for each strength; the columns are uncorrelated."""
    true, known = np.nan_to_num(labels), _times(known_pairs(labels), weights)
    count, total = (known * true).sum(axis=0), known.sum(axis=0)
    frequency = ratio(count, total)
    slope = ratio(
        design[:, :-1].T @ (known * (true - frequency)), np.broadcast_to(total, (design.shape[1] - 1, len(total)))
    )
    squares = np.average(np.square(design[:, :-1]), axis=0, weights=weights)
    curvature = squares[:, None] * (frequency * (1 - frequency))
    bias = np.log(count + 0.5) - np.log(total - count + 0.5)
    return np.stack([np.vstack([slope / (curvature + strength), bias]) for strength in path])


def _with_bias(
    design: Float[np.ndarray, "examples coefficients"],
    labels: Float[np.ndarray, "examples labels"],
    solution: Float[np.ndarray, "coefficients labels"],
    weights: Float[np.ndarray, " examples"] | None,
) -> Float[np.ndarray, "coefficients labels"]:
    """Fit the bias of each label for given weights; that of a constant label stays."""
    true, known = np.nan_to_num(labels), _times(known_pairs(labels), weights)
    count = (known * true).sum(axis=0)
    varies = (count > 0) & (count < known.sum(axis=0))
    margins, bias = design[:, :-1] @ solution[:-1], solution[-1].copy()
    for _ in range(BIAS_STEPS):
        chance = expit(margins + bias)
        found, spread = (known * chance).sum(axis=0), (known * chance * (1 - chance)).sum(axis=0)
        # In the logarithm of the sum, whose steps do not overshoot where nearly all are near 0.
        step = np.log(np.where(varies, count, 1.0) / np.maximum(found, 1e-300)) * found / np.maximum(spread, 1e-300)
        bias += np.where(varies, np.clip(step, -2.0, 2.0), 0.0)
    return np.vstack([solution[:-1], bias])


def _principal_axes(
    features: Float[np.ndarray, "examples dim"], weights: Float[np.ndarray, " examples"] | None
) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, "dim rank"]]:
    """Mean of the features, and the matrix that takes them to their standardised principal axes.

    A rotation changes no length, so penalty and optimum stay the same. Directions without extent are dropped: their
    optimal weight is 0, and with fewer examples than features they are most of the space.
    """
    mean, deviation = standardise(features, weights)
    standard = (features - mean) / deviation
    total = len(standard) if weights is None else weights.sum()
    extent, axes = np.linalg.eigh(standard.T @ _times(standard, weights) / total)
    return mean, axes[:, extent > 1e-10 * extent[-1]] / deviation[:, None]


def _with_ones(features: Float[np.ndarray, "examples dim"]) -> Float[np.ndarray, "examples coefficients"]:
    return np.hstack([features, np.ones((len(features), 1))])


def _choose(
    precision: Float[np.ndarray, "strengths labels"], positives: Shaped[np.ndarray, " labels"]
) -> Shaped[np.ndarray, " labels"]:
    """Index of the best strength for each label; the fewer positives a label has, the more the average counts.

    Chosen by its own few validation positives alone, a rare label does worse than with the strength of all others.
    """
    own = np.nan_to_num(precision)
    average = own.sum(axis=1, keepdims=True) / max(np.count_nonzero(positives), 1)
    trust = positives / (positives + POSITIVES_TO_TRUST)
    return np.asarray((trust * own + (1 - trust) * average).argmax(axis=0))


def _fill_unknown(
    labels: Shaped[np.ndarray, "examples labels"], weights: Float[np.ndarray, " examples"] | None
) -> Float[np.ndarray, "examples labels"]:
    true, known = labels.astype(np.float64), known_pairs(labels)
    weighted, total = _times(np.where(known, true, 0.0), weights).sum(axis=0), _times(known, weights).sum(axis=0)
    return np.where(known, true, weighted / np.where(total > 0, total, 1))
