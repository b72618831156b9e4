"""Which examples make a batch: seeded by epoch, of like length where length costs, with partners for rare labels."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch.utils.data import Sampler

POOL = 50
"""Batches whose examples are sorted by length together: wide enough to save padding, narrow enough to stay random."""
JITTER = 0.1
"""How far, as a share, lengths are moved at random before examples of a label are sorted by them."""
LOOK_AHEAD = 64
"""Packs that are looked at to fill the rest of a batch."""
Indices = NDArray[np.int64]


class SeededBatches(Sampler[list[int]], ABC):
    """Batches of indices in an order that is a function of seed and epoch alone, so a resumed run sees the same.

    Args:
        seed: of all orders.
        rank: which of the processes that train together this is; it takes every ``ranks``-th batch.
        ranks: how many processes there are; batches that do not go round are left out, so that all take equally many.
    """

    def __init__(self, *, seed: int, rank: int = 0, ranks: int = 1) -> None:
        self._seed, self._rank, self._ranks = seed, rank, ranks
        self._epoch = self._drawn = 0
        self._laid: tuple[int, list[list[int]]] | None = None
        # Lightning calls set_epoch on ``batch_sampler.sampler``.
        self.sampler = self

    @abstractmethod
    def lay(self, random: np.random.Generator) -> list[list[int]]:
        """Lay out the batches of an epoch, in their order, for all ranks."""

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch's order comes next, counted from 0."""
        if epoch != self._epoch:
            self._epoch, self._drawn = epoch, 0

    def state_dict(self) -> dict[str, int]:
        """Say where this is: the epoch, and the batches of it that were drawn."""
        return {"epoch": self._epoch, "drawn": self._drawn}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on from there, in the middle of an epoch too."""
        self._epoch, self._drawn = state["epoch"], state["drawn"]

    def __len__(self) -> int:
        """Count the batches of the present epoch that this rank takes."""
        return len(self._present())

    def __iter__(self) -> Iterator[list[int]]:
        """Yield what is left of the present epoch."""
        for batch in self._present()[self._drawn :]:
            self._drawn += 1
            yield batch
        self._drawn = 0

    def _present(self) -> list[list[int]]:
        """Return the batches of the present epoch, laid out once."""
        if self._laid is None or self._laid[0] != self._epoch:
            batches = self.lay(np.random.default_rng([self._seed, self._epoch]))
            whole = len(batches) // self._ranks * self._ranks
            self._laid = self._epoch, batches[self._rank : whole : self._ranks]
        return self._laid[1]


class ShuffledBatches(SeededBatches):
    """Every example once an epoch, in random order; those of like length share a batch.

    Shuffle, cut into pools of 50 batches, sort each pool by length, cut into batches, shuffle the batches. A last batch
    of fewer than ``smallest`` examples is left out, since an anchor alone has nothing to be contrasted with.

    Example:
        >>> batches = ShuffledBatches(np.array([3, 1, 2, 1, 3]), batch_size=2, seed=0, smallest=2)
        >>> len(batches), sorted(len(batch) for batch in batches)
        (2, [2, 2])
    """

    def __init__(
        self, lengths: np.ndarray, *, batch_size: int, seed: int, smallest: int = 1, rank: int = 0, ranks: int = 1
    ) -> None:
        super().__init__(seed=seed, rank=rank, ranks=ranks)
        self._lengths, self._batch_size, self._smallest = lengths, batch_size, smallest

    def lay(self, random: np.random.Generator) -> list[list[int]]:
        """Lay out the batches of an epoch."""
        order = random.permutation(len(self._lengths))
        pool = POOL * self._batch_size
        batches = []
        for start in range(0, len(order), pool):
            chunk = order[start : start + pool]
            chunk = chunk[np.argsort(self._lengths[chunk], kind="stable")]
            batches += [chunk[at : at + self._batch_size] for at in range(0, len(chunk), self._batch_size)]
        batches = [batch for batch in batches if len(batch) >= self._smallest]
        return [batches[index].tolist() for index in random.permutation(len(batches))]


class MultiLabelBatches(SeededBatches):
    r"""Every example once an epoch, in packs of examples that share a label: each batch holds whole packs.

    An example belongs to the rarest label that it shares with one that is not taken yet. The examples of a label, in
    random order and sorted by length where lengths differ, make packs of ``per_label``; of the rest two or more are a
    pack, and a single one joins another. So a batch is about ``batch_size // per_label`` labels with so many examples
    each (of a rarer label, with all it has), and an anchor is without a positive only where nobody shares a label with
    it. The packs of a label are spread evenly over the epoch, so that labels differ within a batch where they can:

    .. math:: t_k = (k + u_l) / c_l, \qquad u_l \sim U(0, 1)

    is the time of the k-th of the :math:`c_l` packs of label l; batches are cut from the packs in the order of time.

    Args:
        labels: multi-hot matrix [examples, labels].
        lengths: the length of each example.
        batch_size: examples a batch, at most.
        per_label: examples a pack; 2 gives each anchor a partner.
        seed: of all orders.
        smallest: batches of fewer examples are left out.
        rank: which of the processes that train together this is.
        ranks: how many there are.

    Example:
        >>> labels = csr_array(np.array([[1, 1], [1, 0], [0, 1], [1, 0]], dtype=np.uint8))
        >>> sorted(map(sorted, MultiLabelBatches(labels, np.ones(4), batch_size=2, per_label=2, seed=0)))
        [[0, 2], [1, 3]]
    """

    def __init__(
        self,
        labels: csr_array,
        lengths: np.ndarray,
        *,
        batch_size: int,
        per_label: int,
        seed: int,
        smallest: int = 1,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        super().__init__(seed=seed, rank=rank, ranks=ranks)
        self._owned = owned_examples(labels)
        self._lengths, self._batch_size, self._smallest = lengths, batch_size, smallest
        self._per_label = min(per_label, batch_size)

    def lay(self, random: np.random.Generator) -> list[list[int]]:
        """Lay out the batches of an epoch."""
        packs = [
            pack for label in self._owned.values() for pack in cut_packs(label, self._lengths, self._per_label, random)
        ]
        return fill_batches(packs, self._batch_size, random, smallest=self._smallest)


class Pack(NamedTuple):
    """Examples that stay together, and when in the epoch they come, from 0 to 1."""

    time: float
    rows: list[int]


def owned_examples(labels: csr_array, levels: NDArray[Any] | None = None) -> dict[int, Indices]:
    """Give each example to the rarest of its labels that another example can be given to as well.

    Args:
        labels: multi-hot matrix [examples, labels].
        levels: of the labels; those of a higher number go before all others, however rare.

    Returns:
        The examples of each label that owns some, two at least; under -1 those that share no label with what was left.

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


