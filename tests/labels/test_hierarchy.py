"""The hierarchy against walks from node to node, on drawn trees and graphs; what is no hierarchy is refused."""

from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.errors import LabelError
from labelcontrast.labels.hierarchy import Hierarchy

quick = settings(deadline=None, max_examples=60)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Up to nine nodes in any order, each below up to three others."""
    size = draw(st.integers(1, 9))
    above = {
        str(node): [str(p) for p in draw(st.sets(st.integers(0, node - 1), max_size=3))] if node else []
        for node in range(size)
    }
    return {name: above[name] for name in draw(st.permutations(sorted(above)))}


def walk(above: dict[str, list[str]], name: str) -> set[str]:
    """A node and all above it."""
    return {name}.union(*(walk(above, parent) for parent in above[name]))


def depth(above: dict[str, list[str]], name: str) -> int:
    return 1 + max(depth(above, parent) for parent in above[name]) if above[name] else 0


@quick
@given(graphs())
def test_ancestors_levels_leaves_and_children_are_what_walking_finds(above: dict[str, list[str]]) -> None:
    hierarchy = Hierarchy.from_parents(above)
    names = hierarchy.names
    assert list(names) == list(above)
    decode = hierarchy.vocabulary.decode
    assert [set(found) for found in decode(hierarchy.ancestors)] == [walk(above, name) for name in names]
    assert [set(found) for found in decode(hierarchy.parents)] == [set(above[name]) for name in names]
    assert [set(found) for found in decode(hierarchy.children)] == [
        {c for c in names if name in above[c]} for name in names
    ]
    assert hierarchy.depths.tolist() == [depth(above, name) for name in names]
    assert [names[leaf] for leaf in hierarchy.leaves] == [n for n in names if not any(n in above[c] for c in names)]


@quick
@given(graphs(), st.data())
def test_closing_adds_all_above_and_twice_is_once(above: dict[str, list[str]], data: st.DataObject) -> None:
    hierarchy = Hierarchy.from_parents(above)
    sets = data.draw(st.lists(st.sets(st.sampled_from(hierarchy.names)).map(tuple), max_size=4))
    closed = hierarchy.close(hierarchy.vocabulary.encode(sets))
    assert [set(found) for found in hierarchy.vocabulary.decode(closed)] == [
        set().union(*(walk(above, name) for name in labels)) for labels in sets
    ]
    assert closed.dtype == np.uint8
    assert (hierarchy.close(closed.toarray()) != closed).nnz == 0


@quick
@given(graphs())
def test_lowest_common_ancestors_have_none_below_them(above: dict[str, list[str]]) -> None:
    hierarchy = Hierarchy.from_parents(above)
    first, second = (index.ravel() for index in np.indices((len(above), len(above))))
    found = hierarchy.vocabulary.decode(hierarchy.lowest_common_ancestors(first, second))
    for one, other, lowest in zip(first, second, found, strict=True):
        common = walk(above, hierarchy.names[one]) & walk(above, hierarchy.names[other])
        assert set(lowest) == {a for a in common if not any(a in walk(above, b) for b in common - {a})}


@quick
@given(graphs(), st.data())
def test_a_vocabulary_first(above: dict[str, list[str]], data: st.DataObject) -> None:
    names = [*data.draw(st.permutations(sorted(above)))[:3], "stranger"]
    hierarchy = Hierarchy.from_parents(above).over(names)
    assert list(hierarchy.names[: len(names)]) == names
    parents = {
        name: set(found)
        for name, found in zip(hierarchy.names, hierarchy.vocabulary.decode(hierarchy.parents), strict=True)
    }
    assert parents == {**{name: set(parents) for name, parents in above.items()}, "stranger": set()}


@quick
@given(graphs())
def test_the_parent_map_makes_the_same_again(above: dict[str, list[str]]) -> None:
    hierarchy = Hierarchy.from_parents(above)
    again = Hierarchy.from_parents(hierarchy.to_parents())
    assert again.names == hierarchy.names
    assert (again.parents != hierarchy.parents).nnz == 0


def test_roots_need_not_be_named() -> None:
    assert Hierarchy([("cat", "animal"), ("dog", "animal")]).names == ("cat", "dog", "animal")


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("a", "b"), ("b", "c"), ("c", "b"), ("d", "a")], 'edge 1: "b" is its own ancestor: b < c < b.'),
        ([("a", None), ("b", "b")], 'edge 1: "b" is its own ancestor: b < b.'),
        (
            [("animal", None), ("cat", "anmial")],
            'edge 1: "anmial", the parent of "cat", is an orphan: neither a root nor a child of another '
            '(did you mean "animal"?).',
        ),
        ([("b", None), ("a", "b"), ("a", None)], 'edge 2: "a" is named as a root, and has the parent "b".'),
        ([("", None)], "a label name must be text that is not empty. Got ''."),
    ],
)
def test_refusals(edges: list[tuple[str, str | None]], message: str) -> None:
    with pytest.raises(LabelError) as caught:
        Hierarchy(edges, where=lambda place: f"edge {place}")
    assert str(caught.value) == message


def test_labels_of_another_width_are_refused() -> None:
    with pytest.raises(LabelError) as caught:
        Hierarchy([("a", None)]).close(np.ones((2, 3)))
    assert str(caught.value) == "labels must have a column for each of 1 nodes. Got 3."


def test_a_hundred_thousand_nodes_in_seconds() -> None:
    """Each node below a random earlier one, which makes some 12 ancestors a node."""
    size = 100_000
    above = np.random.default_rng(0).integers(0, np.arange(1, size))
    edges = [("0", None), *((str(node), str(parent)) for node, parent in enumerate(above.tolist(), 1))]
    start = perf_counter()
    hierarchy = Hierarchy(edges)
    closure = hierarchy.ancestors
    pairs = hierarchy.lowest_common_ancestors(np.arange(size // 2), np.arange(size // 2, size))
    assert perf_counter() - start < 10
    assert (closure.sum(1) == hierarchy.depths + 1).all()
    assert (pairs.sum(1) == 1).all()
