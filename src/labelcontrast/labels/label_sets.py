"""The label sets of many examples, as integer codes of their names."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, pairwise
from operator import eq
from typing import Self, overload

import numpy as np
from numpy.typing import NDArray

AT_A_TIME = 10_000
"""Label sets that are turned into Python objects at a time."""


class LabelSets(Sequence[tuple[str, ...]]):
    """A sequence of label sets that takes four bytes per label, and is encoded and selected without a loop over rows.

    It equals the list of tuples with the same labels; tuples are created on access.

    Args:
        names: Distinct names, of which some may not occur.
        codes: The labels of all examples, one example after the other, as positions in ``names``; distinct within an
            example.
        starts: Where each example begins in ``codes``, and the end of the last one.

    Example:
        >>> sets = LabelSets.of([("sports", "news"), (), ("news",)])
        >>> sets[0], sets.names, sets.codes.tolist(), sets.starts.tolist()
        (('sports', 'news'), ('sports', 'news'), [0, 1, 1], [0, 2, 2, 3])
        >>> sets.select(np.array([2, 1]))
        [('news',), ()]
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, names: Sequence[str], codes: NDArray[np.integer], starts: NDArray[np.integer]) -> None:
        self.names = tuple(names)
        self.codes = codes.astype(np.int32, copy=False)
        self.starts = starts.astype(np.int64, copy=False)

    @classmethod
    def of(cls, label_sets: Iterable[Iterable[str]]) -> "LabelSets":
        """Convert label sets, unless they are ``LabelSets``; duplicates within an example count once."""
        if isinstance(label_sets, LabelSets):
            return label_sets
        sets = [tuple(dict.fromkeys(labels)) for labels in label_sets]
        place = {name: code for code, name in enumerate(dict.fromkeys(chain.from_iterable(sets)))}
        starts = offsets(np.fromiter(map(len, sets), np.int64, count=len(sets)))
        codes = np.fromiter(map(place.__getitem__, chain.from_iterable(sets)), np.int32, count=int(starts[-1]))
        return cls(tuple(place), codes, starts)

    @classmethod
    def of_each_once(cls, names: Sequence[str], codes: NDArray[np.integer], sizes: NDArray[np.integer]) -> Self:
        """Build label sets from codes and the number of each example's codes; of duplicates the first stays."""
        rows = np.repeat(np.arange(len(sizes)), sizes)
        labels = rows * max(len(names), 1) + codes
        ordered = np.sort(labels)
        if (ordered[1:] == ordered[:-1]).any():
            first = np.sort(np.unique(labels, return_index=True)[1])
            codes, sizes = codes[first], np.bincount(rows[first], minlength=len(sizes))
        return cls(names, codes, offsets(sizes))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, index: int) -> tuple[str, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[str, ...]]: ...
    def __getitem__(self, index: int | slice) -> tuple[str, ...] | list[tuple[str, ...]]:
        if isinstance(index, slice):
            return list(self.select(np.arange(*index.indices(len(self)))))
        row = range(len(self))[index]
        return tuple(self.names[code] for code in self.codes[self.starts[row] : self.starts[row + 1]].tolist())

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        names = np.array([*self.names, None], dtype=object)
        for start in range(0, len(self), AT_A_TIME):
            ends = self.starts[start : start + AT_A_TIME + 1]
            labels = names[self.codes[ends[0] : ends[-1]]].tolist()
            yield from (tuple(labels[one:other]) for one, other in pairwise((ends - ends[0]).tolist()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    def __repr__(self) -> str:
        return repr(list(self))

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of labels of each example."""
        return np.diff(self.starts)

    @property
    def held(self) -> list[str]:
        """The names that occur."""
        present = np.flatnonzero(np.bincount(self.codes, minlength=len(self.names)))
        return [self.names[code] for code in present.tolist()]

    def select(self, rows: NDArray[np.integer]) -> "LabelSets":
        """Return the label sets at these positions, in this order."""
        sizes = self.sizes[rows]
        ends = offsets(sizes)
        # Of each selected label: where its example began, and its distance from there.
        places = np.repeat(self.starts[rows] - ends[:-1], sizes) + np.arange(ends[-1])
        return LabelSets(self.names, self.codes[places], ends)

    def mapped(self, become: Callable[[str], Sequence[str]]) -> "LabelSets":
        """Replace each label by none, one or several others; duplicates within an example then count once.

        Example:
            >>> LabelSets.of([("a", "b"), ("b",)]).mapped(lambda name: {"a": "xy", "b": "y"}[name])
            [('x', 'y'), ('y',)]
        """
        occurring = set(self.held)
        new = LabelSets.of([become(name) if name in occurring else () for name in self.names])
        taken = new.select(self.codes)
        rows = np.repeat(np.arange(len(self)), self.sizes)
        sizes = np.bincount(np.repeat(rows, taken.sizes), minlength=len(self))
        return LabelSets.of_each_once(new.names, taken.codes, sizes)


def offsets(sizes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the starts of consecutive items of these sizes, and the end of the last."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
