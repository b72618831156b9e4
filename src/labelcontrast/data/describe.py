"""What the data are: sizes, labels a row, imbalance, labels that go together, repeats, texts that will be cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, triu

from labelcontrast.data.doctor.duplicates import Repeat, duplicates
from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.published import PublishedComparison, compare_published
from labelcontrast.data.splits import Splits
from labelcontrast.encoders.base import Kind
from labelcontrast.labels.vocabulary import LabelVocabulary

RARE = 10
"""A label with fewer training examples is called rare."""
MOST_PAIRS = 10


@dataclass(frozen=True, kw_only=True)
class PartFigures:
    """The figures of train, val or test."""

    examples: int
    labels_mean: float
    """Labels an example."""
    labels_min: int
    labels_max: int
    unlabelled: int
    """Examples without a label."""
    label_sets: int
    """Label sets that differ."""
    absent: int
    """Labels of the vocabulary without an example."""


@dataclass(frozen=True, kw_only=True)
class LabelCount:
    """A label and its examples in each part."""

    name: str
    train: int
    val: int
    test: int


@dataclass(frozen=True, kw_only=True)
class Imbalance:
    """How much rarer labels are than the most frequent, over the labels that train has."""

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
    """Of the examples with either label, those with both (Jaccard)."""


@dataclass(frozen=True, kw_only=True)
class Truncation:
    """The texts of a part that are longer than the encoder reads."""

    part: Part
    texts: int
    share: float
    """Of all texts of the part."""
    mean_cut: float
    """Tokens lost, mean over the texts that are cut."""
    max_cut: int


@dataclass(frozen=True, kw_only=True)
class Description:
    """All that is said about data; plain values, so that it can be written as JSON."""

    origin: str
    kind: Kind
    understood: tuple[str, ...]
    how: str
    warnings: tuple[str, ...]
    parts: dict[Part, PartFigures]
    labels: tuple[LabelCount, ...]
    """Every label, the most frequent in train first."""
    imbalance: Imbalance
    pairs: tuple[Pair, ...]
    """The pairs with the most training examples, ten at most."""
    repeats: tuple[Repeat, ...]
    truncations: tuple[Truncation, ...]
    """Empty where no text is cut, or the lengths were not given."""
    max_length: int | None
    published: PublishedComparison | None = None
    """The published figures beside those found, for a known data set."""

    @property
    def rare(self) -> tuple[LabelCount, ...]:
        """The labels with fewer than ten training examples."""
        return tuple(label for label in self.labels if label.train < RARE)


def describe(
    splits: Splits, *, token_lengths: Mapping[Part, Sequence[int]] | None = None, max_length: int | None = None
) -> Description:
    r"""Count what there is in data that have been divided.

    .. math:: \mathrm{IRLbl}(l) = \frac{\max_k n_k}{n_l}, \qquad \mathrm{IRmax} = \max_l \mathrm{IRLbl}(l)

    Here n_l is the number of training examples with label l; labels without one are left out of both.

    Args:
        splits: the data.
        token_lengths: the length in tokens of each text of a part, uncut; without it truncation is not looked at.
        max_length: the tokens that the encoder reads of a text, at most.

    Returns:
        The figures of each part and label. They are of the training part where no part is named.

    Reference: Charte, Rivera, del Jesus and Herrera, Addressing imbalance in multilabel classification, 2015.
    """
    hot = {part: _hot(examples, splits.vocabulary) for part, examples in splits.parts.items()}
    counts = {part: matrix.sum(0) for part, matrix in hot.items()}
    return Description(
        origin=splits.train.origin,
        kind=splits.train.kind,
        understood=tuple(dict.fromkeys(examples.understood for examples in splits.parts.values())),
        how=splits.how,
        warnings=splits.warnings,
        parts={part: _figures(matrix) for part, matrix in hot.items()},
        labels=_label_counts(splits.vocabulary.names, counts),
        imbalance=imbalance(counts["train"]),
        pairs=_pairs(hot["train"], splits.vocabulary.names),
        repeats=duplicates(splits),
        truncations=_truncations(token_lengths or {}, max_length),
        max_length=max_length,
        published=compare_published(splits),
    )


def imbalance(counts: NDArray[np.int64]) -> Imbalance:
    """Say how unequal the counts of labels are; a label that has none is left out.

    Example:
        >>> imbalance(np.array([100, 50, 1, 0]))
        Imbalance(largest=100.0, mean=34.333333333333336)
    """
    ratios = counts.max() / counts[counts > 0]
    return Imbalance(largest=float(ratios.max()), mean=float(ratios.mean()))


def _hot(examples: Examples, vocabulary: LabelVocabulary) -> csr_array:
    """Encode the labels in numbers wide enough to be summed."""
    return vocabulary.encode(examples.label_sets or []).astype(np.int64)


def _figures(hot: csr_array) -> PartFigures:
    """Count what a part has."""
    sizes = np.diff(hot.indptr)
    rows = np.split(hot.indices, hot.indptr[1:-1])
    return PartFigures(
        examples=hot.shape[0],
        labels_mean=float(sizes.mean()),
        labels_min=int(sizes.min()),
        labels_max=int(sizes.max()),
        unlabelled=int((sizes == 0).sum()),
        label_sets=len({row.tobytes() for row in rows}),
        absent=int((hot.sum(0) == 0).sum()),
    )


def _label_counts(names: Sequence[str], counts: Mapping[Part, NDArray[np.int64]]) -> tuple[LabelCount, ...]:
    """Count the examples of every label, the most frequent first."""
    order = np.argsort(-counts["train"], kind="stable").tolist()
    return tuple(
        LabelCount(name=names[label], **{part: int(count[label]) for part, count in counts.items()}) for label in order
    )


def _pairs(hot: csr_array, names: Sequence[str]) -> tuple[Pair, ...]:
    """Find the pairs of labels that most examples have together."""
    single = hot.sum(0)
    together = triu(hot.T @ hot, k=1).tocoo()
    top = np.argsort(-together.data, kind="stable")[:MOST_PAIRS]
    pairs = zip(together.row[top].tolist(), together.col[top].tolist(), together.data[top].tolist(), strict=True)
    return tuple(
        Pair(first=names[one], second=names[two], examples=both, share=both / int(single[one] + single[two] - both))
        for one, two, both in pairs
    )


def _truncations(token_lengths: Mapping[Part, Sequence[int]], max_length: int | None) -> tuple[Truncation, ...]:
    """Count the texts that are longer than is read, and what they lose."""
    found = []
    for part, lengths in token_lengths.items() if max_length is not None else ():
        cut = np.asarray(lengths) - max_length
        cut = cut[cut > 0]
        if len(cut):
            share, mean = len(cut) / len(lengths), float(cut.mean())
            found.append(Truncation(part=part, texts=len(cut), share=share, mean_cut=mean, max_cut=int(cut.max())))
    return tuple(found)
