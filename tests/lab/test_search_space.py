"""Search spaces: the default of each loss, given ranges, and invalid ranges."""

import pytest

from labelcontrast.errors import ConfigError, MissingExtraError
from labelcontrast.lab import search_space as space
from labelcontrast.lab.search_space import Range, default_space, plan_search
from labelcontrast.settings import RunSettings, parse_loss

SETTINGS = RunSettings(data="a.npz")


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Optuna seem installed; ranges do not depend on it."""
    monkeypatch.setattr(space, "find_spec", lambda _: True)


@pytest.mark.parametrize(
    ("loss", "names"),
    [
        ("bce", ["training.learning_rate"]),
        ("focal", ["training.learning_rate"]),
        ("reg", ["training.learning_rate", "loss.temperature", "loss.alpha"]),
        ("supcon", ["training.learning_rate", "loss.temperature"]),
    ],
)
def test_the_default_space_has_the_parameters_of_the_loss(loss: str, names: list[str]) -> None:
    found = default_space(SETTINGS, parse_loss(loss))
    assert list(found) == names
    assert found["training.learning_rate"] == Range(1e-4, 1e-2, log=True)


def test_given_ranges_replace_the_default_space() -> None:
    losses = [parse_loss("zlpr+0.5*reg"), parse_loss("reg"), parse_loss("bce")]
    planned = plan_search(SETTINGS, losses, ["loss.joint.weight=0.1:2:log", "loss.alpha=0:1"])
    assert [list(one.space) for one in planned] == [["loss.joint.weight"], ["loss.alpha"], ["training.learning_rate"]]
    applied = planned[0].apply(SETTINGS, {"loss.joint.weight": 0.3})
    assert applied.loss.title == "zlpr+0.3*reg"
    assert applied.model_fields_set == SETTINGS.model_fields_set | {"loss"}  # columns that a killed trial found stay
    assert planned[1].apply(SETTINGS, {"loss.alpha": 0.3}).loss.parameters == {"alpha": 0.3}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("loss.alpha", '"loss.alpha" is not a range; expected KEY=LOW:HIGH or KEY=LOW:HIGH:log, as in loss.alpha=0:2.'),
        ("loss.alpha=2:0", '"loss.alpha=2:0" is not a range'),
        ("loss.alpha=0:1:log", '"loss.alpha=0:1:log" is not a range'),
        ("loss.alpha=0:1:exp", '"loss.alpha=0:1:exp" is not a range'),
        ("training.learning_rate=-1:1", "training.learning_rate must be greater than 0. Got -1.0."),
        ("trainig.epochs=1:3", 'unknown setting "trainig" (did you mean "training"?).'),
        ("training.epochs=1:2.5", "training.epochs must be"),
    ],
)
def test_an_invalid_range_is_refused(given: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        plan_search(SETTINGS, [parse_loss("reg")], [given])
    assert str(refusal.value).startswith(message)


def test_without_optuna_the_error_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "find_spec", lambda _: None)
    with pytest.raises(
        MissingExtraError, match=r"^the search needs an extra .*: pip install 'labelcontrast\[search\]'$"
    ):
        plan_search(SETTINGS, [parse_loss("reg")])
