"""Validation of a run's settings before torch is imported or a file is read."""

from importlib.util import find_spec
from typing import Literal

from labelcontrast.errors import ConfigError, MissingExtraError
from labelcontrast.losses.catalogue import check_loss, loss_row
from labelcontrast.settings import EMBEDDED_ENCODERS, HierarchySettings, NamedLoss, RunSettings


def needs_hierarchy(settings: RunSettings) -> str | None:
    """Name the first thing that is asked for and cannot be had without a hierarchy; None where nothing is.

    Example:
        >>> needs_hierarchy(RunSettings.build({"data": "a", "hierarchy": {"closure": True}}))
        'hierarchy.closure=true'
    """
    losses = [settings.loss, settings.loss.joint]
    asked = [loss.name for loss in losses if loss and loss_row(loss.name).needs_hierarchy]
    asked += ["hierarchy.closure=true"] if settings.hierarchy.closure else []
    asked += _changed(settings.hierarchy, "train_on")
    asked += ["training.sampler=hierarchical"] if settings.training.sampler == "hierarchical" else []
    return next(iter(asked), judged_by_hierarchy(settings))


def judged_by_hierarchy(settings: RunSettings) -> str | None:
    """Name the first thing of these that comes after training: of other data there is no such hierarchy."""
    asked = _changed(settings.hierarchy, "consistency", "decoding", "hold_out")
    asked += ["evaluation.threshold=per_level"] if settings.evaluation.threshold == "per_level" else []
    return next(iter(asked), None)


def _changed(wanted: HierarchySettings, *names: str) -> list[str]:
    """Write the settings that are not as by default."""
    usual = HierarchySettings()
    return [f"hierarchy.{name}={now}" for name in names if (now := getattr(wanted, name)) != getattr(usual, name)]


LossKind = Literal["logit", "contrastive"]


def validate_settings(settings: RunSettings) -> LossKind:
    """Check a run's settings against the catalogue of losses, and say of which kind its loss is.

    With a contrastive loss beside a logit loss that is the logit loss's: its head is what the run comes to.

    Raises:
        ConfigError: there is no such loss or parameter, a loss is of a kind that has no business in its place, a
            contrastive loss would see one example at a time, or a logit loss several views of one; a hierarchy is
            needed that is to be left alone, or for data that it is not of; a fold is none of the folds; or a frozen
            encoder is to learn.
        MissingExtraError: a logger, the projection of the map or the augmentation is asked for that is not installed.
    """
    if settings.encoder.frozen:
        _check_frozen(settings)
    _check_folds(settings)
    _check_extras(settings)
    loss, size, views = settings.loss, settings.training.batch_size, settings.training.views
    kinds = [_check_one(one) for one in (loss, loss.joint) if one]
    if loss.joint and kinds != ["logit", "contrastive"]:
        message = f"a joint loss is a logit loss and a contrastive one, as in zlpr+0.5*reg. Got {loss.title}."
        raise ConfigError(message)
    if kinds[-1] == "contrastive" and size < 2:
        name = (loss.joint or loss).name
        raise ConfigError(
            f"training.batch_size must be at least 2: {name} compares the examples of a batch. Got {size}."
        )
    if settings.hierarchy.file == "none" and (what := needs_hierarchy(settings)):
        raise ConfigError(f"{what} needs a hierarchy of the labels, and hierarchy.file=none leaves it alone.")
    if settings.transfer_to is not None and (what := judged_by_hierarchy(settings)):
        raise ConfigError(f"{what} goes by the hierarchy of the data trained on, which those of transfer_to have not.")
    if loss_row(settings.finetuning.loss).kind != "logit":
        message = (
            f'finetuning.loss must be a logit loss, since it trains a linear head. Got "{settings.finetuning.loss}".'
        )
        raise ConfigError(message)
    if kinds[0] == "logit" and views > 1:
        raise ConfigError(f"training.views must be 1 under {loss.name}, which sees an example once. Got {views}.")
    return kinds[0]


def _check_frozen(settings: RunSettings) -> None:
    """Refuse a frozen encoder that has nothing to keep, and what its features, computed once, would not show."""
    name, augment = settings.encoder.name, settings.training.augment
    if name in EMBEDDED_ENCODERS:
        raise ConfigError(f'encoder.frozen needs a pretrained encoder. Got "{name}", which learns from scratch.')
    if augment != "none":
        raise ConfigError(
            f"training.augment must be none under encoder.frozen, which sees a picture once. Got {augment}."
        )


def _check_folds(settings: RunSettings) -> None:
    """Refuse a fold that is not there, and folds of data that a protocol divides."""
    if settings.fold is not None and settings.fold >= (settings.folds or 0):
        raise ConfigError(f"fold must be one of {settings.folds or 'no'} folds, counted from 0. Got {settings.fold}.")
    if settings.folds is not None and settings.protocol != "official":
        raise ConfigError(f"folds divide all examples anew; the protocol {settings.protocol} has parts of its own.")


def _check_one(loss: NamedLoss) -> LossKind:
    """Check a loss by itself, and say of which kind it is."""
    check_loss(loss.name, loss.parameters)
    return loss_row(loss.name).kind


def _check_extras(settings: RunSettings) -> None:
    """Refuse what needs a library that is not installed."""
    extras: list[str] = [*settings.training.loggers]
    extras += ["umap"] if settings.evaluation.map == "umap" else []
    extras += ["kornia"] if settings.training.augment == "randaugment" else []
    for extra in extras:
        if find_spec(extra) is None:
            raise MissingExtraError(f'"{extra}"', extra)
