r"""From label sets to pair weights: how an anchor's attraction is shared out among its positives.

With :math:`F_{ij}` the affinity of two label sets, 0 for the pair of an example with itself, and 0 / 0 counting as 0,

.. math:: W_{ij} = \frac{F_{ij}}{\sum_k F_{ik}} \text{ (per anchor)}, \qquad
   W_{ij} = \frac{1}{|y_i|} \sum_c y_{ic} \frac{F_{ij}\, y_{jc}}{\sum_k F_{ik}\, y_{kc}} \text{ (per label)}, \qquad
   W_{ij} = \frac{F_{ij}}{|\{k : F_{ik} > 0\}|} \text{ (per positive)}, \qquad W_{ij} = F_{ij} \text{ (none)}.

Neither needs an array of anchors x candidates x labels. Plainly, the second is

    mass = F @ Y
    W = F * ((Y[:anchors] / sizes / mass) @ Y.T)

and as a row of Y holds few labels, the products with it are sums of a few rows:
:mod:`~labelcontrast.losses.label_sets`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from labelcontrast.losses.affinity import Affinity, Counts, any_shared, symmetric
from labelcontrast.losses.axes import Sharing
from labelcontrast.losses.blocks import BLOCK_SIZE, KEPT_PAIRS, Block, PairWeights, grid
from labelcontrast.losses.label_sets import BatchLabels


@dataclass(frozen=True)
class Pairs:
    """Who meets whom: label sets of anchors and candidates, and how alike the two are.

    Attributes:
        anchors: their label sets.
        candidates: theirs; the first are the anchors where ``symmetric``.
        affinities: each with the first candidate that it is for.
        symmetric: the anchors are candidates, each without itself.
        prior: a symmetric affinity that pairs are multiplied with in the denominator.
    """

    anchors: BatchLabels
    candidates: BatchLabels
    affinities: tuple[tuple[int, Affinity], ...]
    symmetric: bool
    prior: Affinity | None = None
    kept: dict[tuple[int, int, int, int], tuple[Block, Block | None]] = field(default_factory=dict, init=False)

    @property
    def pulled(self) -> BatchLabels:
        """The label sets of the anchors, and where symmetric of who comes after them: one matrix for all products."""
        return self.candidates if self.symmetric else self.anchors

    @property
    def cuts(self) -> tuple[int, ...]:
        """The candidates at which another affinity begins."""
        return tuple(start for start, _ in self.affinities if start)

    @property
    def alike_where_shared(self) -> bool:
        """Whether all pairs that share a label are equally alike; then no affinity needs to be computed per label."""
        return all(affinity is any_shared for _, affinity in self.affinities)

    def affinity(self, candidates: slice) -> Affinity:
        """The affinity that is for these candidates."""
        return next(affinity for start, affinity in reversed(self.affinities) if start <= candidates.start)

    def alike(self, rows: slice, columns: slice, *, mirrored: bool) -> tuple[Block, Block | None]:
        """The affinities of anchors ``rows`` to candidates ``columns``, and where mirrored the other way round.

        Of a small problem they are kept for the next time, which is the last: first they are summed, and then used.
        """
        place = rows.start, rows.stop, columns.start, columns.stop
        if place in self.kept:
            return self.kept.pop(place)
        blocks = self.compare(rows, columns, mirrored=mirrored)
        if len(self.anchors) * len(self.candidates) <= KEPT_PAIRS:
            self.kept[place] = blocks
        return blocks

    def compare(self, rows: slice, columns: slice, *, mirrored: bool) -> tuple[Block, Block | None]:
        """The same, not kept; one block twice, where it is the same both ways."""
        here = self.pulled.sizes_beside(self.candidates, rows, columns)
        there = self.candidates.sizes_beside(self.pulled, columns, rows).T
        overlap = self.pulled.overlap(self.candidates, rows, columns)
        affinity, mirror_affinity = self.affinity(columns), self.affinity(rows)
        alike = self.without_self(affinity(overlap, here, there), rows, columns)
        if not mirrored:
            return alike, None
        same = affinity is mirror_affinity and getattr(affinity, "symmetric", False)
        return alike, alike if same else mirror_affinity(overlap, there, here)

    def without_self(self, block: Block, rows: slice, columns: slice) -> Block:
        """The block with 0 for the pairs of an example with itself."""
        return block.fill_diagonal_(0) if self.symmetric and rows == columns else block


@dataclass(frozen=True)
class SharedWeights(PairWeights):
    """The weights W as a product: what each pair gets by itself, times a factor of its anchor.

    Attributes:
        pairs: who meets whom.
        factors: those of the anchors.
        totals: the sum of each anchor's weights; 0 for an anchor without positives.
        shares: per label, what an anchor gives to each candidate with one of its labels; beside the bags of the labels.
        shares_by_label: the same as a matrix; none where all anchors with a label give the same, which is symmetric.
    """

    pairs: Pairs
    factors: Float[Tensor, " anchors"]
    totals: Float[Tensor, " anchors"]
    shares: Float[Tensor, " entries"] | None = None
    shares_by_label: Float[Tensor, "labels anchors"] | None = None

    @property
    def cuts(self) -> tuple[int, ...]:
        """The candidates at which another affinity begins."""
        return self.pairs.cuts

    def scaled(self, factors: Float[Tensor, " anchors"]) -> "SharedWeights":
        """The same weights, every anchor's times its factor."""
        return replace(self, factors=self.factors * factors, totals=self.totals * factors)

    def prior(self, rows: slice, columns: slice) -> Block | None:
        """The prior of the pairs, where they have one."""
        if self.pairs.prior is None:
            return None
        return replace(self.pairs, affinities=((0, self.pairs.prior),)).alike(rows, columns, mirrored=False)[0]

    def block(self, rows: slice, columns: slice, *, mirrored: bool) -> tuple[Block, Block | None]:
        """The weights of anchors ``rows`` on candidates ``columns``, and where mirrored those the other way round."""
        pull, mirror = self._spread(rows, columns, mirrored=mirrored)
        if pull is None or not self.pairs.alike_where_shared:
            alike, mirror_alike = self.pairs.alike(rows, columns, mirrored=mirrored)
            pull = alike if pull is None else pull.mul_(alike)
            mirror = mirror_alike if mirror is None or mirror_alike is None else mirror.mul_(mirror_alike)
        pull = self.pairs.without_self(pull, rows, columns)
        return pull * self.factors[rows, None], None if mirror is None else mirror * self.factors[columns]

    def _spread(self, rows: slice, columns: slice, *, mirrored: bool) -> tuple[Block | None, Block | None]:
        """The shares, summed over the labels that two have in common; nothing where they are not per label."""
        if self.shares is None:
            return None, None
        bags = self.pairs.pulled.bags
        spread = bags.pool(rows, self.pairs.candidates.by_label(columns), self.shares)
        if not mirrored:
            return spread, None
        return spread, spread if self.shares_by_label is None else bags.pool(rows, self.shares_by_label[:, columns])


