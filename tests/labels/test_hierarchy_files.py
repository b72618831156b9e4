"""Hierarchy files: equal hierarchies from every format, and errors with their line."""

from pathlib import Path

import pytest

from labelcontrast.errors import ConfigError, LabelError
from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.labels.hierarchy_files import from_label_paths, read_hierarchy, write_hierarchy

ANIMALS = {"animal": None, "cat": "animal", "dog": "animal", "puppy": "dog"}
FILES = {
    "a.json": '{"animal": null,\n"cat": "animal",\n"dog": ["animal"], "puppy": "dog"}',
    "a.csv": "parent,child\n,animal\nanimal,cat\nanimal,dog\ndog,puppy\n",
    "a.txt": "animal\n\tcat\n\n\tdog\n\t\tpuppy\n",
}


def written(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_hierarchy(tmp_path: Path, name: str) -> None:
    assert read_hierarchy(written(tmp_path, name, FILES[name])).to_parents() == ANIMALS


@pytest.mark.parametrize("parting", [" > ", "/"])
def test_nodes_of_label_paths_are_named_by_the_whole_path(tmp_path: Path, parting: str) -> None:
    lines = [parting.join(steps) for steps in [("a", "x"), ("b", "x"), ("a", "x", "z")]]
    expected = {"a": None, lines[0]: "a", "b": None, lines[1]: "b", lines[2]: lines[0]}
    assert read_hierarchy(written(tmp_path, "a.paths", "\n".join(lines))).to_parents() == expected
    assert from_label_paths([*lines, lines[0]]).to_parents() == expected


def test_the_separator_can_be_chosen() -> None:
    assert from_label_paths(["a.b/c"], separator=".").to_parents() == {"a": None, "a.b/c": "a"}


def test_a_name_with_two_parents_is_one_node_in_an_edge_list_and_two_by_path(tmp_path: Path) -> None:
    graph = written(tmp_path, "a.csv", "child,parent\nx,a\nx,b\n")
    assert read_hierarchy(graph).to_parents() == {"x": ["a", "b"], "a": None, "b": None}
    tree = written(tmp_path, "a.txt", "a\n  x\n    z\nb\n  x\n")
    assert read_hierarchy(tree, same_name="path").to_parents() == {
        "a": None,
        "a > x": "a",
        "z": "a > x",
        "b": None,
        "b > x": "b",
    }


def test_a_written_hierarchy_is_read_back(tmp_path: Path) -> None:
    hierarchy = Hierarchy.from_parents({"ü": None, "b": "ü", 'c"': ["ü", "b"]})
    write_hierarchy(hierarchy, tmp_path / "kept" / "hierarchy.json")
    assert read_hierarchy(tmp_path / "kept" / "hierarchy.json").to_parents() == hierarchy.to_parents()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"a": null,\n"b": "a",\n"b": null}', ', line 3: "b" occurs twice, first in line 2.'),
        ("a.json", '{"a": "b", "a": "c"}', ', line 1: "a" occurs twice, first in line 1.'),
        ("a.json", '{"a": null,\n"b": {"c": "d"}}', ', line 2: "b" needs a parent, a list of parents, or null.'),
        ("a.json", '{"a": null,\n"b": 3}', ', line 2: "b" needs a parent, a list of parents, or null.'),
        ("a.json", '{"a": "x:",\n"b": "c",\n"c": "b"}', ', line 2: "b" is its own ancestor: b < c < b.'),
        (
            "a.json",
            '{"a": null,\n"b": "zz"}',
            ', line 2: "zz", the parent of "b", is an orphan: neither a root nor a child of another.',
        ),
        ("a.json", '["a"]', ": expected a JSON map of each node to its parent, its parents, or null."),
        ("a.json", "{", ": not a JSON map of each node to its parent (Expecting property name"),
        ("a.json", "{}", ": the file has no nodes."),
        ("a.csv", "a,b\n", ", line 1: an edge list must have the columns child and parent. Got a, b."),
        ("a.csv", "", ", line 1: an edge list must have the columns child and parent. Got none."),
        ("a.csv", "child,parent\na,\n,a\n", ", line 3: there is no child."),
        ("a.csv", "child,parent\na,b\nb,a\n", ', line 2: "a" is its own ancestor: a < b < a.'),
        ("a.txt", "a\n  x\nb\n  x\n", ', line 4: "x" occurs twice, first in line 2.'),
        ("a.txt", "a\n  x\n  x\n", ', line 3: "x" occurs twice, first in line 2.'),
        ("a.txt", "  a\n", ', line 1: "a" is an orphan: it is indented without a parent above it.'),
        ("a.txt", "a\n    b\n  c\n", ', line 3: "c" is an orphan: no line above begins where it begins.'),
        ("a.paths", "a/b\na//c\n", ', line 2: "a//c" has an empty step.'),
    ],
)
def test_errors_name_the_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(LabelError) as caught:
        read_hierarchy(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"could not be read: .*No such file"):
        read_hierarchy(tmp_path / "a.json")
    (tmp_path / "b.txt").write_bytes(b"\xff")
    with pytest.raises(LabelError, match=r"could not be read: .*utf-8"):
        read_hierarchy(tmp_path / "b.txt")
    with pytest.raises(ConfigError, match=r"must be a file that ends in .json, .csv, .txt, .paths. Got 'a.xml'."):
        read_hierarchy(tmp_path / "a.xml")
    with pytest.raises(ConfigError, match=r"same_name must be one of refuse, path\. Got 'x'\."):
        read_hierarchy(written(tmp_path, "a.txt", "a"), same_name="x")
    with pytest.raises(LabelError) as caught:
        from_label_paths(["a", "b/"])
    assert str(caught.value) == '"b/" has an empty step.'


def test_the_shared_hierarchies_are_read(shared: Path) -> None:
    """The label paths of the products give the same hierarchy as their parent map."""
    found = {path.parent.name: read_hierarchy(path) for path in sorted((shared / "data").glob("*/hierarchy.json"))}
    levels = {name: int(hierarchy.depths.max()) + 1 for name, hierarchy in found.items()}
    assert (levels["clinc150"], levels["fashion_products"], levels["newsgroups20"]) == (2, 3, 3)
    products = {name: parent for name, parent in found["fashion_products"].to_parents().items() if ":" not in name}
    from_paths = from_label_paths(products, separator="/").to_parents()
    assert {name: from_paths[name] for name in products} == products
