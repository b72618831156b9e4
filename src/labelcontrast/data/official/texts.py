"""Texts: AAPD, Blurb Genre Collection, RCV1-v2, Reuters-21578, SemEval-2018, GoEmotions and 20 Newsgroups."""

import html
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.examples import BySplit, SplitName
from labelcontrast.data.formats import is_number, numbered_lines, parsed_xml
from labelcontrast.data.official.source import (
    Row,
    SplitRows,
    examples_by_split,
    find,
    paired_rows,
    required,
    split_files,
    words_of,
)
from labelcontrast.errors import DataError, LabelError

STEMS: dict[SplitName, str] = {"train": "train", "val": "val", "test": "test"}
DEV_STEMS: dict[SplitName, str] = STEMS | {"val": "dev"}
SEMEVAL_STEMS: dict[SplitName, tuple[str, ...]] = {"train": ("train",), "val": ("dev",), "test": ("test-gold", "test")}
LAST_TRAINING_STORY = 26150
"""LYRL2004: the stories up to this number (20 to 31 August 1996) are for training."""
TOP_OF_RCV1 = {"None", "Root"}
A_NEWSGROUP = "talk.politics.mideast"
_STORY = re.compile(r"<REUTERS([^>]*)>(.*?)</REUTERS>", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f]")


def read_aapd(folder: Path, _wanted: ColumnNames) -> BySplit | None:
    """Read AAPD as in SGM: for each split a file of abstracts and a file of subjects, line by line.

    The CSV form (a text, and a column of 0 and 1 for each subject) is read as any table is.

    Raises:
        DataError: A file is missing, or has more lines than its partner.
    """
    first = find(folder, "text_train")
    if first is None or not first.with_name("label_train").exists():
        return None
    rows = {
        split: paired_rows(split, path, required(first.parent, f"label_{split}", of="AAPD"))
        for split, path in split_files(first, STEMS).items()
    }
    names = {label for held in rows.values() for row in held.rows for label in row.labels}
    parents = {name: (name.partition(".")[0],) for name in sorted(names) if "." in name}
    return examples_by_split(rows, dataset="aapd", title="AAPD", parents=parents)


def read_bgc(folder: Path, _wanted: ColumnNames) -> BySplit | None:
    """Read the Blurb Genre Collection: a ``<book>`` for each example, its genres in ``<d0>`` to ``<d3>``.

    The text is the body; the file itself lists every genre above a genre. The hierarchy is ``hierarchy.txt``.

    Raises:
        DataError: A file is missing, or a book has no body or no genre; with the line.
    """
    first = find(folder, "BlurbGenreCollection_*_train.txt")
    if first is None:
        return None
    rows = {split: SplitRows(path, list(_books(path))) for split, path in split_files(first, DEV_STEMS).items()}
    parents = _bgc_parents(required(folder, "hierarchy.txt", of="the Blurb Genre Collection"))
    return examples_by_split(rows, dataset="bgc", title="the Blurb Genre Collection", parents=parents)


