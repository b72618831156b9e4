"""A distribution is recognized by a file that only it has, and read with its own splits."""

from pathlib import Path

import pytest

from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.official import read_official
from labelcontrast.data.readers import read
from labelcontrast.data.splits import load_splits
from labelcontrast.errors import DataError


def test_a_folder_of_a_users_own_files_is_not_official(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "a", "labels": ["x"]}\n')
    (tmp_path / "hierarchy.txt").touch()
    assert read_official(tmp_path, ColumnNames()) is None


def test_no_shared_set_is_taken_for_an_official_one(shared: Path) -> None:
    for folder in sorted(path for path in (shared / "data").iterdir() if path.is_dir()):
        assert read_official(folder, ColumnNames()) is None


def test_the_splits_of_a_distribution_are_kept_and_the_missing_one_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "emotions.txt").write_text("joy\nfear\n")
    (tmp_path / "train.tsv").write_text("".join(f"text {row}\t{row % 2}\t{row}\n" for row in range(40)))
    (tmp_path / "test.tsv").write_text("one\t1\ty\n")
    splits = load_splits(tmp_path, seed=0)
    assert splits.how.startswith("train and test of the distribution; val is")
    assert (len(splits.train) + len(splits.val), len(splits.test)) == (40, 1)
    assert splits.vocabulary.names == ("joy", "fear")
    with pytest.raises(DataError) as refusal:
        read(tmp_path)
    assert str(refusal.value) == (f'{tmp_path}: it has the splits "train", "test"; expected the file or folder of one.')


def test_a_single_split_is_read_as_examples(tmp_path: Path) -> None:
    (tmp_path / "talk.politics.mideast").mkdir()
    (tmp_path / "talk.politics.mideast" / "1").write_text("hello")
    assert read(tmp_path).inputs == ["hello"]
