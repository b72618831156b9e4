"""Confusion counts of predictions, and the averages of a metric over them.

A weighting says how often each example counts; a resample of a bootstrap is one. Counts have one row a weighting.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Real, Shaped
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, issparse

from labelcontrast.errors import LabelShapeError
from labelcontrast.metrics.registry import HEAD, TAIL, Metric

Labels: TypeAlias = Shaped[np.ndarray, "examples labels"]
"""True labels are 0, 1 or NaN (unknown); predictions are 0 or 1."""
Weights: TypeAlias = Real[np.ndarray, "weightings examples"]
"""Weight of each example in each weighting, such as its count in a resample."""
PAIRS_AT_ONCE = 2**22
"""Pairs of an example and a label that are held at a time."""
PAIRS_KEPT = 2**24
"""Pairs up to which a matrix is computed once and kept: 64 MiB in single precision."""
Places: TypeAlias = slice | np.ndarray
"""Some rows, or some columns: a slice, or their numbers in order."""
ALL = slice(None)


class Blocks:
    """A matrix [examples, labels] of which blocks are computed when they are asked for; the last one is kept.

    ``matrix[rows]``, ``matrix[:, columns]`` and ``matrix[rows, columns]`` are arrays, as they are of an array.

    Args:
        shape: Numbers of examples and labels.
        compute: Returns the block of some rows and columns.

    Example:
        >>> table = Blocks((2, 3), lambda rows, columns: np.arange(6).reshape(2, 3)[rows, columns])
        >>> table[:, 1:].tolist(), table[0].tolist(), len(table)
        ([[1, 2], [4, 5]], [0, 1, 2], 2)
    """

    ndim = 2

    def __init__(self, shape: tuple[int, int], compute: Callable[[Places, Places], np.ndarray]) -> None:
        self.shape = shape
        self._compute = compute
        self._kept: tuple[Any, np.ndarray] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, at: Any) -> np.ndarray:  # noqa: ANN401
        rows, columns = at if isinstance(at, tuple) else (at, ALL)
        if isinstance(rows, int | np.integer):
            return np.asarray(self[rows : rows + 1, columns][0])
        if isinstance(columns, int | np.integer):
            return self[rows, columns : columns + 1][:, 0]
        named = isinstance(rows, slice) and isinstance(columns, slice)
        if not named or self._kept is None or self._kept[0] != (rows, columns):
            block = self._compute(rows, columns)
            if not named:
                return block
            self._kept = (rows, columns), block
        return self._kept[1]


Matrix: TypeAlias = np.ndarray | Blocks
"""[examples, labels], as an array or in blocks."""
AnyMatrix: TypeAlias = ArrayLike | csr_array | Blocks
"""What a caller may give for a matrix [examples, labels]."""


def in_blocks(shape: tuple[int, int], compute: Callable[[Places, Places], np.ndarray]) -> Matrix:
    """Return a matrix that is computed at once, or, of more than ``PAIRS_KEPT`` pairs, in blocks."""
    return compute(ALL, ALL) if shape[0] * shape[1] <= PAIRS_KEPT else Blocks(shape, compute)


def blocks_of_sparse(matrix: csr_array) -> Matrix:
    """Return a sparse matrix as one whose blocks are dense."""
    by_column = matrix.tocsc() if matrix.shape[0] * matrix.shape[1] > PAIRS_KEPT else matrix

    def block(rows: Places, columns: Places) -> np.ndarray:
        if isinstance(columns, slice) and columns == ALL:
            return np.asarray(matrix[rows].toarray())
        return np.asarray(by_column[:, columns].tocsr()[rows].toarray())

    return in_blocks(matrix.shape, block)


def part_of(matrix: Matrix, rows: Places = ALL, columns: Places = ALL) -> Matrix:
    """Return the matrix of some rows and columns, each a slice or their numbers."""
    if isinstance(matrix, np.ndarray):
        return matrix[rows][:, columns]
    (every, labels), inner = matrix.shape, matrix
    own, chosen = np.arange(every)[rows], np.arange(labels)[columns]
    return in_blocks((len(own), len(chosen)), lambda some, others: inner[own[some], chosen[others]])


def column_blocks(shape: tuple[int, ...], pairs: int = 0) -> Iterator[slice]:
    """Divide the columns so that a block has about so many pairs, by default ``PAIRS_AT_ONCE``."""
    step = max(1, (pairs or PAIRS_AT_ONCE) // max(shape[0], 1))
    return (slice(at, min(at + step, shape[1])) for at in range(0, shape[1], step))


def row_blocks(shape: tuple[int, ...], pairs: int = 0) -> Iterator[slice]:
    """Divide the rows so that a block has about so many pairs, by default ``PAIRS_AT_ONCE``."""
    return column_blocks((shape[1], shape[0]), pairs)


@dataclass(frozen=True)
class TrainingLabels:
    """Frequencies of the labels in the training data, for metrics of rare labels."""

    counts: Real[np.ndarray, " labels"]
    """Positives of each label."""
    examples: int
    """All examples, with labels or without."""

    @classmethod
    def of(cls, labels: "Shaped[np.ndarray, 'examples labels'] | csr_array") -> "TrainingLabels":
        """Count the positives of training labels, dense or sparse; unknown ones (NaN) do not count."""
        return cls((labels == 1).sum(axis=0), labels.shape[0])


@dataclass
class Confusion:
    """Counts of pairs of an example and a label, or of sums of them: four arrays of one shape.

    Pairs whose true label is not known (NaN) count nothing.

    Example:
        >>> counts = Confusion.of(np.array([[1, 0], [1, 1]]), np.array([[1, 1], [0, 1]])).over_examples()
        >>> counts.hits.tolist(), counts.predicted.tolist(), counts.support.tolist()
        ([[1, 1]], [[1, 2]], [[2, 1]])
    """

    hits: Shaped[np.ndarray, "..."]
    """Predicted and true."""
    predicted: Shaped[np.ndarray, "..."]
    support: Shaped[np.ndarray, "..."]
    """True."""
    known: Shaped[np.ndarray, "..."]

    @classmethod
    def of(cls, labels: Labels, predictions: Labels) -> "Confusion":
        """Mark the pairs of each kind."""
        known = known_pairs(labels)
        true, predicted = known & (labels == 1), known & (predictions != 0)
        return cls(true & predicted, predicted, true, known)

    @classmethod
    def zeros(cls, *shape: int) -> "Confusion":
        """Start counting."""
        return cls(*np.zeros((4, *shape)))

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.hits, self.predicted, self.support, self.known))

    def add(self, other: "Confusion") -> None:
        """Add the counts of other examples."""
        for own, more in zip(self, other, strict=True):
            np.add(own, more, out=own)

    def over_labels(self) -> "Confusion":
        """Sum over the last axis, the labels."""
        return Confusion(*(one.sum(axis=-1) for one in self))

    def over_examples(self, weights: Weights | None = None) -> "Confusion":
        """Sum marked pairs over the examples: a row a weighting; without weights, each example counts once."""
        return Confusion(*(one.sum(axis=0, keepdims=True) if weights is None else weights @ one for one in self))

    def select(self, chosen: Shaped[np.ndarray, "..."]) -> "Confusion":
        """Take some labels."""
        return Confusion(*(one[..., chosen] for one in self))


def average_labels(
    metric: Metric, counts: Confusion, train: TrainingLabels | None = None
) -> Float[np.ndarray, " weightings"]:
    """Compute a metric of predictions from the counts of each label.

    Args:
        metric: Any whose ``average`` is not ``sample``.
        counts: [weightings, labels].
        train: For ``head``, ``medium`` and ``tail``.

    Returns: NaN where no pair is known, or no label is averaged over.
    """
    assert metric.terms is not None
    if metric.average == "micro":
        total = counts.over_labels()
        return np.where(total.known > 0, ratio(*metric.terms(total)), np.nan)
    values = ratio(*metric.terms(counts))
    if metric.average == "weighted":
        weighted = np.array([row @ support for row, support in zip(values, counts.support, strict=True)])
        return ratio(weighted, counts.support.sum(axis=1))
    averaged = counts.known > 0
    if metric.average != "macro":
        assert train is not None
        averaged = averaged & by_frequency(train.counts)[metric.average]
    return np.array([mean_of_known(row[chosen]) for row, chosen in zip(values, averaged, strict=True)])


def by_frequency(counts: Real[np.ndarray, " labels"]) -> dict[str, Bool[np.ndarray, " labels"]]:
    """Mark the head, medium and tail labels, by their positives in training.

    Example:
        >>> by_frequency(np.array([101, 100, 20, 19]))["medium"]
        array([False,  True,  True, False])
    """
    head, tail = counts > HEAD, counts < TAIL
    return {"head": head, "medium": ~head & ~tail, "tail": tail}


def as_matrix(values: ArrayLike, name: str) -> np.ndarray:
    """Convert a list or a tensor to an array, and check that it is a matrix of numbers; an array stays as it is.

    Raises:
        LabelShapeError: It is no matrix of numbers.

    Example:
        >>> as_matrix([[1, 0], [0, 1]], "labels").shape
        (2, 2)
    """
    try:
        array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    except ValueError as error:
        message = f"{name} must be a matrix with one row for each example. Got rows of different lengths."
        raise LabelShapeError(message) from error
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        message = f"{name} must be a matrix of numbers with one row for each example. "
        raise LabelShapeError(f"{message}Got shape {list(array.shape)} of type {array.dtype}.")
    return array


def as_blocks(values: AnyMatrix, name: str) -> Any:  # noqa: ANN401
    """Return a matrix of which blocks can be taken, dense or not, without making a dense one.

    Raises:
        LabelShapeError: It is no matrix of numbers.
    """
    if issparse(values):
        return blocks_of_sparse(csr_array(values))
    return values if isinstance(values, Blocks) else as_matrix(values, name)


def as_features(features: ArrayLike, name: str) -> Float[np.ndarray, "examples dim"]:
    """Convert features to a matrix of floating-point numbers; those in float32 or float64 keep their type.

    Raises:
        LabelShapeError: They are no matrix of numbers.
    """
    matrix = as_matrix(features, name)
    return matrix if matrix.dtype in (np.float32, np.float64) else matrix.astype(np.float32)


def checked_pair(labels: AnyMatrix, probabilities: AnyMatrix) -> tuple[Any, Any]:
    """Convert labels and probabilities to two matrices of one shape.

    Raises:
        LabelShapeError: They are no matrices of one shape, or hold no example.

    Example:
        >>> [one.shape for one in checked_pair([[1, 0]], [[0.9, 0.2]])]
        [(1, 2), (1, 2)]
    """
    labels, probabilities = as_blocks(labels, "labels"), as_blocks(probabilities, "probabilities")
    if labels.shape != probabilities.shape or not len(labels):
        message = "labels and probabilities must have one shape, with at least one example. "
        raise LabelShapeError(f"{message}Got {list(labels.shape)} and {list(probabilities.shape)}.")
    return labels, probabilities


def known_pairs(labels: Shaped[np.ndarray, "..."]) -> Bool[np.ndarray, "..."]:
    """Mark the labels that are known, which are those that are not NaN."""
    if labels.dtype.kind == "f":
        return np.asarray(~np.isnan(labels))
    return np.ones(labels.shape, dtype=bool)


def ratio(part: np.ndarray, whole: np.ndarray | int, *, empty: float = 0.0) -> np.ndarray:
    """Return part / whole, and ``empty`` where the whole is 0: the part is 0 there too."""
    nothing = np.asarray(whole) == 0
    found = np.asarray(part / np.where(nothing, 1, whole))
    return found if empty == 0 else np.where(nothing, empty, found)


def mean_of_known(values: Float[np.ndarray, " values"]) -> float:
    """Return the mean of the values that are not NaN; NaN where there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
