"""The solver against scikit-learn's, one label at a time, and against the condition of its optimum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from labelcontrast.probes.logistic import solve_logistic


def with_ones(features: np.ndarray) -> np.ndarray:
    return np.hstack([features, np.ones((len(features), 1))])


@pytest.mark.parametrize("strength", [1.0, 0.01, 1e-4])
def test_equal_to_scikit_learn_label_by_label(problem, strength: float) -> None:
    features, labels = problem[0].astype(np.float64), problem[1]
    standard = (features - features.mean(0)) / features.std(0)
    found = solve_logistic(
        with_ones(standard), labels.astype(float), np.zeros((13, 6)), strength=strength, tolerance=1e-9
    )
    for label in range(6):
        model = LogisticRegression(C=1 / (len(features) * strength), solver="newton-cholesky", tol=1e-9)
        model.fit(standard, labels[:, label])
        np.testing.assert_allclose(found[:-1, label], model.coef_[0], rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(found[-1, label], model.intercept_[0], rtol=1e-5, atol=1e-7)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(3, 30), st.integers(1, 40), st.sampled_from([1e-4, 1e-2, 1.0]))
def test_the_gradient_vanishes_at_the_solution_also_where_labels_are_separable(
    seed: int, examples: int, dim: int, strength: float
) -> None:
    generator = np.random.default_rng(seed)
    design = with_ones(generator.normal(size=(examples, dim)))
    labels = (generator.random((examples, 4)) < 0.3).astype(float)
    labels[0], labels[1] = 0, 1
    start = generator.normal(size=(dim + 1, 4))
    solution = solve_logistic(design, labels, start, strength=strength, tolerance=1e-6)
    penalty = strength * np.vstack([solution[:-1], np.zeros(4)])
    gradient = design.T @ (1 / (1 + np.exp(-design @ solution)) - labels) / examples + penalty
    scale = np.linalg.norm(design.T @ (labels.mean(0) - labels) / examples, axis=0)
    assert (np.linalg.norm(gradient, axis=0) <= 1e-6 * scale + 1e-12).all()


def test_labels_share_nothing(problem) -> None:
    features, labels = problem
    design, true = with_ones(features / features.std(0)), labels.astype(float)
    together = solve_logistic(design, true, np.zeros((13, 6)), strength=0.01, tolerance=1e-8)
    alone = [
        solve_logistic(design, true[:, [label]], np.zeros((13, 1)), strength=0.01, tolerance=1e-8) for label in range(6)
    ]
    np.testing.assert_allclose(together, np.hstack(alone), rtol=1e-6, atol=1e-8)


def test_unknown_labels_are_left_out_for_each_label(problem) -> None:
    features, labels = problem
    design, generator = with_ones(features / features.std(0)), np.random.default_rng(0)
    holed = np.where(generator.random(labels.shape) < [0.0, 0.1, 0.3, 0.5, 0.7, 0.2], np.nan, labels)
    together = solve_logistic(design, holed, np.zeros((13, 6)), strength=0.01, tolerance=1e-8)
    for label, here in enumerate(~np.isnan(holed).T):
        alone = solve_logistic(design[here], holed[here][:, [label]], np.zeros((13, 1)), strength=0.01, tolerance=1e-8)
        np.testing.assert_allclose(together[:, [label]], alone, rtol=1e-6, atol=1e-6)
