"""Run a study, and write its report as a page, for a paper, and for a spreadsheet.

study.json          the declaration, the trials with their points of the grid, and the command
trials/             the store of records, and the run folders
report.html         the page; report.md is the same as Markdown
table.md            the table as Markdown; table.tex as LaTeX, table.csv as the same cells
results.csv         every trial with every quantity
significance.json   for every cell the difference from the best of its column, with interval and p
figures/            every figure as SVG and PNG
"""

import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from labelcontrast.errors import RunError
from labelcontrast.files import Hold, Layout, read_json, whole_file, write_json, write_text
from labelcontrast.lab.pipeline import TRIALS, Options, Progress, claim_folder, refuse_failures, run_missing
from labelcontrast.lab.quantities import QUANTITIES, read_quantity
from labelcontrast.lab.study import DATA, SEED, TRANSFER, GridTrial, Study, dimension_title, plan_study
from labelcontrast.lab.study_table import (
    Outcome,
    Verdict,
    choose_configurations,
    column_points,
    compare_rows,
    grid_values,
    study_panels,
    study_table,
)
from labelcontrast.lab.trial_pages import TrialsSummary, count_failures, draw, write_study_notes, write_trials_page
from labelcontrast.lab.trials import (
    Record,
    Runner,
    Store,
    Trial,
    fingerprint_data,
    fingerprint_encoder,
    identify,
)
from labelcontrast.reports.tables import Table, as_latex, as_markdown, spreadsheet
from labelcontrast.run.folder import OUTPUTS, REPEATED, REPORT
from labelcontrast.run.machine import describe_origin, machine_facts
from labelcontrast.run.validation import plugins_to_resume_with
from labelcontrast.settings import flatten

STUDY, FIGURES, STUDY_RESULTS = "study.json", "figures", "results.csv"
SIGNIFICANCE, NOTES = "significance.json", "report.md"
LAYOUT = Layout(
    kind="study",
    marker=STUDY,
    keys={"study"},
    entries=(STUDY, TRIALS, REPORT, NOTES, "table.*", STUDY_RESULTS, SIGNIFICANCE, FIGURES),
)


def run_study(
    study: Study,
    data: Sequence[str | Path],
    settings: Mapping[str, Any],
    folder: str | Path,
    *,
    store: str | Path | None = None,
    options: Options = Options(),  # noqa: B008  frozen
    say: Callable[[str], None] = lambda _: None,
) -> Table:
    """Run every trial of a study that its store lacks, and write its report.

    A failed trial is reported with its error, and the others are run. Trials that failed in an earlier command are
    repeated.

    Args:
        study: The declaration.
        data: Files or folders.
        settings: The user's settings, nested; the study's protocol and the defaults fill in the rest.
        folder: The output folder.
        store: The folder of the records, which several studies and searches may share; by default below ``folder``.
        options: How the trials are run.
        say: Receives messages.

    Returns:
        The table.

    Raises:
        RunError: The folder holds something, and ``options`` neither resume nor remove it.
        ConfigError: A setting of a trial is wrong.
    """
    folder, paths = Path(folder), [str(path) for path in data]
    if options.resume and (plugins := plugins_to_resume_with(settings.get("plugins", ()), folder / STUDY)):
        settings = {**settings, "plugins": list(plugins)}
    planned = plan_study(study, paths, settings)
    records = Store(Path(store or folder / TRIALS))
    trials = name_trials(planned, records)
    with _claim(folder, study, options) as hold:
        content = {
            "study": study.model_dump(mode="json"),
            "data": paths,
            "settings": settings,
            "store": os.path.relpath(records.folder.resolve(), folder.resolve()) if store else None,
            "trials": [{"key": trial.key, "place": one.point} for trial, one in zip(trials, planned, strict=True)],
            "origin": describe_origin(),
        }
        write_json(folder / STUDY, content)
        hold.share()
        run_missing(trials, records, Runner(options.device), options, Progress(say, name=study.name))
        table = write_study(folder)
    refuse_failures(trials, records)
    return table


def name_trials(planned: Sequence[GridTrial], store: Store) -> list[Trial]:
    """Return the trials with their keys and run folders; trials that differ only after the training share it."""
    paths = {path for one in planned for path in (one.settings.data, one.settings.transfer_to) if path}
    data = {path: fingerprint_data(path) for path in paths}
    encoders = {name: fingerprint_encoder(name) for name in {one.settings.encoder.name for one in planned}}

    def key_of(one: GridTrial, without: tuple[str, ...] = ()) -> str:
        settings = one.settings.model_copy(update={TRANSFER: data.get(one.settings.transfer_to or "")})
        encoder = encoders[one.settings.encoder.name]
        return identify(settings, data=data[one.settings.data], encoder=encoder, without=without)

    keys = [(key_of(one), f"training-{key_of(one, REPEATED)}") for one in planned]
    sharing = Counter(training for _, training in set(keys))
    return [
        Trial(
            key,
            one.title,
            one.settings,
            store.folder / key,
            store.folder / training if sharing[training] > 1 else None,
        )
        for (key, training), one in zip(keys, planned, strict=True)
    ]


