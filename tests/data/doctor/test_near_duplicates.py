"""Near duplicates: what is planted is found, what is not alike is not, and likeness is the Jaccard of a loop."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from labelcontrast.data.doctor.near_duplicates import NearPair, near_pairs, shingles, slopes
from labelcontrast.data.examples import Examples


def examples_of(inputs: Any, kind: Any = "text") -> Examples:
    count = len(inputs)
    names = [str(row) for row in range(count)]
    return Examples(inputs=inputs, label_sets=None, kind=kind, ids=names, lines=range(count), origin="a", understood="")


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
    pairs = near_pairs([examples_of([" ".join(words) for words in documents])])
    expected = {(3 * row, 300 + row) for row in range(100)}
    assert {(pair.first, pair.second) for pair in pairs} == expected
    for pair in pairs:
        assert pair.likeness == pytest.approx(jaccard(documents[pair.first], documents[pair.second]))
    assert [pair.likeness for pair in pairs] == sorted((pair.likeness for pair in pairs), reverse=True)


def test_positions_go_through_all_parts() -> None:
    parts = [examples_of(["one two three four", "x"]), examples_of(["", "One, two; three four!"])]
    assert near_pairs(parts) == [NearPair(0, 3, 1.0)]


def test_half_alike_is_not_nearly_the_same() -> None:
    random = np.random.default_rng(0)
    words = text(random)
    assert near_pairs([examples_of([" ".join(words), " ".join(words[:30] + text(random, 30))])]) == []


def test_texts_without_words_are_like_nothing() -> None:
    assert near_pairs([examples_of(["", " ", "!", "?"])]) == []
    assert near_pairs([examples_of([])]) == []
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
    pairs = near_pairs([examples_of([*paths, *plain, tmp_path / "broken.png"], "image")])
    assert [(pair.first, pair.second) for pair in pairs if {pair.first, pair.second} & {20}] == [(4, 20)]
    assert pairs == [pair for pair in pairs if pair.second == 20]
    assert len(slopes(tmp_path / "broken.png")) == len(slopes(plain[0])) == 0


def test_vectors_have_no_near_duplicates() -> None:
    assert near_pairs([examples_of(np.ones((3, 2), dtype=np.float32), "vector")]) == []
