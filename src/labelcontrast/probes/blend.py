"""Blend of views: several scorers of all labels become one, by a logistic regression of each label on their logits."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit, logit, xlogy

from labelcontrast.errors import ConfigError, DataError, LabelShapeError
from labelcontrast.files import parse_json, write_text
from labelcontrast.metrics.counting import ALL, AnyMatrix, Places, checked_pair, column_blocks, known_pairs
from labelcontrast.metrics.ranking import mean_average_precision
from labelcontrast.probes.linear import standardise
from labelcontrast.progress import tracked

STRENGTHS = (np.inf, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
"""Penalties on the distance of a label's coefficients from the common ones, to choose from."""
FOLDS = 5
STEPS = 10
"""Mixtures of two views have shares in tenths; of more views, in fifths."""
AS_GOOD = 0.005
"""Macro average precision below the best that is noise: all mixtures within it are averaged."""
LARGEST = 20.0
"""Standardised logits are clipped at this size: a view that is certain and wrong must not outweigh all others."""
CONSTANT = 1e-9
"""Deviation, as a share of the mean, up to which logits count as constant."""
PAIRS = 2**20
"""Pairs of an example and a label, at most, that shares and the common calibration are chosen on."""
NUMBERS_AT_ONCE = 2**24
NEWTON_STEPS, HALVINGS = 50, 10

Labels = Float[np.ndarray, "examples labels"]
Logits = Mapping[str, Float[np.ndarray, "examples labels"]]
"""Logits of all labels, by view."""


