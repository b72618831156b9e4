"""Several processes: each computes its part of every case, and leaves values and gradients in a file.

gather_worker.py WORLD FOLDER; they are forks of one process, which imports torch once.
"""

import multiprocessing
import sys
from pathlib import Path

import torch
from torch import distributed

from labelcontrast.losses.factory import make_loss

CASES = {
    "supcon": {"name": "supcon"},
    "mulsupcon": {"name": "mulsupcon"},
    "msc": {"name": "msc"},
    "proto": {"name": "proto"},
    "reg": {"name": "reg", "alpha": 1.0},
    "reg sum": {"name": "reg", "reduction": "sum"},
    "reg views": {"name": "reg", "views": 2},
    "reg queue": {"name": "reg", "queue_size": 12, "views": 2},
    "supcon queue": {"name": "supcon", "queue_size": 7},
    "msc queue": {"name": "msc", "queue_size": 5},
    "jscl": {"name": "jscl"},
    "sincere queue": {"name": "sincere", "queue_size": 7},
    "similarity_dissimilarity": {"name": "similarity_dissimilarity"},
    "jaccard_sigmoid queue": {"name": "jaccard_sigmoid", "bias": -1.0, "queue_size": 7},
    "simclr": {"name": "simclr", "views": 2},
    "simclr queue": {"name": "simclr", "views": 2, "queue_size": 9},
    "jscl queue": {"name": "jscl", "queue_size": 12},
    "proto keys": {"name": "proto", "keys": True},
    "base soft": {"name": "base", "kind": "soft"},
    "reg soft views": {"name": "reg", "kind": "soft", "views": 2},
    "supcon unknown": {"name": "supcon", "kind": "unknown"},
    "mulsupcon unknown queue": {"name": "mulsupcon", "kind": "unknown", "queue_size": 7},
    "base keys queue": {"name": "base", "keys": True, "queue_size": 7},
    "bcl queue": {"name": "bcl", "queue_size": 7},
    "paco soft": {"name": "paco", "kind": "soft"},
    "lacon": {"name": "lacon"},
    "lacon queue": {"name": "lacon", "queue_size": 7, "views": 2},
    "reg kinds": {"name": "reg", "reduction": "mean_kinds", "label_power": -0.5},
    "mulsupcon weights": {"name": "mulsupcon", "weights": True},
}
STEPS = 3


def part(size: int, rank: int, world: int) -> slice:
    """An uneven part of the batch: the last process has the rest."""
    each = size // world + 1
    return slice(min(rank * each, size), min((rank + 1) * each, size))


def compute(case: dict, rank: int = 0, world: int = 1) -> list[tuple[torch.Tensor, ...]]:
    """Value, gradient of the own part of the batch, gradient of what is learned in the loss; a step at a time."""
    case = dict(case)
    views, name, kind = case.pop("views", 1), case.pop("name"), case.pop("kind", "binary")
    with_keys, weighted = case.pop("keys", False), case.pop("weights", False)
    generator = torch.Generator().manual_seed(0)
    loss = make_loss(name, num_labels=4, dim=3, generator=generator, gather=True, **case).double()
    results = []
    for step in range(STEPS):
        size = 10 - step
        z = torch.randn(size, views, 3, generator=generator, dtype=torch.float64)
        y = (torch.rand(size, 4, generator=generator) < 0.4).double()
        if kind != "binary":  # the matrix is then sparse
            y[torch.rand(size, 4, generator=generator) < 0.3] = torch.nan if kind == "unknown" else 0.25
        keys = torch.randn(size, 3, generator=generator, dtype=torch.float64)
        weights = torch.rand(size, generator=generator, dtype=torch.float64)
        own = part(size, rank, world)
        mine = z[own].clone().requires_grad_()
        loss.zero_grad()
        more = {"keys": keys[own]} if with_keys else {}
        more |= {"weights": weights[own]} if weighted else {}
        value = loss(mine, y[own].to_sparse() if kind != "binary" else y[own], **more)
        value.backward()
        learned = [parameter.grad.flatten() for parameter in loss.parameters()]
        results.append((value.detach(), mine.grad, torch.cat([torch.zeros(1), *learned])))
    return results


def work(rank: int, world: int, folder: Path) -> None:
    """Be one of the processes."""
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=world)
    torch.save({name: compute(case, rank, world) for name, case in CASES.items()}, folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    world, folder = int(sys.argv[1]), Path(sys.argv[2])
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=work, args=(rank, world, folder)) for rank in range(world)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(max(abs(process.exitcode) for process in processes))
