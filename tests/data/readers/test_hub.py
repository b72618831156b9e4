"""Data sets of the hub: a saved folder as ``datasets`` writes it, names in place of numbers, and what is refused."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelcontrast.data.readers.cells.arrow_column import ArrowColumn
from labelcontrast.data.readers.hub import is_hub, read_hub
from labelcontrast.data.readers.rows import ColumnNames
from labelcontrast.data.splitting.splits import load_splits
from labelcontrast.errors import DataError, MissingExtraError

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
    for part in splits.parts.values():
        assert isinstance(part.inputs, ArrowColumn)
        assert list(part.inputs) == ["a", "b", "c"]
        assert part.label_sets == [("joy", "fear"), (), ("fear",)]
    assert splits.val.where(2) == f"{tmp_path}/validation, row 3"


def test_one_saved_split_is_train(tmp_path: Path) -> None:
    single = {"text": FEATURES["text"], "label": CLASS}
    table = pa.table({"text": ["a", "b"], "label": [1, 0]})
    parts = read_hub(save(tmp_path / "a", table, single), ColumnNames())
    assert parts["train"].label_sets == [("fear",), ("joy",)]
    unlabelled = pa.table({"text": ["a", "b"], "label": [-1, -1]})
    assert read_hub(save(tmp_path / "b", unlabelled, single), ColumnNames())["train"].label_sets is None


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "a", TABLE)
    (folder / "data-00000-of-00001.arrow").write_bytes(b"no arrow")
    with pytest.raises(DataError, match="not a data set that was saved whole"):
        read_hub(folder, ColumnNames())
    (folder / "dataset_dict.json").write_text('{"splits": []}')
    with pytest.raises(DataError, match="no split is train, val or test"):
        read_hub(folder, ColumnNames())


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
    parts = read_hub(Path("hf:org/emotions:raw"), ColumnNames())
    assert asked == [("org/emotions", "raw")]
    assert parts["train"].label_sets == [("joy", "fear"), (), ("fear",)]
    with pytest.raises(DataError) as refusal:
        read_hub(Path("hf:org/emotions"), ColumnNames())
    assert str(refusal.value) == "hf:org/emotions: datasets could not load it (Config name is missing.)."


def large() -> pa.Table:
    """Make 32 MB of texts, with labels."""
    return pa.table({"text": ["a long text " * 40] * 65536, "labels": [["joy", "fear"], ["joy"]] * 32768})


def test_the_texts_of_a_saved_folder_stay_on_the_disk(tmp_path: Path) -> None:
    folder = save(tmp_path / "a", large(), {})
    before = pa.total_allocated_bytes()
    train = read_hub(folder, ColumnNames())["train"]
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
    train = read_hub(Path(f"hf:{tmp_path / 'data'}"), ColumnNames())["train"]
    assert pa.total_allocated_bytes() - before < 2**23
    assert (len(train), train.inputs[65535]) == (65536, "a long text " * 40)


def test_what_datasets_itself_saves_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    classes = datasets.ClassLabel(names=["joy", "fear"])
    features = datasets.Features({"text": datasets.Value("string"), "labels": datasets.List(classes)})
    rows = {"text": ["a", "b"], "labels": [[0, 1], [1]]}
    whole = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": whole, "test": whole}).save_to_disk(str(tmp_path / "saved"))
    assert is_hub(tmp_path / "saved")
    parts = read_hub(tmp_path / "saved", ColumnNames())
    assert parts["test"].label_sets == [("joy", "fear"), ("fear",)]
    assert not is_hub(tmp_path)
