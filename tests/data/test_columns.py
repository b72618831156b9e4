"""Columns are named by the user or detected, by usual names and by content; their cells become examples."""

import pytest

from labelcontrast.data.columns import ColumnNames, examples_of, input_column, label_columns
from labelcontrast.data.table import DataTable
from labelcontrast.errors import ConfigError, DataError


def rows(**columns: list[object]) -> DataTable:
    return DataTable(origin="reviews.csv", columns=columns, lines=range(2, 2 + len(next(iter(columns.values()), []))))


BINARY = {"toxic": ["0", "1"], "insult": ["1", "1"]}


@pytest.mark.parametrize(
    ("table", "wanted", "expected"),
    [
        (rows(text=["a"], labels=["x"]), ColumnNames(), "labels"),
        (rows(text=["a"], Tags=["x"], genre=["y"]), ColumnNames(), "Tags"),
        (rows(text=["a"], tags=["x"], genre=["y"]), ColumnNames(labels="genre"), "genre"),
        (rows(text=["a"], aspects=[["x", "y"]]), ColumnNames(), "aspects"),
        (rows(text=["a", "b"], **BINARY), ColumnNames(), ("toxic", "insult")),
        (rows(text=["a", "b"], **BINARY, stars=["4", "5"]), ColumnNames(), ("toxic", "insult")),
        (rows(text=["a", "b"], **BINARY), ColumnNames(labels="insult"), "insult"),
        (rows(text=["a", "b"], **BINARY), ColumnNames(labels="insult, toxic"), ("insult", "toxic")),
        (rows(text=["a", "b"], **BINARY), ColumnNames(labels=["insult"]), ("insult",)),
        (rows(text=["a"], **{"a,b": ["x"]}), ColumnNames(labels="a,b"), "a,b"),
        (rows(text=["a", "b"], toxic=["0", "1"]), ColumnNames(), None),
        (rows(text=["a", "b", "c"], a=["0", "1", "x"], b=["NA", "1", "0"]), ColumnNames(), ("a", "b")),
        (rows(text=["a", "b"], **BINARY, sure=["0.2", "0.7"], likes=["0", "3"]), ColumnNames(), ("toxic", "insult")),
        (rows(text=["a"]), ColumnNames(), None),
        (rows(text=["a", "b"], labels=[None, None]), ColumnNames(), None),
        (rows(text=["a", "b"], labels=[None, ["x"]]), ColumnNames(), "labels"),
    ],
)
def test_the_labels_are_found(table: DataTable, wanted: ColumnNames, expected: object) -> None:
    assert label_columns([table], wanted) == expected


@pytest.mark.parametrize(
    ("table", "wanted", "expected"),
    [
        (rows(title=["a"], text=["b"]), ColumnNames(), ("text", "text")),
        (rows(ID=["1"], Tweet=["b"]), ColumnNames(), ("text", "Tweet")),
        (rows(title=["a"], text=["b"]), ColumnNames(text="title"), ("text", "title")),
        (rows(id=["a very long name"], short=["abc"], long=["abcdef"], stars=[5]), ColumnNames(), ("text", "long")),
        (rows(image=["a.JPG"], text=["b"]), ColumnNames(), ("image", "image")),
        (rows(image=["a.jpg"], text=["b"]), ColumnNames(text="text"), ("text", "text")),
        (rows(path=["/home"], text=["b"]), ColumnNames(), ("text", "text")),
        (rows(scan=["a"], text=["b"]), ColumnNames(image="scan"), ("image", "scan")),
    ],
)
def test_the_input_is_found(table: DataTable, wanted: ColumnNames, expected: tuple[str, str]) -> None:
    assert input_column([table], wanted, None) == expected


def test_the_label_column_is_not_the_input() -> None:
    table = rows(essence=["abc"], labels=["a much longer text"])
    assert input_column([table], ColumnNames(), "labels") == ("text", "essence")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            ColumnNames(text="titel"),
            'there is no column "titel" (did you mean "title"?). The columns are "title", "stars".',
        ),
        (ColumnNames(image="scan"), 'there is no column "scan". The columns are "title", "stars".'),
    ],
)
def test_a_column_that_is_not_there_is_refused(wanted: ColumnNames, message: str) -> None:
    with pytest.raises(DataError) as refusal:
        input_column([rows(title=["a"], stars=[1])], wanted, None)
    assert str(refusal.value) == f"reviews.csv: {message}"


def test_labels_that_are_not_there_are_refused() -> None:
    with pytest.raises(DataError, match=r'there is no column "insulting" \(did you mean "insult"\?\)'):
        label_columns([rows(text=["a", "b"], **BINARY)], ColumnNames(labels="toxic,insulting"))


