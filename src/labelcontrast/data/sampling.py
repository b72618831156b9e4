"""Batch samplers: shuffled, with partners for rare labels, or with partners at each level of a hierarchy."""

from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from torch.utils.data import Sampler

from labelcontrast.data.stratification import as_sparse
from labelcontrast.errors import LabelShapeError
from labelcontrast.labels.hierarchy import Hierarchy

POOL = 50
"""Batches whose examples are sorted by length together: many enough to save padding, few enough to stay random."""
JITTER = 0.1
"""The random change, as a share, of lengths before the examples of a label are sorted by length."""
LOOK_AHEAD = 64
"""Packs that are tried to fill the rest of a batch."""
AHEAD = 16
"""Packs among which the next one of a hierarchical batch is chosen."""


class SeededBatches(Sampler[list[int]], ABC):
    """Batches of indices whose order depends on seed and epoch alone, so that a resumed run sees the same batches.

    Args:
        seed: Seed of all orders.
        smallest: Batches with fewer examples are dropped, since an anchor alone has no contrast.
        rank: The index of this process among those that train together; it takes every ``ranks``-th batch.
        ranks: The number of processes; surplus batches are dropped, so that all take the same number.
    """

    def __init__(self, *, seed: int, smallest: int = 1, rank: int = 0, ranks: int = 1) -> None:
        self._seed, self._smallest, self._rank, self._ranks = seed, smallest, rank, ranks
        self._epoch = self._drawn = 0
        self._current_batches: tuple[int, list[list[int]]] | None = None
        # Lightning calls set_epoch on ``batch_sampler.sampler``.
        self.sampler = self

    _lengths: np.ndarray
    _batch_size: int

    @abstractmethod
    def lay(self, random: np.random.Generator) -> Iterable[list[int]]:
        """Return all batches of an epoch; their order is shuffled afterwards."""

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch whose batches come next, counted from 0."""
        if epoch != self._epoch:
            self._epoch, self._drawn = epoch, 0

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, and the number of its batches that were drawn."""
        return {"epoch": self._epoch, "drawn": self._drawn}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue from a state, also in the middle of an epoch."""
        self._epoch, self._drawn = state["epoch"], state["drawn"]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._lengths):,} examples, batch_size={self._batch_size})"

    def __len__(self) -> int:
        """Return the number of batches of the current epoch for this rank."""
        return len(self._current())

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the remaining batches of the current epoch."""
        for batch in self._current()[self._drawn :]:
            self._drawn += 1
            yield batch
        self._drawn = 0

    def _current(self) -> list[list[int]]:
        """Return the batches of the current epoch for this rank, computed once."""
        if self._current_batches is None or self._current_batches[0] != self._epoch:
            random = np.random.default_rng([self._seed, self._epoch])
            batches = [batch for batch in self.lay(random) if len(batch) >= self._smallest]
            whole = len(batches) // self._ranks * self._ranks
            mine = random.permutation(len(batches))[self._rank : whole : self._ranks]
            self._current_batches = self._epoch, [batches[index] for index in mine]
        return self._current_batches[1]


class ShuffledBatches(SeededBatches):
    """Every example once an epoch, in random order; examples of similar length share a batch.

    Shuffle, cut into pools of 50 batches, sort each pool by length, cut into batches, shuffle the batches.

    Args:
        lengths: The length of each example.
        batch_size: Examples a batch, at most.
        seed, smallest, rank, ranks: As in :class:`SeededBatches`.

    Example:
        >>> batches = ShuffledBatches(np.array([3, 1, 2, 1, 3]), batch_size=2, seed=0, smallest=2)
        >>> len(batches), sorted(len(batch) for batch in batches)
        (2, [2, 2])
    """

    def __init__(
        self, lengths: ArrayLike, *, batch_size: int, seed: int, smallest: int = 1, rank: int = 0, ranks: int = 1
    ) -> None:
        super().__init__(seed=seed, smallest=smallest, rank=rank, ranks=ranks)
        self._lengths, self._batch_size = np.asarray(lengths), batch_size

    def lay(self, random: np.random.Generator) -> Iterator[list[int]]:
        """Yield the batches of an epoch."""
        order = random.permutation(len(self._lengths))
        pool = POOL * self._batch_size
        for start in range(0, len(order), pool):
            chunk = order[start : start + pool]
            chunk = chunk[np.argsort(self._lengths[chunk], kind="stable")]
            for at in range(0, len(chunk), self._batch_size):
                yield chunk[at : at + self._batch_size].tolist()


