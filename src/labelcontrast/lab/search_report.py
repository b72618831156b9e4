"""What a search leaves: the best settings, complete; a table of the best trials; and a page.

search.json    what is searched, what was asked for, how much each setting mattered, the command
trials/        the store: what each trial came to, and its run folder
best.toml      all settings of the best trial, for ``train --config``
table.md       the best trials of each loss
report.html    the page: the table, the course of the search, and how much each setting mattered
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from labelcontrast.files import read_json, write_text
from labelcontrast.lab.figures import Panel, Series, draw
from labelcontrast.lab.pages import StudySummary, write_search_report
from labelcontrast.lab.search_space import Range
from labelcontrast.lab.store import Record, Store
from labelcontrast.reports.tables import NOTHING, Cell, Table, as_markdown
from labelcontrast.run.folder import REPORT
from labelcontrast.settings import RunSettings

SEARCH, TRIALS, BEST, TABLE = "search.json", "trials", "best.toml", "table.md"
LABEL = "validation mAP (%)"
SHOWN = 3
"""Trials of each loss in the table."""


@dataclass(frozen=True)
class Tried:
    """A trial of a search: the values it was asked with, and what it came to; empty where it has not ended."""

    values: Mapping[str, float]
    record: Record

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


@dataclass(frozen=True)
class Course:
    """What became of one loss of a search."""

    loss: str
    space: Mapping[str, Range]
    trials: Sequence[Tried]
    """In the order in which they were asked for."""
    importance: Mapping[str, float]
    """Of each setting, as a share of all; empty as long as it cannot be told."""


def write_search(folder: Path) -> Table:
    """Write what a search came to, finished or not, from what its folder and its store hold.

    Returns:
        The table of the best trials.
    """
    content = read_json(folder / SEARCH)
    courses = read_courses(folder, content)
    every = sorted((one for course in courses for one in course.trials if one.score is not None), key=_rank)
    if every:
        RunSettings.build(every[0].record["settings"]).write(folder / BEST)
    table = tabulate(courses)
    write_text(folder / TABLE, as_markdown(table) + "\n")
    panels = [*_history(courses), *_importance(courses)]
    origin, known = content["origin"], [one for course in courses for one in course.trials if one.record]
    failures = [(one.record["title"], one.error) for one in known if one.error]
    machine = origin["machine"]
    summary = StudySummary(
        title=f"Search: {', '.join(course.loss for course in courses)}",
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
        settings={f"{course.loss}: {key}": _told(course, key) for course in courses for key in course.space},
        versions=origin["versions"],
        duration=sum(one.record["seconds"] for one in known),
    )
    write_search_report(folder / REPORT, summary, [draw(panel) for panel in panels])
    return table


def read_courses(folder: Path, content: dict[str, Any]) -> list[Course]:
    """Read what the trials of a search came to."""
    store = Store(Path(content["store"]) if content["store"] else folder / TRIALS)
    return [
        Course(
            one["loss"],
            {name: Range(**ends) for name, ends in one["space"].items()},
            [Tried(each["values"], store.read(each["key"]) or {}) for each in asked],
            importance,
        )
        for one, asked, importance in zip(content["searched"], content["asked"], content["importance"], strict=True)
    ]


def tabulate(courses: Sequence[Course]) -> Table:
    """Tabulate the best trials of each loss, the best of all marked."""
    keys = list(dict.fromkeys(key for course in courses for key in course.space))
    best = max((one.score for course in courses for one in course.trials if one.score is not None), default=None)
    rows = []
    for course in courses:
        good = sorted((each for each in course.trials if each.score is not None), key=_rank)
        once = {tuple(each.values.items()): each for each in reversed(good)}  # the same may be asked for again
        for each in sorted(once.values(), key=_rank)[:SHOWN]:
            values = [Cell(f"{each.values[key]:g}" if key in each.values else NOTHING) for key in keys]
            score = Cell(f"{100 * (each.score or 0):.2f}", best=each.score == best)
            rows.append((Cell(course.loss), score, *values, Cell(str(course.trials.index(each) + 1))))
    return Table(("loss", LABEL, *keys, "trial"), tuple(rows))


def _rank(tried: Tried) -> float:
    """Put the best first."""
    return -(tried.score or 0.0)


def _told(course: Course, key: str) -> str:
    """Write a range for a reader."""
    one = course.space[key]
    return f"{one.low:g} to {one.high:g}" + (", logarithmic" if one.log else "")


def _history(courses: Sequence[Course]) -> list[Panel]:
    """Lay out the course of the search: what each trial came to, and the best so far."""
    panels: list[Panel] = []
    for course in courses:
        scores_by_place = [(place, one.score) for place, one in enumerate(course.trials, start=1)]
        known = [(place, 100 * score) for place, score in scores_by_place if score is not None]
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
                    title=course.loss,
                    x_label="trial",
                    y_label=LABEL,
                    series=series,
                )
            )
    return panels


def _importance(courses: Sequence[Course]) -> list[Panel]:
    """Lay out how much each setting mattered."""
    return [
        Panel(
            name=f"importance-{place}",
            kind="dots",
            title=course.loss,
            x_label="setting",
            y_label="importance (%)",
            series=[Series(name=name, values=[[100 * value]]) for name, value in course.importance.items()],
        )
        for place, course in enumerate(courses)
        if course.importance
    ]
