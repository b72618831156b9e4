"""What is refused before torch is imported or a file is read: what cannot work, or would fail only after training."""

from importlib.util import find_spec
from typing import Literal

from labelcontrast.config import RunSettings
from labelcontrast.contrast.catalogue import check_loss, loss_row
from labelcontrast.errors import ConfigError, MissingExtraError

Kind = Literal["logit", "contrastive"]


def check_door(settings: RunSettings) -> Kind:
    """Check a run's settings against the catalogue of losses, and say of which kind its loss is.

    Raises:
        ConfigError: there is no such loss or parameter, or a contrastive loss would see one example at a time.
        MissingExtraError: a logger or the projection of the map is asked for that is not installed.
    """
    loss, size = settings.loss, settings.training.batch_size
    check_loss(loss.name, loss.parameters)
    kind: Kind = loss_row(loss.name).kind
    if kind == "contrastive" and size < 2:
        message = f"training.batch_size must be at least 2: {loss.name} compares the examples of a batch. Got {size}."
        raise ConfigError(message)
    extras = (*settings.training.loggers, *(["umap"] if settings.evaluation.map == "umap" else []))
    for extra in extras:
        if find_spec(extra) is None:
            raise MissingExtraError(f'"{extra}"', extra)
    return kind
