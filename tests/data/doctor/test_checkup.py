"""The whole checkup on data in which each illness was planted, and its text."""

import json
from pathlib import Path

import numpy as np
import pytest

from labelcontrast.data.describe import describe
from labelcontrast.data.doctor.checkup import Checkup, check, render_findings
from labelcontrast.data.doctor.findings import Finding
from labelcontrast.data.splitting.splits import load_splits
from labelcontrast.errors import MissingExtraError

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
    lengths = {part: [len(str(text).split()) for text in examples.inputs] for part, examples in splits.parts.items()}
    return check(splits, describe(splits, token_lengths=lengths, max_length=12))


def test_every_illness_is_found_with_an_example(checkup: Checkup) -> None:
    found = {(finding.kind, finding.sentence): finding.instances for finding in checkup.findings}
    assert found == {
        ("duplicates", "2 of 203 examples of train stand before in it"): (
            "train.jsonl, line 4 = train.jsonl, line 201",
        ),
        ("duplicates", "1 of 2 examples of test are also in train"): ("train.jsonl, line 8 = test.jsonl, line 1",),
        ("conflicts", "1 examples repeat another one with other labels"): (
            "train.jsonl, line 5 has {law, state}, train.jsonl, line 202 has {sports, law, state}",
        ),
        ("near duplicates", "1 of 2 examples of test are nearly one of train"): (
            "test.jsonl, line 2 and train.jsonl, line 9, 91 % alike",
        ),
        ("empty", "1 texts of train have no word"): ("train.jsonl, line 203: ' '",),
        ("truncation", "1 texts of test (50.0 %) are longer than 12 tokens"): ("the longest loses 1 tokens",),
        ("no positives", "2 of 3 labels have no example in val"): ('"sports"', '"state"'),
        ("always together", "2 labels of train never stand alone"): (
            '"law" (102) never without "state" (102)',
            '"state" (102) never without "law" (102)',
        ),
        **{key: value for key, value in found.items() if key[0] == "suspected labels"},
    }


def test_the_label_that_was_turned_over_is_suspected_first(checkup: Checkup) -> None:
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
    findings = check(splits, describe(splits)).findings
    never = [finding for finding in findings if finding.kind == "never together"]
    assert [finding.instances for finding in never] == [
        ('"label_0" and "label_1", where 25 examples with both were to be expected',)
    ]


def test_healthy_data_have_nothing(vectors: Path) -> None:
    splits = load_splits(vectors, seed=0)
    kinds = {finding.kind for finding in check(splits, describe(splits)).findings}
    assert kinds <= {"always together", "suspected labels"}
    assert render_findings([]) == "Doctor\n  Nothing was found."


def test_cleanlab_is_asked_only_on_request(vectors: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cleanlab", None)
    splits = load_splits(vectors, seed=0)
    with pytest.raises(MissingExtraError):
        check(splits, describe(splits), cleanlab=True)


def test_long_sentences_are_broken() -> None:
    text = render_findings([Finding("x", 1, "word " * 40 + "end", ("example " * 30,))])
    assert max(map(len, text.splitlines())) <= 100
