"""How fast the losses over a hierarchy are: ratios to mulsupcon on the closure of the same labels.

    python benchmarks/hierarchical.py       # one thread, processor time: holds on a machine that does other work too
    python benchmarks/hierarchical.py 2     # two threads, wall time: needs the machine for itself

A ratio is the minimum time of a step of one over the minimum of the other, all run in turns.
"""

from collections.abc import Callable
from itertools import accumulate
from types import SimpleNamespace

import torch
from torch import Tensor

import labelcontrast as lc
from losses import THREADS, in_turns, shares, write

BAR = 1.5
TREES = {"91 closed labels": (6, 21, 64), "500 closed labels": (12, 88, 400)}  # nodes a level, from the roots on
PAPER = ["himulcon", "hicone", "himulcone"]
VARIANTS = {
    **{name: (name, {}) for name in PAPER},
    **{f"{name}, released": (name, {"variant": "released"}) for name in PAPER},
    "himulcone, levels": ("himulcone", {"constraint": "levels"}),
}


def tree(levels: tuple[int, ...]) -> SimpleNamespace:
    """Return a tree with these numbers of nodes per level, distributed evenly over their parents."""
    depths = [depth for depth, nodes in enumerate(levels) for _ in range(nodes)]
    starts = [0, *accumulate(levels)]
    ancestors = torch.eye(len(depths))
    for node, depth in enumerate(depths):
        if depth:
            parent = starts[depth - 1] + (node - starts[depth]) % levels[depth - 1]
            ancestors[node] += ancestors[parent]
    return SimpleNamespace(ancestors=ancestors, depths=torch.tensor(depths))


def batch(size: int, hierarchy: SimpleNamespace, paths: int) -> tuple[Tensor, Tensor]:
    """Draw projections with up to ``paths`` leaves each."""
    generator = torch.Generator().manual_seed(0)
    leaves = (hierarchy.depths == hierarchy.depths.max()).nonzero()[:, 0]
    drawn = leaves[torch.randint(len(leaves), (size, paths), generator=generator)]
    labels = torch.zeros(size, len(hierarchy.depths)).scatter_(1, drawn, 1.0)
    return torch.randn(size, 256, generator=generator), labels


def ours(name: str, size: int, hierarchy: SimpleNamespace, paths: int, **parameters: object) -> Callable[[], None]:
    """One forward and backward pass."""
    z, y = batch(size, hierarchy, paths)
    z.requires_grad_()
    loss = lc.make_loss(name, hierarchy=hierarchy, **parameters)

    def step() -> None:
        z.grad = None
        loss(z, y).backward()

    return step


def ratios(size: int, levels: tuple[int, ...], paths: int, times: int) -> dict[str, float]:
    """Of every loss over a hierarchy, to mulsupcon."""
    hierarchy = tree(levels)
    steps = {"mulsupcon": ours("mulsupcon", size, hierarchy, paths)}
    for title, (name, parameters) in VARIANTS.items():
        steps[title] = ours(name, size, hierarchy, paths, **parameters)
    seconds = in_turns(steps, times)
    milliseconds = round(1e3 * seconds["mulsupcon"], 1)
    return {"milliseconds of mulsupcon": milliseconds} | {
        title: round(seconds[title] / seconds["mulsupcon"], 2) for title in VARIANTS
    }


def measure() -> dict[str, object]:
    """Ratios where all similarities are kept, and where they are not; and why some are above the bar."""
    torch.set_num_threads(THREADS)
    found: dict[str, object] = {}
    for size, times in {2048: 15, 8192: 3}.items():
        for title, levels in TREES.items():
            for paths in (1, 2):
                found[f"{size} examples, {title}, paths: {paths}"] = ratios(size, levels, paths, times)
    found["why losses of whole levels are above it: of 2048 examples, 500 closed labels, paths: 2"] = {
        title: shares(ours(name, 2048, tree(TREES["500 closed labels"]), 2, **parameters), 10)
        for title, (name, parameters) in {"mulsupcon": ("mulsupcon", {}), **VARIANTS}.items()
        if title in {"mulsupcon", "hicone", "himulcone, released", "himulcone, levels"}
    }
    return found


if __name__ == "__main__":
    write("hierarchical", {"every loss over a hierarchy / mulsupcon": BAR}, measure())
