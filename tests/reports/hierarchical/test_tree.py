"""The tree on a page: every node below each of its parents, once with what is below it."""

import pytest

from labelcontrast.reports.hierarchical.tree import Branch, branches, short_name


def rows(parents: dict[str, list[str]]) -> list[dict[str, object]]:
    return [{"node": name, "parents": above, "f1": 0.5, "support": 4} for name, above in parents.items()]


def names(tree: tuple[Branch, ...]) -> list[object]:
    return [[one.name, names(one.below)] if one.below else one.name for one in tree]


def test_a_tree_is_drawn_whatever_the_order_of_its_rows() -> None:
    tree = branches(rows({"puppy": ["dog"], "animal": [], "dog": ["animal"], "oak": [], "cat": ["animal"]}))
    assert names(tree) == [["animal", [["dog", ["puppy"]], "cat"]], "oak"]


def test_what_is_below_a_node_with_two_parents_comes_once() -> None:
    tree = branches(rows({"a": [], "b": [], "both": ["a", "b"], "deep": ["both"]}))
    assert names(tree) == [["a", [["both", ["deep"]]]], ["b", ["both"]]]
    assert [one.below[0].elsewhere for one in tree] == [False, True]


@pytest.mark.parametrize(
    ("name", "parent", "short"),
    [
        ("Apparel/Topwear", "Apparel", "Topwear"),
        ("DNA -- Adducts", "DNA", "Adducts"),
        ("comp.graphics", "comp", "graphics"),
        ("food", "", "food"),
        ("/odd", "", "/odd"),
        ("animals", "animal", "animals"),
        ("animal", "animal", "animal"),
    ],
)
def test_a_name_is_without_that_of_its_parent(name: str, parent: str, short: str) -> None:
    assert short_name(name, parent) == short
