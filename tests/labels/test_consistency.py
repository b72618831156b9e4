"""Consistent scores against walks over the graph, a general solver, isotonic regression and Dykstra's method."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.sparse import csr_array
from sklearn.isotonic import isotonic_regression

from graphs import Graph, graphs
from labelcontrast.errors import ConfigError, LabelShapeError
from labelcontrast.labels.consistency import consistent, nearest_consistent, split_off_forest

quick = settings(deadline=None, max_examples=40)


@quick
@given(graphs(most_parents=3))
def test_edges_are_split_into_a_forest_and_others_with_contiguous_subtrees(graph: Graph) -> None:
    forest, children, others = split_off_forest(graph.parents)
    subtrees = {
        int(label): {int(below) for below in forest.order[place : place + size]}
        for place, (label, size) in enumerate(zip(forest.order, forest.sizes, strict=True))
    }
    assert set(subtrees) == set(range(len(graph.above)))
    over = {node: [top for top, below in subtrees.items() if node in below - {top}] for node in subtrees}
    parents = {node: min(above, key=lambda top: len(subtrees[top])) for node, above in over.items() if above}
    for node, parent in parents.items():
        assert set(over[node]) == {parent, *over[parent]}
    assert forest.above.tolist() == [parents.get(node, -1) for node in range(len(graph.above))]
    links = [*parents.items(), *zip(children.tolist(), others.tolist(), strict=True)]
    assert sorted(links) == sorted((node, parent) for node, above in enumerate(graph.above) for parent in above)


@settings(deadline=None, max_examples=30)
@given(graphs(), st.integers(0, 99), st.sampled_from([1, 2, 16]))
def test_the_projection_equals_a_general_solver(graph: Graph, seed: int, digits: int) -> None:
    """Rounding to few digits makes ties."""
    scores = np.random.default_rng(seed).random(len(graph.above)).round(digits)
    limits = [
        {"type": "ineq", "fun": lambda t, child=child, parent=parent: t[parent] - t[child]}
        for child, above in enumerate(graph.above)
        for parent in above
    ]
    nearest = minimize(lambda t: ((t - scores) ** 2).sum(), scores, constraints=limits, method="SLSQP", tol=1e-12)
    np.testing.assert_allclose(nearest_consistent(scores[:, None], graph.parents)[:, 0], nearest.x, atol=1e-5)


def test_the_projection_on_a_chain_is_isotonic_regression() -> None:
    scores = np.random.default_rng(0).random((16, 5))
    expected = np.stack([isotonic_regression(column, increasing=False) for column in scores.T], 1)
    np.testing.assert_allclose(nearest_consistent(scores, csr_array(np.eye(16, k=-1))), expected, rtol=1e-12)


def link_by_link(scores: np.ndarray, links: list[tuple[int, int]]) -> np.ndarray:
    """Project with Dykstra's method, a thousand cycles over the pairs of child and parent."""
    found, taken = scores.copy(), dict.fromkeys(links, 0.0)
    for _ in range(1000):
        for child, parent in links:
            step = np.maximum((found[child] - found[parent]) / 2 + taken[child, parent], 0)
            found[child] -= step - taken[child, parent]
            found[parent] += step - taken[child, parent]
            taken[child, parent] = step
    return found


@pytest.mark.parametrize("most_parents", [1, 3])
def test_the_projection_equals_dykstras_method_on_fifty_nodes(most_parents: int) -> None:
    random = np.random.default_rng(most_parents)
    links = sorted({(node, int(random.integers(node))) for node in range(1, 50) for _ in range(most_parents)})
    parents = csr_array((np.ones(len(links)), tuple(zip(*links, strict=True))), shape=(50, 50))
    scores = random.random((50, 8))
    np.testing.assert_allclose(nearest_consistent(scores, parents), link_by_link(scores, links), atol=1e-5)


def test_the_projection_on_a_star_of_ten_thousand_nodes() -> None:
    """The parent and its highest children get the largest mean of the parent's score and the k highest."""
    scores = np.random.default_rng(0).random((10_001, 3))
    children = np.arange(1, 10_001)
    parents = csr_array((np.ones(10_000), (children, np.zeros(10_000, int))), shape=(10_001, 10_001))
    found = nearest_consistent(scores, parents)
    for own, expected in zip(scores.T, found.T, strict=True):
        highest = sorted(own[1:], reverse=True)
        best = max(np.mean([own[0], *highest[:count]]) for count in range(300))
        np.testing.assert_allclose(expected, [best, *np.minimum(own[1:], best)], rtol=1e-12)


quick_of_consistency = settings(deadline=None, max_examples=40)


def drawn(graph: Graph, seed: int, examples: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).random((examples, len(graph.above)))


@quick_of_consistency
@given(graphs(), st.integers(0, 99))
def test_max_and_product_equal_walks_over_the_graph(graph: Graph, seed: int) -> None:
    scores, nodes = drawn(graph, seed), range(len(graph.above))
    best = [[max(row[below] for below in nodes if node in graph.walk(below)) for node in nodes] for row in scores]
    np.testing.assert_array_equal(consistent(scores, graph.parents, "max"), best)
    product = [[np.prod([row[above] for above in graph.walk(node)]) for node in nodes] for row in scores]
    np.testing.assert_allclose(consistent(scores, graph.parents, "product"), product, rtol=1e-12)


@quick_of_consistency
@given(graphs(), st.integers(0, 99), st.sampled_from(["max", "product", "projection"]))
def test_results_are_consistent_and_consistent_scores_do_not_change(graph: Graph, seed: int, how: str) -> None:
    scores = drawn(graph, seed)
    found = consistent(scores, graph.parents, how)
    for child, above in enumerate(graph.above):
        assert all((found[:, child] <= found[:, parent]).all() for parent in above)
    assert ((found >= 0) & (found <= 1)).all()
    assert consistent(scores.astype(np.float32), graph.parents, how).dtype == np.float32
    if how != "product":
        np.testing.assert_allclose(consistent(found, graph.parents, how), found, atol=1e-6)


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        consistent(np.zeros((1, 1)), csr_array((1, 1)), "mean")
    assert str(caught.value) == "how must be one of max, product, projection. Got 'mean'."
    with pytest.raises(LabelShapeError) as shape:
        consistent(np.zeros((1, 2)), csr_array((1, 1)), "max")
    assert str(shape.value) == "scores must have a column for each of 1 labels. Got 2."


@pytest.mark.parametrize("how", ["max", "product", "projection"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_input_is_not_changed(how: str, order: str) -> None:
    for rows in (1, 3):
        scores = np.array([[0.4, 0.8, 0.9]] * rows, order=order)
        consistent(scores, csr_array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]), how)
        assert scores.tolist() == [[0.4, 0.8, 0.9]] * rows
