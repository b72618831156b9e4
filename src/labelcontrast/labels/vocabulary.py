"""The labels in a fixed order: from label sets to a sparse multi-hot matrix, and back."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise, repeat
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy.sparse import csr_array

from labelcontrast.errors import LabelError, nearest
from labelcontrast.files import write_text


@dataclass(frozen=True)
class LabelVocabulary:
    """The label names, whose order is the order of the columns of every multi-hot matrix.

    Args:
        names: the labels; each once, none empty.

    Raises:
        LabelError: when a name is not text, is empty, or stands twice.

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

    def __post_init__(self) -> None:
        """Refuse what cannot name a column."""
        seen: set[str] = set()
        for name in self.names:
            if not isinstance(name, str) or not name:
                message = f"a label name must be text that is not empty. Got {name!r}."
                raise LabelError(message)
            if name in seen:
                message = f'label "{name}" stands twice in the vocabulary.'
                raise LabelError(message)
            seen.add(name)

    @classmethod
    def from_label_sets(cls, label_sets: Iterable[Iterable[str]]) -> Self:
        """Collect every label that occurs, in sorted order."""
        return cls(tuple(sorted(set(chain.from_iterable(label_sets)))))

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def column(self) -> dict[str, int]:
        """The column of each label."""
        return {name: position for position, name in enumerate(self.names)}

    def encode(
        self, label_sets: Sequence[Sequence[str]], *, where: Callable[[int], str] | None = None
    ) -> csr_array[Any, tuple[int, int]]:
        """Write label sets as a multi-hot matrix, a row an example.

        Args:
            label_sets: the labels of each example, in any order.
            where: says where the example at a position comes from, as ``reviews.jsonl, line 17``, for the refusal.

        Returns:
            A matrix [examples, labels] of 0 and 1 in 8 bits, sparse, the columns of each row sorted.

        Raises:
            LabelError: when a label is not in the vocabulary; the message has the nearest label that is.
        """
        sizes = np.fromiter(map(len, label_sets), np.int64, count=len(label_sets))
        starts = np.concatenate([[0], np.cumsum(sizes)])
        columns = np.fromiter(
            map(self.column.get, chain.from_iterable(label_sets), repeat(-1)), np.int64, count=starts[-1]
        )
        if columns.size and columns.min() < 0:
            first = int(np.argmin(columns))
            row = int(np.searchsorted(starts, first, side="right")) - 1
            self._refuse(label_sets[row][first - int(starts[row])], None if where is None else where(row))
        matrix = csr_array((np.ones(len(columns), np.uint8), columns, starts), shape=(len(label_sets), len(self.names)))
        matrix.sum_duplicates()
        matrix.data[:] = 1
        return matrix

    def decode(self, matrix: object) -> list[tuple[str, ...]]:
        """Read a multi-hot matrix, dense or sparse, as label sets; each in the order of the vocabulary."""
        sparse = csr_array(matrix)
        sparse.sort_indices()
        sparse.eliminate_zeros()
        names = np.asarray(self.names, dtype=object)[sparse.indices].tolist()
        return [tuple(names[start:end]) for start, end in pairwise(sparse.indptr.tolist())]

    def save(self, path: Path) -> None:
        """Write the names as a JSON list, whole or not at all."""
        write_text(path, json.dumps(self.names, ensure_ascii=False, indent=0) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a JSON list of names.

        Raises:
            LabelError: when the file is missing, is not a JSON list, or has a name that cannot be one.
        """
        try:
            names = json.loads(path.read_text(encoding="utf-8"))
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
        """Refuse a label that is not known, with the nearest that is."""
        message = f'label "{label}" is not in the vocabulary{nearest(str(label), self.names)}.'
        raise LabelError(message, path=place)
