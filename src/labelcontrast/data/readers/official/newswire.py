"""Newswire: RCV1-v2 as LYRL2004 has it, and Reuters-21578 in its original SGML."""

import html
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from xml.etree import ElementTree as ET

from labelcontrast.data.examples import Part
from labelcontrast.data.readers.lines import numbered_lines
from labelcontrast.data.readers.official.source import Origin, Parts, Row, examples_of_rows, find
from labelcontrast.data.readers.rows import ColumnNames
from labelcontrast.errors import DataError

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
