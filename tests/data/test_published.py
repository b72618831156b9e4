"""The paper's division: halves as the published code makes them, a fifth of train, and what it does not fit.

Published figures beside those found: real data agree with their sources, and a difference is seen.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labelcontrast.data.examples import Examples
from labelcontrast.data.published import PUBLISHED, Figure, compare_published
from labelcontrast.data.splits import divide, load_splits
from labelcontrast.errors import ConfigError, DataError


def pictures(count: int, *, unlabelled: int = 0, **changes: Any) -> Examples:
    values: dict[str, Any] = {
        "inputs": [Path(f"{row}.jpg") for row in range(count)],
        "label_sets": [() if row < unlabelled else ("cat",) for row in range(count)],
        "kind": "image",
        "ids": [str(row) for row in range(count)],
        "lines": range(1, count + 1),
        "origin": "x",
        "understood": "x",
    }
    return Examples(**(values | changes))


def test_the_official_split_is_left() -> None:
    parts = {"train": pictures(3)}
    assert divide(parts, "official", seed=0) is parts  # type: ignore[arg-type]


def test_voc2007_has_the_sizes_and_the_order_of_the_published_code() -> None:
    parts = divide({"train": pictures(5011), "test": pictures(4952)}, "paper", seed=0)
    assert {part: len(examples) for part, examples in parts.items()} == {"train": 5011, "val": 2476, "test": 2476}
    assert not set(parts["val"].ids) & set(parts["test"].ids)
    # What train_test_split(range(4952), test_size=0.5, random_state=42) of scikit-learn 1.3 begins with.
    assert parts["val"].ids[:3] == ["4610", "4197", "2185"]
    assert parts["test"].ids[:3] == ["230", "1371", "1957"]


def test_a_held_out_validation_part_is_halved_too_and_rows_without_labels_go() -> None:
    parts = divide({"train": pictures(9, unlabelled=2), "val": pictures(10, unlabelled=4)}, "paper", seed=0)
    assert {part: len(examples) for part, examples in parts.items()} == {"train": 7, "val": 3, "test": 3}


def test_the_small_subset_is_a_fifth_that_the_seed_chooses() -> None:
    parts = {"train": pictures(100), "test": pictures(10)}
    first, again, other = (divide(parts, "paper-small", seed=seed)["train"].ids for seed in (0, 0, 1))  # type: ignore[arg-type]
    assert first == again != other
    assert len(first) == 20
    assert divide(parts, "paper-small", seed=0)["test"].ids == divide(parts, "paper", seed=0)["test"].ids  # type: ignore[arg-type]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError) as wrong:
        divide({"train": pictures(3)}, "papers", seed=0)
    assert str(wrong.value) == 'there is no protocol "papers" (did you mean "paper"?).'
    with pytest.raises(DataError, match=r"x: the paper halves one held-out part; there are 0\."):
        divide({"train": pictures(3)}, "paper", seed=0)
    with pytest.raises(DataError, match="x: the paper's split of texts was published as CSV files only"):
        divide({"train": pictures(3, kind="text")}, "paper", seed=0)


# What does not agree, as the notes beside the data say: a repeat that was dropped, a split that was not published.
DIFFERENT = {
    "corel5k": {"test"},
    "reuters21578": {"train"},
    "newsgroups20": set(),
    "semeval2018_ec": set(),
    "goemotions": set(),
    "clinc150": set(),
    "hoc": set(),
    "ucm_multilabel": set(),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_real_data_agree_with_what_was_published(name: str, shared: Path) -> None:
    comparison = compare_published(load_splits(shared / "data" / name, seed=0))
    assert comparison is not None
    assert {figure.name for figure in comparison.figures if not figure.agrees} == DIFFERENT[name]


@pytest.mark.parametrize("name", ["emotions", "scene", "yeast", "birds", "enron", "bibtex", "delicious"])
def test_real_tables_agree_with_what_was_published(name: str, shared: Path) -> None:
    comparison = compare_published(load_splits(shared / "data" / "tabular" / f"{name}.npz", seed=0))
    assert comparison is not None
    assert [figure for figure in comparison.figures if not figure.agrees] == []


def test_the_distribution_goes_before_the_name_of_the_folder(vectors: Path) -> None:
    splits = load_splits(vectors, seed=0)
    assert compare_published(splits) is None
    known = replace(splits, train=replace(splits.train, dataset="aapd"))
    comparison = compare_published(known)
    assert comparison is not None
    assert comparison.title == "AAPD"
    assert comparison.figures[0] == Figure("train", 53840, len(splits.train))
    assert comparison.figures[-1].name == "labels each"


def test_a_part_that_was_not_published_counts_to_train(vectors: Path) -> None:
    splits = load_splits(vectors, seed=0)
    comparison = compare_published(replace(splits, train=replace(splits.train, dataset="reuters21578")))
    assert comparison is not None
    assert [figure.name for figure in comparison.figures] == ["train", "test", "labels"]
    assert comparison.figures[0].found == len(splits.train) + len(splits.val)


def test_every_entry_has_its_source() -> None:
    assert all(entry.source and entry.train > 0 and entry.labels > 1 for entry in PUBLISHED.values())
