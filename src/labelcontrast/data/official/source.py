"""What the official readers share: files found in a distribution, and rows made into the parts of a data set."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from labelcontrast.data.columns import listed
from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.lines import numbered_lines
from labelcontrast.data.pictures import picture_problem
from labelcontrast.errors import DataError, LabelError

Parts = dict[Part, Examples]
Parents = Mapping[str, tuple[str, ...]]


class Row(NamedTuple):
    """One example of a distribution."""

    name: str
    line: int
    content: str | Path
    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What the rows of one part share."""

    dataset: str
    title: str
    """The data set as people call it."""
    path: Path
    names: tuple[str, ...]
    """All labels of the data set, in their order."""
    remark: str = ""
    """What was decided on the way: said to the user."""
    parents: Parents | None = None
    counted: str = "line"

    def where(self, line: int) -> str:
        """Say where a row stands."""
        return f"{self.path}, {self.counted} {line}"


def examples_of_rows(rows: Sequence[Row], origin: Origin, *, check_pictures: bool = True) -> Examples:
    """Make one part of the rows of a distribution: texts, or pictures that are looked at, unless the doctor will.

    Raises:
        DataError: when there is no row, or a picture is missing or not whole; with the place.
        LabelError: when a row has a label that the data set does not.
    """
    if not rows:
        message = f"there is no example of {origin.title} in it."
        raise DataError(message, path=origin.path)
    known = set(origin.names)
    for row in rows:
        if unknown := [label for label in row.labels if label not in known]:
            message = f'label "{unknown[0]}" is not one of the {len(origin.names)} of {origin.title}.'
            raise LabelError(message, path=origin.where(row.line))
        if check_pictures and isinstance(row.content, Path) and (problem := picture_problem(row.content)):
            message = f"the picture {row.content} {problem}."
            raise DataError(message, path=origin.where(row.line))
    texts = [row.content for row in rows if isinstance(row.content, str)]
    pictures = [row.content for row in rows if isinstance(row.content, Path)]
    what = "texts" if texts else "pictures"
    sentence = f"{origin.path}: {len(rows):,} {what} of {origin.title}; {len(origin.names):,} labels"
    return Examples(
        inputs=texts or pictures,
        label_sets=[row.labels for row in rows],
        kind="text" if texts else "image",
        ids=[row.name for row in rows],
        lines=[row.line for row in rows],
        origin=str(origin.path),
        understood=f"{sentence}; {origin.remark}" if origin.remark else sentence,
        label_names=origin.names,
        counted=origin.counted,
        dataset=origin.dataset,
        parents=origin.parents,
    )


def find(folder: Path, *patterns: str) -> Path | None:
    """Find the first file or folder that fits a pattern, in the folder or up to two folders below it.

    Raises:
        DataError: when several fit in places of the same depth: then the user must name one.
    """
    for pattern in patterns:
        for depth in ("", "*/", "*/*/"):
            found = sorted(path for path in folder.glob(depth + pattern) if path.name[0] != ".")
            if len({path.parent for path in found}) > 1:
                names = listed([str(path.relative_to(folder)) for path in found], most=4)
                message = f"there are several data sets: {names}. Name the folder of one."
                raise DataError(message, path=folder)
            if found:
                return found[0]
    return None


def required(folder: Path, *patterns: str, of: str) -> Path:
    """Find a file that a data set cannot do without, or refuse."""
    found = find(folder, *patterns)
    if found is None:
        message = f"{of} needs the file {listed(patterns)}; it is not there."
        raise DataError(message, path=folder)
    return found


def words_of(path: Path) -> tuple[str, ...]:
    """Read a file of one name a line; empty lines are passed over."""
    return tuple(line.strip() for _, line in numbered_lines(path) if line.strip())


def paired(first: Path, second: Path) -> Iterator[tuple[int, str, str]]:
    """Read two files whose lines belong together, each pair with its number.

    Raises:
        DataError: when one has more lines than the other.
    """
    left, right = list(numbered_lines(first)), list(numbered_lines(second))
    if len(left) != len(right):
        message = f"there are {len(left):,} lines, but {len(right):,} in {second.name}."
        raise DataError(message, path=first)
    for (number, one), (_, other) in zip(left, right, strict=True):
        yield number, one.strip(), other.strip()
