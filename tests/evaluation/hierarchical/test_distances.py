"""Distances against walks over drawn graphs."""

import numpy as np
from graphs import Graph, distance, graphs, label_matrices, sets
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from labelcontrast.evaluation.hierarchical.distances import links_up, lowest, nearest, steps_up

quick = settings(deadline=None, max_examples=60)


@quick
@given(graphs())
def test_steps_up_are_what_walking_takes(graph: Graph) -> None:
    found = steps_up(graph.parents).toarray()
    size = len(graph.above)
    for node in range(size):
        walk = graph.walk(node)
        assert {above: found[node, above] - 1 for above in np.flatnonzero(found[node, :-1])} == walk
        assert found[node, size] == 2 + min(steps for above, steps in walk.items() if not graph.above[above])


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


@quick
@given(graphs(), st.data())
def test_the_lowest_labels(graph: Graph, data: st.DataObject) -> None:
    labels = data.draw(label_matrices(labels=len(graph.above)))
    closed = (labels @ graph.ancestors.toarray() > 0).astype(np.uint8)
    assert sets(lowest(csr_array(closed), graph.ancestors).toarray()) == [graph.lowest(row) for row in sets(labels)]
