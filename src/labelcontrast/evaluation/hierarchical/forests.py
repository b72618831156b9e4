"""A hierarchy in order: parents before children, and parted into forests whose subtrees lie together."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer
from scipy.sparse import csr_array

Labels = Integer[np.ndarray, " labels"]


@dataclass(frozen=True)
class Forest:
    """Labels with one parent at most, laid out so that all below one follow it.

    Attributes:
        order: the label at each place.
        sizes: for each place, how many places the label and all below it take.
    """

    order: Labels
    sizes: Labels


def top_down(parents: csr_array) -> list[int]:
    """Order the labels so that each comes after all its parents."""
    waiting = np.diff(parents.indptr).tolist()
    children = parents.T.tocsr()
    below, starts = children.indices.tolist(), children.indptr.tolist()
    order = [label for label, count in enumerate(waiting) if not count]
    for label in order:  # grows on the way
        for child in below[starts[label] : starts[label + 1]]:
            waiting[child] -= 1
            if waiting[child] == 0:
                order.append(child)
    return order


def part_into_forests(parents: csr_array) -> list[Forest]:
    """Part a hierarchy into forests, the k-th of which has each label below its k-th parent, if it has so many.

    Example:
        >>> forests = part_into_forests(csr_array([[0, 0, 0], [1, 0, 0], [1, 1, 0]]))
        >>> [(forest.order.tolist(), forest.sizes.tolist()) for forest in forests]
        [([0, 1, 2], [3, 1, 1]), ([0, 1, 2], [1, 2, 1])]
    """
    counts = np.diff(parents.indptr)
    forests = []
    for number in range(max(int(counts.max(initial=0)), 1)):
        has = np.flatnonzero(counts > number)
        above = np.full(len(counts), -1)
        above[has] = parents.indices[parents.indptr[has] + number]
        links = csr_array((np.ones(len(has)), (has, above[has])), shape=parents.shape)
        forests.append(_lay_out(top_down(links), above.tolist()))
    return forests


def _lay_out(order: list[int], above: list[int]) -> Forest:
    """Lay out labels, of which parents come first, each above its like; -1 is above all roots."""
    sizes = [1] * len(order) + [0]
    for label in reversed(order):
        sizes[above[label]] += sizes[label]
    free = [0] * len(sizes)
    places = [0] * len(order)
    for label in order:
        places[label] = free[above[label]]
        free[above[label]] += sizes[label]
        free[label] = places[label] + 1
    laid = np.argsort(np.array(places, np.int64))
    return Forest(laid, np.array(sizes, np.int64)[laid])
