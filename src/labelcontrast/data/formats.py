"""Readers of files of rows: JSON Lines, CSV, TSV, Parquet, plain text, and lines from standard input."""

import csv
import gzip
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast
from xml.etree import ElementTree as ET

import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq

from labelcontrast.data.annotation_exports import annotated_rows
from labelcontrast.data.columns import ColumnNames, examples_of
from labelcontrast.data.examples import Examples
from labelcontrast.data.table import DataTable, arrow_cells, arrow_columns, columns_from_rows, numbered
from labelcontrast.errors import DataError
from labelcontrast.files import parse_json

BLOCK = 2**24
"""Bytes that Arrow parses at a time."""
DEEP = 1000
"""Brackets in a line that Arrow parses."""
LONGEST_CELL, LONGEST_NUMBER = 2**31 - 1, 18
UNPACKED, RATIO = 2**28, 100
"""Bytes that a compressed file may unpack to, and beyond that its size relative to the file."""
DESCRIBED = b"huggingface"
"""The key of the schema metadata under which `datasets` describes the columns of a Parquet file."""


def read_json_lines(path: Path) -> DataTable:
    """Read one JSON object a line; a file that begins with ``[`` is read as one list of objects.

    Raises:
        DataError: A line is not a JSON object, or the file is not UTF-8; with the line.
    """
    table = None if path.suffix == ".gz" else _plain_table(path)
    if table is not None:
        columns = {name: arrow_cells(table[name]) for name in table.column_names}
        return DataTable(origin=str(path), columns=columns, lines=range(1, len(table) + 1), folder=path.parent)
    lines = numbered_lines(path)
    first = next(((number, line) for number, line in lines if line.strip()), (1, ""))
    if first[1].lstrip().startswith("["):
        whole = "".join(line for _, line in chain([first], lines))
        return _rows_of_list(_parsed(whole, str(path)), path)
    return _rows_of_lines(chain([first], lines), str(path), path.parent)


def read_separated(path: Path) -> DataTable:
    """Read CSV or TSV, plain or gzip; the first line holds the names of the columns.

    The delimiter is a tab in a ``.tsv``, else the one that is most frequent in the first line: comma, semicolon or tab.

    Raises:
        DataError: A name occurs twice, or a row has more or fewer cells than there are names; with the line.
    """
    lines = numbered_lines(path)
    first = next((line for _, line in lines), "")
    mark = "\t" if ".tsv" in path.suffixes else max(",;\t", key=first.count)
    names = [name.strip() for name in next(csv.reader([first], delimiter=mark), [])]
    _refuse_repeated(names, path, line=1)
    numbers = []

    def rows() -> Iterator[dict[str, object]]:
        for number, cells in _records(lines, mark, path):
            if len(cells) != len(names):
                lacking = f'; there is none for "{names[len(cells)]}"' if len(cells) < len(names) else ""
                raise DataError(f"{len(cells)} cells, but {len(names)} columns{lacking}.", path=path, line=number)
            numbers.append(number)
            yield dict(zip(names, cells, strict=True))

    columns = columns_from_rows(rows())
    return DataTable(origin=str(path), columns=columns, lines=numbered(numbers), folder=path.parent)


def read_parquet(path: Path) -> DataTable:
    """Read a Parquet file; class labels that `datasets` described in it get their names.

    Raises:
        DataError: The file is not Parquet, a column name occurs twice, or a class label has no name.
    """
    try:
        file = pq.ParquetFile(path)
        _refuse_repeated(file.schema_arrow.names, path)
        table = file.read()
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeError, MemoryError) as error:
        raise DataError(f"not a Parquet file that can be read ({first_line(error)}).", path=path) from None
    return rows_of_arrow(table, _features(table.schema.metadata or {}, path), str(path), path.parent)


def read_plain_text(path: Path) -> Examples:
    r"""Read one text a line; blank lines are skipped. Words ``__label__NAME``, as fastText has them, are its labels.

    Raises:
        DataError: The file has no text, or a label of fastText has a comma after it or is joined to another one.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "train.txt").write_text("__label__food __label__tea Green or black?\nHello\n")
        ...     examples = read_plain_text(Path(folder) / "train.txt")
        >>> list(examples.inputs), examples.label_sets
        (['Green or black?', 'Hello'], [('food', 'tea'), ()])
    """
    return _plain(numbered_lines(path), str(path))


