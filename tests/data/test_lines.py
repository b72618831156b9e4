"""JSON Lines, plain text and standard input: what is written is read, and what is broken is named with its line."""

import gzip
import json
import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.data import lines
from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.lines import numbered_lines, read_json_lines, read_lines, read_plain_text
from labelcontrast.errors import DataError

LINE = '{"text": "good", "labels": ["food"]}\n'


def refusal_of(path: Path) -> str:
    with pytest.raises(DataError) as refusal:
        read_json_lines(path, ColumnNames())
    return str(refusal.value)


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
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
def test_what_arrow_parses_is_what_is_parsed_line_by_line(written: list[str], end: str, ended: bool) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        path.write_bytes(
            ("\n" if not written else end.join(written) + (end if ended else "")).encode("latin-1", "ignore") or b" "
        )

        def outcome() -> object:
            try:
                return [
                    repr(list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value)
                    for value in vars(read_json_lines(path, ColumnNames())).values()
                ]
            except DataError as refusal:
                return str(refusal)

        said = outcome()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lines, "_plain_table", lambda _: None)
            assert outcome() == said


def test_plain_lines_are_parsed_by_arrow(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", LINE + '{"text": "2020-01-01", "labels": [], "day": "2020-01-01"}\n')
    table = lines._plain_table(path)
    assert table is not None
    assert table["day"].to_pylist() == [None, "2020-01-01"]
    assert lines._plain_table(written(path, LINE + "\n" + LINE)) is None


def test_empty_lines_and_a_mark_of_byte_order_are_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", "\ufeff" + LINE + "\n" + LINE.replace("good", "né\\u0065") + "\n")
    examples = read_json_lines(path, ColumnNames())
    assert (examples.inputs, list(examples.lines), examples.ids) == (["good", "née"], [1, 3], ["1", "3"])


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl.gz", gzip.compress(LINE.encode() * 3))
    assert len(read_json_lines(path, ColumnNames())) == 3


def test_a_list_of_objects_is_read_as_rows(tmp_path: Path) -> None:
    content = [{"text": "good", "labels": ["food"]}, {"text": "bad", "labels": []}]
    examples = read_json_lines(written(tmp_path / "a.json", json.dumps(content, indent=2)), ColumnNames())
    assert (examples.inputs, examples.label_sets) == (["good", "bad"], [("food",), ()])
    assert examples.where(1) == f"{tmp_path / 'a.json'}, row 2"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "good" "labels": []}', ": not valid JSON (Expecting ',' delimiter at column 17)."),
        ('{"text": "good", "labels": ["fo', ": not valid JSON (Unterminated string starting at column 29)."),
        ("[1, 2]", ": expected a JSON object. Got [1, 2]"),
        ('{"text": "good", "text": "bad", "labels": []}', ": the key 'text' stands twice."),
        ('{"labels": ["food"]}', ', column "text": there is nothing; expected a text.'),
        ('{"text": "good"}', ', column "labels": there is nothing; an example without labels has an empty list.'),
        ('{"text": "good", "labels": 3}', ', column "labels": labels are of one type: a list in line 1. Got a number.'),
    ],
)
def test_a_broken_line_17_is_named(line: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "reviews.jsonl", LINE * 16 + line + "\n" + LINE)
    assert refusal_of(path) == f"{path}, line 17{message}"


def test_a_broken_list_is_named_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", '[{"text": "good"},\n{"text" "bad"}]')
    assert refusal_of(path) == f"{path}, line 2: not valid JSON (Expecting ':' delimiter at column 9)."


def test_what_is_not_text_is_named_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", LINE.encode() + LINE.encode("utf-16"))
    assert refusal_of(path) == f"{path}, line 2: not UTF-8 text (invalid start byte at byte 1)."


@pytest.mark.parametrize(
    "content",
    [b"plain", gzip.compress(LINE.encode() * 99)[:-20], gzip.compress(b"a" * 999)[:-9] + bytes(9)],
    ids=["no gzip", "cut off", "wrong checksum"],
)
def test_a_damaged_compressed_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl.gz", content)
    assert refusal_of(path).startswith(f"{path}: the compressed file is damaged (")


def test_a_file_of_white_space_has_no_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", "\n \n")
    assert refusal_of(path) == f"{path}: there are no rows in the file."


def test_plain_text_is_a_text_a_line(tmp_path: Path) -> None:
    examples = read_plain_text(written(tmp_path / "a.txt", "good food\r\n\n{bad\n"), ColumnNames())
    assert (examples.inputs, examples.ids, examples.label_sets) == (["good food", "{bad"], ["1", "3"], None)


def test_numbered_lines_count_from_one(tmp_path: Path) -> None:
    assert list(numbered_lines(written(tmp_path / "a.txt", "a\nb"))) == [(1, "a\n"), (2, "b")]


def test_objects_come_in_by_standard_input() -> None:
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
