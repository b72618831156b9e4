"""Projections against a general solver, isotonic regression, the method link by link, and the sum of a large family."""

import numpy as np
import pytest
from graphs import Graph, graphs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.sparse import csr_array
from sklearn.isotonic import isotonic_regression

from labelcontrast.evaluation.hierarchical.projection import project


@settings(deadline=None, max_examples=30)
@given(graphs(), st.integers(0, 99), st.sampled_from([1, 2, 16]))
def test_the_projection_is_the_nearest(graph: Graph, seed: int, digits: int) -> None:
    """With few digits many scores are equal to begin with."""
    scores = np.random.default_rng(seed).random(len(graph.above)).round(digits)
    limits = [
        {"type": "ineq", "fun": lambda t, child=child, parent=parent: t[parent] - t[child]}
        for child, above in enumerate(graph.above)
        for parent in above
    ]
    nearest = minimize(lambda t: ((t - scores) ** 2).sum(), scores, constraints=limits, method="SLSQP", tol=1e-12)
    np.testing.assert_allclose(project(scores[:, None], graph.parents)[:, 0], nearest.x, atol=1e-5)


def test_on_a_chain_it_is_isotonic_regression() -> None:
    scores = np.random.default_rng(0).random((16, 5))
    expected = np.stack([isotonic_regression(column, increasing=False) for column in scores.T], 1)
    np.testing.assert_allclose(project(scores, csr_array(np.eye(16, k=-1))), expected, rtol=1e-12)


def link_by_link(scores: np.ndarray, links: list[tuple[int, int]]) -> np.ndarray:
    """Dykstra's method on one pair of child and parent after the other, a thousand times."""
    found, taken = scores.copy(), dict.fromkeys(links, 0.0)
    for _ in range(1000):
        for child, parent in links:
            step = np.maximum((found[child] - found[parent]) / 2 + taken[child, parent], 0)
            found[child] -= step - taken[child, parent]
            found[parent] += step - taken[child, parent]
            taken[child, parent] = step
    return found


@pytest.mark.parametrize("most_parents", [1, 3])
def test_a_hierarchy_of_fifty_is_what_it_is_link_by_link(most_parents: int) -> None:
    random = np.random.default_rng(most_parents)
    links = sorted({(node, int(random.integers(node))) for node in range(1, 50) for _ in range(most_parents)})
    parents = csr_array((np.ones(len(links)), tuple(zip(*links, strict=True))), shape=(50, 50))
    scores = random.random((50, 8))
    np.testing.assert_allclose(project(scores, parents), link_by_link(scores, links), atol=1e-5)


def test_a_family_of_ten_thousand() -> None:
    """The parent rises to the best mean of its own and the highest children's scores, and they fall to it."""
    scores = np.random.default_rng(0).random((10_001, 3))
    children = np.arange(1, 10_001)
    parents = csr_array((np.ones(10_000), (children, np.zeros(10_000, int))), shape=(10_001, 10_001))
    found = project(scores, parents)
    for own, expected in zip(scores.T, found.T, strict=True):
        highest = sorted(own[1:], reverse=True)
        best = max(np.mean([own[0], *highest[:count]]) for count in range(300))
        np.testing.assert_allclose(expected, [best, *np.minimum(own[1:], best)], rtol=1e-12)
