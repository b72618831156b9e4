"""The figures of a comparison say their numbers, and cope with losses that have no curve, no table, or no run.

The critical-difference diagram: every loss and its rank is in it, and it says what it shows.

The figures of a study: what they say in words, means and deviations where they belong, files that stand alone.
"""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest

from labelcontrast.lab import figures
from labelcontrast.lab.figures import Panel, Series, dot_figures, draw, learning_figures, rank_figure, tail_figure
from labelcontrast.reports.canvas import canvas
from labelcontrast.reports.summary import ComparedLoss, RankedMetric


def test_a_figure_a_metric_with_the_mean_of_each_loss(comparison) -> None:
    drawn = dot_figures(comparison.losses, comparison.measures[:2])
    assert len(drawn) == 2
    for markup, measure in zip(drawn, comparison.measures, strict=False):
        for loss in comparison.losses:
            assert f"{loss.name} {100 * fmean(loss.metrics[measure.name]):.1f}" in markup
            assert f"{loss.name} {100 * fmean(loss.metrics[measure.name]):.1f}" in markup


def test_losses_without_a_table_are_left_out_of_the_tail(comparison) -> None:
    markup = tail_figure(comparison.losses)
    assert "bce from" in markup
    assert "for the most frequent; zlpr from" in markup
    assert "TF-IDF" not in markup


def test_a_figure_a_quantity_in_the_order_met(comparison) -> None:
    extra = ComparedLoss(name="x", metrics={}, curves={"validation mAP (%)": ([1], [3.0]), "alignment": ([1], [0.5])})
    drawn = learning_figures([*comparison.losses, extra])
    found = [markup.split('aria-label="')[1].split(" by epoch")[0] for markup in drawn]
    assert found == ["train loss", "validation mAP (%)", "learning rate", "alignment"]


def test_a_loss_without_a_finished_run_keeps_its_row(comparison) -> None:
    broken = ComparedLoss(name="msc", metrics={}, failures=["seed 0: x"])
    markup = dot_figures([broken, comparison.losses[0]], comparison.measures[:1])[0]
    assert "msc" not in markup.split("</svg>")[0].split(">")[0]
    assert "bce" in markup


RANKS = {"reg": 1.4, "msc": 2.1, "zlpr": 2.9, "bce": 3.6}


def bars(drawn: str) -> int:
    return len([stroke for stroke in re.findall(r"stroke-width: ([0-9.]+)", drawn) if float(stroke) == 4])


def test_every_rank_is_said_and_a_bar_stands_for_each_group() -> None:
    groups = [("reg", "msc"), ("msc", "zlpr", "bce")]
    metric = RankedMetric(name="macro_f1", ranks=RANKS, critical_difference=1.2, alike=groups, p=0.01)
    drawn = rank_figure(metric)
    said = re.search(r'aria-label="([^"]*)"', drawn)
    assert said is not None
    assert said[1] == "Mean rank, 1 is best: reg 1.40, msc 2.10, zlpr 2.90, bce 3.60. Critical difference 1.20."
    assert bars(drawn) == 2
    alone = RankedMetric(name="macro_f1", ranks=RANKS, critical_difference=0.2, alike=[], p=0.01)
    assert bars(rank_figure(alone)) == 0


LINES = [
    Series(name="bce", values=[[40.0, 42.0]]),
    Series(name="reg", x=[0.1, 0.2, 1.0], values=[[50.0, 51.0], [52.0, 54.0], [49.0]]),
]


def panel(kind: str = "lines", series: list[Series] = LINES, scale: str = "log") -> Panel:
    return Panel(
        name="p", kind=kind, title="tweets", x_label="temperature", y_label="macro-F1 (%)", scale=scale, series=series
    )


def test_a_line_has_its_deviation_as_a_band_and_what_has_no_x_is_a_level() -> None:
    with canvas() as (_, axes):
        figures._draw_lines(axes, panel())
        level, line = axes.get_lines()
        assert list(level.get_ydata()) == [41.0, 41.0]
        assert level.get_linestyle() == "--"
        assert line.get_xydata().tolist() == [[0.1, 50.5], [0.2, 53.0], [1.0, 49.0]]
        band = axes.collections[-1].get_paths()[0].vertices
        assert band[:, 1].max() == pytest.approx(53 + np.std([52, 54], ddof=1))
        assert axes.get_xscale() == "log"
        assert axes.get_xlabel() == "temperature"
        assert axes.get_ylabel() == "macro-F1 (%)"
        assert axes.get_xticks().tolist() == [0.1, 0.2, 1.0]


def test_a_long_label_is_wrapped_and_panels_can_have_one_scale() -> None:
    one = replace(panel(), y_label="a quantity with a name that is far too long (%)", y_limits=(0.0, 80.0))
    with canvas() as (_, axes):
        figures._draw_lines(axes, one)
        assert axes.get_ylabel() == "a quantity with a name that is\nfar too long (%)"
        assert axes.get_ylim() == (0.0, 80.0)


def test_values_with_names_stand_in_the_order_of_the_grid() -> None:
    series = [
        Series(name=name, x=["fixed", "an_untrained_head"], values=[[1.0, 3.0], [3.0]]) for name in ("bce", "reg")
    ]
    with canvas() as (_, axes):
        figures._draw_lines(axes, panel(series=series, scale="linear"))
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["fixed", "an\nuntrained\nhead"]
        first, second = (container.lines[0] for container in axes.containers)
        assert first.get_xydata().tolist() == [[-0.15, 2.0], [0.85, 3.0]]
        assert second.get_xydata().tolist() == [[0.15, 2.0], [1.15, 3.0]]
        assert first.get_linestyle() == "None", "there is nothing between two names"
        (bars,) = axes.containers[0].lines[2]
        assert bars.get_segments()[0][:, 1].tolist() == pytest.approx([2 - 2**0.5, 2 + 2**0.5])


def test_a_dot_a_run_and_a_bar_at_the_mean() -> None:
    with canvas() as (_, axes):
        figures._draw_dots(axes, panel("dots", [Series(name="reg", values=[[1.0, 3.0]])]))
        assert axes.collections[0].get_offsets().tolist() == [[1.0, 0.0], [3.0, 0.0]]
        assert list(axes.get_lines()[0].get_xdata()) == [2.0, 2.0]
        assert [tick.get_text() for tick in axes.get_yticklabels()] == ["reg"]
        assert axes.get_xlabel() == "macro-F1 (%)"


def test_a_figure_says_its_numbers_and_its_files_stand_alone() -> None:
    drawn = draw(panel())
    assert "macro-F1 (%) by temperature on tweets. bce 41; reg 50.5 to 49." in drawn.inline
    root = ET.fromstring(drawn.svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert drawn.png.startswith(b"\x89PNG")
