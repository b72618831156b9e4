"""Pair weights against the sums of their definition, label by label and pair by pair."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from labelcontrast.losses.affinity import (
    Affinity,
    any_shared,
    coverage,
    discounted_overlap,
    inverse_union,
    jaccard,
)
from labelcontrast.losses.axes import Sharing
from labelcontrast.losses.batch_labels import BatchLabels
from labelcontrast.losses.pair_weights import Pairs, SharedWeights, share

AFFINITIES = [any_shared, jaccard, inverse_union(2.0), coverage(1.5), coverage(-1.0), discounted_overlap]


def literal(anchors: Tensor, candidates: Tensor, affinity: Affinity, sharing: Sharing, *, symmetric: bool) -> Tensor:
    """W, one pair at a time."""
    n, m = len(anchors), len(candidates)
    f = torch.zeros(n, m)
    for i in range(n):
        for j in range(m):
            if not (symmetric and i == j):
                f[i, j] = affinity((anchors[i] * candidates[j]).sum(), anchors[i].sum(), candidates[j].sum())
    w = torch.zeros(n, m)
    for i in range(n):
        if sharing == "per_anchor" and f[i].sum() > 0:
            w[i] = f[i] / f[i].sum()
        if sharing == "per_positive" and (f[i] > 0).any():
            w[i] = f[i] / (f[i] > 0).sum()
        if sharing == "none":
            w[i] = f[i]
        for label in range(anchors.shape[1]):
            mass = float((f[i] * candidates[:, label]).sum())
            if sharing == "per_label" and anchors[i, label] > 0 and mass > 0:
                w[i] += anchors[i, label] * f[i] * candidates[:, label] / mass / anchors[i].sum()
    return w


def assembled(weights: SharedWeights, shape: tuple[int, int], size: int) -> Tensor:
    """W, put together from its blocks."""
    w = torch.full(shape, torch.nan)
    for block in weights.pairs.blocks(size):
        w[block.rows, block.columns], mirror = weights.block(block)
        if mirror is not None:
            w[block.columns, block.rows] = mirror.T
    return w


@st.composite
def label_matrices(draw: st.DrawFn) -> Tensor:
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shape = (draw(st.integers(1, 8)), draw(st.integers(1, 4)))
    labels = (torch.rand(shape, generator=generator) < draw(st.sampled_from([0.1, 0.5, 1.0]))).float()
    return labels * torch.rand(shape, generator=generator) if draw(st.booleans()) else labels


@pytest.mark.parametrize("sharing", ["per_anchor", "per_label", "per_positive", "none"])
@settings(deadline=None, max_examples=40)
@given(
    labels=label_matrices(),
    affinity=st.sampled_from(AFFINITIES),
    anchors=st.integers(0, 8),
    symmetric=st.booleans(),
    size=st.integers(1, 5),
)
def test_weights(
    *, sharing: Sharing, labels: Tensor, affinity: Affinity, anchors: int, symmetric: bool, size: int
) -> None:
    candidates = BatchLabels.of(labels)
    weights = share(Pairs(candidates[:anchors], candidates, ((0, affinity),), symmetric), sharing, block_size=size)
    expected = literal(labels[:anchors], labels, affinity, sharing, symmetric=symmetric)
    w = assembled(weights, (len(labels[:anchors]), len(labels)), size)
    torch.testing.assert_close(w, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(weights.totals, expected.sum(1), rtol=1e-4, atol=1e-6)
    factors = torch.arange(1.0, len(w) + 1)
    scaled = weights.scaled(factors)
    torch.testing.assert_close(assembled(scaled, w.shape, size), w * factors[:, None])
    torch.testing.assert_close(scaled.totals, weights.totals * factors)


def test_rows_sum_to_one_where_there_is_a_positive() -> None:
    labels = BatchLabels.of(torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    for sharing in ("per_anchor", "per_label"):
        weights = share(Pairs(labels, labels, ((0, jaccard),), symmetric=True), sharing)
        torch.testing.assert_close(weights.totals, torch.tensor([1.0, 1.0, 1.0, 0.0]))


def test_another_affinity_to_some_candidates() -> None:
    labels = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    candidates = BatchLabels.of(labels)
    pairs = Pairs(candidates[:2], candidates, ((0, inverse_union(1.0)), (2, any_shared)), symmetric=True)
    assert pairs.cuts == (2,)
    w = assembled(share(pairs, "per_label"), (2, 4), 4)
    # the first label of the first example: 1/2 to the second example, 1 to the first prototype; the second to its own
    torch.testing.assert_close(w[0], torch.tensor([0.0, 1 / 6, 1 / 3, 1 / 2]))