class Pack(NamedTuple):
    """Examples that stay together, and their time in the epoch, from 0 to 1."""

    time: float
    rows: list[int]


class PackedBatches(SeededBatches):
    """The base of samplers whose batches hold whole packs of examples that share a label.

    Its arguments are those of :class:`MultiLabelBatches`.
    """

    def __init__(
        self,
        labels: csr_array | ArrayLike,
        lengths: ArrayLike,
        *,
        batch_size: int,
        per_label: int,
        seed: int,
        levels: NDArray[Any] | None = None,
        smallest: int = 1,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        super().__init__(seed=seed, smallest=smallest, rank=rank, ranks=ranks)
        labels, self._lengths = as_sparse(labels), np.asarray(lengths)
        if self._lengths.shape != labels.shape[:1]:
            message = f"lengths must have one number for each of {labels.shape[0]:,} examples. "
            raise LabelShapeError(f"{message}Got shape {list(self._lengths.shape)}.")
        self._owned = owned_examples(labels, levels)
        self._batch_size, self._per_label = batch_size, min(per_label, batch_size)

    def lay(self, random: np.random.Generator) -> Iterator[list[int]]:
        """Return the batches of an epoch."""
        packs = {label: cut_packs(rows, self._lengths, self._per_label, random) for label, rows in self._owned.items()}
        return self.fill(packs)

    @abstractmethod
    def fill(self, packs: Mapping[int, list[Pack]]) -> Iterator[list[int]]:
        """Yield batches that are filled with the packs of all labels."""


class MultiLabelBatches(PackedBatches):
    r"""Every example once an epoch, in packs of examples that share a label: each batch holds whole packs.

    An example is assigned to the rarest label that it shares with an example that is not assigned yet. The examples of
    a label, in random order and sorted by length if lengths differ, make packs of ``per_label``; two or more that
    remain are a pack, and a single one joins another. So a batch has about ``batch_size // per_label`` labels with
    ``per_label`` examples each (of a rarer label, all it has), and an anchor lacks a positive only if no other example
    shares a label with it. The packs of a label are spread evenly over the epoch, so that the labels within a batch
    differ where possible:

    .. math:: t_k = (k + u_l) / c_l, \qquad u_l \sim U(0, 1)

    is the time of the k-th of the :math:`c_l` packs of label l; batches are cut from the packs in the order of time.

    Args:
        labels: Multi-hot matrix [examples, labels], sparse or dense.
        lengths: The length of each example.
        batch_size: Examples a batch, at most.
        per_label: Examples a pack; 2 gives each anchor a partner.
        levels: The level of each label: an example is assigned to a label of the highest level that it shares. By
            default all labels have the same level.
        seed, smallest, rank, ranks: As in :class:`SeededBatches`.

    Example:
        >>> labels = csr_array(np.array([[1, 1], [1, 0], [0, 1], [1, 0]], dtype=np.uint8))
        >>> sorted(map(sorted, MultiLabelBatches(labels, np.ones(4), batch_size=2, per_label=2, seed=0)))
        [[0, 2], [1, 3]]
    """

    def fill(self, packs: Mapping[int, list[Pack]]) -> Iterator[list[int]]:
        """Fill batches with whole packs in their order; a pack that does not fit waits while a smaller one goes in."""
        waiting = deque(pack.rows for pack in _in_time(chain.from_iterable(packs.values())))
        while waiting:
            batch: list[int] = []
            passed: list[list[int]] = []
            while waiting and len(batch) < self._batch_size and len(passed) < LOOK_AHEAD:
                pack = waiting.popleft()
                if len(batch) + len(pack) <= self._batch_size or not batch:
                    batch += pack
                else:
                    passed.append(pack)
            waiting.extendleft(reversed(passed))
            yield batch


class HierarchicalBatches(PackedBatches):
    """Every example once an epoch, with an example of its lowest label, one of a sibling label, of a cousin, and so on.

    An example is assigned to a label that it shares with another example, ancestors of its labels included: to one of
    the lowest possible level, and there, as in :class:`MultiLabelBatches`, to the rarest. The examples of a label make
    packs of ``per_label``. Then, from the lowest level up, a label takes the packs of its children and joins each with
    the first in time of another child, which gives a pack of the label. So in a tree whose inner nodes have two or more
    children, a pack of a root with K levels below it has ``per_label * 2**K`` examples, and each of them has a positive
    at each level. A pack without a partner joins a pair. A pack larger than half a batch is not joined, so a batch
    should hold a pack of a root.

    That is enough if an example has one path. If it has several, the pack of one path may share a lower label with all
    its examples; so a batch is filled with those of the next packs in time that its anchors still lack.

    Args:
        labels: Multi-hot matrix [examples, labels], sparse or dense, closed upwards or not.
        hierarchy: The hierarchy over the labels; its first nodes are the columns, in their order.
        lengths: The length of each example.
        batch_size: Examples a batch, at most.
        per_label: Examples of a lowest label in a pack; 2 gives each anchor a partner there.
        seed, smallest, rank, ranks: As in :class:`SeededBatches`.

    Example:
        >>> animals = Hierarchy.from_parents({"cat": "animal", "dog": "animal", "oak": "plant", "elm": "plant"})
        >>> labels = csr_array(np.eye(4, dtype=np.uint8).repeat(2, axis=0))
        >>> sorted(map(sorted, HierarchicalBatches(labels, animals, np.ones(8), batch_size=4, per_label=2, seed=0)))
        [[0, 1, 2, 3], [4, 5, 6, 7]]

    Reference: Zhang et al., Use All the Labels: A Hierarchical Multi-Label Contrastive Learning Framework, 2022, whose
    sampler draws for an anchor one positive a level; here every example is an anchor, and occurs once.
    """

    def __init__(
        self,
        labels: csr_array | ArrayLike,
        hierarchy: Hierarchy,
        lengths: ArrayLike,
        *,
        batch_size: int,
        per_label: int,
        seed: int,
        smallest: int = 1,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        wide = csr_array(as_sparse(labels))
        wide.resize(wide.shape[0], len(hierarchy))
        self._closed, self._depths = hierarchy.close(wide), hierarchy.depths
        sizes = {"batch_size": batch_size, "per_label": per_label, "smallest": smallest}
        super().__init__(self._closed, lengths, seed=seed, levels=self._depths, rank=rank, ranks=ranks, **sizes)
        self._above = rarest_parents(hierarchy, self._closed.sum(0))
        self._bottom_up = np.argsort(-hierarchy.depths, kind="stable").tolist()

    def fill(self, packs: Mapping[int, list[Pack]]) -> Iterator[list[int]]:
        """Join packs from the lowest level up, and fill batches with what their anchors lack."""
        waiting: dict[int, list[tuple[int, Pack]]] = defaultdict(list)
        for label, held in packs.items():
            waiting[label] = [(label, pack) for pack in held]
        for label in self._bottom_up:
            joined = join_packs(waiting.pop(label, []), self._batch_size)
            waiting[self._above[label]] += [(label, pack) for pack in joined]
        return fill_by_need([pack for _, pack in waiting[-1]], self._batch_size, self._closed, self._depths)


def owned_examples(labels: csr_array, levels: NDArray[Any] | None = None) -> dict[int, NDArray[np.int64]]:
    """Assign each example to the rarest of its labels to which another example can be assigned too.

    Args:
        labels: Multi-hot matrix [examples, labels].
        levels: The level of each label; labels of a higher level come before all others, however rare.

    Returns:
        The examples of each label, at least two; under -1 those that share no label with what was left.

    Example:
        >>> owned = owned_examples(csr_array(np.array([[1, 1], [0, 1], [0, 1], [0, 0]])))
        >>> {label: rows.tolist() for label, rows in owned.items()}
        {1: [0, 1, 2], -1: [3]}
    """
    columns = labels.tocsc()
    counts = np.diff(columns.indptr)
    free = np.ones(labels.shape[0], dtype=bool)
    owned = {}
    for label in np.lexsort((counts, 0 * counts if levels is None else -levels)).tolist():
        holders = columns.indices[columns.indptr[label] : columns.indptr[label + 1]]
        rows = holders[free[holders]].astype(np.int64)
        if len(rows) > 1:
            free[rows] = False
            owned[label] = rows
    rest = np.flatnonzero(free)
    return {**owned, -1: rest} if len(rest) else owned


def cut_packs(rows: NDArray[np.int64], lengths: np.ndarray, size: int, random: np.random.Generator) -> list[Pack]:
    """Cut the examples of a label into packs of similar length, spread over the epoch; a last single one joins one."""
    jittered = lengths[rows] * random.uniform(1 - JITTER, 1 + JITTER, len(rows))
    cuts = list(range(size, len(rows), size))
    if cuts and len(rows) - cuts[-1] == 1 and size > 1:
        cuts.pop()
    parts = np.split(rows[np.argsort(jittered)], cuts)
    times = (np.arange(len(parts)) + random.random()) / len(parts)
    return [Pack(time, part.tolist()) for time, part in zip(times.tolist(), parts, strict=True)]


def rarest_parents(hierarchy: Hierarchy, counts: NDArray[Any]) -> list[int]:
    """Return for each node the parent with the fewest examples, of several the first; -1 for a root.

    Example:
        >>> rarest_parents(Hierarchy.from_parents({"a": None, "b": None, "c": ["a", "b"]}), np.array([3, 2, 1]))
        [-1, -1, 1]
    """
    links = hierarchy.parents.tocoo()
    order = np.lexsort((links.col, counts[links.col], links.row))[::-1]
    found = np.full(len(hierarchy), -1)
    found[links.row[order]] = links.col[order]  # the last that is written is the first
    return found.tolist()


def join_packs(packs: list[tuple[int, Pack]], size: int) -> list[Pack]:
    """Join each pack with one of another label, in the order of time; one that is left joins a pair.

    Args:
        packs: Packs, each with the label that it comes from.
        size: Examples of a pack, at most; a pack of more than half of that is not joined.

    Example:
        >>> cats, dogs = [(0, Pack(0.1, [1, 2])), (0, Pack(0.6, [3, 4]))], [(1, Pack(0.3, [5, 6]))]
        >>> join_packs([*cats, *dogs], 4)
        [Pack(time=0.6, rows=[3, 4]), Pack(time=0.1, rows=[1, 2, 5, 6])]
        >>> join_packs([*cats, *dogs], 6)
        [Pack(time=0.1, rows=[1, 2, 5, 6, 3, 4])]
    """
    joined = [pack for _, pack in packs if len(pack.rows) > size // 2]
    alone: deque[tuple[int, Pack]] = deque()  # all of one label, since one of another would have taken the first
    pairs: deque[Pack] = deque()
    for label, pack in sorted(packs, key=lambda one: one[1].time):
        if len(pack.rows) > size // 2:
            continue
        if alone and alone[0][0] != label:
            pairs.append(_together(alone.popleft()[1], pack))
        else:
            alone.append((label, pack))
    for _, pack in alone:
        if pairs and len(pairs[0].rows) + len(pack.rows) <= size:
            joined.append(_together(pairs.popleft(), pack))
        else:
            joined.append(pack)
    return [*joined, *pairs]


def fill_by_need(packs: Sequence[Pack], size: int, closed: csr_array, depths: NDArray[Any]) -> Iterator[list[int]]:
    """Fill each batch with the first pack in time, then with those of the next packs that serve most levels.

    A level of an example is served if the batch has another example that it meets there, or if it has no label there.

    Example:
        >>> closed = csr_array([[1, 0], [0, 1], [1, 0], [0, 1]])
        >>> list(fill_by_need([Pack(0.1 * row, [row]) for row in range(4)], 2, closed, np.array([0, 0])))
        [[0, 2], [1, 3]]
    """
    waiting = deque(pack.rows for pack in _in_time(packs))
    while waiting:
        upto = np.searchsorted(np.cumsum([len(rows) for rows in islice(waiting, size)]), size)
        near = list(islice(waiting, int(upto) + AHEAD))
        dense = closed[[row for rows in near for row in rows]].toarray()
        without = np.stack([~dense[:, depths == level].any(1) for level in _levels(depths)], 1)
        chosen = choose_packs([len(rows) for rows in near], size, meetings(dense, depths), without)
        yield [row for place in chosen for row in near[place]]
        for place in sorted(chosen, reverse=True):
            del waiting[place]


def meetings(closed: NDArray[Any], depths: NDArray[Any]) -> Bool[np.ndarray, "examples examples levels"]:
    """Mark the level on which two examples meet: the lowest level of a label that both have.

    Args:
        closed: Multi-hot matrix [examples, nodes], closed upwards.
        depths: The level of each node.

    Example:
        >>> met = meetings(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1]]), np.array([0, 1, 1]))
        >>> met[0].tolist()
        [[False, True], [False, True], [True, False]]
    """
    levels = [closed[:, depths == level].astype(np.float32) for level in _levels(depths)]
    met = np.stack([level @ level.T > 0 for level in levels], 2)
    for level in range(len(levels) - 1):
        met[:, :, level] &= ~met[:, :, level + 1 :].any(2)
    return met


def choose_packs(
    lengths: Sequence[int],
    size: int,
    met: Bool[np.ndarray, "examples examples levels"],
    served: Bool[np.ndarray, "examples levels"],
) -> list[int]:
    """Choose the packs of a batch: the first, then repeatedly the one that serves most levels.

    Args:
        lengths: The number of examples of each pack; those of all packs are concatenated.
        size: Examples of a batch, at most.
        met: The level on which two examples meet.
        served: The levels of an example that need no other example.
    """
    ends = np.cumsum(lengths)
    places = [np.arange(end - length, end) for end, length in zip(ends, lengths, strict=True)]
    met[np.arange(len(met)), np.arange(len(met))] = False
    served = served.copy()
    for rows in places:
        served[rows] |= met[np.ix_(rows, rows)].any(1)
    chosen, batch = [0], places[0]
    while True:
        ahead = [place for place in range(len(lengths)) if place not in chosen][:AHEAD]
        fitting = [place for place in ahead if len(batch) + lengths[place] <= size]
        if not fitting:
            return chosen
        starts = np.cumsum([0, *(lengths[place] for place in fitting[:-1])])
        rows = np.concatenate([places[place] for place in fitting])
        across = met[rows][:, batch]
        for_batch = np.logical_or.reduceat(across, starts, axis=0) & ~served[batch]
        for_packs = across.any(1) & ~served[rows]
        best = int(np.argmax(for_batch.sum((1, 2)) + np.add.reduceat(for_packs.sum(1), starts)))
        served[batch] |= for_batch[best]
        served[rows] |= for_packs * np.isin(rows, places[fitting[best]])[:, None]
        chosen.append(fitting[best])
        batch = np.concatenate([batch, places[fitting[best]]])


def _in_time(packs: Iterable[Pack]) -> list[Pack]:
    return sorted(packs, key=lambda pack: pack.time)


def _levels(depths: NDArray[Any]) -> range:
    return range(int(depths.max(initial=0)) + 1)


def _together(first: Pack, second: Pack) -> Pack:
    return Pack(first.time, first.rows + second.rows)
