"""Never a child without its parent: decoding against walks and against trying all thresholds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from graphs import Graph, graphs, label_matrices, sets
from labelcontrast.errors import LabelShapeError
from labelcontrast.labels.consistency import consistent
from labelcontrast.probes.decoding import all_paths, best_path, level_thresholds
from labelcontrast.probes.thresholds import Thresholds, fixed_threshold

quick = settings(deadline=None, max_examples=40)


@quick
@given(graphs(), st.integers(0, 99))
def test_all_paths_that_pass(graph: Graph, seed: int) -> None:
    generator = np.random.default_rng(seed)
    scores, limits = generator.random((4, len(graph.above))), generator.random(len(graph.above)) * 0.7
    found = all_paths(scores, graph.ancestors, Thresholds(limits, "given"))
    for row, labels in zip(scores, sets(found), strict=True):
        passed = {node for node in range(len(row)) if all(row[above] > limits[above] for above in graph.walk(node))}
        assert labels == passed == graph.close(labels)


@quick
@given(graphs(most_parents=1), st.integers(0, 99))
def test_the_best_path_is_the_most_probable(graph: Graph, seed: int) -> None:
    scores = np.random.default_rng(seed).random((4, len(graph.above)))
    found = best_path(consistent(scores, graph.parents, "product"), graph.ancestors)
    leaves = [node for node in range(len(graph.above)) if not any(node in above for above in graph.above)]
    for row, labels in zip(scores, sets(found), strict=True):
        probable = max(leaves, key=lambda leaf: np.prod([row[above] for above in graph.walk(leaf)]))
        assert labels == set(graph.walk(probable))


@settings(deadline=None, max_examples=12)
@given(graphs(), st.data())
def test_level_thresholds_are_the_best_of_their_level(graph: Graph, data: st.DataObject) -> None:
    labels = data.draw(label_matrices(labels=len(graph.above), examples=4))
    scores = np.random.default_rng(0).random(labels.shape)
    found = level_thresholds(labels, scores, graph.depths)
    for depth in range(int(graph.depths.max()) + 1):
        here = graph.depths == depth
        assert len(np.unique(found.values[here])) == 1
        true, tried = labels[:, here].ravel(), [0.0, *scores[:, here].ravel()]
        best = max(f1_score(true, scores[:, here].ravel() > t, zero_division=0) for t in tried)
        assert f1_score(true, scores[:, here].ravel() > found.values[here][0], zero_division=0) == best


def test_refusals() -> None:
    for decode in (lambda s, a: all_paths(s, a, fixed_threshold(s.shape[1])), best_path):
        with pytest.raises(LabelShapeError) as caught:
            decode(np.zeros((1, 2)), Graph([set()]).ancestors)
        assert str(caught.value) == "scores must have a column for each of 1 labels. Got 2."


def test_thresholds_by_level_take_lists_and_need_a_level_for_each_label() -> None:
    labels, scores = [[1, 1], [1, 0]], [[0.9, 0.3], [0.8, 0.1]]
    assert level_thresholds(labels, scores, np.array([0, 1])).values.round(6).tolist() == [0.5, 0.2]
    with pytest.raises(LabelShapeError, match=r"^scores must have a column for each of 3 labels\. Got 2\.$"):
        level_thresholds(labels, scores, np.array([0, 1, 1]))
