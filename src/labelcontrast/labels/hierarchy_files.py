"""Hierarchies in files: a parent map (JSON), an edge list (CSV), indented text, or label paths."""

import csv
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from labelcontrast.errors import ConfigError, LabelError
from labelcontrast.files import parse_json, write_text
from labelcontrast.labels.hierarchy import Hierarchy, above_of

SameName = Literal["refuse", "path"]
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"(\s*:)?')  # of JSON; before a colon it is a key


class Edge(NamedTuple):
    """A child, its parent or None, and the line it comes from."""

    child: str
    parent: str | None
    line: int


def read_hierarchy(path: str | Path, *, same_name: SameName = "refuse") -> Hierarchy:
    r"""Load a hierarchy from a file, whose ending gives the format.

    ``.json`` maps each node to its parent, a list of parents, or null. ``.csv`` has the columns ``child`` and
    ``parent``, which is empty for a root. ``.txt`` has one node in each line, indented below its parent. ``.paths`` has
    one path in each line, ``a > b > c`` or ``a/b/c``: see :func:`from_label_paths`.

    Args:
        path: The file.
        same_name: How to treat a name under two parents in indented text: ``"refuse"`` it, or name every such node by
            its ``"path"``, ``a > b > c``. In a parent map and an edge list it is one node.

    Raises:
        LabelError: The file is missing, malformed, or no hierarchy; the message names the line.
        ConfigError: The ending is unknown.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "animals.txt").write_text("animal\n  cat\n  dog\n    puppy\n")
        ...     read_hierarchy(Path(folder) / "animals.txt").to_parents()
        {'animal': None, 'cat': 'animal', 'dog': 'animal', 'puppy': 'dog'}
    """
    path = Path(path)
    readers: dict[str, Callable[[str], list[Edge]]] = {
        ".json": lambda text: _parent_map(text, path),
        ".csv": lambda text: _edge_list(text, path),
        ".txt": lambda text: _indented(text, path, same_name),
        ".paths": lambda text: _paths(text, path),
    }
    ending = path.suffix.lower()
    if ending not in readers:
        raise ConfigError(f"a hierarchy must be a file that ends in {', '.join(readers)}. Got {path.name!r}.")
    if same_name not in get_args(SameName):
        raise ConfigError(f"same_name must be one of {', '.join(get_args(SameName))}. Got {same_name!r}.")
    try:
        edges = readers[ending](path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"could not be read: {error}.", path=path) from None
    if not edges:
        raise LabelError("the file has no nodes.", path=path)
    named = [(edge.child, edge.parent) for edge in edges]
    return Hierarchy(named, where=lambda place: f"{path}, line {edges[place].line}")


def from_label_paths(labels: Iterable[str], *, separator: str | None = None) -> Hierarchy:
    """Build the hierarchy of labels that are paths; every prefix of a path is a node with the whole prefix as its name.

    So the same name under two parents is two nodes, and the labels of the examples are names of nodes.

    Args:
        labels: Of the examples, with repetitions.
        separator: Between the steps; by default ``" > "`` if any label contains it, else ``"/"``.

    Raises:
        LabelError: A step is empty.

    Example:
        >>> from_label_paths(["Shoes/Men", "Bags", "Shoes/Women"]).to_parents()
        {'Shoes': None, 'Shoes/Men': 'Shoes', 'Bags': None, 'Shoes/Women': 'Shoes'}
    """
    distinct = [(label, 0) for label in dict.fromkeys(labels)]
    return Hierarchy((edge.child, edge.parent) for edge in _path_edges(distinct, separator, None))


def write_hierarchy(hierarchy: Hierarchy, path: str | Path) -> None:
    """Save a hierarchy as JSON, whole or not at all; :func:`read_hierarchy` loads the same nodes in the same order."""
    write_text(Path(path), json.dumps(hierarchy.to_parents(), ensure_ascii=False, indent=0) + "\n")


