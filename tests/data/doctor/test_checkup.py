"""Every planted problem is found with an example, and is gone from the data that are written."""

import json
import math
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from labelcontrast.data.description import describe
from labelcontrast.data.doctor.checkup import (
    EXPECTED,
    Checkup,
    Finding,
    about_cleanlab,
    about_labels,
    examine,
    is_empty,
    render_findings,
    without_unreadable,
    write_fixed,
)
from labelcontrast.data.doctor.duplicates import duplicates
from labelcontrast.data.doctor.suspects import Suspect
from labelcontrast.data.splits import load_splits
from labelcontrast.errors import DataError, MissingExtraError


def test_unreadable_and_damaged_pictures_are_left_out_and_named(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lines = []
    for row in range(30):
        Image.fromarray(random.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(tmp_path / f"{row}.png")
        lines.append(f"{row}.png,{'ab'[row % 2]}\n")
    (tmp_path / "3.png").write_text("not a picture")
    (tmp_path / "8.png").unlink()
    damaged = bytearray((tmp_path / "11.png").read_bytes())
    damaged[200:220] = bytes(20)  # in its middle: the end is intact
    (tmp_path / "11.png").write_bytes(damaged)
    for part, held in (("train", lines[:20]), ("val", lines[20:25]), ("test", lines[25:])):
        (tmp_path / f"{part}.csv").write_text("image,label\n" + "".join(held))
    with pytest.raises(DataError):
        load_splits(tmp_path, seed=0)
    splits, findings = without_unreadable(load_splits(tmp_path, seed=0, check_pictures=False))
    assert len(splits.train) == 17
    assert [(finding.kind, finding.sentence) for finding in findings] == [
        ("unreadable", "3 of 20 pictures of train cannot be read")
    ]
    assert findings[0].instances[:2] == (
        "train.csv, line 5: 3.png is not a picture that can be read",
        "train.csv, line 10: 8.png is missing",
    )
    assert findings[0].instances[2].startswith("train.csv, line 13: 11.png cannot be read (")


def test_names_of_labels_that_are_nearly_equal_are_found(tmp_path: Path) -> None:
    names = [" lead", "lead", "LEAD", "C++", "C", "caf\u00e9", "cafe\u0301", "zinc", "semi-metal", "semi metal"]
    rows = [{"text": f"text {row}", "labels": [names[row % len(names)]]} for row in range(100)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = next(one for one in examine(tmp_path / "a.jsonl").findings if one.kind == "similar names")
    assert found.sentence == "7 labels have names that are nearly equal"
    assert found.instances == (
        '" lead", "LEAD", "lead"', '"cafe\u0301", "caf\u00e9"', '"semi metal", "semi-metal"',
    )  # fmt: skip


def test_pictures_as_bytes_are_examined_and_fixed(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pictures = []
    for _ in range(30):
        file = BytesIO()
        Image.fromarray(random.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(file, "PNG")
        pictures.append({"bytes": file.getvalue(), "path": None})
    pictures[3]["bytes"] = b"not a picture"
    pictures[7] = pictures[6]
    labels = [["ab"[row % 2]] for row in range(30)]
    pq.write_table(pa.table({"image": pictures, "labels": labels}), tmp_path / "a.parquet")
    splits, (unreadable,) = without_unreadable(load_splits(tmp_path / "a.parquet", seed=0, check_pictures=False))
    assert unreadable.instances == ("a.parquet, row 4: example 4 is not a picture that can be read",)
    description = describe(splits)
    assert sum(repeat.examples for repeat in description.repeats) == 1
    kinds = {finding.kind for finding in examine(splits, description).findings}
    assert {"duplicates", "conflicts"} <= kinds
    write_fixed(splits, (), tmp_path / "fixed")
    assert sum(map(len, load_splits(tmp_path / "fixed", seed=0).by_name.values())) in {28, 29}


def test_readable_data_are_unchanged(vectors: Path) -> None:
    splits = load_splits(vectors, seed=0)
    assert without_unreadable(splits) == (splits, ())


@pytest.mark.parametrize(("text", "expected"), [("", True), (" \n", True), ("!", False), ("a", False)])
def test_a_text_without_a_sign_is_empty(text: str, expected: bool) -> None:
    assert is_empty(text) == expected


def test_pairs_are_those_of_a_loop(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = (random.random((300, 8)) < 0.15).astype(np.uint8)
    labels[:, 1] |= labels[:, 0]  # 0 never without 1
    labels[:, 2] &= 1 - labels[:, 1]  # 2 never with 1
    np.savez(tmp_path / "a.npz", X=random.normal(size=(300, 2)), Y=labels, split=np.repeat([0, 1, 2], 100))
    splits = load_splits(tmp_path / "a.npz", seed=0)
    train = splits.vocabulary.encode(splits.train.label_sets or [])
    dense = train.toarray().astype(int)
    found = {finding.kind: finding for finding in about_labels(splits, train, [])}
    counts = dense.sum(0)
    never = always = 0
    for one in range(8):
        always += any(
            counts[one] >= 5 and (dense[:, one] & dense[:, other]).sum() == counts[one]
            for other in range(8)
            if other != one
        )
        for other in range(one):
            both, expected = (dense[:, one] & dense[:, other]).sum(), counts[one] * counts[other] / 100
            never += both == 0 and expected >= EXPECTED and min(counts[one], counts[other]) > EXPECTED
    assert found["always together"].number == always == 1
    assert found.get("never together") is None or found["never together"].number == never


def test_single_labels_do_not_exclude_one_another(tmp_path: Path) -> None:
    labels = np.eye(2, dtype=np.uint8)[np.arange(90) % 2]
    np.savez(tmp_path / "a.npz", X=np.arange(180.0).reshape(90, 2), Y=labels, split=np.arange(90) % 3)
    splits = load_splits(tmp_path / "a.npz", seed=0)
    train = splits.vocabulary.encode(splits.train.label_sets or [])
    assert list(about_labels(splits, train, [])) == []
    suspect = Suspect(0, 1, present=False, probability=0.96)
    (finding,) = about_labels(splits, train, [suspect])
    assert finding.sentence == "1 labels of 1 training examples are suspected of being wrong"
    assert finding.instances == ('a.npz, row 1 lacks "label_1" (probability 0.96): example 1',)
    (named,) = about_cleanlab(splits, [2])
    assert named.instances == ("a.npz, row 7: example 7",)
    assert list(about_cleanlab(splits, [])) == []


SPORT = ("goal", "match", "team", "coach", "cup", "score", "league", "player")


LAW = ("court", "judge", "law", "appeal", "case", "verdict", "trial", "lawyer")


@pytest.fixture(scope="module")
def checkup(tmp_path_factory: pytest.TempPathFactory) -> Checkup:
    random = np.random.default_rng(0)
    rows = []
    for row in range(200):
        words, labels = (SPORT, ["sports"]) if row % 2 else (LAW, ["law", "state"])
        rows.append({"text": " ".join(random.choice(words, 12)), "labels": labels})
    rows[11]["labels"] = ["law", "state"]  # a text about sports
    rows.append(dict(rows[3]))
    rows.append({"text": rows[4]["text"], "labels": ["sports", "law", "state"]})
    rows.append({"text": " ", "labels": ["sports"]})
    test = [dict(rows[7]), {"text": f"{rows[8]['text']} and", "labels": ["law", "state"]}]
    folder = tmp_path_factory.mktemp("ill")
    for part, held in (("train", rows), ("val", [{"text": "a new text", "labels": ["law"]}]), ("test", test)):
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in held))
    splits = load_splits(folder, seed=0)
    lengths = {part: [len(str(text).split()) for text in examples.inputs] for part, examples in splits.by_name.items()}
    return examine(splits, describe(splits, token_lengths=lengths, max_length=12))


def test_every_planted_problem_is_found_with_an_example(checkup: Checkup) -> None:
    found = {(finding.kind, finding.sentence): finding.instances for finding in checkup.findings}
    assert found == {
        ("duplicates", "2 of 203 examples of train repeat an earlier one"): (
            "train.jsonl, line 4 = train.jsonl, line 201",
        ),
        ("duplicates", "1 of 2 examples of test are also in train"): ("train.jsonl, line 8 = test.jsonl, line 1",),
        ("conflicts", "1 examples repeat another one with other labels"): (
            "train.jsonl, line 5 has {law, state}, train.jsonl, line 202 has {sports, law, state}",
        ),
        ("near duplicates", "1 of 2 examples of test are nearly one of train"): (
            "test.jsonl, line 2 and train.jsonl, line 9, 91 % similar",
        ),
        ("empty", "1 texts of train have no word"): ("train.jsonl, line 203: ' '",),
        ("truncation", "1 texts of test (50.0 %) are longer than 12 tokens"): ("the longest loses 1 tokens",),
        ("no positives", "2 of 3 labels have no example in val"): ('"sports"', '"state"'),
        ("always together", "2 labels of train never occur alone"): (
            '"law" (102) never without "state" (102)',
            '"state" (102) never without "law" (102)',
        ),
        **{key: value for key, value in found.items() if key[0] == "suspected labels"},
    }


def test_the_flipped_label_is_suspected_first(checkup: Checkup) -> None:
    assert {(it.row, it.label) for it in checkup.suspects[:3]} == {(11, 0), (11, 1), (11, 2)}
    suspected = checkup.findings[-1]
    assert suspected.kind == "suspected labels"
    assert suspected.instances[0].startswith("train.jsonl, line 12 ")


def test_labels_that_exclude_one_another_are_found(tmp_path: Path) -> None:
    labels = np.zeros((100, 3), dtype=np.uint8)
    labels[:50, 0] = labels[50:, 1] = labels[::2, 2] = 1
    np.savez(
        tmp_path / "a.npz", X=np.random.default_rng(0).normal(size=(100, 2)), Y=labels, split=np.repeat([0, 1], 50)
    )
    np.savez(
        tmp_path / "a.npz", X=np.random.default_rng(0).normal(size=(120, 2)),
        Y=np.vstack([labels, labels[:20]]), split=np.repeat([0, 1, 2], [100, 10, 10]),
    )  # fmt: skip
    splits = load_splits(tmp_path / "a.npz", seed=0)
    findings = examine(splits, describe(splits)).findings
    never = [finding for finding in findings if finding.kind == "never together"]
    assert [finding.instances for finding in never] == [
        ('"label_0" and "label_1", where 25 examples with both were to be expected',)
    ]


def test_clean_data_have_no_problems(vectors: Path) -> None:
    splits = load_splits(vectors, seed=0)
    kinds = {finding.kind for finding in examine(splits, describe(splits)).findings}
    assert kinds <= {"always together", "suspected labels"}
    assert render_findings([]) == "Doctor\n  Nothing was found."


def test_cleanlab_is_asked_only_on_request(vectors: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cleanlab", None)
    splits = load_splits(vectors, seed=0)
    with pytest.raises(MissingExtraError):
        examine(splits, describe(splits), cleanlab=True)


def test_long_sentences_are_broken() -> None:
    text = render_findings([Finding("x", 1, "word " * 40 + "end", ("example " * 30,))])
    assert max(map(len, text.splitlines())) <= 100


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


def test_texts_are_fixed(tmp_path: Path) -> None:
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


def test_vectors_and_their_values_are_fixed(vectors: Path, tmp_path: Path) -> None:
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


def test_a_split_without_remaining_examples_is_refused(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        (tmp_path / f"{part}.jsonl").write_text('{"text": "the same", "labels": ["a"]}\n')
    with pytest.raises(DataError) as refusal:
        write_fixed(load_splits(tmp_path, seed=0), (), tmp_path / "fixed")
    assert str(refusal.value) == (
        f"{tmp_path / 'train.jsonl'}: nothing of train is left without repeats and empty texts; split the data again."
    )
    assert not (tmp_path / "fixed").exists()
