r"""The one place where labels and embeddings meet: attraction by pair weights, repulsion by a denominator.

With the exponentials :math:`E_{ij} = g_j e^{s_{ij}}`, 0 for the pair of an example with itself, an anchor's loss is

.. math:: \text{all candidates:} \; \sum_j W_{ij} \Bigl( \log \sum_k E_{ik} - s_{ij} \Bigr), \qquad
   \text{negatives:} \; \sum_j W_{ij} \Bigl( \log \bigl( E_{ij} + \sum_{k : W_{ik} = 0} E_{ik} \bigr) - s_{ij} \Bigr),
   \qquad \text{each pair:} \; \sum_j \log (1 + e^b E_{ij}) - W_{ij} (s_{ij} + b),

and with the negatives alone :math:`m_i \log \sum_{k : W_{ik} = 0} E_{ik} - \sum_j W_{ij} s_{ij}`.

In plain code, see :mod:`~labelcontrast.losses.reference`, the first is

    s = z[:anchors] @ z.T / temperature
    s.fill_diagonal_(-inf)
    loss = m * (s + log_prior).logsumexp(1) - where(W > 0, W * s, 0).sum(1)

and its gradient is :math:`\partial \ell_i / \partial s_{ij} = m_i p_{ij} - W_{ij}`, p the softmax. Here it is computed
in two sweeps over :class:`~labelcontrast.losses.blocks.Similarities`, the first for the normalisers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labelcontrast.errors import TensorError
from labelcontrast.losses.blocks import (
    BLOCK_SIZE,
    Attraction,
    PairStatistics,
    PairWeights,
    PerAnchor,
    PerPair,
    PureNegatives,
    Similarities,
    SimilarityBlock,
)

Given = tuple[Tensor, Tensor | None, Tensor | None]
"""Candidates; the anchors, where they are none; and candidates that are no positives."""
Gradients = tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]
"""Of these, and of the bias."""
State = Sequence[Tensor]
"""A number or more for each anchor; beside a block, laid along its anchors."""


class Denominator(ABC):
    """The repulsive part of a contrastive loss: the candidates that a positive is contrasted with."""

    bias: Tensor | None = None
    """A learned bias of all similarities."""

    @abstractmethod
    def prepare(
        self, similarities: Similarities, weights: PairWeights, average: PerAnchor, mass: PerAnchor
    ) -> tuple[PerAnchor, State, Attraction]:
        """Sweep once or more.

        Args:
            similarities: Of all pairs.
            weights: W, times the factors of the anchors.
            average: These factors.
            mass: What candidates outside these pairs, none of them a positive, add to an anchor's sum of exponentials.

        Returns: The losses before attraction times similarity is subtracted, what :meth:`repulsion` needs of each
            anchor, and the attraction.
        """

    @abstractmethod
    def repulsion(self, exponential: PerPair, attraction: PerPair, state: State) -> PerPair:
        """Return the repulsion of each pair; the slope of the loss in its similarity is this minus its attraction."""


class AllCandidates(Denominator):
    """A softmax over all candidates, the other positives among them, as in InfoNCE and SupCon."""

    def prepare(
        self,
        similarities: Similarities,
        weights: PairWeights,
        average: PerAnchor,  # noqa: ARG002
        mass: PerAnchor,
    ) -> tuple[PerAnchor, State, Attraction]:
        """Sum the exponentials of every anchor."""
        normaliser, log_normaliser = normalise(similarities, mass)
        return weights.totals * log_normaliser, [weights.totals / normaliser], weights

    def repulsion(self, exponential: PerPair, attraction: PerPair, state: State) -> PerPair:  # noqa: ARG002
        """Distribute an anchor's whole weight by the share of each candidate in the softmax."""
        return exponential * state[0]