def write_study(folder: str | Path) -> Table:
    """Write the report of a study, finished or not, from the files in its folder and its store.

    Returns:
        The table.
    """
    folder = Path(folder)
    content = read_json(folder / STUDY)
    study = Study.build(content["study"])
    every = read_outcomes(folder, content)
    listed = _as_csv(list_results(study, every))
    study, outcomes, choices = choose_configurations(study, every)
    summary = _summarise(study, outcomes, content, _load_or_compute_verdicts(folder, study, outcomes))
    facts = [(f"chosen for {place}", choice) for place, choice in choices.items()]
    summary = replace(summary, facts=[*summary.facts, *facts])
    drawings = [draw(panel) for panel in summary.panels]
    write_text(folder / "table.md", as_markdown(summary.table) + "\n")
    write_text(folder / "table.tex", as_latex(summary.table) + "\n")
    cells = [[cell.text for cell in row] for row in summary.table.rows]
    write_text(folder / "table.csv", _as_csv([summary.table.header, *cells]))
    write_text(folder / STUDY_RESULTS, listed)
    for drawing in drawings:
        write_text(folder / FIGURES / f"{drawing.name}.svg", drawing.svg)
        with whole_file(folder / FIGURES / f"{drawing.name}.png") as file:
            file.write(drawing.png)
    write_trials_page(folder / REPORT, "study.html", summary, drawings)
    write_study_notes(folder / NOTES, summary, drawings, figures=FIGURES)
    return summary.table


def read_outcomes(folder: Path, content: Mapping[str, Any]) -> list[Outcome]:
    """Read the records of the trials that ``study.json`` lists."""
    store = Store(folder / (content["store"] or TRIALS))  # an earlier version wrote it absolutely
    return [
        Outcome(trial["place"], store.read(trial["key"]), store.folder / trial["key"] / OUTPUTS)
        for trial in content["trials"]
    ]


@contextmanager
def _claim(folder: Path, study: Study, options: Options) -> Iterator[Hold]:
    """Hold the folder; what is resumed must be the same study."""
    earlier = LAYOUT.marks(folder)
    name = read_json(folder / STUDY)["study"]["name"] if earlier else ""
    with claim_folder(folder, LAYOUT, options, title=f"the study {name}") as hold:
        if hold.resumes and name != study.name:
            message = f"{folder} holds the study {name}, not {study.name}; choose another folder."
            raise RunError(message)
        yield hold


def _load_or_compute_verdicts(folder: Path, study: Study, outcomes: Sequence[Outcome]) -> list[Verdict]:
    """Compare the rows and save the verdicts; without the outputs of the trials, load the saved ones."""
    path = folder / SIGNIFICANCE
    verdicts = compare_rows(study, outcomes, column_points(study, outcomes))
    if verdicts is not None:
        write_json(path, verdicts)
        return verdicts
    saved: list[Verdict] = read_json(path) if path.exists() else []
    return saved


def _summarise(
    study: Study, outcomes: Sequence[Outcome], content: Mapping[str, Any], verdicts: Sequence[Verdict]
) -> TrialsSummary:
    ended = [one for one in outcomes if one.record is not None]
    records = [one.record for one in ended if one.record is not None]
    failures = [(str((one.record or {}).get("title", one.point)), one.error) for one in outcomes if one.error]
    shown = dict.fromkeys([*study.table.metrics, *(name for figure in study.figures for name in figure.y)])
    origin, left = content["origin"], len(outcomes) - len(ended)
    return TrialsSummary(
        title=f"{study.name}: {', '.join(map(str, grid_values(outcomes, DATA)))}",
        question=study.question,
        source=study.source,
        command=origin["command"],
        table=study_table(study, outcomes, verdicts),
        tested=bool(verdicts),
        within=[dimension_title(name) for name in study.table.within],
        panels=study_panels(study, outcomes),
        glossary=_glossary(shown),
        failures=failures,
        facts=[
            ("trials", count_failures(records)),
            ("seeds", len(grid_values(outcomes, SEED))),
            *machine_facts(origin),
        ],
        settings=_shared_settings(records),
        warnings=[*([f"{left} of {len(outcomes)} trials have not ended."] if left else []), *_data_warnings(ended)],
        versions=origin["versions"],
        duration=sum(record["seconds"] for record in records),
    )


def _shared_settings(records: Sequence[Record]) -> dict[str, object]:
    """Return the resolved settings that all trials have in common."""
    flat = [flatten(record["settings"]) for record in records if "settings" in record]
    first = flat[0] if flat else {}
    return {name: value for name, value in first.items() if all(one.get(name) == value for one in flat)}


def _data_warnings(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the warnings about the data, once per data set."""
    found = {
        f"{one.point[DATA]}: {line}": None
        for one in outcomes
        for line in (one.record or {}).get("result", {}).get("warnings", ())
    }
    return list(found)


def _glossary(names: Iterable[str]) -> list[tuple[str, str]]:
    """Explain quantities; those with the same explanation share an entry."""
    labels: dict[str, list[str]] = {}
    for name in names:
        quantity = QUANTITIES[name]
        better = "" if quantity.better is None else f" {quantity.better.title()} is better."
        labels.setdefault(quantity.meaning + better, []).append(quantity.label)
    return [(", ".join(same), sentence) for sentence, same in labels.items()]


def list_results(study: Study, outcomes: Sequence[Outcome]) -> list[list[object]]:
    """Return a row for each trial with every quantity; a quantity that was not measured is None."""
    names = [*study.dimensions, SEED]
    rows: list[list[object]] = [[*names, *QUANTITIES, "error"]]
    for one in outcomes:
        values = [read_quantity(one.record or {}, name) for name in QUANTITIES]
        rows.append([*(one.point.get(name) for name in names), *values, one.error])
    return rows


def _as_csv(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([map(spreadsheet, row) for row in rows])
    return text.getvalue()
