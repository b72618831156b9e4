"""The history: to the bit, there and back."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from labelcontrast.training.history import Epoch, read_history, write_history

number = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.lists(
        st.builds(Epoch, epoch=st.integers(1, 999), loss=number, score=number, learning_rate=number, seconds=number)
    ),
    st.lists(st.sampled_from(["positives_pushed_away", "similarity_of_positives"]), unique=True),
)
def test_there_and_back(tmp_path_factory, history: list[Epoch], counted: list[str]) -> None:
    history = [replace(epoch, diagnostics=dict.fromkeys(counted, epoch.score)) for epoch in history]
    path: Path = tmp_path_factory.mktemp("run") / "history.csv"
    write_history(path, history)
    assert read_history(path) == history