def share(pairs: Pairs, sharing: Sharing, *, block_size: int | None = None) -> SharedWeights:
    """Share out every anchor's attraction.

    Args:
        pairs: who meets whom, and how alike they are.
        sharing: ``"per_anchor"``: in proportion to affinity. ``"per_label"``: each label of the anchor gets the same,
            and gives it to its positives in proportion to affinity; a label that nobody else has gives nothing.
            ``"per_positive"``: the mean affinity of the positives is what an anchor gives in all. ``"none"``: a weight
            is an affinity.
        block_size: rows and columns of a block; it changes no result.

    Example:
        >>> labels = BatchLabels.of(torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))
        >>> everyone = slice(0, 4)
        >>> pairs = Pairs(labels, labels, ((0, any_shared),), symmetric=True)
        >>> share(pairs, "per_label").block(everyone, everyone, mirrored=False)[0][0]
        tensor([0.0000, 0.5000, 0.2500, 0.2500])
    """
    size = block_size or BLOCK_SIZE
    heard = None  # an anchor without a candidate in its denominator gives nothing
    if pairs.prior is not None:
        heard = _mass(replace(pairs, affinities=((0, pairs.prior),)), size).sign()
    return _shared_by_label(pairs, heard, size) if sharing == "per_label" else _shared(pairs, sharing, heard, size)


