"""Examples: inputs of one kind, each with a set of labels, and where they come from."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from labelcontrast.data.arrow import ArrowColumn
from labelcontrast.encoders.base import Kind
from labelcontrast.labels.label_sets import LabelSets

T = TypeVar("T")
Part = Literal["train", "val", "test"]
Inputs = list[str] | list[Path] | ArrowColumn | NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What a reader returns; the rows of every field are in the order of the file.

    Example:
        >>> examples = Examples(
        ...     inputs=["a goal", "a vote"], label_sets=[("sports",), ("politics",)], kind="text",
        ...     ids=["1", "2"], lines=[2, 3], origin="reviews.csv", understood="reviews.csv: 2 rows",
        ... )
        >>> examples.select([1]).inputs, examples.where(1)
        (['a vote'], 'reviews.csv, line 3')
    """

    inputs: Inputs
    """Texts, in memory or in their file; paths of pictures; or an array [examples, features] of 32-bit numbers."""
    label_sets: Sequence[tuple[str, ...]] | None
    """The labels of each example, kept as ``LabelSets``; None where there are none, as in the input of a prediction."""
    kind: Kind
    ids: Sequence[str]
    """The name of each example; its line where the file names none."""
    lines: Sequence[int]
    """Where each example stands in its file, from one."""
    origin: str
    """The file or folder, as the user wrote it."""
    understood: str
    """One sentence: what the reader took for what."""
    label_names: tuple[str, ...] | None = None
    """The order of the labels, where the file or a ``labels.json`` beside it gives one."""
    parts: Sequence[Part] | None = None
    """The part of the split that each example belongs to, where the file says so."""
    counted: str = "line"
    """What ``lines`` counts: a line, or a row where the file has no lines."""
    dataset: str | None = None
    """The known data set that these are of, as ``aapd``, where the folder shows it."""
    values: Sequence[dict[str, float]] | None = None
    """Of each example, the labels whose value is neither 0 nor 1: a number between, or NaN where it is unknown."""
    annotated: Sequence[tuple[str, ...]] | None = None
    """Of each example, the labels that somebody looked for: any other that it does not have is unknown."""
    parents: Mapping[str, tuple[str, ...]] | None = None
    """The labels directly above a label, where the data have a hierarchy; a label at the top is not named."""
    label_column: str | None = None
    """The column of the labels, where they stand in one."""

    def __post_init__(self) -> None:
        """Code the label sets: readers may hand in lists of tuples."""
        for name in ("label_sets", "annotated"):
            if (sets := getattr(self, name)) is not None:
                object.__setattr__(self, name, LabelSets.of(sets))

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, indices: Sequence[int] | NDArray[np.integer]) -> Self:
        """Take the examples at these positions, in this order."""
        rows = np.asarray(indices, dtype=np.int64)

        def at(values: Sequence[T]) -> Sequence[T]:
            return values.select(rows) if isinstance(values, ArrowColumn) else [values[row] for row in rows.tolist()]

        return replace(
            self,
            inputs=self.inputs_at(rows),
            label_sets=None if self.label_sets is None else LabelSets.of(self.label_sets).select(rows),
            ids=at(self.ids),
            lines=at(self.lines),
            parts=None if self.parts is None else at(self.parts),
            values=None if self.values is None else at(self.values),
            annotated=None if self.annotated is None else LabelSets.of(self.annotated).select(rows),
        )

    def with_labels(self, names: Container[str]) -> Self:
        """Keep these labels alone; an example that has none of them stays.

        Example:
            >>> examples = Examples(
            ...     inputs=["a goal", "a vote"], label_sets=[("sports", "news"), ("politics",)], kind="text",
            ...     ids=["1", "2"], lines=[2, 3], origin="reviews.csv", understood="reviews.csv: 2 rows",
            ... )
            >>> examples.with_labels({"news"}).label_sets
            [('news',), ()]
        """

        def kept(labels: Iterable[str]) -> tuple[str, ...]:
            return tuple(name for name in labels if name in names)

        return replace(
            self,
            label_sets=self.label_sets and LabelSets.of(self.label_sets).mapped(lambda name: kept([name])),
            label_names=self.label_names and kept(self.label_names),
            values=self.values and [{name: row[name] for name in kept(row)} for row in self.values],
            annotated=self.annotated and LabelSets.of(self.annotated).mapped(lambda name: kept([name])),
            parents=self.parents and {name: kept(self.parents[name]) for name in kept(self.parents)},
        )

    def inputs_at(self, indices: Sequence[int] | NDArray[np.integer]) -> Inputs:
        """Take the inputs at these positions, each kind in its own way."""
        rows = np.asarray(indices, dtype=np.int64)
        if isinstance(self.inputs, np.ndarray):
            return self.inputs[rows]
        if isinstance(self.inputs, ArrowColumn):
            return self.inputs.select(rows)
        return cast("Inputs", [self.inputs[row] for row in rows.tolist()])

    def where(self, index: int) -> str:
        """Say where the example at a position comes from, as ``reviews.jsonl, line 17``."""
        return f"{self.origin}, {self.counted} {self.lines[index]}"

    def where_labels(self, index: int) -> str:
        """Say where the labels of the example at a position come from, with the column where they stand in one."""
        place = self.where(index)
        return place if self.label_column is None else f'{place}, column "{self.label_column}"'
