"""The hierarchy of the data: found, described and refused; label sets closed, and leaves held out."""

import json
from pathlib import Path

import numpy as np
import pytest

from labelcontrast.errors import ConfigError, LabelError
from labelcontrast.run.hierarchy import UnseenLeaves, find_hierarchy
from labelcontrast.run.inputs import RunData, load_data, read_splits
from labelcontrast.settings import RunSettings

ROWS = [("a cat", ["animal > cat"]), ("a dog", ["animal > dog", "brown"]), ("an oak", ["plant > oak"])] * 8


@pytest.fixture
def paths(tmp_path: Path) -> Path:
    """Texts whose labels are paths."""
    path = tmp_path / "living.jsonl"
    path.write_text("".join(json.dumps({"text": text, "labels": labels}) + "\n" for text, labels in ROWS))
    return path


def find(path: Path, **hierarchy: object):
    settings = RunSettings.build({"data": str(path), "hierarchy": hierarchy})
    return find_hierarchy(settings, read_splits(settings))


def test_label_paths_are_a_hierarchy(paths: Path) -> None:
    found = find(paths)
    assert found.tree.nodes.to_parents()["animal > cat"] == "animal"
    assert found.summary == (
        "hierarchy in the label paths: 6 nodes on 2 levels (3, 3), 4 of them leaves; 2 labels on inner nodes"
    )


def test_a_file_beside_the_data_is_found_and_a_named_file_takes_precedence(living: Path, tmp_path: Path) -> None:
    found = find(living)
    assert found.source == "hierarchy.json"
    assert found.summary.endswith("7 nodes on 2 levels (2, 5), 5 of them leaves; 1 label on inner nodes")
    other = tmp_path / "other.txt"
    other.write_text("thing\n  animal\n    cat\n    dog\n    owl\n  oak\n  fir\n")
    assert find(living, file=str(other)).tree.nodes.to_parents()["animal"] == "thing"


def test_a_hierarchy_can_be_ignored(living: Path, paths: Path) -> None:
    assert find(living, file="none") is None
    assert find(paths, file="none") is None


