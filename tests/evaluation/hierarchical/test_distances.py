"""Distances against walks, for all pairs of drawn graphs."""

import numpy as np
from graphs import Graph, graphs, label_matrices, sets
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from labelcontrast.evaluation.hierarchical.distances import Distances, lowest

quick = settings(deadline=None, max_examples=60)


@quick
@given(graphs())
def test_steps_between_all_pairs(graph: Graph) -> None:
    first, second = (index.ravel() for index in np.indices((len(graph.above),) * 2))
    distances = Distances(graph.parents)
    steps, meet = distances.between(first, second)
    for one, other, found, top in zip(first.tolist(), second.tolist(), steps, meet, strict=True):
        up, back = graph.walk(one), graph.walk(other)
        common = {a: up[a] + back[a] for a in up.keys() & back.keys()}
        if common:
            assert found == min(common.values())
            assert top == min(a for a in common if common[a] == found)
        else:
            roots = {node for node, above in enumerate(graph.above) if not above}
            assert found == sum(1 + min(way[a] for a in roots & way.keys()) for way in (up, back))
            assert top == -1


@quick
@given(graphs(), st.data())
def test_the_lowest_labels(graph: Graph, data: st.DataObject) -> None:
    labels = data.draw(label_matrices(labels=len(graph.above)))
    closed = (labels @ graph.ancestors.toarray() > 0).astype(np.uint8)
    assert sets(lowest(csr_array(closed), graph.ancestors).toarray()) == [graph.lowest(row) for row in sets(labels)]
