"""How far labels are from one another in a hierarchy, over what is above both; a node above all roots included."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer
from scipy.sparse import csr_array, eye_array, hstack

Integers = Integer[np.ndarray, " entries"]


class Nearest(NamedTuple):
    """For each label of each set, the nearest of the other set of the example."""

    example: Integers
    label: Integers
    other: Integers
    """Of several that are as near, the first."""
    steps: Integers
    """Up from one and down to the other."""
    over: Integers
    """The label above both on the shortest way, of several the first; where it leads over the roots, one past all."""


def steps_up(parents: csr_array) -> csr_array:
    """Count the fewest steps up from each label to each above it.

    Args:
        parents: [labels, labels], 1 where the column is a parent of the row; without circles.

    Returns:
        [labels, labels + 1]: one more than the steps, and 0 where the column is not above; the last is above all roots.

    Example:
        >>> steps_up(csr_array([[0, 0], [1, 0]])).toarray().tolist()
        [[1, 0, 2], [2, 1, 3]]
    """
    size = parents.shape[0]
    roots = csr_array((np.diff(parents.indptr) == 0).astype(np.int64)[:, None])
    links = hstack([csr_array(parents, dtype=np.int64), roots], format="csr")
    found = csr_array(eye_array(size, size + 1, dtype=np.int64))
    front, number = csr_array(eye_array(size, dtype=np.int64)), 1
    while front.nnz:
        number += 1
        reached = (front @ links).astype(bool)
        fresh = csr_array(reached > found.astype(bool)).astype(np.int64)
        found = csr_array(found + number * fresh)
        front = csr_array(fresh[:, :size])
    found.sort_indices()
    return found


def nearest(first: csr_array, second: csr_array, steps: csr_array) -> Nearest:
    """Find for each label of the first sets the nearest of the second, where the example has one there.

    The time grows with the labels of both sets and those above them, not with the pairs.

    Args:
        first: label sets [examples, labels].
        second: others of the same examples.
        steps: as :func:`steps_up` has them.

    Example:
        >>> steps = steps_up(csr_array([[0, 0, 0], [1, 0, 0], [1, 0, 0]]))
        >>> found = nearest(csr_array([[0, 1, 0]]), csr_array([[1, 0, 1]]), steps)
        >>> found.other.tolist(), found.steps.tolist(), found.over.tolist()
        ([0], [1], [0])
    """
    width = steps.shape[1]
    example, label, above, up = links_up(first, steps)
    of_example, other, there, down = links_up(second, steps)
    places = of_example * width + there
    order = np.lexsort((other, down, places))
    kept = order[_fresh(places[order])]
    table = places[kept]
    wanted = example * width + above
    found = np.minimum(np.searchsorted(table, wanted), max(len(table) - 1, 0))
    met = np.flatnonzero(table[found] == wanted) if len(table) else np.empty(0, np.int64)
    example, label, above, up, pair = example[met], label[met], above[met], up[met], kept[found[met]]
    far, other = up + down[pair] - 2, other[pair]
    order = np.lexsort((above, other, far, label, example))
    chosen = order[_fresh((example * width + label)[order])]
    return Nearest(example[chosen], label[chosen], other[chosen], far[chosen], above[chosen])


def links_up(sets: csr_array, above: csr_array) -> tuple[Integers, Integers, Integers, Integers]:
    """List for every label of every set the entries of its row: example, label, the label above, and the entry."""
    example = np.repeat(np.arange(sets.shape[0]), np.diff(sets.indptr))
    times = np.diff(above.indptr)[sets.indices]
    offsets = np.arange(times.sum()) - np.repeat(times.cumsum() - times, times)
    places = np.repeat(above.indptr[sets.indices], times) + offsets
    return np.repeat(example, times), np.repeat(sets.indices, times), above.indices[places], above.data[places]


def lowest(labels: csr_array, ancestors: csr_array) -> csr_array:
    """Keep of each label set the labels that have no other of the set below them.

    Example:
        >>> lowest(csr_array([[1, 1], [1, 0]]), csr_array([[1, 0], [1, 1]])).toarray().tolist()
        [[0, 1], [1, 0]]
    """
    own = csr_array(labels).astype(bool)
    above = own.astype(np.int64) @ (csr_array(ancestors).astype(np.int64) - eye_array(own.shape[1], dtype=np.int64))
    return csr_array(own > (own.multiply(csr_array(above).astype(bool)))).astype(np.uint8)


def _fresh(ordered: Integers) -> Bool[np.ndarray, " entries"]:
    """Mark the first of each run of equals."""
    return np.asarray(np.diff(ordered, prepend=-1) != 0)
