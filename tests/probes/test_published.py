"""The published probe against torch's own layer, autograd and AdamW; its protocols; and probes by their name."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score
from torch import nn
from torch.nn import functional as F

from labelcontrast.errors import ConfigError, LabelShapeError
from labelcontrast.probes.linear import fit_linear_probe
from labelcontrast.probes.published import (
    PROTOCOLS,
    Heads,
    Protocol,
    choose,
    draw_heads,
    fit_probe,
    fit_published_probe,
    train_heads,
)

GRID = [(1.0, 1.0), (1.0, 0.01), (0.1, 0.1), (0.1, 0.0)]


def world(examples: int) -> tuple[torch.Tensor, torch.Tensor, Heads]:
    """Features, three labels from frequent to rare, and two heads to start from."""
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(examples, 6, generator=generator).double()
    noise = torch.randn(examples, 3, generator=generator)
    labels = (features[:, :3] + noise > torch.tensor([0.0, 1.0, 2.0])).to(torch.uint8)
    return features, labels, draw_heads(heads=2, labels=3, dim=6, generator=generator)


OPTIMISERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}


def one_after_the_other(
    features, labels, start: Heads, *, rate: float, decay: float, head: int, seed: int, optimiser: str = "adamw"
) -> nn.Linear:
    """One head under one configuration, as the published code trains it, with the batches of the sweep."""
    layer = nn.Linear(features.shape[1], labels.shape[1]).double()
    layer.load_state_dict({"weight": start.weight[head].double(), "bias": start.bias[head].double()})
    groups = [{"params": [layer.weight], "weight_decay": decay}, {"params": [layer.bias], "weight_decay": 0.0}]
    descent = OPTIMISERS[optimiser](groups, lr=rate)
    steps = 5 * (len(features) // 16)
    schedule = torch.optim.lr_scheduler.LambdaLR(descent, lambda step: 1 - step / steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(5):
        orders = [torch.randperm(len(features), generator=generator) for _ in start.weight]
        for rows in orders[head].split(16):
            if len(rows) == 16:
                descent.zero_grad()
                F.binary_cross_entropy_with_logits(layer(features[rows]), labels[rows].double()).backward()
                descent.step()
                schedule.step()
    return layer


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_equal_to_one_after_the_other(optimiser: str) -> None:
    features, labels, start = world(70)
    how = {"grid": GRID, "epochs": 5, "batch_size": 16, "optimiser": optimiser}
    swept = train_heads(features, labels, start, **how, generator=torch.Generator().manual_seed(9))
    assert swept.weight.shape == (4, 2, 3, 6)
    assert swept.bias.shape == (4, 2, 3)
    for place, (rate, decay) in enumerate(GRID):
        for head in range(2):
            own = {"rate": rate, "decay": decay, "head": head, "optimiser": optimiser}
            layer = one_after_the_other(features, labels, start, **own, seed=9)
            torch.testing.assert_close(swept.weight[place, head], layer.weight.data, rtol=1e-7, atol=1e-9)
            torch.testing.assert_close(swept.bias[place, head], layer.bias.data, rtol=1e-7, atol=1e-9)


def test_bf16_rounds_factors_and_products_only() -> None:
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


def test_unknown_labels_are_left_out_of_the_mean_of_a_batch() -> None:
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


QUICK = Protocol(epochs=8, batch_size=32)


def halves(problem: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Standardised features; the first 200 rows to train on, the rest to validate."""
    features, labels = problem
    features = ((features - features.mean(0)) / features.std(0)).astype(np.float32)
    return features[:200], labels[:200], features[200:], labels[200:]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def literal_choice(protocol: Protocol, labels: np.ndarray, logits: np.ndarray) -> list[int]:
    """For each label, go through the grid and keep what is better than the best so far."""
    chosen = []
    for label in range(labels.shape[1]):
        best, key = 0, None
        for place, (rate, _) in enumerate(protocol.grid):
            true, scores = labels[:, label], logits[place, :, label]
            f1 = f1_score(true, scores > 0, zero_division=0)
            precision = average_precision_score(true, scores) if true.any() else 0.0
            mine = (f1,) if protocol.first_of_ties else (f1, -rate, precision)
            if key is None or mine > key:
                best, key = place, mine
        chosen.append(best)
    return chosen


@pytest.mark.parametrize("name", ["paper", "released"])
def test_each_label_takes_the_best_of_the_grid(name: str) -> None:
    generator, protocol = np.random.default_rng(0), PROTOCOLS[name]
    for _ in range(8):
        labels = (generator.random((12, 6)) < [0.0, 0.1, 0.2, 0.5, 0.5, 1.0]).astype(np.uint8)
        logits = generator.integers(-2, 3, size=(len(protocol.grid), 12, 6)).astype(float)
        assert choose(protocol, labels, logits).tolist() == literal_choice(protocol, labels, logits)


def test_unknown_labels_are_left_out_of_the_choice() -> None:
    generator, protocol = np.random.default_rng(1), PROTOCOLS["paper"]
    labels = (generator.random((40, 5)) < 0.4).astype(np.float32)
    labels[generator.random(labels.shape) < 0.4] = np.nan
    logits = generator.normal(size=(len(protocol.grid), 40, 5))
    expected = [
        literal_choice(protocol, labels[here][:, [label]].astype(int), logits[:, here][:, :, [label]])[0]
        for label, here in enumerate(~np.isnan(labels).T)
    ]
    assert choose(protocol, labels, logits).tolist() == expected


