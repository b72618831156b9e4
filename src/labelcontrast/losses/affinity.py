"""How alike two label sets are: plain functions of three counts.

Every function takes ``overlap`` (labels that both have), ``size_i`` (labels of the anchor) and ``size_j`` (labels of
the candidate), as tensors that broadcast, and returns a number from 0 for every pair; 0 means "not a positive".
With soft labels the counts are expected counts: a label is there with the probability that it carries.
A count may be wanted again, what was made of it may be written into: on a large block that saves a pass over memory.
Only methods of the tensors are used, so that this file, and the catalogue above it, load without torch.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

Counts: TypeAlias = Any  # a tensor of counts; torch is not imported here
Affinity: TypeAlias = Callable[[Counts, Counts, Counts], Counts]


def symmetric(affinity: Affinity) -> Affinity:
    """Mark an affinity that is the same both ways round: for a block and its mirror it is then computed once."""
    vars(affinity)["symmetric"] = True
    return affinity


@symmetric
def everyone(overlap: Counts, size_i: Counts, size_j: Counts) -> Counts:  # noqa: ARG001
    """1 for all pairs."""
    return overlap.new_ones(overlap.shape)


@symmetric
def any_shared(overlap: Counts, size_i: Counts, size_j: Counts) -> Counts:  # noqa: ARG001
    """1 for pairs that share a label."""
    return overlap.sign()


@symmetric
def exact_match(overlap: Counts, size_i: Counts, size_j: Counts) -> Counts:
    """1 for pairs with the same label set; two empty sets do not match. A label below 1 is never matched exactly."""
    return ((overlap > 0) & (overlap == size_i) & (overlap == size_j)).to(overlap.dtype)


@symmetric
def jaccard(overlap: Counts, size_i: Counts, size_j: Counts) -> Counts:
    """Share of the labels of either example that both have."""
    return overlap / _union(overlap, size_i, size_j)


def inverse_union(scale: float) -> Affinity:
    """One over the number of labels that either example has, times ``scale``, for pairs that share one."""

    @symmetric
    def scaled_inverse_union(overlap: Counts, size_i: Counts, size_j: Counts) -> Counts:
        return any_shared(overlap, size_i, size_j).mul_(scale).div_(_union(overlap, size_i, size_j))

    return scaled_inverse_union


def coverage(alpha: float) -> Affinity:
    r"""Share of the candidate's labels that the anchor has too, to the power of ``alpha``; below 0 the hard threshold.

    .. math:: f(y_i, y_j) = (|y_i \cap y_j| \,/\, |y_j|)^\alpha

    Args:
        alpha: 0 treats all pairs that share a label alike; the higher, the less a candidate with foreign labels
            attracts; any negative number keeps only the candidates whose labels are all the anchor's.

    Example:
        >>> import torch
        >>> coverage(2.0)(torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor([2.0]))
        tensor([0.2500])

    Reference: Audibert et al., Multi-Label Contrastive Learning: A Comprehensive Study, 2024, Eq. 17.
    """
    if alpha == 0:
        return any_shared

    def covered(overlap: Counts, size_i: Counts, size_j: Counts) -> Counts:  # noqa: ARG001
        share = overlap / _nonzero(size_j)
        # a threshold of exactly 1 would hang on the last bit of a soft count
        return share**alpha if alpha > 0 else (share >= 1 - 1e-6).to(share.dtype)

    return covered


def similarity_dissimilarity(overlap: Counts, size_i: Counts, size_j: Counts) -> Counts:
    r"""Share of the anchor's labels that the candidate has, over one more than the labels that only the candidate has.

    .. math:: \frac{|y_i \cap y_j|}{|y_i|} \cdot \frac{1}{1 + |y_j \setminus y_i|}

    Reference: Huang et al., Similarity-Dissimilarity Loss for Multi-label Supervised Contrastive Learning, 2024.
    """
    return (overlap / _nonzero(size_i)).div_(1 + size_j - overlap)


def _union(overlap: Counts, size_i: Counts, size_j: Counts) -> Counts:
    """How many labels either example has; never 0."""
    return (_nonzero(size_i) + size_j).sub_(overlap)


def _nonzero(counts: Counts) -> Counts:
    """The counts, but never 0: where nothing was counted nothing is shared either, and the share becomes 0."""
    return counts.clamp(min=1e-12)


_NAMED: dict[str, Affinity] = {
    "any": any_shared,
    "exact": exact_match,
    "jaccard": jaccard,
    "inverse_union": inverse_union(1.0),
    "coverage": coverage(1.0),
    "similarity_dissimilarity": similarity_dissimilarity,
}
NAMED = tuple(_NAMED)
"""Affinities that a parameter can choose."""


def named(name: str) -> Affinity:
    """Find an affinity by its name, one of ``NAMED``."""
    return _NAMED[name]
