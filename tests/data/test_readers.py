"""Files of every format, folders and data sets of the hub give the same examples; errors say what is wrong."""

import csv
import gzip
import json
import struct
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labelcontrast import data
from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.readers import data_files, format_of, is_hub, read, read_split_data
from labelcontrast.data.splits import load_splits
from labelcontrast.data.table import ArrowColumn
from labelcontrast.errors import DataError, LabelError, MissingExtraError

CLASS = {"names": ["joy", "fear"], "_type": "ClassLabel"}
FEATURES = {
    "text": {"dtype": "string", "_type": "Value"},
    "labels": {"feature": CLASS, "_type": "List"},
    "stars": {"dtype": "int32", "_type": "Value"},
}
TABLE = pa.table({"text": ["a", "b", "c"], "labels": [[0, 1], [], [1]], "stars": [3, 4, 5]})


def save(folder: Path, table: pa.Table, features: dict[str, Any] = FEATURES, shards: int = 1) -> Path:
    """Write a split as ``save_to_disk`` of datasets 5.2 does."""
    folder.mkdir(parents=True)
    names = [f"data-{shard:05d}-of-{shards:05d}.arrow" for shard in range(shards)]
    for shard, name in enumerate(names):
        with pa.ipc.new_stream(str(folder / name), table.schema) as writer:
            writer.write_table(table.slice(shard * len(table) // shards, len(table) // shards))
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "x", "_split": folder.name}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    return folder


def test_a_saved_folder_is_read_without_datasets(tmp_path: Path) -> None:
    for split in ("train", "validation", "test", "unsupervised"):
        save(tmp_path / split, TABLE, shards=3 if split == "train" else 1)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "validation", "test", "unsupervised"]}')
    splits = load_splits(tmp_path, seed=0)
    for part in splits.by_name.values():
        assert isinstance(part.inputs, ArrowColumn)
        assert list(part.inputs) == ["a", "b", "c"]
        assert part.label_sets == [("joy", "fear"), (), ("fear",)]
    assert splits.val.where(2) == f"{tmp_path}/validation, row 3"


def test_one_saved_split_is_train(tmp_path: Path) -> None:
    single = {"text": FEATURES["text"], "label": CLASS}
    table = pa.table({"text": ["a", "b"], "label": [1, 0]})
    parts = read_split_data(save(tmp_path / "a", table, single), ColumnNames())
    assert parts["train"].label_sets == [("fear",), ("joy",)]
    unlabelled = pa.table({"text": ["a", "b"], "label": [-1, -1]})
    assert read_split_data(save(tmp_path / "b", unlabelled, single), ColumnNames())["train"].label_sets is None


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "a", TABLE)
    (folder / "data-00000-of-00001.arrow").write_bytes(b"no arrow")
    with pytest.raises(DataError, match="not a data set that was saved whole"):
        read_split_data(folder, ColumnNames())
    other = save(tmp_path / "b", pa.table({"text": ["aaaa", "bbbb", "cccc"]}), {})
    content = (other / "data-00000-of-00001.arrow").read_bytes()
    wrong = content.replace(struct.pack("<4i", 0, 4, 8, 12), struct.pack("<4i", 0, 2**30, 8, 12))
    assert wrong != content
    (other / "data-00000-of-00001.arrow").write_bytes(wrong)
    with pytest.raises(DataError, match="not a data set that was saved whole"):  # reading it would abort the process
        read_split_data(other, ColumnNames())
    (folder / "dataset_dict.json").write_text('{"splits": []}')
    with pytest.raises(DataError, match="no split is train, val or test"):
        read_split_data(folder, ColumnNames())


def test_a_name_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError) as refusal:
        load_splits("hf:go_emotions", seed=0)
    assert str(refusal.value) == (
        'reading "hf:go_emotions" by its name needs an extra that is not installed: '
        "pip install 'labelcontrast[datasets]'"
    )


