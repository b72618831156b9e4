"""How far positives are pushed away, label by label, against loops over anchors, candidates and labels."""

import pytest
import torch
from batches import Batch, batches
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import label_sets, log_p, similarities
from torch import Tensor

from labelcontrast.losses.factory import make_loss
from labelcontrast.losses.loss import ContrastiveLoss

quick = settings(deadline=None, max_examples=25)


def supcon_weights(sets: list[set[int]], i: int) -> dict[int, float]:
    """Every positive the same."""
    alike = [j for j in range(len(sets)) if j != i and sets[i] & sets[j]]
    return {j: 1 / len(alike) for j in alike}


def per_label_weights(sets: list[set[int]], i: int) -> dict[int, float]:
    """Every label the same, shared by those who have it: Eq. 16 of the study with alpha 0."""
    weights: dict[int, float] = {}
    for label in sets[i]:
        same = [j for j in range(len(sets)) if j != i and label in sets[j]]
        for j in same:
            weights[j] = weights.get(j, 0) + 1 / len(same) / len(sets[i])
    return weights


WEIGHTS = {"supcon": supcon_weights, "reg": per_label_weights}


EDGE = 1e-9
"""A pair whose push and pull are as near as this may fall to either side by the last bit."""


def counted(rows: Tensor, sets: list[set[int]], labels: int, temperature: float, name: str) -> list[list[float]]:
    """By label: positives, those that are repelled for sure, those that may be, and the push of these."""
    s, found = similarities(rows, rows, temperature), [[0.0] * labels for _ in range(4)]
    for i in range(len(rows)):
        others, weights = [k for k in range(len(rows)) if k != i], WEIGHTS[name](sets, i)
        for j, weight in weights.items():
            excess = sum(weights.values()) * float(log_p(s, i, j, others).exp()) - weight
            for label in sets[i] & sets[j]:
                found[0][label] += 1
                found[1][label] += excess > EDGE
                found[2][label] += excess > -EDGE
                found[3][label] += max(excess, 0.0)
    return found


def loss_on(batch: Batch, name: str, block_size: int) -> ContrastiveLoss:
    loss = make_loss(
        name, num_labels=batch.y.shape[1], dim=batch.z.shape[1], temperature=batch.temperature, block_size=block_size
    ).double()
    if name == "reg":
        loss.prototypes.data = batch.c.clone()
    return loss


@pytest.mark.parametrize("name", ["supcon", "reg"])
@quick
@given(batch=batches(least_temperature=0.1), block_size=st.integers(1, 14))
def test_it_is_what_loops_count(name: str, batch: Batch, block_size: int) -> None:
    rows, sets, labels = batch.z, label_sets(batch.y), batch.y.shape[1]
    if name == "reg":  # prototypes are anchors and candidates, each with its label
        rows, sets = torch.cat([batch.z, batch.c]), sets + [{label} for label in range(labels)]
    found = loss_on(batch, name, block_size).repulsion(batch.z, batch.y)
    positives, surely, perhaps, push = counted(rows, sets, labels, batch.temperature, name)
    assert found.positives.tolist() == positives
    assert found.push.tolist() == pytest.approx(push, abs=1e-9)
    for low, repelled, high in zip(surely, found.repelled.tolist(), perhaps, strict=True):
        assert low <= repelled <= high


def test_batches_add_up_and_nothing_is_changed() -> None:
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(6, 4, generator=generator), (torch.rand(6, 3, generator=generator) < 0.6).float()
    loss = make_loss("mulsupcon", num_labels=3, dim=4, queue_size=4)
    one, other = loss.repulsion(z[:3], y[:3]), loss.repulsion(z[3:], y[3:])
    both = one + other
    for name in ("positives", "repelled", "push"):
        assert torch.equal(getattr(both, name), getattr(one, name) + getattr(other, name))
    assert not loss.queue.latest[2].any(), "the queue stays as it was"


def test_the_share_agrees_with_the_diagnostics_where_pairs_share_one_label() -> None:
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(40, 4, generator=generator), torch.eye(5).repeat(8, 1)
    loss = make_loss("reg", num_labels=5, dim=4, diagnostics=True, generator=generator)
    loss(z, y)
    found = loss.repulsion(z, y)
    assert 0 < found.repelled.sum() < found.positives.sum()
    assert found.repelled.sum() / found.positives.sum() == pytest.approx(
        float(loss.diagnostics["positives_pushed_away"])
    )
