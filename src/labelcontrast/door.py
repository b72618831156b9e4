"""What is refused before torch is imported or a file is read: what cannot work, or would fail only after training."""

from importlib.util import find_spec
from typing import Literal

from labelcontrast.config import RunSettings
from labelcontrast.contrast.catalogue import check_loss, loss_row
from labelcontrast.errors import ConfigError, MissingExtraError

Kind = Literal["logit", "contrastive"]


def check_door(settings: RunSettings) -> Kind:
    """Check a run's settings against the catalogue of losses, and say of which kind its loss is.

    With a contrastive loss beside a logit loss that is the logit loss's: its head is what the run comes to.

    Raises:
        ConfigError: there is no such loss or parameter, a loss is of a kind that has no business in its place or needs
            a hierarchy, or a contrastive loss would see one example at a time.
        MissingExtraError: a logger or the projection of the map is asked for that is not installed.
    """
    loss, size = settings.loss, settings.training.batch_size
    named = [loss, *([loss.joint] if loss.joint else [])]
    for one in named:
        check_loss(one.name, one.parameters)
        if loss_row(one.name).needs_hierarchy:
            message = f"{one.name} needs a hierarchy of the labels, which a run has none of yet: make it with make_loss."
            raise ConfigError(message)
    kinds: list[Kind] = [loss_row(one.name).kind for one in named]
    if loss.joint and kinds != ["logit", "contrastive"]:
        message = f"a joint loss is a logit loss and a contrastive one, as in zlpr+0.5*reg. Got {loss.title}."
        raise ConfigError(message)
    if kinds[-1] == "contrastive" and size < 2:
        message = (
            f"training.batch_size must be at least 2: {named[-1].name} compares the examples of a batch. Got {size}."
        )
        raise ConfigError(message)
    if loss_row(settings.finetuning.loss).kind != "logit":
        message = (
            f'finetuning.loss must be a logit loss, since it trains a linear head. Got "{settings.finetuning.loss}".'
        )
        raise ConfigError(message)
    extras = (*settings.training.loggers, *(["umap"] if settings.evaluation.map == "umap" else []))
    for extra in extras:
        if find_spec(extra) is None:
            raise MissingExtraError(f'"{extra}"', extra)
    return kinds[0]