def test_a_label_that_is_not_a_node_is_refused_with_its_place(paths: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text(
        "child,parent\nanimal > cat,animal\nanimal > dog,animal\nplant > oak,plant\nbrwn,\nanimal,\nplant,\n"
    )
    with pytest.raises(LabelError) as refusal:
        find(paths, file=str(other))
    message = str(refusal.value)
    assert message.startswith(f"{paths}, line ")
    assert message.endswith(
        f'label "brown" is not a node of {other} (did you mean "brwn"?); hierarchy.file=none ignores the file.'
    )
    line = int(message.removeprefix(f"{paths}, line ").partition(":")[0])
    assert "brown" in ROWS[line - 1][1]


def test_a_missing_hierarchy_is_refused_only_if_one_is_needed(vectors: Path) -> None:
    assert find(vectors) is None
    with pytest.raises(
        ConfigError, match=r"^hierarchy\.closure=true needs a hierarchy of the labels: name its file as"
    ):
        find(vectors, closure=True)


ABOVE = {"cat": "animal", "dog": "animal", "owl": "animal", "oak": "plant", "fir": "plant"}


def read(path: Path, **hierarchy: object) -> RunData:
    return load_data(RunSettings.build({"data": str(path), "hierarchy": hierarchy}))


def test_closed_examples_have_all_ancestors(living: Path) -> None:
    given, closed = read(living), read(living, closure=True)
    assert set(closed.splits.vocabulary.names) == {*given.splits.vocabulary.names, "plant"}
    assert closed.tree.num_labels == len(closed.tree.nodes) == 7
    for part in ("train", "val", "test"):
        for before, after in zip(
            given.splits.by_name[part].label_sets, closed.splits.by_name[part].label_sets, strict=True
        ):
            assert set(after) == set(before) | {ABOVE[label] for label in before if label in ABOVE}


def test_soft_and_unknown_labels_are_closed_too(tmp_path: Path) -> None:
    labels = np.tile(np.array([[0.25, 0.5, 0], [np.nan, 0, 1], [0, 0, 1]], np.float32), (10, 1))
    np.savez(tmp_path / "a.npz", X=np.eye(30, dtype=np.float32), Y=labels, label_names=np.array(["cat", "dog", "oak"]))
    (tmp_path / "own.txt").write_text("animal\n  cat\n  dog\nplant\n  oak\n")
    closed = read(tmp_path / "a.npz", closure=True, file=str(tmp_path / "own.txt")).splits.train
    kinds = {
        (tuple(sorted(own)), str(sorted(values.items())))
        for own, values in zip(closed.label_sets, closed.values, strict=True)
    }
    assert kinds == {
        (("animal", "dog"), str([("animal", 0.75), ("cat", 0.25), ("dog", 0.5)])),
        (("oak", "plant"), str([("animal", np.nan), ("cat", np.nan)])),
        (("oak", "plant"), "[]"),
    }


@pytest.mark.parametrize("closure", [False, True])
def test_no_split_contains_a_leaf_that_is_held_out(living: Path, closure: bool) -> None:
    whole, data = read(living), read(living, closure=closure, hold_out=0.4)
    unseen = data.unseen
    assert isinstance(unseen, UnseenLeaves)
    assert len(unseen.leaves) == 2
    for part in data.splits.by_name.values():
        assert not any({*own} & {*unseen.leaves} for own in part.label_sets)
    assert not {*data.splits.vocabulary.names} & {*unseen.leaves}
    assert all({*own} & {*unseen.leaves} for own in unseen.examples.label_sets)
    assert len(unseen.examples) + len(data.splits.test) == len(whole.splits.test)
    names = np.array(unseen.tree.nodes.names)
    for own, row in zip(unseen.examples.label_sets, unseen.labels, strict=True):
        assert set(names[row > 0]) == set(own) | {ABOVE[label] for label in own if label in ABOVE}


def test_leaves_are_drawn_from_the_given_level_by_the_seed(living: Path) -> None:
    assert read(living, hold_out=0.2, hold_out_level=1).unseen.leaves == read(living, hold_out=0.2).unseen.leaves
    with pytest.raises(ConfigError, match=r"^to hold out leaves, two of them must have an example\. Got 0\.$"):
        read(living, hold_out=0.2, hold_out_level=0)


@pytest.mark.parametrize("named", ["cat", ["cat"], ["animal > cat", "cat"]], ids=str)
def test_leaves_are_held_out_by_name_or_by_path(living: Path, named: object) -> None:
    data = read(living, hold_out=named)
    assert data.unseen.leaves == ("cat",)
    assert "cat" not in data.splits.vocabulary.names
    assert data.splits.how.partition(", and")[0].endswith("1 leaves held out")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("cats", 'names "cats", which is not a node (did you mean "cat"?).'),
        ("plant > cat", 'names "plant > cat", which is not a node (did you mean "plant"?).'),
        ("animal", 'names "animal", which is not a leaf.'),
    ],
)
def test_a_name_that_is_not_a_leaf_is_refused(living: Path, named: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(living, hold_out=named)
    assert str(caught.value) == f"hierarchy.hold_out {message}"
    with pytest.raises(ConfigError, match="has no example, or is on another level"):
        read(living, hold_out="cat", hold_out_level=0)


def test_a_label_whose_examples_are_all_held_out_is_dropped(tmp_path: Path) -> None:
    labels = np.tile(np.array([[1, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 1]], np.uint8), (20, 1))
    names = np.array(["cat", "oak", "animal", "plant", "rain"])
    np.savez(tmp_path / "a.npz", X=np.eye(60, dtype=np.float32), Y=labels, label_names=names)
    (tmp_path / "a.json").write_text('{"animal": null, "cat": "animal", "plant": null, "oak": "plant", "rain": null}')
    data = read(tmp_path / "a.npz", hold_out=0.5, hold_out_level=1, file=str(tmp_path / "a.json"))
    assert set(data.splits.vocabulary.names) == {*names} - {*data.unseen.leaves, ABOVE[data.unseen.leaves[0]]}
