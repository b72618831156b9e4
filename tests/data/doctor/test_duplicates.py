"""Exact and near duplicates: planted ones are found, others are not, and counts and similarities equal loops."""

import re
from itertools import combinations_with_replacement
from pathlib import Path
from shutil import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labelcontrast.data.doctor.duplicates import NearPair, duplicates, fingerprints, near_pairs, shingles, slopes
from labelcontrast.data.examples import Examples, Inputs, Kind
from labelcontrast.data.splits import Splits, load_splits
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
def test_repeats_equal_those_of_loops(train: list[str], val: list[str], test: list[str]) -> None:
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
def test_repeats_of_real_data_agree_with_their_notes(name: str, shared: Path) -> None:
    notes = (shared / "data" / name / "DATASET.md").read_text()
    extra, val, test = re.search(r"Repeated texts .*: (\d+) extra .*'val': (\d+), 'test': (\d+)", notes).groups()  # type: ignore[union-attr]
    splits = load_splits(shared / "data" / name, seed=0)
    found = {(repeat.earlier, repeat.later): repeat.examples for repeat in duplicates(splits)}
    assert (found.get(("train", "val"), 0), found.get(("train", "test"), 0)) == (int(val), int(test))
    keys = [key for part in splits.by_name.values() for key in fingerprints(part)]
    # The notes take all texts without a word, as lone faces, for one text.
    wordless = {text for part in splits.by_name.values() for text in part.inputs if not re.search(r"\w", str(text))}
    assert len(keys) - len(set(keys)) == int(extra) - max(len(wordless) - 1, 0)


def text(random: np.random.Generator, words: int = 60) -> list[str]:
    return [f"w{number}" for number in random.integers(0, 5000, words)]


def jaccard(one: list[str], other: list[str]) -> float:
    sets = [{tuple(words[at : at + 3]) for at in range(len(words) - 2)} for words in (one, other)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def test_planted_near_duplicates_are_found_with_their_likeness() -> None:
    random = np.random.default_rng(0)
    documents = [text(random) for _ in range(300)]
    for row in range(100):  # every third text has a copy with one word changed
        changed = list(documents[3 * row])
        changed[int(random.integers(0, 60))] = "changed"
        documents.append(changed)
    pairs = near_pairs([examples([" ".join(words) for words in documents])])
    expected = {(3 * row, 300 + row) for row in range(100)}
    assert {(pair.first, pair.second) for pair in pairs} == expected
    for pair in pairs:
        assert pair.likeness == pytest.approx(jaccard(documents[pair.first], documents[pair.second]))
    assert [pair.likeness for pair in pairs] == sorted((pair.likeness for pair in pairs), reverse=True)


def test_positions_are_counted_through_all_splits() -> None:
    parts = [examples(["one two three four", "x"]), examples(["", "One, two; three four!"])]
    assert near_pairs(parts) == [NearPair(0, 3, 1.0)]


def test_half_of_the_words_is_not_nearly_the_same() -> None:
    random = np.random.default_rng(0)
    words = text(random)
    assert near_pairs([examples([" ".join(words), " ".join(words[:30] + text(random, 30))])]) == []


def test_texts_without_words_have_no_near_duplicates() -> None:
    assert near_pairs([examples(["", " ", "!", "?"])]) == []
    assert near_pairs([examples([])]) == []
    assert len(shingles("a b")) == 1


def draw(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, **options)
    return path


def test_pictures_that_were_saved_again_are_found(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (20, 8, 8, 3))
    smooth = [np.kron(picture, np.ones((12, 12, 1))) for picture in coarse]
    paths = [draw(tmp_path / f"{row}.png", picture) for row, picture in enumerate(smooth)]
    paths.append(draw(tmp_path / "again.jpg", smooth[4] * 0.9, quality=80))
    plain = [draw(tmp_path / f"plain{row}.png", np.full((20, 20, 3), 10 * row)) for row in range(3)]
    (tmp_path / "broken.png").write_text("no picture")
    pairs = near_pairs([examples([*paths, *plain, tmp_path / "broken.png"], kind="image")])
    assert [(pair.first, pair.second) for pair in pairs if {pair.first, pair.second} & {20}] == [(4, 20)]
    assert pairs == [pair for pair in pairs if pair.second == 20]
    assert len(slopes(tmp_path / "broken.png")) == len(slopes(plain[0])) == 0


def test_vectors_have_no_near_duplicates() -> None:
    assert near_pairs([examples(np.ones((3, 2), dtype=np.float32), kind="vector")]) == []
