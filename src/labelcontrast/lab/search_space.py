"""The search space of each loss: the settings that vary, each in a range; checked before torch is imported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from labelcontrast.errors import ConfigError, MissingExtraError
from labelcontrast.losses.registry import loss_row
from labelcontrast.run.validation import load_plugins, validate_settings
from labelcontrast.settings import LossSettings, RunSettings, Scalar, has_setting, put


@dataclass(frozen=True)
class Range:
    """The values between two ends, uniform or, with ``log``, uniform in the logarithm."""

    low: float
    high: float
    log: bool = False

    def __str__(self) -> str:
        """Write the range for a reader."""
        return f"{self.low:g} to {self.high:g}" + (", logarithmic" if self.log else "")


RATE = "training.learning_rate"
PARAMETERS = {"temperature": Range(0.02, 1.0, log=True), "alpha": Range(0.0, 2.0)}
"""Default ranges of the parameters of a contrastive loss."""
WEIGHT = Range(0.01, 10.0, log=True)
"""Default range of the weight of a joint loss."""


@dataclass(frozen=True)
class SearchedLoss:
    """A loss and its search space: ranges by dotted setting."""

    loss: LossSettings
    space: Mapping[str, Range]

    def apply(self, settings: RunSettings, values: Mapping[str, Scalar]) -> RunSettings:
        """Return the settings of a trial: with this loss and these values; what is left open stays open."""
        nested = {**settings.model_dump(exclude_unset=True), "loss": self.loss.model_dump()}
        for name, value in values.items():
            nested = put(nested, name, value)
        return RunSettings.build(nested)


def plan_search(
    settings: RunSettings, losses: Sequence[LossSettings], ranges: Sequence[str] = ()
) -> list[SearchedLoss]:
    """Return the search space of each loss: the given ranges, or default ones.

    Args:
        settings: Settings that all trials share.
        losses: Each is searched separately.
        ranges: ``KEY=LOW:HIGH`` or ``KEY=LOW:HIGH:log``. Ranges of parameters that a loss lacks are left out; a loss
            left without any range has the default ones.

    Raises:
        ConfigError: A range is malformed, or its ends are not valid settings.
        MissingExtraError: Optuna is not installed.
    """
    if find_spec("optuna") is None:
        what = "the search"
        raise MissingExtraError(what, "search")
    load_plugins(settings.plugins)
    given = dict(map(parse_range, ranges))
    planned = []
    for loss in losses:
        space = {key: one for key, one in given.items() if has_setting(loss, key)} or default_space(settings, loss)
        searched = SearchedLoss(loss, space)
        for ends in ({key: one.low for key, one in space.items()}, {key: one.high for key, one in space.items()}):
            validate_settings(searched.apply(settings, ends))
        planned.append(searched)
    return planned


def parse_range(text: str) -> tuple[str, Range]:
    """Parse a range.

    Raises:
        ConfigError: It is malformed or empty.

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
    """Return the default ranges: of the learning rate, a contrastive loss's parameters, and a joint loss's weight.

    Example:
        >>> from labelcontrast.settings import parse_loss
        >>> list(default_space(RunSettings(data="a"), parse_loss("zlpr+reg")))
        ['training.learning_rate', 'loss.joint.temperature', 'loss.joint.alpha', 'loss.joint.weight']
    """
    space = {RATE: Range(settings.learning_rate / 10, settings.learning_rate * 10, log=True)}
    prefix, contrastive = ("loss.joint.", loss.joint) if loss.joint else ("loss.", loss)
    if loss_row(contrastive.name).kind == "contrastive":
        space |= {prefix + name: one for name, one in PARAMETERS.items() if has_setting(loss, prefix + name)}
    return space | ({"loss.joint.weight": WEIGHT} if loss.joint else {})
