"""The plain data behind the page of a study: all of it stands on the page, as text and not as markup."""

from pathlib import Path

from labelcontrast.reports.pages import write_study_report
from labelcontrast.reports.studies.figures import draw
from labelcontrast.reports.studies.summary import Panel, Series, StudySummary
from labelcontrast.reports.tables import Cell, Table

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
