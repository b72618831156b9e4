"""From a declaration to its trials: every loss under every combination of the grid, on all data, seed by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path
from typing import Any

from labelcontrast.errors import ConfigError
from labelcontrast.lab.study import DATA, LOSS, SEED, TRANSFER, VARIANT, Study
from labelcontrast.run.validation import validate_settings
from labelcontrast.settings import RunSettings, Scalar, StudyLoss, flatten, has_setting, parse_study_losses, put

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
    _refuse_varied(study, settings)
    values, named = study.under_protocol(settings), _named(data)
    contenders, axes = _contenders(study), _axes(study, named)
    planned: dict[tuple[object, ...], Planned] = {}
    for seed, name, own, chosen in product(range(study.seeds), named, contenders, list(product(*axes.values()))):
        choices = {axis: choice for axis, choice in zip(axes, chosen, strict=True) if has_setting(own.loss, axis)}
        values_here = {axis: choice.value for axis, choice in choices.items()}
        choices = {axis: choice for axis, choice in choices.items() if not study.is_idle(axis, values_here)}
        varied: Place = {axis: choice.value for axis, choice in choices.items()}
        place: Place = {DATA: name, LOSS: own.title, **varied, SEED: seed}
        trial = {**values, "data": named[name], "seed": seed, "loss": own.loss.model_dump()}
        for setting, value in chain(own.settings.items(), *(choice.settings.items() for choice in choices.values())):
            trial = put(trial, setting, value)
        planned.setdefault(tuple(place.items()), Planned(RunSettings.build(trial), place))
    for one in planned.values():
        validate_settings(one.settings)
    return list(planned.values())


def short(dimension: str) -> str:
    """Name a setting by its last part.

    Example:
        >>> short("loss.temperature"), short("data")
        ('temperature', 'data')
    """
    return dimension.rpartition(".")[2].replace("_", " ")


def _contenders(study: Study) -> list[StudyLoss]:
    """Read the losses of a study; what is varied for all cannot be set for one."""
    contenders = parse_study_losses(study.losses)
    for one in contenders:
        for name in one.settings:
            if name in (*study.dimensions, SEED):
                message = f"{name} varies within the study {study.name}; it cannot be set for {one.loss.title} alone."
                raise ConfigError(message)
    return contenders


def _axes(study: Study, data: Mapping[str, str]) -> dict[str, list[Choice]]:
    """List what trials of one data set, loss and seed differ in: the grid, variants, and on what they are read off."""
    axes = {axis: [Choice(value, {axis: value}) for value in values] for axis, values in study.grid.items()}
    if study.variants:
        axes[VARIANT] = [Choice(name, settings) for name, settings in study.variants.items()]
    if study.transfer:
        axes[TRANSFER] = [Choice(name, {TRANSFER: path}) for name, path in data.items()]
    return axes


def _refuse_varied(study: Study, settings: Mapping[str, Any]) -> None:
    """Refuse to set for all trials what varies within the study."""
    for name in {**study.protocol, **flatten(dict(settings))}:
        if name in (*study.dimensions, SEED) or name.partition(".")[0] == LOSS:
            message = f"{name} varies within the study {study.name}; it cannot be set for all its trials."
            raise ConfigError(message)


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
