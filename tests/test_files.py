"""Atomic writes, JSON, and folders of results."""

import json
from pathlib import Path

import pytest

from labelcontrast.errors import RunError
from labelcontrast.files import cache_folder, draft, is_claimed, read_json, whole_file, write_json, write_text


def test_an_interrupted_write_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "older")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:
        file.write(b"newer, but")
        raise KeyboardInterrupt
    assert path.read_text() == "older"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


def test_a_draft_accepts_a_file_written_by_another_library(tmp_path: Path) -> None:
    """A library that writes to a path may replace the draft by its own file."""
    path = tmp_path / "new" / "a.txt"
    with draft(str(path)) as temporary:
        (path.parent / "other").write_text("complete")
        (path.parent / "other").replace(temporary)
        assert not path.exists()
    assert path.read_text() == "complete"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]
    with (
        pytest.raises(RunError, match=r"b\.txt could not be written: No such file or directory\."),
        draft(tmp_path / "b.txt"),
    ):
        pass


def test_a_refused_write_is_a_run_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(RunError, match=r"a\.txt could not be written: Is a directory\.$"):
        write_text(tmp_path / "a.txt", "text")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_a_run_error(tmp_path: Path) -> None:
    with (
        pytest.raises(RunError, match="No space left on device"),
        whole_file(tmp_path / "a.txt"),
        Path("/dev/full").open("wb", 0) as full,
    ):
        full.write(b"x")
    assert list(tmp_path.iterdir()) == []


def test_nan_and_infinity_become_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"map": float("nan"), "rows": [1.5, float("inf")]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"map": None, "rows": [1.5, None]}
    assert read_json(str(tmp_path / "a.json")) == {"map": None, "rows": [1.5, None]}


@pytest.mark.parametrize(
    ("there", "line"),
    [
        ("file", "out is a file; expected a new or empty folder."),
        ("thesis", "out is not empty and is not a study; choose another folder."),
        ("study", "out holds a study; continue with --resume, replace it with --force, or choose another folder."),
    ],
)
def test_a_folder_in_use_is_refused_and_kept(tmp_path: Path, there: str, line: str) -> None:
    folder = tmp_path / "out"
    held = folder if there == "file" else folder / {"thesis": "thesis.tex", "study": "study.json"}[there]
    write_text(held, "years of work")
    with pytest.raises(RunError) as refusal:
        is_claimed(folder, "study.json", "study", resume=False, force=False)
    assert str(refusal.value) == f"{tmp_path}/{line}"
    if there == "study":
        assert is_claimed(folder, "study.json", "study", resume=True, force=False)
    else:
        with pytest.raises(RunError):
            is_claimed(folder, "study.json", "study", resume=False, force=True)
    assert held.read_text() == "years of work"


def test_a_path_that_is_taken_for_a_chain_of_addresses_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError) as refusal:
        is_claimed(tmp_path / "a::b", "study.json", "study", resume=False, force=False)
    expected = f'{tmp_path}/a::b has "::" in its path, where no checkpoint can be written; choose another folder.'
    assert str(refusal.value) == expected


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    assert not is_claimed(tmp_path, "study.json", "study", resume=False, force=False)


@pytest.mark.parametrize(("own", "system", "folder"), [("a", "b", "a"), ("", "b", "b/labelcontrast")])
def test_the_cache_folder_is_set_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, own: str, system: str, folder: str
) -> None:
    monkeypatch.setenv("LABELCONTRAST_CACHE", own)
    monkeypatch.setenv("XDG_CACHE_HOME", system)
    assert cache_folder() == Path(folder)
