"""The hierarchy of a run: found in a file or in the data, described, and applied to the label sets of the data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from textwrap import wrap

import numpy as np
from jaxtyping import Bool
from scipy.sparse import csr_array, vstack

from labelcontrast.data.batches import dense_truth, encode_labels
from labelcontrast.data.examples import Examples, SplitName
from labelcontrast.data.label_cells import PRESENT
from labelcontrast.data.splits import Splits, with_examples
from labelcontrast.data.table import listed
from labelcontrast.errors import ConfigError, LabelError, nearest
from labelcontrast.labels.hierarchy import Hierarchy, LabelTree, hold_out_leaves
from labelcontrast.labels.hierarchy_files import read_hierarchy
from labelcontrast.labels.vocabulary import LabelVocabulary
from labelcontrast.run.validation import needs_hierarchy
from labelcontrast.settings import HierarchySettings, RunSettings

BESIDE = ("hierarchy.json", "hierarchy.paths")
"""Names of a hierarchy file that is found in the folder of the data; files in other formats have to be named."""


@dataclass(frozen=True)
class FoundHierarchy:
    """A hierarchy over the labels of the data, and where it was found."""

    tree: LabelTree
    source: str

    @property
    def summary(self) -> str:
        """Its source and its size in one sentence.

        Example:
            >>> animals = Hierarchy.from_parents({"animal": None, "cat": "animal", "dog": "animal"})
            >>> FoundHierarchy(LabelTree.over(["cat", "dog", "animal"], animals), "animals.json").summary
            'hierarchy in animals.json: 3 nodes on 2 levels (1, 2), 2 of them leaves; 1 label on inner nodes'
        """
        nodes, leaves = self.tree.nodes, self.tree.nodes.leaves
        levels = np.bincount(nodes.depths)
        inner = self.tree.num_labels - int((leaves < self.tree.num_labels).sum())
        sizes = ", ".join(f"{size:,}" for size in levels)
        shared = int((np.diff(nodes.parents.indptr) > 1).sum())
        return (
            f"hierarchy in {self.source}: {_count(len(nodes), 'node')} on {_count(len(levels), 'level')} ({sizes}), "
            f"{len(leaves):,} of them leaves; {_count(inner, 'label')} on inner nodes"
            + (f"; {_count(shared, 'node')} with several parents" if shared else "")
        )


@dataclass(frozen=True)
class UnseenLeaves:
    """Test examples of leaves that are held out of training."""

    examples: Examples
    labels: np.ndarray
    """[examples, nodes], closed; NaN where one is unknown."""
    tree: LabelTree
    """With the leaves that are held out."""
    leaves: tuple[str, ...]
    """Their names."""


def find_hierarchy(settings: RunSettings, splits: Splits) -> FoundHierarchy | None:
    """Find the hierarchy over the labels of the data.

    The file that the settings name; else the one in the data, from label paths or the files of a known data set; else
    a file beside the data.

    Raises:
        LabelError: A file is not a hierarchy, or a label of the data is not a node of it.
        ConfigError: There is no hierarchy, and the settings need one.
    """
    wanted = settings.hierarchy
    file = None if wanted.file == "none" else _hierarchy_file(settings, splits)
    if file is not None:
        hierarchy = read_hierarchy(file, same_name=wanted.same_name)
        _check_labels(splits, hierarchy, file)
        return FoundHierarchy(LabelTree.over(splits.vocabulary.names, hierarchy), file.name)
    edges = [] if wanted.file == "none" else _edges(splits)
    if edges:
        source = "the label paths" if splits.train.dataset is None else "the data"
        return FoundHierarchy(LabelTree.over(splits.vocabulary.names, Hierarchy(edges)), source)
    if (setting := needs_hierarchy(settings)) is not None:
        message = (
            f"{setting} needs a hierarchy of the labels: name its file as hierarchy.file, put hierarchy.json beside "
            "the data, or write labels as paths, a > b > c."
        )
        raise ConfigError(message)
    return None


def describe_hierarchy(found: FoundHierarchy, splits: Splits) -> list[str]:
    """Describe a hierarchy line by line: its levels, and the number of training examples with a label on each."""
    tree, nodes = found.tree, found.tree.nodes
    labels = splits.vocabulary.encode(splits.train.label_sets or [])
    closed = tree.close(labels).astype(np.int64)
    lowest = tree.lowest(labels).astype(np.int64)
    is_leaf = np.isin(np.arange(len(nodes)), nodes.leaves)
    is_label = np.arange(len(nodes)) < tree.num_labels
    lines = []
    for level in range(int(nodes.depths.max()) + 1):
        here = nodes.depths == level
        examples = int((closed[:, here].sum(1) > 0).sum())
        lines.append(
            f"level {level}: {_count(int(here.sum()), 'node')}, {int((here & is_leaf).sum()):,} of them leaves, "
            f"{_count(int((here & is_label).sum()), 'label')}; {examples:,} of {len(splits.train):,} training examples"
        )
    paths = lowest.sum(1)
    inner = int((lowest[:, ~is_leaf[: tree.num_labels]].sum(1) > 0).sum())
    lines.append(
        f"training examples: {paths.mean():.2f} paths each, at most {paths.max():,}; "
        f"{inner:,} have one that ends above a leaf"
    )
    if missing := int((closed.sum(1) > labels.astype(np.int64).sum(1)).sum()):
        lines.append(f"{missing:,} lack a parent of one of their labels; hierarchy.closure=true adds it")
    sentences = [f"{found.summary}.", *lines]
    return [line for one in sentences for line in wrap(one, 98, initial_indent="  ", subsequent_indent="    ")]


def close_splits(splits: Splits, tree: LabelTree) -> Splits:
    """Add to every example all ancestors of its labels; every node is a label then."""
    closed = {name: _closed(split, splits.vocabulary, tree) for name, split in splits.by_name.items()}
    return with_examples(splits, closed, tree.nodes.vocabulary)


def hold_out(splits: Splits, tree: LabelTree, settings: HierarchySettings, *, seed: int) -> tuple[Splits, UnseenLeaves]:
    """Remove the examples of some leaves from every split; those of the test split are returned apart.

    Args:
        splits: The data.
        tree: Over their labels.
        settings: The leaves; or the share of them, and the level that they are drawn from.
        seed: Of the draw.

    Raises:
        ConfigError: There are not two leaves to draw from, a name is not a leaf, or a split would be empty.
    """
    closed = {
        name: tree.close(splits.vocabulary.encode(split.label_sets or [])) for name, split in splits.by_name.items()
    }
    candidates = vstack(list(closed.values())).toarray()
    if settings.hold_out_level is not None:
        candidates[:, tree.nodes.depths != settings.hold_out_level] = 0
    if isinstance(settings.hold_out, tuple):
        held = np.unique([leaf_index(name, tree.nodes, candidates.any(0)) for name in settings.hold_out])
        drawn = ""
    else:
        generator, drawn = np.random.default_rng(seed), f" with seed {seed}"
        held, _ = hold_out_leaves(candidates, tree.nodes.parents, share=settings.hold_out, generator=generator)
    leaves = tuple(tree.nodes.vocabulary.decode(np.bincount(held, minlength=len(tree.nodes))[None])[0])
    has_leaf = {name: closed[name][:, held].sum(1) > 0 for name in closed}
    _check_remaining(has_leaf, leaves)
    examples = splits.test.select(np.flatnonzero(has_leaf["test"]))
    truth = dense_truth(*encode_labels(examples, splits.vocabulary))
    unseen = UnseenLeaves(examples, tree.close_soft(truth), tree, leaves)
    remaining = {name: split.select(np.flatnonzero(~has_leaf[name])) for name, split in splits.by_name.items()}
    removed = f"{len(leaves)} leaves held out{drawn}, and the {sum(map(sum, has_leaf.values())):,} examples of them"
    how = "; ".join(sentence for sentence in (splits.how, removed) if sentence)
    return replace(with_examples(splits, remaining, _remaining_labels(splits, closed, has_leaf)), how=how), unseen


def leaf_index(name: str, nodes: Hierarchy, candidates: Bool[np.ndarray, " nodes"]) -> int:
    """Return the index of a leaf by its name, or by a path that ends in it.

    Args:
        name: A name of the hierarchy, or a path, ``animal > cat``.
        nodes: The hierarchy.
        candidates: The nodes that can be held out.

    Raises:
        ConfigError: There is no such node, it is not a leaf, or it cannot be held out.

    Example:
        >>> animals = Hierarchy.from_parents({"animal": None, "cat": "animal"})
        >>> leaf_index("animal > cat", animals, np.array([True, True]))
        1
    """
    column, steps = nodes.vocabulary.column, [step.strip() for step in name.split(">")]
    names = [name] if name in column else steps
    known = [column[step] for step in names if step in column]
    linked = all(nodes.parents[child, parent] for parent, child in pairwise(known))
    if len(known) < len(names) or not linked:
        problem = f"is not a node{nearest(name, column)}"
    elif known[-1] not in nodes.leaves:
        problem = "is not a leaf"
    elif not candidates[known[-1]]:
        problem = "has no example, or is on another level"
    else:
        return known[-1]
    raise ConfigError(f'hierarchy.hold_out names "{name}", which {problem}.')


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _hierarchy_file(settings: RunSettings, splits: Splits) -> Path | None:
    """Return the file that is named, or the one beside data that have no hierarchy in themselves."""
    if settings.hierarchy.file != "auto":
        return Path(settings.hierarchy.file)
    if _edges(splits):
        return None
    data = Path(settings.data)
    folder = data if data.is_dir() else data.parent
    return next((folder / name for name in BESIDE if (folder / name).is_file()), None)


def _edges(splits: Splits) -> list[tuple[str, str | None]]:
    """List the pairs of a label and its parent that the reader found, in all splits."""
    found = {
        (label, parent): None
        for split in splits.by_name.values()
        for label, parents in (split.parents or {}).items()
        for parent in parents
    }
    return list(found)


def _check_labels(splits: Splits, hierarchy: Hierarchy, path: Path) -> None:
    """Refuse the first label of the data that is not a node, with the place of an example that has it."""
    known = hierarchy.vocabulary.column
    unknown = {name for name in splits.vocabulary.names if name not in known}
    for name, place in _places(splits, unknown):
        message = f'label "{name}" is not a node of {path}{nearest(name, known)}; hierarchy.file=none ignores the file.'
        raise LabelError(message, path=place)


def _places(splits: Splits, labels: set[str]) -> Iterator[tuple[str, str]]:
    """Yield labels with the place of an example that has each, in the order of the data; those without one last."""
    for split in splits.by_name.values() if labels else ():
        for row, own in enumerate(split.label_sets or []):
            yield from ((label, split.where(row)) for label in own if label in labels)
    yield from ((label, splits.train.origin) for label in splits.vocabulary.names if label in labels)


def _remaining_labels(
    splits: Splits, closed: Mapping[SplitName, csr_array], removed: Mapping[SplitName, Bool[np.ndarray, " examples"]]
) -> LabelVocabulary:
    """Keep the labels that still have an example, and those that had none before."""
    labels = vstack(list(closed.values()), format="csr").astype(np.int64)
    gone = (labels.sum(0) > 0) & (labels[~np.concatenate(list(removed.values()))].sum(0) == 0)
    names = splits.vocabulary.names
    return LabelVocabulary(tuple(name for name, is_gone in zip(names, gone, strict=False) if not is_gone))


def _closed(examples: Examples, vocabulary: LabelVocabulary, tree: LabelTree) -> Examples:
    """Close the label sets of a split, its soft and its unknown labels."""
    nodes, sets = tree.nodes.vocabulary, examples.label_sets or []
    if examples.values is None and examples.annotated is None:
        return replace(examples, label_sets=nodes.decode(tree.close(vocabulary.encode(sets))), label_names=nodes.names)
    soft = tree.close_soft(vocabulary.encode_values(sets, examples.values, examples.annotated))
    values = [{nodes.names[node]: float(row[node]) for node in np.flatnonzero((row != 0) & (row != 1))} for row in soft]
    return replace(
        examples, label_sets=nodes.decode(soft >= PRESENT), values=values, annotated=None, label_names=nodes.names
    )


def _check_remaining(has_leaf: Mapping[SplitName, Bool[np.ndarray, " examples"]], leaves: Sequence[str]) -> None:
    for name, rows in has_leaf.items():
        if rows.all():
            message = f"hierarchy.hold_out leaves no {name} example: all have one of {listed(leaves, most=5)}."
            raise ConfigError(message)
    if not has_leaf["test"].any():
        message = f"hierarchy.hold_out needs test examples of the leaves it holds out: {listed(leaves, most=5)}."
        raise ConfigError(message)
