"""What a floor costs, and whose it is, where that is known beforehand."""

from types import SimpleNamespace

import torch

from labelcontrast.losses.factory import make_loss

TREE = SimpleNamespace(ancestors=torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 1]]), depths=torch.tensor([0, 1, 1]))
Y = torch.tensor([[0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]])


def test_the_floor_of_a_level_is_the_dearest_pair_of_the_finer() -> None:
    """Those that share a leaf are far apart: no pair of the root costs more, so all of them cost as much."""
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.02], [2.0, 1.0], [-2.0, -1.1]], dtype=torch.float64).requires_grad_()
    losses = make_loss("supcon", temperature=0.5).per_anchor(z, Y[:, 1:])  # of one positive each
    expected = (losses.sum() + 4 * losses.max()) / 3
    value = make_loss("hicone", hierarchy=TREE, temperature=0.5, reduction="sum")(z, Y)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, z), torch.autograd.grad(expected, z))


def test_no_floor_where_the_order_holds() -> None:
    """All share the root, and the pairs of a leaf are the nearest: the root's other pairs cost what they cost."""
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    near = torch.tensor(1 + 2 * torch.e**-2.0, dtype=torch.float64).log()
    value = make_loss("hicone", hierarchy=TREE, temperature=0.5)(z, Y)
    torch.testing.assert_close(value, (near + (near + 2 * (near + 2)) / 3) / 3)


def test_autocast_does_not_reach_inside() -> None:
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = make_loss("hicone", hierarchy=TREE)
    expected = loss(z, Y)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(z, Y)
    assert torch.equal(value, expected)
    assert torch.equal(torch.autograd.grad(value, z)[0], torch.autograd.grad(expected, z)[0])


def test_an_example_alone_sets_no_floor() -> None:
    loss = make_loss("hicone", hierarchy=TREE, dim=2, queue_size=3)
    z = torch.ones(1, 2).requires_grad_()
    value = loss(z, Y[:1])
    value.backward()
    assert value == 0
    assert not z.grad.any()
