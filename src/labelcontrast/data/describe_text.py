"""A description as text for the terminal: aligned, and no wider than 100 columns."""

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from textwrap import wrap

from labelcontrast.data.describe import RARE, Description, LabelCount, PartFigures

WIDTH = 100
NAME = 38
BAR = 32
MOST_LABELS = 20
EDGES = (0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
_EIGHTHS = " ▏▎▍▌▋▊▉"


def render(description: Description) -> str:
    """Write a description for a reader: the parts, the labels, those that go together, and what was noticed.

    Returns:
        Lines of at most 100 columns, without a line end behind the last.
    """
    sections = [
        _source(description),
        _parts(description),
        _published(description),
        _labels(description),
        _histogram(description),
        _pairs(description),
        _noticed(description),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section)


def bar(value: float, most: float, width: int = BAR) -> str:
    """Draw a bar in eighths of a column; anything above zero can be seen.

    Example:
        >>> bar(3, 4, width=2), bar(0, 4), bar(1, 1000, width=2)
        ('█▌', '', '▏')
    """
    if not value:
        return ""
    eighths = max(1, round(8 * width * value / most))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _source(description: Description) -> list[str]:
    """Say what was read and how it is divided."""
    folder = PurePath(description.origin).parent
    sentences = [sentence.replace(f"{folder}/", "") for sentence in (*description.understood, description.how)]
    return [f"Data in {folder}", *(line for sentence in sentences for line in _wrapped(f"{sentence}."))]


def _parts(description: Description) -> list[str]:
    """Tabulate the parts."""
    head = ("", "examples", "labels each", "min", "max", "without labels", "label sets", "absent labels")
    rows = [(part, *_figures(figures)) for part, figures in description.parts.items()]
    return ["Parts", *_table([head, *rows])]


def _figures(part: PartFigures) -> tuple[str, ...]:
    """Write the figures of a part."""
    mean, *counts = part.labels_mean, part.labels_min, part.labels_max, part.unlabelled, part.label_sets, part.absent
    return f"{part.examples:,}", f"{mean:.2f}", *(f"{count:,}" for count in counts)


def _published(description: Description) -> list[str]:
    """Put the published figures beside those found, and mark where they differ."""
    if description.published is None:
        return []
    rows = [
        (it.name, f"{it.published:,.6g}", f"{it.found:,.2f}".removesuffix(".00"), "" if it.agrees else "differs")
        for it in description.published.figures
    ]
    head = f"{description.published.title}, published by {description.published.source}"
    return [*wrap(head, WIDTH), *_table([("", "published", "found", ""), *rows], left=(0, 3))]


def _labels(description: Description) -> list[str]:
    """Draw the most frequent and the rarest labels."""
    labels = description.labels
    most = max(label.train for label in labels)
    shown: Sequence[LabelCount | None] = labels
    if len(labels) > MOST_LABELS:
        shown = [*labels[: MOST_LABELS - 6], None, *labels[-5:]]
    between = (f"{len(labels) - MOST_LABELS + 1:,} more", "", "", "", "")
    rows = [between if it is None else _label_row(it, most) for it in shown]
    ratio = f"IRmax {description.imbalance.largest:,.1f}, mean IRLbl {description.imbalance.mean:,.1f}"
    head = ("", "train", "val", "test", "")
    return [f"Labels: {len(labels):,}; imbalance: {ratio}", *_table([head, *rows], left=(0, 4))]


def _label_row(label: LabelCount, most: int) -> tuple[str, ...]:
    """Write a label with its counts and its bar."""
    return _cut(label.name), f"{label.train:,}", f"{label.val:,}", f"{label.test:,}", bar(label.train, most)


def _histogram(description: Description) -> list[str]:
    """Draw how many labels have few training examples, and how many have many."""
    counts = [label.train for label in description.labels]
    bins = []
    for low, high in zip(EDGES, (*EDGES[1:], None), strict=True):
        held = sum(low <= count and (high is None or count < high) for count in counts)
        bins.append((_span(low, high), held))
    filled = [place for place, (_, held) in enumerate(bins) if held]
    most = max(held for _, held in bins)
    rows = [(name, f"{held:,}", bar(held, most)) for name, held in bins[filled[0] : filled[-1] + 1]]
    return ["Labels by their number of training examples", *_table([("examples", "labels", ""), *rows], left=(2,))]


def _span(low: int, high: int | None) -> str:
    """Write the numbers from one edge to the next."""
    if high is None:
        return f"{low:,} and more"
    return f"{low:,}" if high - low == 1 else f"{low:,} to {high - 1:,}"


def _pairs(description: Description) -> list[str]:
    """Tabulate the pairs of labels that go together."""
    if not description.pairs:
        return []
    rows = [
        (_cut(pair.first), _cut(pair.second), f"{pair.examples:,}", f"{100 * pair.share:.0f} %")
        for pair in description.pairs
    ]
    head = ("", "", "both", "of either")
    return ["Labels that go together in train", *_table([head, *rows], left=(0, 1))]


def _noticed(description: Description) -> list[str]:
    """Say what deserves a look, a sentence each."""
    sentences = [
        *description.warnings,
        *_about_rare(description),
        *_about_repeats(description),
        *_about_cuts(description),
    ]
    lines = [line for sentence in sentences for line in _wrapped(sentence[0].upper() + sentence[1:], mark="- ")]
    return ["Noticed", *lines] if lines else []


def _about_rare(description: Description) -> Iterator[str]:
    """Count the rare labels and name the rarest."""
    rare = [label for label in description.rare if label.train]
    if rare:
        names = ", ".join(f'"{label.name}" ({label.train})' for label in rare[::-1][:5])
        number = f"{len(rare)} of {len(description.labels)} labels"
        yield f"{number} have 1 to {RARE - 1} training examples; the rarest are {names}."


def _about_repeats(description: Description) -> Iterator[str]:
    """Say which parts share examples."""
    for repeat in description.repeats:
        number = f"{repeat.examples:,} of {description.parts[repeat.later].examples:,} examples of {repeat.later}"
        where = "repeat another one" if repeat.earlier == repeat.later else f"are also in {repeat.earlier}"
        before, after = (PurePath(place).name for place in repeat.instance)
        yield f"{number} {where}; one is {after}, as {before}."


def _about_cuts(description: Description) -> Iterator[str]:
    """Say which texts are longer than is read."""
    for cut in description.truncations:
        texts = f"{cut.texts:,} texts of {cut.part} ({100 * cut.share:.1f} %)"
        loss = f"they lose {cut.mean_cut:,.0f} tokens on average, {cut.max_cut:,} at most"
        yield f"{texts} are longer than {description.max_length} tokens; {loss}."


def _table(rows: Sequence[Sequence[str]], left: tuple[int, ...] = (0,)) -> list[str]:
    """Align columns: to the left those that are named, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _cut(name: str) -> str:
    """Shorten a long name in its middle: its two ends say most."""
    return name if len(name) <= NAME else f"{name[: NAME // 2]}…{name[-(NAME // 2 - 1) :]}"


def _wrapped(sentence: str, mark: str = "") -> list[str]:
    """Break a sentence into lines, indented; its first line with a mark."""
    inner = " " * (2 + len(mark) if mark else 4)
    return wrap(sentence, WIDTH, initial_indent=f"  {mark}", subsequent_indent=inner, break_on_hyphens=False)
