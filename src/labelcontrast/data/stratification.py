"""Iterative stratification: splits and folds with the share of every label, and small nested subsets."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse

from labelcontrast.errors import ConfigError
from labelcontrast.labels.vocabulary import LabelVocabulary
from labelcontrast.metrics.counting import as_matrix

PIECES = (5, 4, 5)
"""Successive numbers of equal pieces in ``nested_order``: pieces of 20 %, of 5 % and of 1 %."""


def iterative_stratification(
    labels: "csr_array[Any, tuple[int, int]] | ArrayLike", fractions: Sequence[float], *, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Divide examples into parts so that each part has its share of every label.

    Repeatedly take the label with the fewest examples left and assign its examples, in random order, each to the part
    that lacks most of that label. A tie goes to a part that has none of it yet, so that a rare label occurs on each
    side; then to the part that lacks most examples; then at random. Examples without labels come last.

    Args:
        labels: Multi-hot matrix [examples, labels], sparse or dense.
        fractions: The share of each part; positive, with sum one.
        generator: Draws the order of the examples and breaks ties.

    Returns: The sorted positions of the examples of each part; every example is in exactly one.

    Raises:
        ConfigError: The fractions are not positive or their sum is not one.

    Example:
        >>> labels = csr_array(np.array([[1, 0]] * 6 + [[0, 1]] * 2, dtype=np.uint8))
        >>> first, second = iterative_stratification(labels, (0.5, 0.5), generator=np.random.default_rng(0))
        >>> labels[first].sum(0).tolist(), labels[second].sum(0).tolist()
        ([3, 1], [3, 1])

    Reference: Sechidis, Tsoumakas and Vlahavas, On the Stratification of Multi-Label Data, 2011.
    """
    labels, shares = as_sparse(labels), checked_fractions(fractions)
    rows_of = labels.tocsc()
    counts = np.diff(rows_of.indptr)
    wanted = np.outer(counts, shares)
    lack = wanted.copy()
    space = (shares * labels.shape[0]).tolist()
    part_of = np.full(labels.shape[0], -1)
    left = counts.copy()
    while left.any():
        label = int(np.argmin(np.where(left > 0, left, labels.shape[0] + 1)))
        holders = rows_of.indices[rows_of.indptr[label] : rows_of.indptr[label + 1]]
        rows = generator.permutation(holders[part_of[holders] < 0])
        none_yet = (lack[label] == wanted[label]).tolist()
        part_of[rows] = _assign(len(rows), lack[label].tolist(), space, none_yet, generator)
        for part in range(len(shares)):
            dealt = np.bincount(labels[rows[part_of[rows] == part]].indices, minlength=len(counts))
            lack[:, part] -= dealt
            left -= dealt
    rest = generator.permutation(np.flatnonzero(part_of < 0))
    part_of[rest] = _assign(len(rest), list(space), space, [False] * len(shares), generator)
    return [np.flatnonzero(part_of == part) for part in range(len(shares))]


