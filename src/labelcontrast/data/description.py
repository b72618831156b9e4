"""Describe data: sizes, labels, imbalance, pairs of labels, repeats and truncation, as figures and as text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, triu

from labelcontrast.data.doctor.duplicates import Repeat, duplicates
from labelcontrast.data.examples import Examples, SplitName
from labelcontrast.data.published_figures import PublishedComparison, compare_published
from labelcontrast.data.splits import Splits, load_splits
from labelcontrast.encoders.base import Kind
from labelcontrast.labels.vocabulary import LabelVocabulary

RARE = 10
"""A label with fewer training examples is called rare."""
MOST_PAIRS = 10
WIDTH = 100
"""Columns of the text."""
NAME = 38
BAR = 32
MOST_LABELS = 20
EDGES = (0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)
"""Lower edges of the bins of the histogram."""
_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, kw_only=True)
class SplitFigures:
    """The figures of one split."""

    examples: int
    labels_mean: float
    """Labels an example."""
    labels_min: int
    labels_max: int
    unlabelled: int
    """Examples without a label."""
    label_sets: int
    """Distinct label sets."""
    absent: int
    """Labels of the vocabulary without an example."""


@dataclass(frozen=True, kw_only=True)
class LabelCount:
    """A label and its number of examples in each split."""

    name: str
    train: int
    val: int
    test: int


@dataclass(frozen=True, kw_only=True)
class Imbalance:
    """Imbalance ratios: frequency of the most frequent label over that of each label of train."""

    largest: float
    """IRmax: examples of the most frequent label over those of the rarest."""
    mean: float
    """Mean IRLbl: the mean, over labels, of the examples of the most frequent label over its own."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two labels that training examples have together."""

    first: str
    second: str
    examples: int
    share: float
    """Examples with both over examples with either (Jaccard)."""


@dataclass(frozen=True, kw_only=True)
class Truncation:
    """The texts of a split that are longer than the encoder reads."""

    split: SplitName
    texts: int
    share: float
    """Share of the texts of the split."""
    mean_cut: float
    """Tokens lost, mean over the texts that are cut."""
    max_cut: int


@dataclass(frozen=True, kw_only=True)
class Description:
    """All figures of data; plain values, so that it can be written as JSON."""

    origin: str
    kind: Kind
    understood: tuple[str, ...]
    how: str
    warnings: tuple[str, ...]
    splits: dict[SplitName, SplitFigures]
    labels: tuple[LabelCount, ...]
    """Every label, the most frequent in train first."""
    imbalance: Imbalance
    pairs: tuple[Pair, ...]
    """The pairs with the most training examples, ten at most."""
    repeats: tuple[Repeat, ...]
    truncations: tuple[Truncation, ...]
    """Empty if no text is cut, or the lengths were not given."""
    max_length: int | None
    published: PublishedComparison | None = None
    """The published figures beside those found, for a known data set."""

    @property
    def rare(self) -> tuple[LabelCount, ...]:
        """The labels with fewer than ten training examples."""
        return tuple(label for label in self.labels if label.train < RARE)

    def __str__(self) -> str:
        return render_description(self)


def describe(
    data: Splits | str | Path,
    *,
    token_lengths: Mapping[SplitName, Sequence[int]] | None = None,
    max_length: int | None = None,
) -> Description:
    r"""Count examples, labels, pairs of labels, repeats and long texts of data.

    .. math:: \mathrm{IRLbl}(l) = \frac{\max_k n_k}{n_l}, \qquad \mathrm{IRmax} = \max_l \mathrm{IRLbl}(l)

    Here :math:`n_l` is the number of training examples with label l; labels without one are left out of both.

    Args:
        data: Loaded splits; or a file or folder, which is loaded with seed 0.
        token_lengths: The length in tokens of each text of a split, uncut; without it truncation is not counted.
        max_length: The tokens that the encoder reads of a text, at most.

    Returns:
        The figures of each split and label; those that name no split are of train. ``print`` shows them as text.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "reviews.csv").write_text("text,tag\n" + 10 * "good,food\nbad,price\n")
        ...     description = describe(folder)
        >>> description.splits["train"].examples, description.imbalance
        (14, Imbalance(largest=1.0, mean=1.0))

    Reference: Charte, Rivera, del Jesus and Herrera, Addressing imbalance in multilabel classification, 2015.
    """
    splits = data if isinstance(data, Splits) else load_splits(data, seed=0)
    hot = {split: _hot(examples, splits.vocabulary) for split, examples in splits.by_name.items()}
    counts = {split: matrix.sum(0) for split, matrix in hot.items()}
    return Description(
        origin=splits.train.origin,
        kind=splits.train.kind,
        understood=tuple(dict.fromkeys(examples.understood for examples in splits.by_name.values())),
        how=splits.how,
        warnings=splits.warnings,
        splits={split: _figures(matrix) for split, matrix in hot.items()},
        labels=_label_counts(splits.vocabulary.names, counts),
        imbalance=imbalance(counts["train"]),
        pairs=_pairs(hot["train"], splits.vocabulary.names),
        repeats=duplicates(splits),
        truncations=_truncations(token_lengths or {}, max_length),
        max_length=max_length,
        published=compare_published(splits),
    )


