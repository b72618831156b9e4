"""Blend of views: several scorers of all labels become one, by a logistic regression of each label on their logits."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy.typing import ArrayLike
from scipy.special import expit

from labelcontrast.errors import ConfigError, DataError, LabelShapeError
from labelcontrast.files import write_text
from labelcontrast.metrics.counting import checked_pair, known_pairs

STRENGTHS = (np.inf, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
"""Penalties on the distance of a label's weights from the common ones, to choose from."""
FOLDS = 5
LARGEST = 20.0
"""Logits are clipped at this size: a view that is certain and wrong must not outweigh all others."""
PAIRS_FOR_COMMON = 2**22
"""Pairs of an example and a label, at most, that the common weights are fitted on."""
NUMBERS_AT_ONCE = 2**24
NEWTON_STEPS, HALVINGS = 50, 20

Logits = Mapping[str, Float[np.ndarray, "examples labels"]]
"""Logits of all labels, by view."""


def fit_blend(labels: ArrayLike, logits: Mapping[str, ArrayLike], *, strengths: Sequence[float] = STRENGTHS) -> "Blend":
    r"""Fit the weights of views for each label, on examples that no view was trained on.

    .. math:: p_{il} = \sigma\Big(b_l + \sum_v w_{lv} s_{ivl}\Big), \quad w_{lv} \ge 0, \qquad
              \min_{w_l, b_l} \; -\sum_i \log p(y_{il}) + \frac{\kappa}{2} \lVert (w_l, b_l) - (w, b) \rVert^2

    with s the logits of view v, divided by their deviation over all pairs, and (w, b) the weights that are most likely
    for all labels together. The strength :math:`\kappa` is the one with the best likelihood on held-out folds: a label
    with few positives stays near the common weights, and with an infinite strength all labels have them.

    Args:
        labels: 0 or 1, shape [examples, labels]; NaN where it is not known, and such a pair is left out.
        logits: Of the same examples, keyed by view.
        strengths: To choose from; between equals the largest is taken.

    Raises:
        ConfigError: There is no view, or no strength.
        LabelShapeError: Labels and logits are no matrices of one shape.

    Example:
        >>> random = np.random.default_rng(0)
        >>> truth = random.normal(size=(500, 3))
        >>> good, noise = truth + 0.1 * random.normal(size=(500, 3)), random.normal(size=(500, 3))
        >>> blend = fit_blend((truth > 0).astype(int), {"good": good, "noise": noise})
        >>> {name: round(share, 1) for name, share in blend.shares.items()}
        {'good': 1.0, 'noise': 0.0}

    Reference: Breiman, Stacked Regressions, 1996; the penalty towards common weights is ours.
    """
    if not logits or not len(strengths):
        raise ConfigError("a blend needs at least one view and one strength.")
    pairs = [checked_pair(labels, given) for given in logits.values()]
    true = pairs[0][0].astype(np.float64)
    columns = [np.clip(given, -LARGEST, LARGEST) for _, given in pairs]
    scale = np.array([given[known_pairs(true)].std() or 1.0 for given in columns])
    stacked = np.stack([given / size for given, size in zip(columns, scale, strict=True)], axis=2)

    folds = np.random.default_rng(0).permutation(len(true)) % FOLDS
    path = sorted(strengths, reverse=True)
    held_out = dict.fromkeys(path, 0.0)
    for fold in range(FOLDS) if len(true) >= 2 * FOLDS and len(path) > 1 else ():
        seen, hidden = folds != fold, folds == fold
        common = _common(stacked[seen], true[seen])
        for strength, fitted in zip(path, _along(stacked[seen], true[seen], common, path), strict=True):
            held_out[strength] += _log_loss(stacked[hidden], true[hidden], fitted).sum()
    strength = min(path, key=held_out.__getitem__)
    common = _common(stacked, true)
    fitted = _along(stacked, true, common, [one for one in path if one >= strength])[-1]
    return Blend(tuple(logits), fitted[:, :-1] / scale, fitted[:, -1], common[:-1] / scale, scale, strength)


