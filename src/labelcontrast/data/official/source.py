"""Shared by the official readers: find the files of a distribution, and build examples from its rows."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from labelcontrast.data.examples import BySplit, Examples, SplitName
from labelcontrast.data.formats import numbered_lines
from labelcontrast.data.picture_files import picture_problem
from labelcontrast.data.table import listed
from labelcontrast.errors import DataError, LabelError

Parents = Mapping[str, tuple[str, ...]]


class Row(NamedTuple):
    """One example of a distribution."""

    name: str
    line: int
    content: str | Path
    labels: tuple[str, ...]


class SplitRows(NamedTuple):
    """The rows of one split."""

    path: Path
    rows: Sequence[Row]
    remark: str = ""
    """A decision of the reader, printed for the user."""
    names: tuple[str, ...] | None = None
    """The labels of the file, if it has its own list."""


def examples_by_split(
    splits: Mapping[SplitName, SplitRows],
    *,
    dataset: str,
    title: str,
    names: tuple[str, ...] | None = None,
    parents: Parents | None = None,
    counted: str = "line",
    check_pictures: bool = True,
) -> BySplit:
    """Build the examples of a distribution from its rows.

    Args:
        splits: The rows of each split: texts, or pictures.
        dataset: The key of the data set, as ``aapd``.
        title: The usual name of the data set.
        names: All labels in their order; by default the labels of all rows, sorted.
        parents: The labels above each label.
        counted: The unit of the line of a row.
        check_pictures: Whether a missing or damaged picture is refused.

    Raises:
        DataError: A split has no row, or a picture is missing or damaged; with the place.
        LabelError: A row has a label that the data set does not have.
    """
    every = chain.from_iterable(row.labels for held in splits.values() for row in held.rows)
    names = tuple(sorted(set(every))) if names is None else names
    built = {}
    for split, held in splits.items():
        own = names if held.names is None else held.names
        _check(held, own, title, counted, check_pictures=check_pictures)
        texts = [row.content for row in held.rows if isinstance(row.content, str)]
        pictures = [row.content for row in held.rows if isinstance(row.content, Path)]
        what = f"{len(held.rows):,} {'texts' if texts else 'pictures'} of {title}; {len(own):,} labels"
        built[split] = Examples(
            inputs=texts or pictures,
            label_sets=[row.labels for row in held.rows],
            kind="text" if texts else "image",
            ids=[row.name for row in held.rows],
            lines=[row.line for row in held.rows],
            origin=str(held.path),
            understood=f"{held.path}: {what}{f'; {held.remark}' if held.remark else ''}",
            label_names=own,
            counted=counted,
            dataset=dataset,
            parents=parents,
        )
    return built


def find(folder: Path, *patterns: str) -> Path | None:
    """Return the first file or folder that matches a pattern, in the folder or up to two levels below it.

    Raises:
        DataError: Several match in different folders at the same depth, so the user must name one.
    """
    for pattern in patterns:
        for depth in ("", "*/", "*/*/"):
            found = sorted(path for path in folder.glob(depth + pattern) if path.name[0] != ".")
            if len({path.parent for path in found}) > 1:
                names = listed([str(path.relative_to(folder)) for path in found], most=4)
                raise DataError(f"there are several data sets: {names}. Name the folder of one.", path=folder)
            if found:
                return found[0]
    return None


def required(folder: Path, *patterns: str, of: str) -> Path:
    """Return a file that a data set needs, or refuse the folder."""
    found = find(folder, *patterns)
    if found is None:
        raise DataError(f"{of} needs the file {listed(patterns)}; it is not there.", path=folder)
    return found


def split_files(train: Path, stems: Mapping[SplitName, str]) -> dict[SplitName, Path]:
    """Return the files of the splits that exist: named as the training file, with another word for ``train``.

    Args:
        train: The training file.
        stems: The word for each split.
    """
    before, _, behind = train.name.rpartition("train")
    paths = {split: train.with_name(f"{before}{stem}{behind}") for split, stem in stems.items()}
    return {split: path for split, path in paths.items() if path.exists()}


def words_of(path: Path) -> tuple[str, ...]:
    """Read one name a line; blank lines are skipped."""
    return tuple(line.strip() for _, line in numbered_lines(path) if line.strip())


def paired_rows(split: SplitName, texts: Path, labels: Path) -> SplitRows:
    """Read a file of texts and a file of labels line by line; blanks separate labels.

    Raises:
        DataError: One file has more lines than the other.
    """
    left, right = list(numbered_lines(texts)), list(numbered_lines(labels))
    if len(left) != len(right):
        raise DataError(f"there are {len(left):,} lines, but {len(right):,} in {labels.name}.", path=texts)
    rows = [
        Row(f"{split}-{line}", line, text.strip(), tuple(dict.fromkeys(own.split())))
        for (line, text), (_, own) in zip(left, right, strict=True)
    ]
    return SplitRows(texts, rows)


def _check(held: SplitRows, names: tuple[str, ...], title: str, counted: str, *, check_pictures: bool) -> None:
    """Refuse a split without rows, and a row with an unknown label or without a readable picture."""
    if not held.rows:
        raise DataError(f"there is no example of {title} in it.", path=held.path)
    known = set(names)
    for row in held.rows:
        place = f"{held.path}, {counted} {row.line}"
        if unknown := [label for label in row.labels if label not in known]:
            raise LabelError(f'label "{unknown[0]}" is not one of the {len(names)} of {title}.', path=place)
        if check_pictures and isinstance(row.content, Path) and (problem := picture_problem(row.content)):
            raise DataError(f"the picture {row.content} {problem}.", path=place)
