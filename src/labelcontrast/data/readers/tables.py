"""Tables: CSV, TSV and Parquet."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from labelcontrast.data.examples import Examples
from labelcontrast.data.readers.assembly import examples_of
from labelcontrast.data.readers.cells.arrow_column import arrow_cells, columns_of
from labelcontrast.data.readers.lines import numbered_lines
from labelcontrast.data.readers.rows import ColumnNames, Rows, numbered
from labelcontrast.errors import DataError

LONGEST_CELL = 2**31 - 1


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
    return examples_of(Rows(origin=str(path), columns=columns, lines=numbered(numbers)), wanted, path.parent)


def read_parquet(path: Path, wanted: ColumnNames) -> Examples:
    """Read a Parquet file.

    Raises:
        DataError: when it is not Parquet, or the name of a column stands twice.
    """
    try:
        file = pq.ParquetFile(path)
        _refuse_repeated(file.schema_arrow.names, path)
        table = file.read()
    except (pa.ArrowException, OSError) as error:
        message = f"not a Parquet file that can be read ({str(error).splitlines()[0]})."
        raise DataError(message, path=path) from None
    columns = {name: arrow_cells(table[name]) for name in table.column_names}
    lines = range(1, table.num_rows + 1)
    return examples_of(Rows(origin=str(path), columns=columns, lines=lines, counted="row"), wanted, path.parent)


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
