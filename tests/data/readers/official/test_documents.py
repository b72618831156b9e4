"""AAPD and the Blurb Genre Collection in their official files."""

from pathlib import Path

import pytest

from labelcontrast.data.readers.official.documents import find_aapd, read_aapd, read_bgc
from labelcontrast.data.readers.rows import ColumnNames
from labelcontrast.data.splitting.splits import load_splits
from labelcontrast.errors import DataError

BOOK = """<book date="2018-08-18" xml:lang="en">
<title>{title}</title>
<body>{body}</body>
<copyright>(c) Penguin Random House</copyright>
<metadata>
<topics>
{topics}</topics>
<author>A. Writer</author>
<published>Jan 01, 1999 </published>
<page_num> 224 Pages</page_num>
<isbn>978{number}</isbn>
<url>https://www.penguinrandomhouse.com/books/1/</url>
</metadata>
</book>
"""


def test_aapd_pairs_texts_and_subjects_line_by_line(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        (tmp_path / f"text_{part}").write_text(f"the {part} abstract\nanother one\n")
        (tmp_path / f"label_{part}").write_text("cs.it math.it\nstat.ml\n")
    parts = read_aapd(tmp_path, ColumnNames())
    assert list(parts) == ["train", "val", "test"]
    assert parts["val"].inputs == ["the val abstract", "another one"]
    assert parts["val"].label_sets == [("cs.it", "math.it"), ("stat.ml",)]
    assert parts["val"].label_names == ("cs.it", "math.it", "stat.ml")
    assert parts["val"].parents == {"cs.it": ("cs",), "math.it": ("math",), "stat.ml": ("stat",)}
    (tmp_path / "label_val").write_text("cs.it\n")
    with pytest.raises(DataError) as refusal:
        read_aapd(tmp_path, ColumnNames())
    assert str(refusal.value) == f"{tmp_path / 'text_val'}: there are 2 lines, but 1 in label_val."


def test_texts_without_subjects_are_not_aapd(tmp_path: Path) -> None:
    (tmp_path / "text_train").write_text("an abstract\n")
    assert find_aapd(tmp_path) is None


def test_the_csv_form_is_read_as_a_table(tmp_path: Path) -> None:
    """A text, then a column of 0 and 1 a label, as the published code has it."""
    for part in ("train", "val", "test"):
        (tmp_path / f"{part}.csv").write_text('abstract,cs.it,math.it\n"a, b",1,0\nc,1,1\n')
    splits = load_splits(tmp_path, seed=0)
    assert splits.vocabulary.names == ("cs.it", "math.it")
    assert splits.val.inputs == ["a, b", "c"]
    assert splits.val.label_sets == [("cs.it",), ("cs.it", "math.it")]


def write_bgc(folder: Path) -> Path:
    topics = {
        "train": "<d0>Fiction</d0><d1>Women&#39;s Fiction</d1>\n<d0>Children's Books</d0>\n",
        "dev": "<d0>Nonfiction</d0><d1>Religion & Philosophy</d1><d2>Philosophy</d2>\n",
        "test": "<d0>Fiction</d0>\n",
    }
    for part, marks in topics.items():
        books = [BOOK.format(title="A & B", body="War & peace.", topics=marks, number=row) for row in range(2)]
        (folder / f"BlurbGenreCollection_EN_{part}.txt").write_text("".join(books))
    hierarchy = (
        "Fiction\tWomen's Fiction\nNonfiction\tReligion & Philosophy\nReligion & Philosophy\tPhilosophy\nHumor\n"
    )
    (folder / "hierarchy.txt").write_text(hierarchy)
    return folder


def test_bgc_reads_its_books_and_its_four_levels(tmp_path: Path) -> None:
    parts = read_bgc(write_bgc(tmp_path), ColumnNames())
    assert {part: len(examples) for part, examples in parts.items()} == {"train": 2, "val": 2, "test": 2}
    assert parts["train"].label_sets == [("Fiction", "Women's Fiction", "Children's Books")] * 2
    assert parts["val"].label_sets == [("Nonfiction", "Religion & Philosophy", "Philosophy")] * 2
    assert parts["train"].inputs == ["War & peace."] * 2
    assert parts["train"].ids == ["9780", "9781"]
    assert list(parts["train"].lines) == [1, 17]
    assert parts["train"].parents == {
        "Women's Fiction": ("Fiction",),
        "Religion & Philosophy": ("Nonfiction",),
        "Philosophy": ("Religion & Philosophy",),
        "Humor": (),
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOOK.format(title="", body="x", topics="", number=1), ", line 1: the book has no genre in <topics>."),
        ("\n<book>\n<topics><d0>Fiction</d0></topics>\n</book>\n", ", line 2: the book has no <body>."),
        ("<book>\n<body>x</body>\n", ", line 1: the book does not end; expected </book>."),
        ("", ": there is no example of the Blurb Genre Collection in it."),
    ],
)
def test_an_odd_book_is_refused_with_its_line(content: str, message: str, tmp_path: Path) -> None:
    path = write_bgc(tmp_path) / "BlurbGenreCollection_EN_dev.txt"
    path.write_text(content)
    with pytest.raises(DataError) as refusal:
        read_bgc(tmp_path, ColumnNames())
    assert str(refusal.value) == f"{path}{message}"


def test_bgc_without_or_with_an_odd_hierarchy_is_refused(tmp_path: Path) -> None:
    path = write_bgc(tmp_path) / "hierarchy.txt"
    path.write_text("Fiction\t\n")
    with pytest.raises(DataError, match="line 1: expected a genre, a tab and the genre below it"):
        read_bgc(tmp_path, ColumnNames())
    path.unlink()
    with pytest.raises(DataError, match="needs the file"):
        read_bgc(tmp_path, ColumnNames())
