"""What the verbs about data and one model do and print, beyond their arguments; imports torch."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import torch

from labelcontrast.cli.output import say, show, show_json
from labelcontrast.data.description import Description, describe, render_description
from labelcontrast.data.doctor.checkup import examine, render_findings, without_unreadable, write_fixed
from labelcontrast.data.examples import Examples, SplitName
from labelcontrast.data.formats import read_lines
from labelcontrast.data.splits import Splits
from labelcontrast.data.table import listed
from labelcontrast.encoders.base import TextEncoder
from labelcontrast.errors import DataError, LabelError, RunError
from labelcontrast.experiment import run_experiment
from labelcontrast.export.formats import Format, export_run
from labelcontrast.export.onnx_graph import OnnxExport
from labelcontrast.files import check_new, whole_file, write_text
from labelcontrast.labels.vocabulary import LabelVocabulary
from labelcontrast.metrics.registry import DETAILS, HIERARCHICAL_METRICS, LEVEL_METRICS, METRICS, RETRIEVAL_METRICS
from labelcontrast.reports.figures import label_histogram
from labelcontrast.reports.tables import (
    NOTHING,
    Cell,
    Table,
    as_text,
    level_table,
    measures_table,
    percent,
    printable,
    retrieval_table,
)
from labelcontrast.run.changes import Version, change_labels, read_changes, set_thresholds, undo_change
from labelcontrast.run.estimate import estimate_run
from labelcontrast.run.evaluation import ModelEvaluation, evaluate
from labelcontrast.run.explanation import Neighbour
from labelcontrast.run.fitting import Callbacks
from labelcontrast.run.folder import REPORT, RunResult, load_settings, load_training_labels
from labelcontrast.run.hierarchy import describe_hierarchy, find_hierarchy
from labelcontrast.run.inputs import build_encoder, fit_settings, load_data, read_given, read_splits, with_transfer_data
from labelcontrast.run.label_rows import FOLDS
from labelcontrast.run.machine import keep_freed_memory
from labelcontrast.run.model import load, save_embeddings, save_predictions
from labelcontrast.run.report import retrieval_groups
from labelcontrast.settings import LabelChange, RunSettings, settings_template

if TYPE_CHECKING:
    from labelcontrast.serving.gate import Limits

AFTERWARDS = "probe, views, thresholds and page, which are not timed"
"""What an estimate leaves out."""


def callbacks() -> Callbacks:
    """Return callbacks that print sentences, and a line per epoch."""
    return Callbacks(on_message=say, on_epoch=lambda epoch: say(str(epoch)))


def pick_device() -> str:
    """Return ``cuda`` when there is an accelerator; otherwise keep freed memory, which speeds up training on a CPU."""
    if torch.cuda.is_available():
        return "cuda"
    keep_freed_memory()
    return "cpu"


def print_description(settings: RunSettings, plot: Path | None, *, as_json: bool = False) -> None:
    """Print the statistics of data, and the texts that the encoder would truncate."""
    splits = read_splits(settings)
    description = _described(settings, splits)
    _draw_labels(description, plot)
    if as_json:
        show_json(asdict(description) | {"hierarchy": _hierarchy_lines(settings, splits)})
    else:
        _show_description(description, _hierarchy_lines(settings, splits))


def print_doctor(
    settings: RunSettings, plot: Path | None, *, cleanlab: bool, fix: Path | None, as_json: bool = False
) -> None:
    """Print the statistics of data and the defects found; write a repaired copy when ``fix`` names a folder."""
    if fix is not None:
        check_new(fix)
    splits, unreadable = without_unreadable(read_splits(settings, check_pictures=False))
    description = _described(settings, splits)
    _draw_labels(description, plot)
    lines = _hierarchy_lines(settings, splits)
    if not as_json:
        _show_description(description, lines)
    checkup = examine(splits, description, cleanlab=cleanlab)
    findings = [*unreadable, *checkup.findings]
    if as_json:
        show_json(asdict(description) | {"hierarchy": lines, "findings": [asdict(one) for one in findings]})
    else:
        show("\n" + render_findings(findings))
    if fix is not None:
        left_out = {"unreadable": sum(finding.number for finding in unreadable)}
        left_out |= write_fixed(splits, checkup.suspects, fix)
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in left_out.items() if number) or "nothing"
        (say if as_json else show)(f"\nRepaired copy in {fix}; left out: {reasons}")


def write_fitted_settings(settings: RunSettings, out: Path) -> None:
    """Write a file of settings that fit the data, with what was found as its first comment, and print how to use it."""
    sentences: list[str] = []
    fitted = fit_settings(settings, sentences.append)
    head = ["Settings for labelcontrast train --config. What is set here fits the data:", *sentences]
    head += ["Everything else has its default, and is a comment."]
    values = fitted.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    comment = "".join(f"# {line}\n" for sentence in head for line in printable(sentence).splitlines())
    write_text(out, f"{comment}\n{settings_template(values, defaults=False)}")
    for sentence in sentences:
        say(sentence)
    show(f"settings in {out}; train with them: labelcontrast train --config {out} --out run")


def print_estimate(settings: RunSettings, *, as_json: bool = False) -> None:
    """Print what a run would do, how long it would take, and how much memory; nothing is written."""
    found = estimate_run(settings, device=pick_device(), on_message=say)
    if as_json:
        show_json(asdict(found))
        return
    show(f"would train {settings.loss.title} with the encoder {found.encoder}")
    show(f"{found.steps:,} batches, {found.seconds_per_step:.3g} s each; {gigabytes(found.memory)} of memory at most")
    for name, seconds in found.seconds.items():
        show(f"{name:<10}{duration(seconds):>9}")
    show(f"{'together':<10}{duration(sum(found.seconds.values())):>9}, before {AFTERWARDS}")


def duration(seconds: float) -> str:
    """Return a time in its largest unit."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def gigabytes(size: int) -> str:
    """Return bytes in gigabytes."""
    return f"{size / 1e9:.1f} GB"