def read_rcv1(folder: Path, _wanted: ColumnNames) -> BySplit | None:
    """Read RCV1-v2 in the LYRL2004 split: token files (``.dat`` or ``.dat.gz``), or the XML stories of the discs.

    Topics come from ``rcv1-v2.topics.qrels``; if it is missing, those of stories from their own codes. The hierarchy is
    ``rcv1.topics.hier.orig`` if it is there.

    Raises:
        DataError: A file is missing or not in its format; with the line.
    """
    tokens = find(folder, "lyrl2004_tokens_train.dat*")
    if tokens is None and not any(chain(folder.glob("*/*newsML.xml"), folder.glob("*newsML.xml"))):
        return None
    table = find(folder, "rcv1-v2.topics.qrels*")
    if tokens and table is None:
        message = 'the tokens of RCV1-v2 need their topics, "rcv1-v2.topics.qrels"; it is not there.'
        raise DataError(message, path=folder)
    topics = None if table is None else _topics(table)
    stories: Iterable[Row]
    if tokens:
        files = [tokens, *sorted(tokens.parent.glob("lyrl2004_tokens_test_pt?.dat*"))]
        stories = (row for path in files for row in _tokens(path, topics or {}))
    else:
        stories = _news_stories(sorted(folder.rglob("*newsML.xml")), topics)
    rows: dict[SplitName, list[Row]] = {"train": [], "test": []}
    for row in stories:
        rows["train" if int(row.name) <= LAST_TRAINING_STORY else "test"].append(row)
    parents = _rcv1_parents(find(folder, "rcv1.topics.hier.orig*"))
    names = {label for row in chain(*rows.values()) for label in row.labels} | set(parents or ())
    remark = "stemmed tokens without stop words" if tokens else "headlines and bodies"
    root = tokens.parent if tokens else folder
    return examples_by_split(
        {split: SplitRows(root, held, remark) for split, held in rows.items() if held},
        dataset="rcv1",
        title="RCV1-v2",
        names=tuple(sorted(names)),
        parents=parents,
        counted="story",
    )


def read_reuters(folder: Path, _wanted: ColumnNames) -> BySplit | None:
    """Read Reuters-21578 in the ModApte split, with the 90 topics that have a training and a test story.

    ModApte takes the stories with ``TOPICS="YES"`` whose ``LEWISSPLIT`` is TRAIN or TEST. Stories without any of those
    topics are left out. A text is the title, an empty line and the body.

    Raises:
        DataError: There is no story of one of the two splits.
    """
    first = find(folder, "reut2-???.sgm")
    if first is None:
        return None
    rows: dict[SplitName, list[Row]] = {"train": [], "test": []}
    for path in sorted(first.parent.glob("reut2-???.sgm")):
        for split, row in _sgml_stories(path):
            rows[split].append(row)
    names = set.intersection(*({label for row in held for label in row.labels} for held in rows.values()))
    splits = {}
    for split, held in rows.items():
        kept = [row._replace(labels=tuple(label for label in row.labels if label in names)) for row in held]
        kept = [row for row in kept if row.labels]
        without = len(held) - len(kept)
        remark = f"ModApte; {without:,} stories without one of these topics are left out"
        splits[split] = SplitRows(first.parent, kept, remark)
    return examples_by_split(
        splits, dataset="reuters21578", title="Reuters-21578", names=tuple(sorted(names)), counted="story"
    )


def read_semeval(folder: Path, _wanted: ColumnNames) -> BySplit | None:
    """Read SemEval-2018 task 1, E-c: a header, then a tweet a line with its id and a column of 0 and 1 per emotion.

    Raises:
        DataError: A line has too few cells; with the line.
        LabelError: A cell is not 0 or 1, as in test tweets without gold labels; with line and column.
    """
    train = find(folder, "2018-E-c-??-train.txt")
    if train is None:
        return None
    stem = train.name.removesuffix("train.txt")
    found = {split: find(folder, *(f"{stem}{end}.txt" for end in ends)) for split, ends in SEMEVAL_STEMS.items()}
    rows = {split: _tweets(path) for split, path in found.items() if path is not None}
    return examples_by_split(rows, dataset="semeval2018_ec", title="SemEval-2018 E-c")


def read_goemotions(folder: Path, _wanted: ColumnNames) -> BySplit | None:
    """Read GoEmotions: ``emotions.txt``, and a line for each comment: text, numbers of its emotions and id, no header.

    Raises:
        DataError: A line does not have three cells; with the line.
        LabelError: A number is not that of a line of ``emotions.txt``; with line and column.
    """
    emotions = find(folder, "emotions.txt")
    if emotions is None or not emotions.with_name("train.tsv").exists():
        return None
    names = words_of(emotions)
    files = split_files(emotions.with_name("train.tsv"), DEV_STEMS)
    rows = {split: SplitRows(path, list(_comments(path, names))) for split, path in files.items()}
    return examples_by_split(rows, dataset="goemotions", title="GoEmotions", names=names)


