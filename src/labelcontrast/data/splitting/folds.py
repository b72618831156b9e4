"""Cross-validation: all examples together, divided anew into folds; one is tested on, and the others are trained on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeVar, cast

import numpy as np

from labelcontrast.data.examples import Examples, Inputs, Part
from labelcontrast.data.readers.cells.arrow_column import ArrowColumn
from labelcontrast.data.splitting.stratification import Rows, iterative_stratification, stratified_folds
from labelcontrast.errors import DataError
from labelcontrast.labels.vocabulary import LabelVocabulary

T = TypeVar("T")


def cross_validate(
    examples: Examples, vocabulary: LabelVocabulary, *, folds: int, fold: int, val: float, seed: int
) -> tuple[dict[Part, Examples], str]:
    """Test on one fold, and divide the others into training and validation; all by iterative stratification.

    Args:
        examples: all there are.
        vocabulary: their labels.
        folds: how many; every example is in exactly one.
        fold: which is tested on, from 0.
        val: the share of the other folds that is validation.
        seed: of the folds, which are the same whichever is tested on, and of the validation examples.

    Returns:
        The three parts, and how they came about in one sentence.

    Raises:
        ConfigError: there are fewer than two folds, or more than examples.
        DataError: a part would be empty.
    """
    labels = vocabulary.encode(examples.label_sets or [])
    rest, test = stratified_folds(labels, folds, generator=np.random.default_rng(seed))[fold]
    train, held_out = iterative_stratification(labels[rest], (1 - val, val), generator=np.random.default_rng(seed))
    parts: dict[Part, Rows] = {"train": rest[train], "val": rest[held_out], "test": test}
    if not all(map(len, parts.values())):
        message = f"{len(examples)} examples are too few for {folds} folds and validation examples beside each."
        raise DataError(message, path=examples.origin)
    said = f"test is fold {fold} of {folds}, counted from 0, and val {100 * val:.3g} % of the others"
    how = f"{said}, by iterative stratification of all examples with seed {seed}"
    return {part: examples.select(rows) for part, rows in parts.items()}, how


def pool(parts: Sequence[Examples], vocabulary: LabelVocabulary, origin: str) -> Examples:
    """Put parts together, one after the other.

    Args:
        parts: of the same kind, all with labels.
        vocabulary: the labels of all.
        origin: the file or folder that all are of.

    Example:
        >>> examples = Examples(
        ...     inputs=["a goal", "a vote"], label_sets=[("sports",), ("politics",)], kind="text",
        ...     ids=["1", "2"], lines=[2, 3], origin="reviews.csv", understood="reviews.csv: 2 rows",
        ... )
        >>> labels = LabelVocabulary(("politics", "sports"))
        >>> pool([examples.select([1]), examples.select([0])], labels, "reviews.csv").inputs
        ['a vote', 'a goal']
    """
    soft, partly = any(part.values for part in parts), any(part.annotated is not None for part in parts)
    every = vocabulary.names  # where nothing says which labels were looked for, all were
    return replace(
        parts[0],
        inputs=_joined([part.inputs for part in parts]),
        label_sets=_chained(part.label_sets or [] for part in parts),
        ids=_chained(part.ids for part in parts),
        lines=_chained(part.lines for part in parts),
        origin=origin,
        parts=None,
        values=_chained(part.values or [{}] * len(part) for part in parts) if soft else None,
        annotated=_chained(part.annotated or [every] * len(part) for part in parts) if partly else None,
        parents=_above(parts),
    )


def _joined(inputs: Sequence[Inputs]) -> Inputs:
    """Put inputs of one kind together, as far as that goes without reading them."""
    arrays = [one for one in inputs if isinstance(one, np.ndarray)]
    if len(arrays) == len(inputs):
        return np.concatenate(arrays)
    columns = [one for one in inputs if isinstance(one, ArrowColumn)]
    if len(columns) == len(inputs) and len({one.holds_bytes for one in columns}) == 1:
        return ArrowColumn.joined(columns)
    return cast("Inputs", _chained(inputs))


def _above(parts: Sequence[Examples]) -> Mapping[str, tuple[str, ...]] | None:
    """Gather the labels above each label from all parts that know of some."""
    known = [part.parents for part in parts if part.parents is not None]
    names = dict.fromkeys(_chained(known))
    found = {name: dict.fromkeys(_chained(above.get(name, ()) for above in known)) for name in names}
    return {name: tuple(above) for name, above in found.items()} if known else None


def _chained(lists: Iterable[Iterable[T]]) -> list[T]:
    """Put lists together."""
    return list(chain.from_iterable(lists))
