r"""The one place where labels and embeddings meet: a softmax over similarities, pulled by pair weights.

With :math:`s_{ij} = \langle z_i, z_j \rangle / \tau`, weights :math:`W` from labels and a prior :math:`g`,

.. math:: \ell_i = m_i \log \sum_{j \ne i} g_j e^{s_{ij}} - \sum_j W_{ij} s_{ij}, \qquad m_i = \sum_j W_{ij},

and the gradient is :math:`\partial \ell_i / \partial s_{ij} = m_i p_{ij} - W_{ij}`, p the softmax. Plainly, this is

    s = z[:anchors] @ z.T / temperature
    s.fill_diagonal_(-inf)
    loss = m * (s + log_prior).logsumexp(1) - where(W > 0, W * s, 0).sum(1)

Here it is done in two sweeps over blocks, so that memory grows with the rows and not with the pairs. Where anchors are
candidates themselves, s is symmetric: a block serves (i, j) and (j, i), and none below the diagonal is computed.
No maximum is subtracted: |s| is at most 1 / temperature, and where the exponential of that leaves the range of float32,
below a temperature of 1/70, float64 is used. The pair of an example with itself has the exponential 0.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from labelcontrast.errors import TensorError

BLOCK_SIZE = 384  # a handful of blocks of this size stay in the cache
KEPT_PAIRS = 2**23  # up to so many pairs, the second sweep finds the blocks of the first
LARGEST_EXPONENT = {torch.float32: 70.0, torch.float64: 650.0}

Block = Float[Tensor, "rows columns"]


class PairWeights(ABC):
    """How strongly every anchor is pulled to every candidate: never negative, 0 for a pair that is no positive."""

    totals: Float[Tensor, " anchors"]

    @property
    def cuts(self) -> tuple[int, ...]:
        """The candidates at which a new block must begin."""
        return ()

    @abstractmethod
    def block(self, rows: slice, columns: slice, *, mirrored: bool) -> tuple[Block, Block | None]:
        """The weights of anchors ``rows`` on candidates ``columns``, self pairs 0.

        And, where ``mirrored``, those of anchors ``columns`` on candidates ``rows``, laid out as the first.
        """

    def prior(self, rows: slice, columns: slice) -> Block | None:  # noqa: ARG002
        """What the exponentials of pairs are multiplied with, symmetric in the two; by default nothing."""
        return None

    @abstractmethod
    def scaled(self, factors: Float[Tensor, " anchors"]) -> "PairWeights":
        """The same weights, every anchor's times its factor."""


class Tally:
    """Counts what the blocks show as they pass by: pairs, positives, and how similar they are."""

    def __init__(self) -> None:
        self.positives: Tensor | float = 0.0
        self.stoppable: Tensor | float = 0.0
        self.similarity_of_positives: Tensor | float = 0.0
        self.similarity_of_all: Tensor | float = 0.0

    def add(self, similarity: Block, push: Block, pull: Block) -> None:
        """Count a block; a positive is stoppable where it is pushed more than it is pulled."""
        positive = pull.sign()
        self.positives = self.positives + positive.sum()
        self.stoppable = self.stoppable + (push * positive > pull).sum()
        self.similarity_of_positives = self.similarity_of_positives + (positive * similarity).sum()
        self.similarity_of_all = self.similarity_of_all + similarity.sum()


def weighted_softmax(
    candidates: Float[Tensor, "candidates dim"],
    weights: PairWeights,
    *,
    temperature: float,
    queries: Float[Tensor, "anchors dim"] | None = None,
    prior: Float[Tensor, " candidates"] | None = None,
    stop_repulsion: float = 0.0,
    block_size: int | None = None,
    average: Float[Tensor, " anchors"] | None = None,
    tally: Tally | None = None,
) -> Float[Tensor, "*anchors"]:
    r"""Pull every anchor to its positives and push it from all candidates, through a softmax over similarities.

    .. math:: \ell_i = m_i \log \sum_{j \ne i} g_j e^{s_{ij}} - \sum_j (W_{ij} + \gamma_{ij}) s_{ij}, \qquad
       \gamma_{ij} = \lambda \max(0, m_i p_{ij} - W_{ij}) \, [W_{ij} > 0] \text{, held constant}

    An anchor without positives has the loss 0 and no gradient of its own; it stays a negative for the others. With
    ``stop_repulsion`` of 1 the gradient is ``min(0, m p - W)`` on positives, so that none is pushed away. The value is
    then not what is descended: it can be negative, and never selects a model.

    Args:
        candidates: of unit length, in :func:`working_precision`.
        weights: W, in the same precision.
        temperature: tau.
        queries: the anchors, where they are no candidates; by default the first candidates are the anchors, each
            without itself.
        prior: g, positive; by default 1.
        stop_repulsion: lambda; 0 stops nothing, 1 is the regulariser of L_REG.
        block_size: rows and columns of a block; it changes no result.
        average: factors from 0 upwards, for one sum of the losses.
        tally: counts pairs on the way to the sum.

    Returns:
        The sum of ``average`` times the losses, its gradient made on the way; without ``average``, the losses.

    Reference: Audibert et al., Multi-Label Contrastive Learning: A Comprehensive Study, 2024, Eq. 6 to 14.
    """
    settings = (weights, prior, temperature, stop_repulsion, block_size or BLOCK_SIZE, tally)
    result: Tensor = _WeightedSoftmax.apply(candidates, queries, settings, average)
    return result


