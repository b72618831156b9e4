r"""What an anchor's positives have to win against: all candidates at once, the negatives, or each pair its own odds.

With the exponentials :math:`E_{ij} = g_j e^{s_{ij}}`, 0 for the pair of an example with itself, an anchor's loss is

.. math:: \text{all:} \; \sum_j W_{ij} \Bigl( \log \sum_k E_{ik} - s_{ij} \Bigr), \qquad
   \text{negatives:} \; \sum_j W_{ij} \Bigl( \log \bigl( E_{ij} + \sum_{k : W_{ik} = 0} E_{ik} \bigr) - s_{ij} \Bigr),
   \qquad \text{pairs:} \; \sum_j \log (1 + e^b E_{ij}) - W_{ij} (s_{ij} + b).

Each is told by two things: all of this but the similarities that are taken from it, with what the anchors must know for
that of all their candidates; and how hard a pair is then pushed.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from labelcontrast.losses.blocks import Block, Blocks, PairWeights, Pulls

PerAnchor = Float[Tensor, " anchors"]
State = Sequence[Tensor]
"""A number or more an anchor; beside a block, laid along its anchors."""


class Denominator(ABC):
    """What positives compete with; a ``bias`` of all similarities is learned where there is one."""

    bias: Tensor | None = None

    @abstractmethod
    def prepare(self, blocks: Blocks, weights: PairWeights, average: PerAnchor) -> tuple[PerAnchor, State, Pulls]:
        """Sweep once or more.

        Returns:
            The losses before pulls times similarities are taken off, what the anchors must know, and the pulls.
        """

    @abstractmethod
    def push(self, exponential: Block, pull: Block, state: State) -> Block:
        """How hard each pair is pushed apart: its slope is this less its pull."""


class AllCandidates(Denominator):
    """A softmax over all candidates, the other positives among them: InfoNCE, SupCon, and what came of them."""

    def prepare(self, blocks: Blocks, weights: PairWeights, average: PerAnchor) -> tuple[PerAnchor, State, Pulls]:  # noqa: ARG002
        """Sum the exponentials of every anchor."""
        normaliser, log_normaliser = normalise(blocks, weights.totals)
        return weights.totals * log_normaliser, [weights.totals / normaliser], weights

    def push(self, exponential: Block, pull: Block, state: State) -> Block:  # noqa: ARG002
        """An anchor's whole weight, by the share of each candidate in the softmax."""
        return exponential * state[0]


class NegativesOnly(Denominator):
    """A softmax a positive, over itself and the negatives: no positive is ever in another's way.

    Reference: Feeney and Hughes, SINCERE: Supervised Information Noise-Contrastive Estimation Revisited, 2023.
    """

    def prepare(self, blocks: Blocks, weights: PairWeights, average: PerAnchor) -> tuple[PerAnchor, State, Pulls]:  # noqa: ARG002
        """Sum the negatives of every anchor; then what all its positives together push a negative with."""
        negatives, repulsion, losses = (torch.zeros_like(weights.totals) for _ in range(3))
        for rows, columns, mirrored in blocks:
            _, exponential = blocks.similarities(rows, columns)
            pull, mirror = weights.block(rows, columns, mirrored=mirrored)
            negatives[rows] += _negative(pull).mul_(exponential).sum(1)
            if mirror is not None:
                negatives[columns] += _negative(mirror).mul_(exponential).sum(0)
        # an anchor without negatives: nothing to win against, and no slope
        negatives.clamp_(min=torch.finfo(negatives.dtype).tiny)
        for rows, columns, mirrored in blocks:
            _, exponential = blocks.similarities(rows, columns)
            pull, mirror = weights.block(rows, columns, mirrored=mirrored)
            rivals = exponential + negatives[rows, None]
            repulsion[rows] += (pull / rivals).sum(1)
            losses[rows] += pull.mul_(rivals.log_()).sum(1)
            if mirror is not None:
                rivals = exponential + negatives[columns]
                repulsion[columns] += (mirror / rivals).sum(0)
                losses[columns] += mirror.mul_(rivals.log_()).sum(0)
        return losses, [negatives, repulsion], weights

    def push(self, exponential: Block, pull: Block, state: State) -> Block:
        """A positive by its share beside the negatives, a negative by its share beside every positive."""
        negatives, repulsion = state
        share = pull / (exponential + negatives)
        return share.addcmul_(_negative(pull), repulsion).mul_(exponential)


class EachPair(Denominator):
    """No softmax: every pair is a matter of yes or no by itself, its weight being the probability of yes.

    Args:
        bias: b, the log-odds of a pair of similarity 0.

    Reference: Zhai et al., Sigmoid Loss for Language Image Pre-Training, 2023.
    """

    def __init__(self, bias: Float[Tensor, ""]) -> None:
        self.bias: Tensor = bias

    def prepare(self, blocks: Blocks, weights: PairWeights, average: PerAnchor) -> tuple[PerAnchor, State, Pulls]:
        """Sum what all pairs cost that are none, and take the bias from it."""
        losses, odds = torch.zeros_like(weights.totals), self._odds(weights.totals)
        for rows, columns, mirrored in blocks:
            cost = (blocks.similarities(rows, columns)[1] * odds).log1p_()
            losses[rows] += cost.sum(1)
            if mirrored:
                losses[columns] += cost.sum(0)
        return losses * average - weights.totals * self.bias.to(losses.dtype), [average], weights

    def push(self, exponential: Block, pull: Block, state: State) -> Block:  # noqa: ARG002
        """The probability of yes."""
        odds = exponential * self._odds(exponential)
        return odds.div_(1 + odds).mul_(state[0])

    def _odds(self, like: Tensor) -> Tensor:
        """What the bias multiplies the odds with."""
        return self.bias.to(like.dtype).exp()


def normalise(
    blocks: Blocks, like: PerAnchor, *, look: Callable[..., None] | None = None
) -> tuple[PerAnchor, PerAnchor]:
    """Sum the exponentials of every anchor.

    Args:
        blocks: who meets whom.
        like: a number an anchor.
        look: is shown every block on the way.

    Returns:
        The sums, times the anchor's own prior where it has one; and their logarithm without that.
    """
    normaliser = torch.zeros_like(like)
    for rows, columns, mirrored in blocks:
        _, exponential = blocks.similarities(rows, columns)
        normaliser[rows] += exponential.sum(1)
        if mirrored:
            normaliser[columns] += exponential.sum(0)
        if look is not None:
            look(rows, columns, mirrored=mirrored)
    # an anchor without any candidate has 0, and no positive: 0 / tiny and 0 * log(tiny) are 0
    normaliser.clamp_(min=torch.finfo(normaliser.dtype).tiny)
    own = None if blocks.queries is not None or blocks.prior is None else blocks.prior[: len(normaliser)]
    return normaliser, (normaliser if own is None else normaliser / own).log()


def _negative(pull: Block) -> Block:
    """1 for pairs that are no positives; as numbers, for a block of True and False is slow to make and to use."""
    return torch.eq(pull, 0, out=torch.empty_like(pull))