def stratified_folds(
    labels: "csr_array[Any, tuple[int, int]] | ArrayLike", folds: int, *, generator: np.random.Generator
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Divide examples for cross-validation by iterative stratification.

    Args:
        labels: Multi-hot matrix [examples, labels], sparse or dense.
        folds: The number of folds; at least two, and at most the number of examples.
        generator: As in ``iterative_stratification``.

    Returns: For each fold the sorted positions to train on and those held out; every example is held out once.

    Raises:
        ConfigError: There are fewer than two folds, or more than examples.

    Example:
        >>> labels = csr_array(np.array([[1, 0]] * 6 + [[0, 1]] * 3, dtype=np.uint8))
        >>> folds = stratified_folds(labels, 3, generator=np.random.default_rng(0))
        >>> [labels[held_out].sum(0).tolist() for _, held_out in folds]
        [[2, 1], [2, 1], [2, 1]]
    """
    labels = as_sparse(labels)
    if not 2 <= folds <= labels.shape[0]:
        raise ConfigError(f"folds must be between 2 and the {labels.shape[0]} examples. Got {folds}.")
    parts = iterative_stratification(labels, [1 / folds] * folds, generator=generator)
    return [(np.setdiff1d(np.arange(labels.shape[0]), part), part) for part in parts]


def low_data_subset(
    labels: "csr_array[Any, tuple[int, int]] | ArrayLike", fraction: float, *, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw a share of the examples; for generators of the same seed, a smaller share is a subset of a larger one.

    Args:
        labels: Multi-hot matrix [examples, labels], sparse or dense.
        fraction: The share to keep, above 0 and at most 1; rounded to at least one example.
        generator: Draws the order of the examples, of which a subset is the beginning.

    Returns: The sorted positions of the examples to keep.

    Raises:
        ConfigError: The fraction is not above 0 and at most 1.

    Example:
        >>> labels = csr_array(np.array([[1, 0]] * 90 + [[0, 1]] * 10, dtype=np.uint8))
        >>> kept = [low_data_subset(labels, share, generator=np.random.default_rng(0)) for share in (0.05, 0.2)]
        >>> [labels[rows].sum(0).tolist() for rows in kept], bool(np.isin(kept[0], kept[1]).all())
        ([[4, 1], [17, 3]], True)
    """
    labels = as_sparse(labels)
    most = _share_of(labels.shape[0], fraction)
    return np.sort(nested_order(labels, generator=generator)[:most])


def keep_labels(vocabulary: LabelVocabulary, fraction: float, *, seed: int) -> LabelVocabulary:
    """Draw a share of the labels regardless of frequency; with one seed, a smaller share is a subset of a larger one.

    A random choice of labels has the same mix of frequent and rare ones as all labels: only their number differs.

    Args:
        vocabulary: All labels.
        fraction: The share to keep, above 0 and at most 1; rounded to at least one label.
        seed: Seed of the draw.

    Returns: The labels kept, in their order.

    Raises:
        ConfigError: The fraction is not above 0 and at most 1.

    Example:
        >>> labels = LabelVocabulary(("a", "b", "c", "d", "e", "f"))
        >>> [keep_labels(labels, share, seed=0).names for share in (0.3, 0.5)]
        [('c', 'd'), ('c', 'd', 'f')]
    """
    most = _share_of(len(vocabulary), fraction)
    chosen = np.random.default_rng(seed).permutation(len(vocabulary))[:most]
    return LabelVocabulary(tuple(vocabulary.names[column] for column in np.sort(chosen)))


def nested_order(labels: csr_array[Any, tuple[int, int]], *, generator: np.random.Generator) -> NDArray[np.int64]:
    """Order the examples so that every beginning of the order is a stratified sample of the whole.

    The first few examples cover all labels, those that add most labels first, so that a label is missing only where the
    beginning is too short. Then come pieces by iterative stratification, of 20 % each, divided into 5 % and 1 % in
    turn; the order within the last is random.
    """
    cover = _cover(labels, generator)
    rest = np.setdiff1d(np.arange(labels.shape[0]), cover)
    return np.concatenate([cover, *_pieces(labels, rest, PIECES, generator)])


def as_sparse(labels: "csr_array[Any, tuple[int, int]] | ArrayLike") -> csr_array[Any, tuple[int, int]]:
    """Convert a dense label matrix to a sparse one; a sparse one stays as it is.

    Raises:
        LabelShapeError: It is no matrix of numbers.
    """
    if isinstance(labels, csr_array):
        return labels
    return csr_array(labels if issparse(labels) else as_matrix(labels, "labels"))


def checked_fractions(fractions: Sequence[float]) -> NDArray[np.float64]:
    """Return fractions as an array, or raise ConfigError if they are not positive or their sum is not one."""
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.ndim != 1 or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        message = f"fractions must be positive and have sum 1. Got {', '.join(f'{share:g}' for share in fractions)}."
        raise ConfigError(message)
    return shares


def _assign(
    examples: int, lack: list[float], space: list[float], none_yet: list[bool], generator: np.random.Generator
) -> list[int]:
    """Choose a part for each example, and subtract it in ``space``, the number of examples that each part lacks."""
    parts = range(len(space))
    chance = generator.random((examples, len(space))).tolist()
    chosen = []
    for draw in chance:
        # Rounded, so that 1.4 - 1 and 0.4 are a tie.
        part = max(parts, key=lambda part: (round(lack[part], 9), none_yet[part], space[part], draw[part]))
        lack[part] -= 1
        space[part] -= 1
        none_yet[part] = False
        chosen.append(part)
    return chosen


def _share_of(count: int, fraction: float) -> int:
    """Return a share of a number, at least one, or refuse a fraction that is not in (0, 1]."""
    if not 0 < fraction <= 1:
        raise ConfigError(f"fraction must be above 0 and at most 1. Got {fraction:g}.")
    return max(1, round(fraction * count))


def _cover(labels: csr_array[Any, tuple[int, int]], generator: np.random.Generator) -> NDArray[np.int64]:
    """Pick for each label, the rarest first, the holder with most labels still missing; sort by what each added."""
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
    labels: csr_array[Any, tuple[int, int]],
    rows: NDArray[np.int64],
    counts: tuple[int, ...],
    generator: np.random.Generator,
) -> list[NDArray[np.int64]]:
    """Divide some examples into equal pieces, and each of these again; the last are shuffled."""
    if not counts or not len(rows):
        return [generator.permutation(rows)]
    count, *deeper = counts
    parts = iterative_stratification(labels[rows], [1 / count] * count, generator=generator)
    return list(chain.from_iterable(_pieces(labels, rows[part], tuple(deeper), generator) for part in parts))
