"""The losses of the hierarchical rows against literal loops, on drawn graphs and label sets.

The catalogue is complete, loads without torch, and refuses by name.
"""

import subprocess
import sys
from typing import Any

import pytest
import torch
from batches import Batch, batches
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_of_levels import paper, released
from torch import Tensor, nn
from trees import Tree, trees

from labelcontrast.errors import ConfigError
from labelcontrast.losses.axes import Contrast
from labelcontrast.losses.catalogue import check_loss, loss_catalogue, loss_row
from labelcontrast.losses.factory import make_loss

quick = settings(deadline=None, max_examples=15)
NAMES = ["himulcon", "hicone", "himulcone"]
CASES: list[tuple[str, dict[str, Any]]] = [
    ("himulcon", {"layer_penalty": "uniform"}),
    ("himulcon", {}),
    ("hicone", {}),
    ("himulcone", {"layer_penalty": "pow"}),
]


def run(loss: nn.Module, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Value, and gradient times length."""
    z = z.detach().clone().requires_grad_()
    value = loss(z, y)
    value.backward()
    return value.detach(), z.grad * z.detach().norm(dim=-1, keepdim=True).clamp(min=1e-12)


def assert_same(got: tuple[Tensor, ...], expected: tuple[Tensor, ...], rtol: float = 1e-9) -> None:
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=rtol, atol=rtol * max(1.0, float(other.abs().max())))


def generic(batch: Batch) -> Tensor:
    """Projections without two equal pairs, between which the gradient of a maximum would have to choose."""
    noise = torch.randn(batch.z.shape, generator=torch.Generator().manual_seed(1), dtype=batch.z.dtype)
    return batch.z + 0.1 * noise


@pytest.mark.parametrize(("name", "parameters"), CASES)
@pytest.mark.parametrize("oracle", [paper, released])
@quick
@given(batch=batches(least_temperature=0.05), data=st.data())
def test_equals_the_paper_and_the_released_code(
    name: str, parameters: dict[str, Any], oracle: Any, batch: Batch, data: st.DataObject
) -> None:
    tree = data.draw(trees(size=batch.y.shape[1]))
    z = generic(batch).requires_grad_()
    penalty = parameters.get("layer_penalty", "uniform" if name == "hicone" else "exp")
    more = {"penalty": penalty, "constrained": name != "himulcon", "temperature": batch.temperature}
    expected = oracle(z, tree.close(batch.y), tree.depths.tolist(), **more)
    expected.backward()
    loss = make_loss(name, hierarchy=tree, temperature=batch.temperature, variant=oracle.__name__, **parameters)
    assert_same(run(loss, z, batch.y), (expected.detach(), z.grad * z.detach().norm(dim=-1, keepdim=True)))


@pytest.mark.parametrize("name", NAMES)
@quick
@given(batch=batches(views=True, least_temperature=0.05), block_size=st.integers(1, 9), data=st.data())
def test_order_scale_block_size_and_closing_before_change_nothing(
    name: str, batch: Batch, block_size: int, data: st.DataObject
) -> None:
    tree, z = data.draw(trees(size=batch.y.shape[1])), generic(batch)
    loss = make_loss(name, hierarchy=tree, temperature=batch.temperature)
    value, grad = run(loss, z, batch.y)
    in_blocks = make_loss(name, hierarchy=tree, temperature=batch.temperature, block_size=block_size)
    assert_same(run(in_blocks, z, batch.y), (value, grad))
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(block_size))
    assert_same(run(loss, z[order], batch.y[order]), (value, grad[order]))
    assert_same(run(loss, 1e3 * z, tree.close(batch.y)), (value, grad))


@pytest.mark.parametrize("name", NAMES)
@quick
@given(batch=batches(least_temperature=0.05), data=st.data())
def test_losses_of_the_anchors_add_up_and_carry_the_gradient(name: str, batch: Batch, data: st.DataObject) -> None:
    tree, z = data.draw(trees(size=batch.y.shape[1])), generic(batch).requires_grad_()
    losses = make_loss(name, hierarchy=tree, temperature=batch.temperature).per_anchor(z, batch.y)
    summed = make_loss(name, hierarchy=tree, temperature=batch.temperature, reduction="sum")(z, batch.y)
    assert_same((losses.sum().detach(),), (summed.detach(),))
    assert_same(torch.autograd.grad(losses.sum(), z), torch.autograd.grad(summed, z))


@quick
@given(batch=batches(least_temperature=0.05))
def test_on_one_level_it_is_half_of_supcon_a_label(batch: Batch) -> None:
    """The other half is the level of the examples themselves, which has no loss."""
    flat = Tree(torch.eye(batch.y.shape[1]), torch.zeros(batch.y.shape[1], dtype=torch.long))
    per_label = make_loss("wo_reg", num_labels=batch.y.shape[1], dim=batch.z.shape[1])
    weights = per_label.pair_weights(batch.y)[: len(batch.y), : len(batch.y)]
    uniform = make_loss("himulcon", hierarchy=flat, layer_penalty="uniform")
    ours = uniform.pair_weights(batch.y)
    assert torch.equal(ours > 0, weights > 0)
    shares = torch.tensor([len([c for c in row if c]) for row in batch.y.tolist()])
    alone = (batch.y * (batch.y.sum(0) == 1)).sum(1)
    torch.testing.assert_close(ours.sum(1), ((shares - alone) / shares.clamp(min=1) / 2).float())


@pytest.mark.parametrize("name", NAMES)
def test_a_queue_and_the_weights_of_examples(name: str) -> None:
    tree = Tree(torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([0, 1]))
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.tensor([[0, 1], [0, 1], [1, 0], [1, 0], [0, 0], [0, 1]])
    loss = make_loss(name, hierarchy=tree, dim=3, queue_size=4).double()
    loss(z[:3], y[:3])
    both = make_loss(name, hierarchy=tree).double()
    queued = loss.per_anchor(z[3:], y[3:])
    if name == "himulcon":  # without a floor, which the anchors of the queue would raise
        torch.testing.assert_close(queued, both.per_anchor(torch.cat([z[3:], z[:3]]), torch.cat([y[3:], y[:3]]))[:3])
    assert queued.tolist()[1] == 0
    weights = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    torch.testing.assert_close(both(z, y, weights=weights), (both.per_anchor(z, y) * weights).sum() / 4)


LOGIT = {"bce", "focal", "asl", "lsep", "zlpr"}
CONTRASTIVE = {
    "himulcon",
    "hicone",
    "himulcone",
    "simclr",
    "supcon",
    "base",
    "jscl",
    "proto",
    "mulsupcon",
    "msc",
    "wo_reg",
    "reg",
}


def test_every_row_says_what_it_is() -> None:
    rows = loss_catalogue()
    assert {row.name for row in rows} >= LOGIT | CONTRASTIVE
    for row in rows:
        assert row.summary.endswith(".")
        assert row.equation
        assert row.reference
        assert (row.contrast is None) == (row.kind == "logit")
        assert check_loss(row.name, {}) == row.parameters
        for parameter in row.takes:
            assert parameter.read(parameter.default) == parameter.default
            assert parameter.meaning


@pytest.mark.parametrize("row", [row for row in loss_catalogue() if row.contrast], ids=lambda row: row.name)
def test_every_contrastive_loss_takes_what_all_take(row: Any) -> None:
    assert row.parameters.keys() >= {"temperature", "stop_repulsion", "block_size", "reduction"}
    assert isinstance(row.contrast_of(row.parameters), Contrast)


def test_published_defaults() -> None:
    assert loss_row("reg").parameters["stop_repulsion"] == 1.0
    assert loss_row("wo_reg").parameters["stop_repulsion"] == 0.0
    assert loss_row("msc").parameters["beta"] == 0.1
    assert check_loss("asl", {})["gamma_neg"] == 4.0
    study = {"preset": "study", "gamma_neg": 1.0, "gamma_pos": 0.0, "margin": 0.0, "detach_focus": False}
    assert check_loss("asl", {"preset": "study"}) == {**study, "reduction": "mean"}
    assert check_loss("asl", {"preset": "study", "margin": 0.1})["margin"] == 0.1


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("regg", {}, "there is no loss 'regg' (did you mean \"reg\"?). There are: bce, focal,"),
        ("reg", {"alfa": 1.0}, "reg has no parameter 'alfa' (did you mean \"alpha\"?). It has: temperature, alpha,"),
        ("zlpr", {"temperature": 0.1}, "zlpr has no parameter 'temperature'. It has: reduction."),
        ("reg", {"temperature": -0.1}, "temperature must be a number from 0.002. Got -0.1."),
        ("reg", {"block_size": 0}, "block_size must be a whole number from 1, or None. Got 0."),
        ("msc", {"beta": 0}, "beta must be a number above 0. Got 0."),
        ("asl", {"preset": "mine"}, "preset must be one of asl, study. Got 'mine'."),
    ],
)
def test_refusals(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_loss(name, parameters)
    assert str(caught.value).startswith(message)


def test_a_wrong_name_is_refused_without_torch() -> None:
    program = """
import sys
import labelcontrast
try:
    labelcontrast.check_loss("supcom", {})
except labelcontrast.LabelContrastError as error:
    print(error)
print("torch" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[0].startswith("there is no loss 'supcom' (did you mean \"supcon\"?)")
    assert run.stdout.splitlines()[1] == "False"
