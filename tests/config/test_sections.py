"""A loss in the settings: named by all that was set on it, alone or beside another."""

import re
from pathlib import Path

import pytest

from labelcontrast.config.files import read_settings, read_value
from labelcontrast.config.sections import Hierarchy
from labelcontrast.config.settings import RunSettings
from labelcontrast.errors import ConfigError


@pytest.mark.parametrize(
    ("loss", "title"),
    [
        ({"name": "bce"}, "bce"),
        ({"name": "reg", "alpha": 1}, "reg alpha=1"),
        ({"name": "zlpr", "joint": {"name": "reg", "weight": 0.5, "alpha": 1}}, "zlpr+0.5*reg alpha=1"),
        ({"name": "asl", "margin": 0.1, "joint": {"name": "reg"}}, "asl margin=0.1+1*reg"),
    ],
)
def test_a_loss_is_named_by_all_that_was_set_on_it(loss: dict, title: str, tmp_path: Path) -> None:
    settings = RunSettings.build({"data": "a", "loss": loss})
    assert settings.loss.title == title
    settings.write(tmp_path / "config.toml")
    assert RunSettings.build(read_settings(tmp_path / "config.toml")) == settings


def test_a_joint_loss_needs_a_weight_above_zero() -> None:
    with pytest.raises(ConfigError, match=r"^loss\.joint\.weight must be greater than 0\. Got 0\.$"):
        RunSettings.build({"data": "a", "loss": {"name": "bce", "joint": {"name": "reg", "weight": 0}}})


def test_the_page_on_hierarchies_names_every_setting_of_theirs_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "hierarchy.md").read_text()
    table = page.partition("## Settings")[2].partition("## Losses")[0]
    named = {one: section for section, one in re.findall(r"^\| `(hierarchy)\.(\w+)` \|", table, re.MULTILINE)}
    assert set(named) == set(Hierarchy.model_fields) - {"same_name"}  # that one stands with its file
    for name, values in re.findall(r"^\| `hierarchy\.(\w+)` \| (`[^|]*`) \|", table, re.MULTILINE):
        for value in re.findall(r"`(\w+)`", values):
            RunSettings.build({"data": "a", "hierarchy": {name: read_value(value)}})
    assert "`hierarchy.same_name=path`" in page
