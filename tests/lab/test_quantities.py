"""Quantities of a record: test metrics, means over epochs and seconds; None if missing."""

from labelcontrast.lab.quantities import QUANTITIES, read_epochs, read_quantity
from labelcontrast.losses.factory import make_loss
from labelcontrast.metrics.registry import HIERARCHICAL_METRICS, METRICS

RECORD = {
    "result": {"metrics": {"test": {"macro_f1": 0.4, "map_macro": None}}, "seconds": {"reading": 1.0, "probe": 2.5}},
    "history": [
        {"epoch": 1, "score": 0.2, "diagnostics": {"positives_pushed_away": 0.3}},
        {"epoch": 2, "score": 0.4, "diagnostics": {"positives_pushed_away": 0.1}},
    ],
}


def test_metrics_seconds_and_epochs_are_read_from_a_record() -> None:
    assert read_quantity(RECORD, "macro_f1") == 0.4
    assert read_quantity(RECORD, "map_macro") is None
    assert read_quantity(RECORD, "seconds") == 3.5
    assert read_quantity(RECORD, "positives_pushed_away") == 0.2
    assert read_epochs(RECORD, "positives_pushed_away") == [0.3, 0.1]
    assert read_epochs(RECORD, "score") == [0.2, 0.4]


def test_hierarchical_quantities_are_read_by_level() -> None:
    levels = [{"micro_f1": 0.9, "accuracy": 0.8}, {"micro_f1": 0.5, "accuracy": None}]
    near = {"map": 0.3, "precision_at_1": 0.4, "nmi": 0.2}
    over = {"test": {"hierarchical_f1": 0.7, "levels": levels}, "unseen": [near, {"nmi": 0.1}], "unseen_leaves": near}
    record = {"result": {**RECORD["result"], "hierarchy": over}}
    found = {
        "hierarchical_f1": 0.7, "level_0_micro_f1": 0.9, "level_1_accuracy": None, "level_2_micro_f1": None,
        "unseen_leaves_map": 0.3, "unseen_level_1_nmi": 0.1, "unseen_level_1_map": None, "seen_level_0_map": None,
    }  # fmt: skip
    assert {name: read_quantity(record, name) for name in found} == found
    assert read_quantity(RECORD, "violations") is None
    assert set(HIERARCHICAL_METRICS) <= set(QUANTITIES)
    assert QUANTITIES["tree_distance_of_errors"].factor == 1


def test_representation_and_repulsion_by_label_frequency_are_read() -> None:
    found = {"alignment": 0.4, "uniformity": -2.0, "effective_rank": 7.5}
    result = {**RECORD["result"], "representation": found}
    history = [{"epoch": 1, "score": 0.2, "diagnostics": {"pushed_away_tail": 0.25, "push_tail": 0.01}}]
    record = {"result": result, "history": history}
    assert {name: read_quantity(record, name) for name in found} == found
    assert read_quantity(RECORD, "alignment") is None
    assert read_epochs(record, "pushed_away_tail") == [0.25]
    assert QUANTITIES["pushed_away_tail"].label == "tail: positives pushed away (%)"
    assert QUANTITIES["pushed_away_tail"].axis == "positives pushed away (%)"
    assert QUANTITIES["alignment"].better == "lower"


def test_a_missing_quantity_is_none() -> None:
    assert read_quantity({"error": "x"}, "macro_f1") is None
    assert read_quantity({}, "seconds") is None
    logit = {"result": RECORD["result"], "history": [{"epoch": 1, "score": 0.2, "diagnostics": {}}]}
    assert read_quantity(logit, "positives_pushed_away") is None
    assert read_epochs({"error": "x"}, "score") == []


def test_all_metrics_and_pair_statistics_are_quantities() -> None:
    import torch

    loss = make_loss("reg", num_labels=2, dim=3, diagnostics=True)
    loss(torch.eye(3), torch.tensor([[1, 0], [1, 1], [0, 1]]))
    assert {*METRICS, *loss.diagnostics} <= set(QUANTITIES)
    assert all(one.by_epoch for one in QUANTITIES.values() if one.name in loss.diagnostics)
    assert QUANTITIES["hamming_loss"].better == "lower"
    assert QUANTITIES["macro_f1"].factor == 100
    assert QUANTITIES["similarity_of_positives"].factor == 1
