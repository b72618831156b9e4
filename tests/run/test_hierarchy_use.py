"""Scores and label sets under the settings of a run."""

import numpy as np
import pytest

from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.labels.tree import LabelTree
from labelcontrast.probes.thresholds import fixed_threshold
from labelcontrast.run.hierarchy_use import Decoder
from labelcontrast.settings import HierarchySettings

# "dog" is no label: "puppy" is below "animal" all the same.
TREE = LabelTree.over(
    ["puppy", "animal", "cat", "stone"],
    Hierarchy.from_parents({"animal": None, "dog": "animal", "cat": "animal", "puppy": "dog", "stone": None}),
)
SCORES = np.array([[0.8, 0.4, 0.1, 0.6], [0.2, 0.7, 0.6, 0.1]])


@pytest.mark.parametrize(
    ("how", "settled"),
    [
        ("none", SCORES),
        ("max", [[0.8, 0.8, 0.1, 0.6], [0.2, 0.7, 0.6, 0.1]]),
        ("product", [[0.32, 0.4, 0.04, 0.6], [0.14, 0.7, 0.42, 0.1]]),
        ("projection", [[0.6, 0.6, 0.1, 0.6], [0.2, 0.7, 0.6, 0.1]]),
    ],
)
def test_scores_are_settled_over_a_node_that_is_no_label(how: str, settled: object) -> None:
    decoder = Decoder(TREE, HierarchySettings(consistency=how))
    np.testing.assert_allclose(decoder.settle(SCORES), settled, atol=1e-6)


@pytest.mark.parametrize(
    ("how", "decided"),
    [
        ("each", [[1, 0, 0, 1], [0, 1, 1, 0]]),
        ("all_paths", [[0, 0, 0, 1], [0, 1, 1, 0]]),
        ("best_path", [[1, 1, 0, 0], [0, 1, 1, 0]]),
    ],
)
def test_label_sets_are_decided_as_the_settings_say(how: str, decided: object) -> None:
    decoder = Decoder(TREE, HierarchySettings(decoding=how))
    assert decoder.decide(SCORES, fixed_threshold(4)).astype(int).tolist() == decided


def test_given_labels_are_closed_where_training_was() -> None:
    tree = LabelTree.over(TREE.nodes.names, TREE.nodes)
    labels = np.eye(5, dtype=np.uint8)[:1]
    assert Decoder(tree, HierarchySettings()).truth(labels).tolist() == [[1, 0, 0, 0, 0]]
    assert Decoder(tree, HierarchySettings(closure=True)).truth(labels).tolist() == [[1, 1, 0, 0, 1]]


def test_above_an_unknown_label_is_unknown_unless_another_says_otherwise() -> None:
    tree = LabelTree.over(TREE.nodes.names, TREE.nodes)
    named = dict(zip(tree.nodes.names, np.zeros(5), strict=True))
    alone, beside = ([*(named | told).values()] for told in ({"puppy": np.nan}, {"puppy": np.nan, "cat": 1.0}))
    found = Decoder(tree, HierarchySettings(closure=True)).truth(np.array([alone, beside]))
    told = [dict(zip(tree.nodes.names, row, strict=True)) for row in found]
    assert [name for name, value in told[0].items() if np.isnan(value)] == ["puppy", "animal", "dog"]
    assert (told[1]["animal"], told[1]["cat"], told[1]["stone"]) == (1, 1, 0)
    assert np.isnan([told[1]["puppy"], told[1]["dog"]]).all()
