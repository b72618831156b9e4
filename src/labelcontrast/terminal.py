"""What the verbs print: progress on standard error, results on standard output."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow.parquet as pq
import torch

from labelcontrast.allocator import keep_freed_memory
from labelcontrast.config import Loss, RunSettings, override, read_settings
from labelcontrast.contrast.catalogue import loss_catalogue
from labelcontrast.data.describe import Description, describe
from labelcontrast.data.describe_text import render
from labelcontrast.data.doctor.checkup import check, render_findings
from labelcontrast.data.doctor.findings import without_unreadable
from labelcontrast.data.doctor.fixing import write_fixed
from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.readers.lines import read_lines
from labelcontrast.data.readers.registry import read
from labelcontrast.data.splitting.splits import Splits
from labelcontrast.encoders.base import TextEncoder
from labelcontrast.evaluation.metrics.measures import METRICS
from labelcontrast.experiment import Listeners, build_encoder, read_splits, run_experiment
from labelcontrast.files import whole_file
from labelcontrast.prediction import as_table, embed, evaluate, predict
from labelcontrast.reporting import write_report
from labelcontrast.reports.figures import label_histogram
from labelcontrast.reports.tables import Cell, Table, as_text, percent, title_of
from labelcontrast.run_folder import REPORT, load_model, load_settings
from labelcontrast.studies.across import rank_comparisons
from labelcontrast.studies.comparison import Options, run_comparison
from labelcontrast.studies.declared.report import STUDY, write_study
from labelcontrast.studies.declared.running import Options as StudyOptions
from labelcontrast.studies.declared.running import run_study
from labelcontrast.studies.declared.study import Study, catalogue
from labelcontrast.studies.demo import EPOCHS as DEMO_EPOCHS
from labelcontrast.studies.demo import run_demo
from labelcontrast.training.history import Epoch


def print_training(settings: RunSettings, out: Path, *, resume: bool, force: bool) -> None:
    """Train one model, with a line an epoch, and print its metrics."""
    result = run_experiment(
        settings, out, resume=resume, force=force, device=pick_device(), listeners=_listeners(settings.training.epochs)
    )
    show(as_text(metrics_table(result["metrics"])))
    show(f"\nbest epoch {result['best_epoch']}; model in {out}, page in {out / REPORT}")


def print_comparison(settings: RunSettings, losses: list[Loss], out: Path, options: Options) -> None:
    """Compare losses and print the table."""
    options = replace(options, device=pick_device())
    table = run_comparison(settings, losses, out, options, listeners=_listeners(settings.training.epochs))
    show("\n" + as_text(table))
    show(f"\npage in {write_report(out)}")


def print_ranks(folders: Sequence[Path], out: Path) -> None:
    """Rank losses over comparisons and print their mean ranks."""
    rankings = rank_comparisons(folders, out)
    names = list(next(iter(rankings.values())).ranks)
    rows = [(Cell(name), *(Cell(f"{ranking.ranks[name]:.2f}") for ranking in rankings.values())) for name in names]
    distance = next(iter(rankings.values())).critical_difference
    show(as_text(Table(("mean rank", *map(title_of, rankings)), tuple(rows))))
    show(f"\ncritical difference {distance:.2f}; page in {out}")


def print_demo(out: Path, *, force: bool) -> None:
    """Run the demo and print the table and what to do next."""
    table = run_demo(out, force=force, device=pick_device(), listeners=_listeners(DEMO_EPOCHS))
    show("\n" + as_text(table))
    show(f"\nThe page with figures: {write_report(out / 'comparison')}")
    show("The same on your own file: labelcontrast compare YOUR_FILE --losses bce,zlpr,reg --out results")


def print_description(settings: RunSettings, plot: Path | None) -> None:
    """Describe data, with what the encoder would cut of its texts."""
    _show_description(_described(settings, read_splits(settings)), plot)


def print_doctor(settings: RunSettings, plot: Path | None, *, cleanlab: bool, fix: Path | None) -> None:
    """Describe data, and look for what is wrong with them; with a folder to fix them into, write them put right."""
    splits, unreadable = without_unreadable(read_splits(settings, check_pictures=False))
    description = _described(settings, splits)
    _show_description(description, plot)
    checkup = check(splits, description, cleanlab=cleanlab)
    show("\n" + render_findings([*unreadable, *checkup.findings]))
    if fix is not None:
        left_out = write_fixed(splits, checkup.suspects, fix)
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in left_out.items()) or "nothing"
        show(f"\nPut right in {fix}; left out: {reasons}")


def print_evaluation(run: Path, data: str, split: Part) -> None:
    """Evaluate a run on labelled examples and print the metrics."""
    model = load_model(run)
    show(as_text(metrics_table({split: evaluate(model, _labelled(data, split, load_settings(run)))})))


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


def print_study(
    study: Study,
    data: list[str],
    out: Path,
    options: StudyOptions,
    *,
    config: Path | None,
    assignments: list[str],
) -> None:
    """Run a study under a file of settings and single assignments, and print its table."""
    values = read_settings(config) if config else {}
    settings = override(values, [one for one in assignments if not study.varies(one)])
    table = run_study(study, data, settings, out, replace(options, device=pick_device()), say=say)
    show("\n" + as_text(table))
    show(f"\npage in {out / REPORT}")


def print_studies() -> None:
    """Print a paragraph a study."""
    for name, study in catalogue().items():
        lines = [study.question, f"losses  {', '.join(study.losses)}"]
        lines += [f"varies  {axis} = {', '.join(map(str, values))}" for axis, values in study.grid.items()]
        lines += [f"after   {study.source}"] if study.source else []
        show("\n    ".join([name, *lines]) + "\n")


def print_report(folder: Path) -> None:
    """Write the page of a run, a comparison or a study again, and print where it is."""
    if (folder / STUDY).exists():
        write_study(folder)
        show(str(folder / REPORT))
    else:
        show(str(write_report(folder)))


def metrics_table(metrics: Mapping[str, Mapping[str, float]]) -> Table:
    """Tabulate metrics, a row a part of the data."""
    rows = [(Cell(part), *(Cell(percent(values[name])) for name in METRICS)) for part, values in metrics.items()]
    return Table(("%", *map(title_of, METRICS)), tuple(rows))


def pick_device() -> str:
    """Name the accelerator where there is one; on a CPU, keep the memory that training frees and takes again."""
    if torch.cuda.is_available():
        return "cuda"
    keep_freed_memory()
    return "cpu"


def say(sentence: str) -> None:
    """Tell of progress."""
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201


def show(text: str) -> None:
    """Print a result."""
    print(text, flush=True)  # noqa: T201


def _described(settings: RunSettings, splits: Splits) -> Description:
    """Describe splits, with what the encoder would cut of texts."""
    lengths = limit = None
    if splits.train.kind == "text":
        encoder = build_encoder(settings, splits.train)
        assert isinstance(encoder, TextEncoder)
        lengths = {name: _token_lengths(encoder, part) for name, part in splits.parts.items()}
        limit = encoder.max_length
    return describe(splits, token_lengths=lengths, max_length=limit)


def _token_lengths(encoder: TextEncoder, examples: Examples) -> list[int]:
    """Count the tokens of every text, some thousands at a time."""
    texts = map(str, examples.inputs)
    chunks = iter(lambda: list(islice(texts, 10_000)), [])
    return [length for chunk in chunks for length in encoder.token_lengths(chunk).tolist()]


def _show_description(description: Description, plot: Path | None) -> None:
    """Print a description, and draw its histogram where a file for it is named."""
    show(render(description))
    if plot is not None:
        with whole_file(plot) as file:
            file.write(label_histogram({label.name: label.train for label in description.labels}))


def _listeners(epochs: int) -> Listeners:
    """Print a line an epoch, and show a bar within it where somebody is watching."""

    def epoch(record: Epoch) -> None:
        say(
            f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}   loss {record.loss:8.4f}   "
            f"validation mAP {record.score:.4f}   {record.seconds:.1f} s"
        )

    return Listeners(say=say, epoch=epoch, bar=sys.stderr.isatty())


def _labelled(data: str, split: Part, settings: RunSettings) -> Examples:
    """Read examples with labels: one part, where the data have parts or the run has divided them."""
    path = Path(data)
    if path.is_dir() or path.resolve() == Path(settings.data).resolve():
        return read_splits(settings.model_copy(update={"data": data})).parts[split]
    examples = read(path, **settings.columns.model_dump())
    return examples if examples.parts is None else examples.select(np.flatnonzero(np.array(examples.parts) == split))


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
