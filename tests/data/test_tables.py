"""CSV, TSV and Parquet: every cell comes back, lines are counted through quoted line ends, odd tables are refused."""

import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.tables import read_parquet, read_separated
from labelcontrast.errors import DataError

TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), max_size=8)
ROWS = st.lists(
    st.tuples(TEXTS, st.lists(st.text("abcé", min_size=1, max_size=3), max_size=3, unique=True)), min_size=1, max_size=8
)


def written(path: Path, content: str) -> Path:
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return path


def refusal_of(path: Path) -> str:
    with pytest.raises(DataError) as refusal:
        (read_parquet if path.suffix == ".parquet" else read_separated)(path, ColumnNames())
    return str(refusal.value).removeprefix(str(path))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz", "semicolon.csv"])
@settings(deadline=None, max_examples=40)
@given(rows=ROWS)
def test_a_written_table_is_read_back(
    name: str, rows: list[tuple[str, list[str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    buffer = io.StringIO(newline="")
    mark = {"a.tsv": "\t", "semicolon.csv": ";"}.get(name, ",")
    csv.writer(buffer, delimiter=mark, quoting=csv.QUOTE_ALL).writerows(
        [("text", "labels"), *((text, "|".join(labels)) for text, labels in rows)]
    )
    examples = read_separated(written(tmp_path_factory.mktemp("table") / name, buffer.getvalue()), ColumnNames())
    assert list(examples.inputs) == [text for text, _ in rows]
    assert examples.label_sets == [tuple(labels) for _, labels in rows]


@settings(deadline=None, max_examples=40)
@given(rows=ROWS)
def test_a_written_parquet_file_is_read_back(
    rows: list[tuple[str, list[str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("table") / "a.parquet"
    labels = pa.array([labels for _, labels in rows], type=pa.list_(pa.string()))
    pq.write_table(pa.table({"text": [text for text, _ in rows], "labels": labels}), path)
    examples = read_parquet(path, ColumnNames())
    assert list(examples.inputs) == [text for text, _ in rows]
    assert examples.label_sets == [tuple(labels) for _, labels in rows]
    assert examples.where(0) == f"{path}, row 1"


def test_lines_are_counted_through_quoted_line_ends_and_empty_lines(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'text,tag\n"one\ntwo",x\n\nthree,y\n')
    examples = read_separated(path, ColumnNames())
    assert (examples.inputs, list(examples.lines)) == (["one\ntwo", "three"], [2, 5])


def test_numbers_stay_as_they_are_written(tmp_path: Path) -> None:
    examples = read_separated(written(tmp_path / "a.csv", "id,text,tag\n007,1e3,01\n"), ColumnNames())
    assert (examples.ids, examples.inputs, examples.label_sets) == (["007"], ["1e3"], [("01",)])


def test_names_of_columns_lose_the_white_space_around_them(tmp_path: Path) -> None:
    examples = read_separated(
        written(tmp_path / "a.csv", "\ufefftext, tag\ngood,x\n"), ColumnNames(text="text", labels="tag")
    )
    assert examples.label_sets == [("x",)]


def test_a_cell_may_be_long(tmp_path: Path) -> None:
    usual = csv.field_size_limit()
    examples = read_separated(written(tmp_path / "a.csv", f"text,tag\n{'word ' * 100_000},x\n"), ColumnNames())
    assert len(examples.inputs[0]) == 500_000
    assert csv.field_size_limit() == usual


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,tag,text\n", ', line 1: the column "text" stands twice.'),
        ("text,tag\na,b\nc\n", ', line 3: 1 cells, but 2 columns; there is none for "tag".'),
        ("text,tag\na,b,c\n", ", line 2: 3 cells, but 2 columns."),
        ('text,tag\na,b\n"c"d,e\n', ", line 3: not a table (',' expected after '\"')."),
        ('text,tag\na,b\n"c,e\n', ", line 3: not a table (unexpected end of data)."),
        ("text,tag\n", ": there are no rows in the file."),
    ],
)
def test_an_odd_table_is_refused(content: str, message: str, tmp_path: Path) -> None:
    assert refusal_of(written(tmp_path / "a.csv", content)) == message


def test_an_odd_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_text("not parquet at all")
    assert refusal_of(path).startswith(": not a Parquet file that can be read (")
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), path)
    assert refusal_of(path) == ': the column "text" stands twice.'


def test_class_labels_of_a_parquet_file_have_the_names_that_datasets_wrote_beside_them(tmp_path: Path) -> None:
    classes = {"names": ["joy", "fear"], "_type": "ClassLabel"}
    features = {"text": {"dtype": "string", "_type": "Value"}, "labels": {"feature": classes, "_type": "List"}}
    table = pa.table({"text": ["a", "b"], "labels": [[1, 0], []]})
    path = tmp_path / "a.parquet"
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), path)
    assert read_parquet(path, ColumnNames()).label_sets == [("fear", "joy"), ()]
    for damaged in ("{", "[]", "{}"):
        pq.write_table(table.replace_schema_metadata({"huggingface": damaged}), path)
        assert refusal_of(path) == ": what `datasets` says of its columns is damaged."


def test_a_parquet_file_of_datasets_itself_has_names(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["x", "y"])})
    whole = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    whole.to_parquet(str(tmp_path / "a.parquet"))
    assert read_parquet(tmp_path / "a.parquet", ColumnNames()).label_sets == [("y",), ("x",)]
