"""The plain data behind a page takes what evaluation measures, as it is."""

import dataclasses

import numpy as np
import pytest

from labelcontrast.metrics.measures import compute_metrics, per_label_table
from labelcontrast.metrics.registry import METRICS
from labelcontrast.reports.pages import write_run_report
from labelcontrast.reports.summary import RunSummary


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
