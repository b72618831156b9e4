"""Sets of the MULAN, MEKA and XMC repositories: ARFF files, bags of words and texts."""

from pathlib import Path

import numpy as np
import pytest

from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.official.repositories import read_mulan, read_xmc
from labelcontrast.errors import DataError

BAG = "3 4 3\n0,2 0:0.5 3:2\n1 1:1\n 2:0.25\n"


def write_bag(folder: Path, train: str = BAG) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "eurlex_train.txt").write_text(train)
    (folder / "eurlex_test.txt").write_text("1 4 3\n2 0:1\n")
    return folder


def test_a_bag_of_words_is_vectors(tmp_path: Path) -> None:
    splits = read_xmc(write_bag(tmp_path / "Eurlex"), ColumnNames())
    assert np.array_equal(splits["train"].inputs, [[0.5, 0, 0, 2], [0, 1, 0, 0], [0, 0, 0.25, 0]])  # type: ignore[arg-type]
    assert splits["train"].label_sets == [("0", "2"), ("1",), ()]
    assert splits["test"].label_sets == [("2",)]
    assert splits["train"].label_names == ("0", "1", "2")
    assert splits["train"].dataset == "eurlex4k"
    (tmp_path / "Eurlex" / "label_map.txt").write_text("law\nfish\nmilk\n")
    assert read_xmc(tmp_path / "Eurlex", ColumnNames())["train"].label_sets == [("law", "milk"), ("fish",), ()]


def test_texts_are_preferred_to_bags(tmp_path: Path) -> None:
    folder = write_bag(tmp_path / "Wiki10-31K")
    for part in ("train", "test"):
        (folder / f"{part}_raw_texts.txt").write_text(f"a {part} text\nmore\n")
        (folder / f"{part}_labels.txt").write_text("wiki art\nart\n")
    splits = read_xmc(folder, ColumnNames())
    assert splits["test"].inputs == ["a test text", "more"]
    assert splits["test"].label_sets == [("wiki", "art"), ("art",)]


def test_a_plain_text_file_is_not_read_as_bags_of_words(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a text\n")
    assert read_xmc(tmp_path, ColumnNames()) is None


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("1 4 3\n3 0:1\n", ", line 2: label 3 is not 0 to 2, as the number of labels in the first line says."),
        ("1 4 3\n0 4:1\n", ", line 2: feature 4 is not 0 to 3, as the number of features in the first line says."),
        ("1 4 3\n-1 0:1\n", ", line 2: label -1 is not 0 to 2, as the number of labels in the first line says."),
        ("1 4 3\n0 0:nan\n", ", line 2: expected labels and features, as \"3,17 5:0.2 90:1\". Got '0 0:nan'."),
        (
            "1 4 3\n0 99999999999999999999:1\n",
            ", line 2: expected labels and features, as \"3,17 5:0.2 90:1\". Got '0 99999999999999999999:1'.",
        ),
        ("1 4 3\n0 a:1\n", ", line 2: expected labels and features, as \"3,17 5:0.2 90:1\". Got '0 a:1'."),
        ("2 4 10000001\n0 1:1\n", ", line 1: the first line says 10,000,001 labels; at most 10,000,000 are read."),
        ("2 4 3\n0 1:1\n", ": there are 1 points; the first line says 2."),
        (
            "14146 101938 30938\n",
            ": 14,146 x 101,938 features take 5.4 GiB as an array; put the texts beside them instead.",
        ),
    ],
)
def test_an_invalid_bag_is_refused(train: str, message: str, tmp_path: Path) -> None:
    write_bag(tmp_path, train)
    with pytest.raises(DataError) as refusal:
        read_xmc(tmp_path, ColumnNames())
    assert str(refusal.value) == f"{tmp_path / 'eurlex_train.txt'}{message}"


def test_a_test_bag_without_a_header_is_refused(tmp_path: Path) -> None:
    (write_bag(tmp_path) / "eurlex_test.txt").write_text("0 1:1\n")
    with pytest.raises(DataError, match="line 1: expected three numbers in the first line"):
        read_xmc(tmp_path, ColumnNames())


def test_two_arff_files_are_two_splits(tmp_path: Path) -> None:
    head = "@relation 'music: -C 1'\n@attribute calm {0,1}\n@attribute tempo numeric\n@data\n"
    (tmp_path / "music-train.arff").write_text(f"{head}1,0.5\n0,2\n")
    assert read_mulan(tmp_path, ColumnNames()) is None
    (tmp_path / "music-test.arff").write_text(f"{head}{{1 2}}\n{{0 1}}\n")
    splits = read_mulan(tmp_path, ColumnNames())
    assert {split: examples.label_sets for split, examples in splits.items()} == {
        "train": [("calm",), ()],
        "test": [(), ("calm",)],
    }
