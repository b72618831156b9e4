"""Examples: inputs of one kind with their label sets, and the place that each one comes from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal, Self, TypeAlias, TypeVar, cast

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from labelcontrast.data.label_cells import CellFormat
from labelcontrast.data.table import ArrowColumn
from labelcontrast.encoders.base import Kind
from labelcontrast.labels.label_sets import LabelSets
from labelcontrast.labels.vocabulary import LabelVocabulary

T = TypeVar("T")
SplitName = Literal["train", "val", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "val", "test")
SPLIT_ALIASES: dict[str, SplitName] = {
    "train": "train", "training": "train", "test": "test", "testing": "test",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
}  # fmt: skip
"""Usual names of the splits, in small letters, in files, columns and folders."""
Inputs: TypeAlias = list[str] | list[Path] | ArrowColumn | NDArray[np.float32] | sp.csr_array


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a table that examples are read from, and how their cells are written.

    They are found once over all parts of the data, and a run remembers them.
    """

    inputs: str
    labels: str | tuple[str, ...] | None
    """One column of label sets, a column for each label, or none."""
    form: CellFormat = CellFormat()  # noqa: RUF009  a named tuple


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Inputs and label sets as a reader returns them; every field is in the order of the file.

    Example:
        >>> examples = Examples(
        ...     inputs=["a goal", "a vote"], label_sets=[("sports",), ("politics",)], kind="text",
        ...     ids=["1", "2"], lines=[2, 3], origin="reviews.csv", understood="reviews.csv: 2 rows",
        ... )
        >>> examples.select([1]).inputs, examples.where(1)
        (['a vote'], 'reviews.csv, line 3')
    """

    inputs: Inputs
    """Texts, in memory or in their file; pictures, as paths or bytes; or float32 [examples, features], or sparse."""
    label_sets: Sequence[tuple[str, ...]] | None
    """The labels of each example, stored as ``LabelSets``; None without labels, as in the input of a prediction."""
    kind: Kind
    ids: Sequence[str]
    """The name of each example; its line if the file has no names."""
    lines: Sequence[int]
    """The line of each example in its file, from 1."""
    origin: str
    """The file or folder, as the user wrote it."""
    understood: str
    """One sentence about how the reader interpreted the file."""
    label_names: tuple[str, ...] | None = None
    """The order of the labels, if the file or a ``labels.json`` beside it gives one."""
    splits: Sequence[SplitName] | None = None
    """The split of each example, if the file gives it."""
    counted: str = "line"
    """The unit of ``lines``: a line, or a row if the file has no lines."""
    dataset: str | None = None
    """The known data set that the examples belong to, as ``aapd``, if the folder shows it."""
    values: Sequence[dict[str, float]] | None = None
    """For each example the labels whose value is neither 0 nor 1: a number between, or NaN if it is unknown."""
    annotated: Sequence[tuple[str, ...]] | None = None
    """For each example the labels that were annotated; every other label that it does not have is unknown."""
    parents: Mapping[str, tuple[str, ...]] | None = None
    """The labels directly above each label, if the data have a hierarchy; top labels may be missing."""
    columns: "Columns | None" = None
    """The columns that the examples were read from, if they come from a table."""

    def __post_init__(self) -> None:
        """Store label sets compactly; readers may pass lists of tuples."""
        for name in ("label_sets", "annotated"):
            if (sets := getattr(self, name)) is not None:
                object.__setattr__(self, name, LabelSets.of(sets))

    def __repr__(self) -> str:
        labels = "" if self.label_sets is not None else ", no labels"
        return f"Examples({len(self):,} of kind {self.kind} from {self.origin}{labels})"

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, indices: Sequence[int] | NDArray[np.integer]) -> Self:
        """Return the examples at these positions, in this order."""
        rows = np.asarray(indices, dtype=np.int64)

        def at(values: Sequence[T]) -> Sequence[T]:
            return values.select(rows) if isinstance(values, ArrowColumn) else [values[row] for row in rows.tolist()]

        return replace(
            self,
            inputs=self.inputs_at(rows),
            label_sets=None if self.label_sets is None else LabelSets.of(self.label_sets).select(rows),
            ids=at(self.ids),
            lines=at(self.lines),
            splits=None if self.splits is None else at(self.splits),
            values=None if self.values is None else at(self.values),
            annotated=None if self.annotated is None else LabelSets.of(self.annotated).select(rows),
        )

    def with_labels(self, names: Iterable[str]) -> Self:
        """Drop all labels but these; an example without any of them stays.

        Example:
            >>> examples = Examples(
            ...     inputs=["a goal", "a vote"], label_sets=[("sports", "news"), ("politics",)], kind="text",
            ...     ids=["1", "2"], lines=[2, 3], origin="reviews.csv", understood="reviews.csv: 2 rows",
            ... )
            >>> examples.with_labels({"news"}).label_sets
            [('news',), ()]
        """
        return self.relabelled({name: name for name in names})

    def relabelled(self, become: Mapping[str, str]) -> Self:
        """Rename labels: those of one new name are merged, and one without a new name is dropped.

        A merged label is present where one of its labels is, else unknown where one of them is; of soft ones it has
        the largest value.

        Example:
            >>> examples = Examples(
            ...     inputs=["a goal", "a vote"], label_sets=[("sports", "news"), ("politics",)], kind="text",
            ...     ids=["1", "2"], lines=[2, 3], origin="reviews.csv", understood="reviews.csv: 2 rows",
            ... )
            >>> examples.relabelled({"sports": "games", "news": "games"}).label_sets
            [('games',), ()]
        """
        parts: dict[str, set[str]] = {}
        for name, new in become.items():
            parts.setdefault(new, set()).add(name)

        def renamed(labels: Iterable[str]) -> tuple[str, ...]:
            return tuple(dict.fromkeys(become[name] for name in labels if name in become))

        def merged(values: Mapping[str, float], present: Iterable[str]) -> dict[str, float]:
            found: dict[str, float] = {}
            for name in filter(become.__contains__, values):
                found[become[name]] = float(np.maximum(found.get(become[name], 0.0), values[name]))  # NaN if one is
            certain = {become.get(name) for name in present if name not in values}
            return {name: value for name, value in found.items() if name not in certain}

        def annotated(labels: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(name for name in renamed(labels) if parts[name] <= set(labels))

        return replace(
            self,
            label_sets=self.label_sets and LabelSets.of(self.label_sets).mapped(lambda name: renamed([name])),
            label_names=self.label_names and renamed(self.label_names),
            values=self.values and [merged(*row) for row in zip(self.values, self.label_sets or [], strict=True)],
            annotated=self.annotated and [annotated(row) for row in self.annotated],
            parents=self.parents
            and {become[name]: renamed(above) for name, above in self.parents.items() if name in become},
        )

    def inputs_at(self, indices: Sequence[int] | NDArray[np.integer]) -> Inputs:
        """Return the inputs at these positions; those in Arrow stay unread."""
        rows = np.asarray(indices, dtype=np.int64)
        if isinstance(self.inputs, np.ndarray | sp.csr_array):
            return self.inputs[rows]
        if isinstance(self.inputs, ArrowColumn):
            return self.inputs.select(rows)
        return cast("Inputs", [self.inputs[row] for row in rows.tolist()])

    def where(self, index: int) -> str:
        """Return the place of the example at a position, as ``reviews.jsonl, line 17``."""
        return f"{self.origin}, {self.counted} {self.lines[index]}"

    def where_labels(self, index: int) -> str:
        """Return the place of the labels of the example at a position, with their column if there is a single one."""
        place = self.where(index)
        single = self.columns is not None and isinstance(self.columns.labels, str)
        return f'{place}, column "{self.columns.labels}"' if self.columns and single else place


BySplit = dict[SplitName, Examples]
"""Examples by the name of their split."""


def pool(parts: Sequence[Examples], vocabulary: LabelVocabulary, origin: str) -> Examples:
    """Concatenate examples.

    Args:
        parts: Examples of one kind, all with labels.
        vocabulary: The labels of all.
        origin: The file or folder that all come from.

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
    every = vocabulary.names  # without a column of annotated labels, all labels were annotated
    return replace(
        parts[0],
        inputs=_pooled_inputs([part.inputs for part in parts]),
        label_sets=_chained(part.label_sets or [] for part in parts),
        ids=_chained(part.ids for part in parts),
        lines=_chained(part.lines for part in parts),
        origin=origin,
        splits=None,
        values=_chained(part.values or [{}] * len(part) for part in parts) if soft else None,
        annotated=_chained(part.annotated or [every] * len(part) for part in parts) if partly else None,
        parents=_pooled_parents(parts),
    )


def _pooled_inputs(inputs: Sequence[Inputs]) -> Inputs:
    """Concatenate inputs of one kind; if all are in Arrow, without reading them."""
    arrays = [one for one in inputs if isinstance(one, np.ndarray)]
    if len(arrays) == len(inputs):
        return np.concatenate(arrays)
    if all(map(sp.issparse, inputs)):
        return sp.csr_array(sp.vstack(inputs))
    columns = [one for one in inputs if isinstance(one, ArrowColumn)]
    if len(columns) == len(inputs) and len({one.holds_bytes for one in columns}) == 1:
        return ArrowColumn.joined(columns)
    return cast("Inputs", _chained(inputs))


def _pooled_parents(parts: Sequence[Examples]) -> Mapping[str, tuple[str, ...]] | None:
    known = [part.parents for part in parts if part.parents is not None]
    names = dict.fromkeys(_chained(known))
    found = {name: dict.fromkeys(_chained(above.get(name, ()) for above in known)) for name in names}
    return {name: tuple(above) for name, above in found.items()} if known else None


def _chained(lists: Iterable[Iterable[T]]) -> list[T]:
    return list(chain.from_iterable(lists))
