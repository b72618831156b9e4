"""Text sets in their official files: splits, labels, hierarchies, and invalid lines refused with their place."""

import gzip
from pathlib import Path

import pytest

from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.official.texts import (
    read_aapd,
    read_bgc,
    read_goemotions,
    read_newsgroups,
    read_rcv1,
    read_reuters,
    read_semeval,
)
from labelcontrast.data.splits import load_splits
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
    splits = read_aapd(tmp_path, ColumnNames())
    assert list(splits) == ["train", "val", "test"]
    assert splits["val"].inputs == ["the val abstract", "another one"]
    assert splits["val"].label_sets == [("cs.it", "math.it"), ("stat.ml",)]
    assert splits["val"].label_names == ("cs.it", "math.it", "stat.ml")
    assert splits["val"].parents == {"cs.it": ("cs",), "math.it": ("math",), "stat.ml": ("stat",)}
    (tmp_path / "label_val").write_text("cs.it\n")
    with pytest.raises(DataError) as refusal:
        read_aapd(tmp_path, ColumnNames())
    assert str(refusal.value) == f"{tmp_path / 'text_val'}: there are 2 lines, but 1 in label_val."


def test_texts_without_subjects_are_not_aapd(tmp_path: Path) -> None:
    (tmp_path / "text_train").write_text("an abstract\n")
    assert read_aapd(tmp_path, ColumnNames()) is None


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
    splits = read_bgc(write_bgc(tmp_path), ColumnNames())
    assert {split: len(examples) for split, examples in splits.items()} == {"train": 2, "val": 2, "test": 2}
    assert splits["train"].label_sets == [("Fiction", "Women's Fiction", "Children's Books")] * 2
    assert splits["val"].label_sets == [("Nonfiction", "Religion & Philosophy", "Philosophy")] * 2
    assert splits["train"].inputs == ["War & peace."] * 2
    assert splits["train"].ids == ["9780", "9781"]
    assert list(splits["train"].lines) == [1, 17]
    assert splits["train"].parents == {
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
def test_an_invalid_book_is_refused_with_its_line(content: str, message: str, tmp_path: Path) -> None:
    path = write_bgc(tmp_path) / "BlurbGenreCollection_EN_dev.txt"
    path.write_text(content)
    with pytest.raises(DataError) as refusal:
        read_bgc(tmp_path, ColumnNames())
    assert str(refusal.value) == f"{path}{message}"


def test_bgc_needs_a_valid_hierarchy(tmp_path: Path) -> None:
    path = write_bgc(tmp_path) / "hierarchy.txt"
    path.write_text("Fiction\t\n")
    with pytest.raises(DataError, match="line 1: expected a genre, a tab and the genre below it"):
        read_bgc(tmp_path, ColumnNames())
    path.unlink()
    with pytest.raises(DataError, match="needs the file"):
        read_bgc(tmp_path, ColumnNames())


TOKENS = """.I 2286
.W
recov recov excit
bring venezuel

.I 2287
.W
uruguay

"""


QRELS = "E11 2286 1\nECAT 2286 1\nM11 2287 1\nMCAT 2287 1\nC11 26151 1\nCCAT 26151 1\n"


HIERARCHY = """parent: None    child: Root    child-description: Root
parent: Root    child: CCAT    child-description: CORPORATE/INDUSTRIAL
parent: CCAT    child: C11    child-description: STRATEGY/PLANS
parent: Root    child: ECAT    child-description: ECONOMICS
parent: ECAT    child: E11    child-description: ECONOMIC PERFORMANCE
parent: Root    child: MCAT    child-description: MARKETS
parent: MCAT    child: M11    child-description: EQUITY MARKETS
"""


NEWS = """<?xml version="1.0" encoding="iso-8859-1" ?>
<newsitem itemid="{item}" id="root" date="1996-08-20" xml:lang="en">
<title>USA: caf\xe9.</title>
<headline>Caf\xe9 prices rise.</headline>
<text>
<p>Prices rose.</p>
<p>They fell.</p>
</text>
<metadata>
<codes class="bip:countries:1.0"><code code="USA"></code></codes>
<codes class="bip:topics:1.0"><code code="C11"></code><code code="CCAT"></code></codes>
</metadata>
</newsitem>
"""


def write_rcv1(folder: Path, *, gz: bool = False) -> Path:
    files = {
        "lyrl2004_tokens_train.dat": TOKENS,
        "lyrl2004_tokens_test_pt0.dat": ".I 26151\n.W\nmerger\n\n",
        "rcv1-v2.topics.qrels": QRELS,
    }
    for name, content in files.items():
        path = folder / (f"{name}.gz" if gz else name)
        path.write_bytes(gzip.compress(content.encode()) if gz else content.encode())
    (folder / "rcv1.topics.hier.orig").write_text(HIERARCHY)
    return folder


@pytest.mark.parametrize("gz", [False, True])
def test_rcv1_token_files_give_the_lyrl2004_split(gz: bool, tmp_path: Path) -> None:
    splits = read_rcv1(write_rcv1(tmp_path, gz=gz), ColumnNames())
    assert splits["train"].inputs == ["recov recov excit bring venezuel", "uruguay"]
    assert splits["train"].label_sets == [("E11", "ECAT"), ("M11", "MCAT")]
    assert splits["test"].label_sets == [("C11", "CCAT")]
    assert splits["train"].label_names == ("C11", "CCAT", "E11", "ECAT", "M11", "MCAT")
    assert splits["train"].parents == {
        "CCAT": (), "C11": ("CCAT",), "ECAT": (), "E11": ("ECAT",), "MCAT": (), "M11": ("MCAT",),
    }  # fmt: skip
    assert splits["test"].where(0) == f"{tmp_path}, story 26151"


def test_rcv1_without_a_training_story_is_refused(tmp_path: Path) -> None:
    folder = write_rcv1(tmp_path)
    (folder / "lyrl2004_tokens_train.dat").write_text(".I 26151\n.W\nmerger\n\n")  # a number of the test part
    with pytest.raises(DataError) as refusal:
        load_splits(folder, seed=0)
    assert str(refusal.value) == f'{folder}: there is "test", but no train.'


def test_rcv1_stories_of_the_discs_have_their_own_topics(tmp_path: Path) -> None:
    for item in (2286, 30000):
        path = tmp_path / "19960820" / f"{item}newsML.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(NEWS.format(item=item), encoding="latin-1")
    splits = read_rcv1(tmp_path, ColumnNames())
    assert splits["train"].inputs == ["Café prices rise.\nPrices rose.\nThey fell."]
    assert splits["test"].label_sets == [("C11", "CCAT")]
    (tmp_path / "rcv1-v2.topics.qrels").write_text("GPOL 2286 1\n")
    splits = read_rcv1(tmp_path, ColumnNames())
    assert {split: examples.label_sets for split, examples in splits.items()} == {"train": [("GPOL",)]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("lyrl2004_tokens_train.dat", "recov\n", ', line 1: expected ".I" and the number of a story.'),
        ("lyrl2004_tokens_train.dat", ".I x\n", ", line 1: expected the number of a story behind .I. Got 'x'."),
        (
            "rcv1-v2.topics.qrels",
            "E11 2286\n",
            ", line 1: expected a topic, the number of a story and 1, as \"E11 2286 1\". Got 'E11 2286'.",
        ),
        ("rcv1.topics.hier.orig", "CCAT C11\n", ", line 1: expected \"parent: ... child: ...\". Got 'CCAT C11'."),
    ],
)
def test_invalid_lines_of_rcv1_are_refused(name: str, content: str, message: str, tmp_path: Path) -> None:
    (write_rcv1(tmp_path) / name).write_text(content)
    with pytest.raises(DataError) as refusal:
        read_rcv1(tmp_path, ColumnNames())
    assert str(refusal.value) == f"{tmp_path / name}{message}"


