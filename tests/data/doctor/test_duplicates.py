"""Duplicates: the same words, the same file, the same numbers; counted as loops count them."""

import re
from itertools import combinations_with_replacement
from pathlib import Path
from shutil import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labelcontrast.data.doctor.duplicates import duplicates, fingerprints
from labelcontrast.data.examples import Examples, Inputs, Kind
from labelcontrast.data.splitting.splits import Splits, load_splits
from labelcontrast.labels.vocabulary import LabelVocabulary


def examples(inputs: Inputs, *, kind: Kind = "text", origin: str = "") -> Examples:
    names = [str(row) for row in range(len(inputs))]
    lines = range(1, len(inputs) + 1)
    return Examples(inputs=inputs, label_sets=None, kind=kind, ids=names, lines=lines, origin=origin, understood="")


def divided(train: list[str], val: list[str], test: list[str]) -> Splits:
    parts = [examples(texts, origin=name) for name, texts in (("train", train), ("val", val), ("test", test))]
    return Splits(train=parts[0], val=parts[1], test=parts[2], how="", vocabulary=LabelVocabulary(()))


TEXTS = st.lists(st.sampled_from(["a", "b!", "B", "a b", "?", "!"]), max_size=5)


@settings(deadline=None)
@given(TEXTS, TEXTS, TEXTS)
def test_they_are_counted_as_loops_count_them(train: list[str], val: list[str], test: list[str]) -> None:
    texts = {"train": train, "val": val, "test": test}
    same = {"b!": "b", "B": "b"}
    plain = {part: [same.get(text, text) for text in content] for part, content in texts.items()}
    expected = {}
    for earlier, later in combinations_with_replacement(texts, 2):
        count = 0
        for row, text in enumerate(plain[later]):
            count += text in (plain[earlier][:row] if earlier == later else plain[earlier])
        expected[earlier, later] = count
    found = {(repeat.earlier, repeat.later): repeat.examples for repeat in duplicates(divided(train, val, test))}
    assert found == {parts: count for parts, count in expected.items() if count}


def test_an_instance_is_named() -> None:
    repeats = duplicates(divided(["x", "Good, food!"], ["y"], ["z", "z z", "good food"]))
    assert [(repeat.examples, repeat.instance) for repeat in repeats] == [(1, ("train, line 2", "test, line 3"))]


def test_pictures_are_the_same_when_their_files_are(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    Image.new("RGB", (4, 4), "red").save(paths[0])
    copy(paths[0], paths[1])
    Image.new("RGB", (4, 4), "blue").save(paths[2])
    one, two, three = fingerprints(examples(paths, kind="image"))
    assert one == two != three


def test_vectors_are_the_same_when_all_numbers_are() -> None:
    one, two, three = fingerprints(examples(np.array([[1, 2], [1, 2], [2, 1]], dtype=np.float32), kind="vector"))
    assert one == two != three


@pytest.mark.parametrize("name", ["clinc150", "goemotions", "newsgroups20", "reuters21578", "semeval2018_ec", "hoc"])
def test_real_data_repeat_what_their_notes_say(name: str, shared: Path) -> None:
    notes = (shared / "data" / name / "DATASET.md").read_text()
    extra, val, test = re.search(r"Repeated texts .*: (\d+) extra .*'val': (\d+), 'test': (\d+)", notes).groups()  # type: ignore[union-attr]
    splits = load_splits(shared / "data" / name, seed=0)
    found = {(repeat.earlier, repeat.later): repeat.examples for repeat in duplicates(splits)}
    assert (found.get(("train", "val"), 0), found.get(("train", "test"), 0)) == (int(val), int(test))
    keys = [key for part in splits.parts.values() for key in fingerprints(part)]
    # The notes take all texts without a word, as lone faces, for one text.
    wordless = {text for part in splits.parts.values() for text in part.inputs if not re.search(r"\w", str(text))}
    assert len(keys) - len(set(keys)) == int(extra) - max(len(wordless) - 1, 0)
