"""Cells, significance and panels of a study from the outcomes of its trials."""

from pathlib import Path

import numpy as np
import pytest

from labelcontrast.lab.significance import EvaluatedRun, compare_with_best
from labelcontrast.lab.study import Study, plan_study
from labelcontrast.lab.study_table import (
    Outcome,
    comparable_rows,
    compare_rows,
    count_runs,
    grid_values,
    row_points,
    row_title,
    study_panels,
    study_table,
    values_at,
)
from labelcontrast.metrics.measures import Outputs, compute_metrics
from labelcontrast.reports.tables import NOTHING


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


def test_values_at_a_point_have_one_value_per_seed() -> None:
    assert values_at(OUTCOMES, {"loss": "reg", "loss.alpha": 1}, "macro_f1") == [0.3, 0.5]
    assert values_at(OUTCOMES, {"loss": "reg", "loss.alpha": 0}, "macro_f1") == [0.2]
    assert values_at(OUTCOMES, {"loss": "bce", "loss.alpha": 1}, "macro_f1") == [0.1]
    assert values_at(OUTCOMES, {"loss": "zlpr"}, "macro_f1") == []


def test_rows_are_the_combinations_that_occur() -> None:
    assert row_points(OUTCOMES, ("loss", "loss.alpha")) == [
        {"loss": "bce"},
        {"loss": "reg", "loss.alpha": 0},
        {"loss": "reg", "loss.alpha": 1},
    ]
    assert grid_values(OUTCOMES, "loss.alpha") == [0, 1]
    assert grid_values(OUTCOMES, "seed") == [0, 1]


def test_rows_are_sorted_by_the_first_dimension_then_by_the_second() -> None:
    rows = row_points(OUTCOMES, ("loss.alpha", "loss"))
    assert rows == [{"loss": "bce"}, {"loss.alpha": 0, "loss": "reg"}, {"loss.alpha": 1, "loss": "reg"}]
    found = [outcome(0.1, loss=loss, train_fraction=share) for loss in ("reg", "bce") for share in (1.0, 0.1)]
    places = row_points(found, ("train_fraction", "loss"))
    assert [(one["train_fraction"], one["loss"]) for one in places] == [
        (1.0, "reg"),
        (1.0, "bce"),
        (0.1, "reg"),
        (0.1, "bce"),
    ]


def test_failed_and_unfinished_runs_are_counted() -> None:
    assert count_runs(OUTCOMES, {"loss": "bce"}) == "1 of 2"
    assert count_runs(OUTCOMES, {"loss": "reg", "loss.alpha": 0}) == "1 of 2"
    assert count_runs(OUTCOMES, {"loss": "reg", "loss.alpha": 1}) == "2"
    assert [one.error for one in OUTCOMES] == [None, None, None, None, "no", None]


NOISE = {"bce": 1.0, "reg": 1.02, "supcon": 4.0}
"""Standard deviation of the noise on the scores: the first two losses are about equal, the third is worse."""
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


def test_each_column_is_tested_separately(outcomes: list[Outcome]) -> None:
    verdicts = compare_rows(study(), outcomes, [{"data": "a"}, {"data": "b"}])
    assert {one["metric"] for one in verdicts} == {"macro_f1"}, "seconds are not tested"
    assert len(verdicts) == 6
    for data in ("a", "b"):
        runs = {
            loss: {
                int(one.point["seed"]): EvaluatedRun(one.record["result"]["metrics"]["test"], one.outputs)
                for one in outcomes
                if one.point["loss"] == loss and one.point["data"] == data
            }
            for loss in NOISE
        }
        expected = compare_with_best(runs)
        for one in verdicts:
            if one["column"] == {"data": data}:
                there = expected[one["row"]["loss"]]["macro_f1"]
                assert one["as_good"] == there["as_good"]
                assert one.get("p") == there.get("p")
    by_loss = {one["row"]["loss"]: one["as_good"] for one in verdicts if one["column"] == {"data": "a"}}
    assert by_loss["bce"]
    assert not by_loss["supcon"]


