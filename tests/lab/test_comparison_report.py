"""Tables and figures of a comparison: means, deviations, marks of the best, and losses with missing results."""

import math
from statistics import fmean, stdev

from labelcontrast.lab.comparison_report import (
    ComparedLoss,
    comparison_table,
    dot_figures,
    learning_figures,
    tail_figure,
)
from labelcontrast.reports.tables import NOTHING, as_markdown, as_text


def test_cells_show_mean_and_standard_deviation(comparison) -> None:
    table = comparison_table(comparison.losses, comparison.measures)
    assert table.header[0] == "loss"
    assert table.header[-2:] == ("runs", "s/run")
    for row, loss in zip(table.rows, comparison.losses, strict=True):
        assert row[0].text == loss.name
        for cell, measure in zip(row[1:], comparison.measures, strict=False):
            values = loss.metrics.get(measure.name)
            if values is None:
                assert cell.text == NOTHING
            elif len(values) == 1:
                assert cell.text == f"{100 * values[0]:.2f}"
            else:
                assert cell.text == f"{100 * fmean(values):.2f} ± {100 * stdev(values):.2f}"


def test_the_best_mean_of_each_metric_is_marked(comparison) -> None:
    table = comparison_table(comparison.losses, comparison.measures)
    for column, measure in enumerate(comparison.measures, start=1):
        means = {
            row[0].text: fmean(loss.metrics[measure.name])
            for row, loss in zip(table.rows, comparison.losses, strict=True)
            if measure.name in loss.metrics
        }
        pick = max if measure.better == "higher" else min
        assert [row[0].text for row in table.rows if row[column].best] == [pick(means, key=means.get)]


def column(measure, *values: list[float]) -> list[bool]:
    losses = [ComparedLoss(name=str(place), metrics={measure.name: one}) for place, one in enumerate(values)]
    return [row[1].best for row in comparison_table(losses, [measure]).rows]


def test_equal_displayed_means_are_both_best_and_a_single_loss_is_not(comparison) -> None:
    measure = comparison.measures[0]
    assert column(measure, [0.50001], [0.50002], [0.4]) == [True, True, False]
    assert column(measure, [0.5]) == [False]
    assert column(measure, [0.5], []) == [False, False]
    assert column(measure, [0.5], [math.nan], [0.4]) == [True, False, False]


def test_losses_not_significantly_worse_are_marked_with_the_best(comparison) -> None:
    measure = comparison.measures[0]
    losses = [
        ComparedLoss(name="best", metrics={measure.name: [0.52, 0.5]}, as_good={measure.name: True}),
        ComparedLoss(name="as good", metrics={measure.name: [0.5, 0.49]}, as_good={measure.name: True}),
        ComparedLoss(name="worse", metrics={measure.name: [0.3, 0.31]}, as_good={measure.name: False}),
        ComparedLoss(name="untested", metrics={measure.name: [0.4]}),
    ]
    assert [row[1].best for row in comparison_table(losses, [measure]).rows] == [True, True, False, False]


def test_a_loss_whose_runs_all_failed_has_a_row(comparison) -> None:
    broken = ComparedLoss(name="msc", metrics={}, failures=["seed 0: x", "seed 1: y"])
    row = comparison_table([*comparison.losses, broken], comparison.measures).rows[-1]
    assert [cell.text for cell in row] == ["msc", *[NOTHING] * 7, "0 of 2", NOTHING]


def test_text_is_aligned_and_markdown_rows_have_equal_numbers_of_cells(comparison) -> None:
    table = comparison_table(comparison.losses, comparison.measures)
    lines = as_text(table).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "*62" in lines[4]
    rows = as_markdown(table).splitlines()
    assert {row.count("|") for row in rows} == {len(table.header) + 1}
    assert "| 2 of 3 |" in rows[3]


def test_each_metric_has_a_figure_with_the_mean_of_each_loss(comparison) -> None:
    drawn = dot_figures(comparison.losses, comparison.measures[:2])
    assert len(drawn) == 2
    for markup, measure in zip(drawn, comparison.measures, strict=False):
        for loss in comparison.losses:
            assert f"{loss.name} {100 * fmean(loss.metrics[measure.name]):.1f}" in markup
            assert f"{loss.name} {100 * fmean(loss.metrics[measure.name]):.1f}" in markup


def test_the_tail_figure_omits_losses_without_a_table_of_labels(comparison) -> None:
    markup = tail_figure(comparison.losses)
    assert "bce from" in markup
    assert "for the most frequent; zlpr from" in markup
    assert "TF-IDF" not in markup


def test_learning_curves_have_one_figure_per_quantity_in_order_of_occurrence(comparison) -> None:
    extra = ComparedLoss(name="x", metrics={}, curves={"validation mAP (%)": ([1], [3.0]), "alignment": ([1], [0.5])})
    drawn = learning_figures([*comparison.losses, extra])
    found = [markup.split('aria-label="')[1].split(" by epoch")[0] for markup in drawn]
    assert found == ["train loss", "validation mAP (%)", "learning rate", "alignment"]


def test_dot_figures_omit_the_mean_of_a_loss_without_a_finished_run(comparison) -> None:
    broken = ComparedLoss(name="msc", metrics={}, failures=["seed 0: x"])
    markup = dot_figures([broken, comparison.losses[0]], comparison.measures[:1])[0]
    assert "msc" not in markup.split("</svg>")[0].split(">")[0]
    assert "bce" in markup