def print_training(settings: RunSettings, out: Path, *, resume: bool, force: bool, as_json: bool = False) -> None:
    """Train and evaluate one model, and print its metrics."""
    result = run_experiment(settings, out, resume=resume, force=force, device=pick_device(), callbacks=callbacks())
    if as_json:
        show_json(dict(result))
        return
    show_metrics(result)
    if found := result.hierarchy:
        show_hierarchy({split: found[split] for split in result.metrics}, levels_of="test")
        if groups := retrieval_groups(found):
            show("\n" + as_text(retrieval_table(groups, list(RETRIEVAL_METRICS.values()))))
    show(f"\nepoch {result.best_epoch} kept; model in {out}, report in {out / REPORT}")


def show_metrics(result: RunResult) -> None:
    """Print the metrics of a run, and those of each view alone."""
    alone = {f"test, {name} alone": one["test"] for name, one in (result.views or {}).items()}
    show(as_text(metrics_table({**result.metrics, **alone})))


def print_evaluation(run: Path, data: str, split: SplitName, *, as_json: bool = False) -> None:
    """Evaluate a run on labelled examples: print every measure on a line, then the short table."""
    model, settings = load(run), with_transfer_data(load_settings(run))
    examples = _labelled(data, split, settings)
    if settings.label_fraction < 1:
        examples = _with_known_labels(examples, model.vocabulary)
    found = evaluate(model, examples, train=load_training_labels(run))
    if as_json:
        show_json({"run": str(run), "split": split, "examples": len(examples), **asdict(found)})
        return
    show_evaluation(found, split)


def show_evaluation(found: ModelEvaluation, title: str) -> None:
    """Print every measure on a line, then the short table."""
    show(as_text(_details(found.metrics)) + "\n")
    show(as_text(metrics_table({title: found.metrics})))
    if found.hierarchy is not None:
        show_hierarchy({title: found.hierarchy}, levels_of=title)


def write_predictions(run: Path, source: str, out: Path | None, *, top: int | None) -> None:
    """Write predictions as JSON Lines to a file or to standard output."""
    _refuse_source(source, out)
    model = load(run)
    with _destination(out) as file:
        save_predictions(model, _unlabelled(source, load_settings(run)), file, top=top)


def write_embeddings(run: Path, source: str, out: Path) -> None:
    """Write embeddings as Parquet."""
    _refuse_source(source, out)
    model = load(run)
    examples = _unlabelled(source, load_settings(run))
    with whole_file(out) as file:
        save_embeddings(model, examples, file)
    say(f"{len(examples):,} embeddings of width {model.encoder.output_dim} in {out}")


