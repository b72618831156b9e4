"""A column of texts that stays in its file: mapped into memory, read where it is asked for."""

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

CHUNK = 10_000
"""Rows that become Python objects at a time."""


class ArrowColumn(Sequence[Any]):
    """The cells of an Arrow column, or some of them in an order of their own; none is copied before it is read.

    Example:
        >>> column = ArrowColumn(pa.chunked_array([["a", "b"], ["c"]]))
        >>> len(column), column[2], column.take([2, 0]), list(column.select([1, 2]))
        (3, 'c', ['c', 'a'], ['b', 'c'])
    """

    def __init__(self, column: pa.ChunkedArray, rows: NDArray[np.int64] | None = None) -> None:
        self._column = column
        self._rows = rows

    def __len__(self) -> int:
        return len(self._column) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, index: int) -> object: ...
    @overload
    def __getitem__(self, index: slice) -> list[object]: ...
    def __getitem__(self, index: int | slice) -> object:
        """Read a cell, or a list of them."""
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        if not -len(self) <= index < len(self):
            message = f"row {index} of {len(self)}"
            raise IndexError(message)
        return self.take([index % len(self)])[0]

    def __iter__(self) -> Iterator[Any]:
        """Read all cells, some thousands at a time."""
        for start in range(0, len(self), CHUNK):
            yield from self[start : start + CHUNK]

    def take(self, indices: Sequence[int] | NDArray[np.integer]) -> list[object]:
        """Read the cells at these positions."""
        wanted = np.asarray(indices, dtype=np.int64)
        cells: list[object] = self._column.take(wanted if self._rows is None else self._rows[wanted]).to_pylist()
        return cells

    def select(self, indices: Sequence[int] | NDArray[np.integer]) -> "ArrowColumn":
        """Keep the cells at these positions, still unread."""
        wanted = np.asarray(indices, dtype=np.int64)
        return ArrowColumn(self._column, wanted if self._rows is None else self._rows[wanted])
