"""Iterative stratification: a split that keeps the share of every label, the rarest first."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from labelcontrast.errors import ConfigError

Rows = NDArray[np.int64]


def iterative_stratification(
    labels: csr_array[Any, tuple[int, int]], fractions: Sequence[float], *, generator: np.random.Generator
) -> list[Rows]:
    """Divide examples into parts so that each part has its share of every label.

    Again and again the label with the fewest examples left is taken, and its examples, in random order, go each to the
    part that lacks most of that label. A tie goes to a part that has none of it yet, so that a rare label is on each
    side; then to the part that lacks most examples; then by chance. Examples without labels come last, and fill up.

    Args:
        labels: multi-hot matrix [examples, labels].
        fractions: the share of each part; positive, with sum one.
        generator: draws the order of the examples and breaks ties.

    Returns:
        The sorted positions of the examples of each part; every example is in exactly one.

    Raises:
        ConfigError: when the fractions are not positive or their sum is not one.

    Example:
        >>> labels = csr_array(np.array([[1, 0]] * 6 + [[0, 1]] * 2, dtype=np.uint8))
        >>> first, second = iterative_stratification(labels, (0.5, 0.5), generator=np.random.default_rng(0))
        >>> labels[first].sum(0).tolist(), labels[second].sum(0).tolist()
        ([3, 1], [3, 1])

    Reference: Sechidis, Tsoumakas and Vlahavas, On the Stratification of Multi-Label Data, 2011.
    """
    shares = checked_fractions(fractions)
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
        part_of[rows] = _deal(len(rows), lack[label].tolist(), space, none_yet, generator)
        for part in range(len(shares)):
            dealt = np.bincount(labels[rows[part_of[rows] == part]].indices, minlength=len(counts))
            lack[:, part] -= dealt
            left -= dealt
    rest = generator.permutation(np.flatnonzero(part_of < 0))
    part_of[rest] = _deal(len(rest), list(space), space, [False] * len(shares), generator)
    return [np.flatnonzero(part_of == part) for part in range(len(shares))]


def stratified_folds(
    labels: csr_array[Any, tuple[int, int]], folds: int, *, generator: np.random.Generator
) -> list[tuple[Rows, Rows]]:
    """Divide examples for cross-validation, by iterative stratification.

    Args:
        labels: multi-hot matrix [examples, labels].
        folds: how many; two at least, and no more than there are examples.
        generator: as of ``iterative_stratification``.

    Returns:
        For each fold the sorted positions to train on and those held out; every example is held out once.

    Raises:
        ConfigError: when there are fewer than two folds, or more than examples.

    Example:
        >>> labels = csr_array(np.array([[1, 0]] * 6 + [[0, 1]] * 3, dtype=np.uint8))
        >>> folds = stratified_folds(labels, 3, generator=np.random.default_rng(0))
        >>> [labels[held_out].sum(0).tolist() for _, held_out in folds]
        [[2, 1], [2, 1], [2, 1]]
    """
    if not 2 <= folds <= labels.shape[0]:
        message = f"folds must be between 2 and the {labels.shape[0]} examples. Got {folds}."
        raise ConfigError(message)
    parts = iterative_stratification(labels, [1 / folds] * folds, generator=generator)
    return [(np.setdiff1d(np.arange(labels.shape[0]), part), part) for part in parts]


def checked_fractions(fractions: Sequence[float]) -> NDArray[np.float64]:
    """Return shares that are positive and have sum one, or refuse."""
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.ndim != 1 or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        message = f"fractions must be positive and have sum 1. Got {', '.join(f'{share:g}' for share in fractions)}."
        raise ConfigError(message)
    return shares


def _deal(
    examples: int,
    lack: list[float],
    space: list[float],
    none_yet: list[bool],
    generator: np.random.Generator,
) -> list[int]:
    """Choose a part for each of so many examples, and note in ``space`` what each part still lacks of all examples."""
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
