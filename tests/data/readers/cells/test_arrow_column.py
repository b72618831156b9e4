"""A mapped column is the same as its list, however it is asked for."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.data.readers.cells.arrow_column import ArrowColumn

CELLS = [f"text {number}" for number in range(37)]
COLUMN = ArrowColumn(pa.chunked_array([CELLS[:5], CELLS[5:6], CELLS[6:]]))


@settings(deadline=None)
@given(st.lists(st.integers(0, 36)), st.slices(37), st.integers(-37, 36))
def test_it_reads_like_a_list(rows: list[int], part: slice, row: int) -> None:
    assert list(COLUMN) == CELLS
    assert COLUMN.take(rows) == [CELLS[at] for at in rows]
    assert COLUMN[part] == CELLS[part]
    assert COLUMN[row] == CELLS[row]
    assert list(COLUMN.select(rows).select(np.arange(len(rows))[::-1])) == [CELLS[at] for at in rows[::-1]]


def test_it_ends_where_a_list_does() -> None:
    for row in (37, -38):
        with pytest.raises(IndexError):
            COLUMN[row]
    assert "text 36" in COLUMN
    assert len(COLUMN.select([])) == 0