def cut_packs(rows: Indices, lengths: np.ndarray, size: int, random: np.random.Generator) -> list[Pack]:
    """Cut the examples of a label into packs of like length, spread over the epoch; a last single one joins another."""
    jittered = lengths[rows] * random.uniform(1 - JITTER, 1 + JITTER, len(rows))
    cuts = list(range(size, len(rows), size))
    if cuts and len(rows) - cuts[-1] == 1 and size > 1:
        cuts.pop()
    parts = np.split(rows[np.argsort(jittered)], cuts)
    times = (np.arange(len(parts)) + random.random()) / len(parts)
    return [Pack(time, part.tolist()) for time, part in zip(times.tolist(), parts, strict=True)]


def fill_batches(packs: list[Pack], size: int, random: np.random.Generator, *, smallest: int) -> list[list[int]]:
    """Cut batches from packs in the order of time, leave too small ones out, and shuffle them."""
    in_time = sorted(packs, key=lambda pack: pack.time)
    batches = [batch for batch in _filled([pack.rows for pack in in_time], size) if len(batch) >= smallest]
    return [batches[index] for index in random.permutation(len(batches))]


def _filled(packs: list[list[int]], size: int) -> Iterator[list[int]]:
    """Fill batches with whole packs in their order; one that does not fit waits while a later, smaller one goes in."""
    waiting = deque(packs)
    while waiting:
        batch: list[int] = []
        passed: list[list[int]] = []
        while waiting and len(batch) < size and len(passed) < LOOK_AHEAD:
            pack = waiting.popleft()
            if len(batch) + len(pack) <= size or not batch:
                batch += pack
            else:
                passed.append(pack)
        waiting.extendleft(reversed(passed))
        yield batch
