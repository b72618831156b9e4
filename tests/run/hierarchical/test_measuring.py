"""What is measured over a hierarchy, against loops over examples and nodes."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from labelcontrast.data.examples import Examples
from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.run.hierarchical import measuring
from labelcontrast.run.hierarchical.closing import Unseen
from labelcontrast.run.hierarchical.measuring import StreamedHierarchy, measure_unseen
from labelcontrast.run.hierarchical.showing import flat_measures
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


def measured(labels: np.ndarray, predictions: np.ndarray, *, batch: int = 30) -> tuple[dict, list[dict]]:
    """All measures, and all nodes, of batches of so many examples."""
    counted = StreamedHierarchy(TREE)
    for at in range(0, len(labels), batch):
        counted.update(labels[at : at + batch], predictions[at : at + batch])
    return counted.measures(), counted.per_node()


def test_levels_and_nodes_are_those_of_loops() -> None:
    found, nodes = measured(LABELS, PREDICTIONS)
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


def test_what_is_unknown_is_left_out_and_what_is_known_above_it_is_not() -> None:
    nan = np.nan
    # The first is a cat, and may be a dog and an oak: an animal for certain, perhaps a plant.
    labels = np.array([[1, nan, nan, 0], [0, 0, 1, 1]])
    predictions = np.array([[1, 1, 1, 1], [0, 0, 1, 1]])
    found, nodes = measured(labels, predictions)
    assert found["hierarchical_precision"] == found["hierarchical_recall"] == found["lca_f1"] == 1
    assert [level["accuracy"] for level in found["levels"]] == [1, 1]
    assert {row["node"]: (row["support"], row["f1"]) for row in nodes} == {
        "cat": (1, 1), "dog": (0, 0), "oak": (1, 1), "plant": (1, 1), "animal": (1, 1),
    }  # fmt: skip
    as_absent, _ = measured(np.nan_to_num(labels), predictions)
    assert as_absent["hierarchical_precision"] == 4 / 7  # dog, oak and plant are then wrong
    nobody, nodes = measured(np.full((1, 4), nan), predictions[:1])
    assert np.isnan([nobody["levels"][0]["macro_f1"], nodes[0]["f1"]]).all()


def test_batches_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.where(RANDOM.random(LABELS.shape) < 0.2, np.nan, LABELS)
    (whole, nodes), (parts, again) = measured(labels, PREDICTIONS), measured(labels, PREDICTIONS, batch=7)
    monkeypatch.setattr(measuring, "BLOCK", 15)
    blocks, _ = measured(labels, PREDICTIONS)
    assert nodes == again
    for found in (parts, blocks):
        assert found.pop("levels") == whole["levels"]
        assert found == pytest.approx({name: value for name, value in whole.items() if name != "levels"}, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_a_resample_is_measured_as_its_examples_are(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.random.default_rng(seed).multinomial(6, np.full(30, 1 / 30), size=2)
    labels = np.where(RANDOM.random(LABELS.shape) < 0.2, np.nan, LABELS)
    monkeypatch.setattr(measuring, "BLOCK", 35)
    counted = StreamedHierarchy(TREE, resamples=2)
    counted.update(labels, PREDICTIONS, counts)
    found = counted.resampled()
    for place, own in enumerate(counts):
        drawn = np.repeat(np.arange(30), own)
        expected = flat_measures(measured(labels[drawn], PREDICTIONS[drawn])[0])
        assert {name: values[place] for name, values in found.items()} == pytest.approx(expected, nan_ok=True)


def test_unseen_leaves_are_measured_with_all_that_is_above_them() -> None:
    tree = LabelTree.over(["cat", "dog"], TREE.nodes)
    held = LabelTree.over(["cat", "dog", "oak", "plant"], TREE.nodes)
    # Two clusters below "plant": where oaks meet, the others are plants without a name.
    own = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 1]], np.uint8)
    examples = Examples(
        inputs=["a"] * 4, label_sets=None, kind="text", ids=["1"] * 4, lines=[1] * 4, origin="a", understood=""
    )
    unseen = Unseen(examples, held.close_soft(own), held, ("oak",))
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
