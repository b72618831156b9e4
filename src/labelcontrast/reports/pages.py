"""Pages as single HTML files, with style, figures and script inline, and the model card; opening one loads nothing."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from labelcontrast.files import write_text
from labelcontrast.reports.figures import (
    OTHERS,
    PALETTE,
    curve_figures,
    frequency_figure,
    level_figures,
    reliability_figure,
)
from labelcontrast.reports.projection import fit_to_drawing
from labelcontrast.reports.tables import (
    NOTHING,
    branches,
    duration,
    level_table,
    markdown,
    measures_table,
    percent,
    printable,
    retrieval_table,
)

if TYPE_CHECKING:
    from pathlib import Path

    from labelcontrast.reports.summary import CardFacts, EmbeddingScatter, HierarchySummary, RunSummary

HEADLINES = ("micro_f1", "macro_f1", "map_macro")
"""The metrics at the top of a page."""
TASKS = {"text": "text-classification", "image": "image-classification", "vector": "tabular-classification"}
"""The tasks of the hub, by kind of input."""
MOST_ROWS = 100
"""Labels in the table of a model card, the most frequent ones."""
LONGEST_TABLE = 3000
"""Labels in the table of a page, the first ones, and nodes of a tree, so that it stays below 5 MB."""
MARKER_PATHS = (
    "m-.6 0a.6.6 0 1 0 1.2 0a.6.6 0 1 0-1.2 0z",
    "m-.55-.55h1.1v1.1h-1.1z",
    "m0-.7l.7 1.2h-1.4z",
    "m0-.8l.6.8l-.6.8l-.6-.8z",
    "m0 .7l.7-1.2h-1.4z",
    "m-.25-.7h.5v.45h.45v.5h-.45v.45h-.5v-.45h-.45v-.5h.45z",
    "m-.65-.35l.3-.3l.35.35l.35-.35l.3.3l-.35.35l.35.35l-.3.3l-.35-.35l-.35.35l-.3-.3l.35-.35z",
)
"""Shapes of the points of a map, about one unit wide, as the rest of an SVG path: circle, square, triangle, ..."""
MOST_UNSEEN = 20
"""Labels without a training example that a model card names."""
MOST_OPEN = 60
"""A tree of more nodes is closed below its roots when the page opens."""


def write_run_report(path: str | Path, summary: RunSummary) -> None:
    """Write the page of one run.

    Args:
        path: The HTML file.
        summary: The content of the page; empty parts are omitted.
    """
    figures = {
        "frequency": [frequency_figure(summary.per_label)] if summary.per_label else [],
        "curves": curve_figures(summary.curves),
        "reliability": [reliability_figure(summary.reliability)] if summary.reliability else [],
        "levels": level_figures(summary.hierarchy.scatters) if summary.hierarchy else [],
    }
    over = {} if summary.hierarchy is None else _over_hierarchy(summary.hierarchy)
    split = "test" if "test" in summary.metrics else next(reversed(list(summary.metrics)), None)
    headlines = [one for one in summary.measures if split and one.name in HEADLINES]
    content = {"map": _drawn_map(summary.embedding) if summary.embedding else None, "most_rows": LONGEST_TABLE}
    write_page(path, "run.html", figures, summary=summary, split=split, headlines=headlines, over=over, **content)


def _drawn_map(embedding: EmbeddingScatter) -> dict[str, object]:
    """Give the most frequent labels a colour and a marker, and draw their points after the others, the rarest last."""
    named = [name for name, _ in Counter(filter(None, embedding.labels)).most_common(len(PALETTE))]
    places = fit_to_drawing(embedding.coordinates)
    titles = embedding.titles or [name or "other labels" for name in embedding.labels]
    ranks = [named.index(name) if name in named else -1 for name in embedding.labels]
    points = sorted(zip(ranks, places, titles, strict=True), key=lambda point: point[0])
    legend = [(rank, name) for rank, name in enumerate(named)]
    return {"points": points, "legend": [*legend, (-1, "other labels")] if -1 in ranks else legend}


def _over_hierarchy(hierarchy: HierarchySummary) -> dict[str, object]:
    retrieval = hierarchy.retrieval
    return {
        "measures": measures_table(hierarchy.metrics, hierarchy.measures),
        "levels": level_table(hierarchy.levels, hierarchy.level_measures),
        "retrieval": retrieval_table(retrieval, hierarchy.retrieval_measures) if retrieval else None,
        "tree": branches(hierarchy.nodes) if len(hierarchy.nodes) <= LONGEST_TABLE else [],
        "open": len(hierarchy.nodes) <= MOST_OPEN,
    }


def write_model_card(path: str | Path, summary: RunSummary, facts: CardFacts) -> None:
    """Write the model card: the data and results of a model, its use and limits, and its labels.

    Args:
        path: The Markdown file.
        summary: The results of its run.
        facts: What the page of the run does not have.
    """
    rows = summary.per_label
    present = sorted((row for row in rows if row["support"]), key=lambda row: float(str(row["f1"])))
    frequent = sorted(rows, key=lambda row: -int(row["train_count"]))
    examples, pairs = facts.examples.get("train", 0), sum(int(row["train_count"]) for row in rows)
    content = {
        "facts": facts,
        "task": TASKS.get(facts.kind, "other"),
        "titles": [measure.title for measure in summary.measures],
        "unseen": [row["label"] for row in rows if not row["train_count"]],
        "most_unseen": MOST_UNSEEN,
        "weak": [f"{row['label']} (F1 {percent(row['f1'])})" for row in present[:5]],
        "frequent": frequent,
        "labels_each": pairs / max(examples, 1),
        "most_rows": MOST_ROWS,
    }
    write_text(path, render("model_card.md", autoescape=False, summary=summary, **content))


def write_page(path: str | Path, template: str, figures: dict[str, list[str]], **content: object) -> None:
    """Render a page from its template and figures, and write it."""
    drawn = {name: [Markup(drawing) for drawing in drawings] for name, drawings in figures.items()}
    write_text(path, render(template, autoescape=True, figures=drawn, **content))


def render(template: str, *, autoescape: bool, **content: object) -> str:
    """Render a template; an undefined name is an error."""
    environment = Environment(
        loader=PackageLoader("labelcontrast.reports"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, duration=duration, markdown=markdown, json=json.dumps)
    environment.globals.update(NOTHING=NOTHING, PALETTE=PALETTE, OTHERS=OTHERS, MARKER_PATHS=MARKER_PATHS)
    return environment.get_template(template).render(**content)
