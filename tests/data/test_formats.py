"""JSON Lines, CSV, TSV, Parquet, plain text and standard input: what is written is read, errors name their line."""

import csv
import gzip
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.data import formats
from labelcontrast.data.formats import numbered_lines, read_lines
from labelcontrast.data.readers import read
from labelcontrast.errors import DataError

LINE = '{"text": "good", "labels": ["food"]}\n'


def refusal_of(path: Path) -> str:
    with pytest.raises(DataError) as refusal:
        read(path)
    return str(refusal.value).removeprefix(str(path))


def written(path: Path, content: str | bytes) -> Path:
    if isinstance(content, str):
        content = gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode()
    path.write_bytes(content)
    return path


TEXTS = st.sampled_from(["good", "bad\n", "né", "2020-01-01", "2020-01-01 10:00:00", "", "\ud800", "\\", '"'])


NUMBERS = st.integers(-3, 2**65) | st.sampled_from([0.5, 1.0, math.nan])


CELLS = st.none() | st.booleans() | TEXTS | NUMBERS | st.lists(TEXTS | NUMBERS | st.none(), max_size=3)


PLAIN = st.fixed_dictionaries({"text": TEXTS, "labels": st.lists(TEXTS, max_size=3)}, optional={"id": st.integers()})


ODD = st.fixed_dictionaries({"text": TEXTS}, optional=dict.fromkeys(["labels", "id", "split", "other"], CELLS))


WORDS = [
    "",
    " ",
    "null",
    "3",
    "[]",
    "{}",
    "{",
    "}",
    "\r",
    "\ufeff{}",
    '"a"}',
    '{"text":',
    '{"text": 01}',
    '{"text": "a"}x',
]


MORE = [
    '{"text": "a",}',
    '{"text": "\x01"}',
    '{"text": "a", "text": "b"}',
    '{"text": "a"} {"text": "b"}',
    '{"text": "\xff"}',
]


BROKEN = st.sampled_from(WORDS + MORE)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(PLAIN.map(json.dumps), max_size=4) | st.lists((PLAIN | ODD).map(json.dumps) | BROKEN, max_size=4),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_arrow_and_the_line_parser_agree(written: list[str], end: str, ended: bool) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        path.write_bytes(
            ("\n" if not written else end.join(written) + (end if ended else "")).encode("latin-1", "ignore") or b" "
        )

        def outcome() -> object:
            try:
                return [
                    repr(list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value)
                    for value in vars(read(path)).values()
                ]
            except DataError as refusal:
                return str(refusal)

        expected = outcome()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(formats, "_plain_table", lambda _: None)
            assert outcome() == expected


def test_plain_lines_are_parsed_by_arrow(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", LINE + '{"text": "2020-01-01", "labels": [], "day": "2020-01-01"}\n')
    table = formats._plain_table(path)
    assert table is not None
    assert table["day"].to_pylist() == [None, "2020-01-01"]
    assert formats._plain_table(written(path, LINE + "\n" + LINE)) is None


def test_empty_lines_and_a_mark_of_byte_order_are_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", "\ufeff" + LINE + "\n" + LINE.replace("good", "né\\u0065") + "\n")
    examples = read(path)
    assert (examples.inputs, list(examples.lines), examples.ids) == (["good", "née"], [1, 3], ["1", "3"])


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_lines_end_as_any_system_writes_them(end: str, tmp_path: Path) -> None:
    table = read(written(tmp_path / "a.csv", end.join(["text,tag", '"one', 'two",x', "three,y", ""])))
    assert (table.inputs, list(table.lines)) == ([f"one{end}two", "three"], [2, 4])
    rows = read(written(tmp_path / "a.jsonl", end.join(['{"text": "a"}', '{"text": "b"}'])))
    assert (list(rows.inputs), list(rows.lines)) == (["a", "b"], [1, 2])


def test_half_of_a_surrogate_pair_is_replaced(tmp_path: Path) -> None:
    line = '{"id": "\\ud83d", "text": "cut \\uD83D, whole \\ud83d\\ude00", "labels": ["\\udead"]}'
    examples = read(written(tmp_path / "a.jsonl", line))
    assert (examples.ids, examples.inputs) == (["\ufffd"], ["cut \ufffd, whole \U0001f600"])
    assert examples.label_sets == [("\ufffd",)]
    assert read_lines([line]).inputs == examples.inputs
    assert read_lines(["cut \udce9"]).inputs == ["cut \ufffd"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"text": "a", "n": ' + 5000 * "9" + "}",
            "not JSON that can be read (a number has too many digits).",
        ),
        ('{"text": ' + 9000 * "[" + 9000 * "]" + "}", "not JSON that can be read (it is nested too deep)."),
        ('{"text": "a", "labels": ' + 900 * "[" + 900 * "]" + "}", None),
    ],
)
def test_json_beyond_what_python_reads_is_refused(line: str, message: str | None, tmp_path: Path) -> None:
    refused = refusal_of(written(tmp_path / "a.jsonl", line))
    column = ', line 1, column "labels": the label [[['
    assert refused.startswith(column) if message is None else refused == f", line 1: {message}"


