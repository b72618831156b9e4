"""Affinities: how similar two label sets are, as plain functions of three counts.

Every function takes ``overlap`` (labels that both have), ``size_i`` (labels of the anchor) and ``size_j`` (labels of
the candidate), as tensors that broadcast, and returns a number from 0 for every pair; 0 means "not a positive".
Under soft labels the counts are expected counts. An affinity must not write into its arguments; its result may be
written into. Only methods of the tensors are used, so that this file and the catalogue load without torch.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

Counts: TypeAlias = Any  # a tensor of counts; torch is not imported here
Affinity: TypeAlias = Callable[[Counts, Counts, Counts], Counts]


def symmetric(affinity: Affinity) -> Affinity:
    """Mark an affinity as symmetric: it is then computed once for a block and its mirror."""
    vars(affinity)["symmetric"] = True
    return affinity


@symmetric
def everyone(overlap: Counts, size_i: Counts, size_j: Counts) -> Counts:  # noqa: ARG001
    """Return 1 for all pairs."""
    return overlap.new_ones(overlap.shape)


@symmetric
def any_shared(overlap: Counts, size_i: Counts, size_j: Counts) -> Counts:  # noqa: ARG001
    """Return 1 for pairs that share a label."""
    return overlap.sign()


@symmetric
def exact_match(overlap: Counts, size_i: Counts, size_j: Counts) -> Counts:
    """Return 1 for pairs with the same label set; neither empty sets nor soft labels match, as far as counts tell."""
    return ((overlap > 0) & (overlap == size_i) & (overlap == size_j)).to(overlap.dtype)


@symmetric
def shared_labels(overlap: Counts, size_i: Counts, size_j: Counts) -> Counts:  # noqa: ARG001
    """Return the number of labels in common, the dot product of the two label vectors."""
    return overlap.clone()


@symmetric
def jaccard(overlap: Counts, size_i: Counts, size_j: Counts) -> Counts:
    """Return the number of labels in common over the number of labels in either."""
    return overlap / _union(overlap, size_i, size_j)


def jaccard_above(threshold: float) -> Affinity:
    """Make the affinity that is the Jaccard similarity where it is no less than ``threshold``, and else 0."""
    return symmetric(partial(_jaccard_above, threshold=threshold))


def scaled(affinity: Affinity, factor: float) -> Affinity:
    """Make an affinity times a factor; for 1 the affinity itself."""
    if factor == 1:
        return affinity
    product = partial(_scaled, affinity=affinity, factor=factor)
    return symmetric(product) if getattr(affinity, "symmetric", False) else product


def inverse_union(scale: float) -> Affinity:
    """Make the affinity of ``scale`` over the number of labels in either, for pairs that share a label."""
    return symmetric(partial(_inverse_union, scale=scale))  # a closure could not be pickled


def coverage(alpha: float) -> Affinity:
    r"""Make the affinity of the share of the candidate's labels that the anchor has, to the power of ``alpha``.

    .. math:: f(y_i, y_j) = (|y_i \cap y_j| \,/\, |y_j|)^\alpha

    Args:
        alpha: 0 treats all pairs that share a label equally; the higher, the less a candidate with other labels
            attracts; any negative number keeps only the candidates whose labels are all labels of the anchor.

    Example:
        >>> import torch
        >>> coverage(2.0)(torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor([2.0]))
        tensor([0.2500])

    Reference: Audibert et al., Multi-Label Contrastive Learning: A Comprehensive Study, 2024, Eq. 17.
    """
    return any_shared if alpha == 0 else partial(_covered, alpha=alpha)


def discounted_overlap(overlap: Counts, size_i: Counts, size_j: Counts) -> Counts:
    r"""Return the share of the anchor's labels that the candidate has, discounted by the candidate's other labels.

    .. math:: \frac{|y_i \cap y_j|}{|y_i|} \cdot \frac{1}{1 + |y_j \setminus y_i|}

    Reference: Huang et al., Similarity-Dissimilarity Loss for Multi-label Supervised Contrastive Learning, 2024.
    """
    return (overlap / _nonzero(size_i)).div_(1 + size_j - overlap)


def _jaccard_above(overlap: Counts, size_i: Counts, size_j: Counts, *, threshold: float) -> Counts:
    similarity = jaccard(overlap, size_i, size_j)
    return similarity.masked_fill(similarity < threshold - 1e-6, 0)  # as for a threshold of coverage


def _scaled(overlap: Counts, size_i: Counts, size_j: Counts, *, affinity: Affinity, factor: float) -> Counts:
    return affinity(overlap, size_i, size_j) * factor


def _inverse_union(overlap: Counts, size_i: Counts, size_j: Counts, *, scale: float) -> Counts:
    return any_shared(overlap, size_i, size_j).mul_(scale).div_(_union(overlap, size_i, size_j))


def _covered(overlap: Counts, size_i: Counts, size_j: Counts, *, alpha: float) -> Counts:  # noqa: ARG001
    share = overlap / _nonzero(size_j)
    # a threshold of exactly 1 would depend on the last bit of a soft count
    return share**alpha if alpha > 0 else (share >= 1 - 1e-6).to(share.dtype)


def _union(overlap: Counts, size_i: Counts, size_j: Counts) -> Counts:
    return (_nonzero(size_i) + size_j).sub_(overlap)


def _nonzero(counts: Counts) -> Counts:
    """Return the counts, and 1 for 0: of an empty set nothing is shared, so the quotient is 0."""
    return counts.masked_fill(counts == 0, 1)


AFFINITIES: dict[str, Affinity] = {
    "any": any_shared,
    "exact": exact_match,
    "overlap": shared_labels,
    "jaccard": jaccard,
    "inverse_union": inverse_union(1.0),
    "coverage": coverage(1.0),
    "similarity_dissimilarity": discounted_overlap,
}
"""Affinities that a parameter can choose."""
