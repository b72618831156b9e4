"""The page of a study or a search: figures with text alternatives, means and deviations, and escaped text."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labelcontrast.lab import trial_pages
from labelcontrast.lab.trial_pages import Panel, Series, TrialsSummary, draw, write_trials_page
from labelcontrast.reports.figures import canvas
from labelcontrast.reports.tables import Cell, Table

LINES = [
    Series(name="bce", values=[[40.0, 42.0]]),
    Series(name="reg", x=[0.1, 0.2, 1.0], values=[[50.0, 51.0], [52.0, 54.0], [49.0]]),
]


def panel(kind: str = "lines", series: list[Series] = LINES, scale: str = "log") -> Panel:
    return Panel(
        name="p", kind=kind, title="tweets", x_label="temperature", y_label="macro-F1 (%)", scale=scale, series=series
    )


def test_lines_have_deviation_bands_and_series_without_x_are_horizontal() -> None:
    with canvas() as (_, axes):
        trial_pages._draw_lines(axes, panel())
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


def test_long_labels_are_wrapped_and_limits_can_be_shared() -> None:
    one = replace(panel(), y_label="a quantity with a name that is far too long (%)", y_limits=(0.0, 80.0))
    with canvas() as (_, axes):
        trial_pages._draw_lines(axes, one)
        assert axes.get_ylabel() == "a quantity with a name that is\nfar too long (%)"
        assert axes.get_ylim() == (0.0, 80.0)


def test_categorical_values_are_drawn_in_the_order_of_the_grid() -> None:
    series = [
        Series(name=name, x=["fixed", "an_untrained_head"], values=[[1.0, 3.0], [3.0]]) for name in ("bce", "reg")
    ]
    with canvas() as (_, axes):
        trial_pages._draw_lines(axes, panel(series=series, scale="linear"))
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["fixed", "an\nuntrained\nhead"]
        first, second = (container.lines[0] for container in axes.containers)
        assert first.get_xydata().tolist() == [[-0.15, 2.0], [0.85, 3.0]]
        assert second.get_xydata().tolist() == [[0.15, 2.0], [1.15, 3.0]]
        assert first.get_linestyle() == "None", "categories are not connected"
        (bars,) = axes.containers[0].lines[2]
        assert bars.get_segments()[0][:, 1].tolist() == pytest.approx([2 - 2**0.5, 2 + 2**0.5])


def test_dots_show_runs_and_a_bar_shows_the_mean() -> None:
    with canvas() as (_, axes):
        trial_pages._draw_dots(axes, panel("dots", [Series(name="reg", values=[[1.0, 3.0]])]))
        assert axes.collections[0].get_offsets().tolist() == [[1.0, 0.0], [3.0, 0.0]]
        assert list(axes.get_lines()[0].get_xdata()) == [2.0, 2.0]
        assert [tick.get_text() for tick in axes.get_yticklabels()] == ["reg"]
        assert axes.get_xlabel() == "macro-F1 (%)"


def test_a_figure_has_a_text_alternative_and_standalone_files() -> None:
    drawn = draw(panel())
    assert "macro-F1 (%) by temperature on tweets. bce 41; reg 50.5 to 49." in drawn.inline
    root = ET.fromstring(drawn.svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert drawn.png.startswith(b"\x89PNG")


PANEL = Panel(
    name="a",
    kind="lines",
    title="",
    x_label="temperature",
    y_label="macro-F1 (%)",
    series=[Series(name="reg", x=[0.1, 0.2], values=[[50.0], [51.0]])],
)


def test_the_page_shows_the_whole_summary_and_escapes_text(tmp_path: Path) -> None:
    summary = TrialsSummary(
        title="temperature: <tweets>",
        question="Does it help?",
        source="Somebody 2024, Table 7",
        command="labelcontrast study temperature tweets --out x",
        table=Table(("loss", "macro-F1 (%)", "runs"), ((Cell("reg"), Cell("50.00 ± 1.00", best=True), Cell("2")),)),
        panels=[PANEL],
        glossary=[("macro-F1 (%)", "Rare labels count.")],
        failures=[("tweets, reg, seed 1", "loss became NaN & stopped")],
        facts=[("trials", "2, 1 failed")],
        settings={"training.epochs": 3},
        warnings=["1 of 3 trials have not ended."],
        versions={"torch": "2.15.0"},
        duration=75,
    )
    write_trials_page(tmp_path / "report.html", "study.html", summary, [draw(PANEL)])
    page = (tmp_path / "report.html").read_text()
    assert "<tweets>" not in page
    for text in ("Does it help?", "Table 7", "--out x", 'class="best">50.00 <small>± 1.00', "Rare labels count."):
        assert text in page
    for text in ("NaN &amp; stopped", "2, 1 failed", "training.epochs", "have not ended", "2.15.0", "1 min 15 s"):
        assert text in page
    assert 'aria-label="macro-F1 (%) by temperature. reg 50 to 51."' in page


def test_empty_sections_have_no_heading(tmp_path: Path) -> None:
    table = Table(("loss", "runs"), ((Cell("reg"), Cell("0 of 1")),))
    summary = TrialsSummary(title="t", question="q", source="", command="c", table=table, panels=[], glossary=[])
    write_trials_page(tmp_path / "report.html", "study.html", summary, [])
    page = (tmp_path / "report.html").read_text()
    assert "Failed trials" not in page
    assert "Figures" not in page
    assert "Based on" not in page
