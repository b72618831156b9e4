"""A line is an example: JSON Lines, plain text, and what comes in by standard input."""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.json as pj

from labelcontrast.data.arrow import arrow_cells, columns_of
from labelcontrast.data.assembly import examples_of
from labelcontrast.data.columns import ColumnNames, Table, numbered
from labelcontrast.data.examples import Examples
from labelcontrast.errors import DataError

BLOCK = 2**24
"""Bytes that Arrow parses at a time."""


def read_json_lines(path: Path, wanted: ColumnNames) -> Examples:
    """Read one JSON object a line; a file that opens with ``[`` is read as one list of objects.

    Raises:
        DataError: when a line is not a JSON object, or the file is not UTF-8; with the line.
    """
    table = None if path.suffix == ".gz" else _plain_table(path)
    if table is not None:
        columns = {name: arrow_cells(table[name]) for name in table.column_names}
        return examples_of(
            Table(origin=str(path), columns=columns, lines=range(1, len(table) + 1)), wanted, path.parent
        )
    lines = numbered_lines(path)
    first = next(((number, line) for number, line in lines if line.strip()), (1, ""))
    if first[1].lstrip().startswith("["):
        whole = "".join(line for _, line in chain([first], lines))
        return examples_of(_rows_of_list(_parsed(whole, str(path)), str(path)), wanted, path.parent)
    return examples_of(_rows_of_lines(chain([first], lines), str(path)), wanted, path.parent)


def read_plain_text(path: Path, _wanted: ColumnNames) -> Examples:
    """Read one text a line, without labels; lines of white space are passed over."""
    return _plain(numbered_lines(path), str(path))


def read_lines(
    stream: Iterable[str], *, origin: str = "<stdin>", text: str | None = None, image: str | None = None
) -> Examples:
    r"""Read examples from lines that come in, as on standard input: JSON objects or plain texts, as the first line is.

    Args:
        stream: the lines.
        origin: what refusals call the stream.
        text: the column of the texts, found by looking where it is None.
        image: the column of the pictures' paths, which are relative to the working folder.

    Raises:
        DataError: when there is nothing to read, or a line is not a JSON object where the first is.

    Example:
        >>> read_lines(["a goal\n", "\n", "a vote\n"]).inputs
        ['a goal', 'a vote']
    """
    wanted = ColumnNames(text=text, image=image)
    lines = ((number, line) for number, line in enumerate(stream, 1) if line.strip())
    first = next(lines, None)
    if first is None:
        message = "there is nothing to read."
        raise DataError(message, path=origin)
    if first[1].lstrip().startswith("{"):
        return examples_of(_rows_of_lines(chain([first], lines), origin), wanted, Path())
    return _plain(chain([first], lines), origin)


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read the lines of a file, plain or gzip, from one.

    Raises:
        DataError: when a line is not UTF-8, or the compressed file is damaged.
    """
    number = 0
    try:
        with cast("BinaryIO", gzip.open(path) if path.suffix == ".gz" else path.open("rb")) as file:
            for number, line in enumerate(file, 1):
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        message = f"not UTF-8 text ({error.reason} at byte {error.start + 1})."
        raise DataError(message, path=path, line=number) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        message = f"the compressed file is damaged ({error})."
        raise DataError(message, path=path) from None


def _plain_table(path: Path) -> pa.Table | None:
    """Let Arrow parse a file, in half the time; None where something is wrong, or might be read otherwise than below.

    That is so unless every line is an object, and its values are texts, whole numbers, true or false, or lists of texts
    or of whole numbers. What is wrong is then found in the line where it stands.
    """
    lines = _lines_of_objects(path)
    reading = pj.ReadOptions(use_threads=False, block_size=BLOCK)
    schema: dict[str, pa.DataType] = {}
    try:
        table = pj.read_json(path, reading) if lines else None
        # A text that looks like a date becomes one, unless it is said to be a text.
        while table and (dates := {field.name: text for field in table.schema if (text := _TEXT_OF.get(field.type))}):
            schema |= dates
            names, parsing = table.column_names, pj.ParseOptions(explicit_schema=pa.schema(schema))
            table = pj.read_json(path, reading, parsing).select(names)
        if table:
            table.validate(full=True)
    except (pa.ArrowException, UnicodeError):
        return None
    return table if table and len(table) == lines and set(table.schema.types) <= _PLAIN else None


def _lines_of_objects(path: Path) -> int:
    """Count the lines of a file; 0 where one does not begin with a brace: Arrow's parser dies of a line of null."""
    before, lines, braces = b"\n", 0, 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            lines, braces = lines + block.count(b"\n"), braces + (before + block).count(b"\n{")
            before = block[-1:]
    lines += before != b"\n"
    return lines if braces == lines else 0


def _plain(lines: Iterable[tuple[int, str]], origin: str) -> Examples:
    """Take every line that is not white space as a text."""
    kept = [(number, line.strip()) for number, line in lines if line.strip()]
    rows = Table(origin=origin, columns={"line": [line for _, line in kept]}, lines=[number for number, _ in kept])
    return examples_of(rows, ColumnNames(text="line"), Path())


def _rows_of_lines(lines: Iterable[tuple[int, str]], origin: str) -> Table:
    """Parse one object a line; empty lines are passed over."""
    numbers = []

    def objects() -> Iterator[dict[str, object]]:
        for number, line in lines:
            if line.strip():
                numbers.append(number)
                yield _object(_parsed(line, origin, number), origin, "line", number)

    columns = columns_of(objects())
    return Table(origin=origin, columns=columns, lines=numbered(numbers))


def _rows_of_list(items: object, origin: str) -> Table:
    """Take a JSON list of objects as rows."""
    assert isinstance(items, list)
    objects = [_object(item, origin, "row", number) for number, item in enumerate(items, 1)]
    return Table(origin=origin, columns=columns_of(objects), lines=range(1, len(objects) + 1), counted="row")


def _parsed(text: str, origin: str, line: int | None = None) -> object:
    """Parse JSON, or refuse with the place."""
    try:
        # The scanner takes half as long as the decoder around it, to which is left whatever is odd.
        value, end = _SCAN(text, 0)
        if not text[end:].strip():
            return value
    except (StopIteration, json.JSONDecodeError, KeyError):
        pass
    try:
        return _DECODER.decode(text.rstrip())
    except json.JSONDecodeError as error:
        message = f"not valid JSON ({error.msg.removesuffix(' at')} at column {error.colno})."
        raise DataError(message, path=origin, line=line or error.lineno) from None
    except KeyError as error:
        message = f"the key {error} stands twice."
        raise DataError(message, path=origin, line=line) from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make an object of its pairs, unless a key stands twice."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise KeyError(next(name for name in names if names.count(name) > 1))
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)
_SCAN = _DECODER.scan_once  # type: ignore[attr-defined]
_TEXT_OF = {pa.timestamp("s"): pa.string(), pa.list_(pa.timestamp("s")): pa.list_(pa.string())}
_PLAIN = {pa.null(), pa.bool_(), pa.int64(), pa.string(), pa.list_(pa.int64()), pa.list_(pa.string())}


def _object(value: object, origin: str, counted: str, number: int) -> dict[str, object]:
    """Return a JSON object, or refuse what is another thing."""
    if isinstance(value, dict):
        return value
    message = f"expected a JSON object. Got {json.dumps(value)[:60]}"
    raise DataError(message, path=f"{origin}, {counted} {number}")
