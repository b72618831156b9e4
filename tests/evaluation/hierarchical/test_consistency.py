"""Consistent scores against walks."""

import numpy as np
import pytest
from graphs import Graph, graphs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from labelcontrast.errors import ConfigError, LabelShapeError
from labelcontrast.evaluation.hierarchical.consistency import consistent

quick = settings(deadline=None, max_examples=40)


def drawn(graph: Graph, seed: int, examples: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).random((examples, len(graph.above)))


@quick
@given(graphs(), st.integers(0, 99))
def test_max_and_product_are_what_walking_finds(graph: Graph, seed: int) -> None:
    scores, nodes = drawn(graph, seed), range(len(graph.above))
    best = [[max(row[below] for below in nodes if node in graph.walk(below)) for node in nodes] for row in scores]
    np.testing.assert_array_equal(consistent(scores, graph.parents, "max"), best)
    product = [[np.prod([row[above] for above in graph.walk(node)]) for node in nodes] for row in scores]
    np.testing.assert_allclose(consistent(scores, graph.parents, "product"), product, rtol=1e-12)


@quick
@given(graphs(), st.integers(0, 99), st.sampled_from(["max", "product", "projection"]))
def test_no_label_is_above_its_parents_and_consistent_scores_stay(graph: Graph, seed: int, how: str) -> None:
    scores = drawn(graph, seed)
    found = consistent(scores, graph.parents, how)
    for child, above in enumerate(graph.above):
        assert all((found[:, child] <= found[:, parent]).all() for parent in above)
    assert ((found >= 0) & (found <= 1)).all()
    assert consistent(scores.astype(np.float32), graph.parents, how).dtype == np.float32
    if how != "product":
        np.testing.assert_allclose(consistent(found, graph.parents, how), found, atol=1e-6)


def test_refusals() -> None:
    with pytest.raises(ConfigError) as caught:
        consistent(np.zeros((1, 1)), csr_array((1, 1)), "mean")
    assert str(caught.value) == "how must be one of max, product, projection. Got 'mean'."
    with pytest.raises(LabelShapeError) as shape:
        consistent(np.zeros((1, 2)), csr_array((1, 1)), "max")
    assert str(shape.value) == "scores must have a column for each of 1 labels. Got 2."


@pytest.mark.parametrize("how", ["max", "product", "projection"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_is_given_stays_as_it_was(how: str, order: str) -> None:
    for rows in (1, 3):
        scores = np.array([[0.4, 0.8, 0.9]] * rows, order=order)
        consistent(scores, csr_array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]), how)
        assert scores.tolist() == [[0.4, 0.8, 0.9]] * rows
