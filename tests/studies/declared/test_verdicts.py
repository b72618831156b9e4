"""Which rows are compared, on which runs, and that the verdict is that of a comparison."""

from pathlib import Path

import numpy as np
import pytest

from labelcontrast.evaluation.metrics.measures import compute_metrics
from labelcontrast.evaluation.outputs import Outputs
from labelcontrast.studies.declared.outcomes import Outcome
from labelcontrast.studies.declared.study import Study
from labelcontrast.studies.declared.verdicts import held_together, judge_rows, title
from labelcontrast.studies.significance import Measured, find_best

NOISE = {"bce": 1.0, "reg": 1.02, "supcon": 4.0}
"""How much noise lies over the truth: the first two are about as good, the third is not."""
SEEDS = 4


def study(**changes: object) -> Study:
    values = {"name": "s", "question": "?", "losses": list(NOISE), "seeds": 2}
    table = {"rows": ["loss"], "metrics": ["macro_f1", "seconds"]}
    return Study.build(values | {"table": table} | changes)


@pytest.fixture
def outcomes(tmp_path: Path) -> list[Outcome]:
    found = []
    for data, size in (("a", 120), ("b", 90)):
        labels = np.random.default_rng(9).random((size, 4)) < 0.4
        for loss, noise in NOISE.items():
            for seed in range(SEEDS):
                random = np.random.default_rng([len(loss), seed])
                scores = 1 / (1 + np.exp(-(2 * labels - 1 + noise * random.normal(size=labels.shape))))
                path = tmp_path / f"{data}-{loss}-{seed}.safetensors"
                Outputs(labels, scores, scores > 0.5).save(path)
                result = {"metrics": {"test": compute_metrics(labels, scores, scores > 0.5)}, "seconds": {}}
                found.append(Outcome({"data": data, "loss": loss, "seed": seed}, {"result": result}, path))
    return found


def test_a_column_is_a_comparison_of_its_own(outcomes: list[Outcome]) -> None:
    verdicts = judge_rows(study(), outcomes, [{"data": "a"}, {"data": "b"}])
    assert {one["metric"] for one in verdicts} == {"macro_f1"}, "seconds are no measure of predictions"
    assert len(verdicts) == 6
    for data in ("a", "b"):
        runs = {
            loss: {
                int(one.place["seed"]): Measured(one.record["result"]["metrics"]["test"], one.outputs)
                for one in outcomes
                if one.place["loss"] == loss and one.place["data"] == data
            }
            for loss in NOISE
        }
        expected = find_best(runs)
        for one in verdicts:
            if one["column"] == {"data": data}:
                there = expected[one["row"]["loss"]]["macro_f1"]
                assert one["as_good"] == there["as_good"]
                assert one.get("p") == there.get("p")
    by_loss = {one["row"]["loss"]: one["as_good"] for one in verdicts if one["column"] == {"data": "a"}}
    assert by_loss["bce"]
    assert not by_loss["supcon"]


def test_rows_of_other_data_or_of_another_value_are_not_compared(outcomes: list[Outcome]) -> None:
    one = study(table={"rows": ["data", "loss"], "metrics": ["macro_f1"]})
    verdicts = judge_rows(one, outcomes, [{}])
    assert {(each["row"]["data"], each["best"].partition(",")[0]) for each in verdicts} == {("a", "a"), ("b", "b")}
    grid = {"loss.alpha": [0.0, 1.0]}
    one = study(losses=["reg", "wo_reg"], grid=grid, table={"rows": ["loss.alpha", "loss"], "metrics": ["macro_f1"]})
    rows = [{"loss.alpha": alpha, "loss": loss} for loss in ("reg", "wo_reg") for alpha in (0.0, 1.0)]
    assert held_together(one, rows) == [rows]
    within = one.model_copy(update={"table": one.table.model_copy(update={"within": ("loss.alpha",)})})
    assert held_together(within, rows) == [[rows[0], rows[2]], [rows[1], rows[3]]]


def test_encoders_of_other_data_are_compared_where_they_are_read_off_on_the_same() -> None:
    one = study(transfer=True, table={"rows": ["data", "loss"], "metrics": ["macro_f1"]})
    rows = [{"data": data, "loss": "reg"} for data in ("a", "b")]
    assert held_together(one, rows) == [rows]


def test_without_its_outputs_a_trial_cannot_be_judged_and_a_failed_one_need_not_be(outcomes: list[Outcome]) -> None:
    failed = [*outcomes[1:], Outcome(outcomes[0].place, {"error": "no room"}, Path("nowhere"))]
    verdicts = judge_rows(study(), failed, [{"data": "a"}])
    assert {one["row"]["loss"] for one in verdicts} == set(NOISE)
    outcomes[3].outputs.unlink()
    assert judge_rows(study(), outcomes, [{"data": "a"}]) is None


def test_a_row_is_named_by_its_place() -> None:
    assert title({"data": "tweets", "loss": "reg", "train_fraction": 0.1}) == "tweets, reg, train fraction 0.1"