@dataclass(frozen=True)
class Blend:
    """Weights of each view for each label, which turn logits of the views into one probability."""

    views: tuple[str, ...]
    weight: Float[np.ndarray, "labels views"]
    """Factor of a view's logit."""
    bias: Float[np.ndarray, " labels"]
    common: Float[np.ndarray, " views"]
    """The weights of all labels together, which those of a rare label are near to."""
    scale: Float[np.ndarray, " views"]
    """The deviation of each view's logits on validation: weight times scale compares views."""
    strength: float
    """The penalty that was chosen."""

    def __repr__(self) -> str:
        shares = ", ".join(f"{name} {share:.2f}" for name, share in self.shares.items())
        return f"Blend({len(self.bias)} labels: {shares})"

    @property
    def shares(self) -> dict[str, float]:
        """The mean share of each view in the weights of a label, on a common scale; they sum to one."""
        sizes = self.weight * self.scale
        total = sizes.sum(axis=1, keepdims=True)
        shares = np.divide(sizes, total, out=np.full_like(sizes, 1 / len(self.views)), where=total > 0)
        return dict(zip(self.views, shares.mean(axis=0).tolist(), strict=True))

    def contributions(self, logits: Logits) -> dict[str, Float[np.ndarray, "examples labels"]]:
        """Compute what each view adds to the log-odds of every label; ``bias`` is added to their sum.

        Args:
            logits: Keyed by view; views that the blend does not know are ignored.

        Raises:
            LabelShapeError: A view is missing, or has another number of labels.
        """
        added = {}
        for place, name in enumerate(self.views):
            if name not in logits or logits[name].shape[1] != len(self.bias):
                got = logits[name].shape[1] if name in logits else "none"
                raise LabelShapeError(f"the view {name} must have logits of {len(self.bias)} labels. Got {got}.")
            added[name] = np.clip(logits[name], -LARGEST, LARGEST) * self.weight[:, place]
        return {**added, "bias": np.broadcast_to(self.bias, added[self.views[0]].shape)}

    def probabilities(self, logits: Logits) -> Float[np.ndarray, "examples labels"]:
        """Compute the blended probability of every label, in float32; the arguments are those of ``contributions``."""
        return np.asarray(expit(sum(self.contributions(logits).values())), dtype=np.float32)

    def save(self, path: str | Path) -> None:
        """Save the weights as JSON."""
        saved = {
            "views": self.views,
            "strength": None if np.isinf(self.strength) else self.strength,
            "common": self.common.tolist(),
            "scale": self.scale.tolist(),
            "bias": self.bias.tolist(),
            "weight": self.weight.tolist(),
        }
        write_text(Path(path), json.dumps(saved) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "Blend":
        """Load saved weights.

        Raises:
            DataError: The file is not such JSON.
        """
        path = Path(path)
        try:
            saved = json.loads(path.read_text())
            views, strength = tuple(map(str, saved["views"])), saved["strength"]
            weight, bias = np.array(saved["weight"], dtype=np.float64), np.array(saved["bias"], dtype=np.float64)
            if weight.shape != (len(bias), len(views)):
                raise ValueError(f"weights of shape {weight.shape}")
            common, scale = (np.array(saved[name], dtype=np.float64) for name in ("common", "scale"))
            return cls(views, weight, bias, common, scale, np.inf if strength is None else float(strength))
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f'expected {{"views": [names], "weight": [...], ...}}. Got {error!r}.', path=path
            ) from error


def _common(
    logits: Float[np.ndarray, "examples labels views"], labels: Float[np.ndarray, "examples labels"]
) -> Float[np.ndarray, " coefficients"]:
    """Fit one set of weights for all labels, on all pairs or on evenly spaced ones; the constant comes last."""
    views = logits.shape[2]
    known = np.flatnonzero(known_pairs(labels))
    if len(known) > PAIRS_FOR_COMMON:
        known = np.random.default_rng(0).choice(known, PAIRS_FOR_COMMON, replace=False)
    start = np.append(np.full(views, 1 / views), 0.0)[None]
    pairs = logits.reshape(-1, 1, views)[known], labels.reshape(-1, 1)[known]
    return _solve(*pairs, start, start, strength=1e-3)[0]  # a penalty that only a set without positives feels


