"""The figures of a study: what they say in words, means and deviations where they belong, files that stand alone."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from labelcontrast.lab import figures
from labelcontrast.lab.figures import Panel, Series, draw
from labelcontrast.reports.canvas import canvas

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
