"""The sweep against torch's own layer, autograd and AdamW, one configuration, head and label after the other."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labelcontrast.evaluation.probes.sweep import Heads, draw_heads, train_heads

GRID = [(1.0, 1.0), (1.0, 0.01), (0.1, 0.1), (0.1, 0.0)]


def world(examples: int) -> tuple[torch.Tensor, torch.Tensor, Heads]:
    """Features, three labels from frequent to rare, and two heads to start from."""
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(examples, 6, generator=generator).double()
    noise = torch.randn(examples, 3, generator=generator)
    labels = (features[:, :3] + noise > torch.tensor([0.0, 1.0, 2.0])).to(torch.uint8)
    return features, labels, draw_heads(heads=2, labels=3, dim=6, generator=generator)


def one_after_the_other(
    features, labels, start: Heads, *, rate: float, decay: float, head: int, seed: int
) -> nn.Linear:
    """One head under one configuration, as the published code trains it, with the batches of the sweep."""
    layer = nn.Linear(features.shape[1], labels.shape[1]).double()
    layer.load_state_dict({"weight": start.weight[head].double(), "bias": start.bias[head].double()})
    groups = [{"params": [layer.weight], "weight_decay": decay}, {"params": [layer.bias], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=rate)
    steps = 5 * (len(features) // 16)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(5):
        orders = [torch.randperm(len(features), generator=generator) for _ in start.weight]
        for rows in orders[head].split(16):
            if len(rows) == 16:
                optimiser.zero_grad()
                F.binary_cross_entropy_with_logits(layer(features[rows]), labels[rows].double()).backward()
                optimiser.step()
                schedule.step()
    return layer


def test_equal_to_one_after_the_other() -> None:
    features, labels, start = world(70)
    swept = train_heads(
        features, labels, start, grid=GRID, epochs=5, batch_size=16, generator=torch.Generator().manual_seed(9)
    )
    assert swept.weight.shape == (4, 2, 3, 6)
    assert swept.bias.shape == (4, 2, 3)
    for place, (rate, decay) in enumerate(GRID):
        for head in range(2):
            layer = one_after_the_other(features, labels, start, rate=rate, decay=decay, head=head, seed=9)
            torch.testing.assert_close(swept.weight[place, head], layer.weight.data, rtol=1e-7, atol=1e-9)
            torch.testing.assert_close(swept.bias[place, head], layer.bias.data, rtol=1e-7, atol=1e-9)


def test_rounded_products_are_those_of_rounded_factors_and_nothing_else_is_rounded() -> None:
    features, labels, start = world(70)

    def rounded(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return (one.bfloat16().double() @ other.bfloat16().double()).bfloat16().double()

    how = {"grid": GRID, "epochs": 5, "batch_size": 16}
    low, exact = (
        train_heads(features, labels, start, generator=torch.Generator().manual_seed(9), products=kind, **how)
        for kind in (torch.bfloat16, None)
    )
    assert low.weight.dtype == torch.float64
    for place, (rate, decay) in enumerate(GRID):
        weight, bias = (
            one[1].double().T.contiguous().requires_grad_() for one in (start.weight, start.bias[..., None])
        )
        groups = [{"params": [weight], "weight_decay": decay}, {"params": [bias], "weight_decay": 0.0}]
        optimiser, generator = torch.optim.AdamW(groups, lr=rate), torch.Generator().manual_seed(9)
        for step in range(20):
            if step % 4 == 0:
                order = [torch.randperm(70, generator=generator) for _ in range(2)][1]
            rows = order[step % 4 * 16 :][:16]
            inputs = torch.cat([features[rows], torch.ones(16, 1)], 1)
            with torch.no_grad():
                error = (rounded(inputs, torch.cat([weight, bias])).sigmoid() - labels[rows]) / (16 * 3)
                slope = rounded(inputs.T, error)
            weight.grad, bias.grad = slope[:-1], slope[-1:]
            for group in optimiser.param_groups:
                group["lr"] = rate * (1 - step / 20)
            optimiser.step()
        torch.testing.assert_close(low.weight[place, 1].T, weight.data, rtol=0.02, atol=0.02)
        torch.testing.assert_close(low.bias[place, 1], bias.data[0], rtol=0.02, atol=0.02)
    assert 1e-4 < (low.weight - exact.weight).abs().mean() < 0.02


def test_what_is_not_known_is_left_out_of_the_mean_of_a_batch() -> None:
    features, labels, start = world(70)
    holed = labels.double()
    holed[torch.rand(holed.shape, generator=torch.Generator().manual_seed(1)) < 0.4] = torch.nan
    kept, generator = holed.clone(), torch.Generator().manual_seed(9)
    swept = train_heads(features, holed, start, grid=GRID[2:3], epochs=1, batch_size=16, generator=generator)
    assert torch.equal(holed.isnan(), kept.isnan())
    layer = nn.Linear(6, 3).double()
    layer.load_state_dict({"weight": start.weight[1].double(), "bias": start.bias[1].double()})
    optimiser = torch.optim.AdamW(
        [{"params": [layer.weight], "weight_decay": 0.1}, {"params": [layer.bias], "weight_decay": 0.0}], lr=0.1
    )
    generator.manual_seed(9)
    order = [torch.randperm(70, generator=generator) for _ in range(2)][1]
    for step, rows in enumerate(order[:64].split(16)):
        known = ~holed[rows].isnan()
        for group in optimiser.param_groups:
            group["lr"] = 0.1 * (1 - step / 4)
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(layer(features[rows])[known], holed[rows][known]).backward()
        optimiser.step()
    torch.testing.assert_close(swept.weight[0, 1], layer.weight.data, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(swept.bias[0, 1], layer.bias.data, rtol=1e-7, atol=1e-9)


def test_configurations_share_nothing_but_their_batches() -> None:
    features, labels, start = world(70)

    def train(grid: list[tuple[float, float]]) -> Heads:
        generator = torch.Generator().manual_seed(1)
        return train_heads(features, labels, start, grid=grid, epochs=3, batch_size=16, generator=generator)

    together, alone = train(GRID), train(GRID[2:3])
    torch.testing.assert_close(together.weight[2:3], alone.weight, rtol=1e-9, atol=1e-12)
    assert (together.weight[0] != together.weight[1]).any()


@pytest.mark.parametrize("examples", [1, 15])
def test_with_fewer_examples_than_a_batch_all_of_them_are_one(examples: int) -> None:
    features, labels, start = world(examples)
    swept = train_heads(
        features, labels, start, grid=GRID[2:3], epochs=40, batch_size=16, generator=torch.Generator().manual_seed(0)
    )
    before = F.binary_cross_entropy_with_logits(features @ start.weight[0].double().T, labels.double())
    after = F.binary_cross_entropy_with_logits(features @ swept.weight[0, 0].T + swept.bias[0, 0], labels.double())
    assert after < before / 3


def test_untrained_heads_are_xaviers() -> None:
    drawn = draw_heads(heads=4, labels=30, dim=50, generator=torch.Generator().manual_seed(0))
    bound = (6 / 80) ** 0.5
    assert 0.98 * bound < drawn.weight.abs().max() <= bound
    assert abs(drawn.weight.mean()) < 0.02 * bound
    assert not drawn.bias.any()
