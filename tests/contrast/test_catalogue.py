"""The catalogue is complete, loads without torch, and refuses by name."""

import subprocess
import sys
from typing import Any

import pytest

from labelcontrast.contrast.catalogue import check_loss, loss_catalogue, loss_row
from labelcontrast.errors import ConfigError

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
    assert (row.contrast.tuned_by or "temperature") in row.parameters
    assert (row.contrast.instance_prior or "temperature") in row.parameters
    assert (row.contrast.sharing_by or "temperature") in row.parameters


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
