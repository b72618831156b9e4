"""Class labels: numbers become the names that stand in their place, and a number without one is refused."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.data.readers.cells.class_labels import table_cells
from labelcontrast.errors import LabelError

NAMES = ["joy", "fear", "anger"]
CLASS = {"names": NAMES, "_type": "ClassLabel"}
WRITTEN = [{"feature": CLASS, "_type": "List"}, {"feature": CLASS, "length": -1, "_type": "Sequence"}, [CLASS]]
NUMBERS = st.integers(0, 2)


def cells(rows: list[Any], feature: Any, *, size: int = 2) -> list[object]:
    kind = pa.list_(pa.int64()) if feature is not CLASS else pa.int64()
    chunks = [pa.array(rows[start : start + size], kind) for start in range(0, len(rows), size)]
    table = pa.table({"labels": pa.chunked_array(chunks, kind), "other": [1] * len(rows)})
    found = table_cells(table, {"labels": feature, "other": {"_type": "Value"}}, "a.parquet")
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