def test_a_small_file_that_unpacks_to_very_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "UNPACKED", 10_000)
    path = written(tmp_path / "a.csv.gz", "text,tag\n" + 1_000_000 * "a")
    assert refusal_of(path) == ": it unpacks to more than 100 times its size; unpack it first if that is right."


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl.gz", gzip.compress(LINE.encode() * 3))
    assert len(read(path)) == 3


def test_a_list_of_objects_is_read_as_rows(tmp_path: Path) -> None:
    content = [{"text": "good", "labels": ["food"]}, {"text": "bad", "labels": []}]
    examples = read(written(tmp_path / "a.json", json.dumps(content, indent=2)))
    assert (examples.inputs, examples.label_sets) == (["good", "bad"], [("food",), ()])
    assert examples.where(1) == f"{tmp_path / 'a.json'}, row 2"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "good" "labels": []}', ": not valid JSON (Expecting ',' delimiter at column 17)."),
        ('{"text": "good", "labels": ["fo', ": not valid JSON (Unterminated string starting at column 29)."),
        ("[1, 2]", ": expected a JSON object. Got [1, 2]"),
        ('{"text": "good", "text": "bad", "labels": []}', ": the key 'text' occurs twice."),
        ('{"labels": ["food"]}', ', column "text": there is nothing; expected a text.'),
        ('{"text": "good"}', ', column "labels": there is nothing; an example without labels has an empty list.'),
        ('{"text": "good", "labels": 3}', ', column "labels": labels are of one type: a list in line 1. Got a number.'),
    ],
)
def test_a_broken_line_17_is_named(line: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "reviews.jsonl", LINE * 16 + line + "\n" + LINE)
    assert refusal_of(path) == f", line 17{message}"


def test_a_broken_list_is_named_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", '[{"text": "good"},\n{"text" "bad"}]')
    assert refusal_of(path) == ", line 2: not valid JSON (Expecting ':' delimiter at column 9)."


def test_a_line_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", LINE.encode() + LINE.encode("utf-16"))
    assert refusal_of(path) == ", line 2: not UTF-8 text (invalid start byte at byte 1); save it as UTF-8."


@pytest.mark.parametrize(
    "content",
    [b"plain", gzip.compress(LINE.encode() * 99)[:-20], gzip.compress(b"a" * 999)[:-9] + bytes(9)],
    ids=["no gzip", "cut off", "wrong checksum"],
)
def test_a_damaged_compressed_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl.gz", content)
    assert refusal_of(path).startswith(": the compressed file is damaged (")


def test_a_file_of_white_space_has_no_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", "\n \n")
    assert refusal_of(path) == ": there are no rows in the file."


def test_plain_text_is_a_text_a_line(tmp_path: Path) -> None:
    examples = read(written(tmp_path / "a.txt", "good food\r\n\n{bad\n"))
    assert (examples.inputs, examples.ids, examples.label_sets) == (["good food", "{bad"], ["1", "3"], None)


def test_numbered_lines_count_from_one(tmp_path: Path) -> None:
    assert list(numbered_lines(written(tmp_path / "a.txt", "a\nb"))) == [(1, "a\n"), (2, "b")]


def test_objects_are_read_from_standard_input() -> None:
    examples = read_lines(iter(["\n", '{"id": 7, "review": "good"}\n', '{"id": 8, "review": "bad"}\n']))
    assert (examples.inputs, examples.ids, examples.where(1)) == (["good", "bad"], ["7", "8"], "<stdin>, line 3")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["\n"], "<stdin>: there is nothing to read."),
        (['{"text": "good"}\n', "bad\n"], "<stdin>, line 2: not valid JSON (Expecting value at column 1)."),
        (
            ['{"text": "good"}\n', '{"txt": "bad"}\n'],
            '<stdin>, line 2, column "text": there is nothing; expected a text.',
        ),
    ],
)
def test_broken_standard_input_is_refused(lines: list[str], message: str) -> None:
    with pytest.raises(DataError) as refusal:
        read_lines(lines)
    assert str(refusal.value) == message