def _parent_map(text: str, path: Path) -> list[Edge]:
    try:
        given = parse_json(text, object_pairs_hook=_Pairs)
    except ValueError as error:
        raise LabelError(f"not a JSON map of each node to its parent ({error}).", path=path) from None
    if not isinstance(given, _Pairs):
        raise LabelError("expected a JSON map of each node to its parent, its parents, or null.", path=path)
    ends = [place for place, character in enumerate(text) if character == "\n"]
    keys = [match.start() for match in _STRINGS.finditer(text) if match[1]]
    first: dict[str, int] = {}
    edges = []
    for (child, parents), place in zip(given, keys, strict=False):
        line = bisect_left(ends, place) + 1
        if child in first:
            raise LabelError(f'"{child}" occurs twice, first in line {first[child]}.', path=path, line=line)
        if not _are_parents(parents):
            raise LabelError(f'"{child}" needs a parent, a list of parents, or null.', path=path, line=line)
        first[child] = line
        edges += [Edge(child, parent, line) for parent in above_of(parents)]
    return edges


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of a JSON object, in order, with duplicate keys."""


def _are_parents(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    return value is None or all(isinstance(name, str) for name in names)


def _edge_list(text: str, path: Path) -> list[Edge]:
    reader = csv.DictReader(text.splitlines())
    columns = [name.strip() for name in reader.fieldnames or []]
    if not {"child", "parent"} <= {*columns}:
        message = f"an edge list must have the columns child and parent. Got {', '.join(columns) or 'none'}."
        raise LabelError(message, path=path, line=1)
    reader.fieldnames = columns
    edges = []
    for row in reader:
        child, parent = (row["child"] or "").strip(), (row["parent"] or "").strip()
        if not child:
            raise LabelError("there is no child.", path=path, line=reader.line_num)
        edges.append(Edge(child, parent or None, reader.line_num))
    return edges


def _indented(text: str, path: Path, same_name: SameName) -> list[Edge]:
    """Read lines that are indented below their parents; nodes are named by their paths where names repeat."""
    above: list[tuple[int, str]] = []
    places: list[tuple[tuple[str, ...], int]] = []
    for number, line in enumerate(text.splitlines(), 1):
        name = line.strip()
        if not name:
            continue
        indent = len(line.expandtabs()) - len(line.expandtabs().lstrip())
        while above and above[-1][0] > indent:
            below = above.pop()[0]
            if (above[-1][0] if above else 0) < indent < below:
                raise LabelError(
                    f'"{name}" is an orphan: no line above begins where it begins.', path=path, line=number
                )
        if not above and indent:
            raise LabelError(
                f'"{name}" is an orphan: it is indented without a parent above it.', path=path, line=number
            )
        if above and above[-1][0] == indent:
            above.pop()
        above.append((indent, name))
        places.append((tuple(step for _, step in above), number))
    return _with_distinct_names(places, path, same_name)


def _with_distinct_names(places: Sequence[tuple[tuple[str, ...], int]], path: Path, same_name: SameName) -> list[Edge]:
    """Name every path by its last step; where several share it, refuse it, or name each by the whole path."""
    lines: dict[str, dict[tuple[str, ...], int]] = {}
    for steps, number in places:
        first = lines.setdefault(steps[-1], {}).setdefault(steps, number)
        if first != number or (same_name == "refuse" and len(lines[steps[-1]]) > 1):
            earlier = next(iter(lines[steps[-1]].values())) if first == number else first
            message = f'"{steps[-1]}" occurs twice, first in line {earlier}.'
            raise LabelError(message, path=path, line=number)

    def name(steps: tuple[str, ...]) -> str:
        return " > ".join(steps) if len(lines[steps[-1]]) > 1 else steps[-1]

    return [Edge(name(steps), name(steps[:-1]) if steps[:-1] else None, number) for steps, number in places]


def _paths(text: str, path: Path) -> list[Edge]:
    lines = [(line.strip(), number) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return _path_edges(lines, None, path)


def _path_edges(labels: Sequence[tuple[str, int]], separator: str | None, path: Path | None) -> list[Edge]:
    parting = separator or (" > " if any(" > " in label for label, _ in labels) else "/")
    edges: dict[str, Edge] = {}
    for label, line in labels:
        steps = label.split(parting)
        if not all(step.strip() for step in steps):
            message = f'"{label}" has an empty step.'
            raise LabelError(message, path=path, line=None if path is None else line)
        for length in range(1, len(steps) + 1):
            node = parting.join(steps[:length])
            parent = parting.join(steps[: length - 1]) or None
            edges.setdefault(node, Edge(node, parent, line))
    return list(edges.values())
