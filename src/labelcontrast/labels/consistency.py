r"""Scores that never rise from a label to those below it: by maximum, by product, or by the nearest consistent scores.

In a forest they are found in one pass. Where labels have several parents, let B have a column for each link beyond the
forest, 1 at its child and -1 at its parent. With prices :math:`\mu \ge 0` of these links and the projection P on the
forest alone, the nearest scores are :math:`x = P(s - B\mu)` for the prices

.. math:: \operatorname{argmax}_{\mu \ge 0} \; \tfrac12 \lVert s \rVert^2 - \tfrac12 \lVert P(s - B\mu) \rVert^2,

whose gradient is :math:`B^T x`, by how much each child exceeds its other parent, and whose curvature is
:math:`-B^T A B`, A averaging over the labels that P has made equal: so Newton's method takes a dozen projections on the
forest where it takes hundreds to project on the links in turn.

.. math:: \text{max:} \; \max_{d \text{ below } c} s_d, \qquad \text{product:} \; \prod_{a \text{ above } c} s_a, \qquad
   \text{projection:} \; \operatorname{argmin}_{t} \lVert t - s \rVert^2 \text{ with } t_c \le t_p
   \text{ for every parent p of c,}

a label being among those above and below it.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Integer
from scipy.sparse import csr_array

from labelcontrast.errors import ConfigError, LabelShapeError

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


def nearest_consistent(by_label: ByLabel, parents: csr_array) -> ByLabel:
    """Project scores on those that no label has more of than its parents.

    Args:
        by_label: the scores, a row a label.
        parents: [labels, labels], 1 where the column is a parent of the row; without circles.

    Example:
        >>> by_label, parents = np.array([[0.2], [0.8], [0.5], [0.1]]), csr_array(np.eye(4, k=-1))
        >>> nearest_consistent(by_label, parents).round(6).ravel().tolist()
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


WAYS = ("max", "product", "projection")
Scores: TypeAlias = Float[np.ndarray, "examples labels"]


def consistent(scores: Scores, parents: csr_array, how: str) -> Scores:
    """Make scores consistent with a hierarchy: no label has a higher one than a label above it.

    Args:
        scores: of every label, from 0 to 1.
        parents: [labels, labels], 1 where the column is a parent of the row; without circles.
        how: ``"max"`` raises a label to the best below it; ``"product"`` takes a score for the probability of a label
            where all its parents are there, and multiplies; ``"projection"`` changes the scores as little as can be,
            in the sum of squares; where labels have several parents, to within 1e-8.

    Returns:
        Scores of the same shape and type.

    Raises:
        ConfigError: no such way.
        LabelShapeError: the scores have not a column for each label.

    Example:
        >>> chain = csr_array([[0, 0], [1, 0]])  # the second is below the first
        >>> for how in ("max", "product", "projection"):
        ...     consistent(np.array([[0.4, 0.8]]), chain, how).round(2).tolist()
        [[0.8, 0.8]]
        [[0.4, 0.32]]
        [[0.6, 0.6]]

    Reference: Obozinski et al., Consistent Probabilistic Outputs for Protein Function Prediction, 2008.
    """
    if how not in WAYS:
        raise ConfigError(f"how must be one of {', '.join(WAYS)}. Got {how!r}.")
    if scores.shape[1] != parents.shape[0]:
        raise LabelShapeError(
            f"scores must have a column for each of {parents.shape[0]} labels. Got {scores.shape[1]}."
        )
    if how == "projection":
        return nearest_consistent(np.ascontiguousarray(scores.T, np.float64), parents).T.astype(scores.dtype)
    order = top_down(parents)
    by_label = scores.T.copy()
    above = [parents.indices[parents.indptr[label] : parents.indptr[label + 1]] for label in range(len(by_label))]
    if how == "max":
        for label in order[::-1]:
            for parent in above[label]:
                np.maximum(by_label[parent], by_label[label], out=by_label[parent])
        return by_label.T.copy()
    closure = [{label} for label in range(len(by_label))]
    for label in order:
        closure[label].update(*(closure[parent] for parent in above[label]))
    return np.stack([by_label[sorted(labels)].prod(0) for labels in closure], 1)
