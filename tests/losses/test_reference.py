"""The losses in blocks against the dense reference, and against literal loops over i and j: values and gradients."""

from typing import Any

import pytest
import torch
from batches import Batch, assert_same, batches, by_angle, loss_on, run
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import ORACLES
from torch import Tensor

import labelcontrast as lc
from labelcontrast.losses.reference import contrastive_loss

FLAT = [row for row in lc.loss_catalogue() if row.contrast is not None and not row.needs_hierarchy]
PARAMETERS: dict[str, list[dict[str, Any]]] = {
    "supcon": [{"positives": "exact"}],
    "msc": [{"alpha": 2.0, "beta": 0.3}],
    "wo_reg": [{"alpha": 1.5, "prototype_anchors": False}],
    "reg": [{"alpha": 1.0}, {"alpha": -1.0}, {"instance_attraction": 0.2, "instance_repulsion": 3.0}],
    "sincere": [{"positives": "exact"}],
    "jaccard_sigmoid": [{"bias": -1.0}],
    "weighted": [
        {"affinity": "coverage", "sharing": "per_positive"},
        {"affinity": "jaccard", "sharing": "per_label"},
        {"affinity": "similarity_dissimilarity", "sharing": "per_label"},
        {"affinity": "overlap", "sharing": "per_label", "candidates": "both", "instance_repulsion": 0.2},
        {"affinity": "overlap", "candidates": "prototypes"},
        {"affinity": "jaccard", "candidates": "both", "prototype_anchors": True, "instance_attraction": 3.0},
    ],
    "multisupcon": [{"threshold": 0.2}],
    "paco": [{"alpha": 2.0}],
    "proto": [{"denominator": "negatives"}],
    "lacon": [{"label_power": -0.5}],
    "mulsupcon": [{"label_power": 1.5}],
}


CASES = [(row.name, more) for row in FLAT for more in [{}, *PARAMETERS.get(row.name, [])]]


def gradients(value: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(value, inputs, allow_unused=True)
    return [torch.zeros_like(x) if grad is None else grad for x, grad in zip(inputs, found, strict=True)]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("name", "parameters"), CASES)
@settings(deadline=None, max_examples=40)
@given(
    batch=batches(views=True, least_temperature=0.05),
    labels=st.sampled_from(["hard", "soft", "unknown"]),
    stop=st.sampled_from([None, 0.0, 0.4, 1.0]),
    block_size=st.sampled_from([None, 2]),
)
def test_value_and_gradients_equal_the_dense_reference(
    *, name: str, parameters: dict[str, Any], batch: Batch, labels: str, stop: float | None, block_size: int | None
) -> None:
    y, generator = batch.y.clone(), torch.Generator().manual_seed(len(batch.y))
    if labels == "soft":
        y *= torch.rand(y.shape, generator=generator, dtype=y.dtype)
    if labels == "unknown":
        y[torch.rand(y.shape, generator=generator) < 0.2] = torch.nan
    if not batch.z.norm(dim=-1).all():  # the two treat a vector of length zero differently
        return
    if name == "simclr" and batch.z.shape[1] == 1:  # refused
        return
    given = {"temperature": batch.temperature, "block_size": block_size, **parameters}
    given |= {} if stop is None else {"stop_repulsion": stop}
    loss = lc.make_loss(name, num_labels=y.shape[1], dim=batch.z.shape[-1], **given).double()
    learned = dict(loss.named_parameters())
    if "prototypes" in learned:
        loss.prototypes.data = batch.c.clone()
    z = batch.z.clone().requires_grad_()
    value = loss(z, y)
    expected = contrastive_loss(
        loss.contrast,
        z,
        y,
        **learned,
        temperature=loss.temperature,
        stop_repulsion=loss.stop_repulsion,
        label_power=loss.label_power,
    )
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)
    # the regulariser holds its factors of the similarities constant, not of the bias: compared where nothing is stopped
    inputs = [z, *(one for key, one in learned.items() if key != "bias" or not loss.stop_repulsion)]
    for got, wanted in zip(gradients(value, inputs), gradients(expected, inputs), strict=True):
        scale = max(1.0, float(wanted.abs().max())) if wanted.numel() else 1.0
        torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-8 * scale)


