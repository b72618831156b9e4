"""The grid of a comparison: which runs, in which order, under which names."""

import pytest

from labelcontrast.config import Loss, RunSettings
from labelcontrast.errors import ConfigError
from labelcontrast.studies.grid import build_grid, parse_losses


def test_every_loss_with_every_seed_seed_by_seed() -> None:
    settings = RunSettings(data="a.csv")
    trials = build_grid(settings, [Loss(name="bce"), Loss(name="reg", alpha=1)], seeds=2)
    assert [(trial.name, trial.settings.seed) for trial in trials] == [
        ("bce", 0),
        ("reg alpha=1", 0),
        ("bce", 1),
        ("reg alpha=1", 1),
    ]
    assert len({trial.folder for trial in trials}) == 4
    assert trials[1].folder == "reg-alpha-1-seed0"
    assert trials[1].settings.loss.parameters == {"alpha": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the list of losses is empty."),
        (" , ", "the list of losses is empty."),
        ("bce,reg,bce", '"bce" stands twice in the list of losses.'),
        ("reg:alpha", '"alpha" in "reg:alpha" is not a parameter; expected name=value, as in reg:alpha=1.'),
    ],
)
def test_what_is_no_list_of_losses_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_losses(text)
    assert str(refusal.value) == message