def test_rows_of_different_data_or_values_of_within_are_not_compared(outcomes: list[Outcome]) -> None:
    one = study(table={"rows": ["data", "loss"], "metrics": ["macro_f1"]})
    verdicts = compare_rows(one, outcomes, [{}])
    assert {(each["row"]["data"], each["best"].partition(",")[0]) for each in verdicts} == {("a", "a"), ("b", "b")}
    grid = {"loss.alpha": [0.0, 1.0]}
    one = study(losses=["reg", "wo_reg"], grid=grid, table={"rows": ["loss.alpha", "loss"], "metrics": ["macro_f1"]})
    rows = [{"loss.alpha": alpha, "loss": loss} for loss in ("reg", "wo_reg") for alpha in (0.0, 1.0)]
    assert comparable_rows(one, rows) == [rows]
    within = one.model_copy(update={"table": one.table.model_copy(update={"within": ("loss.alpha",)})})
    assert comparable_rows(within, rows) == [[rows[0], rows[2]], [rows[1], rows[3]]]


def test_transferred_encoders_are_compared_on_the_same_target() -> None:
    one = study(transfer=True, table={"rows": ["data", "loss"], "metrics": ["macro_f1"]})
    rows = [{"data": data, "loss": "reg"} for data in ("a", "b")]
    assert comparable_rows(one, rows) == [rows]


def test_verdicts_need_the_outputs_of_all_finished_trials(outcomes: list[Outcome]) -> None:
    failed = [*outcomes[1:], Outcome(outcomes[0].point, {"error": "no room"}, Path("nowhere"))]
    verdicts = compare_rows(study(), failed, [{"data": "a"}])
    assert {one["row"]["loss"] for one in verdicts} == set(NOISE)
    outcomes[3].outputs.unlink()
    assert compare_rows(study(), outcomes, [{"data": "a"}]) is None


def test_a_row_title_names_its_values() -> None:
    assert row_title({"data": "tweets", "loss": "reg", "train_fraction": 0.1}) == "tweets, reg, train fraction 0.1"


GRID = {"loss.alpha": [1.0, 0.0]}


def record_of(metrics: dict[str, float]) -> dict[str, object]:
    history = [{"epoch": epoch, "score": 0.1 * epoch, "diagnostics": {}} for epoch in (1, 2)]
    return {"result": {"metrics": {"test": metrics}, "seconds": {"training": 4.0}}, "history": history}


def grid_study(**changes: object) -> Study:
    values = {"name": "s", "question": "?", "losses": ["bce", "reg"], "seeds": 2, "grid": GRID}
    table = {"rows": ["loss", "loss.alpha"], "metrics": ["macro_f1", "hamming_loss", "seconds"]}
    return Study.build(values | {"table": table} | changes)


def grid_outcomes(one: Study, data: tuple[str, ...] = ("a.npz",)) -> list[Outcome]:
    """Macro-F1 is 0.2 for bce and 0.3 + 0.1 alpha for reg, plus 0.02 for the second seed, plus 0.5 on data set b."""
    found = []
    for planned in plan_study(one, data, {}):
        point = planned.point
        value = 0.2 if point["loss"] == "bce" else 0.3 + 0.1 * float(point.get("loss.alpha", 0))
        value += 0.02 * int(point["seed"]) + (0.5 if point["data"] == "b" else 0.0)
        found.append(Outcome(point, record_of({"macro_f1": value, "hamming_loss": 1 - value})))
    return found


def test_cells_show_mean_and_deviation_and_mark_the_best() -> None:
    table = study_table(grid_study(), grid_outcomes(grid_study()))
    assert table.header == ("loss", "alpha", "macro-F1 (%)", "Hamming loss (%)", "time of a run (s)", "runs")
    assert [[cell.text for cell in row[:3]] for row in table.rows] == [
        ["bce", NOTHING, "21.00 ± 1.41"],
        ["reg", "1.0", "41.00 ± 1.41"],
        ["reg", "0.0", "31.00 ± 1.41"],
    ]
    assert [[cell.best for cell in row[2:5]] for row in table.rows] == [
        [False, False, True],
        [True, True, True],
        [False, False, True],
    ]
    assert table.rows[0][4].text == "4 ± 0"
    assert [row[-1].text for row in table.rows] == ["2", "2", "2"]


