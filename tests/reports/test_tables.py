"""Tables: means and deviations, what is best, and what is missing."""

import math
from statistics import fmean, stdev

import pytest

from labelcontrast.reports.summary import ComparedLoss
from labelcontrast.reports.tables import (
    NOTHING,
    Cell,
    Table,
    as_latex,
    as_markdown,
    as_text,
    comparison_table,
    duration,
    percent,
)


def test_mean_and_deviation_of_every_cell(comparison) -> None:
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


def test_the_best_is_the_highest_or_the_lowest_mean_as_the_metric_has_it(comparison) -> None:
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


def test_what_looks_the_same_is_the_same_and_one_alone_is_not_best(comparison) -> None:
    measure = comparison.measures[0]
    assert column(measure, [0.50001], [0.50002], [0.4]) == [True, True, False]
    assert column(measure, [0.5]) == [False]
    assert column(measure, [0.5], []) == [False, False]
    assert column(measure, [0.5], [math.nan], [0.4]) == [True, False, False]


def test_what_is_not_significantly_worse_is_marked_with_the_best(comparison) -> None:
    measure = comparison.measures[0]
    losses = [
        ComparedLoss(name="best", metrics={measure.name: [0.52, 0.5]}, as_good={measure.name: True}),
        ComparedLoss(name="as good", metrics={measure.name: [0.5, 0.49]}, as_good={measure.name: True}),
        ComparedLoss(name="worse", metrics={measure.name: [0.3, 0.31]}, as_good={measure.name: False}),
        ComparedLoss(name="untested", metrics={measure.name: [0.4]}),
    ]
    assert [row[1].best for row in comparison_table(losses, [measure]).rows] == [True, True, False, False]


def test_a_loss_whose_runs_all_failed_is_shown(comparison) -> None:
    broken = ComparedLoss(name="msc", metrics={}, failures=["seed 0: x", "seed 1: y"])
    row = comparison_table([*comparison.losses, broken], comparison.measures).rows[-1]
    assert [cell.text for cell in row] == ["msc", *[NOTHING] * 7, "0 of 2", NOTHING]


def test_text_is_aligned_and_markdown_has_as_many_cells(comparison) -> None:
    table = comparison_table(comparison.losses, comparison.measures)
    lines = as_text(table).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "*62" in lines[4]
    rows = as_markdown(table).splitlines()
    assert {row.count("|") for row in rows} == {len(table.header) + 1}
    assert "| 2 of 3 |" in rows[3]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 00 s"), (3599.6, "1 h 00 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_zero_is_not_unknown() -> None:
    assert (percent(0.0), percent(0), percent(1)) == ("0.00", "0.00", "100.00")


def test_latex_shows_what_the_table_says_and_bold_where_it_is_best() -> None:
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


def test_text_stands_left_and_numbers_right_in_every_format() -> None:
    table = Table(
        ("share", "loss", "mAP"),
        ((Cell("0.1"), Cell("bce"), Cell("9.00")), (Cell("0.25"), Cell("reg x"), Cell("61.00"))),
        texts=2,
    )
    assert as_text(table).splitlines() == ["share  loss     mAP", "0.1    bce     9.00", "0.25   reg x  61.00"]
    assert as_markdown(table).splitlines()[1] == "| --- | --- | ---: |"
    assert as_latex(table).startswith("\\begin{tabular}{llr}")
