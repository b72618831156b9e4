"""Every golden file is reproduced: values to 1e-10, gradients up to the references' epsilons, in blocks of any size."""

import json
from pathlib import Path
from typing import Any

import make_own_golden as own
import pytest
import torch
from golden import CALLS, Golden, golden_files

from labelcontrast.losses.factory import make_loss

LOGIT = {"bce", "focal", "asl", "asl_paper", "lsep", "zlpr", "zlpr_paper_repo"}
TRACE = "mulsupcon_queue_trace"
HIERARCHICAL = {"himulcon", "hicone", "himulcone"}
ONE_STEP = sorted(set(CALLS) - {TRACE, "prr"})
CONTRASTIVE = sorted(set(ONE_STEP) - LOGIT)


def check(golden: Golden, **more: Any) -> None:
    """Compare value and gradients."""
    loss, inputs = golden.loss(**more), golden.inputs
    value = loss(inputs, golden.labels, **golden.more)
    value.backward()
    expected = torch.tensor(golden.file["value_exact"], dtype=torch.float64)
    torch.testing.assert_close(value.detach(), expected, rtol=1e-10, atol=1e-12, msg=golden.name)
    for grad, field in [(inputs.grad, "grad_embeddings"), (inputs.grad, "grad_logits")] + [
        (parameter.grad, "grad_prototypes") for parameter in loss.parameters()
    ]:
        if golden.file.get(field) is not None and not golden.call.get("inexact"):
            torch.testing.assert_close(grad, golden.tensor(field), rtol=1e-6, atol=1e-6, msg=f"{golden.name} {field}")


@pytest.mark.parametrize("name", ONE_STEP)
def test_value_and_gradients(shared: Path, name: str) -> None:
    goldens = golden_files(shared / "golden", name)
    assert goldens
    for golden in goldens:
        check(golden)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("block_size", [1, 3, 8, 10_000])
@pytest.mark.parametrize("name", CONTRASTIVE)
def test_the_block_size_changes_nothing(shared: Path, name: str, block_size: int) -> None:
    for golden in golden_files(shared / "golden", name):
        if block_size > 1 or len(golden.inputs) < 10:
            check(golden, block_size=block_size)


@pytest.mark.parametrize(
    "name", sorted({*CONTRASTIVE} - {"mulsupcon_official", "jscl", *HIERARCHICAL})
)  # that are divided, or have a floor, or are those of levels
def test_losses_of_the_anchors(shared: Path, name: str) -> None:
    """The losses before the mean, and the anchors that have a positive."""
    for golden in golden_files(shared / "golden", name):
        loss = golden.loss()
        losses = loss.per_anchor(golden.inputs, golden.labels, **golden.more).detach()
        expected = golden.tensor("per_anchor")
        torch.testing.assert_close(losses, expected, rtol=1e-6, atol=1e-6, msg=golden.name)
        valid = torch.tensor(golden.file["anchor_valid"])
        assert not losses[~valid].any()


@pytest.mark.parametrize("golden", json.loads(own.FILE.read_text()), ids=lambda golden: golden["loss"])
def test_own_golden_values(golden: dict[str, Any]) -> None:
    loss = make_loss(golden["loss"], num_labels=4, dim=3, temperature=0.2, **golden["parameters"]).double()
    if golden["grad_c"] is not None:
        loss.prototypes.data = torch.tensor(own.C, dtype=torch.float64)
    z = torch.tensor(own.Z, dtype=torch.float64, requires_grad=True)
    value = loss(z, torch.tensor(own.Y))
    value.backward()
    assert value.item() == pytest.approx(golden["value"], rel=1e-12)
    torch.testing.assert_close(z.grad, torch.tensor(golden["grad_z"], dtype=torch.float64), rtol=1e-10, atol=1e-12)
    if golden["grad_c"] is not None:
        expected = torch.tensor(golden["grad_c"], dtype=torch.float64)
        torch.testing.assert_close(loss.prototypes.grad, expected, rtol=1e-10, atol=1e-12)


def test_every_golden_loss_is_claimed_or_belongs_elsewhere(shared: Path) -> None:
    elsewhere = {"align", "uniform"}
    found = {path.name.split("__")[0] for path in (shared / "golden").glob("*__*.json")}
    assert found - elsewhere - set(CALLS) == set()


def test_a_queue_holds_only_what_has_entered(shared: Path) -> None:
    """The trace of the published queue, with the values it would have without its random rows."""
    (golden,) = golden_files(shared / "golden", TRACE)
    loss = golden.loss()
    for step in golden.file["steps"]:
        queries = torch.tensor(step["embeddings"], dtype=torch.float64, requires_grad=True)
        keys, labels = (torch.tensor(step[field], dtype=torch.float64) for field in ("keys", "labels"))
        value = loss(queries, labels, keys=keys)
        (grad,) = torch.autograd.grad(value, queries)
        expected = torch.tensor(step["expected"]["value"], dtype=torch.float64)
        torch.testing.assert_close(value.detach(), expected, rtol=1e-10, atol=0)
        torch.testing.assert_close(grad, torch.tensor(step["expected"]["grad_embeddings"], dtype=torch.float64))


def test_the_positives_that_are_pushed_away(shared: Path) -> None:
    for golden in golden_files(shared / "golden", "prr"):
        loss = golden.loss(diagnostics=True)
        loss(golden.inputs, golden.labels)
        assert loss.diagnostics["positives_pushed_away"].item() == pytest.approx(golden.file["value"], abs=1e-12)
