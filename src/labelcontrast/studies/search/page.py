"""What a search leaves: the best settings, complete; a table of the best trials; and a page.

search.json    what is searched
trials/        the store: what each trial came to, and its run folder
best.toml      all settings of the best trial, for ``train --config``
table.md       the best trials of each loss
report.html    the page: the table, the course of the search, and how much each setting mattered
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from labelcontrast.files import write_text
from labelcontrast.reports.pages import write_search_report
from labelcontrast.reports.studies.figures import draw
from labelcontrast.reports.studies.summary import Panel, Series, StudySummary
from labelcontrast.reports.tables import NOTHING, Cell, Table, as_markdown
from labelcontrast.run.folder import REPORT
from labelcontrast.run.provenance import describe_origin
from labelcontrast.studies.engine.store import Record
from labelcontrast.studies.engine.trials import Trial
from labelcontrast.studies.search.space import Searched

BEST, TABLE = "best.toml", "table.md"
LABEL = "validation mAP (%)"
SHOWN = 3
"""Trials of each loss in the table."""


@dataclass(frozen=True)
class Tried:
    """A trial of a search: the values it was asked with, and what it came to."""

    trial: Trial
    values: Mapping[str, float]
    record: Record = field(default_factory=dict)

    @property
    def score(self) -> float | None:
        """Its mAP on validation, by the read-out that is kept; none where it failed."""
        result = self.record.get("result")
        score: float | None = result["metrics"]["val"]["map_macro"] if result else None
        return score

    @property
    def error(self) -> str | None:
        """The one line of a trial that failed."""
        return self.record.get("error")


def write_search(
    folder: Path,
    searched: Sequence[Searched],
    trials: Sequence[Sequence[Tried]],
    importances: Sequence[Mapping[str, float]],
) -> Table:
    """Write what a search came to.

    Args:
        folder: of the search.
        searched: the losses with their ranges.
        trials: of each loss, in the order in which they were asked for.
        importances: of each loss, by setting.

    Returns:
        The table of the best trials.
    """
    every = sorted((one for tried in trials for one in tried if one.score is not None), key=_rank)
    if every:
        every[0].trial.settings.write(folder / BEST)
    table = tabulate(searched, trials)
    write_text(folder / TABLE, as_markdown(table) + "\n")
    panels = [*_history(searched, trials), *_importance(searched, importances)]
    origin, known = describe_origin(), [one for tried in trials for one in tried if one.record]
    failures = [(one.trial.title, one.error) for one in known if one.error]
    machine = origin["machine"]
    summary = StudySummary(
        title=f"Search: {', '.join(one.loss.title for one in searched)}",
        question="Which settings are the best on validation?",
        source="",
        command=origin["command"],
        table=table,
        panels=panels,
        glossary=[(LABEL, "Mean average precision of the validation examples. Test examples have no say in a search.")],
        failures=failures,
        facts=[
            ("trials", f"{len(known)}" + (f", {len(failures)} failed" if failures else "")),
            ("machine", f"{machine['processors']} processors, {machine['memory_gib']} GiB"),
            ("accelerator", machine["accelerator"] or "none"),
            ("date", origin["date"]),
        ],
        settings={f"{one.loss.title}: {key}": _told(one, key) for one in searched for key in one.space},
        versions=origin["versions"],
        duration=sum(one.record["seconds"] for one in known),
    )
    write_search_report(folder / REPORT, summary, [draw(panel) for panel in panels])
    return table


def tabulate(searched: Sequence[Searched], trials: Sequence[Sequence[Tried]]) -> Table:
    """Tabulate the best trials of each loss, the best of all marked."""
    keys = list(dict.fromkeys(key for one in searched for key in one.space))
    best = max((one.score for tried in trials for one in tried if one.score is not None), default=None)
    rows = []
    for one, tried in zip(searched, trials, strict=True):
        good = sorted((each for each in tried if each.score is not None), key=_rank)
        once = {tuple(each.values.items()): each for each in reversed(good)}  # the same may be asked for again
        for each in sorted(once.values(), key=_rank)[:SHOWN]:
            values = [Cell(f"{each.values[key]:g}" if key in each.values else NOTHING) for key in keys]
            score = Cell(f"{100 * (each.score or 0):.2f}", best=each.score == best)
            rows.append((Cell(one.loss.title), score, *values, Cell(str(tried.index(each) + 1))))
    return Table(("loss", LABEL, *keys, "trial"), tuple(rows))


def _rank(tried: Tried) -> float:
    """Put the best first."""
    return -(tried.score or 0.0)


def _told(searched: Searched, key: str) -> str:
    """Write a range for a reader."""
    one = searched.space[key]
    return f"{one.low:g} to {one.high:g}" + (", logarithmic" if one.log else "")


def _history(searched: Sequence[Searched], trials: Sequence[Sequence[Tried]]) -> list[Panel]:
    """Lay out the course of the search: what each trial came to, and the best so far."""
    panels: list[Panel] = []
    for one, tried in zip(searched, trials, strict=True):
        known = [(place, 100 * each.score) for place, each in enumerate(tried, start=1) if each.score is not None]
        if known:
            places, scores = zip(*known, strict=True)
            series = [
                Series(name="trial", x=places, values=[[score] for score in scores]),
                Series(name="best so far", x=places, values=[[score] for score in accumulate(scores, max)]),
            ]
            panels.append(
                Panel(
                    name=f"history-{len(panels)}",
                    kind="lines",
                    title=one.loss.title,
                    x_label="trial",
                    y_label=LABEL,
                    series=series,
                )
            )
    return panels


def _importance(searched: Sequence[Searched], importances: Sequence[Mapping[str, float]]) -> list[Panel]:
    """Lay out how much each setting mattered."""
    return [
        Panel(
            name=f"importance-{place}",
            kind="dots",
            title=one.loss.title,
            x_label="setting",
            y_label="importance (%)",
            series=[Series(name=name, values=[[100 * value]]) for name, value in found.items()],
        )
        for place, (one, found) in enumerate(zip(searched, importances, strict=True))
        if found
    ]
