"""Which column is what: by what the user says, by usual names, else by what stands in it."""

import pytest

from labelcontrast.data.columns import ColumnNames, Table, input_column, label_columns, listed
from labelcontrast.errors import ConfigError, DataError


def rows(**columns: list[object]) -> Table:
    return Table(origin="reviews.csv", columns=columns, lines=range(2, 2 + len(next(iter(columns.values())))))


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
        (rows(text=["a"]), ColumnNames(), None),
        (rows(text=["a", "b"], labels=[None, None]), ColumnNames(), None),
        (rows(text=["a", "b"], labels=[None, ["x"]]), ColumnNames(), "labels"),
    ],
)
def test_the_labels_are_found(table: Table, wanted: ColumnNames, expected: object) -> None:
    assert label_columns(table, wanted) == expected


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
def test_the_input_is_found(table: Table, wanted: ColumnNames, expected: tuple[str, str]) -> None:
    assert input_column(table, wanted, None) == expected


def test_the_labels_are_never_taken_for_the_input() -> None:
    table = rows(essence=["abc"], labels=["a much longer text"])
    assert input_column(table, ColumnNames(), "labels") == ("text", "essence")


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
        input_column(rows(title=["a"], stars=[1]), wanted, None)
    assert str(refusal.value) == f"reviews.csv: {message}"


def test_labels_that_are_not_there_are_refused() -> None:
    with pytest.raises(DataError, match=r'there is no column "insulting" \(did you mean "insult"\?\)'):
        label_columns(rows(text=["a", "b"], **BINARY), ColumnNames(labels="toxic,insulting"))


def test_a_table_without_input_is_refused() -> None:
    with pytest.raises(DataError) as refusal:
        input_column(rows(stars=[4], year=[1999]), ColumnNames(), None)
    assert str(refusal.value) == (
        'reviews.csv: no column of texts or pictures was found. The columns are "stars", "year"; name the one to read.'
    )


def test_text_and_image_at_once_are_refused() -> None:
    with pytest.raises(ConfigError) as refusal:
        ColumnNames(text="body", image="scan")
    assert str(refusal.value) == (
        'an example is a text or a picture. Got the text column "body" and the image column "scan".'
    )


def test_many_names_are_cut_short() -> None:
    assert listed([f"c{number}" for number in range(10)]).endswith('"c7" and 2 more')
