"""Examples under a hierarchy: each with all labels above its own, and those of some leaves kept for later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool
from scipy.sparse import csr_array, vstack

from labelcontrast.config.sections import Hierarchy as Wanted
from labelcontrast.data.batches import dense_truth, encode_labels
from labelcontrast.data.examples import Examples, Part
from labelcontrast.data.readers.cells.label_values import PRESENT
from labelcontrast.data.readers.rows import listed
from labelcontrast.data.splitting.splits import Splits, warn
from labelcontrast.errors import ConfigError, nearest
from labelcontrast.evaluation.hierarchical.unseen import hold_out_leaves
from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.labels.vocabulary import LabelVocabulary
from labelcontrast.run.hierarchical.tree import LabelTree

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


def hold_out(splits: Splits, tree: LabelTree, wanted: Wanted, *, seed: int) -> tuple[Splits, Unseen]:
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
