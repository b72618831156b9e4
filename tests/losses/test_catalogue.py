"""The catalogue is complete, its parameters are checked, and every loss is made; all without torch up to there."""

import pickle
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from labelcontrast.errors import ConfigError
from labelcontrast.losses.affinity import AFFINITIES
from labelcontrast.losses.axes import (
    Contrast,
    Parameter,
    check_values,
    choice,
    flag,
    number,
    optional_number,
    whole_number,
)
from labelcontrast.losses.factory import make_loss
from labelcontrast.losses.registry import check_loss, loss_catalogue, loss_row

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


def test_every_row_is_documented() -> None:
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
def test_every_contrastive_loss_has_the_common_parameters(row: Any) -> None:
    assert row.parameters.keys() >= {"temperature", "stop_repulsion", "block_size", "reduction"}
    assert isinstance(row.contrast_of(row.parameters), Contrast)


def test_published_defaults() -> None:
    assert loss_row("reg").parameters["stop_repulsion"] == 1.0
    assert loss_row("wo_reg").parameters["stop_repulsion"] == 0.0
    assert loss_row("msc").parameters["beta"] == 0.1
    assert check_loss("asl", {})["gamma_neg"] == 4.0
    study = {"preset": "study", "gamma_neg": 1.0, "gamma_pos": 0.0, "margin": 0.0, "detach_focus": False}
    assert check_loss("asl", {"preset": "study"}) == {**study, "margin_on": "negatives", "reduction": "mean"}
    assert check_loss("asl", {"preset": "study", "margin": 0.1})["margin"] == 0.1


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("regg", {}, "there is no loss 'regg' (did you mean \"reg\"?). There are: bce, focal,"),
        ("reg", {"alfa": 1.0}, "reg has no parameter 'alfa' (did you mean \"alpha\"?). It has: temperature, alpha,"),
        ("zlpr", {"temperature": 0.1}, "zlpr has no parameter 'temperature'. It has: reduction."),
        ("reg", {"temperature": -0.1}, "temperature must be a number from 0.002 to 1000. Got -0.1."),
        ("reg", {"block_size": 0}, "block_size must be a whole number from 1, or None. Got 0."),
        ("msc", {"beta": 0}, "beta must be a number from 1e-20 to 1e+20. Got 0."),
        ("asl", {"preset": "mine"}, "preset must be one of asl, study. Got 'mine'."),
        ("multisupcon", {"threshold": 0}, "threshold must be a number from 0.01 to 1. Got 0."),
        ("proto", {"denominator": "none"}, "denominator must be one of all, negatives. Got 'none'."),
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


RATE = number("rate", 1.0, "how fast", low=1e-3, high=1e3)
ALPHA = number("alpha", 0.0, "a power", low=-5.0, high=5.0)
SHARE = optional_number("share", "how much", low=1e-3, high=1.0)
SIZE = whole_number("size", None, "how many", low=1)
LENGTH = whole_number("length", 0, "how long", low=0)
WORD = choice("word", "a", "which", among=("a", "b"))
FLAG = flag("flag", "whether", default=True)


@pytest.mark.parametrize(
    ("parameter", "value", "read"),
    [
        (RATE, 2, 2.0),
        (ALPHA, -1, -1.0),
        (SHARE, None, None),
        (SHARE, 1, 1.0),
        (SIZE, None, None),
        (SIZE, 3, 3),
        (LENGTH, 0, 0),
        (WORD, "b", "b"),
        (FLAG, False, False),
    ],
)
def test_accepted(parameter: Parameter, value: object, read: object) -> None:
    assert parameter.read(value) == read
    assert type(parameter.read(value)) is type(read)


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        (RATE, 0, "rate must be a number from 0.001 to 1000. Got 0."),
        (RATE, True, "rate must be a number from 0.001 to 1000. Got True."),
        (RATE, float("inf"), "rate must be a number from 0.001 to 1000. Got inf."),
        (ALPHA, "1", "alpha must be a number from -5 to 5. Got '1'."),
        (ALPHA, float("nan"), "alpha must be a number from -5 to 5. Got nan."),
        (SHARE, 1.5, "share must be a number from 0.001 to 1, or None. Got 1.5."),
        (SIZE, 0, "size must be a whole number from 1, or None. Got 0."),
        (LENGTH, 1.0, "length must be a whole number from 0. Got 1.0."),
        (LENGTH, None, "length must be a whole number from 0. Got None."),
        (WORD, "c", "word must be one of a, b. Got 'c'."),
        (FLAG, 1, "flag must be True or False. Got 1."),
    ],
)
def test_refused(parameter: Parameter, value: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parameter.read(value)
    assert str(caught.value) == message


def test_values_are_completed_with_defaults() -> None:
    assert check_values("it", (RATE, WORD), {"word": "b"}) == {"rate": 1.0, "word": "b"}
    with pytest.raises(ConfigError) as caught:
        check_values("it", (RATE, WORD), {"wrod": "b"})
    assert str(caught.value) == "it has no parameter 'wrod' (did you mean \"word\"?). It has: rate, word."


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


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("supcon", {}), ("msc", {}), ("reg", {"alpha": 2.0}), ("wo_reg", {"alpha": -1.0}), ("zlpr", {})]
    + [("weighted", {"affinity": affinity}) for affinity in AFFINITIES],
)
def test_a_pickled_loss_computes_the_same(name: str, parameters: dict[str, Any]) -> None:
    loss = make_loss(name, num_labels=3, dim=4 if name != "zlpr" else None, **parameters)
    inputs = torch.randn(6, 4 if name != "zlpr" else 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1]])
    again = pickle.loads(pickle.dumps(loss))
    assert again(inputs, labels) == loss(inputs, labels)


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
        ("supcon", {"dim": 0}, "dim must be a whole number from 1, or None. Got 0."),
    ],
)
def test_refused_sizes(name: str, sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_loss(name, **sizes)
    assert str(caught.value) == message
