"""Atomic writes, JSON, and folders of results."""

import json
import os
from pathlib import Path

import pytest

from labelcontrast.errors import RunError
from labelcontrast.files import (
    LOCK,
    Layout,
    cache_folder,
    draft,
    held,
    is_claimed,
    parse_json,
    read_json,
    whole_file,
    write_json,
    write_text,
)

STUDY = Layout(kind="study", marker="study.json", keys={"study"}, entries=("study.json", "trials"))


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
        ("thesis.tex", "out is not empty and is not a study; choose another folder."),
        ("study.json", "out is not empty and is not a study; choose another folder."),
        ("study", "out holds a study; continue with --resume, replace it with --force, or choose another folder."),
    ],
)
def test_a_folder_in_use_is_refused_and_kept(tmp_path: Path, there: str, line: str) -> None:
    folder = tmp_path / "out"
    path = folder if there == "file" else folder / ("study.json" if there == "study" else there)
    write_text(path, '{"study": {}}' if there == "study" else '{"somebody": "else\'s"}')
    with pytest.raises(RunError) as refusal:
        is_claimed(folder, STUDY, resume=False, force=False)
    assert str(refusal.value) == f"{tmp_path}/{line}"
    if there == "study":
        assert is_claimed(folder, STUDY, resume=True, force=False)
    else:
        for switches in ({"resume": False, "force": True}, {"resume": True, "force": False}):
            with pytest.raises(RunError, match=r"expected a new or empty folder|is not a study"):
                is_claimed(folder, STUDY, **switches)
    assert path.exists()


def test_a_path_that_is_taken_for_a_chain_of_addresses_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError) as refusal:
        is_claimed(tmp_path / "a::b", STUDY, resume=False, force=False)
    expected = f'{tmp_path}/a::b has "::" in its path, where no checkpoint can be written; choose another folder.'
    assert str(refusal.value) == expected


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    assert not is_claimed(tmp_path, STUDY, resume=False, force=False)


def test_force_removes_results_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "study.json", '{"study": {}}')
    write_text(tmp_path / "trials" / "a" / "b.json", "{}")
    write_text(tmp_path / "notes.txt", "years of work")
    line = r"also holds notes\.txt, which --force would remove and which is no file of a study; move it away, or"
    with pytest.raises(RunError, match=line), held(tmp_path, STUDY, resume=False, force=True):
        pass
    assert (tmp_path / "trials" / "a" / "b.json").exists()
    (tmp_path / "notes.txt").unlink()
    with held(tmp_path, STUDY, resume=False, force=True) as hold:
        assert not hold.resumes
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]


@pytest.mark.parametrize(
    "left",
    [
        [".study.json.4711.tmp"],  # killed before the first rename
        [".study.json.4711.tmp", "trials/a.json"],  # killed while --force removed what was there
        [LOCK],
        [LOCK, ".study.json.4711.tmp"],
    ],
)
@pytest.mark.parametrize("switch", [None, "resume", "force"])
def test_what_a_kill_left_does_not_block_a_folder(tmp_path: Path, left: list[str], switch: str | None) -> None:
    for name in left:
        write_text(tmp_path / name, "")
    switches = {"resume": switch == "resume", "force": switch == "force"}
    assert not is_claimed(tmp_path, STUDY, **switches)
    with held(tmp_path, STUDY, **switches) as hold:
        assert not hold.resumes
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
        write_text(tmp_path / "study.json", '{"study": {}}')
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]


def test_temporary_files_beside_other_things_free_nothing(tmp_path: Path) -> None:
    write_text(tmp_path / "thesis.tex", "years of work")
    write_text(tmp_path / ".study.json.4711.tmp", "")
    with pytest.raises(RunError, match="is not empty and is not a study"):
        is_claimed(tmp_path, STUDY, resume=False, force=True)