CELL_TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), max_size=8)


ROWS = st.lists(
    st.tuples(CELL_TEXTS, st.lists(st.text("abcé", min_size=1, max_size=3), max_size=3, unique=True)),
    min_size=1,
    max_size=8,
)


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
    examples = read(written(tmp_path_factory.mktemp("table") / name, buffer.getvalue()))
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
    examples = read(path)
    assert list(examples.inputs) == [text for text, _ in rows]
    assert examples.label_sets == [tuple(labels) for _, labels in rows]
    assert examples.where(0) == f"{path}, row 1"


def test_lines_are_counted_through_quoted_line_ends_and_empty_lines(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'text,tag\n"one\ntwo",x\n\nthree,y\n')
    examples = read(path)
    assert (examples.inputs, list(examples.lines)) == (["one\ntwo", "three"], [2, 5])


def test_numbers_in_tables_stay_text(tmp_path: Path) -> None:
    examples = read(written(tmp_path / "a.csv", "id,text,tag\n007,1e3,01\n"))
    assert (examples.ids, examples.inputs, examples.label_sets) == (["007"], ["1e3"], [("01",)])


def test_names_of_columns_lose_the_white_space_around_them(tmp_path: Path) -> None:
    examples = read(written(tmp_path / "a.csv", "\ufefftext, tag\ngood,x\n"), text="text", labels="tag")
    assert examples.label_sets == [("x",)]


def test_a_cell_may_be_long(tmp_path: Path) -> None:
    usual = csv.field_size_limit()
    examples = read(written(tmp_path / "a.csv", f"text,tag\n{'word ' * 100_000},x\n"))
    assert len(examples.inputs[0]) == 500_000
    assert csv.field_size_limit() == usual


QUOTED = "a cell that opens with a quotation mark ends with one, and those within it are doubled."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,tag,text\n", ', line 1: the column "text" occurs twice.'),
        ("text,tag\na,b\nc\n", ', line 3: 1 cells, but 2 columns; there is none for "tag".'),
        ("text,tag\na,b,c\n", ", line 2: 3 cells, but 2 columns."),
        ('text,tag\na,b\n"c"d,e\n', f", line 3: not a table (',' expected after '\"'); {QUOTED}"),
        ('text,tag\na,b\n"c,e\n', f", line 3: not a table (unexpected end of data); {QUOTED}"),
        ("text,tag\n", ": there are no rows in the file."),
    ],
)
def test_an_invalid_table_is_refused(content: str, message: str, tmp_path: Path) -> None:
    assert refusal_of(written(tmp_path / "a.csv", content)) == message


def test_an_invalid_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_text("not parquet at all")
    assert refusal_of(path).startswith(": not a Parquet file that can be read (")
    broken = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff"))
    pq.write_table(pa.table({"text": broken}), path)
    assert "Invalid UTF8" in refusal_of(path)
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), path)
    assert refusal_of(path) == ': the column "text" occurs twice.'


def test_class_labels_of_a_parquet_file_have_the_names_that_datasets_wrote_beside_them(tmp_path: Path) -> None:
    classes = {"names": ["joy", "fear"], "_type": "ClassLabel"}
    features = {"text": {"dtype": "string", "_type": "Value"}, "labels": {"feature": classes, "_type": "List"}}
    table = pa.table({"text": ["a", "b"], "labels": [[1, 0], []]})
    path = tmp_path / "a.parquet"
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), path)
    assert read(path).label_sets == [("fear", "joy"), ()]
    for damaged in ("{", "[]", "{}"):
        pq.write_table(table.replace_schema_metadata({"huggingface": damaged}), path)
        assert refusal_of(path) == ": the description of its columns by `datasets` is damaged."


def test_a_parquet_file_of_datasets_itself_has_names(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["x", "y"])})
    whole = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    whole.to_parquet(str(tmp_path / "a.parquet"))
    assert read(tmp_path / "a.parquet").label_sets == [("y",), ("x",)]
