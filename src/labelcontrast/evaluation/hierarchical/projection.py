r"""The nearest scores that are consistent with a hierarchy, in the sum of squares.

In a forest they are found in one pass. Where labels have several parents, let B have a column for each link beyond the
forest, 1 at its child and -1 at its parent. With prices :math:`\mu \ge 0` of these links and the projection P on the
forest alone, the nearest scores are :math:`x = P(s - B\mu)` for the prices

.. math:: \operatorname{argmax}_{\mu \ge 0} \; \tfrac12 \lVert s \rVert^2 - \tfrac12 \lVert P(s - B\mu) \rVert^2,

whose gradient is :math:`B^T x`, by how much each child exceeds its other parent, and whose curvature is
:math:`-B^T A B`, A averaging over the labels that P has made equal: so Newton's method takes a dozen projections on the
forest where it takes hundreds to project on the links in turn.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer
from scipy.sparse import csr_array

from labelcontrast.evaluation.hierarchical.forests import (
    ByLabel,
    Forest,
    Labels,
    part_off_forest,
    project_on_forest,
    top_down,
)

TOLERANCE = 1e-9
"""By how much a child still exceeds a parent, or falls below one whose link has a price, when the search ends."""
_AT_ONCE = 2**22  # scores that are held at a time
_HALVINGS = 6
_ASCENT = 1e-4
"""Share of the ascent that a straight line promises, which a step must have."""
_ROUNDING = 1e-12
_LEVELLED = 1e-20
"""Of the square of the excess, what may be left of a Newton step."""
Prices = Float[np.ndarray, "links examples"]


def project(by_label: ByLabel, parents: csr_array) -> ByLabel:
    """Project scores on those that no label has more of than its parents.

    Args:
        by_label: the scores, a row a label.
        parents: [labels, labels], 1 where the column is a parent of the row; without circles.

    Example:
        >>> project(np.array([[0.2], [0.8], [0.5], [0.1]]), csr_array(np.eye(4, k=-1))).round(6).ravel().tolist()
        [0.5, 0.5, 0.5, 0.1]

    Reference: Bertsekas, Projected Newton Methods for Optimization Problems with Simple Constraints, 1982.
    """
    forest, children, others = part_off_forest(parents)
    if not len(children):
        return project_on_forest(by_label, forest)
    links = _Links(forest, children, others)
    step = max(_AT_ONCE // len(by_label), 1)
    parts = [by_label[:, start : start + step] for start in range(0, by_label.shape[1], step)]
    found = np.hstack([_raise_prices(part, links) for part in parts]) if parts else by_label.copy()
    for label in top_down(parents):  # the last of the tolerance
        above = found[parents.indices[parents.indptr[label] : parents.indptr[label + 1]]]
        found[label] = np.minimum(found[label], above.min(0, initial=np.inf))
    return found


@dataclass(frozen=True)
class _Links:
    """The links beyond a forest."""

    forest: Forest
    children: Labels
    others: Labels

    def settle(self, scores: ByLabel, prices: Prices) -> ByLabel:
        """Project on the forest what is left of the scores at these prices."""
        paid = scores.copy()
        np.subtract.at(paid, self.children, prices)
        np.add.at(paid, self.others, prices)
        return project_on_forest(paid, self.forest)

    def excess(self, settled: ByLabel) -> Prices:
        """By how much each child exceeds its other parent."""
        return np.asarray(settled[self.children] - settled[self.others])

    @property
    def steepest(self) -> float:
        """No less than the greatest curvature: links that meet at one label at most, twice."""
        ends = np.bincount(np.concatenate([self.children, self.others]))
        return 2.0 * float(ends.max())


def _raise_prices(scores: ByLabel, links: _Links) -> ByLabel:
    """Find the prices of the links of every example, by Newton's method, and what is left of its scores."""
    found = np.empty_like(scores)
    left = np.arange(scores.shape[1])
    prices = np.zeros((len(links.children), len(left)))
    settled = links.settle(scores, prices)
    while True:
        excess = links.excess(settled)
        going = np.abs(prices - np.maximum(prices + excess, 0)).max(0) > TOLERANCE
        found[:, left[~going]] = settled[:, ~going]
        if not going.any():
            return found
        left, prices, settled, excess = left[going], prices[:, going], settled[:, going], excess[:, going]
        free = (prices > 0) | (excess > 0)
        direction = _newton(links, settled, np.where(free, excess, 0.0))
        prices, settled = _step(links, scores[:, left], prices, settled, direction)


