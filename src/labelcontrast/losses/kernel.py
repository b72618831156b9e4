r"""The one place where labels and embeddings meet: a softmax over similarities, pulled by pair weights.

With :math:`s_{ij} = \langle z_i, z_j \rangle / \tau`, weights :math:`W` from labels and a prior :math:`g`,

.. math:: \ell_i = m_i \log \sum_{j \ne i} g_j e^{s_{ij}} - \sum_j W_{ij} s_{ij}, \qquad m_i = \sum_j W_{ij},

and the gradient is :math:`\partial \ell_i / \partial s_{ij} = m_i p_{ij} - W_{ij}`, p the softmax. Plainly, this is

    s = z[:anchors] @ z.T / temperature
    s.fill_diagonal_(-inf)
    loss = m * (s + log_prior).logsumexp(1) - where(W > 0, W * s, 0).sum(1)

Here it is done in two sweeps over :mod:`~labelcontrast.losses.blocks`, the first for the normalisers, so that
memory grows with the rows and not with the pairs. The softmax itself is a
:mod:`~labelcontrast.losses.denominator`: another can take its place.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from labelcontrast.errors import TensorError
from labelcontrast.losses.blocks import BLOCK_SIZE, Block, Blocks, PairStatistics, PairWeights
from labelcontrast.losses.denominator import AllCandidates, Denominator, State


def weighted_softmax(
    candidates: Float[Tensor, "candidates dim"],
    weights: PairWeights,
    *,
    temperature: float,
    queries: Float[Tensor, "anchors dim"] | None = None,
    prior: Float[Tensor, " candidates"] | None = None,
    competition: Denominator = AllCandidates(),  # noqa: B008  it has no state
    stop_repulsion: float = 0.0,
    block_size: int | None = None,
    average: Float[Tensor, " anchors"] | None = None,
    tally: PairStatistics | None = None,
) -> Float[Tensor, "*anchors"]:
    r"""Pull every anchor to its positives and push it from all candidates, through a softmax over similarities.

    .. math:: \ell_i = m_i \log \sum_{j \ne i} g_j e^{s_{ij}} - \sum_j (W_{ij} + \gamma_{ij}) s_{ij}, \qquad
       \gamma_{ij} = \lambda \max(0, m_i p_{ij} - W_{ij}) \, [W_{ij} > 0] \text{, held constant}

    An anchor without positives has the loss 0 and no gradient of its own; it stays a negative for the others. With
    ``stop_repulsion`` of 1 the gradient is ``min(0, m p - W)`` on positives, so that none is pushed away. The value is
    then not what is descended: it can be negative, and never selects a model.

    Args:
        candidates: of unit length, in :func:`~labelcontrast.losses.blocks.working_precision`.
        weights: W, in the same precision.
        temperature: tau.
        queries: the anchors, where they are no candidates; by default the first candidates are the anchors, each
            without itself.
        prior: g, from 0; by default 1.
        competition: what takes the place of the log-normaliser, and of :math:`m_i p_{ij}` in the gradient.
        stop_repulsion: lambda; 0 stops nothing, 1 is the regulariser of L_REG.
        block_size: rows and columns of a block; it changes no result.
        average: factors from 0 upwards, for one sum of the losses.
        tally: counts pairs on the way to the sum.

    Returns:
        The sum of ``average`` times the losses, its gradient made on the way; without ``average``, the losses.

    Reference: Audibert et al., Multi-Label Contrastive Learning: A Comprehensive Study, 2024, Eq. 6 to 14.
    """
    sweep = _Sweep(weights, prior, temperature, competition, stop_repulsion, block_size or BLOCK_SIZE, tally)
    result: Tensor = _WeightedSoftmax.apply(candidates, queries, competition.bias, (sweep, average))
    return result


class _WeightedSoftmax(torch.autograd.Function):
    """The sum makes its gradient in the sweep of its value; single losses sweep again once theirs is asked for."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        candidates: Tensor,
        queries: Tensor | None,
        bias: Tensor | None,
        job: tuple["_Sweep", Tensor | None],
    ) -> Tensor:
        sweep, average = job
        ctx.given = queries is not None, bias is not None
        ctx.run = partial(sweep.run, candidates, queries) if average is None else None
        if average is None:
            return sweep.run(candidates, queries, torch.ones_like(sweep.weights.totals), gradient=False)[0]
        losses, *gradients = sweep.run(candidates, queries, average, gradient=any(ctx.needs_input_grad))
        ctx.save_for_backward(*gradients)
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        if torch.is_grad_enabled():
            raise TensorError("a contrastive loss has no second derivatives. Call backward without create_graph.")
        if ctx.run is None:
            of_bias, to_candidates, *to_queries = (upstream * gradient for gradient in ctx.saved_tensors)
        else:
            # a sweep takes factors from 0: one for the losses that are to fall, one for those that are to rise
            _, *fall = ctx.run(upstream.clamp(min=0), gradient=True)
            _, *rise = ctx.run(-upstream.clamp(max=0), gradient=True)
            of_bias, to_candidates, *to_queries = (down - up for down, up in zip(fall, rise, strict=True))
        with_queries, with_bias = ctx.given
        return to_candidates, to_queries[0] if with_queries else None, of_bias if with_bias else None, None