def test_other_dimensions_make_columns_and_a_loss_without_the_axis_is_in_all() -> None:
    one = grid_study(table={"rows": ["loss"], "metrics": ["macro_f1"]})
    table = study_table(one, grid_outcomes(one, ("a.npz", "b.npz")))
    assert table.header == (
        "loss",
        "a alpha 1.0 macro-F1 (%)",
        "a alpha 0.0 macro-F1 (%)",
        "b alpha 1.0 macro-F1 (%)",
        "b alpha 0.0 macro-F1 (%)",
        "runs",
    )
    bce, reg = ([cell.text.split(" ")[0] for cell in row] for row in table.rows)
    assert bce == ["bce", "21.00", "21.00", "71.00", "71.00", "4"]
    assert reg == ["reg", "41.00", "31.00", "91.00", "81.00", "8"]


def test_means_omit_seeds_of_failed_and_unfinished_trials() -> None:
    found = grid_outcomes(grid_study())
    found[0] = Outcome(found[0].point, {"error": "x"})
    found[4] = Outcome(found[4].point, None)
    found[1] = Outcome(found[1].point, {"error": "x"})
    rows = [[row[2].text, row[-1].text] for row in study_table(grid_study(), found).rows]
    assert rows == [["22.00", "1 of 2"], [NOTHING, "0 of 2"], ["31.00 ± 1.41", "2"]]


def test_panels_per_quantity_and_data_set_have_a_line_per_loss() -> None:
    one = grid_study(figures=[{"x": "loss.alpha", "y": ["macro_f1", "hamming_loss"]}])
    panels = study_panels(one, grid_outcomes(one, ("a.npz", "b.npz")))
    assert [(panel.title, panel.y_label) for panel in panels] == [
        ("a", "macro-F1 (%)"),
        ("b", "macro-F1 (%)"),
        ("a", "Hamming loss (%)"),
        ("b", "Hamming loss (%)"),
    ]
    assert panels[0].name == "macro_f1-by-alpha-a"
    assert panels[0].x_label == "alpha"
    level, line = panels[0].series
    assert (level.name, list(level.x)) == ("bce", [])
    assert np.allclose(level.values, [[20.0, 22.0]])
    assert (line.name, list(line.x)) == ("reg", [0.0, 1.0])
    assert np.allclose(line.values, [[30.0, 32.0], [40.0, 42.0]])


def test_lines_can_be_data_sets_or_values_of_an_axis() -> None:
    one = grid_study(losses=["reg"], figures=[{"x": "loss.alpha", "y": ["macro_f1"], "lines": "data"}])
    (panel,) = study_panels(one, grid_outcomes(one, ("a.npz", "b.npz")))
    assert [series.name for series in panel.series] == ["a", "b"]
    one = grid_study(losses=["reg"], figures=[{"x": "epoch", "y": ["score"], "lines": "loss.alpha"}])
    (panel,) = study_panels(one, grid_outcomes(one))
    assert [series.name for series in panel.series] == ["alpha 1.0", "alpha 0.0"]
    assert panel.series[0].x == [1, 2]
    assert np.allclose(panel.series[0].values, [[10.0, 10.0], [20.0, 20.0]])


def test_dot_panels_show_all_runs_and_unmeasured_quantities_have_no_panel() -> None:
    figures = [{"x": "loss", "y": ["macro_f1"]}, {"x": "epoch", "y": ["positives_pushed_away"]}]
    one = grid_study(grid={}, figures=figures, table={"metrics": ["macro_f1"]})
    (panel,) = study_panels(one, grid_outcomes(one))
    assert panel.kind == "dots"
    assert [series.name for series in panel.series] == ["bce", "reg"]
    assert np.allclose(panel.series[1].values, [[30.0, 32.0]])