class NegativesOnly(Denominator):
    """For each positive a softmax over itself and the negatives: positives do not repel one another.

    Reference: Feeney and Hughes, SINCERE: Supervised Information Noise-Contrastive Estimation Revisited, 2023.
    """

    def prepare(
        self,
        similarities: Similarities,
        weights: PairWeights,
        average: PerAnchor,  # noqa: ARG002
        mass: PerAnchor,
    ) -> tuple[PerAnchor, State, Attraction]:
        """Sum the negatives of every anchor; then the repulsion of a negative by all positives together."""
        negatives, repulsion, losses = mass.clone(), torch.zeros_like(mass), torch.zeros_like(mass)
        _add_negatives(negatives, similarities, weights)
        # an anchor without negatives: nothing to compete with, and no slope
        negatives.clamp_(min=torch.finfo(negatives.dtype).tiny)
        for block in similarities:
            attraction, mirror = weights.block(block)
            total = block.exponential + negatives[block.rows, None]
            repulsion[block.rows] += (attraction / total).sum(1)
            losses[block.rows] += attraction.mul_(total.log_()).sum(1)
            if mirror is not None:
                total = block.exponential + negatives[block.columns]
                repulsion[block.columns] += (mirror / total).sum(0)
                losses[block.columns] += mirror.mul_(total.log_()).sum(0)
        return losses, [negatives, repulsion], weights

    def repulsion(self, exponential: PerPair, attraction: PerPair, state: State) -> PerPair:
        """A positive by its share beside the negatives, a negative by its share beside every positive."""
        negatives, repulsion = state
        share = attraction / (exponential + negatives)
        return share.addcmul_(_negative(attraction), repulsion).mul_(exponential)


class NegativesAlone(Denominator):
    """A softmax over the negatives, for each positive without itself; an anchor without negatives has no loss.

    Reference: Gupta et al., Class Prototypes based Contrastive Learning for Classifying Multi-Label and Fine-Grained
    Educational Videos, 2023.
    """

    def prepare(
        self,
        similarities: Similarities,
        weights: PairWeights,
        average: PerAnchor,  # noqa: ARG002
        mass: PerAnchor,
    ) -> tuple[PerAnchor, State, Attraction]:
        """Sum the negatives of every anchor."""
        negatives = _add_negatives(mass.clone(), similarities, weights)
        weights = weights.scaled(negatives.sign())
        negatives.masked_fill_(negatives == 0, 1)
        return weights.totals * negatives.log(), [weights.totals / negatives], weights

    def repulsion(self, exponential: PerPair, attraction: PerPair, state: State) -> PerPair:
        """Distribute an anchor's whole weight over its negatives."""
        return _negative(attraction).mul_(exponential).mul_(state[0])


class EachPair(Denominator):
    """No softmax: every pair is a binary classification, its weight being the probability of a positive.

    Args:
        bias: b, the log-odds of a pair of similarity 0.

    Reference: Zhai et al., Sigmoid Loss for Language Image Pre-Training, 2023.
    """

    def __init__(self, bias: Float[Tensor, ""]) -> None:
        self.bias: Tensor = bias

    def prepare(
        self,
        similarities: Similarities,
        weights: PairWeights,
        average: PerAnchor,
        mass: PerAnchor,  # noqa: ARG002
    ) -> tuple[PerAnchor, State, Attraction]:
        """Sum the cost of all pairs as negatives, and subtract the bias of the positives."""
        losses, odds = torch.zeros_like(weights.totals), self._odds(weights.totals)
        for block in similarities:
            cost = (block.exponential * odds).log1p_()
            losses[block.rows] += cost.sum(1)
            if block.mirrored:
                losses[block.columns] += cost.sum(0)
        return losses * average - weights.totals * self.bias.to(losses.dtype), [average], weights

    def repulsion(self, exponential: PerPair, attraction: PerPair, state: State) -> PerPair:  # noqa: ARG002
        """Return the probability of a positive."""
        odds = exponential * self._odds(exponential)
        return odds.div_(1 + odds).mul_(state[0])

    def _odds(self, like: Tensor) -> Tensor:
        return self.bias.to(like.dtype).exp()


def normalise(
    similarities: Similarities, mass: PerAnchor, *, look: Callable[[SimilarityBlock], None] | None = None
) -> tuple[PerAnchor, PerAnchor]:
    """Sum the exponentials of every anchor.

    Args:
        similarities: Of all pairs.
        mass: What each anchor's sum begins with.
        look: Is called with every block.

    Returns: The sums, times the anchor's own prior where it has one; and their logarithm without that.
    """
    normaliser = mass.clone()
    for block in similarities:
        normaliser[block.rows] += block.exponential.sum(1)
        if block.mirrored:
            normaliser[block.columns] += block.exponential.sum(0)
        if look is not None:
            look(block)
    # an anchor without any candidate has 0, and no positive: 0 / tiny and 0 * log(tiny) are 0
    normaliser.clamp_(min=torch.finfo(normaliser.dtype).tiny)
    asymmetric = similarities.queries is not None or similarities.prior is None
    own = None if asymmetric or similarities.prior is None else similarities.prior[: len(normaliser)]
    return normaliser, (normaliser if own is None else normaliser / own).log()


