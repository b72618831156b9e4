r"""Scores that are consistent with a hierarchy: no label has a higher score than a label above it.

.. math:: \text{max:} \; \max_{d \text{ below } c} s_d, \qquad \text{product:} \; \prod_{a \text{ above } c} s_a, \qquad
   \text{projection:} \; \operatorname{argmin}_{t} \lVert t - s \rVert^2 \text{ with } t_c \le t_p
   \text{ for every parent p of c,}

where a label counts as above and below itself. In a forest the projection takes one pass. Where labels have several
parents, let B have a column for each link outside a spanning forest, 1 at its child and -1 at its parent, and P be the
projection on the forest alone. With a multiplier :math:`\mu \ge 0` for each such link the nearest scores are
:math:`x = P(s - B\mu)` for

.. math:: \operatorname{argmax}_{\mu \ge 0} \; \tfrac12 \lVert s \rVert^2 - \tfrac12 \lVert P(s - B\mu) \rVert^2.

The gradient is :math:`B^T x`, the excess of each child over its other parent, and the Hessian is :math:`-B^T A B`,
where A averages over the labels that P has made equal. Newton's method needs a dozen projections on the forest, where
projecting on one link after the other needs hundreds.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Integer
from scipy.sparse import csr_array

from labelcontrast.dag import top_down
from labelcontrast.errors import ConfigError, LabelShapeError

WAYS = ("max", "product", "projection")
TOLERANCE = 1e-9
"""Largest excess of a child over a parent, or gap below a parent with a positive multiplier, at the end."""
_AT_ONCE = 2**22  # scores that are held at a time
_HALVINGS = 6
_ASCENT = 1e-4
"""Share of the linear prediction of the ascent that a step must reach."""
_ROUNDING = 1e-12
_LEVELLED = 1e-20
"""Share of the squared excess that may be left after a Newton step."""

Scores: TypeAlias = Float[np.ndarray, "examples labels"]
ByLabel: TypeAlias = Float[np.ndarray, "labels examples"]
Labels: TypeAlias = Integer[np.ndarray, " labels"]
Multipliers: TypeAlias = Float[np.ndarray, "links examples"]


def consistent(scores: Scores, parents: csr_array, how: str) -> Scores:
    """Make scores consistent with a hierarchy, so that no label has a higher score than a label above it.

    Args:
        scores: Between 0 and 1, shape [examples, labels].
        parents: Shape [labels, labels], 1 where the column is a parent of the row; without cycles.
        how: ``"max"`` raises each label to the highest score below it; ``"product"`` takes a score for the probability
            of a label given all its parents, and multiplies; ``"projection"`` changes the scores as little as possible
            in the sum of squares; where labels have several parents, to within 1e-8.

    Returns: Scores of the same shape and type.

    Raises:
        ConfigError: ``how`` is none of these.
        LabelShapeError: The scores do not have a column for each label.

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


