"""Tables in every format, the text of numbers, and the tables and the tree of a hierarchy."""

import pytest

from labelcontrast.metrics.registry import HIERARCHICAL_METRICS, LEVEL_METRICS, RETRIEVAL_METRICS
from labelcontrast.reports.tables import (
    NOTHING,
    Branch,
    Cell,
    Table,
    as_latex,
    as_markdown,
    as_text,
    branches,
    duration,
    level_table,
    measures_table,
    percent,
    retrieval_table,
    short_name,
)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 00 s"), (3599.6, "1 h 00 min")]
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_zero_is_a_known_value() -> None:
    assert (percent(0.0), percent(0), percent(1)) == ("0.00", "0.00", "100.00")


def test_latex_escapes_text_and_marks_the_best() -> None:
    table = Table(
        ("loss", "mAP (%)", "a_b"),
        (
            (Cell("wo_reg {x}"), Cell("61.20 ± 0.10", best=True), Cell(NOTHING)),
            (Cell("a&b\\^~#$"), Cell("1"), Cell("2")),
        ),
    )
    lines = as_latex(table).splitlines()
    assert lines[0] == r"\begin{tabular}{lrr}"
    assert lines[2] == r"loss & mAP (\%) & a\_b \\"
    assert lines[4] == r"wo\_reg \{x\} & \textbf{61.20 $\pm$ 0.10} & -- \\"
    assert lines[5] == r"a\&b\textbackslash{}\textasciicircum{}\textasciitilde{}\#\$ & 1 & 2 \\"
    assert lines[-1] == r"\end{tabular}"


def test_text_is_aligned_left_and_numbers_right_in_every_format() -> None:
    table = Table(
        ("share", "loss", "mAP"),
        ((Cell("0.1"), Cell("bce"), Cell("9.00")), (Cell("0.25"), Cell("reg x"), Cell("61.00"))),
        texts=2,
    )
    assert as_text(table).splitlines() == ["share  loss     mAP", "0.1    bce     9.00", "0.25   reg x  61.00"]
    assert as_markdown(table).splitlines()[1] == "| --- | --- | ---: |"
    assert as_latex(table).startswith("\\begin{tabular}{llr}")


def test_metrics_over_the_hierarchy_are_percents_or_steps() -> None:
    found = {"val": {"hierarchical_f1": 0.61234, "tree_distance_of_errors": None}}
    found |= {"test": {"hierarchical_f1": 0.5, "tree_distance_of_errors": 2.5}}
    shown = [HIERARCHICAL_METRICS[name] for name in ("hierarchical_f1", "tree_distance_of_errors")]
    assert as_text(measures_table(found, shown)).splitlines() == [
        "over the hierarchy    hF1  tree distance",
        "val                 61.23              \u2013",
        "test                50.00           2.50",
    ]


def test_the_first_and_last_level_are_named() -> None:
    level = {"nodes": 1200, "micro_f1": 0.5, "macro_f1": 0.25, "accuracy": 0.125}
    shown = list(LEVEL_METRICS.values())
    assert [row[0].text for row in level_table([level] * 3, shown).rows] == ["0 (roots)", "1", "2 (deepest)"]
    assert [row[0].text for row in level_table([level], shown).rows] == ["0"]
    assert as_text(level_table([level], shown)).splitlines()[1].split() == ["0", "1,200", "50.00", "25.00", "12.50"]


def test_retrieval_has_a_row_per_group_and_level() -> None:
    one = {"map": 0.5, "precision_at_1": 1.0, "precision_at_10": 0.25, "nmi": 0.75}
    table = retrieval_table({"seen": [one, one], "unseen leaves alone": [one]}, list(RETRIEVAL_METRICS.values()))
    assert table.header == ("embeddings", "MAP", "P@1", "P@10", "NMI")
    assert [row[0].text for row in table.rows] == ["seen, level 0", "seen, level 1", "unseen leaves alone"]
    assert [cell.text for cell in table.rows[2][1:]] == ["50.00", "100.00", "25.00", "75.00"]


def rows(parents: dict[str, list[str]]) -> list[dict[str, object]]:
    return [{"node": name, "parents": above, "f1": 0.5, "support": 4} for name, above in parents.items()]


def names(tree: tuple[Branch, ...]) -> list[object]:
    return [[one.name, names(one.below)] if one.below else one.name for one in tree]


def test_a_tree_does_not_depend_on_the_order_of_its_rows() -> None:
    tree = branches(rows({"puppy": ["dog"], "animal": [], "dog": ["animal"], "oak": [], "cat": ["animal"]}))
    assert names(tree) == [["animal", [["dog", ["puppy"]], "cat"]], "oak"]


def test_descendants_of_a_node_with_two_parents_are_listed_once() -> None:
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
def test_a_name_is_shortened_by_that_of_its_parent(name: str, parent: str, short: str) -> None:
    assert short_name(name, parent) == short
