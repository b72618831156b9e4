"""Label cells: each form gives the same label sets and values, and anything else is refused with its place."""

import json
import math
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.data.label_cells import find_format, labels_of, parents_of, read_labels, value_of
from labelcontrast.data.table import ArrowColumn, DataTable
from labelcontrast.errors import DataError, LabelError

NAMED = "(a name may open with a bracket where the separator is named: --set columns.separator=...)"


def column(*cells: object) -> DataTable:
    return DataTable(origin="reviews.jsonl", columns={"tags": list(cells)}, lines=range(1, len(cells) + 1))


@pytest.mark.parametrize("cell", [None, "", " ", -1, -1.0, "-1", "nan", "NaN", float("nan"), "null", "NA", "N/A", "?"])
def test_unknown_can_be_written_in_many_ways(cell: object) -> None:
    value = value_of(cell)
    assert value is not None
    assert math.isnan(value)


@pytest.mark.parametrize("cell", ["yes", 2, -0.5, "1.01", [1], {}, "-2", float("inf")])
def test_anything_but_a_value_is_none(cell: object) -> None:
    assert value_of(cell) is None


@settings(deadline=None)
@given(st.floats(0, 1))
def test_a_number_between_is_itself(value: float) -> None:
    assert value_of(value) == value_of(repr(value)) == value


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.floats(0, 1) | st.just(math.nan)), min_size=1, max_size=5))
def test_sets_and_values_together_hold_all_values(rows: list[dict[str, float]]) -> None:
    sets, _, values, _ = labels_of(column(*rows), "tags")
    for row, labels, odd in zip(rows, sets, values or [{} for _ in rows], strict=True):
        for name, value in row.items():
            assert (name in labels) == (value >= 0.5)
            assert repr(odd.get(name, float(name in labels))) == repr(float(value))


def test_a_path_has_every_prefix_once() -> None:
    assert labels_of(column(["a>b", "a > b > c", "a > d"]), "tags").sets == [
        ("a>b", "a", "a > b", "a > b > c", "a > d")
    ]
    assert parents_of(["a", "a > b > c", "d"]) == {"a > b > c": ("a > b",)}
    assert parents_of(["a", "b"]) is None


NAMES = st.text("abcdé 0", min_size=1, max_size=4).map(str.strip).filter(bool)
LABEL_SETS = st.lists(st.lists(NAMES, max_size=4, unique=True).map(tuple), min_size=1, max_size=8)


@pytest.mark.parametrize(
    "write",
    [list, ";".join, " | ".join, ", ".join, lambda labels: json.dumps(list(labels)), lambda labels: str(list(labels))],
)
@settings(deadline=None)
@given(label_sets=LABEL_SETS)
def test_every_form_is_read_back(write: Callable[[tuple[str, ...]], object], label_sets: list[tuple[str, ...]]) -> None:
    assert labels_of(column(*map(write, label_sets)), "tags")[0] == label_sets


@settings(deadline=None)
@given(LABEL_SETS)
def test_columns_of_0_and_1_are_read_back(label_sets: list[tuple[str, ...]]) -> None:
    names = sorted({name for labels in label_sets for name in labels})
    columns: dict[str, list[object]] = {name: [str(int(name in labels)) for labels in label_sets] for name in names}
    table = DataTable(origin="reviews.csv", columns=columns, lines=range(2, 2 + len(label_sets)))
    assert labels_of(table, tuple(names))[0] == [tuple(sorted(labels)) for labels in label_sets]


@pytest.mark.parametrize(
    ("cells", "label_sets", "sentence"),
    [
        (["sports", " ", "politics"], [("sports",), (), ("politics",)], 'one label per row, in "tags"'),
        (["a;b", "c, d"], [("a", "b"), ("c, d",)], 'labels in "tags", separated by ";"'),
        (["a|b", "b||b|"], [("a", "b"), ("b",)], 'labels in "tags", separated by "|"'),
        (["['a, b']", ""], [("a, b",), ()], 'labels in "tags", one list per row, as text'),
        ([3, 4.0], [("3",), ("4",)], 'one label per row, a number in "tags"'),
        ([[3, 12], []], [("3", "12"), ()], 'labels in "tags", one list per row'),
        ([["b", "a", "b"]], [("b", "a")], 'labels in "tags", one list per row'),
    ],
)
def test_the_interpretation_is_reported(cells: list[object], label_sets: list[tuple[str, ...]], sentence: str) -> None:
    assert labels_of(column(*cells), "tags") == (label_sets, sentence, None, None)