def test_tokens_without_topics_are_refused(tmp_path: Path) -> None:
    (write_rcv1(tmp_path) / "rcv1-v2.topics.qrels").unlink()
    with pytest.raises(DataError, match="need their topics"):
        read_rcv1(tmp_path, ColumnNames())


def test_a_folder_of_other_things_is_not_rcv1(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    assert read_rcv1(tmp_path, ColumnNames()) is None


@pytest.mark.parametrize(("content", "message"), [("<newsitem", "not XML ("), ("<newsitem/>", '"itemid" must be')])
def test_an_invalid_story_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "1newsML.xml").write_text(content)
    with pytest.raises(DataError) as refusal:
        read_rcv1(tmp_path, ColumnNames())
    assert message in str(refusal.value)


STORY = """<REUTERS TOPICS="{topics}" LEWISSPLIT="{split}" CGISPLIT="TRAINING-SET" OLDID="5544" NEWID="{number}">
<DATE>26-FEB-1987 15:01:01.79</DATE>
<TOPICS>{labels}</TOPICS>
<PLACES><D>usa</D></PLACES>
<PEOPLE></PEOPLE>
<UNKNOWN>
&#5;&#5;&#5;C T
</UNKNOWN>
<TEXT>&#2;
{text}
</TEXT>
</REUTERS>
"""


