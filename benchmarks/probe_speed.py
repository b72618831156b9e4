"""How much faster the sweep of the published probe is than its trainings one after the other, and how equal.

    python benchmarks/probe_speed.py

Ten configurations, three heads, ninety labels on 7,000 features of width 384, forty epochs; one thread, processor time,
which holds on a machine that does other work too. What goes one after the other is measured on some of its trainings,
spread over the grid, and multiplied. Beside them the two matrix products of every step alone, of the sizes of the
sweep: whatever trains all labels of a head together needs as many multiplications, so that nothing that is exact can be
faster than that on this machine. And the probe at its convex optimum, which is fitted in another way. Writes
benchmarks/results/probe_speed.json.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from labelcontrast.probes.linear import fit_linear_probe
from labelcontrast.probes.published import PROTOCOLS, Heads, draw_heads, train_heads
from labelcontrast.run.machine import describe_origin

EXAMPLES, DIM, LABELS, SEED = 7000, 384, 90, 5
PROTOCOL = PROTOCOLS["paper"]
Batches = Callable[[int, Tensor], Iterator[tuple[Tensor, Tensor]]]


def world() -> tuple[Tensor, Tensor]:
    """Features of the size and labels of the frequencies that texts have: from a third of the examples to a few."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(EXAMPLES, DIM, generator=generator) / 4
    margins = features @ torch.randn(DIM, LABELS, generator=generator) / 5 + torch.randn(
        EXAMPLES, LABELS, generator=generator
    )
    shares = torch.logspace(-0.5, -3, LABELS)
    cuts = torch.stack([margins[:, label].quantile(1 - share) for label, share in enumerate(shares)])
    return features, (margins > cuts).float()


def same_batches(features: Tensor) -> Batches:
    """The batches of the sweep, taken from the features by index."""

    def batches(head: int, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(SEED)
        for _ in range(PROTOCOL.epochs):
            orders = [torch.randperm(EXAMPLES, generator=generator) for _ in range(PROTOCOL.heads)]
            for rows in orders[head].split(PROTOCOL.batch_size):
                if len(rows) == PROTOCOL.batch_size:
                    yield features[rows], labels[rows]

    return batches


def loaded_batches(features: Tensor) -> Batches:
    """Batches from a loader, an example at a time, as the published code has them."""

    def batches(_head: int, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        data = TensorDataset(features, labels)
        for _ in range(PROTOCOL.epochs):
            yield from DataLoader(data, batch_size=PROTOCOL.batch_size, shuffle=True, drop_last=True)

    return batches


def train_one(batches: Iterator[tuple[Tensor, Tensor]], weight: Tensor, rate: float, decay: float) -> nn.Linear:
    """One head under one configuration, with autograd and torch's AdamW."""
    layer = nn.Linear(DIM, len(weight))
    layer.load_state_dict({"weight": weight.clone(), "bias": torch.zeros(len(weight))})
    groups = [{"params": [layer.weight], "weight_decay": decay}, {"params": [layer.bias], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=rate)
    steps = PROTOCOL.epochs * (EXAMPLES // PROTOCOL.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
    for inputs, true in batches:
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(layer(inputs), true).backward()
        optimiser.step()
        schedule.step()
    return layer


def products_alone(features: Tensor) -> float:
    """Seconds of the two matrix products of every step of the sweep."""
    columns = len(PROTOCOL.grid) * LABELS
    rows, wide = features[: PROTOCOL.batch_size].expand(PROTOCOL.heads, -1, -1).contiguous(), torch.randn(DIM, columns)
    solution = wide.expand(PROTOCOL.heads, -1, -1).contiguous()
    begun = time.process_time()
    for _ in range(PROTOCOL.epochs * (EXAMPLES // PROTOCOL.batch_size)):
        rows.mT @ (rows @ solution)
    return time.process_time() - begun


def newton(features: Tensor, labels: Tensor) -> float:
    """Seconds of the optimum of every label along its eight penalties, with a fifth of the examples to choose on."""
    rows, true = features.numpy(), labels.numpy()
    begun = time.process_time()
    fit_linear_probe(rows, true, rows[: EXAMPLES // 5], true[: EXAMPLES // 5])
    return time.process_time() - begun


def sweep_all(features: Tensor, labels: Tensor, start: Heads, products: torch.dtype | None) -> tuple[Heads, float]:
    """All trainings in one sweep, and its seconds."""
    begun = time.process_time()
    swept = train_heads(
        features,
        labels,
        start,
        grid=PROTOCOL.grid,
        epochs=PROTOCOL.epochs,
        batch_size=PROTOCOL.batch_size,
        generator=torch.Generator().manual_seed(SEED),
        products=products,
    )
    return swept, time.process_time() - begun


def measure() -> dict[str, object]:
    """The sweep once, and with products in bf16; then, of each way to go one after the other, some trainings."""
    torch.set_num_threads(1)
    features, labels = world()
    start = draw_heads(heads=PROTOCOL.heads, labels=LABELS, dim=DIM, generator=torch.Generator().manual_seed(1))
    swept, sweep = sweep_all(features, labels, start, None)
    _, rounded = sweep_all(features, labels, start, torch.bfloat16)
    seconds: dict[str, float] = {"the sweep": sweep, "the sweep, products in bf16": rounded}
    largest, mean, flipped = 0.0, 0.0, 0
    picked = [(place, place % PROTOCOL.heads) for place in range(0, len(PROTOCOL.grid), 3)]
    all_heads = len(PROTOCOL.grid) * PROTOCOL.heads
    for name, batches in {"indexed": same_batches(features), "loader": loaded_batches(features)}.items():
        begun = time.process_time()
        for place, head in picked:
            layer = train_one(batches(head, labels), start.weight[head], *PROTOCOL.grid[place])
            if name == "indexed":
                ours = torch.sigmoid(features @ swept.weight[place, head].T + swept.bias[place, head])
                theirs = layer(features).detach().sigmoid()
                largest = max(largest, float((ours - theirs).abs().max()))
                mean += float((ours - theirs).abs().mean()) / len(picked)
                flipped += int(((ours > 0.5) != (theirs > 0.5)).sum())
        seconds[f"one head after the other, {name}"] = (time.process_time() - begun) / len(picked) * all_heads
    begun = time.process_time()
    for place, head in picked:
        label = 20 * place // 3
        alone = labels[:, label : label + 1].contiguous()
        train_one(same_batches(features)(head, alone), start.weight[head, label : label + 1], *PROTOCOL.grid[place])
    seconds["one label after the other, indexed"] = (time.process_time() - begun) / len(picked) * all_heads * LABELS
    seconds["the matrix products of the sweep alone"] = products_alone(features)
    seconds["the optimum, by Newton's method"] = newton(features, labels)
    return {
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "times the sweep": {name: round(value / sweep, 1) for name, value in seconds.items() if value != sweep},
        "times the sweep in bf16": {name: round(value / rounded, 1) for name, value in seconds.items()},
        "trainings measured of each": len(picked),
        "difference of a probability": {"largest": round(largest, 4), "mean": float(f"{mean:.1e}")},
        "predictions that differ": f"{flipped} of {len(picked) * EXAMPLES * LABELS:,}",
    }


if __name__ == "__main__":
    found = measure()
    machine = {**describe_origin(), "load average": round(os.getloadavg()[0], 2), "threads": 1}
    text = json.dumps({"machine": machine, "found": found}, indent=1)
    (Path(__file__).parent / "results" / "probe_speed.json").write_text(text + "\n")
    print(text)
