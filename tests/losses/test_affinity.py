"""Affinities against sets of labels, counted one by one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.losses.affinity import (
    AFFINITIES,
    Affinity,
    any_shared,
    coverage,
    everyone,
    exact_match,
    inverse_union,
    jaccard,
)

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
