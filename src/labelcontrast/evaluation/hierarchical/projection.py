"""The nearest scores that are consistent with a hierarchy, in the sum of squares."""

from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array

from labelcontrast.evaluation.hierarchical.forests import Forest, part_into_forests, top_down

TOLERANCE = 1e-7
"""What a score still moves when the projection ends, at most."""
ByLabel: TypeAlias = Float[np.ndarray, "labels examples"]


def project(by_label: ByLabel, parents: csr_array) -> ByLabel:
    """Project scores on those that no label has more of than its parents.

    A forest takes one pass and is exact. Where labels have several parents, project on one forest after the other and
    give back what each had taken, until nothing moves (Dykstra's method).

    Args:
        by_label: the scores, a row a label.
        parents: [labels, labels], 1 where the column is a parent of the row; without circles.

    Example:
        >>> project(np.array([[0.2], [0.8], [0.5], [0.1]]), csr_array(np.eye(4, k=-1))).round(6).ravel().tolist()
        [0.5, 0.5, 0.5, 0.1]

    Reference: Pardalos and Xue, Algorithms for a Class of Isotonic Regression Problems, 1999, for forests; Boyle and
    Dykstra, A Method for Finding Projections onto the Intersection of Convex Sets in Hilbert Spaces, 1986.
    """
    forests = part_into_forests(parents)
    if len(forests) == 1:
        return _on_forest(by_label, forests[0])
    found, moving = by_label.copy(), np.arange(by_label.shape[1])
    taken = np.zeros((len(forests), *by_label.shape))
    while len(moving):
        change = np.zeros(len(moving))  # of what is taken: scores can rest for a while before they move on
        for number, forest in enumerate(forests):
            before = taken[number][:, moving]
            whole = found[:, moving] + before
            found[:, moving] = _on_forest(whole, forest)
            taken[number][:, moving] = whole - found[:, moving]
            change = np.maximum(change, np.abs(taken[number][:, moving] - before).max(0, initial=0))
        moving = moving[change > TOLERANCE]
    for label in top_down(parents):  # the last of the tolerance
        above = found[parents.indices[parents.indptr[label] : parents.indptr[label + 1]]]
        found[label] = np.minimum(found[label], above.min(0, initial=np.inf))
    return found


def _on_forest(by_label: ByLabel, forest: Forest) -> ByLabel:
    r"""Project on a forest, from the leaves up.

    Let t be the projection of all that is below a label, whose score is s. With the label on top, its score becomes

    .. math:: \lambda = \max_k \frac{s + t_{(1)} + \dots + t_{(k)}}{k + 1},

    the best mean of s and the k highest, and theirs :math:`\min(t, \lambda)`.
    """
    rows = by_label[forest.order]
    for top in np.flatnonzero(forest.sizes > 1)[::-1].tolist():
        below = rows[top + 1 : top + forest.sizes[top]]
        here = np.flatnonzero(below.max(0) > rows[top])
        if len(here):
            sums = np.cumsum([rows[top, here], *np.sort(below[:, here], axis=0)[::-1]], axis=0)
            rows[top, here] = (sums / np.arange(1, len(sums) + 1)[:, None]).max(0)
            np.minimum(below, rows[top], out=below)
    found: ByLabel = np.empty_like(rows)
    found[forest.order] = rows
    return found
