"""One door to all formats: the same examples by every format, real data as their notes count them, clear refusals."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labelcontrast.data.readers.registry import data_files, format_of, read
from labelcontrast.errors import DataError, LabelError

Pairs = list[tuple[str, tuple[str, ...]]]
LABELS = st.lists(st.text("abcé", min_size=1, max_size=3), max_size=3, unique=True).map(tuple)
PAIRS = st.lists(st.tuples(st.text("xyz ü,;|\"'", max_size=9), LABELS), min_size=1, max_size=6)


def write(path: Path, pairs: Pairs) -> Path:
    """Write texts and label sets in the format that the name asks for."""
    records = [{"text": text, "labels": list(labels)} for text, labels in pairs]
    if path.suffix == ".parquet":
        schema = pa.schema([("text", pa.string()), ("labels", pa.list_(pa.string()))])
        pq.write_table(pa.Table.from_pylist(records, schema=schema), path)
    elif path.suffix in {".csv", ".tsv"}:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerows([("text", "labels"), *((text, ";".join(labels)) for text, labels in pairs)])
    elif path.suffix == ".json":
        path.write_text(json.dumps(records))
    else:
        content = "".join(json.dumps(record) + "\n" for record in records).encode()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "a.ndjson", "a.json", "a.csv", "a.tsv", "a.parquet", "A.CSV"]
)
@settings(deadline=None, max_examples=25)
@given(pairs=PAIRS)
def test_every_format_gives_the_same_examples(
    name: str, pairs: Pairs, tmp_path_factory: pytest.TempPathFactory
) -> None:
    examples = read(write(tmp_path_factory.mktemp("data") / name.lower(), pairs))
    assert list(examples.inputs) == [text for text, _ in pairs]
    assert examples.label_sets == [labels for _, labels in pairs]
    assert examples.kind == "text"


# Rows of train, val and test; labels; labels a row of train: as the notes beside the data have them.
REAL = {
    "aapd2k": (850, 150, 1000, 54, 2.408),
    "clinc150": (15000, 3000, 4500, 150, 1.0),
    "corel5k": (4050, 450, 499, 374, 3.520),
    "fashion_products": (8400, 800, 2800, 135, 5.934),
    "goemotions": (43410, 5426, 5427, 28, 1.177),
    "hoc": (1297, 185, 370, 37, 3.117),
    "newsgroups20": (10183, 1131, 7532, 20, 1.0),
    "reuters21578": (6993, 777, 3019, 90, 1.232),
    "semeval2018_ec": (6838, 886, 3259, 11, 2.347),
    "ucm_multilabel": (1470, 210, 420, 17, 3.330),
}


@pytest.mark.parametrize("name", REAL)
def test_real_data_are_read_as_their_notes_count_them(name: str, shared: Path) -> None:
    *sizes, labels, per_row = REAL[name]
    for part, size in zip(("train", "val", "test"), sizes, strict=True):
        path = next((shared / "data" / name).glob(f"{part}.jsonl*"))
        examples = read(path)
        assert len(examples) == size
        assert examples.label_names is not None
        assert len(examples.label_names) == labels
        assert examples.kind == ("text" if path.suffix == ".gz" else "image")
        if part == "train":
            assert sum(map(len, examples.label_sets or [])) / size == pytest.approx(per_row, abs=6e-4)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("emotions", (391, 202, 72, 6, 1.868)),
        ("scene", (1211, 1196, 294, 6, 1.074)),
        ("yeast", (1500, 917, 103, 14, 4.237)),
        ("birds", (322, 323, 260, 19, 1.014)),
        ("enron", (1123, 579, 1001, 53, 3.378)),
        ("bibtex", (4880, 2515, 1836, 159, 2.402)),
        ("delicious", (12920, 3185, 500, 983, 19.02)),
    ],
)
def test_real_tables_are_read_as_their_notes_count_them(
    name: str, counts: tuple[int, int, int, int, float], shared: Path
) -> None:
    train, test, features, labels, per_row = counts
    examples = read(shared / "data" / "tabular" / f"{name}.npz")
    assert examples.parts is not None
    assert (examples.parts.count("train"), examples.parts.count("test")) == (train, test)
    assert examples.inputs.shape == (train + test, features)  # type: ignore[union-attr]
    assert len(examples.label_names or ()) == labels
    assert sum(map(len, examples.label_sets or [])) / len(examples) == pytest.approx(per_row, abs=6e-4)


def test_the_list_beside_the_file_gives_the_order_of_the_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [("x", ("b",))])
    assert read(path).label_names is None
    (tmp_path / "labels.json").write_text('["b", "a"]')
    assert read(path).label_names == ("b", "a")
    (tmp_path / "labels.json").write_text('{"b": 0}')
    with pytest.raises(LabelError) as refusal:
        read(path)
    assert str(refusal.value) == f"{tmp_path / 'labels.json'}: expected a JSON list of label names. Got a dict."


def test_named_columns_override_what_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,title,tags,mood\nlong text,short,a;b,x y\n")
    examples = read(path, text="title", labels="mood", separator=" ")
    assert (examples.inputs, examples.label_sets) == (["short"], [("x", "y")])


def test_a_folder_is_its_one_data_file_or_its_pictures(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert read(tmp_path).kind == "image"
    assert read(tmp_path).label_sets is None
    (tmp_path / "metadata.csv").write_text("file_name,label\na.png,sky\n")
    (tmp_path / "README.txt").write_text("a note")
    assert data_files(tmp_path) == [tmp_path / "metadata.csv"]
    assert read(tmp_path).label_sets == [("sky",)]
    assert read(tmp_path).inputs == [tmp_path / "a.png"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.jsonl.gz", ".jsonl"), ("a.CSV", ".csv"), ("a.npz.gz", ""), ("a.ARFF", ".arff"), ("gz", "")],
)
def test_the_end_of_the_name_chooses(name: str, expected: str) -> None:
    assert format_of(Path(name)) == expected


def refusal_of(path: Path) -> str:
    with pytest.raises(DataError) as refusal:
        read(path)
    return str(refusal.value)


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    here = str(tmp_path)
    known = ".jsonl, .ndjson, .json, .csv, .tsv, .parquet, .npz, .arff, .txt"
    assert (
        refusal_of(tmp_path)
        == f"{here}: there is no data file and no picture in the folder. Known formats are {known}."
    )
    (tmp_path / "reviews.jsonl").touch()
    assert refusal_of(tmp_path / "reviews.jsonl") == f"{here}/reviews.jsonl: the file is empty."
    assert refusal_of(tmp_path / "review.jsonl") == (
        f'{here}/review.jsonl: there is no such file or folder (did you mean "reviews.jsonl"?).'
    )
    assert refusal_of(tmp_path / "x" / "y") == f"{here}/x/y: there is no such file or folder."
    (tmp_path / "a.xls").write_text("x")
    assert refusal_of(tmp_path / "a.xls") == (
        f'{here}/a.xls: unknown format ".xls". Known are {known}, and .gz behind the texts.'
    )
    (tmp_path / "b.csv").touch()
    assert refusal_of(tmp_path) == f'{here}: there are 2 data files: "b.csv", "reviews.jsonl". Name one of them.'


def test_numbers_are_places_in_the_list_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x", "labels": [2, 0]}\n{"text": "y", "labels": []}\n')
    assert read(path).label_sets == [("2", "0"), ()]
    (tmp_path / "labels.json").write_text('["law", "fish", "milk"]')
    assert read(path).label_sets == [("milk", "law"), ()]
    assert read(path).understood.endswith("; numbers are places in labels.json")
    (tmp_path / "labels.json").write_text('["0", "2"]')
    assert read(path).label_sets == [("2", "0"), ()]
    (tmp_path / "labels.json").write_text('["law", "fish"]')
    with pytest.raises(LabelError) as refusal:
        read(path)
    assert str(refusal.value) == (
        f'{path}, line 1, column "labels": the label 2 is no place in labels.json; expected 0 to 1.'
    )