def fit_blend(
    labels: AnyMatrix,
    logits: Mapping[str, AnyMatrix],
    *,
    frequency: ArrayLike | None = None,
    strengths: Sequence[float] = STRENGTHS,
    weights: ArrayLike | None = None,
) -> "Blend":
    r"""Fit the weights of views for each label, on examples that no view was trained on.

    .. math:: \operatorname{logit} p_{il} = b_l + \sum_v w_{lv} \frac{s_{ivl} - \mu_{vl}}{\sigma_{vl}}, \quad
              w_{lv} \ge 0

    with mean and deviation of the logits s of view v over the examples, which make the views and the labels alike. It
    is fitted in three steps, from what all labels tell together to what each tells for itself:

    1. The shares of the views: those with the best macro average precision, or one at most 0.005 lower, averaged over
       five folds that leave out examples.
    2. A calibration common to all labels, :math:`b_l = c + \gamma \log \frac{\pi_l}{1 - \pi_l}` and a slope, by the
       log loss in which every label weighs the same; :math:`\pi_l` is the frequency of the label in training.
    3. Coefficients of each label by its log loss plus :math:`\frac{\kappa}{2}` times their squared distance from the
       common ones. The strength :math:`\kappa` is the best on held-out folds, every label weighing the same; so a rare
       label stays near the common coefficients, and with an infinite strength all labels have them.

    Args:
        labels: 0 or 1, shape [examples, labels]; NaN where it is not known, and such a pair is left out.
        logits: Of the same examples, keyed by view.
        frequency: Share of the training examples with the label, shape [labels]; by default of the given ones.
        strengths: To choose from; between equals the largest is taken.
        weights: Of the examples in every sum; by default 1.

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

    Reference: Breiman, Stacked Regressions, 1996; standardisation and the steps from common to own weights are ours.
    """
    if not logits or not len(strengths):
        raise ConfigError("a blend needs at least one view and one strength.")
    pairs = [checked_pair(labels, given) for given in logits.values()]
    examples, width = pairs[0][0].shape
    own = np.ones(examples) if weights is None else np.asarray(weights, dtype=np.float64)
    centre, scale = np.empty((2, width, len(pairs)))
    count, total = np.empty((2, width))

    def standard(at: Places) -> tuple[Labels, Float[np.ndarray, "examples labels views"]]:
        """Return the truth and the standardised logits of some labels."""
        given = np.stack([one[:, at].astype(np.float64) for _, one in pairs], axis=2)
        if isinstance(at, slice):  # comes first: every label has a mean and a deviation
            centre[at], scale[at] = standardise(given, None if weights is None else own, constant=CONSTANT)
        return pairs[0][0][:, at].astype(np.float64), _standardise(given, centre[at], scale[at])

    blocks = list(column_blocks((examples, width)))
    for at in blocks:
        true = standard(at)[0]
        count[at], total[at] = np.nansum(true * own[:, None], axis=0), own @ known_pairs(true)
    here = (count + 0.5) / (total + 1)
    usual = here if frequency is None else np.clip(np.asarray(frequency, dtype=np.float64), 1e-6, 1 - 1e-6)
    # In units of the log loss of a label's frequency, so that every label with a positive weighs the same.
    even = np.where(count > 0, 1 / np.maximum(total * -(xlogy(here, here) + xlogy(1 - here, 1 - here)), 1e-9), 0.0)

    folds = np.random.default_rng(0).permutation(examples) % FOLDS
    chosen = np.flatnonzero(even > 0)
    if len(chosen) > (most := max(1, PAIRS // examples)):
        chosen = np.random.default_rng(0).choice(chosen, most, replace=False)
    true, given = standard(chosen)
    shares = _best_shares(given, true, folds, own) if len(chosen) else np.full(len(pairs), 1 / len(pairs))
    slope, gamma, constant = _calibrate(given @ shares, true, logit(usual[chosen]), own[:, None] * even[chosen])
    common = np.column_stack([np.tile(slope * shares, (width, 1)), gamma * logit(usual) + constant])
    path = sorted(strengths, reverse=True)
    held_out = np.zeros(len(path))
    for at in tracked(blocks, "blend") if examples >= 2 * FOLDS and len(path) > 1 else ():
        weighed = np.arange(width)[at][even[at] > 0]
        held_out += _held_out_loss(*standard(weighed), common[weighed], path, folds, own) @ even[weighed]
    strength = path[int(held_out.argmin())]
    path = [one for one in path if one >= strength]
    fitted = np.empty_like(common)
    for at in blocks:
        true, given = standard(at)
        fitted[at] = _along(given, true, common[at], path, own)[-1]
    return Blend(tuple(logits), fitted[:, :-1], fitted[:, -1], centre, scale, strength)


@dataclass(frozen=True)
class Blend:
    """Weights of each view for each label, which turn logits of the views into one probability."""

    views: tuple[str, ...]
    weight: Float[np.ndarray, "labels views"]
    """Factor of a view's standardised logit."""
    bias: Float[np.ndarray, " labels"]
    centre: Float[np.ndarray, "labels views"]
    scale: Float[np.ndarray, "labels views"]
    """Mean and deviation of the logits on validation."""
    strength: float
    """The penalty that was chosen; infinite if all labels have common weights."""

    def __repr__(self) -> str:
        shares = ", ".join(f"{name} {share:.2f}" for name, share in self.shares.items())
        return f"Blend({len(self.bias)} labels: {shares})"

    @property
    def shares(self) -> dict[str, float]:
        """The mean share of each view in the weights of a label; they sum to one."""
        total = self.weight.sum(axis=1, keepdims=True)
        shares = np.divide(self.weight, total, out=np.full_like(self.weight, 1 / len(self.views)), where=total > 0)
        return dict(zip(self.views, shares.mean(axis=0).tolist(), strict=True))

    def contributions(self, logits: Logits, at: Places = ALL) -> dict[str, Float[np.ndarray, "examples labels"]]:
        """Compute what each view adds to the log-odds of every label; ``bias`` is added to their sum.

        Args:
            logits: Keyed by view; views that the blend does not know are ignored.
            at: The labels that they are of; by default all.

        Raises:
            LabelShapeError: A view is missing, or has another number of labels.
        """
        added, bias = {}, self.bias[at]
        for place, name in enumerate(self.views):
            if name not in logits or logits[name].shape[1] != len(bias):
                got = logits[name].shape[1] if name in logits else "none"
                raise LabelShapeError(f"the view {name} must have logits of {len(bias)} labels. Got {got}.")
            standard = _standardise(logits[name], self.centre[at, place], self.scale[at, place])
            added[name] = standard * self.weight[at, place]
        return {**added, "bias": np.broadcast_to(bias, added[self.views[0]].shape)}

    def probabilities(self, logits: Logits, at: Places = ALL) -> Float[np.ndarray, "examples labels"]:
        """Compute the blended probability of every label, in float32; the arguments are those of ``contributions``."""
        return np.asarray(expit(sum(self.contributions(logits, at).values())), dtype=np.float32)

    def select(self, columns: Sequence[int]) -> "Blend":
        """Return the blend of some labels, in this order."""
        at = np.asarray(columns)
        return replace(self, weight=self.weight[at], bias=self.bias[at], centre=self.centre[at], scale=self.scale[at])

    def with_label(
        self,
        logits: Mapping[str, Float[np.ndarray, " examples"]],
        *,
        frequency: float,
        weights: Float[np.ndarray, " examples"],
    ) -> "Blend":
        """Append a label that has the mean weights of the others.

        With few examples of a label, weights of its own do worse than those that the others agree on. Its bias makes
        the mean probability equal to its frequency.

        Args:
            logits: Of examples that the views were not fitted on, keyed by view.
            frequency: Share of the examples, so weighted, that have the label.
            weights: How often each example counts.
        """
        given = np.stack([logits[name] for name in self.views], axis=1)
        centre, scale = standardise(given, weights, constant=CONSTANT)
        weight = self.weight.mean(axis=0)
        bias = calibrating_bias(_standardise(given, centre, scale) @ weight, frequency=frequency, weights=weights)
        return replace(
            self,
            weight=np.vstack([self.weight, weight]),
            bias=np.append(self.bias, bias),
            centre=np.vstack([self.centre, centre]),
            scale=np.vstack([self.scale, scale]),
        )

    def save(self, path: str | Path) -> None:
        """Save the weights as JSON."""
        saved = {"views": self.views, "strength": None if np.isinf(self.strength) else self.strength}
        saved |= {name: getattr(self, name).tolist() for name in ("bias", "weight", "centre", "scale")}
        write_text(Path(path), json.dumps(saved) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "Blend":
        """Load saved weights.

        Raises:
            DataError: The file is not such JSON.
        """
        path = Path(path)
        try:
            saved = parse_json(path.read_text())
            views, strength = tuple(map(str, saved["views"])), saved["strength"]
            bias, weight, centre, scale = (
                np.array(saved[name], dtype=np.float64) for name in ("bias", "weight", "centre", "scale")
            )
            if {weight.shape, centre.shape, scale.shape} != {(len(bias), len(views))}:
                raise ValueError(f"weights of shape {weight.shape}")
            if not (
                np.isfinite(np.concatenate([weight, centre, scale, bias[:, None]], axis=1)).all() and (scale > 0).all()
            ):
                raise ValueError("numbers that are not finite, or a scale that is not above 0")
            return cls(views, weight, bias, centre, scale, np.inf if strength is None else float(strength))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f'expected {{"views": [names], "weight": [...], ...}}. Got {error!r}.', path=path
            ) from error


def calibrating_bias(
    log_odds: Float[np.ndarray, " examples"], *, frequency: float, weights: Float[np.ndarray, " examples"]
) -> float:
    """Return the constant to add to log-odds so that the weighted mean of the probabilities is the frequency.

    Example:
        >>> round(calibrating_bias(np.zeros(4), frequency=0.25, weights=np.ones(4)), 3)  # the log-odds of 1/4
        -1.099
    """
    reach = float(np.abs(log_odds).max()) + 20.0
    mean = weights / weights.sum()
    return float(brentq(lambda bias: mean @ expit(log_odds + bias) - frequency, -reach, reach))


def _standardise(
    logits: Float[np.ndarray, "examples ..."], centre: Float[np.ndarray, "..."], scale: Float[np.ndarray, "..."]
) -> Float[np.ndarray, "examples ..."]:
    return np.asarray(np.clip((logits - centre) / scale, -LARGEST, LARGEST))


def _held_out_loss(  # noqa: PLR0917
    labels: Labels,
    logits: Float[np.ndarray, "examples labels views"],
    common: Float[np.ndarray, "labels coefficients"],
    path: Sequence[float],
    folds: Int[np.ndarray, " examples"],
    own: Float[np.ndarray, " examples"],
) -> Float[np.ndarray, "strengths labels"]:
    """Compute the log loss of each label on held-out folds, for each strength."""
    losses = np.zeros((len(path), labels.shape[1]))
    for fold in range(FOLDS):
        seen, hidden = folds != fold, folds == fold
        for place, fitted in enumerate(_along(logits[seen], labels[seen], common, path, own[seen])):
            losses[place] += own[hidden] @ _log_loss(logits[hidden], labels[hidden], fitted)
    return losses


def _calibrate(
    mixed: Labels, labels: Labels, usual: Float[np.ndarray, " labels"], weights: Float[np.ndarray, "examples labels"]
) -> tuple[float, float, float]:
    """Fit the calibration of all labels together on some: slope, weight of the usual log-odds, and constant.

    Args:
        mixed: Standardised logits, the views mixed by their shares.
        labels: 0 or 1; NaN where it is not known.
        usual: Log-odds of each label in training.
        weights: Of the pairs.
    """
    start = np.array([[1.0, 1.0, 0.0]])
    pairs = np.stack([mixed, np.broadcast_to(usual, labels.shape)], axis=2).reshape(-1, 1, 2)
    fitted = _solve(pairs, labels.reshape(-1, 1), start, start, strength=1e-3, weights=weights.reshape(-1, 1))
    slope, gamma, constant = fitted[0]
    return slope, gamma, constant


def _best_shares(
    logits: Float[np.ndarray, "examples labels views"],
    labels: Float[np.ndarray, "examples labels"],
    folds: Int[np.ndarray, " examples"],
    own: Float[np.ndarray, " examples"],
) -> Float[np.ndarray, " views"]:
    """Return the mean of the shares with the best macro average precision, or nearly, over folds that are left out."""
    views = logits.shape[2]
    steps = STEPS if views == 2 else STEPS // 2
    mixtures = [np.array(one) / steps for one in product(range(steps + 1), repeat=views) if sum(one) == steps]
    if len(mixtures) == 1:
        return mixtures[0]
    mixed = [logits @ shares for shares in mixtures]
    best = []
    for fold in tracked(range(FOLDS), "shares of the views"):
        seen = folds != fold
        weights = None if (own == 1).all() else own[seen]
        scores = np.array([mean_average_precision(labels[seen], one[seen], weights) for one in mixed])
        if np.isfinite(scores).any():
            best.append(np.mean([mixtures[at] for at in np.flatnonzero(scores >= np.nanmax(scores) - AS_GOOD)], axis=0))
    return np.asarray(np.mean(best, axis=0)) if best else np.full(views, 1 / views)


def _along(
    logits: Float[np.ndarray, "examples labels views"],
    labels: Float[np.ndarray, "examples labels"],
    common: Float[np.ndarray, "labels coefficients"],
    path: Sequence[float],
    own: Float[np.ndarray, " examples"],
) -> list[Float[np.ndarray, "labels coefficients"]]:
    """Fit the weights of every label for each strength, the largest first, each from the solution before it."""
    solutions = []
    current = common
    step = max(1, NUMBERS_AT_ONCE // logits[:, :1].size)
    for strength in path:
        if np.isfinite(strength):
            blocks = [slice(at, at + step) for at in range(0, labels.shape[1], step)]
            solved = [
                _solve(logits[:, at], labels[:, at], common[at], current[at], strength=strength, weights=own[:, None])
                for at in blocks
            ]
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
    weights: Float[np.ndarray, "examples _"] | float = 1.0,
) -> Float[np.ndarray, "labels coefficients"]:
    """Minimise the penalised log loss of every label by Newton's method; a weight that would be negative is 0.

    A label leaves the iteration when a step gains it nothing.
    """
    known = known_pairs(labels) * weights
    true = np.where(known > 0, labels, 0.0)
    final = start.copy()
    left = np.arange(len(final))
    design = np.concatenate([logits, np.ones((*labels.shape, 1))], axis=2).transpose(1, 2, 0).copy()
    known, true, current = known.T.copy(), true.T.copy(), start.copy()
    may_vanish = np.arange(design.shape[1]) < design.shape[1] - 1

    def objective(coefficients: np.ndarray) -> np.ndarray:
        margins = (coefficients[:, None] @ design)[:, 0]
        losses = np.maximum(margins, 0) + np.log1p(np.exp(-np.abs(margins))) - true * margins
        return np.asarray((known * losses).sum(axis=1) + strength / 2 * np.square(coefficients - prior).sum(axis=1))

    value = objective(current)
    for _ in range(NEWTON_STEPS):
        chance = expit((current[:, None] @ design)[:, 0])
        gradient = (design @ (known * (chance - true))[..., None])[..., 0] + strength * (current - prior)
        curvature = (design * (known * chance * (1 - chance))[:, None]) @ design.transpose(0, 2, 1)
        curvature += (strength + 1e-9) * np.eye(design.shape[1])
        held = may_vanish & (current <= 0) & (gradient > 0)
        step = _free_step(curvature, gradient, held)
        length, improved = np.ones(len(current)), np.zeros(len(current), dtype=bool)
        for _ in range(HALVINGS):
            tried = current - length[:, None] * step
            tried[:, :-1] = np.maximum(tried[:, :-1], 0.0)
            found = objective(tried)
            improved = found <= value * (1 + 1e-12)  # at the optimum, steps change the last digit alone
            if improved.all():
                break
            length = np.where(improved, length, length / 2)
        current = np.where(improved[:, None], tried, current)
        gain, value = value - np.where(improved, found, value), np.where(improved, found, value)
        final[left] = current
        moving = gain > 1e-8 * value
        if not moving.any():
            break
        if not moving.all():
            left, current, value, prior = left[moving], current[moving], value[moving], prior[moving]
            design, known, true = design[moving], known[moving], true[moving]
    return final


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
    losses = np.maximum(margins, 0) + np.log1p(np.exp(-np.abs(margins))) - np.where(labels == 1, margins, 0.0)
    return np.where(known_pairs(labels), losses, 0.0)