def read_lines(
    stream: Iterable[str],
    *,
    origin: str = "<stdin>",
    text: str | None = None,
    image: str | None = None,
    remembered: bool = False,
) -> Examples:
    r"""Read examples from a stream of lines, as standard input: JSON objects or plain texts, as the first line is.

    Args:
        stream: The lines.
        origin: The name of the stream in error messages.
        text: The column of the texts; detected if it is None.
        image: The column of the paths of pictures, relative to the working folder.
        remembered: The columns are those of a trained run: where one is missing, a usual name stands for it.

    Raises:
        DataError: The stream is empty, or a line is not a JSON object where the first one is.

    Example:
        >>> read_lines(["a goal\n", "\n", "a vote\n"]).inputs
        ['a goal', 'a vote']
    """
    wanted = ColumnNames(text=text, image=image, with_labels=False, remembered=remembered)
    lines = ((number, line) for number, line in _stream_lines(stream, origin) if line.strip())
    first = next(lines, None)
    if first is None:
        raise DataError("there is nothing to read.", path=origin)
    if first[1].lstrip().startswith("{"):
        return examples_of([_rows_of_lines(chain([first], lines), origin, Path())], wanted)[0]
    return _plain(chain([first], lines), origin)


def _stream_lines(stream: Iterable[str], origin: str) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        for number, line in enumerate(stream, 1):
            yield number, _LONE.sub("\ufffd", line)
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text ({error.reason}).", path=origin, line=number + 1) from None


