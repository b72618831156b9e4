"""Columns in Arrow equal their lists; class numbers become names, and a number without a name is refused."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.data import table as table_module
from labelcontrast.data.table import (
    ArrowColumn,
    arrow_cells,
    arrow_columns,
    coded,
    columns_from_rows,
    flattened,
    listed,
)
from labelcontrast.errors import LabelError

CELLS = [f"text {number}" for number in range(37)]
COLUMN = ArrowColumn(pa.chunked_array([CELLS[:5], CELLS[5:6], CELLS[6:]]))


@settings(deadline=None)
@given(st.lists(st.integers(0, 36)), st.slices(37), st.integers(-37, 36))
def test_a_column_reads_like_a_list(rows: list[int], part: slice, row: int) -> None:
    assert list(COLUMN) == CELLS
    assert COLUMN.take(rows) == [CELLS[at] for at in rows]
    assert COLUMN[part] == CELLS[part]
    assert COLUMN[row] == CELLS[row]
    assert list(COLUMN.select(rows).select(np.arange(len(rows))[::-1])) == [CELLS[at] for at in rows[::-1]]


def test_a_column_ends_like_a_list() -> None:
    for row in (37, -38):
        with pytest.raises(IndexError):
            COLUMN[row]
    assert "text 36" in COLUMN
    assert len(COLUMN.select([])) == 0


def test_a_long_column_of_texts_is_moved_to_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "CHUNK", 3)
    rows: list[dict[str, object]] = [{"text": f"text {row}", "id": row} for row in range(8)]
    rows[6]["late"] = "x"
    columns = columns_from_rows(iter(rows))
    assert isinstance(columns["text"], ArrowColumn)
    assert list(columns["text"]) == [row["text"] for row in rows]
    assert (columns["id"], columns["late"]) == (list(range(8)), [None] * 6 + ["x", None])


def test_a_long_column_of_lists_is_moved_to_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "CHUNK", 2)
    cells: list[list[object]] = [["a"], [], ["b", "a"], ["c"]]
    column = columns_from_rows({"tags": cell} for cell in cells)["tags"]
    assert isinstance(column, ArrowColumn)
    assert list(column) == cells
    labels, sizes = flattened(column)
    assert (list(labels), sizes.tolist()) == (["a", "b", "a", "c"], [1, 0, 2, 1])
    assert coded(labels)[0] == ["a", "b", "c"]
    assert coded(labels)[1].tolist() == coded(list(labels))[1].tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize("odd", [[True], [0.5], [None], [2**70], [["a"]], [{"a": 1}], [], ["\ud800"], None, "a"])
def test_a_column_of_other_lists_stays_as_it_is(odd: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "CHUNK", 2)
    for cells in ([[1], [2], odd, odd], [["a"], ["b"], ["c"], odd], [odd, odd, [1], ["a"]]):
        assert columns_from_rows({"tags": cell} for cell in cells) == {"tags": cells}


@settings(deadline=None)
@given(st.lists(st.text("abc", max_size=2)), st.lists(st.integers(0, 9), max_size=9))
def test_a_selection_is_coded_like_its_list(cells: list[str], rows: list[int]) -> None:
    chosen = [row for row in rows if row < len(cells)]
    column = ArrowColumn(pa.chunked_array([cells[:2], cells[2:]], pa.string())).select(chosen)
    distinct, which = coded(column)
    assert [distinct[code] for code in which] == [cells[row] for row in chosen]
    assert distinct == list(dict.fromkeys(cells[row] for row in chosen))


@pytest.mark.parametrize("odd", [None, 3, ["a"], "\ud800"])
def test_a_column_that_is_not_of_texts_stays_as_it_is(odd: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "CHUNK", 2)
    cells = ["a", "b", "c", odd, "d"]
    assert columns_from_rows({"text": cell} for cell in cells) == {"text": cells}


@pytest.mark.parametrize(
    ("column", "kept"),
    [
        (pa.chunked_array([["a"]]), True),
        (pa.chunked_array([pa.array(["a"], pa.large_string())]), True),
        (pa.chunked_array([[b"a"]]), True),
        (pa.chunked_array([["a", None]]), False),
        (pa.chunked_array([[["a"], []]]), True),
        (pa.chunked_array([[[3]]]), True),
        (pa.chunked_array([[["a", None]]]), False),
        (pa.chunked_array([[["a"], None]]), False),
        (pa.chunked_array([[[0.5]]]), False),
        (pa.chunked_array([pa.array(["a", "b", "a"]).dictionary_encode()]), True),
    ],
)
def test_only_whole_columns_of_texts_bytes_and_lists_stay_in_arrow(column: pa.ChunkedArray, kept: bool) -> None:
    cells = arrow_cells(column)
    assert isinstance(cells, ArrowColumn) == kept
    assert list(cells) == column.to_pylist()


NAMES = ["joy", "fear", "anger"]
CLASS = {"names": NAMES, "_type": "ClassLabel"}
WRITTEN = [{"feature": CLASS, "_type": "List"}, {"feature": CLASS, "length": -1, "_type": "Sequence"}, [CLASS]]
NUMBERS = st.integers(0, 2)


def cells(rows: list[Any], feature: Any, *, size: int = 2) -> list[object]:
    kind = pa.list_(pa.int64()) if feature is not CLASS else pa.int64()
    chunks = [pa.array(rows[start : start + size], kind) for start in range(0, len(rows), size)]
    table = pa.table({"labels": pa.chunked_array(chunks, kind), "other": [1] * len(rows)})
    found = arrow_columns(table, {"labels": feature, "other": {"_type": "Value"}}, "a.parquet")
    assert found["other"] == [1] * len(rows)
    return list(found["labels"])


@settings(deadline=None)
@given(st.lists(st.none() | st.lists(NUMBERS)), st.sampled_from(WRITTEN))
def test_lists_of_numbers_are_lists_of_names(rows: list[list[int] | None], feature: object) -> None:
    assert cells(rows, feature) == [row and [NAMES[number] for number in row] for row in rows]


@settings(deadline=None)
@given(st.lists(st.none() | st.just(-1) | NUMBERS))
def test_a_number_is_a_name_and_minus_one_is_nothing(rows: list[int | None]) -> None:
    assert cells(rows, CLASS) == [None if row in (None, -1) else NAMES[row] for row in rows]


@pytest.mark.parametrize(
    ("rows", "feature", "wrong"),
    [([[0], [], [1, 3]], WRITTEN[0], 3), ([[0], None, [-1]], WRITTEN[0], -1), ([0, None, 7], CLASS, 7)],
)
def test_a_number_without_a_name_is_refused_with_its_row(rows: list[Any], feature: object, wrong: int) -> None:
    with pytest.raises(LabelError) as refusal:
        cells(rows, feature)
    assert str(refusal.value) == (
        f'a.parquet, row 3, column "labels": the class label {wrong} has no name; expected 0 to 2.'
    )


def test_many_names_are_cut_short() -> None:
    assert listed([f"c{number}" for number in range(10)]).endswith('"c7" and 2 more')