@dataclass(frozen=True)
class _Sweep:
    """All that does not depend on embeddings; ``run`` makes the sweeps."""

    weights: PairWeights
    prior: Tensor | None
    temperature: float
    competition: Denominator
    stop_repulsion: float
    block_size: int
    tally: PairStatistics | None

    def run(self, candidates: Tensor, queries: Tensor | None, average: Tensor, *, gradient: bool) -> tuple[Tensor, ...]:
        """Return the losses times ``average``; then the gradients of their sum: bias, candidates, and queries."""
        scale = self.temperature**-0.5  # of both factors of a similarity
        scaled = candidates * scale, None if queries is None else queries * scale
        blocks = Blocks(*scaled, self.weights, self.prior, self.block_size, scale)
        with torch.autocast(candidates.device.type, enabled=False):
            weights = self.weights.scaled(average)
            losses, state, pulls = self.competition.prepare(blocks, weights, average)
            gradients = [torch.zeros_like(given) for given in (candidates, queries) if given is not None]
            of_bias = losses.new_zeros(())
            for rows, columns, mirrored in blocks:
                place = rows, columns
                similarity, exponential = blocks.similarities(*place)
                pull, mirror = pulls.block(rows, columns, mirrored=mirrored)
                slope, gain = self._meet(place, similarity, exponential, pull, [part[rows, None] for part in state])
                losses[rows] -= gain.sum(1)
                if mirror is not None:
                    back, gain = self._meet(place, similarity, exponential, mirror, [part[columns] for part in state])
                    losses[columns] -= gain.sum(0)
                    slope += back
                if gradient:
                    if self.competition.bias is not None:
                        of_bias += slope.sum()
                    blocks.descend(slope, rows, columns, gradients)
            return losses, of_bias, *gradients

    def _meet(
        self, place: tuple[slice, slice], similarity: Block, exponential: Block, pull: Block, state: State
    ) -> tuple[Block, Block]:
        """The slope of the loss in each similarity; and its gain, in which a stopped repulsion counts as a pull."""
        push = self.competition.push(exponential, pull, state)
        if self.tally is not None:
            self.tally.add(similarity, push, pull, *place)
        if self.stop_repulsion:
            held = pull.sign().mul_(push)
            torch.maximum(held, pull, out=held)  # the push, where it is above a pull
            pull = held if self.stop_repulsion == 1 else torch.lerp(pull, held, self.stop_repulsion)
        return push.sub_(pull), pull.mul_(similarity)
