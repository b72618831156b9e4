"""Text data sets as they are distributed: AAPD, BGC, RCV1-v2, Reuters-21578, SemEval-2018, GoEmotions and others."""

import html
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from xml.etree import ElementTree as ET

from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.lines import numbered_lines
from labelcontrast.data.official.source import Origin, Parts, Row, examples_of_rows, find, paired, required, words_of
from labelcontrast.errors import DataError, LabelError

BGC_FILES: tuple[tuple[Part, str], ...] = (("train", "train"), ("val", "dev"), ("test", "test"))
AAPD_PARTS: tuple[Part, ...] = ("train", "val", "test")


def find_aapd(folder: Path) -> Path | None:
    """Find the training texts of AAPD as SGM has them."""
    text = find(folder, "text_train")
    return text if text is not None and text.with_name("label_train").exists() else None


def read_aapd(folder: Path, _wanted: ColumnNames) -> Parts:
    """Read AAPD: a file of abstracts and a file of subjects a part, line by line; subjects stand between blanks.

    The CSV form (a text, and a column of 0 and 1 a subject) is read as any table is.

    Raises:
        DataError: when a file is missing or has more lines than its partner.
    """
    first = find_aapd(folder)
    assert first is not None
    rows: dict[Part, list[Row]] = {}
    for part in AAPD_PARTS:
        texts = first.with_name(f"text_{part}")
        if texts.exists():
            labels = required(first.parent, f"label_{part}", of="AAPD")
            rows[part] = [
                Row(f"{part}-{number}", number, text, tuple(dict.fromkeys(subjects.split())))
                for number, text, subjects in paired(texts, labels)
            ]
    names = tuple(sorted({label for row in chain(*rows.values()) for label in row.labels}))
    parents = {name: (name.partition(".")[0],) for name in names if "." in name}
    origin = {"dataset": "aapd", "title": "AAPD"}
    return {
        part: examples_of_rows(
            held, Origin(**origin, names=names, path=first.with_name(f"text_{part}"), parents=parents)
        )
        for part, held in rows.items()
    }


def find_bgc(folder: Path) -> Path | None:
    """Find the training file of the Blurb Genre Collection."""
    return find(folder, "BlurbGenreCollection_*_train.txt")


def read_bgc(folder: Path, _wanted: ColumnNames) -> Parts:
    """Read the Blurb Genre Collection: a ``<book>`` an example, its genres in ``<d0>`` to ``<d3>``.

    The text is the body; every genre above a genre is in the file itself. The hierarchy is ``hierarchy.txt``.

    Raises:
        DataError: when a file is missing, or a book has no body or no genre; with the line.
    """
    first = find_bgc(folder)
    assert first is not None
    stem = first.name.removesuffix("_train.txt")
    rows = {
        part: list(_books(path)) for part, name in BGC_FILES if (path := first.with_name(f"{stem}_{name}.txt")).exists()
    }
    parents = _bgc_parents(required(folder, "hierarchy.txt", of="the Blurb Genre Collection"))
    names = tuple(sorted({label for row in chain(*rows.values()) for label in row.labels}))
    origin = {"dataset": "bgc", "title": "the Blurb Genre Collection"}
    files = dict(BGC_FILES)
    return {
        part: examples_of_rows(
            held, Origin(**origin, names=names, path=first.with_name(f"{stem}_{files[part]}.txt"), parents=parents)
        )
        for part, held in rows.items()
    }


def _books(path: Path) -> Iterator[Row]:
    """Read the books of a file, which has no root and writes ``&`` as it is: no XML parser takes it."""
    start, lines = 0, list[str]()
    for number, line in numbered_lines(path):
        if line.lstrip().startswith("<book"):
            start, lines = number, []
        lines.append(line)
        if line.rstrip().endswith("</book>"):
            yield _book("".join(lines), path, start)
            start, lines = 0, []
    if start:
        message = "the book does not end; expected </book>."
        raise DataError(message, path=path, line=start)


