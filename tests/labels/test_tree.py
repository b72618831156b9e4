"""A hierarchy over the labels of a run: its matrices against loops over names."""

from itertools import product

import numpy as np
import pytest
from scipy.sparse import csr_array

from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.labels.tree import LabelTree

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


def test_labels_come_first_and_nodes_above_none_are_left_out(tree: LabelTree) -> None:
    assert list(tree.nodes.names[:6]) == LABELS
    assert set(tree.nodes.names[6:]) == {"animal", "plant", "bug"}
    assert tree.depths.tolist() == [3, 2, 0, 2, 2, 0]


def test_a_parent_among_labels_is_the_next_label_above(tree: LabelTree) -> None:
    for (row, one), (column, other) in product(enumerate(LABELS), repeat=2):
        assert tree.ancestors[row, column] == (one == other or other in above(one))
        between = {label for label in LABELS if label in above(one) and other in above(label)}
        assert tree.parents[row, column] == (other in above(one) and not between), (one, other)


def test_closing_and_lowest_are_as_names_say(tree: LabelTree) -> None:
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


def test_a_soft_label_adds_to_all_above_it(tree: LabelTree) -> None:
    targets = csr_array(np.array([[0.5, 0.25, 0.0, 0.0, 0.5, 0.0], [np.nan, 0.0, 0.0, 0.5, 0.0, 0.0]], np.float32))
    closed = dict(zip(tree.nodes.names, tree.close_soft(targets).T.tolist(), strict=True))
    assert closed["dog"][0] == 1.0
    assert closed["plant"][0] == 0.25
    assert closed["life"][0] == 1.0
    np.testing.assert_equal(
        [closed[name][1] for name in ("puppy", "dog", "animal", "bug", "red")], [np.nan] * 3 + [0.5, 0]
    )
