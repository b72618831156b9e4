"""Values of labels: every way to write one, and paths through a hierarchy."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.data.readers.cells.label_values import divided, parents_of, value_of, with_ancestors
from labelcontrast.labels.label_sets import LabelSets


@pytest.mark.parametrize("cell", [None, "", " ", -1, -1.0, "-1", "nan", "NaN", float("nan"), "null"])
def test_unknown_is_written_in_many_ways(cell: object) -> None:
    value = value_of(cell)
    assert value is not None
    assert math.isnan(value)


@pytest.mark.parametrize("cell", ["yes", 2, -0.5, "1.01", [1], {}, "-2", float("inf")])
def test_what_is_no_value_is_none(cell: object) -> None:
    assert value_of(cell) is None


@settings(deadline=None)
@given(st.floats(0, 1))
def test_a_number_between_is_itself(value: float) -> None:
    assert value_of(value) == value_of(repr(value)) == value


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.floats(0, 1) | st.just(math.nan)), max_size=5))
def test_sets_and_values_say_together_what_was_said(rows: list[dict[str, float]]) -> None:
    sets, values = divided(rows)
    for row, labels, odd in zip(rows, sets, values or [{} for _ in rows], strict=True):
        for name, value in row.items():
            assert (name in labels) == (value >= 0.5)
            assert repr(odd.get(name, float(name in labels))) == repr(float(value))


def test_a_path_has_every_beginning_once() -> None:
    assert with_ancestors(LabelSets.of([("a>b", "a > b > c", "a > d")])) == [
        ("a>b", "a", "a > b", "a > b > c", "a > d")
    ]
    assert parents_of(["a", "a > b > c", "d"]) == {"a > b > c": ("a > b",)}
    assert parents_of(["a", "b"]) is None
