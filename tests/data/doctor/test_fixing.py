"""Data put right are read again: what was left out is gone, and all else is as it was."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelcontrast.data.doctor.duplicates import duplicates
from labelcontrast.data.doctor.fixing import write_fixed
from labelcontrast.data.doctor.suspects import Suspect
from labelcontrast.data.splits import load_splits
from labelcontrast.errors import DataError

ROWS = {
    "train": [
        ("one", ["a"]),
        ("two", ["b"]),
        ("one", ["a"]),
        ("one", ["b"]),
        (" ", ["a"]),
        ("six", []),
        ("ten", ["a"]),
    ],
    "val": [("four", ["a"]), ("nine", ["b"])],
    "test": [("two", ["b"]), ("nine", ["b"]), ("five", ["a", "b"])],
}


def test_texts_are_put_right(tmp_path: Path) -> None:
    for part, rows in ROWS.items():
        lines = [
            json.dumps({"id": f"{part}{row}", "text": text, "labels": labels})
            for row, (text, labels) in enumerate(rows)
        ]
        (tmp_path / f"{part}.jsonl").write_text("\n".join(lines) + "\n")
    splits = load_splits(tmp_path, seed=0)
    left_out = write_fixed(splits, (Suspect(6, 0, present=True, probability=0.01),), tmp_path / "fixed")
    assert left_out == {"in a later part": 2, "repeated": 1, "empty": 1}
    fixed = load_splits(tmp_path / "fixed", seed=0)
    assert fixed.vocabulary == splits.vocabulary
    assert fixed.train.ids == ["train0", "train3", "train5", "train6"]
    assert fixed.train.label_sets == [("a",), ("b",), (), ("a",)]
    assert (fixed.val.ids, fixed.test.ids) == (["val0"], ["test0", "test1", "test2"])
    assert [(repeat.earlier, repeat.later) for repeat in duplicates(fixed)] == [
        ("train", "train")
    ]  # other labels: kept
    lines = (tmp_path / "fixed" / "train.jsonl").read_text().splitlines()
    assert ['"suspected": ["a"]' in line for line in lines] == [False, False, False, True]


def test_vectors_and_their_values_are_put_right(vectors: Path, tmp_path: Path) -> None:
    splits = load_splits(vectors, seed=0)
    values: list[dict[str, float]] = [{} for _ in range(len(splits.train))]
    values[0] = {"rare": math.nan, "one": 0.25}
    train = replace(splits.train, values=values)
    write_fixed(replace(splits, train=train), (), tmp_path)
    fixed = load_splits(tmp_path / "data.npz", seed=0)
    assert np.array_equal(fixed.train.inputs, splits.train.inputs)  # type: ignore[arg-type]
    assert fixed.test.label_sets == splits.test.label_sets
    assert fixed.train.values is not None
    assert repr(sorted(fixed.train.values[0].items())) == "[('one', 0.25), ('rare', nan)]"


def test_pictures_and_values_keep_their_place(tmp_path: Path) -> None:
    for row in range(6):
        Image.new("RGB", (8, 8), (40 * row, 0, 0)).save(tmp_path / f"{row}.png")
    for place, part in enumerate(("train", "val", "test")):
        rows = [
            {"image": f"{2 * place + at}.png", "labels": {"a": 1, "b": 0.25, "c": None}, "annotated": ["a"]}
            for at in (0, 1)
        ]
        (tmp_path / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    splits = load_splits(tmp_path, seed=0)
    assert write_fixed(splits, (), tmp_path / "fixed") == {}
    fixed = load_splits(tmp_path / "fixed", seed=0)
    assert [path.name for path in fixed.val.inputs] == ["2.png", "3.png"]  # type: ignore[union-attr]
    assert repr(fixed.val.values) == repr(splits.val.values)
    assert fixed.val.annotated == splits.val.annotated


def test_a_part_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        (tmp_path / f"{part}.jsonl").write_text('{"text": "the same", "labels": ["a"]}\n')
    with pytest.raises(DataError) as refusal:
        write_fixed(load_splits(tmp_path, seed=0), (), tmp_path / "fixed")
    assert str(refusal.value) == (
        f"{tmp_path / 'train.jsonl'}: nothing of train is left without repeats and empty texts; divide the data anew."
    )
    assert not (tmp_path / "fixed").exists()
