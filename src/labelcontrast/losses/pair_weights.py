r"""Pair weights from label sets: how an anchor's attraction is shared among its positives.

With :math:`F_{ij}` the affinity of two label sets, 0 for the pair of an example with itself, and 0 / 0 counting as 0,

.. math:: W_{ij} = \frac{F_{ij}}{\sum_k F_{ik}} \text{ (per anchor)}, \qquad
   W_{ij} = \frac{1}{|y_i|} \sum_c y_{ic} \frac{F_{ij}\, y_{jc}}{\sum_k F_{ik}\, y_{kc}} \text{ (per label)}, \qquad
   W_{ij} = \frac{F_{ij}}{|\{k : F_{ik} > 0\}|} \text{ (per positive)}, \qquad W_{ij} = F_{ij} \text{ (none)}.

None needs an array of anchors x candidates x labels. In plain code, the second is

    mass = F @ Y
    W = F * ((Y[:anchors] / sizes / mass) @ Y.T)

and as a row of Y has few labels, the products with it are sums of a few rows:
:mod:`~labelcontrast.losses.batch_labels`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from labelcontrast.losses.affinity import Affinity, Counts, any_shared, symmetric
from labelcontrast.losses.axes import RowKind, Sharing
from labelcontrast.losses.batch_labels import BatchLabels
from labelcontrast.losses.blocks import BLOCK_SIZE, KEPT_PAIRS, Block, PairWeights, PerAnchor, PerPair, grid

BothWays = tuple[PerPair, PerPair | None]
"""A block, and where it is mirrored the other way round, rows by columns too."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """The label sets of anchors and candidates, and how the two are compared.

    Attributes:
        anchors: Label sets.
        candidates: Label sets; the first are those of the anchors where ``symmetric``.
        affinities: Each with the first candidate that it is for.
        symmetric: The anchors are candidates, each without itself.
        filled: 0 for candidates that are none, the empty places of a queue; by default all are.
        prior: A symmetric affinity: factors of the pairs in the denominator.
        kinds: Each with the first candidate that it is of, where rows of one kind do not meet.
    """

    anchors: BatchLabels
    candidates: BatchLabels
    affinities: tuple[tuple[int, Affinity], ...]
    symmetric: bool
    prior: Affinity | None = None
    filled: Float[Tensor, " candidates"] | None = None
    kinds: tuple[tuple[int, RowKind], ...] = ()

    @property
    def left(self) -> BatchLabels:
        """The candidates where symmetric, else the anchors: mirrored blocks then share one matrix for all products."""
        return self.candidates if self.symmetric else self.anchors

    @property
    def cuts(self) -> tuple[int, ...]:
        """The candidates at which another affinity or kind begins."""
        return tuple(start for start, _ in (*self.affinities, *self.kinds) if start)

    @property
    def equal_where_shared(self) -> bool:
        """True if all pairs that share a label have the same affinity; none is then computed per label."""
        return not self.kinds and all(affinity is any_shared for _, affinity in self.affinities)

    def affinity(self, candidates: slice) -> Affinity:
        """Return the affinity for these candidates."""
        return next(affinity for start, affinity in reversed(self.affinities) if start <= candidates.start)

    def meets(self, block: Block) -> bool:
        """Return True for pairs that there are."""
        rows, columns = (
            next((kind for first, kind in reversed(self.kinds) if first <= side.start), None)
            for side in (block.rows, block.columns)
        )
        return rows is None or rows != columns

    def compare(self, block: Block) -> BothWays:
        """Compute the affinities of a block; one tensor twice, where they are the same both ways."""
        rows, columns = block.rows, block.columns
        here = self.left.sizes_beside(self.candidates, rows, columns)
        there = self.candidates.sizes_beside(self.left, columns, rows).T
        overlap = self.left.overlap(self.candidates, rows, columns)
        affinity, mirror_affinity = self.affinity(columns), self.affinity(rows)
        values = self.without_self(affinity(overlap, here, there), block)
        if self.filled is not None:
            values *= self.filled[columns]
        if not block.mirrored:
            return values, None
        same = affinity is mirror_affinity and getattr(affinity, "symmetric", False)
        return values, values if same else mirror_affinity(overlap, there, here)

    def without_self(self, values: PerPair, block: Block) -> PerPair:
        """Set the pairs of an example with itself to 0."""
        return values.fill_diagonal_(0) if self.symmetric and block.on_diagonal else values

    def blocks(self, size: int) -> Iterator[Block]:
        """Go through all blocks of pairs."""
        sizes = len(self.anchors), len(self.candidates)
        return filter(self.meets, grid(*sizes, size=size, symmetric=self.symmetric, cuts=self.cuts))


class Affinities:
    """The affinities of all pairs, a block at a time: computed once for up to ``KEPT_PAIRS`` pairs, else every time.

    Made by each call of a loss; its blocks must not be written into.
    """

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        self._keeps = len(pairs.anchors) * len(pairs.candidates) <= KEPT_PAIRS
        self._kept: dict[tuple[int, int, int, int], BothWays] = {}

    def __call__(self, block: Block) -> BothWays:
        """Return the affinities of a block."""
        place = block.rows.start, block.rows.stop, block.columns.start, block.columns.stop
        if place in self._kept:
            return self._kept[place]
        values = self.pairs.compare(block)
        if self._keeps:
            self._kept[place] = values
        return values


@dataclass(frozen=True, eq=False)
class SharedWeights(PairWeights):
    """The weights W as a product: the share of each pair, times a factor of its anchor.

    Attributes:
        affinities: Of all pairs.
        factors: Of the anchors.
        totals: Sum of each anchor's weights; 0 for an anchor without positives.
        shares: Per label, what an anchor gives to each candidate with one of its labels; beside the bags of the labels.
        shares_by_label: The same as a matrix; None where all anchors with a label give the same, which is symmetric.
    """

    affinities: Affinities
    factors: PerAnchor
    totals: PerAnchor
    shares: Float[Tensor, " entries"] | None = None
    shares_by_label: Float[Tensor, "labels anchors"] | None = None

    @property
    def pairs(self) -> Pairs:
        """The label sets, and how they are compared."""
        return self.affinities.pairs

    @property
    def cuts(self) -> tuple[int, ...]:
        """The candidates at which another affinity or kind begins."""
        return self.pairs.cuts

    def meets(self, block: Block) -> bool:
        """Return True for pairs that there are."""
        return self.pairs.meets(block)

    def scaled(self, factors: PerAnchor) -> "SharedWeights":
        """Return the same weights, every anchor's times its factor."""
        return replace(self, factors=self.factors * factors, totals=self.totals * factors)

    def prior(self, block: Block) -> PerPair | None:
        """Return the prior of the pairs, where they have one."""
        if self.pairs.prior is None:
            return None
        alone = Block(block.rows, block.columns, mirrored=False)
        return replace(self.pairs, affinities=((0, self.pairs.prior),)).compare(alone)[0]

    def block(self, block: Block) -> BothWays:
        """Return the weights of a block, and where it is mirrored those the other way round."""
        weights, mirror = self._shares_of(block)
        if weights is None or not self.pairs.equal_where_shared:
            affinity, mirror_affinity = self.affinities(block)
            weights = affinity if weights is None else weights.mul_(affinity)
            mirror = mirror_affinity if mirror is None or mirror_affinity is None else mirror.mul_(mirror_affinity)
        weights = self.pairs.without_self(weights, block)
        return (
            weights * self.factors[block.rows, None],
            None if mirror is None else mirror * self.factors[block.columns],
        )

    def _shares_of(self, block: Block) -> tuple[PerPair | None, PerPair | None]:
        """Sum the shares over the labels that two have in common; None where they are not per label."""
        if self.shares is None:
            return None, None
        bags, columns = self.pairs.left.bags, block.columns
        shares = bags.pool(block.rows, self.pairs.candidates.by_label[columns], self.shares)
        if not block.mirrored:
            return shares, None
        by_label = self.shares_by_label
        return shares, shares if by_label is None else bags.pool(block.rows, by_label[:, columns])


