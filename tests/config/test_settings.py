"""Settings: what is refused and how, and TOML there and back."""

from pathlib import Path

import pytest

from labelcontrast.config.files import read_settings
from labelcontrast.config.settings import RunSettings
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
            {"data": "a", "hierarchy": {"hold_out": 1.5}},
            "hierarchy.hold_out must be a share from 0 to below 1, or names. Got 1.5.",
        ),
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


def test_the_learning_rate_suits_the_encoder() -> None:
    assert RunSettings.build({"data": "a"}).learning_rate == 1e-3
    assert RunSettings.build({"data": "a", "encoder": {"name": "roberta-base"}}).learning_rate == 5e-5
    assert RunSettings.build({"data": "a", "training": {"learning_rate": 0.1}}).learning_rate == 0.1


def test_every_seed_tests_on_a_fold_of_its_own_unless_one_is_named() -> None:
    runs = [RunSettings(data="a", folds=3, seed=seed) for seed in range(5)]
    assert [run.tested_fold for run in runs] == [0, 1, 2, 0, 1]
    assert RunSettings(data="a", folds=3, seed=2, fold=1).tested_fold == 1
    assert RunSettings(data="a", seed=2).tested_fold == 0