def test_a_run_reads_the_columns_that_it_remembers() -> None:
    remembered = ColumnNames(text="message", labels="subjects", remembered=True, with_labels=False)
    table = rows(subject=["a longer subject"], message=["hi"], tags=[{"a": 1}], split=["holdout"])
    examples = examples_of([table], remembered)[0]
    assert (examples.inputs, examples.label_sets) == (["hi"], None)
    assert examples.understood == 'reviews.csv: 1 rows; text in "message"; not used: "subject", "tags", "split"'
    assert examples_of([rows(title=["a long title"], text=["hi"])], remembered)[0].inputs == ["hi"]
    with pytest.raises(DataError, match=r'there is no column "message"\. The columns are "a good film", "fun"'):
        examples_of([rows(**{"a good film": ["a bad film"], "fun": ["dull"]})], remembered)


def test_a_table_without_input_is_refused() -> None:
    with pytest.raises(DataError) as refusal:
        input_column([rows(stars=[4], year=[1999])], ColumnNames(), None)
    assert str(refusal.value) == (
        'reviews.csv: no column of texts or pictures was found. The columns are "stars", "year"; name the one to read.'
    )


def test_text_and_image_at_once_are_refused() -> None:
    with pytest.raises(ConfigError) as refusal:
        ColumnNames(text="body", image="scan")
    assert str(refusal.value) == (
        'an example is a text or a picture. Got the text column "body" and the image column "scan".'
    )


def test_every_column_is_interpreted() -> None:
    table = rows(id=["x", None], review=["good", "bad"], tags=["food;price", ""], split=["train", "dev"], year=[1, 2])
    examples = examples_of([table], ColumnNames())[0]
    assert (examples.inputs, examples.label_sets) == (["good", "bad"], [("food", "price"), ()])
    assert (examples.ids, examples.splits, examples.kind) == (["x", "3"], ["train", "val"], "text")
    assert examples.understood == (
        'reviews.csv: 2 rows; text in "review"; labels in "tags", separated by ";"; not used: "year"'
    )


def test_columns_of_0_and_1_give_the_order_of_the_labels() -> None:
    examples = examples_of([rows(text=["a", "b"], zeal=[0, 1], anger=[1, 1])], ColumnNames())[0]
    assert examples.label_sets == [("anger",), ("zeal", "anger")]
    assert examples.label_names == ("zeal", "anger")
    assert (
        examples.understood
        == 'reviews.csv: 2 rows; text in "text"; labels are the 2 columns of 0 and 1 "zeal", "anger"'
    )


def test_without_labels_there_are_none() -> None:
    examples = examples_of([rows(text=["a", "b"])], ColumnNames())[0]
    assert examples.label_sets is None
    assert examples.understood == 'reviews.csv: 2 rows; text in "text"; no labels'


def test_a_column_split_with_other_values_is_an_ordinary_column() -> None:
    examples = examples_of([rows(text=["a", "b"], split=["apple", "banana"])], ColumnNames())[0]
    assert examples.splits is None
    assert examples.understood.endswith('not used: "split"')


@pytest.mark.parametrize(
    ("cell", "got"),
    [("tset", '"tset" (did you mean "test"?)'), ("banana", '"banana"'), ("", '""'), (None, '"None"')],
)
def test_a_row_without_a_split_among_others_is_refused(cell: object, got: str) -> None:
    with pytest.raises(DataError) as refusal:
        examples_of([rows(text=["a", "b", "c"], split=["train", " Test ", cell])], ColumnNames())[0]
    place = 'reviews.csv, line 4, column "split"'
    assert str(refusal.value) == f"{place}: expected train, val or test, as in the other rows. Got {got}."


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (rows(text=["a", None]), 'reviews.csv, line 3, column "text": there is nothing; expected a text.'),
        (rows(text=["a", 7]), 'reviews.csv, line 3, column "text": expected a text. Got 7.'),
        (rows(text=[]), "reviews.csv: there are no rows in the file."),
        (rows(), "reviews.csv: there are no rows in the file."),
    ],
)
def test_a_row_without_text_is_refused(table: DataTable, message: str) -> None:
    with pytest.raises(DataError) as refusal:
        examples_of([table], ColumnNames())[0]
    assert str(refusal.value) == message


def test_labels_that_were_not_annotated_are_unknown() -> None:
    columns: dict[str, list[object]] = {"text": ["a", "b"], "labels": [["x"], []], "annotated": [["x", "y"], ["z"]]}
    examples = examples_of([DataTable(origin="a.jsonl", columns=columns, lines=[1, 2])], ColumnNames())[0]
    assert examples.annotated == [("x", "y"), ("z",)]
    assert examples.understood.endswith('; labels that are not in "annotated" are unknown')
    assert examples.select([1]).annotated == [("z",)]
