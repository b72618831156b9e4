"""Affinities, label sets and pair weights against sets counted one by one and sums written out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from labelcontrast.losses.affinity import (
    AFFINITIES,
    Affinity,
    any_shared,
    coverage,
    discounted_overlap,
    everyone,
    exact_match,
    inverse_union,
    jaccard,
)
from labelcontrast.losses.axes import Sharing
from labelcontrast.losses.batch_labels import Bags, BatchLabels
from labelcontrast.losses.pair_weights import Pairs, SharedWeights, share

sets = st.sets(st.integers(0, 4))


def of(affinity: Affinity, one: set[int], other: set[int]) -> float:
    counts = (torch.tensor([float(count)]) for count in (len(one & other), len(one), len(other)))
    return float(affinity(*counts))


@settings(deadline=None)
@given(one=sets, other=sets)
def test_every_affinity_on_sets(one: set[int], other: set[int]) -> None:
    shared = bool(one & other)
    assert of(any_shared, one, other) == shared
    assert of(everyone, one, other) == 1
    assert of(exact_match, one, other) == (shared and one == other)
    assert of(jaccard, one, other) == pytest.approx(len(one & other) / max(len(one | other), 1))
    assert of(inverse_union(0.5), one, other) == pytest.approx(shared * 0.5 / max(len(one | other), 1))
    for alpha in (0.5, 1.0, 3.0):
        assert of(coverage(alpha), one, other) == pytest.approx((len(one & other) / max(len(other), 1)) ** alpha)
    assert of(coverage(-1.0), one, other) == (shared and other <= one)
    for affinity in (everyone, any_shared, exact_match, jaccard, inverse_union(0.5)):
        assert affinity.symmetric
        assert of(affinity, one, other) == of(affinity, other, one)


def test_soft_labels_are_expected_counts() -> None:
    """Two labels at one half: expected sizes of 0.5, an expected overlap of 0.25, a union of 0.75."""
    half = torch.tensor([0.5])
    assert jaccard(half * half, half, half) == pytest.approx(1 / 3)
    assert any_shared(half * half, half, half) == 1
    assert exact_match(half * half, half, half) == 0


def test_choices_are_the_functions_themselves() -> None:
    """The pair weights recognise the affinity that needs no computing by its identity."""
    assert coverage(0.0) is any_shared
    assert AFFINITIES["any"] is any_shared
    assert AFFINITIES["exact"] is exact_match


@settings(deadline=None)
@given(
    sets=st.integers(1, 9),
    labels=st.integers(0, 6),
    density=st.sampled_from([0.0, 0.2, 0.6, 1.0]),
    soft=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    cut=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    seed=st.integers(0, 2**16),
)
def test_both_products_equal_dense_ones(
    *, sets: int, labels: int, density: float, soft: bool, dtype: torch.dtype, cut: tuple[int, int], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrix = (torch.rand(sets, labels, generator=generator) < density).to(dtype)
    if soft:
        matrix *= torch.rand(sets, labels, generator=generator, dtype=dtype)
    rows = slice(min(*cut, sets), min(max(cut), sets))
    bags = Bags.of(matrix)
    to_labels = torch.rand(labels, 5, generator=generator, dtype=dtype)
    for some in (rows, slice(0, sets), rows):  # what is kept of a slice is its own
        torch.testing.assert_close(bags.pool(some, to_labels), matrix[some] @ to_labels)
        to_rows = torch.rand(4, some.stop - some.start, generator=generator, dtype=dtype).T
        torch.testing.assert_close(bags.pool_by_label(some, to_rows), matrix[some].T @ to_rows)


def test_other_values_can_take_the_place_of_the_labels_own() -> None:
    bags = Bags.of(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    table = torch.tensor([[1.0], [10.0]])
    assert bags.pool(slice(1, 2), table, torch.tensor([5.0, 2.0, 3.0])).tolist() == [[32.0]]


def test_sizes_and_overlaps() -> None:
    sets = [{0, 2}, {1}, set(), {0, 1, 2}]
    matrix = torch.tensor([[float(label in labels) for label in range(3)] for labels in sets])
    found = BatchLabels.of(matrix)
    assert len(found) == 4
    assert found.sizes.tolist() == [len(labels) for labels in sets]
    overlap = found.overlap(found, slice(0, 4), slice(1, 4))
    assert overlap.tolist() == [[len(one & other) for other in sets[1:]] for one in sets]
    assert found[2:].sizes.tolist() == [0, 3]


SAMPLE = [any_shared, jaccard, inverse_union(2.0), coverage(1.5), coverage(-1.0), discounted_overlap]


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
    affinity=st.sampled_from(SAMPLE),
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
