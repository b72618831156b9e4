"""Tables: named columns of cells, in memory or in Arrow, and the line in which each row stands."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import eq
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from labelcontrast.errors import DataError, LabelError, nearest
from labelcontrast.files import is_utf8

CHUNK = 10_000
"""Rows that become Python objects at a time."""
TEXTS, BYTES = (pa.string(), pa.large_string()), (pa.binary(), pa.large_binary())
LISTED = (*TEXTS, pa.int8(), pa.int16(), pa.int32(), pa.int64())
"""Types of the items of a list column that stays in Arrow."""
UNLABELLED = -1
"""The number that `datasets` writes where an example has no class label."""
Piece: TypeAlias = "pa.Array | list[object]"


def columns_from_rows(rows: Iterable[Mapping[str, object]]) -> dict[str, Sequence[object]]:
    """Turn rows into columns, in the order in which their names first occur; a missing cell is None.

    The texts and lists of a long file are moved to Arrow in chunks, so that few Python objects are alive.

    Example:
        >>> columns_from_rows([{"text": "a"}, {"text": "b", "stars": 3}])
        {'text': ['a', 'b'], 'stars': [None, 3]}
    """
    pieces: dict[str, list[Piece]] = {}
    sizes: list[int] = []
    waiting = iter(rows)
    for chunk in iter(lambda: list(islice(waiting, CHUNK)), []):
        if not pieces.keys() >= set[str]().union(*chunk):
            for name in dict.fromkeys(chain.from_iterable(chunk)):
                pieces.setdefault(name, [[None] * size for size in sizes])
        for name, held in pieces.items():
            held.append(_packed(_column(chunk, name)))
        sizes.append(len(chunk))
    return {name: _joined(held) for name, held in pieces.items()}


def arrow_columns(table: pa.Table, features: Mapping[str, Any], origin: str) -> dict[str, Sequence[object]]:
    """Return the columns of an Arrow table; numbers of class labels are replaced by their names.

    Args:
        table: The rows.
        features: The features of `datasets` for each column.
        origin: The name of the table in error messages.

    Raises:
        LabelError: A class label is outside its list of names; with the row.

    Example:
        >>> table = pa.table({"text": ["a", "b"], "labels": [[1, 0], []]})
        >>> features = {"labels": {"_type": "List", "feature": {"_type": "ClassLabel", "names": ["joy", "fear"]}}}
        >>> list(arrow_columns(table, features, "a.parquet")["labels"])
        [['fear', 'joy'], []]
    """
    named = {name: _class_names(features.get(name), f'column "{name}"', origin) for name in table.column_names}
    return {
        name: arrow_cells(table[name] if names is None else _named(table[name], names, f'column "{name}"', origin))
        for name, names in named.items()
    }


def arrow_cells(column: pa.ChunkedArray) -> Sequence[object]:
    """Return the cells of an Arrow column; texts, bytes and lists of names or whole numbers without nulls stay there.

    A picture as `datasets` stores it, bytes with a path, becomes its bytes; if one row has none, all become paths.

    Example:
        >>> arrow_cells(pa.chunked_array([[3, None]])), type(arrow_cells(pa.chunked_array([["a"]]))).__name__
        ([3, None], 'ArrowColumn')
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_struct(column.type) and {field.name for field in column.type} == {"bytes", "path"}:
        pictures = pc.struct_field(column, "bytes")
        return arrow_cells(pc.struct_field(column, "path") if pictures.null_count else pictures)
    return ArrowColumn(column) if _stays(column) else column.to_pylist()


def coded(cells: Sequence[Any]) -> tuple[list[Any], NDArray[np.int64]]:
    """Return the distinct cells in the order of their first occurrence, and for each cell its index among them.

    Example:
        >>> coded(["b", "a", "b"])
        (['b', 'a'], array([0, 1, 0]))
    """
    if isinstance(cells, ArrowColumn):
        return cells.coded()
    place = {cell: code for code, cell in enumerate(dict.fromkeys(cells))}
    return list(place), np.fromiter(map(place.__getitem__, cells), np.int64, count=len(cells))


def flattened(cells: Sequence[Any]) -> tuple[Sequence[Any], NDArray[np.int64]]:
    """Return the items of all lists, one list after the other, and the length of each list."""
    if isinstance(cells, ArrowColumn):
        return cells.flattened()
    return list(chain.from_iterable(cells)), np.fromiter(map(len, cells), np.int64, count=len(cells))


def numbered(lines: Sequence[int]) -> Sequence[int]:
    """Return consecutive line numbers as a range, which takes no memory; others as they are.

    Example:
        >>> numbered([2, 3, 4]), numbered([2, 4])
        (range(2, 5), [2, 4])
    """
    whole = range(lines[0], lines[0] + len(lines)) if lines else range(0)
    return whole if len(whole) and lines[-1] == whole[-1] else lines


