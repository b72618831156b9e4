"""Arrays are made once for all that they depend on, and anew where a file is damaged or cannot be written."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelcontrast.encoders.cache import kept_arrays


def ask(folder: Path, inputs: Any, *, made_by: bytes = b"a") -> bool:
    """Whether the arrays had to be made."""
    asked = []

    def make() -> dict[str, np.ndarray]:
        asked.append(inputs)
        return {"rows": np.arange(6, dtype=np.int32).reshape(2, 3), "empty": np.empty(0)}

    for name, array in kept_arrays(folder, [made_by], inputs, make).items():
        expected = {"rows": np.arange(6, dtype=np.int32).reshape(2, 3), "empty": np.empty(0)}[name]
        np.testing.assert_array_equal(array, expected, strict=True)
    return bool(asked)


def test_they_are_made_once(tmp_path: Path) -> None:
    assert ask(tmp_path / "deep", ["one", "two"])
    assert not ask(tmp_path / "deep", np.array(["one", "two"]))
    assert len(list((tmp_path / "deep").iterdir())) == 1


def test_they_are_made_for_each_thing_they_depend_on(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(b"content")
    different: list[Any] = [
        ["ab", "c"],
        ["a", "bc"],  # what stands in one text or in two is not the same
        ["a", "bc", ""],
        [],
        ["\ud800"],
        [tmp_path / "picture"],
        np.zeros((1, 4), np.float32),
        np.zeros((1, 4), np.int32),
        np.zeros((1, 2, 2), np.float32),
    ]
    assert all(ask(tmp_path / "kept", inputs) for inputs in different)
    assert not any(ask(tmp_path / "kept", inputs) for inputs in different)
    assert ask(tmp_path / "kept", different[0], made_by=b"b")
    (tmp_path / "picture").write_bytes(b"another")
    assert ask(tmp_path / "kept", [tmp_path / "picture"])


@pytest.mark.parametrize("left", [0, 4, 60, -1])
def test_a_damaged_file_is_made_anew(tmp_path: Path, left: int) -> None:
    ask(tmp_path, ["one"])
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    assert ask(tmp_path, ["one"])
    assert path.read_bytes() == whole
    assert not ask(tmp_path, ["one"])


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "away")
    assert ask(tmp_path / "link", ["one"])
    assert ask(tmp_path / "link", ["one"])
