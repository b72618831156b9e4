"""Which runs a comparison consists of: losses, with parameters, times seeds."""

from dataclasses import dataclass

from labelcontrast.config import Loss, RunSettings, read_value
from labelcontrast.errors import ConfigError


@dataclass(frozen=True)
class Trial:
    """One run of a comparison."""

    name: str
    """The row of the table: the loss and what was set on it."""
    settings: RunSettings

    @property
    def folder(self) -> str:
        """The run's folder below ``runs/``."""
        return f"{self.name.replace(' ', '-').replace('=', '-')}-seed{self.settings.seed}"


def parse_losses(text: str) -> list[Loss]:
    """Read a list of losses, each a name with parameters behind colons.

    Raises:
        ConfigError: when a parameter has no ``=``, the list is empty, or an entry stands twice.

    Example:
        >>> [(loss.name, loss.parameters) for loss in parse_losses("bce,reg:alpha=1:temperature=0.2")]
        [('bce', {}), ('reg', {'alpha': 1, 'temperature': 0.2})]
    """
    losses = [_parse_loss(entry.strip()) for entry in text.split(",") if entry.strip()]
    names = [row_name(loss) for loss in losses]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not losses or twice:
        message = f'"{twice[0]}" stands twice in the list of losses.' if twice else "the list of losses is empty."
        raise ConfigError(message)
    return losses


def row_name(loss: Loss) -> str:
    """Name a row of the table.

    Example:
        >>> row_name(Loss(name="reg", alpha=1))
        'reg alpha=1'
    """
    return " ".join([loss.name, *(f"{name}={value}" for name, value in loss.parameters.items())])


def build_grid(settings: RunSettings, losses: list[Loss], seeds: int) -> list[Trial]:
    """Build the runs: every loss with the first seed, then every loss with the second, so a table is there early."""
    return [
        Trial(row_name(loss), settings.model_copy(update={"loss": loss, "seed": seed}))
        for seed in range(seeds)
        for loss in losses
    ]


def _parse_loss(entry: str) -> Loss:
    """Read one entry."""
    name, *assignments = entry.split(":")
    parameters = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            message = f'"{assignment}" in "{entry}" is not a parameter; expected name=value, as in reg:alpha=1.'
            raise ConfigError(message)
        parameters[key.strip()] = read_value(value.strip())
    return Loss.model_validate({"name": name.strip(), **parameters})
