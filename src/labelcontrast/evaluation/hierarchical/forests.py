"""A hierarchy in order: parents before children; and a forest of it, laid out, with the nearest scores there."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Integer
from scipy.sparse import csr_array

Labels: TypeAlias = Integer[np.ndarray, " labels"]
ByLabel: TypeAlias = Float[np.ndarray, "labels examples"]


@dataclass(frozen=True)
class Forest:
    """Labels with one parent at most, laid out so that all below one follow it.

    Attributes:
        order: the label at each place.
        sizes: for each place, how many places the label and all below it take.
        above: of each label the parent, -1 for a root.
    """

    order: Labels
    sizes: Labels
    above: Labels


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


def part_off_forest(parents: csr_array) -> tuple[Forest, Labels, Labels]:
    """Part a hierarchy into the forest of each label below its first parent, and the links to all other parents.

    Returns:
        The forest; then of each other link the child, and the parent.

    Example:
        >>> forest, children, others = part_off_forest(csr_array([[0, 0, 0], [1, 0, 0], [1, 1, 0]]))
        >>> forest.order.tolist(), forest.sizes.tolist(), children.tolist(), others.tolist()
        ([0, 1, 2], [3, 1, 1], [2], [1])
    """
    links = parents.tocsr().sorted_indices()
    counts = np.diff(links.indptr)
    has = np.flatnonzero(counts)
    first = np.zeros(links.nnz, bool)
    first[links.indptr[has]] = True
    above = np.full(len(counts), -1)
    above[has] = links.indices[first]
    tree = csr_array((np.ones(len(has)), (has, above[has])), shape=parents.shape)
    children = np.repeat(np.arange(len(counts)), counts)[~first]
    return _lay_out(top_down(tree), above), children, links.indices[~first]


def project_on_forest(by_label: ByLabel, forest: Forest) -> ByLabel:
    r"""Project scores on those that no label of a forest has more of than its parent, from the leaves up.

    Let t be the projection of all that is below a label, whose score is s. With the label on top, its score becomes

    .. math:: \lambda = \max_k \frac{s + t_{(1)} + \dots + t_{(k)}}{k + 1},

    the best mean of s and the k highest, and theirs :math:`\min(t, \lambda)`.

    Reference: Pardalos and Xue, Algorithms for a Class of Isotonic Regression Problems, 1999.
    """
    rows = by_label[forest.order]
    for top in np.flatnonzero(forest.sizes > 1)[::-1].tolist():
        below = rows[top + 1 : top + forest.sizes[top]]
        here = np.flatnonzero(below.max(0) > rows[top])
        if len(here):
            total = best = rows[top, here]
            for count, row in enumerate(np.sort(below[:, here], axis=0)[::-1], start=2):
                total = total + row
                best = np.maximum(best, total / count)
                if (row < best).all():  # so are those that follow
                    break
            rows[top, here] = best
            np.minimum(below, rows[top], out=below)
    found: ByLabel = np.empty_like(rows)
    found[forest.order] = rows
    return found


def _lay_out(order: list[int], parents: Labels) -> Forest:
    """Lay out labels, of which parents come first, each above its like; -1 is above all roots."""
    above = parents.tolist()
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
    return Forest(laid, np.array(sizes, np.int64)[laid], parents)