def test_a_batch_without_positives() -> None:
    """Its loss is 0 without prototypes, and so is its gradient."""
    z = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    y = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    for row in (row for row in FLAT if row.name != "simclr"):  # which refuses a single view
        loss = lc.make_loss(row.name, num_labels=2, dim=4, generator=torch.Generator().manual_seed(0)).double()
        value, expected = (
            loss(z, y),
            contrastive_loss(loss.contrast, z, y, **dict(loss.named_parameters()), stop_repulsion=loss.stop_repulsion),
        )
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(gradients(value, [z]), gradients(expected, [z]))
        if row.name in {"supcon", "base", "mulsupcon", "sincere", "jscl"}:
            assert value == 0


quick = settings(deadline=None, max_examples=25)
PUBLISHED: list[tuple[str, dict[str, Any]]] = [
    ("supcon", {}),
    ("supcon", {"positives": "exact"}),
    ("base", {}),
    ("jscl", {}),
    ("proto", {}),
    ("proto", {"denominator": "negatives"}),
    ("mulsupcon", {}),
    ("msc", {"alpha": 2.0, "beta": 0.3}),
    ("wo_reg", {"alpha": 1.5}),
    ("reg", {}),
    ("reg", {"alpha": 1.0}),
    ("reg", {"alpha": -1.0}),
    ("sincere", {}),
    ("sincere", {"positives": "exact"}),
    ("similarity_dissimilarity", {}),
    ("jaccard_sigmoid", {}),
    ("jaccard_sigmoid", {"bias": -1.0}),
    ("weighted", {}),
    ("weighted", {"affinity": "exact", "sharing": "per_label"}),
    ("weighted", {"affinity": "jaccard", "sharing": "per_label"}),
    ("weighted", {"affinity": "inverse_union", "sharing": "per_label"}),
    ("weighted", {"affinity": "inverse_union", "sharing": "per_positive"}),
    ("weighted", {"affinity": "coverage", "sharing": "per_anchor"}),
    ("weighted", {"affinity": "coverage", "sharing": "per_positive"}),
    ("weighted", {"affinity": "similarity_dissimilarity", "sharing": "per_label"}),
    ("weighted", {"affinity": "overlap", "sharing": "per_label"}),
    ("overlap", {}),
    ("multisupcon", {}),
    ("multisupcon", {"threshold": 0.2}),
    ("bcl", {}),
    ("paco", {}),
    ("paco", {"alpha": 2.0}),
    ("lacon", {}),
]


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED)
@quick
@given(batch=batches())
def test_equals_the_paper(name: str, parameters: dict[str, Any], batch: Batch) -> None:
    z, c = batch.z.clone().requires_grad_(), batch.c.clone().requires_grad_()
    expected = ORACLES[name](z, batch.y, c, temperature=batch.temperature, **parameters)
    (expected + 0 * (z.sum() + c.sum())).backward()
    got = run(loss_on(batch, name, **parameters), batch.z, batch.y)
    assert_same(got, (expected.detach(), by_angle(z), c.grad if got[2] is not None else None))


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        ("supcon", {"affinity": "any"}),
        ("base", {"affinity": "jaccard"}),
        ("mulsupcon", {"affinity": "any", "sharing": "per_label", "reduction": "label_count"}),
        ("similarity_dissimilarity", {"affinity": "similarity_dissimilarity", "sharing": "per_positive"}),
        ("overlap", {"affinity": "overlap"}),
        ("proto", {"sharing": "per_label", "candidates": "prototypes"}),
        ("wo_reg", {"sharing": "per_label", "candidates": "both", "prototype_anchors": True}),
    ],
)
@quick
@given(batch=batches(views=True))
def test_the_published_ones_are_choices_on_the_axes(name: str, axes: dict[str, Any], batch: Batch) -> None:
    assert_same(run(loss_on(batch, "weighted", **axes), batch.z, batch.y), run(loss_on(batch, name), batch.z, batch.y))


@quick
@given(batch=batches(views=True))
def test_simclr_equals_the_paper(batch: Batch) -> None:
    z = torch.cat([batch.z, -batch.z], 1).requires_grad_()
    expected = ORACLES["simclr"](z, batch.y, batch.c, temperature=batch.temperature)
    expected.backward()
    assert_same(run(loss_on(batch, "simclr"), z, None)[:2], (expected.detach(), by_angle(z)))


@quick
@given(batch=batches(), stop=st.sampled_from([0.3, 1.0]))
def test_a_share_of_the_repulsion_is_stopped(batch: Batch, stop: float) -> None:
    z = batch.z.clone().requires_grad_()
    expected = ORACLES["supcon"](z, batch.y, batch.c, temperature=batch.temperature, stop=stop)
    expected.backward()
    got = run(loss_on(batch, "supcon", stop_repulsion=stop), batch.z, batch.y)
    assert_same(got[:2], (expected.detach(), by_angle(z)))
