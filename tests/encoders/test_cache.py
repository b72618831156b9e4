"""Cached arrays: computed once per key, and again if the file is damaged or cannot be written."""

import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from labelcontrast.encoders.cache import (
    ALIGNMENT,
    DAY,
    cached_arrays,
    cached_files,
    content_key,
    prune_cache,
    saved_arrays,
)
from labelcontrast.errors import RunError

ARRAYS = {"rows": np.arange(6, dtype=np.int32).reshape(2, 3), "empty": np.empty((0, 3))}


def ask(path: Path, key: str = "a", *, must_save: bool = False, arrays: dict[str, np.ndarray] = ARRAYS) -> bool:
    """Whether the arrays had to be computed."""
    computed = []

    def compute() -> dict[str, np.ndarray]:
        computed.append(key)
        return arrays

    found = cached_arrays(path, dict.fromkeys(arrays, key), compute, must_save=must_save)
    for name, array in found.items():
        np.testing.assert_array_equal(array, arrays[name], strict=True)
    assert set(found) == set(arrays)
    return bool(computed)


def test_arrays_are_computed_once_per_key(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.safetensors"
    assert ask(path)
    assert not ask(path)
    assert not ask(str(path))
    assert ask(path, "b")
    assert ask(path, "a")
    assert [file.name for file in path.parent.iterdir()] == ["a.safetensors"]


def test_keys_of_different_contents_differ(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(b"content")
    different: list[Any] = [
        ["ab", "c"],
        ["a", "bc"],
        ["a", "bc", ""],
        [],
        ["\ud800"],
        [tmp_path / "picture"],
        [b"other content"],
        np.zeros((1, 4), np.float32),
        np.zeros((1, 4), np.int32),
        np.zeros((1, 2, 2), np.float32),
    ]
    keys = [content_key([b"a"], inputs) for inputs in different]
    assert len(set(keys)) == len(different)
    assert [content_key([b"a"], inputs) for inputs in different] == keys
    assert content_key([b"a"], np.array(["ab", "c"])) == keys[0]
    assert content_key([b"b"], different[0]) != keys[0]
    (tmp_path / "picture").write_bytes(b"another")
    assert content_key([b"a"], [tmp_path / "picture"]) not in keys


@pytest.mark.parametrize("left", [0, 4, 60, -1])
def test_a_damaged_file_is_replaced(tmp_path: Path, left: int) -> None:
    path = tmp_path / "a.safetensors"
    ask(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    assert ask(path)
    assert path.read_bytes() == whole
    assert not ask(path)


def test_a_flipped_bit_changes_no_array(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    ask(path)
    written, computed = path.read_bytes(), 0
    for place in range(len(written)):
        damaged = bytearray(written)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with suppress(RunError):
            for name, array in saved_arrays(path).items():
                np.testing.assert_array_equal(array, ARRAYS[name], strict=True)
        computed += ask(path)  # compares what is read
    assert computed > ARRAYS["rows"].nbytes


def test_a_file_of_another_kind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for metadata in (b'{"__metadata__":{"keys":"["}}', b'{"__metadata__":{"key":"{}"}}', b"{}"):
        path.write_bytes(len(metadata).to_bytes(8, "little") + metadata)
        assert ask(path)
        assert not ask(path)


def test_an_unwritable_folder_is_tolerated_unless_the_cache_is_required(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "away")
    assert ask(tmp_path / "link" / "a")
    assert ask(tmp_path / "link" / "a")
    with pytest.raises(RunError, match=r"link/a could not be written"):
        ask(tmp_path / "link" / "a", must_save=True)


@pytest.mark.parametrize("names", [["a"], ["a", "of many letters"], [str(number) for number in range(9)]])
def test_arrays_are_memory_mapped_from_an_aligned_readable_file(tmp_path: Path, names: list[str]) -> None:
    path, plain = tmp_path / "a.safetensors", tmp_path / "plain"
    plain.touch()
    arrays = {name: np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32) for name in names}
    ask(path, arrays=arrays)
    found = cached_arrays(path, dict.fromkeys(names, "a"), dict)
    mapped = Path("/proc/self/maps").read_text()
    assert str(path) in mapped
    for name, array in found.items():
        assert array.ctypes.data % ALIGNMENT == 0
        array[:] = 0
        np.testing.assert_array_equal(load_file(path)[name], arrays[name])
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_cache_is_pruned_by_last_use_and_by_size(tmp_path: Path) -> None:
    arrays = {"rows": np.zeros((1000, 3))}
    paths = [tmp_path / "features" / "a", tmp_path / "tokens" / "b", tmp_path / "features" / "c.chunks" / "0"]
    other = tmp_path / "tables" / "mine"
    for age, path in enumerate([*paths, other], start=1):
        assert ask(path, arrays=arrays)
        os.utime(path, (time.time() - age * DAY,) * 2)
    assert [(file.path, file.kind, round(file.unused)) for file in cached_files(tmp_path)] == [
        (paths[0], "features", 1),
        (paths[1], "tokens", 2),
        (paths[2], "features", 3),
    ]
    assert not ask(paths[2], arrays=arrays)  # what is read is in use
    assert [file.path for file in prune_cache(tmp_path, days=1.5)] == [paths[1]]
    assert prune_cache(tmp_path, days=1.5) == []
    size = sum(file.size for file in cached_files(tmp_path))
    assert prune_cache(tmp_path, size=size) == []
    assert [file.path for file in prune_cache(tmp_path, size=size - 1)] == [paths[0]]
    draft = tmp_path / "features" / ".d.1.tmp"
    draft.touch()
    assert [file.path for file in prune_cache(tmp_path, days=0.0)] == [paths[2]]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == [draft, other]
    assert not paths[2].parent.exists()
