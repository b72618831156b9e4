"""Shared by the official readers: files are found by depth, and rows are validated."""

from pathlib import Path

import pytest

from labelcontrast.data.official.source import Row, SplitRows, examples_by_split, find, paired_rows, required, words_of
from labelcontrast.errors import DataError, LabelError


def test_files_at_the_least_depth_are_found_first(tmp_path: Path) -> None:
    for place in ("a/b/x.txt", "a/x.txt"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    assert find(tmp_path, "x.txt") == tmp_path / "a" / "x.txt"
    assert find(tmp_path, "y.txt", "x.txt") == tmp_path / "a" / "x.txt"
    assert find(tmp_path, "y.txt") is None
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "x.txt").touch()
    with pytest.raises(DataError) as refusal:
        find(tmp_path, "x.txt")
    assert str(refusal.value) == (
        f'{tmp_path}: there are several data sets: "a/x.txt", "c/x.txt". Name the folder of one.'
    )


def test_a_file_that_is_needed_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refusal:
        required(tmp_path, "x.txt", of="AAPD")
    assert str(refusal.value) == f'{tmp_path}: AAPD needs the file "x.txt"; it is not there.'


def test_two_files_are_read_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one\n\nthree\n")
    (tmp_path / "b").write_text("1\n2\n3")
    rows = paired_rows("train", tmp_path / "a", tmp_path / "b").rows
    assert [(row.line, row.content, row.labels) for row in rows] == [
        (1, "one", ("1",)),
        (2, "", ("2",)),
        (3, "three", ("3",)),
    ]
    assert words_of(tmp_path / "a") == ("one", "three")


def test_an_unknown_label_is_refused_with_its_place() -> None:
    rows = SplitRows(Path("x.txt"), [Row("1", 7, "text", ("a", "c"))])
    with pytest.raises(LabelError) as refusal:
        examples_by_split({"train": rows}, dataset="x", title="X", names=("a", "b"))
    assert str(refusal.value) == 'x.txt, line 7: label "c" is not one of the 2 of X.'