def is_number(text: str) -> bool:
    """Return True for a whole number of at most 18 digits: one that ``int`` reads, and that fits an array."""
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read the lines of a file, plain or gzip, with their numbers from 1; they end with LF, CR LF or CR.

    Raises:
        DataError: A line is not UTF-8; the compressed file is damaged, or unpacks to more than 256 MiB and to more than
            100 times its size.
    """
    number = 0
    try:
        for number, line in enumerate(_byte_lines(path), 1):
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        message = f"not UTF-8 text ({error.reason} at byte {error.start + 1}); save it as UTF-8."
        raise DataError(message, path=path, line=number) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"the compressed file is damaged ({error}).", path=path) from None


def _byte_lines(path: Path) -> Iterator[bytes]:
    packed = path.suffix == ".gz"
    limit = max(UNPACKED, RATIO * path.stat().st_size) if packed else sys.maxsize // 2
    taken = 0
    with cast("BinaryIO", gzip.open(path) if packed else path.open("rb")) as file:
        while line := file.readline(limit - taken + 1):
            taken += len(line)
            if taken > limit:
                message = f"it unpacks to more than {RATIO} times its size; unpack it first if that is right."
                raise DataError(message, path=path)
            if b"\r" in line[:-2]:
                yield from line.splitlines(keepends=True)
            else:
                yield line


def parsed_xml(path: Path) -> ET.Element:
    """Return the root of an XML file, or refuse the file with the line."""
    try:
        return ET.parse(path).getroot()
    except ET.ParseError as error:
        raise DataError(f"not XML ({error.msg.partition(':')[0]}).", path=path, line=error.position[0]) from None
    except (ValueError, LookupError) as error:  # a name with a null byte, an encoding that is not known
        raise DataError(f"not XML ({first_line(error)}).", path=path) from None


def rows_of_arrow(table: pa.Table, features: Mapping[str, Any], origin: str, folder: Path) -> DataTable:
    """Return an Arrow table with the features of `datasets` as rows that are counted from 1."""
    columns = arrow_columns(table, features, origin)
    lines = range(1, table.num_rows + 1)
    return DataTable(origin=origin, columns=columns, lines=lines, counted="row", folder=folder)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its name."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _plain_table(path: Path) -> pa.Table | None:
    """Parse a file with Arrow, in half the time; None if something is wrong, or if the line parser might differ.

    That is so unless every line is an object, and its values are texts, whole numbers, true or false, or lists of texts
    or of whole numbers. The line parser then finds the error with its line.
    """
    lines = _lines_of_objects(path)
    reading = pj.ReadOptions(use_threads=False, block_size=BLOCK)
    schema: dict[str, pa.DataType] = {}
    try:
        table = pj.read_json(path, reading) if lines else None
        # Arrow turns texts that look like dates into dates, unless the schema says that they are texts.
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
    """Count the lines of a file; 0 if one does not begin with a brace or may be nested deep: Arrow crashes on both."""
    lines = 0
    with path.open("rb") as file:
        for line in file:
            if not line.startswith(b"{") or (len(line) > DEEP and line.count(b"[") + line.count(b"{") > DEEP):
                return 0
            lines += 1
    return lines


def _plain(lines: Iterable[tuple[int, str]], origin: str) -> Examples:
    kept = [(number, line.strip()) for number, line in lines if line.strip()]
    columns: dict[str, Sequence[object]] = {"line": [line for _, line in kept]}
    found = [_FASTTEXT.findall(line) for _, line in kept]
    if any(found):
        for (number, _), names in zip(kept, found, strict=True):
            if wrong := next((name for name in names if name.endswith(",") or "__label__" in name), None):
                message = f'the label "{wrong}": labels of fastText have blanks between them and nothing else.'
                raise DataError(message, path=origin, line=number)
        columns = {"text": [_FASTTEXT.sub("", line).strip() for _, line in kept], "__label__": found}
    rows = DataTable(origin=origin, columns=columns, lines=[number for number, _ in kept])
    return examples_of([rows], ColumnNames(text=next(iter(columns)), labels="__label__" if any(found) else None))[0]


def _rows_of_lines(lines: Iterable[tuple[int, str]], origin: str, folder: Path) -> DataTable:
    """Parse one object a line; blank lines are skipped."""
    numbers = []

    def objects() -> Iterator[dict[str, object]]:
        for number, line in lines:
            if line.strip():
                numbers.append(number)
                yield _object(_parsed(line, origin, number), f"{origin}, line {number}")

    columns = columns_from_rows(objects())
    return DataTable(origin=origin, columns=columns, lines=numbered(numbers), folder=folder)


def _rows_of_list(items: object, path: Path) -> DataTable:
    assert isinstance(items, list)
    items = annotated_rows(items, path) or items
    objects = [_object(item, f"{path}, row {number}") for number, item in enumerate(items, 1)]
    lines, columns = range(1, len(objects) + 1), columns_from_rows(objects)
    return DataTable(origin=str(path), columns=columns, lines=lines, counted="row", folder=path.parent)


def _object(value: object, place: str) -> dict[str, object]:
    if isinstance(value, dict):
        return value
    raise DataError(f"expected a JSON object. Got {_begin(value)}", path=place)


def _begin(value: object) -> str:
    """Write the beginning of a value as JSON."""
    try:
        return json.dumps(value)[:60]
    except (ValueError, RecursionError):
        return type(value).__name__


def _parsed(text: str, origin: str, line: int | None = None) -> object:
    """Parse JSON, or refuse it with its place; half of a surrogate pair becomes U+FFFD."""
    try:
        return _whole(_decoded(text)) if _HALF.search(text) else _decoded(text)
    except json.JSONDecodeError as error:
        message = f"not valid JSON ({error.msg.removesuffix(' at')} at column {error.colno})."
        raise DataError(message, path=origin, line=line or error.lineno) from None
    except KeyError as error:
        raise DataError(f"the key {error} occurs twice.", path=origin, line=line) from None
    except RecursionError:
        raise DataError("not JSON that can be read (it is nested too deep).", path=origin, line=line) from None
    except ValueError:
        raise DataError("not JSON that can be read (a number has too many digits).", path=origin, line=line) from None


def _decoded(text: str) -> object:
    try:
        # The scanner takes half the time of the decoder around it; the decoder handles all other input.
        value, end = _SCAN(text, 0)
        if not text[end:].strip():
            return value
    except (StopIteration, json.JSONDecodeError, KeyError):
        pass
    return _DECODER.decode(text.rstrip())


def _whole(value: Any) -> Any:  # noqa: ANN401
    """Replace halves of surrogate pairs, which no UTF-8 file can hold."""
    if isinstance(value, str):
        return _LONE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return {_whole(name): _whole(item) for name, item in value.items()} if isinstance(value, dict) else value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make a dict of key-value pairs; raise KeyError if a key occurs twice."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise KeyError(_repeated([name for name, _ in pairs]))
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)
_FASTTEXT = re.compile(r"(?<!\S)__label__(\S+)")
_HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_LONE = re.compile("[\ud800-\udfff]")
_SCAN = _DECODER.scan_once  # type: ignore[attr-defined]
_TEXT_OF = {pa.timestamp("s"): pa.string(), pa.list_(pa.timestamp("s")): pa.list_(pa.string())}
_PLAIN = {pa.null(), pa.bool_(), pa.int64(), pa.string(), pa.list_(pa.int64()), pa.list_(pa.string())}


def _records(lines: Iterator[tuple[int, str]], mark: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Parse the records below the first line, each with the line that it starts on; empty lines are skipped."""
    reader = csv.reader((line for _, line in lines), delimiter=mark, strict=True)
    start = 2
    usual = csv.field_size_limit(LONGEST_CELL)
    try:
        for cells in reader:
            if cells:
                yield start, cells
            start = reader.line_num + 2
    except csv.Error as error:
        told = "a cell that opens with a quotation mark ends with one, and those within it are doubled"
        raise DataError(f"not a table ({error}); {told}.", path=path, line=start) from None
    finally:
        csv.field_size_limit(usual)


def _refuse_repeated(names: list[str], path: Path, line: int | None = None) -> None:
    if (repeated := _repeated(names)) is not None:
        raise DataError(f'the column "{repeated}" occurs twice.', path=path, line=line)


def _repeated(names: list[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)


def _features(metadata: Mapping[bytes, bytes], path: Path) -> Mapping[str, Any]:
    """Return the features that `datasets` stored in the metadata of a Parquet file; empty if there are none."""
    try:
        features: dict[str, Any] = parse_json(metadata[DESCRIBED])["info"]["features"] if DESCRIBED in metadata else {}
    except (ValueError, KeyError, TypeError):
        raise DataError("the description of its columns by `datasets` is damaged.", path=path) from None
    return features
