"""From rows to examples: every column in its place, and one sentence that says so."""

from pathlib import Path

import pytest

from labelcontrast.data.assembly import examples_of
from labelcontrast.data.columns import ColumnNames, Table
from labelcontrast.errors import DataError


def rows(**columns: list[object]) -> Table:
    return Table(origin="reviews.csv", columns=columns, lines=range(2, 2 + len(next(iter(columns.values()), []))))


def test_every_column_finds_its_place() -> None:
    table = rows(id=["x", None], review=["good", "bad"], tags=["food;price", ""], split=["train", "dev"], year=[1, 2])
    examples = examples_of(table, ColumnNames(), Path())
    assert (examples.inputs, examples.label_sets) == (["good", "bad"], [("food", "price"), ()])
    assert (examples.ids, examples.parts, examples.kind) == (["x", "3"], ["train", "val"], "text")
    assert examples.understood == (
        'reviews.csv: 2 rows; text in "review"; labels in "tags", separated by ";"; not used: "year"'
    )


def test_columns_of_0_and_1_give_the_order_of_the_labels() -> None:
    examples = examples_of(rows(text=["a", "b"], zeal=[0, 1], anger=[1, 1]), ColumnNames(), Path())
    assert examples.label_sets == [("anger",), ("zeal", "anger")]
    assert examples.label_names == ("zeal", "anger")
    assert (
        examples.understood
        == 'reviews.csv: 2 rows; text in "text"; labels are the 2 columns of 0 and 1 "zeal", "anger"'
    )


def test_without_labels_there_are_none() -> None:
    examples = examples_of(rows(text=["a", "b"]), ColumnNames(), Path())
    assert examples.label_sets is None
    assert examples.understood == 'reviews.csv: 2 rows; text in "text"; no labels'


def test_a_column_split_with_other_values_is_an_ordinary_column() -> None:
    examples = examples_of(rows(text=["a", "b"], split=["apple", "banana"]), ColumnNames(), Path())
    assert examples.parts is None
    assert examples.understood.endswith('not used: "split"')


@pytest.mark.parametrize(
    ("cell", "said"),
    [("tset", '"tset" (did you mean "test"?)'), ("banana", '"banana"'), ("", '""'), (None, '"None"')],
)
def test_a_row_of_no_part_among_others_is_refused(cell: object, said: str) -> None:
    with pytest.raises(DataError) as refusal:
        examples_of(rows(text=["a", "b", "c"], split=["train", " Test ", cell]), ColumnNames(), Path())
    place = 'reviews.csv, line 4, column "split"'
    assert str(refusal.value) == f"{place}: expected train, val or test, as in the other rows. Got {said}."


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (rows(text=["a", None]), 'reviews.csv, line 3, column "text": there is nothing; expected a text.'),
        (rows(text=["a", 7]), 'reviews.csv, line 3, column "text": expected a text. Got 7.'),
        (rows(text=[]), "reviews.csv: there are no rows in the file."),
        (rows(), "reviews.csv: there are no rows in the file."),
    ],
)
def test_a_row_without_text_is_refused(table: Table, message: str) -> None:
    with pytest.raises(DataError) as refusal:
        examples_of(table, ColumnNames(), Path())
    assert str(refusal.value) == message


def test_labels_that_nobody_looked_for_are_unknown(tmp_path: Path) -> None:
    columns: dict[str, list[object]] = {"text": ["a", "b"], "labels": [["x"], []], "annotated": [["x", "y"], ["z"]]}
    examples = examples_of(Table(origin="a.jsonl", columns=columns, lines=[1, 2]), ColumnNames(), tmp_path)
    assert examples.annotated == [("x", "y"), ("z",)]
    assert examples.understood.endswith('; labels that are not in "annotated" are unknown')
    assert examples.select([1]).annotated == [("z",)]
