"""The measures against their definitions, on drawn graphs and label sets."""

import numpy as np
import pytest
from graphs import Graph, distance, graphs, label_matrices, sets
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.metrics import f1_score

from labelcontrast.errors import LabelShapeError
from labelcontrast.evaluation.hierarchical.metrics import hierarchical_metrics, level_metrics, violations
from labelcontrast.evaluation.metrics.catalogue import HIERARCHICAL_METRICS

quick = settings(deadline=None, max_examples=30)


def cut(graph: Graph, true: set[int], predicted: set[int]) -> tuple[set[int], set[int]]:
    """The sets on the way from lowest labels to where each meets its nearest."""
    ends = [sorted(graph.lowest(labels)) for labels in (true, predicted)]
    if not all(ends):
        return graph.close(true), graph.close(predicted)
    meetings = {(t, min(ends[1], key=lambda p: distance(graph, t, p)[0])) for t in ends[0]}
    meetings |= {(min(ends[0], key=lambda t: distance(graph, t, p)[0]), p) for p in ends[1]}
    parts: tuple[set[int], set[int]] = (set(), set())
    for pair in meetings:
        top = distance(graph, *pair)[1]
        for part, end in zip(parts, pair, strict=True):
            part |= {a for a in graph.walk(end) if top == len(graph.above) or top in graph.walk(a)}
    return parts


@quick
@given(graphs(), st.data())
def test_every_measure_is_what_its_definition_says(graph: Graph, data: st.DataObject) -> None:
    labels, predictions = (data.draw(label_matrices(labels=len(graph.above))) for _ in range(2))
    found = hierarchical_metrics(labels, predictions, graph.parents)
    assert list(found) == list(HIERARCHICAL_METRICS)
    pairs = list(zip(sets(labels), sets(predictions), strict=True))
    closed = [(graph.close(true), graph.close(predicted)) for true, predicted in pairs]
    hits, present, claimed = (
        sum(map(len, found)) for found in ([t & p for t, p in closed], [t for t, _ in closed], [p for _, p in closed])
    )
    assert found["hierarchical_precision"] == (hits / claimed if claimed else 0)
    assert found["hierarchical_recall"] == (hits / present if present else 0)
    assert found["hierarchical_f1"] == pytest.approx(2 * hits / (present + claimed) if present + claimed else 0)
    parts = [part for part in (cut(graph, *pair) for pair in pairs) if any(part)]
    for name, rate in {
        "lca_precision": lambda t, p: len(t & p) / max(len(p), 1),
        "lca_recall": lambda t, p: len(t & p) / max(len(t), 1),
        "lca_f1": lambda t, p: 2 * len(t & p) / (len(t) + len(p)),
    }.items():
        assert found[name] == pytest.approx(np.mean([rate(*part) for part in parts]) if parts else 0)
    errors = [
        min(distance(graph, t, p)[0] for t in graph.lowest(true))
        for true, predicted in pairs
        for p in graph.lowest(predicted) - graph.close(true)
        if true
    ]
    assert found["tree_distance_of_errors"] == pytest.approx(np.mean(errors) if errors else np.nan, nan_ok=True)
    below = [(p, predicted) for _, predicted in pairs for p in predicted if graph.above[p]]
    lacking = [p for p, predicted in below if graph.above[p] - predicted]
    assert found["violations"] == (len(lacking) / len(below) if below else 0)
    assert violations(predictions, graph.parents).sum() == len(lacking)


@quick
@given(graphs(), st.data())
def test_a_perfect_prediction_is_perfect(graph: Graph, data: st.DataObject) -> None:
    labels = data.draw(label_matrices(labels=len(graph.above)))
    labels[:, 0] = 1
    closed = (labels @ graph.ancestors.toarray() > 0).astype(np.uint8)
    found = hierarchical_metrics(labels, closed, graph.parents)
    assert [found[name] for name in ("hierarchical_f1", "lca_f1", "violations")] == [1, 1, 0]
    assert np.isnan(found["tree_distance_of_errors"])


@settings(deadline=None, max_examples=15)
@given(graphs(), st.data())
def test_levels_against_scikit_learn(graph: Graph, data: st.DataObject) -> None:
    labels, predictions = (data.draw(label_matrices(labels=len(graph.above), examples=4)) for _ in range(2))
    found = level_metrics(labels, predictions, graph.depths)
    assert len(found) == graph.depths.max() + 1
    for depth, measured in enumerate(found):
        true, claimed = (matrix[:, graph.depths == depth] for matrix in (labels, predictions))
        micro = f1_score(true.ravel(), claimed.ravel(), zero_division=0)
        macro = np.mean([f1_score(t, p, zero_division=0) for t, p in zip(true.T, claimed.T, strict=True)])
        exact = [(t == p).all() for t, p in zip(true, claimed, strict=True) if t.any()]
        assert measured["micro_f1"] == pytest.approx(micro)
        assert measured["macro_f1"] == pytest.approx(macro)
        assert measured["accuracy"] == pytest.approx(np.mean(exact) if exact else np.nan, nan_ok=True)


def test_a_near_miss_costs_less_than_a_far_one() -> None:
    """Two animals and a stone: cat for dog is nearer than cat for stone."""
    parents = csr_array(np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]))
    cat = np.array([[0, 1, 0, 0]])
    near = hierarchical_metrics(cat, np.array([[0, 0, 1, 0]]), parents)
    far = hierarchical_metrics(cat, np.array([[0, 0, 0, 1]]), parents)
    assert (near["hierarchical_f1"], far["hierarchical_f1"]) == (0.5, 0)
    assert (near["tree_distance_of_errors"], far["tree_distance_of_errors"]) == (2, 3)


def test_refusals() -> None:
    with pytest.raises(LabelShapeError) as caught:
        hierarchical_metrics(np.zeros((2, 2)), np.zeros((2, 2)), csr_array((3, 3)))
    assert str(caught.value) == (
        "labels and predictions must be matrices [examples, 3] with at least one example. Got (2, 2) and (2, 2)."
    )
