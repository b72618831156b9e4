"""Every golden file is reproduced: values to 1e-10, gradients up to the references' epsilons, in blocks of any size."""

from pathlib import Path
from typing import Any

import pytest
import torch
from golden import CALLS, Golden, golden_files

LOGIT = {"bce", "focal", "asl", "asl_paper", "lsep", "zlpr", "zlpr_paper_repo"}


def check(golden: Golden, **more: Any) -> None:
    """Compare value and gradients."""
    loss, inputs = golden.loss(**more), golden.inputs
    value = loss(inputs, golden.labels)
    value.backward()
    expected = torch.tensor(golden.file["value_exact"], dtype=torch.float64)
    torch.testing.assert_close(value.detach(), expected, rtol=1e-10, atol=1e-12, msg=golden.name)
    for grad, field in [(inputs.grad, "grad_embeddings"), (inputs.grad, "grad_logits")] + [
        (parameter.grad, "grad_prototypes") for parameter in loss.parameters()
    ]:
        if golden.file.get(field) is not None:
            torch.testing.assert_close(grad, golden.tensor(field), rtol=1e-6, atol=1e-6, msg=f"{golden.name} {field}")


@pytest.mark.parametrize("name", sorted(CALLS))
def test_value_and_gradients(shared: Path, name: str) -> None:
    goldens = golden_files(shared / "golden", name)
    assert goldens
    for golden in goldens:
        check(golden)


@pytest.mark.parametrize("block_size", [1, 3, 8, 10_000])
@pytest.mark.parametrize("name", sorted(set(CALLS) - LOGIT))
def test_the_block_size_changes_nothing(shared: Path, name: str, block_size: int) -> None:
    for golden in golden_files(shared / "golden", name):
        if block_size > 1 or len(golden.inputs) < 10:
            check(golden, block_size=block_size)


@pytest.mark.parametrize("name", sorted(set(CALLS) - LOGIT))
def test_losses_of_the_anchors(shared: Path, name: str) -> None:
    """The losses before the mean, and the anchors that have a positive."""
    for golden in golden_files(shared / "golden", name):
        loss = golden.loss()
        losses = loss.per_anchor(golden.inputs, golden.labels).detach()
        expected = golden.tensor("per_anchor")
        torch.testing.assert_close(losses, expected, rtol=1e-6, atol=1e-6, msg=golden.name)
        valid = torch.tensor(golden.file["anchor_valid"])
        assert not losses[~valid].any()


def test_every_golden_loss_is_claimed_or_belongs_elsewhere(shared: Path) -> None:
    elsewhere = {"align", "uniform", "prr", "himulcon", "hicone", "himulcone"}
    found = {path.name.split("__")[0] for path in (shared / "golden").glob("*__*.json")}
    assert found - elsewhere - set(CALLS) == {"jscl", "mulsupcon_official", "mulsupcon_queue_trace"}
