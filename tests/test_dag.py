"""Graphs as sparse matrices against walks from node to node over drawn graphs."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from graphs import Graph, graphs, label_matrices, sets
from labelcontrast.dag import ancestors, depths, lowest, steps_up, top_down

quick = settings(deadline=None, max_examples=60)


@quick
@given(graphs())
def test_levels_and_ancestors(graph: Graph) -> None:
    assert depths(graph.parents).tolist() == graph.depths.tolist()
    found = ancestors(graph.parents, longest=int(graph.depths.max()))
    assert found.toarray().tolist() == graph.ancestors.toarray().tolist()


@quick
@given(graphs(), st.randoms(use_true_random=False))
def test_parents_come_first(graph: Graph, random: object) -> None:
    order = list(range(len(graph.above)))
    random.shuffle(order)
    shuffled = csr_array(graph.parents.toarray()[order][:, order])
    found = [order[node] for node in top_down(shuffled)]
    assert sorted(found) == list(range(len(order)))
    assert all(found.index(parent) < found.index(node) for node in found for parent in graph.above[node])


@quick
@given(graphs())
def test_steps_up_equal_walks(graph: Graph) -> None:
    found = steps_up(graph.parents).toarray()
    size = len(graph.above)
    for node in range(size):
        walk = graph.walk(node)
        assert {above: found[node, above] - 1 for above in np.flatnonzero(found[node, :-1])} == walk
        assert found[node, size] == 2 + min(steps for above, steps in walk.items() if not graph.above[above])


@quick
@given(graphs(), st.data())
def test_the_lowest_labels(graph: Graph, data: st.DataObject) -> None:
    labels = data.draw(label_matrices(labels=len(graph.above)))
    closed = (labels @ graph.ancestors.toarray() > 0).astype(np.uint8)
    assert sets(lowest(csr_array(closed), graph.ancestors).toarray()) == [graph.lowest(row) for row in sets(labels)]
