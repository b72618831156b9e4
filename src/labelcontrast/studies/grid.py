"""The losses of a grid, as a line names them: with parameters, and with what stands beside them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labelcontrast.config.files import read_value
from labelcontrast.config.sections import Loss, Scalar
from labelcontrast.config.settings import RunSettings
from labelcontrast.contrast.catalogue import check_loss
from labelcontrast.errors import ConfigError

# The second loss begins with a letter, as the exponent of 1e+5 does not.
_JOINT = re.compile(r"(?P<first>.+?)\+((?P<weight>\d*\.?\d+(e-?\d+)?)\*)?(?P<second>[a-z]\w*(:.*)?)")
_SETTING = re.compile(r"(?P<name>[a-z_]+(\.[a-z_]+)+)=(?P<value>.*)")


@dataclass(frozen=True)
class Contender:
    """What a study holds against others: a loss, and settings that go with it alone."""

    loss: Loss
    settings: Mapping[str, Scalar]

    @property
    def title(self) -> str:
        """The loss with its parameters, and its settings by their last names."""
        own = (f"{name.rpartition('.')[2]}={value}" for name, value in self.settings.items())
        return " ".join([self.loss.title, *own])


def parse_losses(text: str) -> list[Loss]:
    """Read a list of losses, separated by commas, each as ``parse_loss`` reads it.

    Raises:
        ConfigError: when one is no loss, the list is empty, or an entry stands twice.

    Example:
        >>> [(loss.name, loss.parameters) for loss in parse_losses("bce,reg:alpha=1:temperature=0.2")]
        [('bce', {}), ('reg', {'alpha': 1, 'temperature': 0.2})]
    """
    losses = [parse_loss(entry) for entry in text.split(",") if entry.strip()]
    _refuse_repeats([loss.title for loss in losses])
    return losses


def parse_contenders(entries: Sequence[str]) -> list[Contender]:
    """Read losses, of which each may have settings of its own: among its parameters, with a dot in their names.

    Raises:
        ConfigError: when one is no loss, there is none, or an entry stands twice.

    Example:
        >>> [one.title for one in parse_contenders(["bce", "supcon:temperature=0.2:hierarchy.train_on=lowest"])]
        ['bce', 'supcon temperature=0.2 train_on=lowest']
    """
    contenders = []
    for entry in entries:
        parts = entry.replace(" ", "").split(":")
        own = [match for part in parts if (match := _SETTING.fullmatch(part))]
        loss = parse_loss(":".join(part for part in parts if not _SETTING.fullmatch(part)))
        contenders.append(Contender(loss, {match["name"]: read_value(match["value"]) for match in own}))
    _refuse_repeats([one.title for one in contenders])
    return contenders


def parse_loss(entry: str) -> Loss:
    """Read a loss: a name with parameters behind colons, and with a plus a weighted contrastive loss beside it.

    Raises:
        ConfigError: when a parameter has no ``=``, or a weight is 0.

    Example:
        >>> loss = parse_loss("asl:margin=0.1+0.5*reg:alpha=1")
        >>> loss.parameters, loss.joint.name, loss.joint.weight, loss.joint.parameters
        ({'margin': 0.1}, 'reg', 0.5, {'alpha': 1})
    """
    entry = entry.replace(" ", "")
    match = _JOINT.fullmatch(entry)
    if match is None:
        values = _with_parameters(entry)
    else:
        joint = {**_with_parameters(match["second"]), "weight": float(match["weight"] or 1)}
        values = {**_with_parameters(match["first"]), "joint": joint}
    return RunSettings.build({"data": entry, "loss": values}).loss  # refused as in the settings of a run


def has_setting(loss: Loss, key: str) -> bool:
    """Say whether a loss has a setting; every loss has what is no setting of a loss.

    Example:
        >>> joint = parse_loss("zlpr+0.5*reg")
        >>> [has_setting(joint, key) for key in ("loss.joint.weight", "loss.joint.alpha", "loss.alpha", "seed")]
        [True, True, False, True]
    """
    section, _, name = key.partition(".")
    if section != "loss":
        return True
    if not name.startswith("joint."):
        return name in check_loss(loss.name, loss.parameters)
    inner = name.removeprefix("joint.")
    return loss.joint is not None and (inner == "weight" or inner in check_loss(loss.joint.name, loss.joint.parameters))


def _refuse_repeats(titles: Sequence[str]) -> None:
    """Refuse an empty list, and one in which something stands twice."""
    twice = sorted({title for title in titles if titles.count(title) > 1})
    if not titles or twice:
        message = f'"{twice[0]}" stands twice in the list of losses.' if twice else "the list of losses is empty."
        raise ConfigError(message)


def _with_parameters(entry: str) -> dict[str, Any]:
    """Read a name with its parameters."""
    name, *assignments = entry.split(":")
    values: dict[str, Any] = {"name": name.strip()}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            message = f'"{assignment}" in "{entry}" is not a parameter; expected name=value, as in reg:alpha=1.'
            raise ConfigError(message)
        values[key.strip()] = read_value(value.strip())
    return values