def weighted_softmax(
    candidates: Float[Tensor, "candidates dim"],
    weights: PairWeights,
    *,
    temperature: float,
    queries: Float[Tensor, "anchors dim"] | None = None,
    prior: Float[Tensor, " candidates"] | None = None,
    negatives: Float[Tensor, "negatives dim"] | None = None,
    left_out: Int[Tensor, " left"] | None = None,
    denominator: Denominator = AllCandidates(),  # noqa: B008  it has no state
    stop_repulsion: float = 0.0,
    block_size: int | None = None,
    average: PerAnchor | None = None,
    statistics: PairStatistics | None = None,
) -> Float[Tensor, "*anchors"]:
    r"""Compute losses in which every anchor is attracted by its positives and repelled by all candidates.

    .. math:: \ell_i = m_i \log \sum_{j \ne i} g_j e^{s_{ij}} - \sum_j (W_{ij} + \gamma_{ij}) s_{ij}, \qquad
       \gamma_{ij} = \lambda \max(0, m_i p_{ij} - W_{ij}) \, [W_{ij} > 0] \text{, held constant}

    An anchor without positives has the loss 0 and no gradient of its own; it stays a negative for the others. With
    ``stop_repulsion`` of 1 the gradient is ``min(0, m p - W)`` on positives, so that none is repelled. The value is
    then not what is descended: it can be negative, and never selects a model.

    Args:
        candidates: Of unit length, in :func:`~labelcontrast.losses.blocks.working_precision`.
        weights: W, in the same precision.
        temperature: Tau.
        queries: The anchors, where they are no candidates; by default the first candidates are the anchors, each
            without itself.
        prior: g, from 0; by default 1.
        negatives: Further candidates of a prior of 1, that are no anchors and no positives: of unit length, many more
            than the others; for a denominator that is a softmax.
        left_out: Numbers of those that do not count, ascending; by default all do.
        denominator: Takes the place of the log-normaliser, and of :math:`m_i p_{ij}` in the gradient.
        stop_repulsion: Lambda; 0 stops nothing, 1 is the regulariser of L_REG.
        block_size: Rows and columns of a block; it changes no result.
        average: Factors from 0 upwards, for one sum of the losses.
        statistics: Is shown the pairs on the way to the sum.

    Returns: The sum of ``average`` times the losses, its gradient computed on the way; without ``average``, the losses.

    Reference: Audibert et al., Multi-Label Contrastive Learning: A Comprehensive Study, 2024, Eq. 6 to 14.
    """
    size = block_size or BLOCK_SIZE
    sweep = _Sweep(weights, prior, left_out, temperature, denominator, stop_repulsion, size, statistics)
    result: Tensor = _WeightedSoftmax.apply(candidates, queries, negatives, denominator.bias, (sweep, average))
    return result


class _WeightedSoftmax(torch.autograd.Function):
    """The sum computes its gradient in the sweep of its value; single losses sweep again when theirs is needed."""

    @staticmethod
    def forward(  # noqa: PLR0917  tensors that have a gradient are positional
        ctx: Any,  # noqa: ANN401
        candidates: Tensor,
        queries: Tensor | None,
        negatives: Tensor | None,
        bias: Tensor | None,  # noqa: ARG004  it is the denominator's
        job: tuple["_Sweep", Tensor | None],
    ) -> Tensor:
        sweep, average = job
        given = candidates, queries, negatives
        ctx.run = partial(sweep.run, given) if average is None else None
        if average is None:
            return sweep.run(given, torch.ones_like(sweep.weights.totals), gradient=False)[0]
        losses, gradients = sweep.run(given, average, gradient=any(ctx.needs_input_grad))
        ctx.save_for_backward(*gradients)
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        if torch.is_grad_enabled():
            raise TensorError("a contrastive loss has no second derivatives. Call backward without create_graph.")
        if ctx.run is None:
            return *(None if gradient is None else upstream * gradient for gradient in ctx.saved_tensors), None
        # a sweep takes factors from 0: one for the losses that are to fall, one for those that are to rise
        _, fall = ctx.run(upstream.clamp(min=0), gradient=True)
        _, rise = ctx.run(-upstream.clamp(max=0), gradient=True)
        return *(None if down is None else down - up for down, up in zip(fall, rise, strict=True)), None


