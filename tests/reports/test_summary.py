"""The plain data behind a page takes what evaluation measures, as it is.

The plain data behind the page of a study: all of it stands on the page, as text and not as markup.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from labelcontrast.lab.figures import Panel, Series, draw
from labelcontrast.lab.pages import StudySummary, write_study_report
from labelcontrast.metrics.measures import compute_metrics, per_label_table
from labelcontrast.metrics.registry import METRICS
from labelcontrast.reports.pages import write_run_report
from labelcontrast.reports.summary import RunSummary
from labelcontrast.reports.tables import Cell, Table


def test_what_evaluation_measures_fits_without_a_change(tmp_path) -> None:
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]])
    scores = np.array([[0.9, 0.2, 0.1], [0.6, 0.7, 0.3], [0.2, 0.4, 0.6]])
    table = per_label_table(
        ["a", "b", "c"], labels, scores, scores > 0.5, train_counts=np.array([9, 3, 0]), thresholds=np.full(3, 0.5)
    )
    summary = RunSummary(
        title="t",
        command="c",
        measures=list(METRICS.values()),
        metrics={"test": compute_metrics(labels, scores, scores > 0.5)},
        per_label=[dataclasses.asdict(row) for row in table],
    )
    write_run_report(tmp_path / "report.html", summary)
    page = (tmp_path / "report.html").read_text()
    assert all(metric.meaning.replace("'", "&#39;") in page for metric in METRICS.values())
    assert ">66.67</td>" in page


def test_a_summary_is_frozen_and_says_its_fields_by_name(run) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.title = "other"
    with pytest.raises(TypeError):
        RunSummary("t", "c", [], {})


PANEL = Panel(
    name="a",
    kind="lines",
    title="",
    x_label="temperature",
    y_label="macro-F1 (%)",
    series=[Series(name="reg", x=[0.1, 0.2], values=[[50.0], [51.0]])],
)


def test_the_page_says_everything_and_nothing_breaks_out(tmp_path: Path) -> None:
    summary = StudySummary(
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
    write_study_report(tmp_path / "report.html", summary, [draw(PANEL)])
    page = (tmp_path / "report.html").read_text()
    assert "<tweets>" not in page
    for said in ("Does it help?", "Table 7", "--out x", 'class="best">50.00 <small>± 1.00', "Rare labels count."):
        assert said in page
    for said in ("NaN &amp; stopped", "2, 1 failed", "training.epochs", "have not ended", "2.15.0", "1 min 15 s"):
        assert said in page
    assert 'aria-label="macro-F1 (%) by temperature. reg 50 to 51."' in page


def test_a_study_without_failures_or_figures_has_no_heading_for_them(tmp_path: Path) -> None:
    table = Table(("loss", "runs"), ((Cell("reg"), Cell("0 of 1")),))
    summary = StudySummary(title="t", question="q", source="", command="c", table=table, panels=[], glossary=[])
    write_study_report(tmp_path / "report.html", summary, [])
    page = (tmp_path / "report.html").read_text()
    assert "Trials that failed" not in page
    assert "Figures" not in page
    assert "After" not in page
