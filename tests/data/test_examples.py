"""Examples: selecting and pooling keeps all fields aligned, and every example knows its place."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from labelcontrast.data.examples import Examples, Inputs, pool
from labelcontrast.data.table import ArrowColumn
from labelcontrast.labels.vocabulary import LabelVocabulary


def made(inputs: Inputs, *, label_sets: list[tuple[str, ...]] | None) -> Examples:
    return Examples(
        inputs=inputs,
        label_sets=label_sets,
        kind="vector" if isinstance(inputs, np.ndarray) else "text",
        ids=["a", "b", "c"],
        lines=range(2, 5),
        origin="reviews.csv",
        understood="",
        splits=["train", "val", "train"],
    )


@pytest.mark.parametrize("indices", [[2, 0], np.array([2, 0])])
def test_a_selection_keeps_every_field_in_step(indices: list[int]) -> None:
    chosen = made(["one", "two", "three"], label_sets=[("x",), (), ("y", "z")]).select(indices)
    assert len(chosen) == 2
    assert (chosen.inputs, chosen.label_sets, chosen.ids) == (["three", "one"], [("y", "z"), ("x",)], ["c", "a"])
    assert (chosen.lines, chosen.splits, chosen.where(0)) == ([4, 2], ["train", "train"], "reviews.csv, line 4")


def test_a_selection_of_vectors_is_an_array_and_of_no_labels_has_none() -> None:
    chosen = made(np.eye(3, dtype=np.float32), label_sets=None).select([1])
    assert isinstance(chosen.inputs, np.ndarray)
    assert chosen.inputs.tolist() == [[0, 1, 0]]
    assert chosen.label_sets is None


def test_an_empty_selection_is_empty() -> None:
    assert len(made(["one", "two", "three"], label_sets=None).select([])) == 0


def test_labels_that_are_left_out_are_left_out_everywhere_and_no_example_is() -> None:
    examples = replace(
        made(["one", "two", "three"], label_sets=[("x", "y"), ("z",), ()]),
        label_names=("z", "y", "x"),
        values=[{"y": 0.5, "z": 0.1}, {}, {"x": 0.2}],
        annotated=[("x", "z"), ("y",), ()],
        parents={"x": ("y", "z"), "y": ()},
    )
    kept = examples.with_labels({"x", "z"})
    assert kept.label_sets == [("x",), ("z",), ()]
    assert kept.label_names == ("z", "x")
    assert kept.values == [{"z": 0.1}, {}, {"x": 0.2}]
    assert kept.annotated == [("x", "z"), (), ()]
    assert kept.parents == {"x": ("z",)}
    assert (kept.inputs, kept.ids) == (examples.inputs, examples.ids)
    assert made(["one", "two", "three"], label_sets=None).with_labels({"x"}).label_sets is None


def example(number: int, **more: object) -> Examples:
    """Two examples, which differ in every field for each number."""
    named = {"ids": [f"{number}a", f"{number}b"], "lines": [number, number + 1], "origin": f"{number}.csv"}
    sets = [("cat",), ("dog",)]
    inputs = [f"{number} first", f"{number} second"]
    given = {"inputs": inputs, "label_sets": sets, "kind": "text", "understood": "", **named, **more}
    return Examples(**given)


def test_pooling_keeps_values_annotations_and_parents() -> None:
    labels = LabelVocabulary(("cat", "dog"))
    soft = example(1, values=[{"dog": 0.5}, {}], parents={"cat": ("animal",)})
    partly = example(3, annotated=[("cat",), ()], parents={"cat": ("pet",), "dog": ("animal",)})
    whole = pool([soft, partly], labels, "folder")
    assert whole.values == [{"dog": 0.5}, {}, {}, {}]
    assert whole.annotated == [("cat", "dog"), ("cat", "dog"), ("cat",), ()]
    assert whole.parents == {"cat": ("animal", "pet"), "dog": ("animal",)}
    assert (whole.ids, whole.lines, whole.origin) == (["1a", "1b", "3a", "3b"], [1, 2, 3, 4], "folder")
    before = [part.label_sets or [] for part in (soft, partly)]
    known = labels.encode_values(whole.label_sets or [], whole.values, whole.annotated).toarray()
    alone = [
        labels.encode_values(sets, part.values, part.annotated).toarray()
        for sets, part in zip(before, (soft, partly), strict=True)
    ]
    np.testing.assert_array_equal(known, np.concatenate(alone))
    assert pool([example(1), example(3)], labels, "folder").values is None


def test_pooling_keeps_the_type_of_inputs() -> None:
    labels = LabelVocabulary(("cat", "dog"))
    vectors = [np.full((2, 3), number, np.float32) for number in (1, 2)]
    whole = pool([example(1, inputs=vectors[0], kind="vector"), example(3, inputs=vectors[1])], labels, "")
    np.testing.assert_array_equal(whole.inputs, np.concatenate(vectors))
    column = ArrowColumn(pa.chunked_array([["a", "b"], ["c"]]))
    large = ArrowColumn(pa.chunked_array([pa.array(["d", "e"], pa.large_string())]))
    columns = [example(1, inputs=column.select([2, 0])), example(3, inputs=large)]
    joined = pool(columns, labels, "").inputs
    assert isinstance(joined, ArrowColumn)
    assert list(joined) == ["c", "a", "d", "e"]
    assert pool([columns[0], example(3)], labels, "").inputs == ["c", "a", "3 first", "3 second"]


def test_examples_print_their_number_and_source() -> None:
    inputs = ["one", "two", "three"]
    assert repr(made(inputs, label_sets=[("x",), (), ()])) == "Examples(3 of kind text from reviews.csv)"
    assert repr(made(inputs, label_sets=None)) == "Examples(3 of kind text from reviews.csv, no labels)"
