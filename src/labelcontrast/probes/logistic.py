"""Logistic regression of all labels at once, by Newton's method with conjugate gradients.

It equals, for each label by itself,

    minimise  mean_i [softplus(m_i) - y_i m_i] + strength / 2 * |w|^2,   m = design @ [w, bias]

over the examples whose label is known, where the last column of the design is all ones and the bias is not penalised.
The labels share only the two matrix products of a step. With uncorrelated columns of the design the Hessian is nearly
diagonal, so a diagonal preconditioner needs few steps.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit

Matrix = Float[np.ndarray, "..."]

_NEWTON_STEPS = 50
_CONJUGATE_STEPS = 50
_HALVINGS = 30


def solve_logistic(
    design: Float[np.ndarray, "examples coefficients"],
    labels: Float[np.ndarray, "examples labels"],
    start: Float[np.ndarray, "coefficients labels"],
    *,
    strength: float,
    weights: Float[np.ndarray, " examples"] | None = None,
    tolerance: float = 1e-4,
) -> Float[np.ndarray, "coefficients labels"]:
    """Return the coefficients that minimise the regularised logistic loss of each label.

    Args:
        design: The features and, last, a column of ones, shape [examples, coefficients].
        labels: 0 or 1, shape [examples, labels]; NaN where it is not known, and such a pair is left out. A
            constant label has no optimum.
        start: Initial coefficients; the solution for a neighbouring strength saves most of the steps.
        strength: Weight of the penalty; scikit-learn's C is 1 / (examples * strength).
        weights: Of the examples in the mean; by default 1.
        tolerance: The gradient of a label must fall to this share of its norm when only the bias is fitted.

    Example:
        >>> design = np.array([[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
        >>> labels = np.array([[0.0], [1.0], [0.0], [1.0]])
        >>> solve_logistic(design, labels, np.zeros((2, 1)), strength=0.1).round(3)
        array([[ 0.637],
               [-0.318]])
    """
    penalty = strength * (np.arange(design.shape[1]) < design.shape[1] - 1)[:, None]
    every = _Labels.of(labels, weights)
    mean = (every.known * every.true).sum(axis=0) / every.count
    bias_only = design.T @ (every.known * (mean - every.true)) / every.count
    goal = tolerance * np.linalg.norm(bias_only, axis=0)
    solution = start.copy()
    active = np.arange(labels.shape[1])
    for _ in range(_NEWTON_STEPS):
        here, coefficients = every.select(active), solution[:, active]
        margins = design @ coefficients
        chance = expit(margins)
        gradient = design.T @ (here.known * (chance - here.true)) / here.count + penalty * coefficients
        unsolved = np.linalg.norm(gradient, axis=0) > goal[active]
        if not unsolved.any():
            break
        active, here = active[unsolved], here.select(unsolved)
        coefficients, margins = coefficients[:, unsolved], margins[:, unsolved]
        chance, gradient = chance[:, unsolved], gradient[:, unsolved]
        # Without a floor, where all examples are saturated, the unpenalised bias would step to infinity.
        curvature = here.known * np.maximum(chance * (1 - chance), 1e-6)
        step = _newton_step(design, curvature, gradient, penalty, count=here.count)
        slope = (gradient * step).sum(axis=0)
        length = _step_length(here, margins, coefficients, design @ step, step=step, slope=slope, penalty=penalty)
        solution[:, active] = coefficients + length * step
    return solution


@dataclass(frozen=True)
class _Labels:
    """True labels, 0 where unknown; the weight of each pair, 0 where unknown; and its sum for each label."""

    true: Matrix
    known: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, labels: Matrix, weights: Matrix | None = None) -> "_Labels":
        known = ~np.isnan(labels) if weights is None else ~np.isnan(labels) * weights[:, None]
        return cls(np.nan_to_num(labels), known, known.sum(axis=0))

    def select(self, columns: np.ndarray) -> "_Labels":
        return _Labels(self.true[:, columns], self.known[:, columns], self.count[columns])


def _newton_step(design: Matrix, curvature: Matrix, gradient: Matrix, penalty: Matrix, *, count: np.ndarray) -> Matrix:
    """Solve ``hessian @ step = -gradient`` for each label, to a tenth of its gradient."""
    scale = np.square(design).mean(axis=0)[:, None] * curvature.sum(axis=0) / count + penalty
    step, residual = np.zeros_like(gradient), -gradient
    preconditioned = residual / scale
    direction, energy = preconditioned, (residual * preconditioned).sum(axis=0)
    goal = 0.01 * energy
    for _ in range(_CONJUGATE_STEPS):
        product = design.T @ (curvature * (design @ direction)) / count + penalty * direction
        # A solved label stays as it is: its steps would divide 0 by 0.
        going = energy > goal
        along = np.where(going, energy / np.where(going, (direction * product).sum(axis=0), 1.0), 0.0)
        step = step + along * direction
        residual = residual - along * product
        preconditioned = residual / scale
        previous, energy = energy, np.where(going, (residual * preconditioned).sum(axis=0), energy)
        if not (energy > goal).any():
            break
        direction = np.where(going, preconditioned + energy / previous * direction, direction)
    return step


def _step_length(
    labels: _Labels,
    margins: Matrix,
    coefficients: Matrix,
    change: Matrix,
    *,
    step: Matrix,
    slope: Matrix,
    penalty: Matrix,
) -> Matrix:
    """Halve each label's step until its loss falls enough (Armijo's rule); the full step nearly always does."""

    def loss(length: Matrix) -> Matrix:
        moved = margins + length * change
        softplus = np.maximum(moved, 0) + np.log1p(np.exp(-np.abs(moved)))
        shrunk = penalty / 2 * (coefficients + length * step) ** 2
        losses = labels.known * (softplus - labels.true * moved)
        return np.asarray(losses.sum(axis=0) / labels.count + shrunk.sum(axis=0))

    length = np.ones(margins.shape[1])
    before = loss(np.zeros_like(length))
    for _ in range(_HALVINGS):
        # Close to the optimum the gain is below the rounding of the loss.
        too_far = loss(length) > before + 1e-4 * length * slope + 1e-14
        if not too_far.any():
            break
        length = np.where(too_far, length / 2, length)
    return length
