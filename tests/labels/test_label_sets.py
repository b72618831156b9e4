"""Coded label sets behave like a list of tuples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.labels import label_sets
from labelcontrast.labels.label_sets import LabelSets

SETS = st.lists(st.lists(st.sampled_from("abcd"), unique=True).map(tuple), max_size=9)


@settings(deadline=None)
@given(SETS, st.slices(9), st.integers(-9, 8))
def test_label_sets_read_like_a_list(sets: list[tuple[str, ...]], part: slice, row: int) -> None:
    coded = LabelSets.of(sets)
    assert coded == sets
    assert sets == coded
    assert (list(coded), len(coded), repr(coded)) == (sets, len(sets), repr(sets))
    assert coded[part] == sets[part]
    assert coded.sizes.tolist() == list(map(len, sets))
    assert set(coded.held) == {name for labels in sets for name in labels}
    if -len(sets) <= row < len(sets):
        assert coded[row] == sets[row]
    else:
        with pytest.raises(IndexError):
            coded[row]


@settings(deadline=None)
@given(SETS, st.lists(st.integers(0, 8)))
def test_a_selection_equals_that_of_the_list(sets: list[tuple[str, ...]], rows: list[int]) -> None:
    chosen = [row for row in rows if row < len(sets)]
    selected = LabelSets.of(sets).select(np.array(chosen, dtype=np.int64))
    assert selected == [sets[row] for row in chosen]
    assert set(selected.held) == {name for row in chosen for name in sets[row]}


@settings(deadline=None)
@given(SETS, st.dictionaries(st.sampled_from("abcd"), st.lists(st.sampled_from("axyz"))))
def test_labels_are_replaced(sets: list[tuple[str, ...]], become: dict[str, list[str]]) -> None:
    mapped = LabelSets.of(sets).mapped(lambda name: become.get(name, ()))
    literal = [tuple(dict.fromkeys(new for name in labels for new in become.get(name, ()))) for labels in sets]
    assert mapped == literal


def test_only_names_that_occur_are_mapped() -> None:
    sets = LabelSets.of([("a",), ("b",)]).select(np.array([1]))
    assert (sets.names, sets.held) == (("a", "b"), ["b"])
    assert sets.mapped({"b": ("c",)}.__getitem__) == [("c",)]


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcd"))))
def test_duplicate_labels_are_removed(sets: list[list[str]]) -> None:
    names = "abcd"
    codes = np.array([names.index(name) for labels in sets for name in labels], dtype=np.int64)
    sizes = np.array(list(map(len, sets)), dtype=np.int64)
    literal = [tuple(dict.fromkeys(labels)) for labels in sets]
    assert LabelSets.of_each_once(names, codes, sizes) == LabelSets.of(sets) == literal


def test_iteration_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_sets, "AT_A_TIME", 2)
    sets = [("a",), (), ("b", "a"), ("c",), ()]
    assert list(LabelSets.of(sets)) == sets


def test_different_label_sets_are_not_equal() -> None:
    assert LabelSets.of([("a",)]) != [("b",)]
    assert LabelSets.of([("a",)]) != [("a",), ()]
    assert LabelSets.of([]) != 3