def imbalance(counts: NDArray[np.int64]) -> Imbalance:
    """Compute the imbalance of label counts; a label without examples is left out.

    Example:
        >>> imbalance(np.array([100, 50, 1, 0]))
        Imbalance(largest=100.0, mean=34.333333333333336)
    """
    ratios = counts.max() / counts[counts > 0]
    return Imbalance(largest=float(ratios.max()), mean=float(ratios.mean()))


def render_description(description: Description) -> str:
    """Write a description as text: the splits, the labels, pairs of labels, and what was noticed.

    Returns: Lines of at most 100 columns, without a line end behind the last.
    """
    sections = [
        _source_lines(description),
        _split_lines(description),
        _published_lines(description),
        _label_lines(description),
        _histogram_lines(description),
        _pair_lines(description),
        _noticed_lines(description),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section)


def bar(value: float, most: float, width: int = BAR) -> str:
    """Draw a bar in eighths of a column; any value above zero is visible.

    Example:
        >>> bar(3, 4, width=2), bar(0, 4), bar(1, 1000, width=2)
        ('█▌', '', '▏')
    """
    if not value:
        return ""
    eighths = max(1, round(8 * width * value / most))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _hot(examples: Examples, vocabulary: LabelVocabulary) -> csr_array:
    """Encode the labels in integers wide enough for sums."""
    return vocabulary.encode(examples.label_sets or []).astype(np.int64)


def _figures(hot: csr_array) -> SplitFigures:
    sizes = np.diff(hot.indptr)
    rows = np.split(hot.indices, hot.indptr[1:-1])
    return SplitFigures(
        examples=hot.shape[0],
        labels_mean=float(sizes.mean()),
        labels_min=int(sizes.min()),
        labels_max=int(sizes.max()),
        unlabelled=int((sizes == 0).sum()),
        label_sets=len({row.tobytes() for row in rows}),
        absent=int((hot.sum(0) == 0).sum()),
    )


def _label_counts(names: Sequence[str], counts: Mapping[SplitName, NDArray[np.int64]]) -> tuple[LabelCount, ...]:
    order = np.argsort(-counts["train"], kind="stable").tolist()
    return tuple(
        LabelCount(name=names[label], **{split: int(count[label]) for split, count in counts.items()})
        for label in order
    )


def _pairs(hot: csr_array, names: Sequence[str]) -> tuple[Pair, ...]:
    single = hot.sum(0)
    together = triu(hot.T @ hot, k=1).tocoo()
    top = np.argsort(-together.data, kind="stable")[:MOST_PAIRS]
    pairs = zip(together.row[top].tolist(), together.col[top].tolist(), together.data[top].tolist(), strict=True)
    return tuple(
        Pair(first=names[one], second=names[two], examples=both, share=both / int(single[one] + single[two] - both))
        for one, two, both in pairs
    )


def _truncations(token_lengths: Mapping[SplitName, Sequence[int]], max_length: int | None) -> tuple[Truncation, ...]:
    """Count the texts that are longer than the encoder reads, and the tokens that they lose."""
    found = []
    for split, lengths in token_lengths.items() if max_length is not None else ():
        cut = np.asarray(lengths) - max_length
        cut = cut[cut > 0]
        if len(cut):
            share, mean = len(cut) / len(lengths), float(cut.mean())
            found.append(Truncation(split=split, texts=len(cut), share=share, mean_cut=mean, max_cut=int(cut.max())))
    return tuple(found)


def _source_lines(description: Description) -> list[str]:
    folder = PurePath(description.origin).parent
    sentences = [sentence.replace(f"{folder}/", "") for sentence in (*description.understood, description.how)]
    head = "Data" if folder == PurePath() else f"Data in {folder}"
    return [head, *(line for sentence in sentences for line in _wrapped(f"{sentence}."))]


