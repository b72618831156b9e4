"""Longer documents: AAPD's abstracts and the Blurb Genre Collection."""

import html
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from labelcontrast.data.examples import Part
from labelcontrast.data.readers.lines import numbered_lines
from labelcontrast.data.readers.official.source import Origin, Parts, Row, examples_of_rows, find, paired, required
from labelcontrast.data.readers.rows import ColumnNames
from labelcontrast.errors import DataError

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
