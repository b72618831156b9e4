"""Bags of labels give the matrix products that they equal.

Label sets count what Python sets count.
"""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.losses.batch_labels import Bags, BatchLabels


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