def listed(names: Sequence[str] | Mapping[str, object], most: int = 8) -> str:
    """Write names in quotes, at most the first few.

    Example:
        >>> listed(["id", "review", "tags"], most=2)
        '"id", "review" and 1 more'
    """
    shown = ", ".join(f'"{name}"' for name in list(names)[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


@dataclass(frozen=True, kw_only=True)
class DataTable:
    """The rows of a file, by column; a missing cell is None."""

    origin: str
    columns: Mapping[str, Sequence[object]]
    lines: Sequence[int]
    counted: str = "line"
    folder: Path = Path()
    """The folder that the names of pictures are relative to."""

    def __len__(self) -> int:
        return len(self.lines)

    def where(self, row: int, column: str | None = None) -> str:
        """Return the place of a row, as ``reviews.jsonl, line 17``; with a column, the place of a cell."""
        place = f"{self.origin}, {self.counted} {self.lines[row]}"
        return place if column is None else f'{place}, column "{column}"'

    def named(self, names: Sequence[str]) -> str | None:
        """Return the first column with one of these names, ignoring case."""
        known = {column.lower(): column for column in reversed(list(self.columns))}
        return next((known[name] for name in names if name in known), None)

    def required(self, name: str) -> str:
        """Return the name of a column if it exists; otherwise raise DataError with the nearest one."""
        if name in self.columns:
            return name
        message = f'there is no column "{name}"{nearest(name, self.columns)}. The columns are {listed(self.columns)}.'
        raise DataError(message, path=self.origin)


class ArrowColumn(Sequence[Any]):
    """The cells of an Arrow column, or a selection of them; a cell is copied only when it is read.

    Example:
        >>> column = ArrowColumn(pa.chunked_array([["a", "b"], ["c"]]))
        >>> len(column), column[2], column.take([2, 0]), list(column.select([1, 2]))
        (3, 'c', ['c', 'a'], ['b', 'c'])
    """

    def __init__(self, column: pa.ChunkedArray, rows: NDArray[np.int64] | None = None) -> None:
        self.holds_texts, self.holds_bytes = column.type in TEXTS, column.type in BYTES
        self.holds_lists = _is_list(column.type)
        self.column = column
        self.rows = rows
        self._ends = np.cumsum([len(chunk) for chunk in column.chunks])

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.column) if self.rows is None else len(self.rows)

    @overload
    def __getitem__(self, index: int) -> object: ...
    @overload
    def __getitem__(self, index: slice) -> list[object]: ...
    def __getitem__(self, index: int | slice) -> object:
        """Read a cell, or a list of them."""
        if isinstance(index, slice):
            return self._between(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        return self.take([index % len(self)])[0]

    def __iter__(self) -> Iterator[Any]:
        """Read all cells, a chunk at a time."""
        for start in range(0, len(self), CHUNK):
            yield from self[start : start + CHUNK]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    def take(self, indices: Sequence[int] | NDArray[np.integer]) -> list[object]:
        """Read the cells at these positions."""
        wanted = np.asarray(indices, dtype=np.int64)
        rows = wanted if self.rows is None else self.rows[wanted]
        owners = np.searchsorted(self._ends, rows, side="right")
        # Arrow's own ``take`` concatenates all chunks first, which costs milliseconds a batch where there are many.
        chunks, starts = self.column.chunks, np.concatenate([[0], self._ends])
        places = zip(owners.tolist(), (rows - starts[owners]).tolist(), strict=True)
        return [chunks[owner][place].as_py() for owner, place in places]

    def select(self, indices: Sequence[int] | NDArray[np.integer]) -> "ArrowColumn":
        """Return a view of the cells at these positions, still unread."""
        wanted = np.asarray(indices, dtype=np.int64)
        return ArrowColumn(self.column, wanted if self.rows is None else self.rows[wanted])

    @classmethod
    def joined(cls, columns: Sequence["ArrowColumn"]) -> "ArrowColumn":
        """Concatenate columns of texts, or columns of bytes, without reading them.

        Example:
            >>> column = ArrowColumn(pa.chunked_array([["a", "b"], ["c"]]))
            >>> list(ArrowColumn.joined([column.select([2]), column]))
            ['c', 'a', 'b', 'c']
        """
        type_ = pa.large_binary() if columns[0].holds_bytes else pa.large_string()
        chunks = chain.from_iterable(one.column.cast(type_).chunks for one in columns)
        starts = np.cumsum([0, *(len(one.column) for one in columns[:-1])])
        rows = [np.arange(len(one)) if one.rows is None else one.rows for one in columns]
        whole = pa.chunked_array(list(chunks), type_)
        return cls(whole, np.concatenate([start + own for start, own in zip(starts, rows, strict=True)]))

    def coded(self) -> tuple[list[Any], NDArray[np.int64]]:
        """Return the same as the function ``coded``, computed by Arrow."""
        encoded = pc.dictionary_encode(self._chosen()).unify_dictionaries()
        distinct = encoded.chunk(0).dictionary.to_pylist() if encoded.num_chunks else []
        codes = [chunk.indices.to_numpy() for chunk in encoded.chunks]
        return distinct, np.concatenate([np.empty(0, np.int64), *codes])

    def flattened(self) -> tuple["ArrowColumn", NDArray[np.int64]]:
        """Return the same as the function ``flattened``, the items still unread."""
        column = self._chosen()
        sizes = pc.list_value_length(column).to_numpy().astype(np.int64)
        return ArrowColumn(pc.list_flatten(column)), sizes

    def _chosen(self) -> pa.ChunkedArray:
        return self.column if self.rows is None else self.column.take(pa.array(self.rows))

    def _between(self, part: slice) -> list[object]:
        start, end, step = part.indices(len(self))
        if self.rows is not None or step != 1:
            return self.take(np.arange(start, end, step))
        cells: list[object] = self.column.slice(start, max(end - start, 0)).to_pylist()
        return cells


def _column(rows: list[Mapping[str, object]], name: str) -> list[object]:
    try:
        return [row[name] for row in rows]
    except KeyError:
        return [row.get(name) for row in rows]


def _packed(cells: list[object]) -> Piece:
    """Move cells to Arrow if all are texts, or all are lists of names or of whole numbers."""
    kinds = set(map(type, cells))
    lists = kinds == {list}
    held = {type(cell) for row in islice(cells, 1000) for cell in row} if lists else kinds  # type: ignore[attr-defined]
    try:
        # Nothing else: a million objects would become a table with a column for every name in one of them.
        packed = pa.array(cells) if held == {str} or (lists and held == {int}) else None
    except (pa.ArrowException, UnicodeError, OverflowError):  # several types, or half of a surrogate pair
        return cells
    return packed if packed is not None and _stays(packed) else cells


def _stays(column: "pa.Array | pa.ChunkedArray") -> bool:
    if _is_list(column.type):
        return not column.null_count and not pc.list_flatten(column).null_count
    return not column.null_count and column.type in (*TEXTS, *BYTES)


def _is_list(kind: pa.DataType) -> bool:
    return (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and kind.value_type in LISTED


def _joined(pieces: list[Piece]) -> Sequence[object]:
    """Concatenate the pieces of a column: in Arrow if there are several, all of one Arrow type; else as a list."""
    packed = [piece for piece in pieces if isinstance(piece, pa.Array)]
    if len(packed) == len(pieces) > 1 and len({piece.type for piece in packed}) == 1:
        return ArrowColumn(pa.chunked_array(packed))
    return list(chain.from_iterable(piece.to_pylist() if isinstance(piece, pa.Array) else piece for piece in pieces))


def _class_names(feature: Any, title: str, origin: str) -> list[str] | None:  # noqa: ANN401
    """Return the names of a feature of class labels, or of lists of them; None for any other feature."""
    inner = feature.get("feature", feature) if isinstance(feature, Mapping) else feature[0] if feature else {}
    if not isinstance(inner, Mapping) or inner.get("_type") != "ClassLabel":
        return None
    names = inner.get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) and is_utf8(name) for name in names):
        raise LabelError("the names of its class labels are damaged.", path=f"{origin}, {title}")
    return names


def _named(column: pa.ChunkedArray, names: list[str], title: str, origin: str) -> pa.ChunkedArray:
    """Replace class numbers by names, alone or in lists; a single -1 becomes null."""
    lists = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    numbers = (pc.list_flatten(column) if lists else column).combine_chunks()
    sizes = pc.fill_null(pc.list_value_length(column), 0).to_numpy() if lists else np.ones(len(column), np.int64)
    if not lists:
        numbers = pc.if_else(pc.equal(numbers, UNLABELLED), None, numbers)
    places = numbers.drop_null().to_numpy(zero_copy_only=False)
    if places.size and not (places.min() >= 0 and places.max() < len(names)):
        known = pc.fill_null(numbers, 0).to_numpy(zero_copy_only=False)
        wrong = int(np.argmax((known < 0) | (known >= len(names))))
        row = int(np.searchsorted(np.cumsum(sizes), wrong, side="right")) + 1
        message = f"the class label {known[wrong]} has no name; expected 0 to {len(names) - 1}."
        raise LabelError(message, path=f"{origin}, row {row}, {title}")
    written = pa.array(names, pa.string()).take(numbers)
    if lists:
        ends = pa.array(np.concatenate([[0], np.cumsum(sizes)]), pa.int64())
        written = pa.LargeListArray.from_arrays(ends, written, mask=column.is_null().combine_chunks())
    return pa.chunked_array([written])
