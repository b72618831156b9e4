"""Label names in a fixed order: from label sets to a sparse multi-hot matrix, and back."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import nan
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from labelcontrast.errors import LabelError, nearest
from labelcontrast.files import is_utf8, parse_json, write_text
from labelcontrast.labels.label_sets import LabelSets

PAIRS_AT_ONCE = 2**22
"""Pairs of an example and a label that are marked at a time."""


@dataclass(frozen=True)
class LabelVocabulary:
    """Label names, in the order of the columns of every multi-hot matrix.

    Args:
        names: Distinct names, none empty.

    Raises:
        LabelError: A name is not text, is empty, or occurs twice.

    Example:
        >>> vocabulary = LabelVocabulary.from_label_sets([("sports", "health"), (), ("politics",)])
        >>> vocabulary.names
        ('health', 'politics', 'sports')
        >>> vocabulary.encode([("sports", "health"), ()]).toarray().tolist()
        [[1, 0, 1], [0, 0, 0]]
        >>> vocabulary.decode(vocabulary.encode([("sports", "health"), ()]))
        [('health', 'sports'), ()]
    """

    names: tuple[str, ...]
    column: dict[str, int] = field(init=False, repr=False, compare=False)
    """Column of each label."""

    def __post_init__(self) -> None:
        column: dict[str, int] = {}
        for position, name in enumerate(self.names):
            if not isinstance(name, str) or not name:
                message = f"a label name must be text that is not empty. Got {name!r}."
                raise LabelError(message)
            if not is_utf8(name):
                message = f"a label name must be text that UTF-8 can hold. Got {name!r}."
                raise LabelError(message)
            if name in column:
                message = f'label "{name}" occurs twice in the vocabulary.'
                raise LabelError(message)
            column[name] = position
        object.__setattr__(self, "column", column)

    @classmethod
    def from_label_sets(cls, label_sets: Iterable[Iterable[str]]) -> Self:
        """Build a vocabulary of all labels that occur, in sorted order."""
        return cls(tuple(sorted(set(chain.from_iterable(label_sets)))))

    def __len__(self) -> int:
        return len(self.names)

    def encode(
        self, label_sets: Sequence[Sequence[str]], *, where: Callable[[int], str] | None = None
    ) -> csr_array[Any, tuple[int, int]]:
        """Encode label sets as a multi-hot matrix, a row for each example.

        Args:
            label_sets: The labels of each example, in any order.
            where: Returns the source of the example at a position, such as ``reviews.jsonl, line 17``, for messages.

        Returns: A sparse matrix [examples, labels] of 0 and 1 in 8 bits, with sorted indices.

        Raises:
            LabelError: A label is not in the vocabulary; the message suggests the nearest one.
        """
        sets = LabelSets.of(label_sets)
        own = np.fromiter((self.column.get(name, -1) for name in sets.names), np.int32, count=len(sets.names))
        columns = own[sets.codes]
        if columns.size and columns.min() < 0:
            first = int(np.argmin(columns))
            row = int(np.searchsorted(sets.starts, first, side="right")) - 1
            self._refuse(sets.names[sets.codes[first]], None if where is None else where(row))
        matrix = csr_array((np.ones(len(columns), np.uint8), columns, sets.starts), shape=(len(sets), len(self.names)))
        matrix.sort_indices()
        return matrix

    def encode_values(
        self,
        label_sets: Sequence[Sequence[str]],
        values: Sequence[Mapping[str, float]] | None = None,
        annotated: Sequence[Sequence[str]] | None = None,
        *,
        where: Callable[[int], str] | None = None,
    ) -> csr_array[Any, tuple[int, int]]:
        """Encode label sets with soft and unknown labels, a row for each example.

        Args:
            label_sets: The labels of each example.
            values: For each example, values of single labels that override its set: between 0 and 1, or NaN.
            annotated: For each example, the labels that were annotated; others are unknown unless they are in its set
                or its values.
            where: Returns the source of the example at a position, for messages.

        Returns:
            A sparse matrix [examples, labels] in 32 bits: between 0 and 1, or NaN where a label is unknown. With
            ``annotated`` it has an entry for every unknown label.

        Raises:
            LabelError: A label is not in the vocabulary.

        Example:
            >>> vocabulary = LabelVocabulary(("a", "b", "c"))
            >>> vocabulary.encode_values([("a", "b")], [{"b": 0.7}], [("a", "b")]).toarray().tolist()
            [[1.0, 0.699999988079071, nan]]
        """
        matrix = self.encode(label_sets, where=where).astype(np.float32)
        held = values or [{}] * len(label_sets)
        self.encode([tuple(row) for row in held], where=where)  # refuses an unknown label
        at = np.repeat(np.arange(len(held)), [len(row) for row in held])
        columns = np.fromiter((self.column[name] for row in held for name in row), np.int64, count=len(at))
        given = np.fromiter(chain.from_iterable(row.values() for row in held), np.float32, count=len(at))
        if annotated is not None:
            own = csr_array((np.ones(len(at), np.float32), (at, columns)), shape=matrix.shape)
            seen = csr_array(matrix + own + self.encode(annotated, where=where))
            step = max(1, PAIRS_AT_ONCE // len(self))
            for start in range(0, len(held), step):
                rows, others = np.nonzero(seen[start : start + step].toarray() == 0)
                at, columns = np.concatenate([at, start + rows]), np.concatenate([columns, others])
            given = np.concatenate([given, np.full(len(at) - len(given), nan, np.float32)])
        return _overridden(matrix, at, columns, given)

    def decode(self, matrix: object) -> LabelSets:
        """Decode a multi-hot matrix, dense or sparse, into label sets in the order of the vocabulary."""
        sparse = csr_array(matrix, copy=True)
        sparse.sort_indices()
        sparse.eliminate_zeros()
        return LabelSets(self.names, sparse.indices, sparse.indptr)

    def save(self, path: str | Path) -> None:
        """Save the names as a JSON list, whole or not at all."""
        write_text(Path(path), json.dumps(self.names, ensure_ascii=False, indent=0) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load a JSON list of names.

        Raises:
            LabelError: The file is missing, is not a JSON list, or has an invalid name.
        """
        path = Path(path)
        try:
            names = parse_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            message = "there is no such file; expected a JSON list of label names."
            raise LabelError(message, path=path) from None
        except ValueError as error:
            message = f"not a JSON list of label names ({error})."
            raise LabelError(message, path=path) from None
        if not isinstance(names, list):
            message = f"expected a JSON list of label names. Got a {type(names).__name__}."
            raise LabelError(message, path=path)
        try:
            return cls(tuple(names))
        except LabelError as error:
            raise LabelError(str(error), path=path) from None

    def _refuse(self, label: object, place: str | None) -> None:
        message = f'label "{label}" is not in the vocabulary{nearest(str(label), self.names)}.'
        raise LabelError(message, path=place)


def _overridden(
    matrix: csr_array, at: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.float32]
) -> csr_array[Any, tuple[int, int]]:
    """Replace the entries that are given."""
    before = matrix.tocoo()
    width = matrix.shape[1]
    kept = ~np.isin(before.row.astype(np.int64) * width + before.col, at * width + columns)
    entries = np.concatenate([before.data[kept], values])
    places = np.concatenate([before.row[kept], at]), np.concatenate([before.col[kept], columns])
    result = csr_array((entries, places), shape=matrix.shape)
    result.sort_indices()
    return result