def _step(
    links: _Links, scores: ByLabel, prices: Prices, settled: ByLabel, direction: Prices
) -> tuple[Prices, ByLabel]:
    """Go along a direction, half as far until it pays; else a short way up the slope, which always does.

    What is maximised falls as the square of what is settled on grows.
    """
    excess, length = links.excess(settled), (settled**2).sum(0)
    found, after = prices.copy(), settled.copy()
    trying = np.arange(prices.shape[1])
    for halving in range(_HALVINGS + 1):
        way = direction[:, trying] / 2**halving if halving < _HALVINGS else excess[:, trying] / links.steepest
        tried = np.maximum(prices[:, trying] + way, 0)
        reached = links.settle(scores[:, trying], tried)
        promised = (excess[:, trying] * (tried - prices[:, trying])).sum(0)
        gained = (length[trying] - (reached**2).sum(0)) / 2
        pays = gained >= _ASCENT * promised - _ROUNDING * length[trying]
        pays |= halving == _HALVINGS
        found[:, trying[pays]], after[:, trying[pays]] = tried[:, pays], reached[:, pays]
        trying = trying[~pays]
        if not len(trying):
            break
    return found, after


def _newton(links: _Links, settled: ByLabel, excess: Prices) -> Prices:
    """Solve for the change of prices that levels each excess, if no block of equal scores broke.

    By conjugate gradients, all examples at once, each link in the measure of the blocks that it joins.
    """
    blocks = _Blocks.of(links, settled)
    scale = np.where(excess != 0, blocks.curvature, 1.0)
    change, rest = np.zeros_like(excess), excess
    ahead = rest / scale
    direction, left = ahead, (rest * ahead).sum(0)
    enough = _LEVELLED * left
    for _ in range(len(excess)):
        bent = np.where(excess != 0, blocks.bend(direction), 0.0)
        curved = (direction * bent).sum(0)
        step = np.divide(left, curved, out=np.zeros_like(left), where=(left > enough) & (curved > 0))
        change, rest = change + step * direction, rest - step * bent
        ahead = rest / scale
        before, left = left, (rest * ahead).sum(0)
        if not (step * (left > enough)).any():
            break
        direction = ahead + np.divide(left, before, out=np.zeros_like(left), where=before > 0) * direction
    return change


@dataclass(frozen=True)
class _Blocks:
    """The blocks of labels that share one score, at both ends of every link: rows of a table of blocks."""

    child: Integer[np.ndarray, "links examples"]
    other: Integer[np.ndarray, "links examples"]
    sizes: Float[np.ndarray, " blocks"]

    @classmethod
    def of(cls, links: _Links, settled: ByLabel) -> "_Blocks":
        """Find the blocks: a label is in that of its parent where it has the same score."""
        top, above = np.empty(settled.shape, np.int64), links.forest.above
        for label in links.forest.order:
            top[label] = label
            if above[label] >= 0:
                np.copyto(top[label], top[above[label]], where=settled[label] == settled[above[label]])
        blocks = top * settled.shape[1] + np.arange(settled.shape[1])
        ends = np.stack([blocks[links.children], blocks[links.others]])
        met, places = np.unique(ends, return_inverse=True)
        child, other = places.reshape(ends.shape)
        return cls(child, other, np.bincount(blocks.ravel())[met].astype(np.float64))

    @property
    def curvature(self) -> Prices:
        """By how much a price changes the excess of its own link; 1 where both ends are in one block."""
        apart = 1 / self.sizes[self.child] + 1 / self.sizes[self.other]
        return np.where(self.child == self.other, 1.0, apart)

    def bend(self, prices: Prices) -> Prices:
        """By how much prices change the excess of every link."""
        taken = np.bincount(self.child.ravel(), prices.ravel(), len(self.sizes))
        given = np.bincount(self.other.ravel(), prices.ravel(), len(self.sizes))
        change = (taken - given) / self.sizes
        return np.asarray(change[self.child] - change[self.other])
