"""Posts: tweets of SemEval-2018 E-c, comments of GoEmotions, messages of 20 Newsgroups."""

from pathlib import Path

from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.readers.lines import numbered_lines
from labelcontrast.data.readers.official.source import Origin, Parts, Row, examples_of_rows, find, words_of
from labelcontrast.data.readers.rows import ColumnNames
from labelcontrast.errors import DataError, LabelError

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