def print_explanations(run: Path, source: str, *, text: bool, labels: Sequence[str] | None, as_json: bool) -> None:
    """Print why labels have their scores, as text or as JSON Lines."""
    model = load(run)
    for found in model.explain(_given(run, source, text=text), labels):
        if as_json:
            show_json(found.as_row())
            continue
        show(f"{found.id}: {', '.join(one.label for one in found.labels) or 'no label is predicted'}")
        for one in found.labels:
            sign = "predicted" if one.predicted else "not predicted"
            show(f"  {one.label}  probability {one.probability:.3f}, threshold {one.threshold:.3f} ({sign})")
            lines = {"views": [f"{name} {value:+.2f}" for name, value in one.contributions.items()]}
            lines["parts"] = [f"{part.name} {part.effect:+.2f}" for part in one.parts]
            lines["terms"] = [f"{part.name!r} {part.effect:+.2f}" for part in one.terms]
            lines["for"] = [_near(near) for near in one.supporting]
            lines["against"] = [_near(near) for near in one.opposing]
            for name, values in lines.items():
                if values:
                    show(f"    {name:8}{'; '.join(values)}")


def print_neighbours(run: Path, source: str, *, text: bool, k: int, as_json: bool) -> None:
    """Print the nearest training examples of inputs, as text or as JSON Lines."""
    model, examples = load(run), _given(run, source, text=text)
    ids = examples.ids if isinstance(examples, Examples) else ["1"]
    for identity, found in zip(ids, model.neighbours(examples, k), strict=True):
        if as_json:
            show_json({"id": identity, "neighbours": [asdict(near) for near in found]})
        else:
            show("\n    ".join([f"{identity}:", *map(_near, found)]))


def print_export(run: Path, out: Path, *, to: Format, int8: bool, data: str | None, as_json: bool = False) -> None:
    """Export a run, and print what was measured and what to do with the folder."""
    found = export_run(run, out, to=to, int8=int8, data=data)
    if as_json:
        show_json({"folder": str(out), "format": to, **(asdict(found) if found else {})})
        return
    if found is None:
        how = f'SentenceTransformer("{out}")' if to == "sentence-transformers" else f"hf upload NAME {out}"
        show(f"written to {out}; use it by: {how}")
        return
    rows = {"the run": "run", "its views in the graph": "torch", "onnx": "onnx", "onnx, int8": "int8"}
    show(as_text(_measured(found, {title: name for title, name in rows.items() if name in found.metrics})))
    if found.left_out:
        show(
            f"\nThe graph leaves out the view {', '.join(found.left_out)}; the others were blended anew on validation."
        )
    show(
        f"\nopset {found.opset}; probabilities differ from torch by {found.difference:.1g} at most on "
        f"{found.examples:,} test examples"
    )
    show(f"written to {out}; predict without torch: python {out / 'predict.py'} INPUT...")


