"""Parameters accept what they say, and say what they expect."""

import pytest

from labelcontrast.errors import ConfigError
from labelcontrast.losses.axes import Parameter, check_values, choice, flag, number, optional_number, whole_number

RATE = number("rate", 1.0, "how fast", low=0.0, above=True)
ALPHA = number("alpha", 0.0, "a power")
SHARE = optional_number("share", "how much", high=1.0)
SIZE = whole_number("size", None, "how many", low=1)
LENGTH = whole_number("length", 0, "how long", low=0)
WORD = choice("word", "a", "which", among=("a", "b"))
FLAG = flag("flag", "whether", default=True)


@pytest.mark.parametrize(
    ("parameter", "value", "read"),
    [
        (RATE, 2, 2.0),
        (ALPHA, -1, -1.0),
        (SHARE, None, None),
        (SHARE, 1, 1.0),
        (SIZE, None, None),
        (SIZE, 3, 3),
        (LENGTH, 0, 0),
        (WORD, "b", "b"),
        (FLAG, False, False),
    ],
)
def test_accepted(parameter: Parameter, value: object, read: object) -> None:
    assert parameter.read(value) == read
    assert type(parameter.read(value)) is type(read)


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        (RATE, 0, "rate must be a number above 0. Got 0."),
        (RATE, True, "rate must be a number above 0. Got True."),
        (RATE, float("inf"), "rate must be a number above 0. Got inf."),
        (ALPHA, "1", "alpha must be a finite number. Got '1'."),
        (ALPHA, float("nan"), "alpha must be a finite number. Got nan."),
        (SHARE, 1.5, "share must be a number above 0 and up to 1, or None. Got 1.5."),
        (SIZE, 0, "size must be a whole number from 1, or None. Got 0."),
        (LENGTH, 1.0, "length must be a whole number from 0. Got 1.0."),
        (LENGTH, None, "length must be a whole number from 0. Got None."),
        (WORD, "c", "word must be one of a, b. Got 'c'."),
        (FLAG, 1, "flag must be True or False. Got 1."),
    ],
)
def test_refused(parameter: Parameter, value: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parameter.read(value)
    assert str(caught.value) == message


def test_values_are_completed_with_defaults() -> None:
    assert check_values("it", (RATE, WORD), {"word": "b"}) == {"rate": 1.0, "word": "b"}
    with pytest.raises(ConfigError) as caught:
        check_values("it", (RATE, WORD), {"wrod": "b"})
    assert str(caught.value) == "it has no parameter 'wrod' (did you mean \"word\"?). It has: rate, word."
