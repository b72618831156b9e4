"""SemEval-2018 E-c, GoEmotions and 20 Newsgroups in their official files."""

from pathlib import Path

import pytest

from labelcontrast.data.readers.official.posts import read_goemotions, read_newsgroups, read_semeval
from labelcontrast.data.readers.rows import ColumnNames
from labelcontrast.errors import DataError

HEAD = "ID\tTweet\tanger\tjoy\n"


def write_semeval(
    folder: Path, train: str = HEAD + '2017-En-21441\t“Worry is…" @x\t0\t1\n2017-En-1\tno\t0\t0\n'
) -> Path:
    (folder / "2018-E-c-En-train.txt").write_text(train)
    (folder / "2018-E-c-En-dev.txt").write_text(HEAD + "2018-En-1\tgrr\t1\t1\n")
    (folder / "2018-E-c-En-test.txt").write_text(HEAD + "2018-En-2\thm\tNONE\tNONE\n")
    (folder / "2018-E-c-En-test-gold.txt").write_text(HEAD + "2018-En-2\thm\t1\t0\n")
    return folder


def test_semeval_reads_gold_labels_and_keeps_quotes(tmp_path: Path) -> None:
    parts = read_semeval(write_semeval(tmp_path), ColumnNames())
    assert parts["train"].inputs == ['“Worry is…" @x', "no"]
    assert parts["train"].label_sets == [("joy",), ()]
    assert parts["test"].label_sets == [("anger",)]
    assert list(parts) == ["train", "val", "test"]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (HEAD + "1\tx\t0\n", ", line 2: 3 cells, but 4 columns."),
        (HEAD + "1\tx\t0\tNONE\n", ", line 2: column \"joy\" must be 0 or 1. Got 'NONE'."),
        ("1\tx\t0\t1\n", ', line 1: expected the header "ID", "Tweet" and the emotions, between tabs. Got 1, x, 0.'),
    ],
)  # fmt: skip
def test_an_odd_tweet_is_refused(train: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refusal:
        read_semeval(write_semeval(tmp_path, train), ColumnNames())
    assert str(refusal.value) == f"{tmp_path / '2018-E-c-En-train.txt'}{message}"


def write_goemotions(folder: Path, train: str = "Damn youtube\t0\teczazk6\nGood\t2,1\ted00q6i\n") -> Path:
    (folder / "emotions.txt").write_text("admiration\namusement\nneutral\n")
    (folder / "train.tsv").write_text(train)
    (folder / "dev.tsv").write_text("\"It's\t2\tx\n")
    (folder / "test.tsv").write_text("one\t1\ty\n")
    return folder


def test_goemotions_names_its_numbers(tmp_path: Path) -> None:
    parts = read_goemotions(write_goemotions(tmp_path), ColumnNames())
    assert parts["train"].label_sets == [("admiration",), ("neutral", "amusement")]
    assert parts["train"].ids == ["eczazk6", "ed00q6i"]
    assert parts["val"].inputs == ["\"It's"]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("a\t0\n", ", line 1: expected a comment, numbers of emotions and a name, between tabs. Got 2 cells."),
        (
            "a\t0\tx\na\t0,3\tx\n",
            ", line 2: column 2 must have numbers from 0 to 2, separated by commas. Got '0,3'.",
        ),
        ("a\t-1\tx\n", ", line 1: column 2 must have numbers from 0 to 2, separated by commas. Got '-1'."),
    ],
)
def test_an_odd_comment_is_refused(train: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refusal:
        read_goemotions(write_goemotions(tmp_path, train), ColumnNames())
    assert str(refusal.value) == f"{tmp_path / 'train.tsv'}{message}"


def write_newsgroups(folder: Path) -> Path:
    for group, name in (("sci.space", "60001"), ("talk.politics.mideast", "75001")):
        (folder / group).mkdir(parents=True)
        (folder / group / name).write_bytes(b"Subject: caf\xe9\n\nhello\n")
    return folder


def test_newsgroups_are_folders_split_by_date(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_newsgroups(tmp_path / f"20news-bydate-{part}")
    parts = read_newsgroups(tmp_path, ColumnNames())
    assert list(parts) == ["train", "test"]
    assert parts["test"].inputs == ["Subject: café\n\nhello\n"] * 2
    assert parts["test"].ids == ["sci.space/60001", "talk.politics.mideast/75001"]
    assert parts["test"].label_sets == [("sci.space",), ("talk.politics.mideast",)]
    assert parts["test"].parents == {"sci.space": ("sci",), "talk.politics.mideast": ("talk",)}


def test_newsgroups_without_a_split_are_one_part(tmp_path: Path) -> None:
    write_newsgroups(tmp_path / "20_newsgroups")
    assert {part: len(examples) for part, examples in read_newsgroups(tmp_path, ColumnNames()).items()} == {"train": 2}
