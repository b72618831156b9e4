"""RCV1-v2 and Reuters-21578 in their official files: the split, the topics, the hierarchy, and odd lines refused."""

import gzip
from pathlib import Path

import pytest

from labelcontrast.data.readers.official.newswire import find_rcv1, read_rcv1, read_reuters
from labelcontrast.data.readers.rows import ColumnNames
from labelcontrast.errors import DataError

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
    parts = read_rcv1(write_rcv1(tmp_path, gz=gz), ColumnNames())
    assert parts["train"].inputs == ["recov recov excit bring venezuel", "uruguay"]
    assert parts["train"].label_sets == [("E11", "ECAT"), ("M11", "MCAT")]
    assert parts["test"].label_sets == [("C11", "CCAT")]
    assert parts["train"].label_names == ("C11", "CCAT", "E11", "ECAT", "M11", "MCAT")
    assert parts["train"].parents == {
        "CCAT": (), "C11": ("CCAT",), "ECAT": (), "E11": ("ECAT",), "MCAT": (), "M11": ("MCAT",),
    }  # fmt: skip
    assert parts["test"].where(0) == f"{tmp_path}, story 26151"


def test_rcv1_stories_of_the_discs_have_their_own_topics(tmp_path: Path) -> None:
    for item in (2286, 30000):
        path = tmp_path / "19960820" / f"{item}newsML.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(NEWS.format(item=item), encoding="latin-1")
    parts = read_rcv1(tmp_path, ColumnNames())
    assert parts["train"].inputs == ["Café prices rise.\nPrices rose.\nThey fell."]
    assert parts["test"].label_sets == [("C11", "CCAT")]
    (tmp_path / "rcv1-v2.topics.qrels").write_text("GPOL 2286 1\n")
    parts = read_rcv1(tmp_path, ColumnNames())
    assert {part: examples.label_sets for part, examples in parts.items()} == {"train": [("GPOL",)]}


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
def test_odd_lines_of_rcv1_are_refused(name: str, content: str, message: str, tmp_path: Path) -> None:
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
    assert find_rcv1(tmp_path) is None


@pytest.mark.parametrize(("content", "message"), [("<newsitem", "not XML ("), ("<newsitem/>", '"itemid" must be')])
def test_an_odd_story_is_refused(content: str, message: str, tmp_path: Path) -> None:
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


def test_reuters_sgml_gives_modapte_and_the_topics_of_both_parts(tmp_path: Path) -> None:
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
    parts = read_reuters(tmp_path, ColumnNames())
    assert parts["train"].ids == ["1", "2"]
    assert parts["train"].label_sets == [("cocoa",), ("cocoa",)]
    assert parts["train"].inputs == ["BAHIA <COCOA> REVIEW\n\nShowers\ncame."] * 2
    assert parts["test"].ids == ["6"]
    assert parts["test"].inputs == ["****  MORE"]
    assert parts["train"].label_names == ("cocoa",)
    assert parts["train"].understood.endswith("ModApte; 1 stories without one of these topics are left out")