def test_a_folder_is_held_by_one_command_or_shared_by_those_that_resume(tmp_path: Path) -> None:
    new, again = {"resume": False, "force": False}, {"resume": True, "force": False}
    with held(tmp_path / "out", STUDY, **new, shared=True) as hold:
        with pytest.raises(RunError, match=r"out is in use by another process; wait for its end, or choose another"):
            is_claimed(tmp_path / "out", STUDY, **new)
        write_text(tmp_path / "out" / "study.json", '{"study": {}}')
        hold.share()
        with held(tmp_path / "out", STUDY, **again, shared=True) as other:
            assert other.resumes
        with pytest.raises(RunError, match="is in use"), held(tmp_path / "out", STUDY, resume=False, force=True):
            pass
        with pytest.raises(RunError, match="is in use"), held(tmp_path / "out", STUDY, **again):
            pass
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["study.json"]


def test_a_sealed_file_is_read_as_it_was_written_or_refused(tmp_path: Path) -> None:
    path, value = tmp_path / "a.json", {"score": 0.5, "nothing": float("nan"), "seeds": (1, 2), "name": "\u00e9 \ud83d"}
    write_json(path, value, sealed=True)
    written, read = path.read_bytes(), read_json(path)
    assert read == value | {"nothing": None, "seeds": [1, 2]}
    for place in range(8 * written.index(b'"checksum of')):
        changed = bytearray(written)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            assert read_json(path) == read
        except RunError:
            continue


def test_a_folder_that_was_made_for_nothing_is_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), held(tmp_path / "out", STUDY, resume=False, force=False):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    assert not is_claimed(tmp_path, STUDY, resume=False, force=False)


def test_the_drafts_of_a_killed_process_are_removed_and_those_of_a_living_one_kept(tmp_path: Path) -> None:
    dead, living, other = (tmp_path / name for name in (".a.txt.999999999.tmp", ".a.txt.1.tmp", ".b.txt.999999999.tmp"))
    for path in (dead, living, other):
        path.touch()
    write_text(tmp_path / "a.txt", "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == [living.name, other.name, "a.txt"]


def test_a_name_of_255_bytes_is_written_and_a_longer_one_refused(tmp_path: Path) -> None:
    write_text(tmp_path / ("n" * 255), "text")
    assert (tmp_path / ("n" * 255)).read_text() == "text"
    with pytest.raises(RunError, match=r"could not be written: File name too long\.$"):
        write_text(tmp_path / ("n" * 256), "text")
    with pytest.raises(RunError, match=r"cannot be read: File name too long\.$"):
        is_claimed(tmp_path / ("n" * 256), STUDY, resume=False, force=False)


def test_clean_up_does_not_hide_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(RunError, match=r"file/a\.txt could not be written: File exists\.$"):
        write_text(tmp_path / "file" / "a.txt", "text")


@pytest.mark.parametrize("content", [b"", b"{", b'"\xff"', b"[" * 100_000, b"9" * 5_000])
def test_what_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(RunError, match=r"a\.json is damaged: it is not JSON \(.*\)\.$"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_json_that_is_nested_deep_is_refused_as_what_it_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"^it is nested too deeply$"):
        parse_json(text)


def test_half_a_surrogate_pair_is_written_and_read_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "\ud83d"})
    assert read_json(tmp_path / "a.json") == {"name": "\ud83d"}


@pytest.mark.parametrize(("own", "system", "folder"), [("a", "b", "a"), ("", "b", "b/labelcontrast")])
def test_the_cache_folder_is_set_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, own: str, system: str, folder: str
) -> None:
    monkeypatch.setenv("LABELCONTRAST_CACHE", own)
    monkeypatch.setenv("XDG_CACHE_HOME", system)
    assert cache_folder() == Path(folder)


def test_a_user_without_a_home_has_a_cache_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LABELCONTRAST_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = cache_folder()
    assert folder == tmp_path / f"labelcontrast-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.rmdir()
    folder.symlink_to("/")
    with pytest.raises(RunError, match="belongs to another user; set LABELCONTRAST_CACHE to"):
        cache_folder()
