"""Validation of a run's settings against the catalogue of losses, before torch is imported or a file is read."""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from labelcontrast.errors import ConfigError, MissingExtraError
from labelcontrast.losses.registry import check_loss, load_plugin, loss_catalogue, loss_row
from labelcontrast.settings import EMBEDDED_ENCODERS, HierarchySettings, NamedLoss, RunSettings, Settings, read_recorded

LossKind = Literal["logit", "contrastive"]


def validate_settings(settings: RunSettings) -> LossKind:
    """Check the settings of a run, and return the kind of its loss.

    With a contrastive loss beside a logit loss that is ``logit``: the logit head is the classifier of the run.

    Raises:
        ConfigError: A loss or a parameter does not exist, or a loss is of the wrong kind for its place; a contrastive
            loss would see one example at a time, a loss between views a single one, or a logit loss several;
            gradients of a contrastive loss are to be added up, or a loss is to have keys that takes none; a hierarchy
            is needed that is to be ignored, or that other data do not have; there is no such fold; or a frozen encoder
            cannot be trained so.
        MissingExtraError: A logger, UMAP or the augmentation is asked for and not installed.
    """
    load_plugins(settings.plugins)
    if settings.encoder.frozen:
        _check_frozen(settings)
    if not settings.encoder.pretrained:
        _check_untrained(settings)
    _check_keep(settings)
    _check_folds(settings)
    _check_extras(settings)
    loss, size, views = settings.loss, settings.training.batch_size, settings.training.views
    kinds = [_kind_of(one) for one in (loss, loss.joint) if one]
    if loss.joint and kinds != ["logit", "contrastive"]:
        message = f"a joint loss is a logit loss and a contrastive one, as in zlpr+0.5*reg. Got {loss.title}."
        raise ConfigError(message)
    if kinds[-1] == "contrastive" and size < 2:
        name = (loss.joint or loss).name
        raise ConfigError(
            f"training.batch_size must be at least 2: {name} compares the examples of a batch. Got {size}."
        )
    _check_views(loss.joint or loss, views + bool(settings.training.momentum), joint=loss.joint is not None)
    _check_accumulate(settings, kinds[-1])
    _check_momentum(settings, kinds[-1])
    if settings.hierarchy.file == "none" and (setting := needs_hierarchy(settings)):
        raise ConfigError(f"{setting} needs a hierarchy of the labels, but hierarchy.file=none ignores it.")
    if settings.transfer_to is not None and (setting := evaluation_needs_hierarchy(settings)):
        raise ConfigError(f"{setting} needs the hierarchy of the training data, which the data of transfer_to lack.")
    if loss_row(settings.finetuning.loss).kind != "logit":
        message = (
            f'finetuning.loss must be a logit loss, since it trains a linear head. Got "{settings.finetuning.loss}".'
        )
        raise ConfigError(message)
    if kinds[0] == "logit" and views > 1:
        raise ConfigError(f"training.views must be 1 under {loss.name}, which sees an example once. Got {views}.")
    return kinds[0]


def load_plugins(paths: Iterable[str]) -> None:
    """Run Python files that register losses; one that has been run before is not run again.

    Raises:
        ConfigError: A file is missing or cannot be run.
    """
    for path in paths:
        load_plugin(path)


def with_recorded(settings: RunSettings, recorded: str | Path) -> RunSettings:
    """Return the settings to resume with: those recorded, changed by the ones that are given now.

    A loss counts as a whole, with its parameters. So a folder is resumed as it was begun, also where a default has
    changed since.

    Args:
        settings: The settings given now; one that was not set explicitly is not given.
        recorded: The file of the earlier settings: a TOML file of them, or a JSON file with them under ``settings``. It
            need not exist.

    Raises:
        ConfigError: The earlier settings name plugins, and none is given now.
    """
    recorded = Path(recorded)
    if not recorded.exists():
        return settings
    values = read_recorded(recorded)
    for name in settings.model_fields_set:
        given = getattr(settings, name)
        if isinstance(given, Settings):
            values[name] = values.get(name, {}) | {one: getattr(given, one) for one in given.model_fields_set}
        else:
            values[name] = given.model_dump(mode="json") if isinstance(given, NamedLoss) else given
    return RunSettings.build(values | {"plugins": plugins_to_resume_with(settings.plugins, recorded)})


def plugins_to_resume_with(given: Iterable[str], recorded: str | Path) -> tuple[str, ...]:
    """Return the plugins recorded earlier, or those given if these are other files; the arguments are those above.

    Raises:
        ConfigError: There were plugins, and none is given now: a folder alone does not make its code run.
    """
    given, recorded = tuple(given), Path(recorded)
    earlier = tuple(read_recorded(recorded).get("plugins", ())) if recorded.exists() else ()
    if earlier and not given:
        again = " ".join(f"--plugin {path}" for path in earlier)
        message = f"{recorded.parent} was begun with losses of its own: add {again} to run that code again."
        raise ConfigError(message)
    before, now = ([Path(path).resolve() for path in paths] for paths in (earlier, given))
    return earlier if before == now else given


