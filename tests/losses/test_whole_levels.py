"""Losses of whole levels: learned weights, weights of examples, and what they refuse."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from labelcontrast.errors import ConfigError
from labelcontrast.losses.factory import make_loss

TREE = SimpleNamespace(ancestors=torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 1]]), depths=torch.tensor([0, 1, 1]))
Y = torch.tensor([[0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [1, 0, 0]])
Z = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def level_means() -> list[torch.Tensor]:
    """Of the roots, and of what is below them: supcon on the labels of a level."""
    loss = make_loss("supcon")
    return [loss(Z, torch.ones(5, 1)), loss(Z, Y[:, 1:])]


@pytest.mark.parametrize(("name", "more"), [("himulcon", {}), ("himulcone", {"constraint": "levels"})])
def test_learned_weights_pay_for_what_they_take_away(name: str, more: dict[str, Any]) -> None:
    loss = make_loss(name, hierarchy=TREE, layer_penalty="learned", **more).double()
    roots, leaves = level_means()
    if name == "himulcone":
        roots = roots.maximum(leaves)
    loss.log_scales.data = torch.tensor([0.5, -0.2], dtype=torch.float64)
    value = loss(Z, Y)
    s = loss.log_scales.detach()
    shrunk = torch.stack([roots, leaves]) * (-s).exp()
    torch.testing.assert_close(value.detach(), (shrunk + s).sum() / 3)
    value.backward()
    torch.testing.assert_close(loss.log_scales.grad, (1 - shrunk) / 3)


def test_weights_of_examples_and_views_go_on_with_their_examples() -> None:
    views = torch.stack([Z, Z.flip(0)], 1)
    loss = make_loss("himulcone", hierarchy=TREE, variant="released", layer_penalty="uniform")
    weights = torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0])
    leaves = make_loss("supcon")(views, Y[:, 1:], weights=weights)
    kept = [0, 2, 4]
    roots = make_loss("supcon")(views[kept], torch.ones(3, 1), weights=weights[kept])
    torch.testing.assert_close(loss(views, Y, weights=weights), (leaves + roots.maximum(leaves)) / 3)


def test_an_anchor_without_positives_costs_nothing_and_a_level_without_any_is_left_out() -> None:
    loss = make_loss("hicone", hierarchy=TREE, constraint="levels")
    z = Z[:2].clone().requires_grad_()
    value = loss(z, torch.tensor([[0, 1, 0], [0, 0, 0]]))
    value.backward()
    assert value == 0
    assert not z.grad.any()
    torch.testing.assert_close(loss(Z, torch.tensor([[1, 0, 0]] * 5)), level_means()[0] / 3)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"layer_penalty": "learned"}, 'himulcone with layer_penalty="learned" needs constraint="levels".'),
        (
            {"variant": "released", "diagnostics": True},
            "himulcone level by level takes no queue_size, gather or diagnostics.",
        ),
        (
            {"constraint": "levels", "reduction": "sum"},
            "himulcone level by level takes the reduction mean_valid or mean_all.",
        ),
    ],
)
def test_refusals(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_loss("himulcone", hierarchy=TREE, **parameters)
    assert str(caught.value) == message
