"""The report of a study, made from what its folder and its store hold: as a page, for a paper, and for a spreadsheet.

study.json     the declaration, the trials with their places in the grid, the command
trials/        the store: what each trial came to, and its run folder
report.html    the page; report.md is the same as Markdown
table.md       the table as Markdown; table.tex as LaTeX, table.csv as the same cells
results.csv    every trial with every quantity
significance.json   of every cell the difference from the best of its column, with interval and p
figures/       every figure as SVG and PNG
"""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from labelcontrast.files import read_json, whole_file, write_json, write_text
from labelcontrast.lab.figures import draw
from labelcontrast.lab.layout import Outcome, Verdict, column_places, draw_panels, judge_rows, tabulate, values_of
from labelcontrast.lab.pages import StudySummary, write_study_notes, write_study_report
from labelcontrast.lab.plan import short
from labelcontrast.lab.quantities import QUANTITIES, measure
from labelcontrast.lab.store import Record, Store
from labelcontrast.lab.study import DATA, SEED, Study
from labelcontrast.reports.tables import Table, as_latex, as_markdown
from labelcontrast.run.folder import OUTPUTS, REPORT
from labelcontrast.settings import flatten

STUDY, TRIALS, FIGURES, RESULTS = "study.json", "trials", "figures", "results.csv"
SIGNIFICANCE, NOTES = "significance.json", "report.md"


def write_study(folder: Path) -> Table:
    """Write the report of a study, finished or not, anew.

    Returns:
        The table.
    """
    content = read_json(folder / STUDY)
    study = Study.build(content["study"])
    outcomes = read_outcomes(folder, content)
    verdicts = read_verdicts(folder, study, outcomes)
    summary = summarise(study, outcomes, content, verdicts)
    drawings = [draw(panel) for panel in summary.panels]
    write_text(folder / "table.md", as_markdown(summary.table) + "\n")
    write_text(folder / "table.tex", as_latex(summary.table) + "\n")
    cells = [[cell.text for cell in row] for row in summary.table.rows]
    write_text(folder / "table.csv", _as_csv([summary.table.header, *cells]))
    write_text(folder / RESULTS, _as_csv(_long(study, outcomes)))
    for drawing in drawings:
        write_text(folder / FIGURES / f"{drawing.name}.svg", drawing.svg)
        with whole_file(folder / FIGURES / f"{drawing.name}.png") as file:
            file.write(drawing.png)
    write_study_report(folder / REPORT, summary, drawings)
    write_study_notes(folder / NOTES, summary, drawings, figures=FIGURES)
    return summary.table


def read_verdicts(folder: Path, study: Study, outcomes: Sequence[Outcome]) -> list[Verdict]:
    """Compare the rows, and keep what came of it; where the outputs are gone, what was kept holds."""
    path = folder / SIGNIFICANCE
    verdicts = judge_rows(study, outcomes, column_places(study, outcomes))
    if verdicts is not None:
        write_json(path, verdicts)
        return verdicts
    kept: list[Verdict] = read_json(path) if path.exists() else []
    return kept


def read_outcomes(folder: Path, content: dict[str, Any]) -> list[Outcome]:
    """Read what the trials of a study came to."""
    store = Store(Path(content["store"]) if content["store"] else folder / TRIALS)
    return [
        Outcome(trial["place"], store.read(trial["key"]), store.folder / trial["key"] / OUTPUTS)
        for trial in content["trials"]
    ]


def summarise(
    study: Study, outcomes: Sequence[Outcome], content: dict[str, Any], verdicts: Sequence[Verdict]
) -> StudySummary:
    """Gather the page of a study."""
    ended = [one for one in outcomes if one.record is not None]
    records = [one.record for one in ended if one.record is not None]
    shown = dict.fromkeys([*study.table.metrics, *(name for figure in study.figures for name in figure.y)])
    origin = content["origin"]
    left = len(outcomes) - len(ended)
    return StudySummary(
        title=f"{study.name}: {', '.join(map(str, values_of(outcomes, DATA)))}",
        question=study.question,
        source=study.source,
        command=origin["command"],
        table=tabulate(study, outcomes, verdicts),
        tested=bool(verdicts),
        within=[short(name) for name in study.table.within],
        panels=draw_panels(study, outcomes),
        glossary=_glossary(shown),
        failures=[(_title(one), one.error) for one in outcomes if one.error],
        facts=_facts(outcomes, records, origin),
        settings=_shared_settings(records),
        warnings=[*([f"{left} of {len(outcomes)} trials have not ended."] if left else []), *_warnings(ended)],
        versions=origin["versions"],
        duration=sum(record["seconds"] for record in records),
    )


def _facts(outcomes: Sequence[Outcome], records: Sequence[Record], origin: dict[str, Any]) -> list[tuple[str, object]]:
    """Say how much there was, and on which machine."""
    machine = origin["machine"]
    failed = sum(one.error is not None for one in outcomes)
    return [
        ("trials", f"{len(records)}" + (f", {failed} failed" if failed else "")),
        ("seeds", len(values_of(outcomes, SEED))),
        ("machine", f"{machine['processors']} processors, {machine['memory_gib']} GiB"),
        ("accelerator", machine["accelerator"] or "none"),
        ("date", origin["date"]),
    ]


def _shared_settings(records: Sequence[Record]) -> dict[str, object]:
    """List the settings that all trials have in common, resolved."""
    flat = [flatten(record["settings"]) for record in records if "settings" in record]
    first = flat[0] if flat else {}
    return {name: value for name, value in first.items() if all(one.get(name) == value for one in flat)}


def _warnings(outcomes: Sequence[Outcome]) -> list[str]:
    """Repeat what the reader warned of, once a data set."""
    found = {
        f"{one.place[DATA]}: {line}": None
        for one in outcomes
        for line in (one.record or {}).get("result", {}).get("warnings", ())
    }
    return list(found)


def _glossary(names: Iterable[str]) -> list[tuple[str, str]]:
    """Say what quantities are, those of which the same is said in one line."""
    told: dict[str, list[str]] = {}
    for name in names:
        told.setdefault(_sentence(name), []).append(QUANTITIES[name].label)
    return [(", ".join(labels), sentence) for sentence, labels in told.items()]


def _sentence(name: str) -> str:
    """Say what a quantity is, and which way is better."""
    quantity = QUANTITIES[name]
    return quantity.meaning if quantity.better is None else f"{quantity.meaning} {quantity.better.title()} is better."


def _title(outcome: Outcome) -> str:
    """Name a trial."""
    return str((outcome.record or {}).get("title", outcome.place))


def _long(study: Study, outcomes: Sequence[Outcome]) -> list[list[object]]:
    """Every trial with every quantity, a row a trial; what was not measured is empty."""
    names = [*study.dimensions, SEED]
    rows: list[list[object]] = [[*names, *QUANTITIES, "error"]]
    for one in outcomes:
        values = [measure(one.record or {}, name) for name in QUANTITIES]
        rows.append([*(one.place.get(name) for name in names), *values, one.error])
    return rows


def _as_csv(rows: Sequence[Sequence[object]]) -> str:
    """Write rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
