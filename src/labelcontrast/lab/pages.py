"""Pages of studies and searches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labelcontrast.files import write_text
from labelcontrast.reports.pages import render, write_page
from labelcontrast.reports.summary import PageSummary
from labelcontrast.reports.tables import as_markdown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from labelcontrast.lab.figures import Drawing, Panel
    from labelcontrast.reports.tables import Table


@dataclass(frozen=True, kw_only=True)
class StudySummary(PageSummary):
    """A question, what was run to answer it, and what came out."""

    question: str
    source: str
    table: Table
    tested: bool = False
    """Whether bold is also what is not significantly worse than the best."""
    within: Sequence[str] = ()
    """What rows must have in common to be compared."""
    panels: Sequence[Panel]
    glossary: Sequence[tuple[str, str]]
    """The quantities, each with its sentence."""
    failures: Sequence[tuple[str, str]] = ()
    """Trials that failed, each with its one line."""
    drawn: str = (
        "A line is the mean over seeds, the band around it the standard deviation; beside one another, a point is the "
        "mean and its bar the deviation. A dashed line is a loss that does not have what the axis varies. On a row of "
        "dots each is one run, the bar the mean."
    )
    """How the figures are to be read."""

    @property
    def marked(self) -> str:
        """What bold stands for."""
        among = f", among the rows with the same {' and '.join(self.within)}" if self.within else ""
        best = f"Bold is the best mean of its column{among}"
        if self.tested:
            verdict = (
                "and every other that is not significantly worse: differences are paired and tested over seeds and "
                "test examples together, at 5 % over all pairs of rows (Holm); with one seed, over examples alone. "
                "What is not measured on predictions is not tested: there it is the best mean alone."
            )
        else:
            verdict = "and what looks the same; it does not say that the difference is more than chance."
        spread = "Mean over the finished runs (one a seed), and behind ± the standard deviation."
        return f"{spread} {best}, {verdict}"


def write_study_report(path: Path, summary: StudySummary, drawings: Sequence[Drawing]) -> None:
    """Write the page of a study.

    Args:
        path: The HTML file.
        summary: What the page says; a part that is empty is left out.
        drawings: Its figures.
    """
    figures = {"panels": [drawing.inline for drawing in drawings]}
    write_page(path, "study.html", figures, summary=summary, table=summary.table)


def write_search_report(path: Path, summary: StudySummary, drawings: Sequence[Drawing]) -> None:
    """Write the page of a search for good settings.

    Args:
        path: The HTML file.
        summary: What the page says.
        drawings: Its figures.
    """
    figures = {"panels": [drawing.inline for drawing in drawings]}
    write_page(path, "search.html", figures, summary=summary, table=summary.table)


def write_study_notes(path: Path, summary: StudySummary, drawings: Sequence[Drawing], *, figures: str) -> None:
    """Write the page of a study as Markdown.

    Args:
        path: The Markdown file.
        summary: What it says; a part that is empty is left out.
        drawings: Its figures.
        figures: The folder with their files, relative to that of the page.
    """
    content = {"table": as_markdown(summary.table), "drawings": drawings, "figures": figures}
    write_text(path, render("study.md", autoescape=False, summary=summary, **content))
