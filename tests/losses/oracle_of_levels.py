"""The hierarchical losses as printed, and as released: loops over levels, anchors, labels and pairs."""

from math import exp

import torch
from oracle import log_p, similarities
from torch import Tensor

PENALTIES = {"exp": lambda above: exp(1 / above), "pow": lambda above: 2 ** (1 / above), "uniform": lambda _: 1.0}


def labels_at(y: Tensor, depths: list[int], level: int) -> list[set[int]]:
    """The labels of every example at a level; ``y`` is closed."""
    return [{c for c, there in enumerate(row) if there and depths[c] == level} for row in y.tolist()]


def weights_at(y: Tensor, depths: list[int], level: int, i: int) -> dict[int, float]:
    """Divide the attraction of an anchor at a level among its labels, and that of a label among its positives."""
    sets, weights = labels_at(y, depths, level), {}
    for label in sets[i]:
        same = [j for j in range(len(y)) if j != i and label in sets[j]]
        for j in same:
            weights[j] = weights.get(j, 0) + 1 / len(sets[i]) / len(same)
    return weights


def paper(
    z: Tensor, y: Tensor, depths: list[int], *, temperature: float, penalty: str = "uniform", constrained: bool
) -> Tensor:
    """Eq. 4 to 7: a sum over levels, anchors and pairs, over the anchors with a positive."""
    s, levels, total, floor = similarities(z, z, temperature), max(depths) + 1, z.sum() * 0, None
    everyone = [[k for k in range(len(z)) if k != i] for i in range(len(z))]
    valid = {i for i in range(len(z)) if any(weights_at(y, depths, level, i) for level in range(levels))}
    for level in range(levels - 1, -1, -1):
        largest = floor
        for i in range(len(z)):
            for j, weight in weights_at(y, depths, level, i).items():
                loss = -log_p(s, i, j, everyone[i])
                if constrained and floor is not None and floor >= loss:
                    loss = floor
                if largest is None or loss > largest:
                    largest = loss
                total = total + PENALTIES[penalty](levels - level) * weight * loss
        floor = largest
    return total / (levels + 1) / max(len(valid), 1)


def released(
    z: Tensor, y: Tensor, depths: list[int], *, temperature: float, penalty: str = "uniform", constrained: bool
) -> Tensor:
    """Average over the anchors of a level; of those with the same labels so far, one is kept for the next level."""
    levels, total, floor, kept = max(depths) + 1, z.sum() * 0, None, list(range(len(z)))
    for level in range(levels - 1, -1, -1):
        s, here = similarities(z[kept], z[kept], temperature), y[kept]
        losses = []
        for i in range(len(kept)):
            others = [k for k in range(len(kept)) if k != i]
            weights = weights_at(here, depths, level, i)
            if weights:
                losses.append(-sum(w * log_p(s, i, j, others) for j, w in weights.items()))
        if losses:
            loss = torch.stack(losses).mean()
            if constrained:
                loss = loss if floor is None else max(loss, floor)
                floor = loss
            total = total + PENALTIES[penalty](levels - level) * loss
        first: dict[tuple[int, ...], int] = {}
        for row in kept:
            first.setdefault(tuple(int(y[row, c]) for c in range(len(depths)) if depths[c] <= level), row)
        kept = [first[labels] for labels in sorted(first, reverse=True)]
    return total / (levels + 1)
