"""The hierarchy of a run: found in a file or in the data, and examples closed under it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool
from scipy.sparse import csr_array, vstack

from labelcontrast.data.batches import dense_truth, encode_labels
from labelcontrast.data.columns import listed
from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.label_cells import PRESENT
from labelcontrast.data.splits import Splits, warn
from labelcontrast.errors import ConfigError, LabelError, nearest
from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.labels.hierarchy_files import read_hierarchy
from labelcontrast.labels.tree import LabelTree
from labelcontrast.labels.vocabulary import LabelVocabulary
from labelcontrast.metrics.neighbours import hold_out_leaves
from labelcontrast.run.validation import needs_hierarchy
from labelcontrast.settings import HierarchySettings, RunSettings

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


Rows: TypeAlias = Bool[np.ndarray, " examples"]


@dataclass(frozen=True)
class Unseen:
    """Test examples of leaves that training does not see."""

    examples: Examples
    labels: np.ndarray
    """[examples, nodes], closed; NaN where one is unknown."""
    tree: LabelTree
    """With the leaves that are held out."""
    held: tuple[str, ...]
    """Their names."""


def close_splits(splits: Splits, tree: LabelTree) -> Splits:
    """Give every example all nodes above its labels; every node is a label then."""
    parts = {name: _closed(part, splits.vocabulary, tree) for name, part in splits.parts.items()}
    return _with(splits, parts, tree.nodes.vocabulary)


def hold_out(splits: Splits, tree: LabelTree, wanted: HierarchySettings, *, seed: int) -> tuple[Splits, Unseen]:
    """Take the examples of some leaves out of every part; those of the test part are kept apart.

    Args:
        splits: the data.
        tree: over their labels.
        wanted: the leaves; or the share of them, and the level that they are drawn from.
        seed: of the draw.

    Returns:
        The splits without the leaves that are held out, and the test examples that have one.

    Raises:
        ConfigError: there are not two leaves to draw from, one that is named is none, or a part would be empty.
    """
    closed = {name: tree.close(splits.vocabulary.encode(part.label_sets or [])) for name, part in splits.parts.items()}
    candidates = vstack(list(closed.values())).toarray()
    if wanted.hold_out_level is not None:
        candidates[:, tree.nodes.depths != wanted.hold_out_level] = 0
    if isinstance(wanted.hold_out, tuple):
        held = np.unique([find_leaf(name, tree.nodes, candidates.any(0)) for name in wanted.hold_out])
        drawn = ""
    else:
        generator, drawn = np.random.default_rng(seed), f" with seed {seed}"
        held, _ = hold_out_leaves(candidates, tree.nodes.parents, share=wanted.hold_out, generator=generator)
    names = tuple(tree.nodes.vocabulary.decode(np.bincount(held, minlength=len(tree.nodes))[None])[0])
    has = {name: closed[name][:, held].sum(1) > 0 for name in closed}
    _check_left(has, names)
    examples = splits.test.select(np.flatnonzero(has["test"]))
    truth = dense_truth(*encode_labels(examples, splits.vocabulary))
    unseen = Unseen(examples, tree.close_soft(truth), tree, names)
    kept = {name: part.select(np.flatnonzero(~has[name])) for name, part in splits.parts.items()}
    said = f"{len(names)} leaves held out{drawn}, and the {sum(map(sum, has.values())):,} examples of them"
    how = "; ".join(sentence for sentence in (splits.how, said) if sentence)
    return replace(_with(splits, kept, _left(splits, closed, has)), how=how), unseen


def find_leaf(name: str, nodes: Hierarchy, candidates: Bool[np.ndarray, " nodes"]) -> int:
    """Find the leaf of a name, or of a path that ends in it.

    Args:
        name: as the hierarchy has it; or behind the names of those above it, ``animal > cat``.
        nodes: the hierarchy.
        candidates: the nodes that can be held out.

    Raises:
        ConfigError: there is no such node, it has others below it, or cannot be held out.

    Example:
        >>> animals = Hierarchy.from_parents({"animal": None, "cat": "animal"})
        >>> find_leaf("animal > cat", animals, np.array([True, True]))
        1
    """
    column, steps = nodes.vocabulary.column, [step.strip() for step in name.split(">")]
    names = [name] if name in column else steps
    known = [column[step] for step in names if step in column]
    linked = all(nodes.parents[low, high] for high, low in pairwise(known))
    if len(known) < len(names) or not linked:
        message = f'hierarchy.hold_out names "{name}", which is no node{nearest(name, column)}.'
    elif known[-1] not in nodes.leaves:
        message = f'hierarchy.hold_out names "{name}", which is no leaf.'
    elif not candidates[known[-1]]:
        message = f'hierarchy.hold_out names "{name}", which has no example, or is of another level.'
    else:
        return known[-1]
    raise ConfigError(message)


def _with(splits: Splits, parts: dict[Part, Examples], vocabulary: LabelVocabulary) -> Splits:
    """Put other examples and labels in the place of those that were there, with what is to be said of them."""
    train, val, test = parts["train"], parts["val"], parts["test"]
    return replace(splits, train=train, val=val, test=test, vocabulary=vocabulary, warnings=warn(parts, vocabulary))


def _left(splits: Splits, closed: Mapping[Part, csr_array], has: Mapping[Part, Rows]) -> LabelVocabulary:
    """Keep the labels that are left an example, and those that had none before."""
    labels = vstack(list(closed.values()), format="csr").astype(np.int64)
    gone = (labels.sum(0) > 0) & (labels[~np.concatenate(list(has.values()))].sum(0) == 0)
    names = splits.vocabulary.names
    return LabelVocabulary(tuple(name for name, is_gone in zip(names, gone, strict=False) if not is_gone))


def _closed(examples: Examples, vocabulary: LabelVocabulary, tree: LabelTree) -> Examples:
    """Close the label sets of a part, and what they cannot say."""
    nodes, sets = tree.nodes.vocabulary, examples.label_sets or []
    if examples.values is None and examples.annotated is None:
        return replace(examples, label_sets=nodes.decode(tree.close(vocabulary.encode(sets))), label_names=nodes.names)
    soft = tree.close_soft(vocabulary.encode_values(sets, examples.values, examples.annotated))
    values = [{nodes.names[node]: float(row[node]) for node in np.flatnonzero((row != 0) & (row != 1))} for row in soft]
    return replace(
        examples, label_sets=nodes.decode(soft >= PRESENT), values=values, annotated=None, label_names=nodes.names
    )


def _check_left(has: Mapping[Part, Rows], held: Sequence[str]) -> None:
    """Refuse to hold out what leaves a part empty, or what no test example has."""
    for part, rows in has.items():
        if rows.all():
            message = f"hierarchy.hold_out leaves no {part} example: all have one of {listed(held, most=5)}."
            raise ConfigError(message)
    if not has["test"].any():
        message = f"hierarchy.hold_out needs test examples of the leaves it holds out: {listed(held, most=5)}."
        raise ConfigError(message)