def nearest_consistent(by_label: ByLabel, parents: csr_array) -> ByLabel:
    """Project scores on the nearest ones that are consistent, in the sum of squares.

    Args:
        by_label: Scores, shape [labels, examples].
        parents: Shape [labels, labels], 1 where the column is a parent of the row; without cycles.

    Example:
        >>> by_label, parents = np.array([[0.2], [0.8], [0.5], [0.1]]), csr_array(np.eye(4, k=-1))
        >>> nearest_consistent(by_label, parents).round(6).ravel().tolist()
        [0.5, 0.5, 0.5, 0.1]

    Reference: Bertsekas, Projected Newton Methods for Optimization Problems with Simple Constraints, 1982.
    """
    forest, children, others = split_off_forest(parents)
    if not len(children):
        return project_on_forest(by_label, forest)
    links = _Links(forest, children, others)
    step = max(_AT_ONCE // len(by_label), 1)
    parts = [by_label[:, start : start + step] for start in range(0, by_label.shape[1], step)]
    found = np.hstack([_solve_multipliers(part, links) for part in parts]) if parts else by_label.copy()
    for label in top_down(parents):  # removes what the tolerance left
        above = found[parents.indices[parents.indptr[label] : parents.indptr[label + 1]]]
        found[label] = np.minimum(found[label], above.min(0, initial=np.inf))
    return found


def split_off_forest(parents: csr_array) -> tuple["Forest", Labels, Labels]:
    """Split a hierarchy into the forest of all links to first parents, and the links to all other parents.

    Returns: The forest; then the child and the parent of each other link.

    Example:
        >>> forest, children, others = split_off_forest(csr_array([[0, 0, 0], [1, 0, 0], [1, 1, 0]]))
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


def project_on_forest(by_label: ByLabel, forest: "Forest") -> ByLabel:
    r"""Project scores on the nearest ones that are consistent with a forest, from the leaves up.

    Let t be the projected scores below a label with score s. The projected score of the label is

    .. math:: \lambda = \max_k \frac{s + t_{(1)} + \dots + t_{(k)}}{k + 1},

    the highest mean of s and the k highest of t, and those below become :math:`\min(t, \lambda)`.

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


@dataclass(frozen=True)
class Forest:
    """A forest in which the descendants of each label directly follow it.

    Attributes:
        order: The label at each place.
        sizes: For each place, the number of places of its label and all descendants.
        above: The parent of each label, -1 for a root.
    """

    order: Labels
    sizes: Labels
    above: Labels


def _lay_out(order: list[int], parents: Labels) -> Forest:
    """Place labels, given with parents first, so that descendants follow; -1 is the parent of roots."""
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


@dataclass(frozen=True)
class _Links:
    """The links outside the forest."""

    forest: Forest
    children: Labels
    others: Labels

    def settle(self, scores: ByLabel, multipliers: Multipliers) -> ByLabel:
        """Project the scores, shifted by these multipliers, on the forest."""
        shifted = scores.copy()
        np.subtract.at(shifted, self.children, multipliers)
        np.add.at(shifted, self.others, multipliers)
        return project_on_forest(shifted, self.forest)

    def excess(self, settled: ByLabel) -> Multipliers:
        """Excess of each child over its other parent."""
        return np.asarray(settled[self.children] - settled[self.others])

    @property
    def steepest(self) -> float:
        """Upper bound of the curvature: twice the largest number of links that share a label."""
        ends = np.bincount(np.concatenate([self.children, self.others]))
        return 2.0 * float(ends.max())


def _solve_multipliers(scores: ByLabel, links: _Links) -> ByLabel:
    """Find the multipliers of every example by Newton's method, and return the projected scores."""
    found = np.empty_like(scores)
    left = np.arange(scores.shape[1])
    multipliers = np.zeros((len(links.children), len(left)))
    settled = links.settle(scores, multipliers)
    while True:
        excess = links.excess(settled)
        going = np.abs(multipliers - np.maximum(multipliers + excess, 0)).max(0) > TOLERANCE
        found[:, left[~going]] = settled[:, ~going]
        if not going.any():
            return found
        left, multipliers, settled, excess = left[going], multipliers[:, going], settled[:, going], excess[:, going]
        free = (multipliers > 0) | (excess > 0)
        direction = _newton(links, settled, np.where(free, excess, 0.0))
        multipliers, settled = _step(links, scores[:, left], multipliers, settled, direction)


def _step(
    links: _Links, scores: ByLabel, multipliers: Multipliers, settled: ByLabel, direction: Multipliers
) -> tuple[Multipliers, ByLabel]:
    """Take a step, halved until the objective rises enough; in the end a short gradient step, which always does.

    The objective falls as the square of the projected scores grows.
    """
    excess, length = links.excess(settled), (settled**2).sum(0)
    found, after = multipliers.copy(), settled.copy()
    trying = np.arange(multipliers.shape[1])
    for halving in range(_HALVINGS + 1):
        way = direction[:, trying] / 2**halving if halving < _HALVINGS else excess[:, trying] / links.steepest
        tried = np.maximum(multipliers[:, trying] + way, 0)
        reached = links.settle(scores[:, trying], tried)
        promised = (excess[:, trying] * (tried - multipliers[:, trying])).sum(0)
        gained = (length[trying] - (reached**2).sum(0)) / 2
        accepted = gained >= _ASCENT * promised - _ROUNDING * length[trying]
        accepted |= halving == _HALVINGS
        found[:, trying[accepted]], after[:, trying[accepted]] = tried[:, accepted], reached[:, accepted]
        trying = trying[~accepted]
        if not len(trying):
            break
    return found, after


def _newton(links: _Links, settled: ByLabel, excess: Multipliers) -> Multipliers:
    """Solve for the change of multipliers that removes each excess, as long as the blocks of equal scores stay.

    By conjugate gradients for all examples at once, preconditioned by the sizes of the blocks that a link joins.
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
    """The blocks of labels with one score at both ends of every link, as indices into the sizes of blocks."""

    child: Integer[np.ndarray, "links examples"]
    other: Integer[np.ndarray, "links examples"]
    sizes: Float[np.ndarray, " blocks"]

    @classmethod
    def of(cls, links: _Links, settled: ByLabel) -> "_Blocks":
        """Find the blocks: a label is in the block of its parent if their scores are equal."""
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
    def curvature(self) -> Multipliers:
        """Change of a link's excess with its own multiplier; 1 where both ends are in one block."""
        apart = 1 / self.sizes[self.child] + 1 / self.sizes[self.other]
        return np.where(self.child == self.other, 1.0, apart)

    def bend(self, multipliers: Multipliers) -> Multipliers:
        """Change of the excess of every link with these multipliers."""
        taken = np.bincount(self.child.ravel(), multipliers.ravel(), len(self.sizes))
        given = np.bincount(self.other.ravel(), multipliers.ravel(), len(self.sizes))
        change = (taken - given) / self.sizes
        return np.asarray(change[self.child] - change[self.other])
