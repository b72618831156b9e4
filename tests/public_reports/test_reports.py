"""Public bug reports of other tools, tried on this one; ``README.md`` has a row under the number of each test."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelcontrast import data
from labelcontrast.errors import DataError, LabelError

Sets = list[tuple[str, ...]]


def test_every_row_has_a_test_and_every_test_a_row() -> None:
    rows = re.findall(r"^\| (\d\d) \|", (Path(__file__).parent / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    tests = [found[1] for name in vars(sys.modules[__name__]) if (found := re.match(r"test_report_(\d\d)_", name))]
    assert rows == tests == [f"{number:02}" for number in range(1, len(rows) + 1)]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., tuple[list[str], Sets]]:
    """Write a file, and read it as ``labelcontrast.read`` does: the texts, and the label sets."""

    def write_and_read(name: str, content: str | bytes, **how: str) -> tuple[list[str], Sets]:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        examples = data.read(tmp_path / name, **how)
        return list(examples.inputs), list(examples.label_sets)

    return write_and_read


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_report_01_letters_of_a_label(read) -> None:
    assert read("a.csv", "text,labels\nx,\"['stat.ML', 'cs.LG']\"\n")[1] == [("stat.ML", "cs.LG")]
    with pytest.raises(LabelError, match=r"a.csv, line 2, column \"labels\": expected a list of labels. Got \[stat.ML"):
        read("a.csv", 'text,labels\nx,"[stat.ML, cs.LG]"\n')


def test_report_02_codes_with_bars(read) -> None:
    found = read("a.csv", "text,codes\nx,25000|2720|4019\ny,038.9|V290\nz,041.10\n", labels="codes")
    assert found[1] == [("25000", "2720", "4019"), ("038.9", "V290"), ("041.10",)]


def test_report_03_texts_that_look_missing(read) -> None:
    texts = ["n/a", "N/A", "NaN", "null", "<unk>"]
    assert read("a.tsv", "text\tlabel\n" + "".join(f"{text}\tx\n" for text in texts))[0] == texts


def test_report_04_the_label_na(read) -> None:
    found = read("a.csv", "text,labels\nUSA,NA\nGB,EU\nnowhere,nan\nnobody,None\n")
    assert found[1] == [("NA",), ("EU",), (), ()]


def test_report_05_carriage_returns(read) -> None:
    assert read("a.csv", b'text,label\r\n"one\rtwo",a\r\nthree,b\r\n') == (["one\rtwo", "three"], [("a",), ("b",)])


def test_report_06_a_cell_opens_with_a_quotation_mark(read) -> None:
    for rest in ('Third "sentence"\tthird\n', 'Third\tthird\n"Fourth\tfourth\n'):
        with pytest.raises(DataError) as refusal:
            read("a.tsv", f'text\tlabel\nFirst\tfirst\n"Second\tsecond\n{rest}')
        told = "a cell that opens with a quotation mark ends with one, and those within it are doubled."
        assert str(refusal.value).endswith(f"a.tsv, line 3: not a table ('\t' expected after '\"'); {told}")


def test_report_07_commas_within_a_text(read) -> None:
    found = read("a.csv", 'text,sentiment\n"a, b, c",Positive\nd,Negative\n', labels="sentiment")
    assert found == (["a, b, c", "d"], [("Positive",), ("Negative",)])


def test_report_08_labels_merged_by_a_hash(read) -> None:
    found = read("a.csv", "id,data,label\n1,text one,label1#label2\n2,text two,label1\n3,text three,label2\n")
    assert found == (["text one", "text two", "text three"], [("label1", "label2"), ("label1",), ("label2",)])


def test_report_09_labels_of_fasttext(read, tmp_path: Path) -> None:
    content = "__label__sauce __label__cheese How much starch?\n__label__food-safety Dangerous\t__labels\nNo label\n"
    texts = ["How much starch?", "Dangerous\t__labels", "No label"]
    assert read("train.txt", content) == (texts, [("sauce", "cheese"), ("food-safety",), ()])
    told = "labels of fastText have blanks between them and nothing else."
    for wrong in ("A,", "A,__label__B", "A__label__B"):
        with pytest.raises(DataError) as refusal:
            read("a.txt", f"__label__A x\n__label__{wrong} text\n")
        assert str(refusal.value) == f'{tmp_path / "a.txt"}, line 2: the label "{wrong}": {told}'


def test_report_10_a_text_like_a_schema(read) -> None:
    text = "### Describe the bug ,action: string, datetime: timestamp[s], author: string"
    rows = {"text": text, "labels": ["bug"], "created": "2022-03-18T00:00:00"}, {"text": "2020-01-01", "labels": []}
    assert read("a.jsonl", lines(*rows)) == ([text, "2020-01-01"], [("bug",), ()])


def test_report_11_json_lines_that_lack_a_key(read) -> None:
    rows = {"text": "a", "labels": ["x"]}, {"text": "b", "labels": ["y"], "pull_request": {"url": "z"}}
    assert read("a.jsonl", lines(*rows)) == (["a", "b"], [("x",), ("y",)])
    with pytest.raises(LabelError, match='line 3, column "labels": there is nothing; an example without labels has an'):
        read("a.jsonl", lines(*rows, {"text": "c"}))


def test_report_12_null_first_and_text_later(read) -> None:
    rows = [{"text": "a", "labels": ["x"], "closed": None}] * 3 + [{"text": "b", "labels": ["y"], "closed": "2020"}]
    assert read("a.jsonl", lines(*rows))[1] == [("x",)] * 3 + [("y",)]


def test_report_13_a_byte_order_mark(read) -> None:
    assert read("a.csv", b'\xef\xbb\xbf"text","label"\n"a","x"\n') == (["a"], [("x",)])
    with pytest.raises(DataError, match=r"a.csv, line 1: not UTF-8 text \(invalid start byte at byte 1\); save it as"):
        read("a.csv", "text,label\na,x\n".encode("utf-16"))


def test_report_14_several_labels_in_json(read) -> None:
    as_lists = read("a.jsonl", lines({"text": "a", "label": ["x", "y"]}, {"text": "b", "label": ["y"]}))
    flags = {"text": "a", "x": True, "y": True}, {"text": "b", "x": False, "y": True}
    assert as_lists == read("b.jsonl", lines(*flags)) == (["a", "b"], [("x", "y"), ("y",)])


def test_report_15_one_choice_and_several(read) -> None:
    several, one = {"choices": ["x", "y"]}, "x, or z"
    for cells in ([several, one], [one, several], [several, {"choices": []}]):
        content = json.dumps([{"id": 1, "text": "a", "tone": cell} for cell in cells])
        found = read("a.json", content, labels="tone")[1]
        assert found == [(cell,) if cell is one else tuple(cell["choices"]) for cell in cells]


def test_report_16_the_full_export_of_label_studio(read, tmp_path: Path) -> None:
    row = {"id": 1, "data": {"text": "a"}, "annotations": [{"result": [{"value": {"choices": ["x"]}}]}]}
    with pytest.raises(DataError) as refusal:
        read("a.json", json.dumps([row]))
    told = "this is Label Studio's full export; export as JSON-MIN or CSV, which have a column of labels."
    assert str(refusal.value) == f"{tmp_path / 'a.json'}: {told}"


def test_report_17_infinity_in_a_label_column(read) -> None:
    with pytest.raises(
        LabelError, match=r'line 62, column "a": "a" must be 0, 1, a number between, or empty .* Got \'inf\''
    ):
        read("a.csv", "text,a,b\n" + "".join(f"x{row},{row % 2},{row % 3 // 2}\n" for row in range(60)) + "y,inf,1\n")


def test_report_18_a_category_without_rows(read, tmp_path: Path) -> None:
    label = pa.DictionaryArray.from_arrays([0, 2], ["x", "unused", "z"])
    pq.write_table(pa.table({"text": ["a", "b"], "label": label}), tmp_path / "made.parquet")
    assert read("a.parquet", (tmp_path / "made.parquet").read_bytes()) == (["a", "b"], [("x",), ("z",)])
