"""Batches in which an anchor has positives at each level of its ancestry: packs of packs, from the leaves up."""

from collections import defaultdict, deque
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from labelcontrast.data.sampling import Pack, SeededBatches, cut_packs, fill_batches, owned_examples
from labelcontrast.labels.hierarchy import Hierarchy


class HierarchicalBatches(SeededBatches):
    """Every example once an epoch, with another of its lowest label, one of a sibling label, of a cousin, and so on.

    An example belongs to a label that it shares with another one, those above its own included: to one of the lowest
    level where there is a choice, and there, as in :class:`MultiLabelBatches`, to the rarest. The examples of a label
    make packs of ``per_label``. Then, from the lowest level up, a label takes the packs of its children and joins each
    with the first in time that is of another child: what comes of it is a pack of the label. So in a tree whose inner
    nodes have two or more children, a pack of a root with K levels below it has ``per_label * 2**K`` examples, and each
    of them a positive that parts from it at each level. A pack whose like has run out joins a pair. One of more than
    half a batch stays as it is, so a batch should hold a pack of a root.

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
        return fill_batches([pack for _, pack in waiting[-1]], self._batch_size, random, smallest=self._smallest)


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