def _along(
    logits: Float[np.ndarray, "examples labels views"],
    labels: Float[np.ndarray, "examples labels"],
    common: Float[np.ndarray, " coefficients"],
    path: Sequence[float],
) -> list[Float[np.ndarray, "labels coefficients"]]:
    """Fit the weights of every label for each strength, the largest first, each from the solution before it."""
    prior = np.tile(common, (labels.shape[1], 1))
    solutions = []
    current = prior
    step = max(1, NUMBERS_AT_ONCE // logits[:, :1].size)
    for strength in path:
        if np.isfinite(strength):
            blocks = [slice(at, at + step) for at in range(0, labels.shape[1], step)]
            solved = [_solve(logits[:, at], labels[:, at], prior[at], current[at], strength=strength) for at in blocks]
            current = np.concatenate(solved)
        solutions.append(current)
    return solutions


def _solve(
    logits: Float[np.ndarray, "examples labels views"],
    labels: Shaped[np.ndarray, "examples labels"],
    prior: Float[np.ndarray, "labels coefficients"],
    start: Float[np.ndarray, "labels coefficients"],
    *,
    strength: float,
) -> Float[np.ndarray, "labels coefficients"]:
    """Minimise the penalised log loss of every label by Newton's method; a weight that would be negative is 0."""
    design = np.concatenate([logits, np.ones((*labels.shape, 1))], axis=2)
    known = known_pairs(labels)
    true = np.where(known, labels, 0.0)
    may_vanish = np.arange(design.shape[2]) < design.shape[2] - 1

    def objective(coefficients: np.ndarray) -> np.ndarray:
        penalty = strength / 2 * np.square(coefficients - prior).sum(axis=1)
        return np.asarray(_log_loss(logits, labels, coefficients).sum(axis=0) + penalty)

    current = start.copy()
    value = objective(current)
    for _ in range(NEWTON_STEPS):
        chance = expit(np.einsum("nlv,lv->nl", design, current))
        gradient = np.einsum("nl,nlv->lv", known * (chance - true), design) + strength * (current - prior)
        curvature = np.einsum("nl,nlv,nlw->lvw", known * chance * (1 - chance), design, design, optimize=True)
        curvature += (strength + 1e-9) * np.eye(design.shape[2])
        held = may_vanish & (current <= 0) & (gradient > 0)
        step = _free_step(curvature, gradient, held)
        length, improved = np.ones(len(current)), np.zeros(len(current), dtype=bool)
        for _ in range(HALVINGS):
            tried = current - length[:, None] * step
            tried[:, :-1] = np.maximum(tried[:, :-1], 0.0)
            found = objective(tried)
            improved = found <= value
            if improved.all():
                break
            length = np.where(improved, length, length / 2)
        moved = np.where(improved[:, None], tried, current)
        gain, value = value - np.where(improved, found, value), np.where(improved, found, value)
        current = moved
        if (gain <= 1e-9 * np.abs(value) + 1e-12).all():
            break
    return current


def _free_step(
    curvature: Float[np.ndarray, "labels coefficients coefficients"],
    gradient: Float[np.ndarray, "labels coefficients"],
    held: Bool[np.ndarray, "labels coefficients"],
) -> Float[np.ndarray, "labels coefficients"]:
    """Newton's step of the coefficients that are not held at zero."""
    pinned = held[:, :, None] | held[:, None, :]
    matrix = np.where(pinned, np.eye(held.shape[1]), curvature)
    return np.asarray(np.linalg.solve(matrix, np.where(held, 0.0, gradient)[..., None])[..., 0])


def _log_loss(
    logits: Float[np.ndarray, "examples labels views"],
    labels: Shaped[np.ndarray, "examples labels"],
    coefficients: Float[np.ndarray, "labels coefficients"],
) -> Float[np.ndarray, "examples labels"]:
    """Compute the log loss of every pair; 0 where the label is not known."""
    margins = np.einsum("nlv,lv->nl", logits, coefficients[:, :-1]) + coefficients[:, -1]
    losses = np.logaddexp(0, margins) - np.where(labels == 1, margins, 0.0)
    return np.where(known_pairs(labels), losses, 0.0)
