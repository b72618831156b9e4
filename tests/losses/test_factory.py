"""The factory makes every loss of the catalogue, and refuses at the door."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from labelcontrast.errors import ConfigError
from labelcontrast.losses.catalogue import loss_catalogue
from labelcontrast.losses.factory import make_loss

CHAIN = SimpleNamespace(ancestors=torch.ones(4, 4).tril(), depths=torch.arange(4))


@pytest.mark.parametrize("name", [row.name for row in loss_catalogue()])
def test_every_loss_can_be_descended(name: str) -> None:
    """A few steps down its gradient lower it (reg descends another value than it prints: its repulsion is checked)."""
    generator = torch.Generator().manual_seed(0)
    more = {"stop_repulsion": 0.0} if name == "reg" else {"hierarchy": CHAIN} if name.startswith("hi") else {}
    loss = make_loss(name, num_labels=4, dim=4, generator=generator, **more)
    shape = (8, 2, 4) if name == "simclr" else (8, 4)
    x = torch.randn(shape, generator=generator).requires_grad_()
    y = (torch.rand(8, 4, generator=generator) < 0.4).float()
    optimizer = torch.optim.SGD([x, *loss.parameters()], lr=0.01)
    values = []
    for _ in range(20):
        optimizer.zero_grad()
        value = loss(x, y)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert all(later < earlier for earlier, later in pairwise(values))


def test_prototypes_are_a_parameter_drawn_by_the_generator() -> None:
    first, second = (
        make_loss("reg", num_labels=54, dim=256, generator=torch.Generator().manual_seed(0)) for _ in range(2)
    )
    assert isinstance(first.prototypes, torch.nn.Parameter)
    assert first.prototypes.shape == (54, 256)
    assert torch.equal(first.prototypes, second.prototypes)
    assert first.prototypes.abs().max() <= (6 / (54 + 256)) ** 0.5  # Xavier
    assert not list(make_loss("supcon").parameters())


def test_whole_numbers_do_for_real_ones() -> None:
    y = torch.tensor([[1, 0], [1, 0]])
    assert make_loss("asl", gamma_neg=4, gamma_pos=1)(torch.ones(2, 2), y) == make_loss("asl")(torch.ones(2, 2), y)


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("reg", {}, "reg has a prototype for every label: it needs num_labels and dim. Got None and None."),
        (
            "proto",
            {"num_labels": 3},
            "proto has a prototype for every label: it needs num_labels and dim. Got 3 and None.",
        ),
        ("supcon", {"dim": 0}, "dim must be a whole number from 1. Got 0."),
    ],
)
def test_refusals(name: str, sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_loss(name, **sizes)
    assert str(caught.value) == message
