"""Batches in which an anchor has positives at each level of its ancestry: packs of packs, from the leaves up."""

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray
from scipy.sparse import csr_array

from labelcontrast.data.sampling import Pack, SeededBatches, cut_packs, owned_examples
from labelcontrast.labels.hierarchy import Hierarchy

AHEAD = 16
"""Packs among which the one is looked for that a batch needs most."""


class HierarchicalBatches(SeededBatches):
    """Every example once an epoch, with another of its lowest label, one of a sibling label, of a cousin, and so on.

    An example belongs to a label that it shares with another one, those above its own included: to one of the lowest
    level where there is a choice, and there, as in :class:`MultiLabelBatches`, to the rarest. The examples of a label
    make packs of ``per_label``. Then, from the lowest level up, a label takes the packs of its children and joins each
    with the first in time that is of another child: what comes of it is a pack of the label. So in a tree whose inner
    nodes have two or more children, a pack of a root with K levels below it has ``per_label * 2**K`` examples, and each
    of them a positive that parts from it at each level. A pack whose like has run out joins a pair. One of more than
    half a batch stays as it is, so a batch should hold a pack of a root.

    That is enough where an example has one path. One with several can share a lower label with all that the pack of one
    of them has to offer; so a batch is filled with those of the next packs in time that its anchors still lack.

    Args:
        labels: multi-hot matrix [examples, labels], closed upwards or not.
        hierarchy: over the labels; its first nodes are the columns, in their order.
        lengths: the length of each example.
        batch_size: examples a batch, at most.
        per_label: examples of a lowest label in a pack; 2 gives each anchor a partner there.
        seed: of all orders.
        smallest: batches of fewer examples are left out.
        rank: which of the processes that train together this is.
        ranks: how many there are.

    Example:
        >>> animals = Hierarchy.from_parents({"cat": "animal", "dog": "animal", "oak": "plant", "elm": "plant"})
        >>> labels = csr_array(np.eye(4, dtype=np.uint8).repeat(2, axis=0))
        >>> sorted(map(sorted, HierarchicalBatches(labels, animals, np.ones(8), batch_size=4, per_label=2, seed=0)))
        [[0, 1, 2, 3], [4, 5, 6, 7]]

    Reference: Zhang et al., Use All the Labels: A Hierarchical Multi-Label Contrastive Learning Framework, 2022, whose
    sampler draws for an anchor one positive a level; here every example is an anchor, and comes once.
    """

    def __init__(
        self,
        labels: csr_array,
        hierarchy: Hierarchy,
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
        wide = csr_array(labels)
        wide.resize(labels.shape[0], len(hierarchy))
        closed = hierarchy.close(wide)
        self._owned = owned_examples(closed, hierarchy.depths)
        self._above = rarest_parents(hierarchy, closed.sum(0))
        self._closed, self._depths = closed, hierarchy.depths
        self._bottom_up = np.argsort(-hierarchy.depths, kind="stable").tolist()
        self._lengths, self._batch_size, self._smallest = lengths, batch_size, smallest
        self._per_label = min(per_label, batch_size)

    def lay(self, random: np.random.Generator) -> list[list[int]]:
        """Lay out the batches of an epoch."""
        waiting: dict[int, list[tuple[int, Pack]]] = defaultdict(list)
        for label, rows in self._owned.items():
            waiting[label] = [(label, pack) for pack in cut_packs(rows, self._lengths, self._per_label, random)]
        for label in self._bottom_up:
            packs = join_packs(waiting.pop(label, []), self._batch_size)
            above = self._above[label]
            waiting[above] += [(label, pack) for pack in packs]
        filled = fill_by_need([pack for _, pack in waiting[-1]], self._batch_size, self._closed, self._depths)
        batches = [batch for batch in filled if len(batch) >= self._smallest]
        return [batches[index] for index in random.permutation(len(batches))]


def meetings(closed: NDArray[Any], depths: NDArray[Any]) -> Bool[np.ndarray, "examples examples levels"]:
    """Mark on which level examples meet: the lowest of which they share a label.

    Args:
        closed: multi-hot matrix [examples, nodes], closed upwards.
        depths: the level of each node.

    Example:
        >>> met = meetings(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1]]), np.array([0, 1, 1]))
        >>> met[0].tolist()
        [[False, True], [False, True], [True, False]]
    """
    levels = [closed[:, depths == level].astype(np.float32) for level in range(int(depths.max(initial=0)) + 1)]
    met = np.stack([level @ level.T > 0 for level in levels], 2)
    for level in range(len(levels) - 1):
        met[:, :, level] &= ~met[:, :, level + 1 :].any(2)
    return met


def fill_by_need(packs: Sequence[Pack], size: int, closed: csr_array, depths: NDArray[Any]) -> Iterator[list[int]]:
    """Fill batches with packs: the first in time, then of the next that fit the one by which most levels are served.

    A level of an example is served where the batch has another that it meets there, or where it has no label.

    Example:
        >>> closed = csr_array([[1, 0], [0, 1], [1, 0], [0, 1]])
        >>> list(fill_by_need([Pack(0.1 * row, [row]) for row in range(4)], 2, closed, np.array([0, 0])))
        [[0, 2], [1, 3]]
    """
    waiting = deque(pack.rows for pack in sorted(packs, key=lambda pack: pack.time))
    while waiting:
        upto = np.searchsorted(np.cumsum([len(rows) for rows in islice(waiting, size)]), size)
        near = list(islice(waiting, int(upto) + AHEAD))
        dense = closed[[row for rows in near for row in rows]].toarray()
        without = np.stack([~dense[:, depths == level].any(1) for level in range(int(depths.max(initial=0)) + 1)], 1)
        chosen = choose_packs([len(rows) for rows in near], size, meetings(dense, depths), without)
        yield [row for place in chosen for row in near[place]]
        for place in sorted(chosen, reverse=True):
            del waiting[place]


def choose_packs(
    lengths: Sequence[int],
    size: int,
    met: Bool[np.ndarray, "examples examples levels"],
    served: Bool[np.ndarray, "examples levels"],
) -> list[int]:
    """Choose packs of a batch: the first, then again and again the first of those that serve most levels.

    Args:
        lengths: examples of each pack; theirs stand one after the other.
        size: examples of a batch, at most.
        met: on which level examples meet.
        served: what needs no other example.
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


def rarest_parents(hierarchy: Hierarchy, counts: NDArray[Any]) -> list[int]:
    """Find for each node the parent with the fewest examples, of several the first; -1 for a root.

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
        packs: each with the label that it comes from.
        size: examples of a pack, at most; one of more than half of that stays as it is.

    Example:
        >>> cats, dogs = [(0, Pack(0.1, [1, 2])), (0, Pack(0.6, [3, 4]))], [(1, Pack(0.3, [5, 6]))]
        >>> join_packs([*cats, *dogs], 4)
        [Pack(time=0.6, rows=[3, 4]), Pack(time=0.1, rows=[1, 2, 5, 6])]
        >>> join_packs([*cats, *dogs], 6)
        [Pack(time=0.1, rows=[1, 2, 5, 6, 3, 4])]
    """
    joined = [pack for _, pack in packs if len(pack.rows) > size // 2]
    alone: deque[tuple[int, Pack]] = deque()  # all of one label, since one of another would have found the first
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


def _together(first: Pack, second: Pack) -> Pack:
    """Make one pack of two, at the time of the first."""
    return Pack(first.time, first.rows + second.rows)