def working_precision(dtype: torch.dtype, temperature: float) -> torch.dtype:
    """Float32 or better; better where the exponential of 1 / temperature needs it.

    Example:
        >>> working_precision(torch.bfloat16, 0.1), working_precision(torch.float32, 0.01)
        (torch.float32, torch.float64)
    """
    enough = dtype != torch.float64 and 1 / temperature <= LARGEST_EXPONENT[torch.float32]
    return torch.float32 if enough else torch.float64


def grid(
    anchors: int, candidates: int, *, size: int, symmetric: bool, cuts: tuple[int, ...] = ()
) -> Iterator[tuple[slice, slice, bool]]:
    """Go through all blocks of anchors x candidates; where symmetric, from the diagonal on, naming those that mirror.

    Example:
        >>> [(rows.start, columns.start, mirrored) for rows, columns, mirrored in grid(4, 5, size=2, symmetric=True)]
        [(0, 0, False), (0, 2, True), (0, 4, False), (2, 2, False), (2, 4, False)]
    """
    ends = sorted({anchors, candidates, *cuts} if symmetric else {candidates, *cuts})
    columns = [part for start, end in pairwise([0, *ends]) for part in _parts(start, end, size)]
    rows = [part for part in columns if part.stop <= anchors] if symmetric else _parts(0, anchors, size)
    for row, column in product(rows, columns):
        if not symmetric or column.start >= row.start:
            yield row, column, symmetric and row.start < column.start < anchors


def _parts(start: int, end: int, size: int) -> list[slice]:
    """Cut a range into pieces of a size."""
    return [slice(low, min(low + size, end)) for low in range(start, end, size)]