def _shared_by_label(pairs: Pairs, heard: Float[Tensor, " anchors"] | None, size: int) -> SharedWeights:
    """Divide an anchor's affinities by their sums, one a label that it has."""
    bags, sizes = pairs.pulled.bags, pairs.anchors.sizes
    entries = slice(bags.starts[len(sizes)])
    rows, labels, given = bags.rows[entries], bags.labels[entries], bags.values[entries]
    mass = _mass_of_labels(pairs, size) if heard is None else _mass_of_labels(pairs, size) * heard[rows]
    shares, per_label = _ratio(given, mass), _ratio(torch.ones_like(sizes), sizes)
    by_label = None
    if not (pairs.alike_where_shared and bags.whole):
        by_label = sizes.new_zeros(bags.shape[1], len(sizes)).index_put_((labels, rows), shares)
    fulfilled = bags.pool(slice(0, len(sizes)), sizes.new_ones(bags.shape[1], 1), given * mass.sign())[:, 0]
    return SharedWeights(pairs, per_label, fulfilled * per_label, shares, by_label)


def _shared(pairs: Pairs, sharing: Sharing, heard: Float[Tensor, " anchors"] | None, size: int) -> SharedWeights:
    """Divide an anchor's affinities by their sum, by their number, or not at all."""
    mass = _mass(pairs, size) if heard is None else _mass(pairs, size) * heard
    divisor = torch.ones_like(mass) if sharing == "none" else mass
    if sharing == "per_positive":
        positive = tuple((start, _whether(affinity)) for start, affinity in pairs.affinities)
        divisor = _mass(replace(pairs, affinities=positive), size)
    factors = _ratio(torch.ones_like(mass), divisor)
    return SharedWeights(pairs, factors, mass * factors if sharing != "per_anchor" else mass.sign())


def _whether(affinity: Affinity) -> Affinity:
    """1 where there is an affinity."""

    def present(overlap: Counts, size_i: Counts, size_j: Counts) -> Counts:
        return affinity(overlap, size_i, size_j).sign()

    return symmetric(present) if getattr(affinity, "symmetric", False) else present


def _mass(pairs: Pairs, size: int) -> Float[Tensor, " anchors"]:
    """The sum of an anchor's affinities."""
    mass = torch.zeros_like(pairs.anchors.sizes)
    for rows, columns, mirrored in _blocks(pairs, size):
        alike, mirror = pairs.alike(rows, columns, mirrored=mirrored)
        mass[rows] += alike.sum(1)
        if mirror is not None:
            mass[columns] += mirror.sum(0)
    return mass


def _mass_of_labels(pairs: Pairs, size: int) -> Float[Tensor, " entries"]:
    """The sum of an anchor's affinities to the candidates with a label, for each label that it has."""
    anchors, candidates, bags = pairs.anchors, pairs.candidates, pairs.pulled.bags
    entries = slice(bags.starts[len(anchors)])
    rows, labels, given = bags.rows[entries], bags.labels[entries], bags.values[entries]
    if pairs.alike_where_shared:  # then it is a count of candidates, less the anchor itself
        itself = int(pairs.symmetric)
        others = candidates.matrix.sign().sum(0)[labels] - itself  # a difference of soft labels is not exactly 0
        return (candidates.matrix.sum(0)[labels] - itself * given) * others.sign()
    mass = given.new_zeros(bags.shape[1], len(anchors))
    for here, there, mirrored in _blocks(pairs, size):
        alike, mirror = pairs.alike(here, there, mirrored=mirrored)
        mass[:, here] += candidates.bags.pool_by_label(there, alike.T)
        if mirror is not None:
            mass[:, there] += candidates.bags.pool_by_label(here, mirror)
    return mass[labels, rows]


def _blocks(pairs: Pairs, size: int) -> Iterator[tuple[slice, slice, bool]]:
    """Go through all blocks of pairs."""
    sizes = len(pairs.anchors), len(pairs.candidates)
    return grid(*sizes, size=size, symmetric=pairs.symmetric, cuts=pairs.cuts)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, with 0 / 0 counting as 0."""
    return numerator * denominator.sign() / denominator.clamp(min=torch.finfo(denominator.dtype).tiny)
