"""A file of settings: what is no TOML is refused, and single fields are overridden."""

from pathlib import Path

import pytest

from labelcontrast.config.files import override, read_settings
from labelcontrast.errors import ConfigError


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
