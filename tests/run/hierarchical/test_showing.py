"""What is shown of a run over a hierarchy is what its files hold."""

from labelcontrast.run.hierarchical.showing import (
    compared_measures,
    flat_measures,
    retrieval_groups,
    summarise_hierarchy,
)

LEVEL = {"nodes": 2, "micro_f1": 0.5, "macro_f1": 0.25, "accuracy": None}
PART = {"hierarchical_f1": 0.5, "violations": 0.0, "levels": [LEVEL, LEVEL]}
FOUND = {"source": "hierarchy in a.json", "val": PART, "test": PART}


def test_every_measure_that_a_comparison_shows_is_measured() -> None:
    flat = flat_measures({"lca_f1": 0.1, "tree_distance_of_errors": 2.0, **PART})
    assert {measure.name for measure in compared_measures(2)} <= set(flat)
    assert "nodes" not in "".join(flat)
    assert flat["level_1_macro_f1"] == 0.25


def test_leaves_that_are_held_out_are_shown_where_there_are_some() -> None:
    assert retrieval_groups(FOUND) == {}
    held = {"held_out": ["cat"], "seen": [LEVEL], "unseen": [LEVEL, LEVEL], "unseen_leaves": LEVEL}
    assert [len(levels) for levels in retrieval_groups({**FOUND, **held}).values()] == [1, 2, 1]
    summary = summarise_hierarchy({**FOUND, **held}, [], [])
    assert (summary.held_out, summary.levels, summary.source) == (["cat"], [LEVEL, LEVEL], "hierarchy in a.json")
