"""Examples: a selection keeps every field in step, and every example knows its place."""

from dataclasses import replace

import numpy as np
import pytest

from labelcontrast.data.examples import Examples, Inputs


def made(inputs: Inputs, *, label_sets: list[tuple[str, ...]] | None) -> Examples:
    return Examples(
        inputs=inputs,
        label_sets=label_sets,
        kind="vector" if isinstance(inputs, np.ndarray) else "text",
        ids=["a", "b", "c"],
        lines=range(2, 5),
        origin="reviews.csv",
        understood="",
        parts=["train", "val", "train"],
    )


@pytest.mark.parametrize("indices", [[2, 0], np.array([2, 0])])
def test_a_selection_keeps_every_field_in_step(indices: list[int]) -> None:
    chosen = made(["one", "two", "three"], label_sets=[("x",), (), ("y", "z")]).select(indices)
    assert len(chosen) == 2
    assert (chosen.inputs, chosen.label_sets, chosen.ids) == (["three", "one"], [("y", "z"), ("x",)], ["c", "a"])
    assert (chosen.lines, chosen.parts, chosen.where(0)) == ([4, 2], ["train", "train"], "reviews.csv, line 4")


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
