"""Tables: CSV, TSV and Parquet."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from labelcontrast.data.arrow import columns_of, table_cells
from labelcontrast.data.assembly import examples_of
from labelcontrast.data.columns import ColumnNames, Table, numbered
from labelcontrast.data.examples import Examples
from labelcontrast.data.lines import numbered_lines
from labelcontrast.errors import DataError

LONGEST_CELL = 2**31 - 1
DESCRIBED = b"huggingface"
"""Where `datasets` describes the columns of a Parquet file."""


def read_separated(path: Path, wanted: ColumnNames) -> Examples:
    """Read CSV or TSV, plain or gzip; the first line has the names of the columns.

    The mark between cells is a tab in a ``.tsv``, else what the first line has most of: comma, semicolon or tab.

    Raises:
        DataError: when a name stands twice, or a row has more or fewer cells than there are names; with the line.
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
                message = f"{len(cells)} cells, but {len(names)} columns{lacking}."
                raise DataError(message, path=path, line=number)
            numbers.append(number)
            yield dict(zip(names, cells, strict=True))

    columns = columns_of(rows())
    return examples_of(Table(origin=str(path), columns=columns, lines=numbered(numbers)), wanted, path.parent)


def read_parquet(path: Path, wanted: ColumnNames) -> Examples:
    """Read a Parquet file; class labels that `datasets` described in it have their names.

    Raises:
        DataError: when it is not Parquet, the name of a column stands twice, or a class label has no name.
    """
    try:
        file = pq.ParquetFile(path)
        _refuse_repeated(file.schema_arrow.names, path)
        table = file.read()
    except (pa.ArrowException, OSError) as error:
        message = f"not a Parquet file that can be read ({str(error).splitlines()[0]})."
        raise DataError(message, path=path) from None
    columns = table_cells(table, _features(table.schema.metadata or {}, path), str(path))
    lines = range(1, table.num_rows + 1)
    return examples_of(Table(origin=str(path), columns=columns, lines=lines, counted="row"), wanted, path.parent)


def _features(metadata: Mapping[bytes, bytes], path: Path) -> Mapping[str, Any]:
    """Return what `datasets` wrote of each column beside the table; nothing where it wrote none."""
    try:
        features: dict[str, Any] = json.loads(metadata[DESCRIBED])["info"]["features"] if DESCRIBED in metadata else {}
    except (ValueError, KeyError, TypeError):
        message = "what `datasets` says of its columns is damaged."
        raise DataError(message, path=path) from None
    return features


def _records(lines: Iterator[tuple[int, str]], mark: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Parse the records below the first line, each with the line on which it starts; empty lines are passed over."""
    reader = csv.reader((line for _, line in lines), delimiter=mark, strict=True)
    start = 2
    usual = csv.field_size_limit(LONGEST_CELL)
    try:
        for cells in reader:
            if cells:
                yield start, cells
            start = reader.line_num + 2
    except csv.Error as error:
        message = f"not a table ({error})."
        raise DataError(message, path=path, line=start) from None
    finally:
        csv.field_size_limit(usual)


def _refuse_repeated(names: list[str], path: Path, line: int | None = None) -> None:
    """Refuse a table in which the name of a column stands twice."""
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        message = f'the column "{repeated}" stands twice.'
        raise DataError(message, path=path, line=line)
