"""The pages: one HTML file each, with style, figures and script inside; nothing is fetched when it is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from labelcontrast.files import write_text
from labelcontrast.reports.comparison_figures import dot_figures, learning_figures, tail_figure
from labelcontrast.reports.figures import curve_figures, embedding_figure, frequency_figure
from labelcontrast.reports.hierarchical.maps import level_figures
from labelcontrast.reports.hierarchical.tables import compared_table, level_table, measures_table, retrieval_table
from labelcontrast.reports.hierarchical.tree import MOST_OPEN, branches
from labelcontrast.reports.rank_figure import rank_figure
from labelcontrast.reports.reliability import reliability_figure
from labelcontrast.reports.tables import (
    NOTHING,
    STEPS,
    as_markdown,
    comparison_table,
    duration,
    percent,
    title_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from labelcontrast.reports.studies.figures import Drawing
    from labelcontrast.reports.studies.summary import StudySummary
    from labelcontrast.reports.summary import ComparisonSummary, HierarchySummary, RankSummary, RunSummary

HEADLINES = ("micro_f1", "macro_f1", "map_macro")


def write_run_report(path: Path, summary: RunSummary) -> None:
    """Write the page of one run.

    Args:
        path: The HTML file.
        summary: What the page says; a part that is empty is left out.
    """
    figures = {
        "frequency": [frequency_figure(summary.per_label)] if summary.per_label else [],
        "curves": curve_figures(summary.curves),
        "reliability": [reliability_figure(summary.reliability)] if summary.reliability else [],
        "embedding": [embedding_figure(summary.embedding)] if summary.embedding else [],
        "levels": level_figures(summary.hierarchy.maps) if summary.hierarchy else [],
    }
    over = {} if summary.hierarchy is None else _over_hierarchy(summary.hierarchy)
    split = "test" if "test" in summary.metrics else next(reversed(list(summary.metrics)), None)
    headlines = [one for one in summary.measures if split and one.name in HEADLINES]
    _write(path, "run.html", figures, summary=summary, split=split, headlines=headlines, over=over)


def _over_hierarchy(hierarchy: HierarchySummary) -> dict[str, object]:
    """Gather what the page of a run shows of its hierarchy."""
    return {
        "measures": measures_table(hierarchy.metrics, [measure.name for measure in hierarchy.measures]),
        "levels": level_table(hierarchy.levels),
        "retrieval": retrieval_table(hierarchy.retrieval) if hierarchy.retrieval else None,
        "tree": branches(hierarchy.nodes),
        "open": len(hierarchy.nodes) <= MOST_OPEN,
    }


def write_comparison_report(path: Path, summary: ComparisonSummary) -> None:
    """Write the page of a comparison.

    Args:
        path: The HTML file; the links to the runs are relative to its folder.
        summary: What the page says; a part that is empty is left out.
    """
    shown = [measure for measure in summary.measures if measure.name in HEADLINES]
    figures = {
        "dots": dot_figures(summary.losses, shown),
        "tail": [tail_figure(summary.losses)] if any(loss.per_label for loss in summary.losses) else [],
        "learning": learning_figures(summary.losses),
    }
    table = comparison_table(summary.losses, summary.measures)
    over = compared_table(summary.losses, summary.over_hierarchy) if summary.over_hierarchy else None
    named = [measure for measure in summary.over_hierarchy if not measure.name.startswith("level_")]
    _write(path, "comparison.html", figures, summary=summary, table=table, over=over, named=named)


def write_rank_report(path: Path, summary: RankSummary) -> None:
    """Write the page of losses ranked over many data sets.

    Args:
        path: The HTML file.
        summary: What the page says.
    """
    _write(path, "ranks.html", {"ranks": [rank_figure(metric) for metric in summary.metrics]}, summary=summary)


def write_study_report(path: Path, summary: StudySummary, drawings: Sequence[Drawing]) -> None:
    """Write the page of a study.

    Args:
        path: The HTML file.
        summary: What the page says; a part that is empty is left out.
        drawings: Its figures.
    """
    figures = {"panels": [drawing.inline for drawing in drawings]}
    _write(path, "study.html", figures, summary=summary, table=summary.table)


def write_search_report(path: Path, summary: StudySummary, drawings: Sequence[Drawing]) -> None:
    """Write the page of a search for good settings.

    Args:
        path: The HTML file.
        summary: What the page says.
        drawings: Its figures.
    """
    figures = {"panels": [drawing.inline for drawing in drawings]}
    _write(path, "search.html", figures, summary=summary, table=summary.table)


def write_study_notes(path: Path, summary: StudySummary, drawings: Sequence[Drawing], *, figures: str) -> None:
    """Write the page of a study as Markdown.

    Args:
        path: The Markdown file.
        summary: What it says; a part that is empty is left out.
        drawings: Its figures.
        figures: The folder with their files, relative to that of the page.
    """
    content = {"table": as_markdown(summary.table), "drawings": drawings, "figures": figures}
    write_text(path, _render("study.md", autoescape=False, summary=summary, **content))


def write_model_card(path: Path, summary: RunSummary, *, kind: str, threshold: float, rule: str) -> None:
    """Write the Markdown that goes with a model: what it is, how well it does, what not to trust it with.

    Args:
        path: The Markdown file.
        summary: That of its run.
        kind: What the model reads: text, image or vector.
        threshold: What a probability must exceed.
        rule: How the threshold was found.
    """
    rows = summary.per_label
    present = sorted((row for row in rows if row["support"]), key=lambda row: float(str(row["f1"])))
    content = {
        "kind": kind,
        "threshold": f"{threshold:.2f}",
        "rule": rule,
        "titles": [title_of(measure.name) for measure in summary.measures],
        "unseen": [row["label"] for row in rows if not row["train_count"]],
        "weak": [f"{row['label']} (F1 {percent(row['f1'])})" for row in present[:5]],
    }
    write_text(path, _render("model_card.md", autoescape=False, summary=summary, **content))


def _write(path: Path, template: str, figures: dict[str, list[str]], **content: object) -> None:
    """Write a page with its drawings."""
    drawn = {name: [Markup(drawing) for drawing in drawings] for name, drawings in figures.items()}
    write_text(path, _render(template, autoescape=True, figures=drawn, **content))


def _render(template: str, *, autoescape: bool, **content: object) -> str:
    """Fill a template in; what it does not know is an error."""
    environment = Environment(
        loader=PackageLoader("labelcontrast.reports"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, duration=duration, title=title_of)
    environment.globals.update(NOTHING=NOTHING, STEPS=STEPS)
    return environment.get_template(template).render(**content)