@pytest.mark.parametrize(
    ("cells", "label_sets"),
    [
        (["['a' 'b']", "['c']", "[]"], [("a", "b"), ("c",), ()]),  # NumPy
        (["['sports'\n \"o'clock\"]"], [("sports", "o'clock")]),
        (["array(['a', 'b'], dtype=object)", "array([], dtype=float64)"], [("a", "b"), ()]),
        (["{'b', 'a'}", "set()", "frozenset({'c'})"], [("a", "b"), (), ("c",)]),
        (["('a', 'b')", "('c',)", "(other)"], [("a", "b"), ("c",), ("(other)",)]),
        (['{"choices":["joy","fear"]}', "joy", ""], [("joy", "fear"), ("joy",), ()]),  # Label Studio
        (['["a", "b"]', "nan"], [("a", "b"), ()]),
        (['{"a": 1, "b": 0}', "{'a': 0, 'b': True}", ""], [("a",), ("b",), ()]),
        (["a;b", '["c;d"]'], [("a", "b"), ("c;d",)]),
        (["[0 1 0 1]", "[1, 0, 0, 0]"], [("label_1", "label_3"), ("label_0",)]),
        (["[0. 1.]"], [("label_1",)]),
        (["[7, 12]"], [("7", "12")]),
    ],
)
def test_whatever_opens_with_a_bracket_is_read_as_what_it_is(cells: list[object], label_sets: list[object]) -> None:
    assert labels_of(column(*cells), "tags").sets == label_sets


@pytest.mark.parametrize("nothing", ["None", "nan", "NaN", "null", "<NA>"])
def test_a_cell_that_a_program_wrote_for_nothing_is_no_label(nothing: str) -> None:
    read = labels_of(column("a;b", nothing, "c"), "tags")
    assert read.sets == [("a", "b"), (), ("c",)]
    assert read.sentence == f'labels in "tags", separated by ";"; "{nothing}" is no label'
    assert labels_of(column(["a"], [nothing]), "tags").sets == [("a",), (nothing,)]


@pytest.mark.parametrize(
    ("cells", "separator"),
    [
        (["a\nb", "New York"], "\n"),
        (["a\tb"], "\t"),
        (["a#b", "b", "a"], "#"),
        (["a#b", "b", "a", "C#"], ""),
        (["a#b", "b"], ""),
        (["a b", "b c", "c a", "a", "b", "c"], " "),
        (["art", "art history", "history", "fine art"], ""),
    ],
)
def test_other_marks_are_separators_where_every_name_stands_alone_too(cells: list[str], separator: str) -> None:
    form = find_format([column(*cells)], "tags")
    assert form.separator == separator
    expected = [tuple(cell.split(separator)) if separator else (cell,) for cell in cells]
    assert read_labels(column(*cells), "tags", form).sets == expected


def test_the_cells_of_all_parts_say_how_they_are_written() -> None:
    parts = [column([1, 1, 0]), column([0, 1])]
    assert find_format(parts, "tags").multi_hot == 0
    parts = [column([1, 1]), column([0, 1], [1, 0])]
    form = find_format(parts, "tags")
    assert [read_labels(part, "tags", form).sets for part in parts] == [
        [("label_0", "label_1")], [("label_1",), ("label_0",)],
    ]  # fmt: skip
    parts = [column("a;b, c"), column("b, c")]
    assert read_labels(parts[1], "tags", find_format(parts, "tags")).sets == [("b, c",)]
    with pytest.raises(LabelError, match=r"line 1.* a list of 1 values; expected one for each of 2 labels"):
        read_labels(column([1]), "tags", form)


