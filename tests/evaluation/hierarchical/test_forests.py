"""Orders and forests against walks over drawn graphs."""

from graphs import Graph, graphs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from labelcontrast.evaluation.hierarchical.forests import part_off_forest, top_down

quick = settings(deadline=None, max_examples=40)


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
@given(graphs(most_parents=3))
def test_every_link_is_in_the_forest_or_beside_it_and_subtrees_lie_together(graph: Graph) -> None:
    forest, children, others = part_off_forest(graph.parents)
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