BAHIA = """<TITLE>BAHIA &lt;COCOA> REVIEW</TITLE>
<DATELINE>    SALVADOR, Feb 26 - </DATELINE><BODY>Showers
came.
&#3;</BODY>"""


def story(number: int, labels: str, *, topics: str = "YES", split: str = "TRAIN", text: str = BAHIA) -> str:
    marks = "".join(f"<D>{label}</D>" for label in labels.split())
    return STORY.format(topics=topics, split=split, number=number, labels=marks, text=text)


def test_reuters_sgml_gives_modapte_and_the_topics_of_both_splits(tmp_path: Path) -> None:
    first = [
        story(1, "cocoa"),
        story(2, "cocoa rye"),  # rye has no test story: it is no label
        story(3, "rye"),  # and this story has no label left
        story(4, "", topics="NO"),
        story(5, "cocoa", split="NOT-USED"),
    ]
    second = [story(6, "cocoa", split="TEST", text="&#2;****<MM> MORE\n&#3;"), story(7, "", split="TEST")]
    for name, stories in (("reut2-000.sgm", first), ("reut2-001.sgm", second)):
        content = '<!DOCTYPE lewis SYSTEM "lewis.dtd">\n' + "".join(stories)
        (tmp_path / name).write_text(content, encoding="latin-1")
    splits = read_reuters(tmp_path, ColumnNames())
    assert splits["train"].ids == ["1", "2"]
    assert splits["train"].label_sets == [("cocoa",), ("cocoa",)]
    assert splits["train"].inputs == ["BAHIA <COCOA> REVIEW\n\nShowers\ncame."] * 2
    assert splits["test"].ids == ["6"]
    assert splits["test"].inputs == ["****  MORE"]
    assert splits["train"].label_names == ("cocoa",)
    assert splits["train"].understood.endswith("ModApte; 1 stories without one of these topics are left out")


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
    splits = read_semeval(write_semeval(tmp_path), ColumnNames())
    assert splits["train"].inputs == ['“Worry is…" @x', "no"]
    assert splits["train"].label_sets == [("joy",), ()]
    assert splits["test"].label_sets == [("anger",)]
    assert list(splits) == ["train", "val", "test"]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (HEAD + "1\tx\t0\n", ", line 2: 3 cells, but 4 columns."),
        (HEAD + "1\tx\t0\tNONE\n", ", line 2: column \"joy\" must be 0 or 1. Got 'NONE'."),
        ("1\tx\t0\t1\n", ', line 1: expected the header "ID", "Tweet" and the emotions, between tabs. Got 1, x, 0.'),
    ],
)  # fmt: skip
def test_an_invalid_tweet_is_refused(train: str, message: str, tmp_path: Path) -> None:
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
    splits = read_goemotions(write_goemotions(tmp_path), ColumnNames())
    assert splits["train"].label_sets == [("admiration",), ("neutral", "amusement")]
    assert splits["train"].ids == ["eczazk6", "ed00q6i"]
    assert splits["val"].inputs == ["\"It's"]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("a\t0\n", ", line 1: expected a comment, numbers of emotions and a name, between tabs. Got 2 cells."),
        (
            "a\t0\tx\na\t0,3\tx\n",
            ", line 2: column 2 must have numbers from 0 to 2, separated by commas. Got '0,3'.",
        ),
        ("a\t-1\tx\n", ", line 1: column 2 must have numbers from 0 to 2, separated by commas. Got '-1'."),
        ("a\t²\tx\n", ", line 1: column 2 must have numbers from 0 to 2, separated by commas. Got '²'."),
        (
            f"a\t{'9' * 5000}\tx\n",
            f", line 1: column 2 must have numbers from 0 to 2, separated by commas. Got '{'9' * 60}'.",
        ),
    ],
)
def test_an_invalid_comment_is_refused(train: str, message: str, tmp_path: Path) -> None:
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
    splits = read_newsgroups(tmp_path, ColumnNames())
    assert list(splits) == ["train", "test"]
    assert splits["test"].inputs == ["Subject: café\n\nhello\n"] * 2
    assert splits["test"].ids == ["sci.space/60001", "talk.politics.mideast/75001"]
    assert splits["test"].label_sets == [("sci.space",), ("talk.politics.mideast",)]
    assert splits["test"].parents == {"sci.space": ("sci",), "talk.politics.mideast": ("talk",)}


def test_newsgroups_without_a_split_are_train(tmp_path: Path) -> None:
    write_newsgroups(tmp_path / "20_newsgroups")
    assert {split: len(examples) for split, examples in read_newsgroups(tmp_path, ColumnNames()).items()} == {
        "train": 2
    }