def read_newsgroups(folder: Path, _wanted: ColumnNames) -> BySplit | None:
    """Read 20 Newsgroups: a folder for each group, a file for each message; split by date if both folders are there.

    Messages are read as Latin-1, with their headers, quotes and footers. The hierarchy is that of the names.

    Raises:
        DataError: A folder holds no message.
    """
    roots: dict[SplitName, Path] = {
        "train": folder / "20news-bydate-train",
        "test": folder / "20news-bydate-test",
    }
    if not all(path.is_dir() for path in roots.values()):
        group = find(folder, A_NEWSGROUP)
        if group is None:
            return None
        roots = {"train": group.parent}
    names = tuple(sorted(path.name for path in roots["train"].iterdir() if path.is_dir() and path.name[0] != "."))
    splits = {}
    for split, root in roots.items():
        files = [path for name in names for path in sorted((root / name).glob("*")) if path.is_file()]
        rows = [
            Row(f"{path.parent.name}/{path.name}", number, path.read_text(encoding="latin-1"), (path.parent.name,))
            for number, path in enumerate(files, 1)
        ]
        splits[split] = SplitRows(root, rows, "headers, quotes and footers are kept")
    return examples_by_split(
        splits,
        dataset="newsgroups20",
        title="20 Newsgroups",
        names=names,
        parents={name: (name.partition(".")[0],) for name in names},
        counted="message",
    )


def _books(path: Path) -> Iterator[Row]:
    """Read the books of a file that no XML parser accepts: it has no root, and ``&`` is not escaped."""
    start, lines = 0, list[str]()
    for number, line in numbered_lines(path):
        if line.lstrip().startswith("<book"):
            start, lines = number, []
        lines.append(line)
        if line.rstrip().endswith("</book>"):
            yield _book("".join(lines), path, start)
            start, lines = 0, []
    if start:
        raise DataError("the book does not end; expected </book>.", path=path, line=start)


def _book(record: str, path: Path, line: int) -> Row:
    body = re.search(r"<body>(.*?)</body>", record, re.DOTALL)
    topics = re.search(r"<topics>(.*?)</topics>", record, re.DOTALL)
    genres = re.findall(r"<d\d>(.*?)</d\d>", topics[1]) if topics else []
    if body is None or not genres:
        raise DataError(f"the book has no {'<body>' if body is None else 'genre in <topics>'}.", path=path, line=line)
    isbn = re.search(r"<isbn>(.*?)</isbn>", record)
    labels = tuple(dict.fromkeys(html.unescape(genre).strip() for genre in genres))
    return Row(isbn[1] if isbn else str(line), line, html.unescape(body[1]).strip(), labels)


