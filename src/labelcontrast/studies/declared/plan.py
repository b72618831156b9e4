"""From a declaration to its trials: every loss under every combination of the grid, on all data, seed by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path
from typing import Any

from labelcontrast.config.files import put
from labelcontrast.config.sections import Loss, Scalar
from labelcontrast.config.settings import RunSettings
from labelcontrast.contrast.catalogue import check_loss
from labelcontrast.errors import ConfigError
from labelcontrast.run.door import check_door
from labelcontrast.run.folder import flatten
from labelcontrast.studies.declared.study import DATA, LOSS, SEED, TRANSFER, VARIANT, Study
from labelcontrast.studies.engine.identity import encoder_print, fingerprint, identify
from labelcontrast.studies.engine.store import Store
from labelcontrast.studies.engine.trials import Trial
from labelcontrast.studies.grid import parse_losses

Place = dict[str, Scalar]
"""Where a trial stands in the grid: by dimension its value; an axis that its loss does not have is left out."""


@dataclass(frozen=True)
class Planned:
    """A trial, and where it stands in the grid."""

    settings: RunSettings
    place: Place

    @property
    def title(self) -> str:
        """Name it in a line.

        Example:
            >>> Planned(RunSettings(data="a"), {"data": "a", "loss": "reg", "loss.alpha": 1, "seed": 0}).title
            'a, reg, alpha 1, seed 0'
        """
        own = (f"{short(name)} {value}" for name, value in self.place.items() if name not in (DATA, LOSS))
        return ", ".join([str(self.place[DATA]), str(self.place[LOSS]), *own])


@dataclass(frozen=True)
class Choice:
    """One value on an axis of a study, and the settings that it stands for."""

    value: Scalar
    settings: Mapping[str, Scalar]


def plan_study(study: Study, data: Sequence[str], settings: Mapping[str, Any]) -> list[Planned]:
    """Plan every trial, the first seed of all before the second of any, so that a table is there early.

    Args:
        study: the declaration.
        data: files or folders.
        settings: what the user has set, nested; it goes before the protocol of the study.

    Raises:
        ConfigError: when a setting does not exist or a loss does not accept its parameter; and when the user sets what
            the study varies.
    """
    values, named = _under_protocol(study, settings), _named(data)
    losses, axes = parse_losses(",".join(study.losses)), _axes(study, named)
    planned: dict[tuple[object, ...], Planned] = {}
    for seed, name, loss, chosen in product(range(study.seeds), named, losses, list(product(*axes.values()))):
        choices = {axis: choice for axis, choice in zip(axes, chosen, strict=True) if _has(loss, axis)}
        place: Place = {DATA: name, LOSS: loss.title, **{axis: one.value for axis, one in choices.items()}, SEED: seed}
        trial = {**values, "data": named[name], "seed": seed, "loss": loss.model_dump()}
        for setting, value in chain.from_iterable(one.settings.items() for one in choices.values()):
            trial = put(trial, setting, value)
        planned.setdefault(tuple(place.items()), Planned(RunSettings.build(trial), place))
    for one in planned.values():
        check_door(one.settings)
    return list(planned.values())


def name_trials(planned: Sequence[Planned], store: Store) -> list[Trial]:
    """Name every trial by what its result depends on; each run has its folder beside the store's results."""
    places = {path for one in planned for path in (one.settings.data, one.settings.transfer_to) if path}
    data = {path: fingerprint(Path(path)) for path in places}
    encoders = {name: encoder_print(name) for name in {one.settings.encoder.name for one in planned}}
    keys = [
        identify(
            one.settings.model_copy(update={TRANSFER: data.get(one.settings.transfer_to or "")}),
            data=data[one.settings.data],
            encoder=encoders[one.settings.encoder.name],
        )
        for one in planned
    ]
    return [Trial(key, one.title, one.settings, store.folder / key) for key, one in zip(keys, planned, strict=True)]


def short(dimension: str) -> str:
    """Name a setting by its last part.

    Example:
        >>> short("loss.temperature"), short("data")
        ('temperature', 'data')
    """
    return dimension.rpartition(".")[2].replace("_", " ")


def _axes(study: Study, data: Mapping[str, str]) -> dict[str, list[Choice]]:
    """List what trials of one data set, loss and seed differ in: the grid, variants, and on what they are read off."""
    axes = {axis: [Choice(value, {axis: value}) for value in values] for axis, values in study.grid.items()}
    if study.variants:
        axes[VARIANT] = [Choice(name, settings) for name, settings in study.variants.items()]
    if study.transfer:
        axes[TRANSFER] = [Choice(name, {TRANSFER: path}) for name, path in data.items()]
    return axes


def _under_protocol(study: Study, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Put what the user has set over the protocol of the study."""
    values: dict[str, Any] = {}
    for name, value in {**study.protocol, **flatten(dict(settings))}.items():
        if name in (*study.dimensions, SEED) or name.partition(".")[0] == LOSS:
            message = f"{name} varies within the study {study.name}; it cannot be set for all its trials."
            raise ConfigError(message)
        values = put(values, name, value)
    return values


def _named(data: Sequence[str]) -> dict[str, str]:
    """Name each data set by its file or folder."""
    named: dict[str, str] = {}
    for path in data:
        name = Path(path).name.partition(".")[0] or path
        if name in named:
            message = f'two data sets are named "{name}": {named[name]} and {path}; a study needs other names.'
            raise ConfigError(message)
        named[name] = path
    return named


def _has(loss: Loss, axis: str) -> bool:
    """Say whether a loss has what an axis varies; every loss has what is no parameter of a loss."""
    section, _, parameter = axis.partition(".")
    return section != LOSS or parameter in check_loss(loss.name, loss.parameters)
