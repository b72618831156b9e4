"""Hierarchies that hypothesis draws, as the arrays that a loss takes."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor


@dataclass(frozen=True)
class Tree:
    """The ancestors and the level of each node; a node can have several parents."""

    ancestors: Tensor
    depths: Tensor

    def close(self, labels: Tensor) -> Tensor:
        """Add the ancestors of all labels."""
        closed = labels.clone()
        for row, column in labels.nonzero().tolist():
            for above in self.ancestors[column].nonzero().flatten().tolist():
                closed[row, above] = 1
        return closed


@st.composite
def trees(draw: st.DrawFn, *, size: int) -> Tree:
    """Draw parents for nodes, each below none, one or two of those before it, at most four levels."""
    ancestors, depths = torch.eye(size), [0] * size
    for node in range(1, size):
        allowed = [other for other in range(node) if depths[other] < 3]
        for parent in draw(st.sets(st.sampled_from(allowed), max_size=2)):
            ancestors[node] = torch.maximum(ancestors[node], ancestors[parent])
            depths[node] = max(depths[node], depths[parent] + 1)
    return Tree(ancestors, torch.tensor(depths))
