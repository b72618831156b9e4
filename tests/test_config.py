"""Settings: what is refused and how, TOML there and back, single fields overridden."""

from pathlib import Path

import pytest

from labelcontrast.config import RunSettings, override, read_settings
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