@dataclass(frozen=True)
class _Sweep:
    """The inputs of a sweep that do not depend on embeddings; ``run`` computes the sweeps."""

    weights: PairWeights
    prior: Tensor | None
    left_out: Tensor | None
    temperature: float
    denominator: Denominator
    stop_repulsion: float
    block_size: int
    statistics: PairStatistics | None

    def run(self, given: Given, average: Tensor, *, gradient: bool) -> tuple[Tensor, Gradients]:
        """Return the losses times ``average``; and the gradients of their sum: of what is given, and of the bias."""
        candidates, queries, negatives = given
        scale = self.temperature**-0.5  # of both factors of a similarity
        scaled = candidates * scale, None if queries is None else queries * scale
        similarities = Similarities(*scaled, self.weights, self.prior, size=self.block_size, scale=scale)
        with torch.autocast(candidates.device.type, enabled=False):
            weights, mass = self.weights.scaled(average), torch.zeros_like(average)
            pure, own = None, 1.0 if queries is not None or self.prior is None else self.prior[: len(average)]
            if negatives is not None:
                pure = PureNegatives(negatives, self.left_out, similarities.anchors, scale=scale)
                mass = own * pure.mass(gradient=gradient)
            losses, state, attractions = self.denominator.prepare(similarities, weights, average, mass)
            gradients = [torch.zeros_like(rows) for rows in (candidates, queries) if rows is not None]
            of_bias = losses.new_zeros(())
            for block in similarities:
                attraction, mirror = attractions.block(block)
                slope, gain = self._meet(block, attraction, [one[block.rows, None] for one in state])
                losses[block.rows] -= gain.sum(1)
                if mirror is not None:
                    back, gain = self._meet(block, mirror, [one[block.columns] for one in state])
                    losses[block.columns] -= gain.sum(0)
                    slope += back
                if gradient:
                    if self.denominator.bias is not None:
                        of_bias += slope.sum()
                    similarities.descend(slope, block, gradients)
            of_negatives = None
            if gradient and pure is not None:
                # what a candidate of exponential 1 and no attraction repels
                one, none, beside = (
                    mass.new_ones(len(mass), 1),
                    mass.new_zeros(len(mass), 1),
                    [s[:, None] for s in state],
                )
                of_anchors, of_negatives = pure.gradients(own * self.denominator.repulsion(one, none, beside)[:, 0])
                gradients[-1][: len(average)] += of_anchors
            of_queries = None if queries is None else gradients[1]
            bias = None if self.denominator.bias is None else of_bias
            return losses, (gradients[0], of_queries, of_negatives, bias)

    def _meet(self, block: SimilarityBlock, attraction: PerPair, state: State) -> tuple[PerPair, PerPair]:
        """Return the slope of the loss in each similarity; and its gain, to which a stopped repulsion adds."""
        repulsion = self.denominator.repulsion(block.exponential, attraction, state)
        if self.statistics is not None:
            self.statistics.add(block, repulsion, attraction)
        if self.stop_repulsion:
            held = attraction.sign().mul_(repulsion)
            torch.maximum(held, attraction, out=held)  # the repulsion of a positive, where it exceeds the attraction
            attraction = held if self.stop_repulsion == 1 else torch.lerp(attraction, held, self.stop_repulsion)
        return repulsion.sub_(attraction), attraction.mul_(block.similarity)


def _add_negatives(negatives: PerAnchor, similarities: Similarities, weights: PairWeights) -> PerAnchor:
    """Add the exponentials of the negatives of every anchor."""
    for block in similarities:
        attraction, mirror = weights.block(block)
        negatives[block.rows] += _negative(attraction).mul_(block.exponential).sum(1)
        if mirror is not None:
            negatives[block.columns] += _negative(mirror).mul_(block.exponential).sum(0)
    return negatives


def _negative(attraction: PerPair) -> PerPair:
    """Return 1 for pairs that are no positives; as numbers, since booleans are slow to make and to use."""
    return torch.eq(attraction, 0, out=torch.empty_like(attraction))
