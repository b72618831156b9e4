"""What is refused before torch is imported or a file is read: a loss, a parameter or a batch size that cannot work."""

from typing import Literal

from labelcontrast.config import RunSettings
from labelcontrast.contrast.catalogue import check_loss, loss_row
from labelcontrast.errors import ConfigError

Kind = Literal["logit", "contrastive"]


def check_door(settings: RunSettings) -> Kind:
    """Check a run's settings against the catalogue of losses, and say of which kind its loss is.

    Raises:
        ConfigError: there is no such loss or parameter, or a contrastive loss would see one example at a time.
    """
    loss, size = settings.loss, settings.training.batch_size
    check_loss(loss.name, loss.parameters)
    kind: Kind = loss_row(loss.name).kind
    if kind == "contrastive" and size < 2:
        message = f"training.batch_size must be at least 2: {loss.name} compares the examples of a batch. Got {size}."
        raise ConfigError(message)
    return kind
