"""Published figures beside those found: real data agree with their sources, and a difference is marked."""

from dataclasses import replace
from pathlib import Path

import pytest

from labelcontrast.data.published_figures import PUBLISHED, PublishedFigure, compare_published
from labelcontrast.data.splits import load_splits

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
def test_real_data_agree_with_published_figures(name: str, shared: Path) -> None:
    comparison = compare_published(load_splits(shared / "data" / name, seed=0))
    assert comparison is not None
    assert {figure.name for figure in comparison.figures if not figure.agrees} == DIFFERENT[name]


@pytest.mark.parametrize("name", ["emotions", "scene", "yeast", "birds", "enron", "bibtex", "delicious"])
def test_real_tables_agree_with_published_figures(name: str, shared: Path) -> None:
    comparison = compare_published(load_splits(shared / "data" / "tabular" / f"{name}.npz", seed=0))
    assert comparison is not None
    assert [figure for figure in comparison.figures if not figure.agrees] == []


def test_the_distribution_overrides_the_name_of_the_folder(vectors: Path) -> None:
    splits = load_splits(vectors, seed=0)
    assert compare_published(splits) is None
    known = replace(splits, train=replace(splits.train, dataset="aapd"))
    comparison = compare_published(known)
    assert comparison is not None
    assert comparison.title == "AAPD"
    assert comparison.figures[0] == PublishedFigure("train", 53840, len(splits.train))
    assert comparison.figures[-1].name == "labels each"


def test_a_split_that_was_not_published_counts_as_train(vectors: Path) -> None:
    splits = load_splits(vectors, seed=0)
    comparison = compare_published(replace(splits, train=replace(splits.train, dataset="reuters21578")))
    assert comparison is not None
    assert [figure.name for figure in comparison.figures] == ["train", "test", "labels"]
    assert comparison.figures[0].found == len(splits.train) + len(splits.val)


def test_every_entry_has_its_source() -> None:
    assert all(entry.source and entry.train > 0 and entry.labels > 1 for entry in PUBLISHED.values())
