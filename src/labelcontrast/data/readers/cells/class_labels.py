"""The columns of an Arrow table, with names in the place of the numbers of class labels, as `datasets` writes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labelcontrast.data.readers.cells.arrow_column import arrow_cells
from labelcontrast.errors import LabelError

UNLABELLED = -1


def table_cells(table: pa.Table, features: Mapping[str, Any], origin: str) -> dict[str, Sequence[object]]:
    """Return the cells of every column; those that the features say are class labels by their names.

    Args:
        table: the rows.
        features: of each column, what `datasets` says of it.
        origin: what refusals call the table.

    Raises:
        LabelError: when a class label is no place in its list of names; with the row.

    Example:
        >>> table = pa.table({"text": ["a", "b"], "labels": [[1, 0], []]})
        >>> features = {"labels": {"_type": "List", "feature": {"_type": "ClassLabel", "names": ["joy", "fear"]}}}
        >>> list(table_cells(table, features, "a.parquet")["labels"])
        [['fear', 'joy'], []]
    """
    named = {name: _class_names(features.get(name)) for name in table.column_names}
    return {
        name: arrow_cells(table[name] if names is None else _named(table[name], names, f'column "{name}"', origin))
        for name, names in named.items()
    }


def _class_names(feature: Any) -> list[str] | None:  # noqa: ANN401
    """Return the names of class labels, alone or in a list; None for anything else."""
    inner = feature.get("feature", feature) if isinstance(feature, Mapping) else feature[0] if feature else {}
    if isinstance(inner, Mapping) and inner.get("_type") == "ClassLabel":
        return list(map(str, inner["names"]))
    return None


def _named(column: pa.ChunkedArray, names: list[str], title: str, origin: str) -> pa.ChunkedArray:
    """Put names in the place of numbers, alone or in lists; an example without a class label has -1, here nothing."""
    lists = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    numbers = (pc.list_flatten(column) if lists else column).combine_chunks()
    sizes = pc.fill_null(pc.list_value_length(column), 0).to_numpy() if lists else np.ones(len(column), np.int64)
    if not lists:
        numbers = pc.if_else(pc.equal(numbers, UNLABELLED), None, numbers)
    places = numbers.drop_null().to_numpy(zero_copy_only=False)
    if places.size and not (places.min() >= 0 and places.max() < len(names)):
        known = pc.fill_null(numbers, 0).to_numpy(zero_copy_only=False)
        wrong = int(np.argmax((known < 0) | (known >= len(names))))
        row = int(np.searchsorted(np.cumsum(sizes), wrong, side="right")) + 1
        message = f"the class label {known[wrong]} has no name; expected 0 to {len(names) - 1}."
        raise LabelError(message, path=f"{origin}, row {row}, {title}")
    written = pa.array(names, pa.string()).take(numbers)
    if lists:
        ends = pa.array(np.concatenate([[0], np.cumsum(sizes)]), pa.int64())
        written = pa.LargeListArray.from_arrays(ends, written, mask=column.is_null().combine_chunks())
    return pa.chunked_array([written])
