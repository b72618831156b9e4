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
        ConfigError: there is no such loss or parameter, or a contrastive loss would see one example at a time, or a
            logit loss an example in several views.
        MissingExtraError: a logger, the projection of the map or the augmentation is asked for that is not installed.
    """
    loss, size = settings.loss, settings.training.batch_size
    check_loss(loss.name, loss.parameters)
    kind: Kind = loss_row(loss.name).kind
    if kind == "contrastive" and size < 2:
        message = f"training.batch_size must be at least 2: {loss.name} compares the examples of a batch. Got {size}."
        raise ConfigError(message)
    if kind == "logit" and settings.training.views > 1:
        message = (
            f"training.views must be 1 under {loss.name}, which sees an example once. Got {settings.training.views}."
        )
        raise ConfigError(message)
    extras: list[str] = [*settings.training.loggers]
    extras += ["umap"] if settings.evaluation.map == "umap" else []
    extras += ["kornia"] if settings.training.augment == "randaugment" else []
    for extra in extras:
        if find_spec(extra) is None:
            raise MissingExtraError(f'"{extra}"', extra)
    return kind
