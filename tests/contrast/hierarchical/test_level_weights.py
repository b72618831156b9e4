"""The weights of levels against loops, whole and in blocks."""

import torch
from batches import Batch, batches
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_of_levels import weights_at
from trees import trees

from labelcontrast.contrast.hierarchical.level_weights import share_by_level
from labelcontrast.contrast.weights.affinity import any_shared
from labelcontrast.contrast.weights.label_sets import LabelSets
from labelcontrast.contrast.weights.sharing import Pairs


@settings(deadline=None, max_examples=25)
@given(batch=batches(), data=st.data())
def test_the_weights_are_those_of_the_levels(batch: Batch, data: st.DataObject) -> None:
    tree = data.draw(trees(size=batch.y.shape[1]))
    closed, depths, size = tree.close(batch.y), tree.depths.tolist(), len(batch.y)
    counts = torch.arange(1.0, max(depths) + 2, dtype=torch.float64)
    expected = torch.zeros(size, size, dtype=torch.float64)
    for level, count in enumerate(counts.tolist()):
        for i in range(size):
            for j, share in weights_at(closed, depths, level, i).items():
                expected[i, j] += count * share
    sets = LabelSets.of(closed)
    weights = share_by_level(Pairs(sets, sets, ((0, any_shared),), symmetric=True), tree.depths, counts, block_size=2)
    everyone, factors = slice(0, size), torch.arange(1.0, size + 1, dtype=torch.float64)
    torch.testing.assert_close(weights.block(everyone, everyone, mirrored=False)[0], expected)
    torch.testing.assert_close(weights.totals, expected.sum(1))
    here, there = slice(0, size // 2), slice(size // 2, size)
    block, mirror = weights.scaled(factors).block(here, there, mirrored=True)
    torch.testing.assert_close(block, (factors[:, None] * expected)[here, there])
    torch.testing.assert_close(mirror, (factors[:, None] * expected)[there, here].T)
