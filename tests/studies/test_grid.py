"""Losses as a line names them: read, written again, refused."""

import pytest

from labelcontrast.errors import ConfigError
from labelcontrast.studies.grid import parse_contenders, parse_loss, parse_losses


@pytest.mark.parametrize(
    ("entry", "title"),
    [
        ("reg", "reg"),
        ("reg:alpha=1e+1", "reg alpha=10.0"),
        ("zlpr+0.5*reg", "zlpr+0.5*reg"),
        ("zlpr + .5 * reg:alpha=1", "zlpr+0.5*reg alpha=1"),
        ("asl:margin=0.1+reg", "asl margin=0.1+1*reg"),
        ("bce+1e-2*msc:beta=0.1:alpha=2", "bce+0.01*msc beta=0.1 alpha=2"),
    ],
)
def test_a_loss_is_read_with_its_parameters_and_with_what_stands_beside_it(entry: str, title: str) -> None:
    assert parse_loss(entry).title == title
    assert parse_loss(title.replace(" ", ":")) == parse_loss(entry)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the list of losses is empty."),
        (" , ", "the list of losses is empty."),
        ("bce,reg,bce", '"bce" stands twice in the list of losses.'),
        ("bce+0*reg", "loss.joint.weight must be greater than 0. Got 0.0."),
        ("reg:alpha", '"alpha" in "reg:alpha" is not a parameter; expected name=value, as in reg:alpha=1.'),
    ],
)
def test_what_is_no_list_of_losses_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_losses(text)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("entry", "title", "settings"),
    [
        ("reg", "reg", {}),
        ("supcon:hierarchy.train_on=lowest", "supcon train_on=lowest", {"hierarchy.train_on": "lowest"}),
        (
            "zlpr+0.5*reg:training.epochs=3:alpha=0.1",
            "zlpr+0.5*reg alpha=0.1 epochs=3",
            {"training.epochs": 3},
        ),
    ],
)
def test_a_loss_may_have_settings_of_its_own(entry: str, title: str, settings: dict[str, object]) -> None:
    (contender,) = parse_contenders([entry])
    assert (contender.title, contender.settings) == (title, settings)
    assert contender.loss == parse_loss(contender.loss.title.replace(" ", ":"))


def test_one_loss_under_two_settings_is_two_contenders_and_twice_the_same_is_refused() -> None:
    entries = ["supcon", "supcon:hierarchy.train_on=lowest"]
    assert len(parse_contenders(entries)) == 2
    with pytest.raises(ConfigError) as refusal:
        parse_contenders([*entries, entries[1]])
    assert str(refusal.value) == '"supcon train_on=lowest" stands twice in the list of losses.'
