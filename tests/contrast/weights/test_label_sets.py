"""Label sets count what Python sets count."""

import torch

from labelcontrast.contrast.weights.label_sets import LabelSets


def test_sizes_and_overlaps() -> None:
    sets = [{0, 2}, {1}, set(), {0, 1, 2}]
    matrix = torch.tensor([[float(label in labels) for label in range(3)] for labels in sets])
    found = LabelSets.of(matrix)
    assert len(found) == 4
    assert found.sizes.tolist() == [len(labels) for labels in sets]
    overlap = found.overlap(found, slice(0, 4), slice(1, 4))
    assert overlap.tolist() == [[len(one & other) for other in sets[1:]] for one in sets]
    assert found[2:].sizes.tolist() == [0, 3]
