"""The hierarchy of the data is found, said, and refused where it does not fit."""

import json
from pathlib import Path

import pytest

from labelcontrast.config.settings import RunSettings
from labelcontrast.errors import ConfigError, LabelError
from labelcontrast.run.hierarchical.finding import find_hierarchy, introduce_hierarchy
from labelcontrast.run.material import read_splits

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
    assert introduce_hierarchy(found) == (
        "hierarchy in the label paths: 6 nodes on 2 levels (3, 3), 4 of them leaves; 2 labels on inner nodes"
    )


def test_a_file_beside_the_data_is_found_and_one_that_is_named_goes_before(living: Path, tmp_path: Path) -> None:
    found = find(living)
    assert found.source == "hierarchy.json"
    assert introduce_hierarchy(found).endswith("7 nodes on 2 levels (2, 5), 5 of them leaves; 1 label on inner nodes")
    other = tmp_path / "other.txt"
    other.write_text("thing\n  animal\n    cat\n    dog\n    owl\n  oak\n  fir\n")
    assert find(living, file=str(other)).tree.nodes.to_parents()["animal"] == "thing"


def test_a_hierarchy_can_be_left_alone(living: Path, paths: Path) -> None:
    assert find(living, file="none") is None
    assert find(paths, file="none") is None


def test_a_label_that_is_no_node_is_refused_with_its_place(paths: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text(
        "child,parent\nanimal > cat,animal\nanimal > dog,animal\nplant > oak,plant\nbrwn,\nanimal,\nplant,\n"
    )
    with pytest.raises(LabelError) as refusal:
        find(paths, file=str(other))
    said = str(refusal.value)
    assert said.startswith(f"{paths}, line ")
    assert said.endswith(
        f'label "brown" is no node of {other} (did you mean "brwn"?); hierarchy.file=none leaves it alone.'
    )
    line = int(said.removeprefix(f"{paths}, line ").partition(":")[0])
    assert "brown" in ROWS[line - 1][1]


def test_none_at_all_is_refused_only_where_one_is_needed(vectors: Path) -> None:
    assert find(vectors) is None
    with pytest.raises(
        ConfigError, match=r"^hierarchy\.closure=true needs a hierarchy of the labels: name its file as"
    ):
        find(vectors, closure=True)