def share(pairs: Pairs, sharing: Sharing, *, block_size: int | None = None) -> SharedWeights:
    """Share every anchor's attraction among its positives.

    Args:
        pairs: The label sets, and how they are compared.
        sharing: ``"per_anchor"``: in proportion to affinity. ``"per_label"``: each label of the anchor gets the same,
            and gives it to its positives in proportion to affinity; a label without a positive gives nothing.
            ``"per_positive"``: the weights of an anchor sum to the mean affinity of its positives. ``"none"``: a weight
            is an affinity.
        block_size: Rows and columns of a block; it changes no result.

    Example:
        >>> labels = BatchLabels.of(torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))
        >>> pairs = Pairs(labels, labels, ((0, any_shared),), symmetric=True)
        >>> share(pairs, "per_label").block(Block(slice(0, 4), slice(0, 4), mirrored=False))[0][0]
        tensor([0.0000, 0.5000, 0.2500, 0.2500])
    """
    size, affinities = block_size or BLOCK_SIZE, Affinities(pairs)
    valid = None  # an anchor without a candidate in its denominator has no loss
    if pairs.prior is not None:
        valid = _mass(pairs, replace(pairs, affinities=((0, pairs.prior),)).compare, size).sign()
    if sharing == "per_label":
        return _share_by_label(affinities, valid, size)
    return _share_by_anchor(affinities, sharing, valid, size)