class _WeightedSoftmax(torch.autograd.Function):
    """The sum makes its gradient in the sweep of its value; single losses sweep again once theirs is asked for."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        candidates: Tensor,
        queries: Tensor | None,
        settings: tuple[PairWeights, Tensor | None, float, float, int, Tally | None],
        average: Tensor | None,
    ) -> Tensor:
        weights, prior, temperature, stop_repulsion, block_size, tally = settings
        ctx.scale = scale = temperature**-0.5  # of both factors of a similarity
        rows, anchors = candidates * scale, None if queries is None else queries * scale
        sweep = _Sweep(rows, anchors, weights, prior, stop_repulsion, block_size, tally)
        ctx.sweep = sweep if average is None else None
        if average is None:
            return sweep.run(torch.ones_like(weights.totals), gradient=False)[0]
        losses, *gradients = sweep.run(average, gradient=any(ctx.needs_input_grad))
        ctx.save_for_backward(*gradients)
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        if torch.is_grad_enabled():
            raise TensorError("a contrastive loss has no second derivatives. Call backward without create_graph.")
        if ctx.sweep is None:
            factor, gradients = upstream * ctx.scale, ctx.saved_tensors
        else:
            # a sweep takes factors from 0: one for the losses that are to fall, one for those that are to rise
            _, *fall = ctx.sweep.run(upstream.clamp(min=0), gradient=True)
            _, *rise = ctx.sweep.run(-upstream.clamp(max=0), gradient=True)
            factor, gradients = ctx.scale, [down - up for down, up in zip(fall, rise, strict=True)]
        to_candidates, *to_queries = (factor * gradient for gradient in gradients)
        return to_candidates, to_queries[0] if to_queries else None, None, None


@dataclass(frozen=True)
class _Sweep:
    """All that the blocks share; ``run`` goes through them twice, first for the normalisers."""

    candidates: Tensor
    queries: Tensor | None
    weights: PairWeights
    prior: Tensor | None
    stop_repulsion: float
    block_size: int
    tally: Tally | None
    kept: dict[tuple[int, int], tuple[Tensor, Tensor]] = field(default_factory=dict)

    @property
    def anchors(self) -> Tensor:
        """The queries; or the first candidates."""
        return self.candidates[: len(self.weights.totals)] if self.queries is None else self.queries

    def run(self, average: Tensor, *, gradient: bool) -> tuple[Tensor, ...]:
        """Return the losses times ``average``; then the gradient of their sum for the candidates, and for queries."""
        with torch.autocast(self.candidates.device.type, enabled=False):
            weights = self.weights.scaled(average)
            normaliser = self._normalisers()
            losses = weights.totals * self._without_own_prior(normaliser).log()
            repulsion = weights.totals / normaliser
            gradients = [torch.zeros_like(rows) for rows in (self.candidates, self.queries) if rows is not None]
            for rows, columns, mirrored in self._blocks():
                similarity, exponential = self._similarities(rows, columns)
                pull, mirror = weights.block(rows, columns, mirrored=mirrored)
                slope, pull = self._meet(similarity, exponential * repulsion[rows, None], pull)
                losses[rows] -= torch.linalg.vecdot(pull, similarity)
                if mirror is not None:
                    mirror_slope, mirror = self._meet(similarity, exponential * repulsion[columns], mirror)
                    losses[columns] -= torch.linalg.vecdot(mirror, similarity, dim=0)
                    slope += mirror_slope
                if gradient:
                    self._descend(slope, rows, columns, gradients)
            return losses, *gradients

    def _descend(self, slope: Tensor, rows: slice, columns: slice, gradients: list[Tensor]) -> None:
        """Add what a block of slopes does to the rows of both its sides."""
        if self.queries is None and rows == columns:  # both products are of the same rows
            gradients[0][rows].addmm_(slope + slope.T, self.candidates[rows])
        else:
            gradients[-1][rows].addmm_(slope, self.candidates[columns])
            gradients[0][columns].addmm_(slope.T, self.anchors[rows])

    def _meet(self, similarity: Tensor, push: Tensor, pull: Tensor) -> tuple[Tensor, Tensor]:
        """The slope of the loss in each similarity; and the pull, the stopped part of a positive's repulsion in it."""
        if self.tally is not None:
            self.tally.add(similarity, push, pull)
        if self.stop_repulsion:
            held = (push * pull.sign()).maximum(pull)  # the push, where it is above a pull
            pull = held if self.stop_repulsion == 1 else torch.lerp(pull, held, self.stop_repulsion)
        return push.sub_(pull), pull

    def _normalisers(self) -> Tensor:
        """Every anchor's sum of exponentials, both priors in it."""
        normaliser = torch.zeros_like(self.weights.totals)
        for rows, columns, mirrored in self._blocks():
            block = _, exponential = self._similarities(rows, columns)
            if len(self.anchors) * len(self.candidates) <= KEPT_PAIRS:
                self.kept[rows.start, columns.start] = block
            normaliser[rows] += exponential.sum(1)
            if mirrored:
                normaliser[columns] += exponential.sum(0)
        # an anchor without any candidate has 0, and no positive: 0 / tiny and 0 * log(tiny) are 0
        return normaliser.clamp_(min=torch.finfo(normaliser.dtype).tiny)

    def _similarities(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        """A block of similarities; and their exponentials times the priors of both, which keeps them symmetric."""
        if (rows.start, columns.start) in self.kept:
            return self.kept.pop((rows.start, columns.start))
        similarity = self.anchors[rows] @ self.candidates[columns].T
        exponential = similarity.exp()
        of_pairs = self.weights.prior(rows, columns)
        if of_pairs is not None:
            exponential *= of_pairs
        if self.prior is not None:
            exponential *= self.prior[columns]
            if self.queries is None:
                exponential *= self.prior[rows, None]
        if self.queries is None and rows == columns:
            exponential.fill_diagonal_(0)
        return similarity, exponential

    def _without_own_prior(self, normaliser: Tensor) -> Tensor:
        """The sum of exponentials as the loss has it: its anchor's own prior taken out."""
        if self.prior is None or self.queries is not None:
            return normaliser
        return normaliser / self.prior[: len(normaliser)]

    def _blocks(self) -> Iterator[tuple[slice, slice, bool]]:
        """The grid of this sweep."""
        return grid(
            len(self.anchors),
            len(self.candidates),
            size=self.block_size,
            symmetric=self.queries is None,
            cuts=self.weights.cuts,
        )
