"""Settings: what is refused and how, TOML there and back, single fields overridden."""

import tomllib
from pathlib import Path

import pytest

from labelcontrast.config import RunSettings, override, read_settings, settings_template
from labelcontrast.errors import ConfigError


def test_toml_there_and_back(tmp_path: Path) -> None:
    settings = RunSettings.build(
        {"data": "a.csv", "loss": {"name": "reg", "temperature": 0.2}, "training": {"learning_rate": 1e-4}}
    )
    settings.write(tmp_path / "config.toml")
    assert RunSettings.build(read_settings(tmp_path / "config.toml")) == settings
    assert settings.loss.parameters == {"temperature": 0.2}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, 'the setting "data" is needed.'),
        ({"data": "a", "sed": 1}, 'unknown setting "sed" (did you mean "seed"?).'),
        ({"data": "a", "training": {"batchsize": 8}}, '(did you mean "training.batch_size"?).'),
        ({"data": "a", "training": {"epochs": 0}}, "training.epochs must be greater than or equal to 1. Got 0."),
        ({"data": "a", "training": {"epochs": "x"}}, "training.epochs must be integer"),
        (
            {"data": "a", "training": {"precision": "8"}},
            "training.precision must be 'auto', '32', 'bf16' or '16'. Got '8'.",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(values: dict, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        RunSettings.build(values)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("data = \n")
    with pytest.raises(ConfigError, match=r"a\.toml: not a TOML file: Invalid value \(at line 1"):
        read_settings(tmp_path / "a.toml")
    with pytest.raises(ConfigError, match=r"b\.toml: no such file; expected a TOML file of settings\.$"):
        read_settings(tmp_path / "b.toml")


def test_single_fields_are_overridden_and_the_base_stays() -> None:
    base = {"loss": {"name": "reg"}}
    values = override(base, ["seed=3", "loss.alpha=-1", "encoder.name=org/model-1.0", "training.loggers=['wandb']"])
    expected = {"seed": 3, "loss": {"name": "reg", "alpha": -1}, "encoder": {"name": "org/model-1.0"}}
    assert values == expected | {"training": {"loggers": ["wandb"]}}
    assert base == {"loss": {"name": "reg"}}


@pytest.mark.parametrize("assignment", ["seed", "=3", "seed.x=1"])
def test_what_is_no_assignment_is_refused(assignment: str) -> None:
    with pytest.raises(ConfigError):
        override({"seed": 1}, [assignment])


def test_the_learning_rate_suits_the_encoder() -> None:
    assert RunSettings.build({"data": "a"}).learning_rate == 1e-3
    assert RunSettings.build({"data": "a", "encoder": {"name": "roberta-base"}}).learning_rate == 5e-5
    assert RunSettings.build({"data": "a", "training": {"learning_rate": 0.1}}).learning_rate == 0.1


def test_the_template_has_every_setting_and_is_the_defaults() -> None:
    text = settings_template()
    values = tomllib.loads(text) | {"data": "a.csv"}
    assert RunSettings.build(values) == RunSettings(data="a.csv")
    sections = RunSettings.model_fields["training"].annotation.model_fields
    for name, field in sections.items():
        assert field.description, name
        assert f"# {field.description.replace('``', '')}\n" in text, name
