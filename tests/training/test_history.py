"""The history: to the bit, there and back."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from labelcontrast.training.history import Epoch, read_history, write_history

number = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.lists(
        st.builds(Epoch, epoch=st.integers(1, 999), loss=number, score=number, learning_rate=number, seconds=number)
    )
)
def test_there_and_back(tmp_path_factory, history: list[Epoch]) -> None:
    path: Path = tmp_path_factory.mktemp("run") / "history.csv"
    write_history(path, history)
    assert read_history(path) == history
