"""What is read off a record: test metrics, means over epochs, seconds; nothing where there is nothing.

Which trials a cell is made of.
"""

from labelcontrast.lab.layout import Outcome, count_runs, measured, row_places, values_of
from labelcontrast.lab.quantities import QUANTITIES, measure, measure_epochs
from labelcontrast.losses.factory import make_loss
from labelcontrast.metrics.registry import HIERARCHICAL_METRICS, METRICS

RECORD = {
    "result": {"metrics": {"test": {"macro_f1": 0.4, "map_macro": None}}, "seconds": {"reading": 1.0, "probe": 2.5}},
    "history": [
        {"epoch": 1, "score": 0.2, "diagnostics": {"positives_pushed_away": 0.3}},
        {"epoch": 2, "score": 0.4, "diagnostics": {"positives_pushed_away": 0.1}},
    ],
}


def test_each_is_found_where_it_is_kept() -> None:
    assert measure(RECORD, "macro_f1") == 0.4
    assert measure(RECORD, "map_macro") is None
    assert measure(RECORD, "seconds") == 3.5
    assert measure(RECORD, "positives_pushed_away") == 0.2
    assert measure_epochs(RECORD, "positives_pushed_away") == [0.3, 0.1]
    assert measure_epochs(RECORD, "score") == [0.2, 0.4]


def test_what_a_hierarchy_comes_to_is_found_by_level() -> None:
    levels = [{"micro_f1": 0.9, "accuracy": 0.8}, {"micro_f1": 0.5, "accuracy": None}]
    near = {"map": 0.3, "precision_at_1": 0.4, "nmi": 0.2}
    over = {"test": {"hierarchical_f1": 0.7, "levels": levels}, "unseen": [near, {"nmi": 0.1}], "unseen_leaves": near}
    record = {"result": {**RECORD["result"], "hierarchy": over}}
    found = {
        "hierarchical_f1": 0.7, "level_0_micro_f1": 0.9, "level_1_accuracy": None, "level_2_micro_f1": None,
        "unseen_leaves_map": 0.3, "unseen_level_1_nmi": 0.1, "unseen_level_1_map": None, "seen_level_0_map": None,
    }  # fmt: skip
    assert {name: measure(record, name) for name in found} == found
    assert measure(RECORD, "violations") is None
    assert set(HIERARCHICAL_METRICS) <= set(QUANTITIES)
    assert QUANTITIES["tree_distance_of_errors"].factor == 1


def test_what_the_embeddings_look_like_and_what_is_done_to_a_part_of_the_labels() -> None:
    found = {"alignment": 0.4, "uniformity": -2.0, "effective_rank": 7.5}
    result = {**RECORD["result"], "representation": found}
    history = [{"epoch": 1, "score": 0.2, "diagnostics": {"pushed_away_tail": 0.25, "push_tail": 0.01}}]
    record = {"result": result, "history": history}
    assert {name: measure(record, name) for name in found} == found
    assert measure(RECORD, "alignment") is None
    assert measure_epochs(record, "pushed_away_tail") == [0.25]
    assert QUANTITIES["pushed_away_tail"].label == "tail: positives pushed away (%)"
    assert QUANTITIES["pushed_away_tail"].axis == "positives pushed away (%)"
    assert QUANTITIES["alignment"].better == "lower"


def test_what_was_not_measured_is_nothing() -> None:
    assert measure({"error": "x"}, "macro_f1") is None
    assert measure({}, "seconds") is None
    logit = {"result": RECORD["result"], "history": [{"epoch": 1, "score": 0.2, "diagnostics": {}}]}
    assert measure(logit, "positives_pushed_away") is None
    assert measure_epochs({"error": "x"}, "score") == []


def test_every_metric_and_everything_that_a_loss_counts_can_be_shown() -> None:
    import torch

    loss = make_loss("reg", num_labels=2, dim=3, diagnostics=True)
    loss(torch.eye(3), torch.tensor([[1, 0], [1, 1], [0, 1]]))
    assert {*METRICS, *loss.diagnostics} <= set(QUANTITIES)
    assert all(one.by_epoch for one in QUANTITIES.values() if one.name in loss.diagnostics)
    assert QUANTITIES["hamming_loss"].better == "lower"
    assert QUANTITIES["macro_f1"].factor == 100
    assert QUANTITIES["similarity_of_positives"].factor == 1


def outcome(value: float | None, **place: object) -> Outcome:
    record = {"result": {"metrics": {"test": {"macro_f1": value}}}} if value is not None else {"error": "no"}
    return Outcome({name.replace("__", "."): one for name, one in place.items()}, record)


OUTCOMES = [
    outcome(0.1, loss="bce", seed=0),
    outcome(0.2, loss="reg", loss__alpha=0, seed=0),
    outcome(0.3, loss="reg", loss__alpha=1, seed=0),
    outcome(0.5, loss="reg", loss__alpha=1, seed=1),
    outcome(None, loss="reg", loss__alpha=0, seed=1),
    Outcome({"loss": "bce", "seed": 1}, None),
]


def test_values_are_those_of_the_seeds_of_a_place() -> None:
    assert measured(OUTCOMES, {"loss": "reg", "loss.alpha": 1}, "macro_f1") == [0.3, 0.5]
    assert measured(OUTCOMES, {"loss": "reg", "loss.alpha": 0}, "macro_f1") == [0.2]
    assert measured(OUTCOMES, {"loss": "bce", "loss.alpha": 1}, "macro_f1") == [0.1]
    assert measured(OUTCOMES, {"loss": "zlpr"}, "macro_f1") == []


def test_rows_are_the_combinations_that_occur() -> None:
    assert row_places(OUTCOMES, ("loss", "loss.alpha")) == [
        {"loss": "bce"},
        {"loss": "reg", "loss.alpha": 0},
        {"loss": "reg", "loss.alpha": 1},
    ]
    assert values_of(OUTCOMES, "loss.alpha") == [0, 1]
    assert values_of(OUTCOMES, "seed") == [0, 1]


def test_rows_are_sorted_by_the_first_dimension_then_by_the_second() -> None:
    rows = row_places(OUTCOMES, ("loss.alpha", "loss"))
    assert rows == [{"loss": "bce"}, {"loss.alpha": 0, "loss": "reg"}, {"loss.alpha": 1, "loss": "reg"}]
    found = [outcome(0.1, loss=loss, train_fraction=share) for loss in ("reg", "bce") for share in (1.0, 0.1)]
    places = row_places(found, ("train_fraction", "loss"))
    assert [(one["train_fraction"], one["loss"]) for one in places] == [
        (1.0, "reg"),
        (1.0, "bce"),
        (0.1, "reg"),
        (0.1, "bce"),
    ]


def test_what_failed_or_has_not_ended_is_counted_as_such() -> None:
    assert count_runs(OUTCOMES, {"loss": "bce"}) == "1 of 2"
    assert count_runs(OUTCOMES, {"loss": "reg", "loss.alpha": 0}) == "1 of 2"
    assert count_runs(OUTCOMES, {"loss": "reg", "loss.alpha": 1}) == "2"
    assert [one.error for one in OUTCOMES] == [None, None, None, None, "no", None]
