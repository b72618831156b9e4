"""Hierarchies and label trees against walks over the graph; held-out leaves; invalid input."""

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from graphs import Graph, label_matrices
from graphs import graphs as index_graphs
from labelcontrast import labels as public
from labelcontrast.errors import ConfigError, LabelError
from labelcontrast.labels.hierarchy import Hierarchy, LabelTree, hold_out_leaves

quick = settings(deadline=None, max_examples=60)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Draw up to nine nodes in any order, each with up to three parents."""
    size = draw(st.integers(1, 9))
    above = {
        str(node): [str(p) for p in draw(st.sets(st.integers(0, node - 1), max_size=3))] if node else []
        for node in range(size)
    }
    return {name: above[name] for name in draw(st.permutations(sorted(above)))}


def walk(above: dict[str, list[str]], name: str) -> set[str]:
    """Return a node and its ancestors."""
    return {name}.union(*(walk(above, parent) for parent in above[name]))


def depth(above: dict[str, list[str]], name: str) -> int:
    return 1 + max(depth(above, parent) for parent in above[name]) if above[name] else 0


@quick
@given(graphs())
def test_ancestors_levels_leaves_and_children_equal_walks_over_the_graph(above: dict[str, list[str]]) -> None:
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
def test_the_closure_adds_all_ancestors_and_is_idempotent(above: dict[str, list[str]], data: st.DataObject) -> None:
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
def test_lowest_common_ancestors_equal_walks_over_the_graph(above: dict[str, list[str]]) -> None:
    hierarchy = Hierarchy.from_parents(above)
    first, second = (index.ravel() for index in np.indices((len(above), len(above))))
    found = hierarchy.vocabulary.decode(hierarchy.lowest_common_ancestors(first, second))
    for one, other, lowest in zip(first, second, found, strict=True):
        common = walk(above, hierarchy.names[one]) & walk(above, hierarchy.names[other])
        assert set(lowest) == {a for a in common if not any(a in walk(above, b) for b in common - {a})}


@quick
@given(graphs(), st.data())
def test_nodes_are_reordered_with_the_vocabulary_first(above: dict[str, list[str]], data: st.DataObject) -> None:
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
def test_a_hierarchy_is_rebuilt_from_its_parent_map(above: dict[str, list[str]]) -> None:
    hierarchy = Hierarchy.from_parents(above)
    again = Hierarchy.from_parents(hierarchy.to_parents())
    assert again.names == hierarchy.names
    assert (again.parents != hierarchy.parents).nnz == 0


def test_roots_are_inferred() -> None:
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
def test_invalid_edges_are_refused(edges: list[tuple[str, str | None]], message: str) -> None:
    with pytest.raises(LabelError) as caught:
        Hierarchy(edges, where=lambda place: f"edge {place}")
    assert str(caught.value) == message


def test_labels_of_a_different_width_are_refused() -> None:
    with pytest.raises(LabelError) as caught:
        Hierarchy([("a", None)]).close(np.ones((2, 3)))
    assert str(caught.value) == "labels must have a column for each of 1 nodes. Got 3."


def test_a_hundred_thousand_nodes_have_their_ancestors() -> None:
    """Each node is the child of a random earlier one, which gives about 12 ancestors per node."""
    size = 100_000
    above = np.random.default_rng(0).integers(0, np.arange(1, size))
    edges = [("0", None), *((str(node), str(parent)) for node, parent in enumerate(above.tolist(), 1))]
    hierarchy = Hierarchy(edges)
    closure = hierarchy.ancestors
    pairs = hierarchy.lowest_common_ancestors(np.arange(size // 2), np.arange(size // 2, size))
    assert (closure.sum(1) == hierarchy.depths + 1).all()
    assert (pairs.sum(1) == 1).all()


PARENTS = {
    "life": None, "animal": "life", "plant": "life", "cat": "animal", "dog": "animal", "puppy": "dog", "oak": "plant",
    "bug": None, "moth": ["bug", "animal"], "stone": None, "gem": "stone",
}  # fmt: skip
LABELS = ["puppy", "oak", "life", "moth", "dog", "red"]


@pytest.fixture
def tree() -> LabelTree:
    return LabelTree.over(LABELS, Hierarchy.from_parents(PARENTS))


def above(name: str) -> set[str]:
    parents = PARENTS.get(name) or []
    parents = [parents] if isinstance(parents, str) else parents
    return set(parents).union(*(above(parent) for parent in parents))


def test_a_tree_has_labels_first_and_omits_nodes_above_none(tree: LabelTree) -> None:
    assert list(tree.nodes.names[:6]) == LABELS
    assert set(tree.nodes.names[6:]) == {"animal", "plant", "bug"}
    assert tree.depths.tolist() == [3, 2, 0, 2, 2, 0]


def test_the_parent_of_a_label_is_its_nearest_ancestor_that_is_a_label(tree: LabelTree) -> None:
    for (row, one), (column, other) in product(enumerate(LABELS), repeat=2):
        assert tree.ancestors[row, column] == (one == other or other in above(one))
        between = {label for label in LABELS if label in above(one) and other in above(label)}
        assert tree.parents[row, column] == (other in above(one) and not between), (one, other)


def test_close_adds_ancestors_and_lowest_removes_them(tree: LabelTree) -> None:
    labels = np.random.default_rng(0).integers(0, 2, (40, 6)).astype(np.uint8)
    closed, lowest, implied = tree.close(labels).toarray(), tree.lowest(labels).toarray(), tree.imply(labels)
    for row in range(40):
        own = {name for name, one in zip(LABELS, labels[row], strict=True) if one}
        whole = own.union(*(above(name) for name in own))
        assert {name for name, one in zip(tree.nodes.names, closed[row], strict=True) if one} == whole
        kept = {name for name in own if not any(name in above(other) for other in own)}
        assert {name for name, one in zip(LABELS, lowest[row], strict=True) if one} == kept
        unlabelled = {name for name, one in zip(tree.nodes.names, implied[row], strict=True) if one}
        assert unlabelled == own | {name for name in whole if name not in LABELS}


def test_a_soft_label_is_added_to_its_ancestors(tree: LabelTree) -> None:
    targets = csr_array(np.array([[0.5, 0.25, 0.0, 0.0, 0.5, 0.0], [np.nan, 0.0, 0.0, 0.5, 0.0, 0.0]], np.float32))
    closed = dict(zip(tree.nodes.names, tree.close_soft(targets).T.tolist(), strict=True))
    assert closed["dog"][0] == 1.0
    assert closed["plant"][0] == 0.25
    assert closed["life"][0] == 1.0
    np.testing.assert_equal(
        [closed[name][1] for name in ("puppy", "dog", "animal", "bug", "red")], [np.nan] * 3 + [0.5, 0]
    )


TREE = csr_array(np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]))


@settings(deadline=None, max_examples=40)
@given(index_graphs(), st.data(), st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 9))
def test_no_training_example_has_a_held_out_leaf(graph: Graph, data: st.DataObject, share: float, seed: int) -> None:
    labels = data.draw(label_matrices(labels=len(graph.above), examples=5))
    leaves = {node for node in range(len(graph.above)) if not any(node in above for above in graph.above)}
    used = {leaf for leaf in leaves if labels[:, leaf].any()}
    assume(len(used) > 1)
    held, unseen = hold_out_leaves(labels, graph.parents, share=share, generator=np.random.default_rng(seed))
    again, _ = hold_out_leaves(labels, graph.parents, share=share, generator=np.random.default_rng(seed))
    assert held.tolist() == again.tolist()
    assert set(held) <= used
    assert len(held) == min(max(round(share * len(used)), 1), len(used) - 1)
    assert [any(row[leaf] for leaf in held) for row in labels] == unseen.tolist()


def test_invalid_shares_of_held_out_leaves_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        hold_out_leaves(np.eye(4), TREE, share=1.0, generator=np.random.default_rng(0))
    assert str(caught.value) == "share must be between 0 and 1. Got 1.0."
    with pytest.raises(ConfigError) as caught:
        hold_out_leaves(np.eye(4)[:2], TREE, share=0.5, generator=np.random.default_rng(0))
    assert str(caught.value) == "to hold out leaves, two of them must have an example. Got 1."


def test_hierarchies_and_vocabularies_work_from_the_public_names(tmp_path) -> None:
    (tmp_path / "animals.txt").write_text("animal\n  cat\n  dog\n")
    tree = public.LabelTree.over(["cat", "animal"], public.read_hierarchy(str(tmp_path / "animals.txt")))
    labels = public.LabelVocabulary(("cat", "animal")).encode([("cat",), ()])
    assert tree.close(labels).toarray().tolist() == [[1, 1], [0, 0]]
    assert public.consistent(np.array([[0.8, 0.4]]), tree.parents, "max").tolist() == [[0.8, 0.8]]


def test_the_python_of_the_docs_page_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "hierarchy.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    data: dict = {}
    exec(code, data)
    assert data["scores"].tolist() == [[0.9, 0.2, 0.9], [0.1, 0.7, 0.8]]


def test_a_label_without_a_node_is_a_root() -> None:
    animals = Hierarchy.from_parents({"animal": None, "cat": "animal"})
    tree = LabelTree.over(["cat", "cow"], animals)
    assert tree.nodes.names == ("cat", "cow", "animal")
    assert tree.depths.tolist() == [1, 0]
    assert repr(animals) == "Hierarchy(2 nodes, 2 levels)"
    assert repr(tree) == "LabelTree(nodes=Hierarchy(3 nodes, 2 levels), num_labels=2)"
