"""Losses written as text, and parameters of any kind: read, or refused in one line by an error of this library."""

import string
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import labelcontrast as lc
from labelcontrast.errors import LabelContrastError
from labelcontrast.settings import parse_losses, parse_study_losses

ROWS = lc.loss_catalogue()
PIECES = [*(row.name for row in ROWS), *(name for row in ROWS for name in row.parameters), "name", "weight", "joint"]
PIECES += [
    *":=+*,.()[]{}'\"\\/ \t\n\x00%-_#",
    "e",
    "1",
    "0",
    "-1",
    "0.5",
    "1e400",
    "nan",
    "inf",
    "true",
    "None",
    "ü",
    "\ud800",
]
PIECES += ["training.epochs=3", "9" * 5000, "[" * 500, "0x1F", "1_000"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, -1, 10**30, 10**400, 10**5000, "any", "exact", "sum", "none", "asl", "study", "1"]),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=3),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
    st.sampled_from([torch.zeros(2), torch.tensor(0.1), object(), float, ()]),
)


@st.composite
def written(draw: st.DrawFn) -> str:
    """Text of pieces that losses are made of; or a loss as it is written, with some bytes changed."""
    if draw(st.booleans()):
        return "".join(draw(st.lists(st.sampled_from(PIECES), max_size=9)))
    text = list(
        draw(st.sampled_from(["reg:alpha=1", "zlpr+0.5*reg:alpha=1", "asl:preset=study,supcon:positives=exact"]))
    )
    for place in draw(st.lists(st.integers(0, len(text) - 1), max_size=4)):
        text[place] = draw(st.one_of(st.sampled_from(string.printable), st.characters()))
    return "".join(text)


def one_line(error: Exception) -> None:
    assert "\n" not in str(error)


def read(text: str) -> None:
    for parse in (parse_losses, lambda given: parse_study_losses([given])):
        try:
            parse(text)
        except LabelContrastError as error:
            one_line(error)


def make(name: Any, parameters: dict[str, Any]) -> None:
    """Make a loss of small sizes, whatever else is given; what is made computes."""
    try:
        loss = lc.make_loss(name, **{"num_labels": 2, "dim": 3, **parameters})
    except LabelContrastError as error:
        one_line(error)
        return
    z, y = torch.eye(3).repeat(2, 1), torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]).repeat(2, 1)
    try:
        value = loss(torch.stack([z, -z], 1) if hasattr(loss, "contrast") else z[:, :2], y)
    except LabelContrastError as error:
        one_line(error)
    else:
        assert value.isfinite().all()


@st.composite
def arguments(draw: st.DrawFn) -> tuple[Any, dict[str, Any]]:
    row = draw(st.sampled_from([row for row in ROWS if not row.needs_hierarchy]))
    names = st.sampled_from([*row.parameters, "num_labels", "dim", "generator", "hierarchy", "temprature"])
    parameters = draw(st.dictionaries(names, VALUES, max_size=3))
    for size in ("num_labels", "dim", "queue_size"):  # memory that a user may ask for
        if isinstance(parameters.get(size), int) and 10**4 < parameters[size] < 10**12:
            parameters.pop(size)
    name = draw(st.one_of(st.just(row.name), VALUES)) if draw(st.integers(0, 9)) == 0 else row.name
    return name, {key: value for key, value in parameters.items() if key != "gather"}


@pytest.mark.usefixtures("unchecked")
@settings(deadline=5000, max_examples=200)
@given(text=written())
def test_written_losses(text: str) -> None:
    read(text)


@pytest.mark.usefixtures("unchecked")
@settings(deadline=5000, max_examples=200)
@given(given_=arguments())
def test_parameters_of_any_kind(given_: tuple[Any, dict[str, Any]]) -> None:
    make(*given_)