def test_a_label_without_a_hit_takes_the_smallest_rate_or_the_first_of_the_grid() -> None:
    labels, logits = np.zeros((5, 1)), -np.ones((10, 5, 1))
    assert PROTOCOLS["paper"].grid[choose(PROTOCOLS["paper"], labels, logits)[0]][0] == 0.1
    released = PROTOCOLS["released"]
    assert released.grid[choose(released, labels, logits[:8])[0]] == (1.0, 1.0)


def test_the_probe_learns_the_labels(problem) -> None:
    train, train_labels, val, val_labels = halves(problem)
    probe = fit_published_probe(train, train_labels, val, val_labels, protocol=QUICK, generator=seeded())
    assert probe.weight.shape == (3, 6, 12)
    predicted = (probe(torch.from_numpy(val)) > 0).numpy()
    assert f1_score(val_labels, predicted, average="micro") > 0.75


def test_the_seed_fixes_everything(problem) -> None:
    parts = halves(problem)
    one, two, other = (fit_published_probe(*parts, protocol=QUICK, generator=seeded(seed)) for seed in (4, 4, 5))
    assert torch.equal(one.weight, two.weight)
    assert not torch.equal(one.weight, other.weight)


def test_untrained_heads_squeeze_probabilities_towards_one_half(problem) -> None:
    parts = halves(problem)
    released = fit_published_probe(*parts, protocol=replace(QUICK, untrained_heads=2), generator=seeded())
    without = fit_published_probe(*parts, protocol=QUICK, generator=seeded())
    assert released.weight.shape == (5, 6, 12)
    rows = torch.from_numpy(parts[2])

    def distance(probe: torch.nn.Module) -> float:
        return float((probe(rows).sigmoid() - 0.5).abs().mean())

    assert distance(released) < 0.85 * distance(without)
    bound = (6 / (6 + 12)) ** 0.5
    assert released.weight[3:].abs().max() <= bound < released.weight[:3].abs().max()


def test_the_presets_are_the_published_grids() -> None:
    assert len(PROTOCOLS["paper"].grid) == 10
    assert PROTOCOLS["released"].grid[:5] == [(1.0, 1.0), (1.0, 0.1), (1.0, 0.01), (1.0, 1e-4), (0.1, 1.0)]


@pytest.mark.usefixtures("unchecked")
def test_refusals(problem) -> None:
    parts = halves(problem)
    with pytest.raises(ConfigError, match=r"^a probe needs at least one rate, .* heads=0"):
        fit_published_probe(*parts, protocol=Protocol(heads=0), generator=seeded())
    with pytest.raises(ConfigError, match=r"^a probe needs at least one rate"):
        fit_published_probe(*parts, protocol=Protocol(rates=()), generator=seeded())
    with pytest.raises(LabelShapeError, match=r"^train features and labels"):
        fit_published_probe(parts[0][:5], *parts[1:], generator=seeded())


def test_newton_is_the_convex_optimum_as_a_layer(problem) -> None:
    features, labels = problem
    parts = features[:200], labels[:200], features[200:], labels[200:]
    layer, probe = fit_probe("newton", *parts, generator=torch.Generator()), fit_linear_probe(*parts)
    logits = layer(torch.from_numpy(features)).detach().numpy()
    np.testing.assert_allclose(logits, probe.scores(features.astype(np.float64)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("name", "heads"), [("paper", 3), ("released", 5)])
def test_the_other_probes_are_the_published_protocols(problem, name, heads: int) -> None:
    features, labels = problem
    parts = features[:200], labels[:200], features[200:], labels[200:]
    chosen = fit_probe(name, *parts, generator=torch.Generator().manual_seed(3))
    direct = fit_published_probe(*parts, protocol=PROTOCOLS[name], generator=torch.Generator().manual_seed(3))
    assert torch.equal(chosen.weight, direct.weight)
    assert len(chosen.weight) == heads


def test_the_grid_of_a_published_probe_can_be_another(problem) -> None:
    features, labels = problem
    parts = features[:200], labels[:200], features[200:], labels[200:]
    changes = {"rates": (1.0,), "decays": (0.01,), "batch_size": 64}
    chosen = fit_probe("paper", *parts, generator=torch.Generator().manual_seed(3), changes=changes)
    protocol = replace(PROTOCOLS["paper"], **changes)
    direct = fit_published_probe(*parts, protocol=protocol, generator=torch.Generator().manual_seed(3))
    assert torch.equal(chosen.weight, direct.weight)
    usual = fit_probe("paper", *parts, generator=torch.Generator().manual_seed(3))
    assert not torch.equal(chosen.weight, usual.weight)


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_probe_is_refused_with_the_nearest_name(problem) -> None:
    expected = r"^there is no probe 'newtom' \(did you mean \"newton\"\?\)\. There are newton, paper, released\.$"
    with pytest.raises(ConfigError, match=expected):
        fit_probe("newtom", *halves(problem))