def print_change(
    run: Path,
    change: LabelChange,
    *,
    frequency: float | None = None,
    data: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Change labels of a run, and print how good a fitted one is and what became of the others."""
    version = change_labels(run, change, frequency=frequency, data=data, out=out)
    entry = version.entry
    if as_json:
        show_json({"run": str(version.folder), **entry})
        return
    if change.verb in ("add", "merge"):
        measured = entry["measured"]
        held_out = f"{FOLDS} folds of the examples, and validation" if change.verb == "add" else "validation"
        cells = [percent(one) for one in (measured or {}).values()] or [NOTHING] * 4
        row = [Cell(held_out), *map(Cell, cells), Cell(f"{entry['threshold']:.3f}")]
        titles = ("%", "precision", "recall", "F1", "average precision", "threshold")
        show(as_text(Table(titles, (tuple(row),))))
        without = f", {entry['negatives']:,} without it" if change.verb == "add" else ""
        show(f"\n{entry['positives']:,} training examples with it{without}; taken as {entry['frequency']:.2%} of all")
        counts = " and ".join(f"{count:,} of {total:,} {part}" for part, (count, total) in entry["predicted"].items())
        show(f"predicted for {counts} examples")
    _show_version(version)


def print_thresholds(
    run: Path,
    labels: list[str] | None,
    wanted: Mapping[str, Any],
    *,
    data: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Choose thresholds, and print which labels keep theirs and what became of the decisions."""
    version = set_thresholds(run, labels=labels, **wanted, data=data, out=out)
    if as_json:
        show_json({"run": str(version.folder), **version.entry})
        return
    if unchanged := version.entry["unchanged"]:
        why = "on no validation example, or none reaches what is wanted"
        show(f"threshold as before: {listed(unchanged, most=5)} ({why})")
    _show_version(version)


def _show_version(version: Version) -> None:
    """Print what became of the labels that are as before, and where the version is."""
    if others := version.entry["others"]:
        changed = f"{others['changed']:,} of {others['decisions']:,} decisions changed"
        show(f"{_of_others(others)}; {changed}")
        if others["worst"] and others["worst"]["f1"][1] < others["worst"]["f1"][0]:
            before, after = map(percent, others["worst"]["f1"])
            show(f'largest loss: "{others["worst"]["label"]}", F1 {before} -> {after}')
    show(f"version in {version.folder}, {version.entry['seconds']:.1f} s; labelcontrast labels undo removes it")


def print_changes(run: Path, *, as_json: bool) -> None:
    """Print the changes of the labels of a run, the first one first, as text or as JSON Lines."""
    entries = read_changes(run)
    for entry in entries:
        if as_json:
            show_json(entry)
            continue
        what = ", ".join(entry["labels"]) or "all labels"
        into = f" -> {entry['into']}" if entry.get("into") else ""
        wanted = ", ".join(f"{name} {one}" for name in ("precision", "recall") if (one := entry.get(name)) is not None)
        wanted += "cost {:g}:{:g}".format(*entry["cost"]) if entry.get("cost") else ""
        effect = f"; {_of_others(entry['others'])}" if entry["others"] else ""
        show(f"{entry['date']}  {entry['verb']} {what}{into}{f' by {wanted}' if wanted else ''}{effect}")
    if not (entries or as_json):
        show(f"{run}: no change of its labels since training")


def _of_others(others: Mapping[str, Any]) -> str:
    micro, macro = (f"{percent(one[0])} -> {percent(one[1])}" for one in (others["micro_f1"], others["macro_f1"]))
    return f"other labels on test: micro-F1 {micro}, macro-F1 {macro}"


def print_undo(run: Path) -> None:
    """Remove a version, and print the run that it was made from."""
    show(f"{run} is removed; the run before is {undo_change(run)}")


def _measured(found: OnnxExport, rows: Mapping[str, str]) -> Table:
    titles = [METRICS[name].title for name in found.metrics["run"]]
    speeds, sizes = found.examples_per_second, found.megabytes
    cells = [
        (
            Cell(title),
            *(Cell(percent(value)) for value in found.metrics[name].values()),
            Cell(f"{speeds[name]:,.0f}" if name in speeds else NOTHING),
            Cell(f"{sizes[name]:,.1f}" if name in sizes else NOTHING),
        )
        for title, name in rows.items()
    ]
    return Table(("%", *titles, "examples/s", "MB"), tuple(cells))


def print_serving(
    runs: list[Path], *, host: str, port: int, limits: "Limits", wait: float, log_content: bool, with_data: bool
) -> None:
    """Serve runs until the process is asked to end, and print the address when the server answers."""
    from labelcontrast.serving.server import serve

    names = ", ".join(path.resolve().name for path in runs)
    serve(
        runs,
        host=host,
        port=port,
        limits=limits,
        wait=wait,
        log_content=log_content,
        with_data=with_data,
        on_ready=lambda address: show(f"serving {names} at {address}"),
    )


def metrics_table(metrics: Mapping[str, Mapping[str, float | None]]) -> Table:
    """Tabulate metrics in percent, one row per split."""
    rows = [(Cell(split), *(Cell(percent(values[name])) for name in METRICS)) for split, values in metrics.items()]
    return Table(("%", *(metric.title for metric in METRICS.values())), tuple(rows))


def show_hierarchy(metrics: Mapping[str, Mapping[str, Any]], *, levels_of: str) -> None:
    """Print hierarchical metrics of every split, and the levels of the split ``levels_of``."""
    show("\n" + as_text(measures_table(metrics, list(HIERARCHICAL_METRICS.values()))))
    show("\n" + as_text(level_table(metrics[levels_of]["levels"], list(LEVEL_METRICS.values()))))


def _hierarchy_lines(settings: RunSettings, splits: Splits) -> list[str]:
    """Describe the hierarchy of the labels, or why it cannot be used; nothing if there is none."""
    try:
        found = find_hierarchy(settings, splits)
    except LabelError as error:
        return [f"Hierarchy: {error}"]
    return [] if found is None else ["Hierarchy", *describe_hierarchy(found, splits)]


def _described(settings: RunSettings, splits: Splits) -> Description:
    lengths = limit = None
    if splits.train.kind == "text":
        encoder = build_encoder(settings.encoder, splits.train)
        assert isinstance(encoder, TextEncoder)
        lengths = {name: _token_lengths(encoder, examples) for name, examples in splits.by_name.items()}
        limit = encoder.max_length
    return describe(splits, token_lengths=lengths, max_length=limit)


def _token_lengths(encoder: TextEncoder, examples: Examples) -> list[int]:
    """Count the tokens of every text, 10,000 texts at a time to bound memory."""
    texts = map(str, examples.inputs)
    chunks = iter(lambda: list(islice(texts, 10_000)), [])
    return [length for chunk in chunks for length in encoder.token_lengths(chunk).tolist()]


def _show_description(description: Description, hierarchy: Sequence[str]) -> None:
    show(render_description(description))
    if hierarchy:
        show("\n" + "\n".join(hierarchy))


def _draw_labels(description: Description, plot: Path | None) -> None:
    if plot is not None:
        with whole_file(plot) as file:
            file.write(label_histogram({label.name: label.train for label in description.labels}))


def _details(found: Mapping[str, float]) -> Table:
    """Tabulate the measures that the short table leaves out: ``coverage`` in labels, the others in percent."""
    rows = [
        (Cell(name), Cell(f"{found[name]:.2f} labels" if metric.unit == "labels" else percent(found[name])))
        for name, metric in DETAILS.items()
        if name in found
    ]
    return Table(("measure", "%"), tuple(rows))


def _labelled(data: str, split: SplitName, settings: RunSettings) -> Examples:
    """Read one split of labelled examples.

    The run's own data are prepared as in training. Other data are used as they are: unknown labels are refused later.
    """
    path = Path(data)
    if path.resolve() == Path(settings.data).resolve():
        return load_data(settings).splits.by_name[split]
    if path.is_dir():
        return read_splits(settings.model_copy(update={"data": data})).by_name[split]
    examples = read_given(path, settings.columns, split=split)
    _say_columns(examples)
    return examples


def _with_known_labels(examples: Examples, vocabulary: LabelVocabulary) -> Examples:
    """Remove the labels that are not in the vocabulary of a run trained on a share of them, and say how many."""
    others = {label for labels in examples.label_sets or [] for label in labels} - set(vocabulary.names)
    if others:
        say(f"{len(others)} labels left out: the run was trained on a share of the labels")
    return examples.with_labels(vocabulary.column)


def _unlabelled(source: str, settings: RunSettings) -> Examples:
    """Read inputs from the columns that the run was trained on, and nothing of their labels; say what is read."""
    columns = settings.columns
    if source == "-":
        return read_lines(sys.stdin, text=columns.text, image=columns.image, remembered=True)
    examples = read_given(Path(source), columns)
    _say_columns(examples)
    return examples


def _given(run: Path, source: str, *, text: bool) -> Examples | list[str]:
    """Return the argument itself as a text, or the inputs that it names."""
    if not text and source != "-" and " " in source and not os.path.exists(source):  # noqa: PTH110  false for what is too long for a name
        raise DataError("there is no such file or folder; --text takes INPUT itself as the text.", path=Path(source))
    return [source] if text else _unlabelled(source, load_settings(run))


def _near(near: Neighbour) -> str:
    return f"training example {near.row} ({', '.join(near.labels) or 'no labels'}) {near.similarity:.2f}"


def _say_columns(examples: Examples) -> None:
    """Say which columns of a table are read; other formats leave no choice."""
    if examples.columns is not None:
        say(examples.understood)


def _refuse_source(source: str, out: Path | None) -> None:
    """Refuse to write over the file that is read."""
    if out is not None and out.exists() and out.resolve() == Path(source).resolve():
        raise RunError(f"--out {out} is the file that is read; choose another name.")


@contextmanager
def _destination(out: Path | None) -> Iterator[BinaryIO]:
    """Open standard output, or a file that is written whole or not at all."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with whole_file(out) as file:
            yield file