def _book(record: str, path: Path, line: int) -> Row:
    """Read one book."""
    body = re.search(r"<body>(.*?)</body>", record, re.DOTALL)
    topics = re.search(r"<topics>(.*?)</topics>", record, re.DOTALL)
    genres = re.findall(r"<d\d>(.*?)</d\d>", topics[1]) if topics else []
    if body is None or not genres:
        message = f"the book has no {'<body>' if body is None else 'genre in <topics>'}."
        raise DataError(message, path=path, line=line)
    isbn = re.search(r"<isbn>(.*?)</isbn>", record)
    labels = tuple(dict.fromkeys(html.unescape(genre).strip() for genre in genres))
    return Row(isbn[1] if isbn else str(line), line, html.unescape(body[1]).strip(), labels)


def _bgc_parents(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the hierarchy: the name of a genre, a tab, and that of one below it; a genre may stand below several."""
    parents: dict[str, tuple[str, ...]] = {}
    for number, line in numbered_lines(path):
        above, tab, below = line.strip("\r\n ").partition("\t")
        if not above:
            continue
        if not tab:
            parents.setdefault(above, ())
            continue
        if not below:
            message = f"expected a genre, a tab and the genre below it. Got {line.strip()[:60]!r}."
            raise DataError(message, path=path, line=number)
        parents[below] = (*parents.get(below, ()), above)
    return parents


LAST_TRAINING_STORY = 26150
"""LYRL2004: the stories up to this number (20 to 31 August 1996) are for training."""
TOP_OF_RCV1 = {"None", "Root"}
_STORY = re.compile(r"<REUTERS([^>]*)>(.*?)</REUTERS>", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f]")


def find_rcv1(folder: Path) -> Path | None:
    """Find the token files of RCV1-v2, or the stories of the Reuters discs."""
    tokens = find(folder, "lyrl2004_tokens_train.dat*")
    return tokens or next(iter(sorted(folder.glob("*/*newsML.xml"))[:1] or folder.glob("*newsML.xml")), None)


def read_rcv1(folder: Path, _wanted: ColumnNames) -> Parts:
    """Read RCV1-v2 in the LYRL2004 split: token files (``.dat``, ``.gz`` too), or the XML stories of the discs.

    Topics come from ``rcv1-v2.topics.qrels``, for stories without it from their own codes; the hierarchy from
    ``rcv1.topics.hier.orig`` where it is there.

    Raises:
        DataError: when a file is missing or not in its format; with the line.
    """
    train = find_rcv1(folder)
    assert train is not None
    tokens = train.name.startswith("lyrl2004")
    table = find(folder, "rcv1-v2.topics.qrels*")
    if tokens and table is None:
        message = 'the tokens of RCV1-v2 need their topics, "rcv1-v2.topics.qrels"; it is not there.'
        raise DataError(message, path=folder)
    topics = None if table is None else _topics(table)
    stories: Iterable[Row]
    if tokens:
        files = [train, *sorted(train.parent.glob("lyrl2004_tokens_test_pt?.dat*"))]
        stories = (row for path in files for row in _tokens(path, topics or {}))
    else:
        stories = _news_stories(sorted(folder.rglob("*newsML.xml")), topics)
    rows: dict[Part, list[Row]] = {"train": [], "test": []}
    for row in stories:
        rows["train" if int(row.name) <= LAST_TRAINING_STORY else "test"].append(row)
    parents = _rcv1_parents(find(folder, "rcv1.topics.hier.orig*"))
    names = tuple(sorted({label for row in chain(*rows.values()) for label in row.labels} | set(parents or ())))
    remark = "stemmed tokens without stop words" if tokens else "headlines and bodies"
    origin = {"dataset": "rcv1", "title": "RCV1-v2", "remark": remark, "counted": "story"}
    root = train.parent if tokens else folder
    return {
        part: examples_of_rows(held, Origin(**origin, names=names, path=root, parents=parents))
        for part, held in rows.items()
        if held
    }


def find_reuters(folder: Path) -> Path | None:
    """Find the first SGML file of Reuters-21578."""
    return find(folder, "reut2-???.sgm")


def read_reuters(folder: Path, _wanted: ColumnNames) -> Parts:
    """Read Reuters-21578 in the ModApte split, with the topics that have a training and a test story (90 of them).

    ModApte takes the stories with ``TOPICS="YES"`` whose ``LEWISSPLIT`` is TRAIN or TEST. Stories with none of those
    topics are left out. A text is the title, an empty line and the body.

    Raises:
        DataError: when there is no story of one of the two parts.
    """
    first = find_reuters(folder)
    assert first is not None
    rows: dict[Part, list[Row]] = {"train": [], "test": []}
    for path in sorted(first.parent.glob("reut2-???.sgm")):
        for part, row in _sgml_stories(path):
            rows[part].append(row)
    used = [{label for row in held for label in row.labels} for held in rows.values()]
    names = tuple(sorted(set.intersection(*used)))
    parts: Parts = {}
    for part, held in rows.items():
        kept = [row._replace(labels=tuple(label for label in row.labels if label in names)) for row in held]
        kept = [row for row in kept if row.labels]
        without = len(held) - len(kept)
        remark = f"ModApte; {without:,} stories without one of these topics are left out"
        origin = Origin(
            dataset="reuters21578",
            title="Reuters-21578",
            path=first.parent,
            names=names,
            remark=remark,
            counted="story",
        )
        parts[part] = examples_of_rows(kept, origin)
    return parts


def _topics(path: Path) -> dict[str, tuple[str, ...]]:
    """Read which topics each story has: ``E11 2286 1`` a line."""
    topics: dict[str, list[str]] = defaultdict(list)
    for number, line in numbered_lines(path):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != 3 or not cells[1].isdigit():
            message = f'expected a topic, the number of a story and 1, as "E11 2286 1". Got {line.strip()[:60]!r}.'
            raise DataError(message, path=path, line=number)
        topics[cells[1]].append(cells[0])
    return {story: tuple(sorted(set(held))) for story, held in topics.items()}


def _tokens(path: Path, topics: dict[str, tuple[str, ...]]) -> Iterator[Row]:
    """Read stories of tokens: ``.I`` and the number, ``.W``, lines of tokens."""
    story: str | None = None
    words: list[str] = []
    for number, line in chain(numbered_lines(path), [(0, ".I end")]):
        if line.startswith(".I "):
            if story is not None:
                yield Row(story, int(story), " ".join(words), topics.get(story, ()))
            story, words = line[3:].strip(), []
            if number and not story.isdigit():
                message = f"expected the number of a story behind .I. Got {story[:40]!r}."
                raise DataError(message, path=path, line=number)
        elif story is None:
            message = 'expected ".I" and the number of a story.'
            raise DataError(message, path=path, line=number)
        elif not line.startswith(".W"):
            words += line.split()


def _news_stories(paths: list[Path], topics: dict[str, tuple[str, ...]] | None) -> Iterator[Row]:
    """Read the stories of the discs, one a file; with a table of topics only those in it, which is RCV1-v2."""
    for path in paths:
        try:
            root = ET.parse(path).getroot()
        except ET.ParseError as error:
            message = f"not XML ({error.msg})."
            raise DataError(message, path=path, line=error.position[0]) from None
        story = root.get("itemid", "")
        if not story.isdigit():
            message = f'"itemid" must be the number of a story. Got {story!r}.'
            raise DataError(message, path=path)
        own = (
            code.get("code", "") for codes in root.iter("codes") for code in codes if "topics" in codes.get("class", "")
        )
        labels = tuple(sorted(set(own))) if topics is None else topics.get(story, ())
        texts = [root.findtext("headline") or "", *(item.text or "" for item in root.iter("p"))]
        if topics is None or story in topics:
            yield Row(story, int(story), "\n".join(text.strip() for text in texts if text.strip()), labels)


def _rcv1_parents(path: Path | None) -> dict[str, tuple[str, ...]] | None:
    """Read the hierarchy of topics: ``parent: CCAT  child: C11  child-description: STRATEGY/PLANS`` a line."""
    if path is None:
        return None
    parents: dict[str, tuple[str, ...]] = {}
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        found = re.match(r"parent:\s*(\S+)\s+child:\s*(\S+)", line)
        if not found:
            message = f'expected "parent: ... child: ...". Got {line.strip()[:60]!r}.'
            raise DataError(message, path=path, line=number)
        above, below = found.groups()
        if below not in TOP_OF_RCV1:
            parents[below] = () if above in TOP_OF_RCV1 else (above,)
    return parents


def _sgml_stories(path: Path) -> Iterator[tuple[Part, Row]]:
    """Read the stories of a file that ModApte takes, each with its part."""
    for attributes, body in _STORY.findall(path.read_text(encoding="latin-1")):
        marks = dict(re.findall(r'(\w+)="([^"]*)"', attributes))
        if marks.get("TOPICS") != "YES" or marks.get("LEWISSPLIT") not in {"TRAIN", "TEST"}:
            continue
        topics = re.search(r"<TOPICS>(.*?)</TOPICS>", body, re.DOTALL)
        labels = re.findall(r"<D>(.*?)</D>", topics[1]) if topics else []
        number = int(marks["NEWID"])
        part: Part = "train" if marks["LEWISSPLIT"] == "TRAIN" else "test"
        yield part, Row(str(number), number, _sgml_text(body), tuple(dict.fromkeys(labels)))


def _sgml_text(body: str) -> str:
    """Return title and body of a story; of a story without the two, all its text."""
    whole = re.search(r"<TEXT[^>]*>(.*?)</TEXT>", body, re.DOTALL)
    inner = whole[1] if whole else ""
    found = [re.search(rf"<{tag}>(.*?)</{tag}>", inner, re.DOTALL) for tag in ("TITLE", "BODY")]
    texts = [match[1] for match in found if match] or [re.sub(r"<[^>]*>", " ", inner)]
    return "\n\n".join(_CONTROL.sub("", html.unescape(text)).strip() for text in texts)


SEMEVAL_FILES: tuple[tuple[Part, tuple[str, ...]], ...] = (
    ("train", ("train",)), ("val", ("dev",)), ("test", ("test-gold", "test")),
)  # fmt: skip
GOEMOTIONS_FILES: tuple[tuple[Part, str], ...] = (("train", "train"), ("val", "dev"), ("test", "test"))
A_NEWSGROUP = "talk.politics.mideast"


def find_semeval(folder: Path) -> Path | None:
    """Find the training tweets of SemEval-2018 task 1, E-c, in any of its languages."""
    return find(folder, "2018-E-c-??-train.txt")


def read_semeval(folder: Path, _wanted: ColumnNames) -> Parts:
    """Read SemEval-2018 E-c: a header, then a tweet a line with its number and a column of 0 and 1 an emotion.

    Raises:
        DataError: when a line has too few cells; with the line.
        LabelError: when a cell is not 0 or 1, as in test tweets without gold labels; with line and column.
    """
    train = find_semeval(folder)
    assert train is not None
    stem = train.name.removesuffix("train.txt")
    parts: Parts = {}
    for part, ends in SEMEVAL_FILES:
        path = find(folder, *(f"{stem}{end}.txt" for end in ends))
        if path is not None:
            parts[part] = _semeval_part(path)
    return parts


def find_goemotions(folder: Path) -> Path | None:
    """Find the list of emotions beside the training comments of GoEmotions."""
    emotions = find(folder, "emotions.txt")
    return emotions if emotions is not None and emotions.with_name("train.tsv").exists() else None


def read_goemotions(folder: Path, _wanted: ColumnNames) -> Parts:
    """Read GoEmotions: a comment, the numbers of its emotions and its name a line, between tabs; no header.

    Raises:
        DataError: when a line has not three cells; with the line.
        LabelError: when a number is not that of a line of ``emotions.txt``; with line and column.
    """
    emotions = find_goemotions(folder)
    assert emotions is not None
    names = words_of(emotions)
    parts: Parts = {}
    for part, stem in GOEMOTIONS_FILES:
        path = emotions.with_name(f"{stem}.tsv")
        if path.exists():
            origin = Origin(dataset="goemotions", title="GoEmotions", path=path, names=names)
            rows = [_comment(line.rstrip("\r\n"), number, names, path) for number, line in numbered_lines(path)]
            parts[part] = examples_of_rows(rows, origin)
    return parts


def find_newsgroups(folder: Path) -> Path | None:
    """Find a folder of one of the 20 newsgroups."""
    both = [folder / name for name in ("20news-bydate-train", "20news-bydate-test")]
    return both[0] if all(path.is_dir() for path in both) else find(folder, A_NEWSGROUP)


def read_newsgroups(folder: Path, _wanted: ColumnNames) -> Parts:
    """Read 20 Newsgroups: a folder a group, a file a message; split by date where there are the two folders of it.

    Messages are read as Latin-1, with their headers, quotes and footers. The hierarchy is that of the names.

    Raises:
        DataError: when a folder holds no message.
    """
    found = find_newsgroups(folder)
    assert found is not None
    by_date = found.name == "20news-bydate-train"
    roots: dict[Part, Path] = (
        {"train": found, "test": found.with_name("20news-bydate-test")} if by_date else {"train": found.parent}
    )
    names = tuple(sorted(path.name for path in roots["train"].iterdir() if path.is_dir() and path.name[0] != "."))
    parents = {name: (name.partition(".")[0],) for name in names}
    parts: Parts = {}
    for part, root in roots.items():
        files = [path for name in names for path in sorted((root / name).glob("*")) if path.is_file()]
        rows = [
            Row(f"{path.parent.name}/{path.name}", number, path.read_text(encoding="latin-1"), (path.parent.name,))
            for number, path in enumerate(files, 1)
        ]
        remark = "headers, quotes and footers are kept"
        origin = Origin(
            dataset="newsgroups20",
            title="20 Newsgroups",
            path=root,
            names=names,
            remark=remark,
            parents=parents,
            counted="message",
        )
        parts[part] = examples_of_rows(rows, origin)
    return parts


def _semeval_part(path: Path) -> Examples:
    """Read the tweets of one file."""
    lines = numbered_lines(path)
    head = next((line for _, line in lines), "").rstrip("\r\n").split("\t")
    if head[:2] != ["ID", "Tweet"] or len(head) < 3:
        message = f'expected the header "ID", "Tweet" and the emotions, between tabs. Got {", ".join(head[:3])}.'
        raise DataError(message, path=path, line=1)
    names = tuple(name.strip() for name in head[2:])
    rows = []
    for number, line in lines:
        cells = line.rstrip("\r\n").split("\t")
        if not line.strip():
            continue
        if len(cells) != len(head):
            message = f"{len(cells)} cells, but {len(head)} columns."
            raise DataError(message, path=path, line=number)
        for name, cell in zip(names, cells[2:], strict=True):
            if cell.strip() not in {"0", "1"}:
                message = f'column "{name}" must be 0 or 1. Got {cell.strip()!r}.'
                raise LabelError(message, path=path, line=number)
        held = tuple(name for name, cell in zip(names, cells[2:], strict=True) if cell.strip() == "1")
        rows.append(Row(cells[0], number, cells[1], held))
    origin = Origin(dataset="semeval2018_ec", title="SemEval-2018 E-c", path=path, names=names)
    return examples_of_rows(rows, origin)


def _comment(line: str, number: int, names: tuple[str, ...], path: Path) -> Row:
    """Read one comment of GoEmotions."""
    cells = line.split("\t")
    if len(cells) != 3:
        message = f"expected a comment, numbers of emotions and a name, between tabs. Got {len(cells)} cells."
        raise DataError(message, path=path, line=number)
    held = []
    for mark in cells[1].split(","):
        if not mark.strip().isdigit() or int(mark) >= len(names):
            message = f"column 2 must have numbers from 0 to {len(names) - 1}, separated by commas. Got {cells[1]!r}."
            raise LabelError(message, path=path, line=number)
        held.append(names[int(mark)])
    return Row(cells[2], number, cells[0], tuple(dict.fromkeys(held)))