def _share_by_label(affinities: Affinities, valid: PerAnchor | None, size: int) -> SharedWeights:
    """Divide an anchor's affinities by their sums, one for each of its labels."""
    pairs = affinities.pairs
    bags, sizes = pairs.left.bags, pairs.anchors.sizes
    entries = slice(bags.starts[len(sizes)])
    rows, labels, given = bags.rows[entries], bags.labels[entries], bags.values[entries]
    mass = _mass_of_labels(affinities, size)
    mass = mass if valid is None else mass * valid[rows]
    shares, per_label = _ratio(given, mass), _ratio(torch.ones_like(sizes), sizes)
    by_label = None
    if not (pairs.equal_where_shared and bags.whole):
        by_label = sizes.new_zeros(bags.shape[1], len(sizes)).index_put_((labels, rows), shares)
    fulfilled = bags.pool(slice(0, len(sizes)), sizes.new_ones(bags.shape[1], 1), given * mass.sign())[:, 0]
    return SharedWeights(affinities, per_label, fulfilled * per_label, shares, by_label)


def _share_by_anchor(affinities: Affinities, sharing: Sharing, valid: PerAnchor | None, size: int) -> SharedWeights:
    """Divide an anchor's affinities by their sum, by their number, or not at all."""
    pairs = affinities.pairs
    mass = _mass(pairs, affinities, size)
    mass = mass if valid is None else mass * valid
    divisor = torch.ones_like(mass) if sharing == "none" else mass
    if sharing == "per_positive":
        positive = tuple((start, _sign_of(affinity)) for start, affinity in pairs.affinities)
        divisor = _mass(pairs, replace(pairs, affinities=positive).compare, size)
    factors = _ratio(torch.ones_like(mass), divisor)
    return SharedWeights(affinities, factors, mass * factors if sharing != "per_anchor" else mass.sign())


def _sign_of(affinity: Affinity) -> Affinity:
    """Return the affinity that is 1 where the given one is not 0."""

    def present(overlap: Counts, size_i: Counts, size_j: Counts) -> Counts:
        return affinity(overlap, size_i, size_j).sign()

    return symmetric(present) if getattr(affinity, "symmetric", False) else present


def _mass(pairs: Pairs, compare: Callable[[Block], BothWays], size: int) -> PerAnchor:
    """Sum the affinities of every anchor."""
    mass = torch.zeros_like(pairs.anchors.sizes)
    for block in pairs.blocks(size):
        values, mirror = compare(block)
        mass[block.rows] += values.sum(1)
        if mirror is not None:
            mass[block.columns] += mirror.sum(0)
    return mass


def _mass_of_labels(affinities: Affinities, size: int) -> Float[Tensor, " entries"]:
    """Sum an anchor's affinities to the candidates with a label, for each of its labels."""
    pairs = affinities.pairs
    anchors, candidates, bags = pairs.anchors, pairs.candidates, pairs.left.bags
    entries = slice(bags.starts[len(anchors)])
    rows, labels, given = bags.rows[entries], bags.labels[entries], bags.values[entries]
    if pairs.equal_where_shared:  # then it is a count of candidates, less the anchor itself
        itself = int(pairs.symmetric)
        if not itself or candidates.bags.whole:
            return candidates.matrix.sum(0)[labels] - itself * given
        # a difference of soft labels is neither exact nor exactly 0: the sum of those before, and of those after
        before, after = candidates.matrix.cumsum(0), candidates.matrix.flip(0).cumsum(0).flip(0)
        edge = given.new_zeros(1, bags.shape[1])
        return (torch.cat([edge, before]) + torch.cat([after[1:], edge, edge]))[rows, labels]
    mass = given.new_zeros(bags.shape[1], len(anchors))
    for block in pairs.blocks(size):
        values, mirror = affinities(block)
        mass[:, block.rows] += candidates.bags.pool_by_label(block.columns, values.T)
        if mirror is not None:
            mass[:, block.columns] += candidates.bags.pool_by_label(block.rows, mirror)
    return mass[labels, rows]


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide, with 0 / 0 counting as 0."""
    return numerator * denominator.sign() / denominator.clamp(min=torch.finfo(denominator.dtype).tiny)
