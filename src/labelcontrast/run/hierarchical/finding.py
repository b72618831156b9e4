"""Where the hierarchy of a run comes from: a file that is named, the data themselves, or a file beside them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

import numpy as np

from labelcontrast.config.settings import RunSettings
from labelcontrast.data.splitting.splits import Splits
from labelcontrast.errors import ConfigError, LabelError, nearest
from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.labels.hierarchy_files import read_hierarchy
from labelcontrast.run.hierarchical.needs import needs_hierarchy
from labelcontrast.run.hierarchical.tree import LabelTree

BESIDE = ("hierarchy.json", "hierarchy.paths")
"""Where a file that is not named is looked for, in the folder of the data; other formats have to be named."""


@dataclass(frozen=True)
class Found:
    """A hierarchy over the labels of the data, and where it was found."""

    tree: LabelTree
    source: str


def find_hierarchy(settings: RunSettings, splits: Splits) -> Found | None:
    """Find the hierarchy over the labels of the data.

    The file that the settings name; else what the reader found, in label paths or in the files of a known data set;
    else a file beside the data.

    Raises:
        LabelError: a file is no hierarchy, or a label of the data is no node of it; the message has the place.
        ConfigError: there is none, and the settings ask for what needs one.
    """
    wanted = settings.hierarchy
    beside = None if wanted.file == "none" else _file(settings, splits)
    if beside is not None:
        hierarchy = read_hierarchy(beside, same_name=wanted.same_name)
        _check_labels(splits, hierarchy, beside)
        return Found(LabelTree.over(splits.vocabulary.names, hierarchy), beside.name)
    edges = [] if wanted.file == "none" else _edges(splits)
    if edges:
        said = "the label paths" if splits.train.dataset is None else "the data"
        return Found(LabelTree.over(splits.vocabulary.names, Hierarchy(edges)), said)
    if (what := needs_hierarchy(settings)) is not None:
        message = (
            f"{what} needs a hierarchy of the labels: name its file as hierarchy.file, lay hierarchy.json beside the "
            "data, or write labels as paths, a > b > c."
        )
        raise ConfigError(message)
    return None


def introduce_hierarchy(found: Found) -> str:
    """Say in a sentence what the hierarchy is.

    Example:
        >>> animals = Hierarchy.from_parents({"animal": None, "cat": "animal", "dog": "animal"})
        >>> introduce_hierarchy(Found(LabelTree.over(["cat", "dog", "animal"], animals), "animals.json"))
        'hierarchy in animals.json: 3 nodes on 2 levels (1, 2), 2 of them leaves; 1 label on inner nodes'
    """
    nodes, leaves = found.tree.nodes, found.tree.nodes.leaves
    levels = np.bincount(nodes.depths)
    inner = found.tree.num_labels - int((leaves < found.tree.num_labels).sum())
    sizes = ", ".join(f"{size:,}" for size in levels)
    shared = int((np.diff(nodes.parents.indptr) > 1).sum())
    return (
        f"hierarchy in {found.source}: {_count(len(nodes), 'node')} on {_count(len(levels), 'level')} ({sizes}), "
        f"{len(leaves):,} of them leaves; {_count(inner, 'label')} on inner nodes"
        + (f"; {_count(shared, 'node')} below several others" if shared else "")
    )


def describe_hierarchy(found: Found, splits: Splits) -> list[str]:
    """Say line by line what the hierarchy is: its levels, and how many training examples have a label of each."""
    tree, nodes = found.tree, found.tree.nodes
    labels = splits.vocabulary.encode(splits.train.label_sets or [])
    closed = tree.close(labels).astype(np.int64)
    lowest = tree.lowest(labels).astype(np.int64)
    is_leaf = np.isin(np.arange(len(nodes)), nodes.leaves)
    of_labels = np.arange(len(nodes)) < tree.num_labels
    lines = []
    for level in range(int(nodes.depths.max()) + 1):
        here = nodes.depths == level
        have = int((closed[:, here].sum(1) > 0).sum())
        lines.append(
            f"level {level}: {_count(int(here.sum()), 'node')}, {int((here & is_leaf).sum()):,} of them leaves, "
            f"{_count(int((here & of_labels).sum()), 'label')}; {have:,} of {len(splits.train):,} training examples"
        )
    ends, lacking = lowest.sum(1), int((closed.sum(1) > labels.astype(np.int64).sum(1)).sum())
    inner = int((lowest[:, ~is_leaf[: tree.num_labels]].sum(1) > 0).sum())
    paths = f"{ends.mean():.2f} paths each, at most {ends.max():,}; {inner:,} have one that ends above a leaf"
    asked = f"{lacking:,} lack a label above one that they have; hierarchy.closure=true adds it"
    said = [f"{introduce_hierarchy(found)}.", *lines, f"training examples: {paths}", *([asked] if lacking else [])]
    return [line for sentence in said for line in wrap(sentence, 98, initial_indent="  ", subsequent_indent="    ")]


def _count(number: int, what: str) -> str:
    """Write a number of things."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _file(settings: RunSettings, splits: Splits) -> Path | None:
    """Find the file to read: the one named, or one beside data that have no hierarchy in themselves."""
    if settings.hierarchy.file != "auto":
        return Path(settings.hierarchy.file)
    if _edges(splits):
        return None
    data = Path(settings.data)
    folder = data if data.is_dir() else data.parent
    return next((folder / name for name in BESIDE if (folder / name).is_file()), None)


def _edges(splits: Splits) -> list[tuple[str, str | None]]:
    """List what the reader found of labels above labels, in all parts."""
    found = {
        (label, above): None
        for part in splits.parts.values()
        for label, parents in (part.parents or {}).items()
        for above in parents
    }
    return list(found)


def _check_labels(splits: Splits, hierarchy: Hierarchy, path: Path) -> None:
    """Refuse the first label of the data that is no node, with the place of an example that has it."""
    known = hierarchy.vocabulary.column
    unknown = {name for name in splits.vocabulary.names if name not in known}
    for name, place in _places(splits, unknown):
        message = f'label "{name}" is no node of {path}{nearest(name, known)}; hierarchy.file=none leaves it alone.'
        raise LabelError(message, path=place)


def _places(splits: Splits, labels: set[str]) -> Iterator[tuple[str, str]]:
    """Say of labels where an example has them, in the order of the data; those without one stand at the end."""
    for part in splits.parts.values() if labels else ():
        for row, own in enumerate(part.label_sets or []):
            yield from ((label, part.where(row)) for label in own if label in labels)
    yield from ((label, splits.train.origin) for label in splits.vocabulary.names if label in labels)
