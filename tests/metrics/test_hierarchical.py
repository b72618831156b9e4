"""Distances and metrics over a hierarchy against their definitions on drawn graphs; levels against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.metrics import f1_score

from graphs import Graph, distance, graphs, label_matrices, sets
from labelcontrast.dag import steps_up
from labelcontrast.errors import LabelShapeError
from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.metrics.hierarchical import (
    HierarchicalMetrics,
    LevelMetrics,
    hierarchical_metrics,
    links_up,
    nearest,
    violations,
)
from labelcontrast.metrics.registry import HIERARCHICAL_METRICS

quick = settings(deadline=None, max_examples=40)


@quick
@given(graphs(), st.data())
def test_the_nearest_of_all_pairs(graph: Graph, data: st.DataObject) -> None:
    first, second = (data.draw(label_matrices(labels=len(graph.above))) for _ in range(2))
    found = nearest(csr_array(first), csr_array(second), steps_up(graph.parents))
    expected = []
    for example, (own, others) in enumerate(zip(sets(first), sets(second), strict=True)):
        for label in sorted(own) if others else ():
            steps, other, over = min(
                (steps, other, over) for other in others for steps, over in [distance(graph, label, other)]
            )
            expected.append((example, label, other, steps, over))
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected


@quick
@given(graphs(), st.data())
def test_the_links_of_every_label(graph: Graph, data: st.DataObject) -> None:
    labels = data.draw(label_matrices(labels=len(graph.above)))
    example, label, parent, _ = links_up(csr_array(labels), graph.parents)
    expected = {(row, one, above) for row, own in enumerate(sets(labels)) for one in own for above in graph.above[one]}
    assert {*zip(example.tolist(), label.tolist(), parent.tolist(), strict=True)} == expected


@pytest.mark.parametrize("share", [0, 1], ids=["all known", "some unknown"])
@settings(deadline=None, max_examples=15)
@given(graphs(), st.data())
def test_levels_against_scikit_learn(share: int, graph: Graph, data: st.DataObject) -> None:
    drawn = [data.draw(label_matrices(labels=len(graph.above), examples=4)) for _ in range(3)]
    labels, predictions, hidden = drawn
    labels = np.where(hidden * share == 1, np.nan, labels)
    known = ~np.isnan(labels)
    counted = LevelMetrics(graph.depths)
    for rows in (slice(0, 3), slice(3, 4)):
        counted.update(labels[rows], predictions[rows])
    found = counted.measures()
    assert len(found) == graph.depths.max() + 1
    f1 = [
        f1_score(labels[seen, column], predictions[seen, column], zero_division=0) if seen.any() else np.nan
        for column, seen in enumerate(known.T)
    ]
    assert counted.f1.tolist() == pytest.approx(f1, nan_ok=True)
    for depth, measured in enumerate(found):
        here = graph.depths == depth
        true, claimed, seen = (matrix[:, here] for matrix in (labels, predictions, known))
        micro = f1_score(true[seen], claimed[seen], zero_division=0) if seen.any() else np.nan
        of_known = [one for one, is_here in zip(f1, here, strict=True) if is_here and not np.isnan(one)]
        exact = [(t[s] == p[s]).all() for t, p, s in zip(true, claimed, seen, strict=True) if (t == 1).any()]
        assert measured["micro_f1"] == pytest.approx(micro, nan_ok=True)
        assert measured["macro_f1"] == pytest.approx(np.mean(of_known) if of_known else np.nan, nan_ok=True)
        assert measured["accuracy"] == pytest.approx(np.mean(exact) if exact else np.nan, nan_ok=True)


def cut(graph: Graph, true: set[int], predicted: set[int]) -> tuple[set[int], set[int]]:
    """The sets on the way from lowest labels to where each meets its nearest."""
    ends = [sorted(lowest_of(graph, labels)) for labels in (true, predicted)]
    if not all(ends):
        return true, predicted
    meetings = {(t, min(ends[1], key=lambda p: distance(graph, t, p)[0])) for t in ends[0]}
    meetings |= {(min(ends[0], key=lambda t: distance(graph, t, p)[0]), p) for p in ends[1]}
    parts: tuple[set[int], set[int]] = (set(), set())
    for pair in meetings:
        top = distance(graph, *pair)[1]
        for part, end in zip(parts, pair, strict=True):
            part |= {a for a in graph.walk(end) if top == len(graph.above) or top in graph.walk(a)}
    return parts


def lowest_of(graph: Graph, labels: set[int]) -> set[int]:
    """The labels with no other of these below them."""
    return {label for label in labels if not any(label in graph.walk(other) for other in labels - {label})}


def known_of(graph: Graph, row: np.ndarray, predicted: set[int]) -> tuple[set[int], set[int], set[int]]:
    """Return the closures of the true labels, of the predicted ones without unknown labels, and of the unknown ones."""
    true = graph.close(set(np.flatnonzero(row == 1).tolist()))
    unknown = graph.close(set(np.flatnonzero(np.isnan(row)).tolist())) - true
    return true, graph.close(predicted) - unknown, unknown


@pytest.mark.parametrize("share", [0.0, 0.3], ids=["all known", "some unknown"])
@quick
@given(graphs(), st.data())
def test_every_metric_equals_its_definition(share: float, graph: Graph, data: st.DataObject) -> None:
    labels, predictions, hidden = (data.draw(label_matrices(labels=len(graph.above))) for _ in range(3))
    labels = np.where((hidden == 1) & (share > 0), np.nan, labels)
    found = hierarchical_metrics(labels, predictions, graph.parents)
    assert list(found) == list(HIERARCHICAL_METRICS)
    known = [known_of(graph, row, one) for row, one in zip(labels, sets(predictions), strict=True)]
    closed = [(true, predicted) for true, predicted, _ in known]
    hits, present, claimed = (
        sum(map(len, found)) for found in ([t & p for t, p in closed], [t for t, _ in closed], [p for _, p in closed])
    )
    assert found["hierarchical_precision"] == (hits / claimed if claimed else 0)
    assert found["hierarchical_recall"] == (hits / present if present else 0)
    assert found["hierarchical_f1"] == pytest.approx(2 * hits / (present + claimed) if present + claimed else 0)
    ways = [[way - unknown for way in cut(graph, true, predicted)] for true, predicted, unknown in known]
    parts = [part for part in ways if any(part)]
    for name, rate in {
        "lca_precision": lambda t, p: len(t & p) / max(len(p), 1),
        "lca_recall": lambda t, p: len(t & p) / max(len(t), 1),
        "lca_f1": lambda t, p: 2 * len(t & p) / (len(t) + len(p)),
    }.items():
        assert found[name] == pytest.approx(np.mean([rate(*part) for part in parts]) if parts else 0)
    errors = [
        min(distance(graph, t, p)[0] for t in lowest_of(graph, true))
        for true, predicted in closed
        for p in lowest_of(graph, predicted) - true
        if true
    ]
    assert found["tree_distance_of_errors"] == pytest.approx(np.mean(errors) if errors else np.nan, nan_ok=True)
    below = [(p, predicted) for predicted in sets(predictions) for p in predicted if graph.above[p]]
    lacking = [p for p, predicted in below if graph.above[p] - predicted]
    assert found["violations"] == (len(lacking) / len(below) if below else 0)
    assert violations(predictions, graph.parents).sum() == len(lacking)


@quick
@given(graphs(), st.data())
def test_batches_equal_all_at_once(graph: Graph, data: st.DataObject) -> None:
    labels, predictions, hidden = (data.draw(label_matrices(labels=len(graph.above), examples=5)) for _ in range(3))
    labels = np.where(hidden == 1, np.nan, labels)
    counted = HierarchicalMetrics(graph.parents)
    for rows in (slice(0, 1), slice(1, 4), slice(4, 5)):
        counted.update(labels[rows], predictions[rows])
    whole = hierarchical_metrics(labels, predictions, graph.parents)
    assert counted.measures() == pytest.approx(whole, nan_ok=True, abs=1e-12)


@quick
@given(graphs(), st.data(), st.integers(0, 99))
def test_weights_are_repetitions(graph: Graph, data: st.DataObject, seed: int) -> None:
    labels, predictions, hidden = (data.draw(label_matrices(labels=len(graph.above), examples=4)) for _ in range(3))
    labels = np.where(hidden == 1, np.nan, labels)
    weights = np.random.default_rng(seed).integers(0, 3, (2, 4))
    weights[:, 0] += 1
    whole, levels = HierarchicalMetrics(graph.parents, resamples=2), LevelMetrics(graph.depths, resamples=2)
    for counted in (whole, levels):
        counted.update(labels, predictions, weights)
    for place, counts in enumerate(weights):
        rows = np.repeat(np.arange(4), counts)
        expected = hierarchical_metrics(labels[rows], predictions[rows], graph.parents)
        found = {name: values[place] for name, values in whole.resampled().items()}
        assert found == pytest.approx(expected, nan_ok=True, abs=1e-12)
        repeated = LevelMetrics(graph.depths)
        repeated.update(labels[rows], predictions[rows])
        for level, values in zip(repeated.measures(), levels.resampled(), strict=True):
            assert {name: one[place] for name, one in values.items()} == pytest.approx(level, nan_ok=True)


@quick
@given(graphs(), st.data())
def test_a_perfect_prediction_is_perfect(graph: Graph, data: st.DataObject) -> None:
    labels = data.draw(label_matrices(labels=len(graph.above)))
    labels[:, 0] = 1
    closed = (labels @ graph.ancestors.toarray() > 0).astype(np.uint8)
    found = hierarchical_metrics(labels, closed, graph.parents)
    assert [found[name] for name in ("hierarchical_f1", "lca_f1", "violations")] == [1, 1, 0]
    assert np.isnan(found["tree_distance_of_errors"])


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


@pytest.mark.usefixtures("unchecked")
def test_hierarchical_metrics_take_lists_and_name_the_matrix_that_they_need() -> None:
    labels, predicted, parents = np.array([[1, 1, 0]]), np.array([[0, 0, 1]]), [[0, 0, 0], [1, 0, 0], [1, 0, 0]]
    expected = hierarchical_metrics(labels, predicted, csr_array(parents))
    assert hierarchical_metrics(labels.tolist(), predicted.tolist(), parents) == expected
    hierarchy = Hierarchy.from_parents({"a": None, "b": "a", "c": "a"})
    with pytest.raises(LabelShapeError, match=r"^parents must be .*: the parents of the Hierarchy, not itself\.$"):
        hierarchical_metrics(labels, predicted, hierarchy)
