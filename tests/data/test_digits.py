"""The built-in set: real digits, disjoint between splits, a long tail, the same again from the seed."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelcontrast.data.digits import NAMES, SIDE, SIZES, disjoint_pools, write_digits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("digits"))


def rows(folder: Path, split: str) -> list[dict]:
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("split", SIZES)
def test_every_row_has_its_picture_and_one_to_four_digits(folder: Path, split: str) -> None:
    found = rows(folder, split)
    assert len(found) == SIZES[split]
    assert {len(row["labels"]) for row in found} == {1, 2, 3, 4}
    for row in found[:20]:
        with Image.open(folder / row["image"]) as picture:
            assert picture.size == (SIDE, SIDE)


def test_the_choice_has_a_long_tail(folder: Path) -> None:
    counts = [sum(name in row["labels"] for row in rows(folder, "train")) for name in NAMES]
    assert counts[0] > 10 * counts[9] > 0


def test_the_digits_of_the_splits_are_disjoint() -> None:
    pools = disjoint_pools(1797, np.random.default_rng(0))
    assert sorted(np.concatenate(pools)) == list(range(1797))
    assert all(len(pool) > 250 for pool in pools)


def test_the_seed_fixes_it(folder: Path, tmp_path: Path) -> None:
    again = write_digits(tmp_path)
    assert (again / "test.jsonl").read_bytes() == (folder / "test.jsonl").read_bytes()
    name = rows(folder, "test")[0]["image"]
    assert (again / name).read_bytes() == (folder / name).read_bytes()
