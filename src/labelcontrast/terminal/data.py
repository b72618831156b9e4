"""What the verb prints that describes data, and looks for what is wrong with them."""

from itertools import islice
from pathlib import Path

from labelcontrast.config.settings import RunSettings
from labelcontrast.data.describe import Description, describe
from labelcontrast.data.describe_text import render
from labelcontrast.data.doctor.checkup import check, render_findings
from labelcontrast.data.doctor.findings import without_unreadable
from labelcontrast.data.doctor.fixing import write_fixed
from labelcontrast.data.examples import Examples
from labelcontrast.data.splitting.splits import Splits
from labelcontrast.encoders.base import TextEncoder
from labelcontrast.errors import LabelError
from labelcontrast.files import whole_file
from labelcontrast.reports.figures import label_histogram
from labelcontrast.run.hierarchical.finding import describe_hierarchy, find_hierarchy
from labelcontrast.run.material import build_encoder, read_splits
from labelcontrast.terminal.console import show


def print_description(settings: RunSettings, plot: Path | None) -> None:
    """Describe data, with what the encoder would cut of its texts."""
    splits = read_splits(settings)
    _show_description(_described(settings, splits), plot)
    _show_hierarchy(settings, splits)


def print_doctor(settings: RunSettings, plot: Path | None, *, cleanlab: bool, fix: Path | None) -> None:
    """Describe data, and look for what is wrong with them; with a folder to fix them into, write them put right."""
    splits, unreadable = without_unreadable(read_splits(settings, check_pictures=False))
    description = _described(settings, splits)
    _show_description(description, plot)
    _show_hierarchy(settings, splits)
    checkup = check(splits, description, cleanlab=cleanlab)
    show("\n" + render_findings([*unreadable, *checkup.findings]))
    if fix is not None:
        left_out = write_fixed(splits, checkup.suspects, fix)
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in left_out.items()) or "nothing"
        show(f"\nPut right in {fix}; left out: {reasons}")


def _show_hierarchy(settings: RunSettings, splits: Splits) -> None:
    """Print what the hierarchy over the labels is, where there is one, or why it is none."""
    try:
        found = find_hierarchy(settings, splits)
    except LabelError as error:
        show(f"\nHierarchy: {error}")
        return
    if found is not None:
        show("\nHierarchy\n" + "\n".join(describe_hierarchy(found, splits)))


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
