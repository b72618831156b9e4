"""The published protocol: the choice for each label, the average, what untrained heads do, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score

from labelcontrast.errors import ConfigError, LabelShapeError
from labelcontrast.evaluation.probes.published import PROTOCOLS, Protocol, choose, fit_published_probe

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


def test_unknown_labels_have_no_say_in_the_choice() -> None:
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


def test_the_probe_reads_off_what_is_there(problem) -> None:
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