@pytest.mark.parametrize(
    ("cells", "separator", "label_sets"),
    [
        (["a,b;c", "d"], ";", [("a,b", "c"), ("d",)]),
        (["a  b", ""], " ", [("a", "b"), ()]),
        (["[a] [b]"], " ", [("[a]", "[b]")]),
    ],
)
def test_the_separator_can_be_named(cells: list[str], separator: str, label_sets: list[tuple[str, ...]]) -> None:
    assert labels_of(column(*cells), "tags", separator)[0] == label_sets


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([["a"], 3], 'line 2, column "tags": labels are of one type: a list in line 1. Got a number.'),
        (["a", ["b"]], 'line 2, column "tags": labels are of one type: text in line 1. Got a list.'),
        ([["a"], None], 'line 2, column "tags": there is nothing; an example without labels has an empty list.'),
        ([None, ["a"]], 'line 1, column "tags": there is nothing; an example without labels has an empty list.'),
        ([{"a": 1}, ["a"]], 'line 2, column "tags": labels are of one type: an object in line 1. Got a list.'),
        ([{"a": 2}], 'line 1, column "tags": "a" must be 0, 1, a number between, or empty where it is unknown. Got 2.'),
        (
            [[0, 0, 1], [1, "x", 0]],
            'line 2, column "tags": the label "x" is text, but a number in line 1; labels are of one type.',
        ),
        ([True], 'line 1, column "tags": labels are a list, a text, a whole number or an object. Got true or false.'),
        (
            [[], ["a"], ["b", 3]],
            'line 3, column "tags": the label 3 is a number, but text in line 2; labels are of one type.',
        ),
        ([[1], ["b"]], 'line 2, column "tags": the label "b" is text, but a number in line 1; labels are of one type.'),
        ([[None]], 'line 1, column "tags": the label null is null; a label is a name or a whole number.'),
        ([[1.5]], 'line 1, column "tags": the label 1.5 is a number; a label is a name or a whole number.'),
        ([["a", ""]], 'line 1, column "tags": a label is empty text; expected a name.'),
        ([1, 2.5], 'line 2, column "tags": the label 2.5 is not a whole number.'),
        ([1, float("nan")], 'line 2, column "tags": the label nan is not a whole number.'),
        ([[None], ["a"]], 'line 1, column "tags": the label null is null; a label is a name or a whole number.'),
        ([["a", None]], 'line 1, column "tags": the label null is null, but text in line 1; labels are of one type.'),
        (['["a"]', "[a"], f'line 2, column "tags": expected a list of labels. Got [a {NAMED}'),
        (['["a"]', "[a, b]"], f'line 2, column "tags": expected a list of labels. Got [a, b] {NAMED}'),
        (["a;b", '["a", "b'], f'line 2, column "tags": expected a list of labels. Got ["a", "b {NAMED}'),
        (["['a', 'b' 'c']"], f"line 1, column \"tags\": expected a list of labels. Got ['a', 'b' 'c'] {NAMED}"),
        (["['a' ... 'c']"], f"line 1, column \"tags\": expected a list of labels. Got ['a' ... 'c'] {NAMED}"),
        (['{"a": 1}', "b"], 'line 2, column "tags": the labels of other rows are objects. Got b'),
        (['[["a"]]'], 'line 1, column "tags": the label ["a"] is a list; a label is a name or a whole number.'),
        (["[0, 0, 1]", "[1, 0]"], None),
        (
            [[0.5, 1], [True, "x"]],
            'line 1, column "tags": the label 0.5 is a number; a label is a name or a whole number.',
        ),
    ],
)
def test_mixed_or_invalid_cells_are_refused(cells: list[object], message: str | None) -> None:
    if message is None:
        assert labels_of(column(*cells), "tags")[0] == [("0", "1"), ("1", "0")]
        return
    with pytest.raises(LabelError) as refusal:
        labels_of(column(*cells), "tags")
    assert str(refusal.value) == f"reviews.jsonl, {message}"