def needs_hierarchy(settings: RunSettings) -> str | None:
    """Return the first loss or setting that needs a hierarchy; None if there is none.

    Example:
        >>> needs_hierarchy(RunSettings.build({"data": "a", "hierarchy": {"closure": True}}))
        'hierarchy.closure=true'
    """
    hierarchical = {row.name for row in loss_catalogue() if row.needs_hierarchy}
    losses = [settings.loss, settings.loss.joint]
    # The loss of a plugin may be missing here: a trained model is used without it.
    asked = [loss.name for loss in losses if loss and loss.name in hierarchical]
    asked += ["hierarchy.closure=true"] if settings.hierarchy.closure else []
    asked += _changed(settings.hierarchy, "train_on")
    asked += ["training.sampler=hierarchical"] if settings.training.sampler == "hierarchical" else []
    return next(iter(asked), evaluation_needs_hierarchy(settings))


def evaluation_needs_hierarchy(settings: RunSettings) -> str | None:
    """Return the first setting of the stages after training that needs a hierarchy; None if there is none."""
    asked = _changed(settings.hierarchy, "consistency", "decoding", "hold_out")
    asked += ["evaluation.threshold=per_level"] if settings.evaluation.threshold == "per_level" else []
    return next(iter(asked), None)


def _changed(settings: HierarchySettings, *names: str) -> list[str]:
    """Write the settings that differ from their defaults."""
    default = HierarchySettings()
    return [f"hierarchy.{name}={now}" for name in names if (now := getattr(settings, name)) != getattr(default, name)]


def _kind_of(loss: NamedLoss) -> LossKind:
    if check_loss(loss.name, loss.parameters).get("reduction") == "none":
        raise ConfigError(f'{loss.name} must return a scalar in training: its reduction cannot be "none".')
    return loss_row(loss.name).kind


def _check_views(loss: NamedLoss, views: int, *, joint: bool) -> None:
    """Refuse a loss between the views of an example, as simclr, where an example has one view: it is always 0."""
    row = loss_row(loss.name)
    contrast = row.contrast_of(check_loss(loss.name, loss.parameters)) if row.contrast else None
    if contrast is None or not contrast.views_only:
        return
    if joint:
        raise ConfigError(f"{loss.name} compares views of an example; a joint loss sees an example once.")
    if views < 2:
        message = f"training.views must be at least 2 under {loss.name}, which compares views of an example."
        raise ConfigError(f"{message} Got {views}.")


def _check_accumulate(settings: RunSettings, kind: LossKind) -> None:
    steps, size, loss = settings.training.accumulate, settings.training.batch_size, settings.loss
    if steps > 1 and kind == "contrastive":
        why = f"{(loss.joint or loss).name} compares the examples of one batch, not those of several"
        instead = f"take training.batch_size={steps * size} training.chunk={size}"
        raise ConfigError(f"training.accumulate must be 1: {why}; {instead}. Got {steps}.")


def _check_momentum(settings: RunSettings, kind: LossKind) -> None:
    """Refuse keys for a loss that does not take them, or to which they make no difference."""
    momentum, loss = settings.training.momentum, settings.loss.joint or settings.loss
    if not momentum:
        return
    row = loss_row(loss.name)
    contrast = row.contrast_of(check_loss(loss.name, loss.parameters)) if row.contrast else None
    if kind == "logit":
        why = f"{loss.name} compares no examples"
    elif contrast is None:
        why = f"{loss.name} is not a loss on the axes, and takes no keys"
    elif "prototypes" in contrast.anchors:
        why = f"with keys, prototypes cannot be anchors too: {loss.name} needs prototype_anchors=false"
    elif "instances" not in contrast.candidates:
        why = f"the candidates of {loss.name} are prototypes alone"
    elif contrast.level_means:
        why = f"{loss.name} level by level takes no keys"
    else:
        return
    raise ConfigError(f"training.momentum must be 0: {why}. Got {momentum}.")


def _check_frozen(settings: RunSettings) -> None:
    name, augment = settings.encoder.name, settings.training.augment
    if name in EMBEDDED_ENCODERS:
        raise ConfigError(f'encoder.frozen needs a pretrained encoder. Got "{name}", which learns from scratch.')
    if augment != "none":
        raise ConfigError(
            f"training.augment must be none under encoder.frozen, which sees a picture once. Got {augment}."
        )


def _check_untrained(settings: RunSettings) -> None:
    encoder = settings.encoder
    if encoder.frozen:
        raise ConfigError(
            "encoder.pretrained must be true under encoder.frozen: features of random weights say nothing."
        )
    if encoder.name in set(EMBEDDED_ENCODERS):
        raise ConfigError(
            f'encoder.pretrained=false needs an architecture to start. Got "{encoder.name}", always random.'
        )


def _check_keep(settings: RunSettings) -> None:
    if settings.training.keep == "micro_f1" and settings.loss.name == "lsep":
        raise ConfigError(
            "training.keep must be best or last under lsep, whose scores have no threshold. Got micro_f1."
        )


def _check_folds(settings: RunSettings) -> None:
    if settings.fold is not None and settings.fold >= (settings.folds or 0):
        raise ConfigError(f"fold must be one of {settings.folds or 'no'} folds, counted from 0. Got {settings.fold}.")
    if settings.folds is not None and settings.protocol != "official":
        raise ConfigError(f"folds split all examples again; the protocol {settings.protocol} has splits of its own.")


def _check_extras(settings: RunSettings) -> None:
    extras: list[str] = [*settings.training.loggers]
    extras += ["umap"] if settings.evaluation.map == "umap" else []
    extras += ["kornia"] if settings.training.augment == "randaugment" else []
    for extra in extras:
        if find_spec(extra) is None:
            raise MissingExtraError(f'"{extra}"', extra)
