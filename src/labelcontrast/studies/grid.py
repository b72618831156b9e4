"""The losses of a grid, as a line names them: with parameters, and with what stands beside them."""

import re
from typing import Any

from labelcontrast.config.files import read_value
from labelcontrast.config.sections import Loss
from labelcontrast.config.settings import RunSettings
from labelcontrast.errors import ConfigError

# The second loss begins with a letter, as the exponent of 1e+5 does not.
_JOINT = re.compile(r"(?P<first>.+?)\+((?P<weight>\d*\.?\d+(e-?\d+)?)\*)?(?P<second>[a-z]\w*(:.*)?)")


def parse_losses(text: str) -> list[Loss]:
    """Read a list of losses, separated by commas, each as ``parse_loss`` reads it.

    Raises:
        ConfigError: when one is no loss, the list is empty, or an entry stands twice.

    Example:
        >>> [(loss.name, loss.parameters) for loss in parse_losses("bce,reg:alpha=1:temperature=0.2")]
        [('bce', {}), ('reg', {'alpha': 1, 'temperature': 0.2})]
    """
    losses = [parse_loss(entry) for entry in text.split(",") if entry.strip()]
    names = [loss.title for loss in losses]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not losses or twice:
        message = f'"{twice[0]}" stands twice in the list of losses.' if twice else "the list of losses is empty."
        raise ConfigError(message)
    return losses


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
