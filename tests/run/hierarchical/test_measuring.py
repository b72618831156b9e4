"""What is measured over a hierarchy, against loops over examples and nodes."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import f1_score

from labelcontrast.data.examples import Examples
from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.run.hierarchical.closing import Unseen
from labelcontrast.run.hierarchical.measuring import measure_hierarchy, measure_unseen, per_node_table
from labelcontrast.run.hierarchical.tree import LabelTree

TREE = LabelTree.over(
    ["cat", "dog", "oak", "plant"],
    Hierarchy.from_parents({"animal": None, "cat": "animal", "dog": "animal", "plant": None, "oak": "plant"}),
)
RANDOM = np.random.default_rng(0)
LABELS, PREDICTIONS = RANDOM.integers(0, 2, (2, 30, 4)).astype(np.uint8)


def column(name: str, labels: np.ndarray, *, closed: bool) -> np.ndarray:
    """Whether each example has a node: the true ones closed, the predicted ones only where a node is no label."""
    cat, dog, oak, plant = labels.T > 0
    known = {"cat": cat, "dog": dog, "oak": oak, "animal": cat | dog}
    return known.get(name, plant | oak if closed else plant)


def test_levels_and_nodes_are_those_of_loops() -> None:
    found, nodes = measure_hierarchy(TREE, LABELS, PREDICTIONS), per_node_table(TREE, LABELS, PREDICTIONS)
    f1 = {}
    for row in nodes:
        true, predicted = column(row["node"], LABELS, closed=True), column(row["node"], PREDICTIONS, closed=False)
        f1[row["node"]] = f1_score(true, predicted)
        assert row["f1"] == pytest.approx(f1[row["node"]])
        assert row["support"] == true.sum()
    assert {row["node"]: (row["parents"], row["level"]) for row in nodes} == {
        "cat": (("animal",), 1), "dog": (("animal",), 1), "oak": (("plant",), 1), "plant": ((), 0), "animal": ((), 0),
    }  # fmt: skip
    assert [level["nodes"] for level in found["levels"]] == [2, 3]
    assert found["levels"][0]["macro_f1"] == pytest.approx((f1["animal"] + f1["plant"]) / 2)
    violated = (PREDICTIONS[:, 2] > 0) & (PREDICTIONS[:, 3] == 0)
    assert found["violations"] == pytest.approx(violated.sum() / PREDICTIONS[:, :3].sum())


def test_unseen_leaves_are_measured_with_all_that_is_above_them() -> None:
    tree = LabelTree.over(["cat", "dog"], TREE.nodes)
    held = LabelTree.over(["cat", "dog", "oak", "plant"], TREE.nodes)
    # Two clusters below "plant": where oaks meet, the others are plants without a name.
    own = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 1]], np.uint8)
    examples = Examples(
        inputs=["a"] * 4, label_sets=None, kind="text", ids=["1"] * 4, lines=[1] * 4, origin="a", understood=""
    )
    unseen = Unseen(examples, csr_array(held.close(own)), held, ("oak",))
    features = {
        "test": np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]),
        "unseen": np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]),
    }
    found = measure_unseen(tree, np.eye(2, dtype=np.uint8)[[0, 0, 1, 1]], unseen, features, seed=0)
    assert found["held_out"] == ["oak"]
    assert [level["map"] for level in found["seen"]] == [1.0, 1.0]
    assert found["seen"][1]["nmi"] == pytest.approx(1.0)
    assert found["unseen"][0]["precision_at_10"] == 1.0
    assert found["unseen_leaves"] == pytest.approx(
        {"map": 1.0, "precision_at_1": 1.0, "precision_at_10": 1 / 3, "nmi": 1.0}
    )