@pytest.mark.parametrize(("values", "expected"), [([True, False], ["True", "False"]), (["a", "b"], ["a", "b"])])
def test_categorical_values_keep_the_order_of_the_grid(values: list[object], expected: list[str]) -> None:
    one = grid_study(grid={"loss.alpha": values}, losses=["reg"], figures=[{"x": "loss.alpha", "y": ["macro_f1"]}])
    found = [
        Outcome({"data": "a", "loss": "reg", "loss.alpha": value, "seed": 0}, record_of({"macro_f1": 0.1}))
        for value in values
    ]
    assert list(study_panels(one, found)[0].series[0].x) == expected


def test_the_best_is_marked_within_rows_of_the_same_value() -> None:
    table = {"rows": ["loss.alpha", "loss"], "within": ["loss.alpha"], "metrics": ["macro_f1"]}
    one = grid_study(losses=["reg", "wo_reg"], table=table)
    rows = study_table(one, grid_outcomes(one)).rows
    assert [(row[0].text, row[1].text, row[2].best) for row in rows] == [
        ("1.0", "reg", True),
        ("1.0", "wo_reg", True),
        ("0.0", "reg", True),
        ("0.0", "wo_reg", True),
    ]
    found = [
        Outcome(
            outcome.point,
            outcome.record if outcome.point["loss"] == "reg" else record_of({"macro_f1": 0.1, "hamming_loss": 1}),
        )
        for outcome in grid_outcomes(one)
    ]
    assert [row[2].best for row in study_table(one, found).rows] == [True, False, True, False]


def test_rows_not_significantly_worse_are_marked_with_the_best() -> None:
    verdict = {"column": {"data": "a"}, "row": {"loss": "bce"}, "metric": "macro_f1", "as_good": True}
    other = {"column": {"data": "a"}, "row": {"loss": "reg", "loss.alpha": 0.0}, "metric": "macro_f1", "as_good": False}
    rows = study_table(grid_study(), grid_outcomes(grid_study()), [verdict, other]).rows
    assert [row[2].best for row in rows] == [True, True, False]
    assert [row[3].best for row in rows] == [False, True, False], "a verdict holds for one metric"


def test_quantities_with_one_axis_share_a_panel_and_panels_share_limits() -> None:
    names = [f"{what}_{bucket}" for bucket in ("head", "tail") for what in ("pushed_away", "push")]
    figures = [{"x": "epoch", "y": names, "lines": "quantity"}]
    one = grid_study(losses=["reg", "wo_reg"], grid={}, figures=figures, table={"metrics": ["macro_f1"]}, seeds=1)
    found = []
    for place, scale in (
        ({"data": "a", "loss": "reg", "seed": 0}, 0.1),
        ({"data": "a", "loss": "wo_reg", "seed": 0}, 0.2),
    ):
        measured = [dict(zip(names, (scale, 0.01, 2 * scale, 0.03), strict=True)) for _ in range(2)]
        history = [{"epoch": epoch, "score": 0.1, "diagnostics": each} for epoch, each in enumerate(measured, 1)]
        found.append(Outcome(place, {**record_of({"macro_f1": 0.1}), "history": history}))
    panels = study_panels(one, found)
    assert [(panel.title, panel.y_label) for panel in panels] == [
        ("reg", "positives pushed away (%)"),
        ("wo_reg", "positives pushed away (%)"),
        ("reg", "mean push of these"),
        ("wo_reg", "mean push of these"),
    ]
    assert [series.name for series in panels[0].series] == ["head", "tail"]
    assert np.allclose(panels[0].series[1].values, [[20.0], [20.0]])
    assert panels[0].y_limits == panels[1].y_limits == pytest.approx((8.5, 41.5))
    assert panels[2].y_limits == panels[3].y_limits != panels[0].y_limits
    assert len({panel.name for panel in panels}) == 4