def _bgc_parents(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the hierarchy: a genre, a tab and a genre below it; a genre may have several parents."""
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


def _topics(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the topics of each story from lines like ``E11 2286 1``."""
    topics: dict[str, list[str]] = defaultdict(list)
    for number, line in numbered_lines(path):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != 3 or not is_number(cells[1]):
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
            if number and not is_number(story):
                message = f"expected the number of a story behind .I. Got {story[:40]!r}."
                raise DataError(message, path=path, line=number)
        elif story is None:
            raise DataError('expected ".I" and the number of a story.', path=path, line=number)
        elif not line.startswith(".W"):
            words += line.split()


def _news_stories(paths: list[Path], topics: dict[str, tuple[str, ...]] | None) -> Iterator[Row]:
    """Read the stories of the discs, one per file; with a table of topics only the stories in it, which are RCV1-v2."""
    for path in paths:
        root = parsed_xml(path)
        story = root.get("itemid", "")
        if not is_number(story):
            raise DataError(f'"itemid" must be the number of a story. Got {story!r}.', path=path)
        own = (
            code.get("code", "") for codes in root.iter("codes") for code in codes if "topics" in codes.get("class", "")
        )
        labels = tuple(sorted(set(own))) if topics is None else topics.get(story, ())
        texts = [root.findtext("headline") or "", *(item.text or "" for item in root.iter("p"))]
        if topics is None or story in topics:
            yield Row(story, int(story), "\n".join(text.strip() for text in texts if text.strip()), labels)


def _rcv1_parents(path: Path | None) -> dict[str, tuple[str, ...]] | None:
    """Read the hierarchy of topics from lines like ``parent: CCAT  child: C11  child-description: STRATEGY/PLANS``."""
    if path is None:
        return None
    parents: dict[str, tuple[str, ...]] = {}
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        found = re.match(r"parent:\s*(\S+)\s+child:\s*(\S+)", line)
        if not found:
            raise DataError(f'expected "parent: ... child: ...". Got {line.strip()[:60]!r}.', path=path, line=number)
        above, below = found.groups()
        if below not in TOP_OF_RCV1:
            parents[below] = () if above in TOP_OF_RCV1 else (above,)
    return parents


def _sgml_stories(path: Path) -> Iterator[tuple[SplitName, Row]]:
    """Read the stories of a file that are in ModApte, each with its split."""
    for attributes, body in _STORY.findall(path.read_text(encoding="latin-1")):
        marks = dict(re.findall(r'(\w+)="([^"]*)"', attributes))
        if marks.get("TOPICS") != "YES" or marks.get("LEWISSPLIT") not in {"TRAIN", "TEST"}:
            continue
        topics = re.search(r"<TOPICS>(.*?)</TOPICS>", body, re.DOTALL)
        labels = re.findall(r"<D>(.*?)</D>", topics[1]) if topics else []
        if not is_number(written := marks.get("NEWID", "")):
            raise DataError(f'a story has no number in NEWID. Got "{written[:20]}".', path=path)
        number = int(written)
        split: SplitName = "train" if marks["LEWISSPLIT"] == "TRAIN" else "test"
        yield split, Row(str(number), number, _sgml_text(body), tuple(dict.fromkeys(labels)))


def _sgml_text(body: str) -> str:
    """Return title and body of a story; if it has neither, all its text."""
    whole = re.search(r"<TEXT[^>]*>(.*?)</TEXT>", body, re.DOTALL)
    inner = whole[1] if whole else ""
    found = [re.search(rf"<{tag}>(.*?)</{tag}>", inner, re.DOTALL) for tag in ("TITLE", "BODY")]
    texts = [match[1] for match in found if match] or [re.sub(r"<[^>]*>", " ", inner)]
    return "\n\n".join(_CONTROL.sub("", html.unescape(text)).strip() for text in texts)


def _tweets(path: Path) -> SplitRows:
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
            raise DataError(f"{len(cells)} cells, but {len(head)} columns.", path=path, line=number)
        marks = {name: cell.strip() for name, cell in zip(names, cells[2:], strict=True)}
        for name, mark in marks.items():
            if mark not in {"0", "1"}:
                raise LabelError(f'column "{name}" must be 0 or 1. Got {mark!r}.', path=path, line=number)
        rows.append(Row(cells[0], number, cells[1], tuple(name for name, mark in marks.items() if mark == "1")))
    return SplitRows(path, rows, names=names)


def _comments(path: Path, names: tuple[str, ...]) -> Iterator[Row]:
    for number, line in numbered_lines(path):
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) != 3:
            message = f"expected a comment, numbers of emotions and a name, between tabs. Got {len(cells)} cells."
            raise DataError(message, path=path, line=number)
        marks = [mark.strip() for mark in cells[1].split(",")]
        if not all(is_number(mark) and int(mark) < len(names) for mark in marks):
            message = (
                f"column 2 must have numbers from 0 to {len(names) - 1}, separated by commas. Got {cells[1][:60]!r}."
            )
            raise LabelError(message, path=path, line=number)
        yield Row(cells[2], number, cells[0], tuple(dict.fromkeys(names[int(mark)] for mark in marks)))