@pytest.mark.parametrize(("cell", "shown"), [("2", "'2'"), ("x", "'x'"), (-2, "-2"), ([1], "[1]")])
def test_a_column_of_values_holds_nothing_else(cell: object, shown: str) -> None:
    with pytest.raises(DataError) as refusal:
        labels_of(column("1", cell), ("tags",))
    assert str(refusal.value) == (
        'reviews.jsonl, line 2, column "tags": "tags" must be 0, 1, a number between, or empty where it is unknown. '
        f"Got {shown}."
    )


def test_columns_may_be_soft_or_unknown() -> None:
    columns: dict[str, list[object]] = {"a": ["1", "", "0.25"], "b": ["0.75", "-1", "0"]}
    read = labels_of(DataTable(origin="a.csv", columns=columns, lines=[2, 3, 4]), ("a", "b"))
    assert read.sets == [("a", "b"), (), ()]
    assert repr(read.values) == "[{'b': 0.75}, {'a': nan, 'b': nan}, {'a': 0.25}]"
    assert read.sentence == 'labels are the 2 columns of 0 and 1 "a", "b"; 2 values are soft, 2 unknown'


def test_an_object_gives_labels_their_values() -> None:
    read = labels_of(column({"sports": 1, "health": 0.9}, {"sports": None}, {}), "tags")
    assert read.sets == [("sports", "health"), (), ()]
    assert repr(read.values) == "[{'health': 0.9}, {'sports': nan}, {}]"


@pytest.mark.parametrize(
    ("cells", "sets"),
    [
        ([[1, 0, 1], [0, 0, 0]], [("label_0", "label_2"), ()]),
        ([[1.0, 0.0], [0.0, 1.0]], [("label_0",), ("label_1",)]),
        ([[0, 1], [1, 0]], [("0", "1"), ("1", "0")]),  # each at most once: they may be numbers of labels
        ([[3, 3, 1], [0, 0, 0]], [("3", "1"), ("0",)]),
    ],
)
def test_lists_of_values_differ_from_lists_of_numbers(cells: list[object], sets: list[tuple[str, ...]]) -> None:
    assert labels_of(column(*cells), "tags").sets == sets


@settings(deadline=None)
@given(st.lists(st.lists(st.text("ab", min_size=1, max_size=2)), min_size=1), st.integers(1, 4))
def test_a_column_in_arrow_is_read_as_its_lists_are(cells: list[list[str]], size: int) -> None:
    chunks = [cells[start : start + size] for start in range(0, len(cells), size)]
    in_arrow = ArrowColumn(pa.chunked_array(chunks, pa.list_(pa.string())))
    rows = DataTable(origin="a.parquet", columns={"tags": in_arrow}, lines=range(1, len(cells) + 1))
    assert labels_of(rows, "tags") == labels_of(column(*cells), "tags")
    assert labels_of(rows, "tags").sets == [tuple(dict.fromkeys(cell)) for cell in cells]
    texts = [";".join(cell) for cell in cells]
    in_arrow = ArrowColumn(pa.chunked_array([texts]))
    rows = DataTable(origin="a.parquet", columns={"tags": in_arrow}, lines=range(1, len(cells) + 1))
    assert labels_of(rows, "tags") == labels_of(column(*texts), "tags")


def test_an_empty_label_in_arrow_is_refused_with_its_row() -> None:
    cells = ArrowColumn(pa.chunked_array([[["a"], [], ["b", "a"]], [["a", ""], [""]]]))
    with pytest.raises(LabelError) as refusal:
        labels_of(DataTable(origin="a.parquet", columns={"tags": cells}, lines=range(1, 6), counted="row"), "tags")
    assert str(refusal.value) == 'a.parquet, row 4, column "tags": a label is empty text; expected a name.'


def test_paths_add_the_labels_above_them() -> None:
    read = labels_of(column("food > drinks > tea; toys", "food >  fruit", ""), "tags")
    assert read.sets == [("food", "food > drinks", "food > drinks > tea", "toys"), ("food", "food > fruit"), ()]
    assert read.parents == {
        "food > drinks": ("food",), "food > drinks > tea": ("food > drinks",), "food > fruit": ("food",),
    }  # fmt: skip
    assert labels_of(column(["a > b"], []), "tags").sets == [("a", "a > b"), ()]
