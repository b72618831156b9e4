"""What is searched: for each loss the settings that vary, each in a range; checked before torch is loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from labelcontrast.errors import ConfigError, MissingExtraError
from labelcontrast.losses.catalogue import loss_row
from labelcontrast.run.validation import validate_settings
from labelcontrast.settings import LossSettings, RunSettings, Scalar, has_setting, put

RATE = "training.learning_rate"


@dataclass(frozen=True)
class Range:
    """From a lowest to a highest value; even in the logarithm, where ``log``."""

    low: float
    high: float
    log: bool = False


OF_A_LOSS = {"temperature": Range(0.02, 1.0, log=True), "alpha": Range(0.0, 2.0)}
"""Where the parameters of a contrastive loss are looked for, unless told otherwise."""
WEIGHT = Range(0.01, 10.0, log=True)
"""Where the weight of a joint loss is looked for."""


@dataclass(frozen=True)
class Searched:
    """A loss, and what varies under it."""

    loss: LossSettings
    space: Mapping[str, Range]

    def under(self, settings: RunSettings, values: Mapping[str, Scalar]) -> RunSettings:
        """Set the loss and the values of a trial."""
        nested = {**settings.model_dump(), "loss": self.loss.model_dump()}
        for name, value in values.items():
            nested = put(nested, name, value)
        return RunSettings.build(nested)


def plan_search(settings: RunSettings, losses: Sequence[LossSettings], given: Sequence[str] = ()) -> list[Searched]:
    """Say for each loss what varies: the ranges given, or those of rate, temperature, alpha and joint weight.

    Args:
        settings: what all trials share.
        losses: each is searched by itself.
        given: ``KEY=LOW:HIGH`` or ``KEY=LOW:HIGH:log``; a loss without a parameter is searched without it, and one that
            has none of them as if none were given.

    Raises:
        ConfigError: a range is none, or its ends are refused as settings.
        MissingExtraError: Optuna is not installed.
    """
    if find_spec("optuna") is None:
        what = "the search"
        raise MissingExtraError(what, "search")
    ranges = dict(map(parse_range, given))
    planned = []
    for loss in losses:
        space = {key: one for key, one in ranges.items() if has_setting(loss, key)} or default_space(settings, loss)
        searched = Searched(loss, space)
        for ends in ({key: one.low for key, one in space.items()}, {key: one.high for key, one in space.items()}):
            validate_settings(searched.under(settings, ends))
        planned.append(searched)
    return planned


def parse_range(text: str) -> tuple[str, Range]:
    """Read a range.

    Raises:
        ConfigError: it is none.

    Example:
        >>> parse_range("loss.temperature=0.02:1:log")
        ('loss.temperature', Range(low=0.02, high=1.0, log=True))
    """
    key, _, values = text.partition("=")
    low, _, rest = values.partition(":")
    high, colon, scale = rest.partition(":")
    try:
        found = Range(float(low), float(high), log=scale == "log")
    except ValueError:
        found = Range(0.0, 0.0)
    if found.low >= found.high or (colon and not found.log) or (found.log and found.low <= 0):
        message = f'"{text}" is not a range; expected KEY=LOW:HIGH or KEY=LOW:HIGH:log, as in loss.alpha=0:2.'
        raise ConfigError(message)
    return key.strip(), found


def default_space(settings: RunSettings, loss: LossSettings) -> dict[str, Range]:
    """Range the learning rate around its default, and what else the loss has.

    Example:
        >>> from labelcontrast.settings import parse_loss
        >>> list(default_space(RunSettings(data="a"), parse_loss("zlpr+reg")))
        ['training.learning_rate', 'loss.joint.temperature', 'loss.joint.alpha', 'loss.joint.weight']
    """
    space = {RATE: Range(settings.learning_rate / 10, settings.learning_rate * 10, log=True)}
    prefix, contrastive = ("loss.joint.", loss.joint) if loss.joint else ("loss.", loss)
    if loss_row(contrastive.name).kind == "contrastive":
        space |= {prefix + name: one for name, one in OF_A_LOSS.items() if has_setting(loss, prefix + name)}
    return space | ({"loss.joint.weight": WEIGHT} if loss.joint else {})
