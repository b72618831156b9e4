"""The tables of a run over a hierarchy, as a terminal has them."""

from labelcontrast.reports.hierarchical.tables import level_table, measures_table, retrieval_table
from labelcontrast.reports.tables import as_text


def test_measures_are_percents_and_distances_are_steps() -> None:
    found = {"val": {"hierarchical_f1": 0.61234, "tree_distance_of_errors": None}}
    found |= {"test": {"hierarchical_f1": 0.5, "tree_distance_of_errors": 2.5}}
    assert as_text(measures_table(found, ["hierarchical_f1", "tree_distance_of_errors"])).splitlines() == [
        "over the hierarchy    hF1  tree distance",
        "val                 61.23              \u2013",
        "test                50.00           2.50",
    ]


def test_levels_are_named_at_their_ends() -> None:
    level = {"nodes": 1200, "micro_f1": 0.5, "macro_f1": 0.25, "accuracy": 0.125}
    assert [row[0].text for row in level_table([level] * 3).rows] == ["0 (roots)", "1", "2 (deepest)"]
    assert [row[0].text for row in level_table([level]).rows] == ["0"]
    assert as_text(level_table([level])).splitlines()[1].split() == ["0", "1,200", "50.00", "25.00", "12.50"]


def test_retrieval_has_a_row_a_level_of_each_group() -> None:
    one = {"map": 0.5, "precision_at_1": 1.0, "precision_at_10": 0.25, "nmi": 0.75}
    table = retrieval_table({"seen": [one, one], "unseen leaves alone": [one]})
    assert table.header == ("embeddings", "MAP", "P@1", "P@10", "NMI")
    assert [row[0].text for row in table.rows] == ["seen, level 0", "seen, level 1", "unseen leaves alone"]
    assert [cell.text for cell in table.rows[2][1:]] == ["50.00", "100.00", "25.00", "75.00"]
