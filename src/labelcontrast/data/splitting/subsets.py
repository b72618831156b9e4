"""Small sets drawn from a large one, nested: of examples, with every label for as long as there is room; of labels."""

from itertools import chain
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from labelcontrast.data.splitting.stratification import Rows, iterative_stratification
from labelcontrast.errors import ConfigError
from labelcontrast.labels.vocabulary import LabelVocabulary

PIECES = (5, 4, 5)
"""Into how many equal parts the examples are divided, and each part again: pieces of 20 %, of 5 % and of 1 %."""


def low_data_subset(
    labels: csr_array[Any, tuple[int, int]], fraction: float, *, generator: np.random.Generator
) -> Rows:
    """Draw a share of the examples; with a generator of the same seed, a smaller share lies inside a larger one.

    Args:
        labels: multi-hot matrix [examples, labels].
        fraction: the share to keep, above 0 and at most 1; rounded to whole examples, one at least.
        generator: draws the order of the examples, of which a subset is the beginning.

    Returns:
        The sorted positions of the examples kept.

    Raises:
        ConfigError: when the fraction is not above 0 and at most 1.

    Example:
        >>> labels = csr_array(np.array([[1, 0]] * 90 + [[0, 1]] * 10, dtype=np.uint8))
        >>> kept = [low_data_subset(labels, share, generator=np.random.default_rng(0)) for share in (0.05, 0.2)]
        >>> [labels[rows].sum(0).tolist() for rows in kept], bool(np.isin(kept[0], kept[1]).all())
        ([[4, 1], [17, 3]], True)
    """
    _check_share(fraction)
    most = max(1, round(fraction * labels.shape[0]))
    return np.sort(nested_order(labels, generator=generator)[:most])


def keep_labels(vocabulary: LabelVocabulary, fraction: float, *, seed: int) -> LabelVocabulary:
    """Keep a share of the labels, whatever their frequency; under one seed a smaller share lies inside a larger one.

    Drawn at random, a few labels have the same mix of frequent and rare ones as all: only their number is another.

    Args:
        vocabulary: all labels.
        fraction: the share to keep, above 0 and at most 1; rounded to whole labels, one at least.
        seed: of the draw.

    Returns:
        The labels kept, in their order.

    Raises:
        ConfigError: when the fraction is not above 0 and at most 1.

    Example:
        >>> labels = LabelVocabulary(("a", "b", "c", "d", "e", "f"))
        >>> [keep_labels(labels, share, seed=0).names for share in (0.3, 0.5)]
        [('c', 'd'), ('c', 'd', 'f')]
    """
    _check_share(fraction)
    most = max(1, round(fraction * len(vocabulary)))
    chosen = np.random.default_rng(seed).permutation(len(vocabulary))[:most]
    return LabelVocabulary(tuple(vocabulary.names[column] for column in np.sort(chosen)))


def nested_order(labels: csr_array[Any, tuple[int, int]], *, generator: np.random.Generator) -> Rows:
    """Order the examples so that every beginning of the order is a fair small version of the whole.

    First come few examples that have every label between them, and those that add most labels before the others; so a
    label is missing only where the beginning is too short. Then come pieces by iterative stratification, of 20 % each,
    divided into 5 % and 1 % in turn; within the last it is chance.
    """
    cover = _cover(labels, generator)
    rest = np.setdiff1d(np.arange(labels.shape[0]), cover)
    return np.concatenate([cover, *_pieces(labels, rest, PIECES, generator)])


def _check_share(fraction: float) -> None:
    """Refuse what is no share."""
    if not 0 < fraction <= 1:
        message = f"fraction must be above 0 and at most 1. Got {fraction:g}."
        raise ConfigError(message)


def _cover(labels: csr_array[Any, tuple[int, int]], generator: np.random.Generator) -> Rows:
    """Pick for each label, the rarest first, the holder with most labels still missing; and sort by what each added."""
    rows_of = labels.tocsc()
    missing = np.diff(rows_of.indptr) > 0
    chosen, added = [], []
    for label in np.argsort(np.diff(rows_of.indptr), kind="stable"):
        if not missing[label]:
            continue
        holders = generator.permutation(rows_of.indices[rows_of.indptr[label] : rows_of.indptr[label + 1]])
        gains = labels[holders].astype(np.int64) @ missing.astype(np.int64)
        chosen.append(holders[gains.argmax()])
        added.append(gains.max())
        missing[labels[[chosen[-1]]].indices] = False
    return np.array(chosen, dtype=np.int64)[np.argsort(-np.array(added, dtype=np.int64), kind="stable")]


def _pieces(
    labels: csr_array[Any, tuple[int, int]], rows: Rows, counts: tuple[int, ...], generator: np.random.Generator
) -> list[Rows]:
    """Divide some examples into equal parts, and each of these again; the last are shuffled."""
    if not counts or not len(rows):
        return [generator.permutation(rows)]
    count, *deeper = counts
    parts = iterative_stratification(labels[rows], [1 / count] * count, generator=generator)
    return list(chain.from_iterable(_pieces(labels, rows[part], tuple(deeper), generator) for part in parts))
