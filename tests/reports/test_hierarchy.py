"""The tables of a run over a hierarchy, as a terminal has them.

The tree on a page: every node below each of its parents, once with what is below it.
"""

import pytest

from labelcontrast.metrics.registry import HIERARCHICAL_METRICS, LEVEL_METRICS, RETRIEVAL_METRICS
from labelcontrast.reports.hierarchy import Branch, branches, level_table, measures_table, retrieval_table, short_name
from labelcontrast.reports.tables import as_text


def test_measures_are_percents_and_distances_are_steps() -> None:
    found = {"val": {"hierarchical_f1": 0.61234, "tree_distance_of_errors": None}}
    found |= {"test": {"hierarchical_f1": 0.5, "tree_distance_of_errors": 2.5}}
    shown = [HIERARCHICAL_METRICS[name] for name in ("hierarchical_f1", "tree_distance_of_errors")]
    assert as_text(measures_table(found, shown)).splitlines() == [
        "over the hierarchy    hF1  tree distance",
        "val                 61.23              \u2013",
        "test                50.00           2.50",
    ]


def test_levels_are_named_at_their_ends() -> None:
    level = {"nodes": 1200, "micro_f1": 0.5, "macro_f1": 0.25, "accuracy": 0.125}
    shown = list(LEVEL_METRICS.values())
    assert [row[0].text for row in level_table([level] * 3, shown).rows] == ["0 (roots)", "1", "2 (deepest)"]
    assert [row[0].text for row in level_table([level], shown).rows] == ["0"]
    assert as_text(level_table([level], shown)).splitlines()[1].split() == ["0", "1,200", "50.00", "25.00", "12.50"]


def test_retrieval_has_a_row_a_level_of_each_group() -> None:
    one = {"map": 0.5, "precision_at_1": 1.0, "precision_at_10": 0.25, "nmi": 0.75}
    table = retrieval_table({"seen": [one, one], "unseen leaves alone": [one]}, list(RETRIEVAL_METRICS.values()))
    assert table.header == ("embeddings", "MAP", "P@1", "P@10", "NMI")
    assert [row[0].text for row in table.rows] == ["seen, level 0", "seen, level 1", "unseen leaves alone"]
    assert [cell.text for cell in table.rows[2][1:]] == ["50.00", "100.00", "25.00", "75.00"]


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