def test_a_name_is_handed_to_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(name: str, configuration: str | None, *, keep_in_memory: bool) -> dict[str, Any]:
        assert not keep_in_memory
        asked.append((name, configuration))
        if configuration is None:
            message = "Config name is missing.\nPlease pick one"
            raise ValueError(message)
        return {
            "train": SimpleNamespace(
                data=SimpleNamespace(table=TABLE), features=SimpleNamespace(to_dict=lambda: FEATURES)
            )
        }

    fake = ModuleType("datasets")
    fake.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", fake)
    parts = read_split_data(Path("hf:org/emotions:raw"), ColumnNames())
    assert asked == [("org/emotions", "raw")]
    assert parts["train"].label_sets == [("joy", "fear"), (), ("fear",)]
    with pytest.raises(DataError) as refusal:
        read_split_data(Path("hf:org/emotions"), ColumnNames())
    assert str(refusal.value) == "hf:org/emotions: datasets could not load it (Config name is missing.)."


def large() -> pa.Table:
    """Make 32 MB of texts, with labels."""
    return pa.table({"text": ["a long text " * 40] * 65536, "labels": [["joy", "fear"], ["joy"]] * 32768})


def test_the_texts_of_a_saved_folder_stay_on_the_disk(tmp_path: Path) -> None:
    folder = save(tmp_path / "a", large(), {})
    before = pa.total_allocated_bytes()
    train = read_split_data(folder, ColumnNames())["train"]
    assert pa.total_allocated_bytes() - before < 2**21
    assert train.inputs[65535] == "a long text " * 40
    assert train.label_sets is not None
    assert train.label_sets[65535] == ("joy",)


def test_the_texts_of_a_named_set_stay_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "IN_MEMORY_MAX_SIZE", 2**40)
    (tmp_path / "data").mkdir()
    pq.write_table(large(), tmp_path / "data" / "train.parquet")
    before = pa.total_allocated_bytes()
    train = read_split_data(Path(f"hf:{tmp_path / 'data'}"), ColumnNames())["train"]
    assert pa.total_allocated_bytes() - before < 2**23
    assert (len(train), train.inputs[65535]) == (65536, "a long text " * 40)


def test_a_folder_saved_by_datasets_itself_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    classes = datasets.ClassLabel(names=["joy", "fear"])
    features = datasets.Features({"text": datasets.Value("string"), "labels": datasets.List(classes)})
    rows = {"text": ["a", "b"], "labels": [[0, 1], [1]]}
    whole = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": whole, "test": whole}).save_to_disk(str(tmp_path / "saved"))
    assert is_hub(tmp_path / "saved")
    parts = read_split_data(tmp_path / "saved", ColumnNames())
    assert parts["test"].label_sets == [("joy", "fear"), ("fear",)]
    assert not is_hub(tmp_path)


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
    assert examples.splits is not None
    assert (examples.splits.count("train"), examples.splits.count("test")) == (train, test)
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


def test_unreadable_data_are_refused_in_one_line(tmp_path: Path) -> None:
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
        f'{here}/a.xls: unknown format ".xls". Known are {known}, those of text also with .gz, and pictures.'
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
        f'{path}, line 1, column "labels": the label 2 is not an index of labels.json; expected 0 to 1.'
    )


def test_public_names_take_strings_and_feed_a_training_loop(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text,tag\n" + 20 * "good,food\nbad,price\n")
    path = f"{tmp_path}/reviews.csv"
    assert len(data.read(path)) == 40
    splits = data.load_splits(path, seed=0)
    assert data.describe(path).splits["train"].examples == len(splits.train) == 28
    labels = splits.vocabulary.encode(splits.train.label_sets or [])
    for train, held_out in data.stratified_folds(labels, 2, generator=np.random.default_rng(0)):
        assert len(train) == len(held_out) == 14
        batches = data.MultiLabelBatches(labels[train], np.ones(14), batch_size=4, per_label=2, seed=0)
        assert sorted(row for batch in batches for row in batch) == list(range(14))
    checkup = data.examine(splits)
    assert "examples of train repeat an earlier one" in str(checkup)
    assert data.examine(path) == checkup
