"""What the verbs print that use what is there: a model, a folder of results, the catalogue."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow.parquet as pq

from labelcontrast.config.settings import RunSettings
from labelcontrast.contrast.catalogue import loss_catalogue
from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.readers.lines import read_lines
from labelcontrast.data.readers.registry import read
from labelcontrast.evaluation.metrics.measures import DETAILS
from labelcontrast.files import whole_file
from labelcontrast.labels.vocabulary import LabelVocabulary
from labelcontrast.reports.tables import Cell, Table, as_text, percent
from labelcontrast.run.folder import REPORT, load_model, load_settings, load_training_labels
from labelcontrast.run.material import at_target, read_data, read_splits
from labelcontrast.run.prediction import as_table, embed, evaluate, predict
from labelcontrast.run.reporting import write_report
from labelcontrast.studies.declared.report import STUDY, write_study
from labelcontrast.studies.search.page import SEARCH, write_search
from labelcontrast.terminal.console import metrics_table, say, show, show_hierarchy


def print_evaluation(run: Path, data: str, split: Part) -> None:
    """Evaluate a run on labelled examples and print the metrics: every measure on a line, and last the short table."""
    model, settings = load_model(run), at_target(load_settings(run))
    examples = _labelled(data, split, settings)
    if settings.label_fraction < 1:
        examples = _of_kept_labels(examples, model.vocabulary)
    found = evaluate(model, examples, train=load_training_labels(run))
    show(as_text(_details(found)) + "\n")
    show(as_text(metrics_table({split: found})))
    if "hierarchy" in found:
        show_hierarchy({split: found["hierarchy"]}, levels_of=split)


def write_predictions(run: Path, source: str, out: Path | None, *, top: int | None) -> None:
    """Write predictions as JSON Lines, to a file or to standard output."""
    model = load_model(run)
    with _destination(out) as file:
        for row in predict(model, _unlabelled(source, load_settings(run)), top=top):
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def write_embeddings(run: Path, source: str, out: Path) -> None:
    """Write embeddings as Parquet."""
    model = load_model(run)
    examples = _unlabelled(source, load_settings(run))
    with whole_file(out) as file:
        pq.write_table(as_table(examples.ids, embed(model, examples)), file)
    say(f"{len(examples):,} embeddings of width {model.encoder.output_dim} in {out}")


def print_report(folder: Path) -> None:
    """Write the page of a run, a comparison, a study or a search again, and print where it is."""
    writers: dict[str, Callable[[Path], object]] = {STUDY: write_study, SEARCH: write_search}
    write = next((writer for marker, writer in writers.items() if (folder / marker).exists()), write_report)
    write(folder)
    show(str(folder / REPORT))


def print_catalogue() -> None:
    """Print a paragraph a loss."""
    for row in loss_catalogue():
        parameters = ", ".join(f"{name}={value}" for name, value in row.parameters.items())
        lines = [
            row.summary,
            f"equation    {row.equation}",
            f"parameters  {parameters}",
            f"source      {row.reference}",
        ]
        show("\n    ".join([f"{row.name}  (on {'logits' if row.kind == 'logit' else 'projections'})", *lines]) + "\n")


def _details(found: Mapping[str, float]) -> Table:
    """Tabulate what the short table leaves out, a row a measure; all in percent but the places of ``coverage``."""
    said = {
        name: f"{found[name]:.2f} labels" if name == "coverage" else percent(found[name])
        for name in DETAILS
        if name in found
    }
    return Table(("measure", "%"), tuple((Cell(name), Cell(value)) for name, value in said.items()))


def _labelled(data: str, split: Part, settings: RunSettings) -> Examples:
    """Read examples with labels: one part, where the data have parts or the run has divided them.

    On its own data a run does with them what it did in training; others are taken as they are: the run knows of the
    hierarchy, and what it does not know of is refused.
    """
    path = Path(data)
    if path.resolve() == Path(settings.data).resolve():
        return read_data(settings).splits.parts[split]
    if path.is_dir():
        return read_splits(settings.model_copy(update={"data": data})).parts[split]
    examples = read(path, **settings.columns.model_dump())
    return examples if examples.parts is None else examples.select(np.flatnonzero(np.array(examples.parts) == split))


def _of_kept_labels(examples: Examples, vocabulary: LabelVocabulary) -> Examples:
    """Leave labels out that a run with a share of the labels does not have, and say so."""
    others = {label for labels in examples.label_sets or [] for label in labels} - set(vocabulary.names)
    if others:
        say(f"{len(others)} labels left out: the run was trained on a share of the labels")
    return examples.with_labels(vocabulary.column)


def _unlabelled(source: str, settings: RunSettings) -> Examples:
    """Read examples from a file, a folder of pictures, or standard input."""
    if source == "-":
        return read_lines(sys.stdin)
    return read(source, text=settings.columns.text, image=settings.columns.image)


@contextmanager
def _destination(out: Path | None) -> Iterator[BinaryIO]:
    """Open a file that is whole or not there, or standard output."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with whole_file(out) as file:
            yield file