def _split_lines(description: Description) -> list[str]:
    head = ("", "examples", "labels each", "min", "max", "without labels", "label sets", "labels without examples")
    rows = [
        (
            split,
            f"{it.examples:,}",
            f"{it.labels_mean:.2f}",
            *(f"{count:,}" for count in (it.labels_min, it.labels_max, it.unlabelled, it.label_sets, it.absent)),
        )
        for split, it in description.splits.items()
    ]
    return ["Splits", *_table([head, *rows])]


def _published_lines(description: Description) -> list[str]:
    """Put the published figures beside those found, and mark where they differ."""
    if description.published is None:
        return []
    rows = [
        (it.name, f"{it.published:,.6g}", f"{it.found:,.2f}".removesuffix(".00"), "" if it.agrees else "differs")
        for it in description.published.figures
    ]
    head = f"{description.published.title}, published by {description.published.source}"
    return [*wrap(head, WIDTH), *_table([("", "published", "found", ""), *rows], left=(0, 3))]


def _label_lines(description: Description) -> list[str]:
    """Draw the most frequent and the rarest labels."""
    labels = description.labels
    most = max(label.train for label in labels)
    shown: Sequence[LabelCount | None] = labels
    if len(labels) > MOST_LABELS:
        shown = [*labels[: MOST_LABELS - 6], None, *labels[-5:]]
    between = (f"{len(labels) - MOST_LABELS + 1:,} more", "", "", "", "")
    rows = [
        between if it is None else (_cut(it.name), f"{it.train:,}", f"{it.val:,}", f"{it.test:,}", bar(it.train, most))
        for it in shown
    ]
    ratio = f"IRmax {description.imbalance.largest:,.1f}, mean IRLbl {description.imbalance.mean:,.1f}"
    head = ("", "train", "val", "test", "")
    return [f"Labels: {len(labels):,}; imbalance: {ratio}", *_table([head, *rows], left=(0, 4))]


def _histogram_lines(description: Description) -> list[str]:
    """Draw a histogram of the labels by their number of training examples."""
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
    if high is None:
        return f"{low:,} and more"
    return f"{low:,}" if high - low == 1 else f"{low:,} to {high - 1:,}"


def _pair_lines(description: Description) -> list[str]:
    if not description.pairs:
        return []
    rows = [
        (_cut(pair.first), _cut(pair.second), f"{pair.examples:,}", f"{100 * pair.share:.0f} %")
        for pair in description.pairs
    ]
    head = ("", "", "both", "of either")
    return ["Labels that go together in train", *_table([head, *rows], left=(0, 1))]


def _noticed_lines(description: Description) -> list[str]:
    """Write a sentence for each remarkable fact: warnings, rare labels, repeats and cut texts."""
    sentences = [*description.warnings, *_noticed(description)]
    lines = [line for sentence in sentences for line in _wrapped(sentence[0].upper() + sentence[1:], mark="- ")]
    return ["Noticed", *lines] if lines else []


def _noticed(description: Description) -> Iterator[str]:
    rare = [label for label in description.rare if label.train]
    if rare:
        names = ", ".join(f'"{label.name}" ({label.train})' for label in rare[::-1][:5])
        number = f"{len(rare)} of {len(description.labels)} labels"
        yield f"{number} have 1 to {RARE - 1} training examples; the rarest are {names}."
    for repeat in description.repeats:
        number = f"{repeat.examples:,} of {description.splits[repeat.later].examples:,} examples of {repeat.later}"
        where = "repeat another one" if repeat.earlier == repeat.later else f"are also in {repeat.earlier}"
        before, after = (PurePath(place).name for place in repeat.instance)
        yield f"{number} {where}; one is {after}, as {before}."
    for cut in description.truncations:
        texts = f"{cut.texts:,} texts of {cut.split} ({100 * cut.share:.1f} %)"
        loss = f"they lose {cut.mean_cut:,.0f} tokens on average, {cut.max_cut:,} at most"
        yield f"{texts} are longer than {description.max_length} tokens; {loss}."


def _table(rows: Sequence[Sequence[str]], left: tuple[int, ...] = (0,)) -> list[str]:
    """Align columns: those in ``left`` to the left, the others to the right."""
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
    return name if len(name) <= NAME else f"{name[: NAME // 2]}…{name[-(NAME // 2 - 1) :]}"


def _wrapped(sentence: str, mark: str = "") -> list[str]:
    """Break a sentence into indented lines; the first one with a mark."""
    inner = " " * (2 + len(mark) if mark else 4)
    return wrap(sentence, WIDTH, initial_indent=f"  {mark}", subsequent_indent=inner, break_on_hyphens=False)
