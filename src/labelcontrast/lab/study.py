"""Studies: a question, losses, a grid, a protocol, a table and figures, declared in TOML; and the trials of the grid.

Our own studies are in ``catalogue/``. A declaration is checked, and its trials are planned, before torch is imported.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from pydantic import Field, ValidationError

from labelcontrast.errors import ConfigError, nearest
from labelcontrast.lab.quantities import QUANTITIES
from labelcontrast.lab.search_space import parse_range
from labelcontrast.metrics.registry import METRICS
from labelcontrast.run.validation import load_plugins, validate_settings
from labelcontrast.settings import (
    LOSSES_ALONE,
    LossSettings,
    RunSettings,
    Scalar,
    Settings,
    StudyLoss,
    flatten,
    has_setting,
    parse_study_losses,
    put,
    read_settings,
    read_value,
)

CATALOGUE = Path(__file__).parent / "catalogue"
DATA, LOSS, CHOICE, SEED, EPOCH = "data", "loss", "choice", "seed", "epoch"
_LISTED = re.compile(r":(?P<name>[\w.]+)=\[(?P<values>[^\]]*)\]")
VARIANT, TRANSFER, QUANTITY = "variant", "transfer_to", "quantity"

GridPoint: TypeAlias = dict[str, Scalar]
"""Values by dimension of the grid; an axis that a loss lacks is left out."""


class TableLayout(Settings):
    """The table; dimensions that are neither rows nor seeds make columns, each with every metric."""

    rows: tuple[str, ...] = (LOSS,)
    """Dimensions (``data``, ``loss``, settings of the grid): a row for each combination."""
    metrics: tuple[str, ...] = Field(min_length=1)
    """The quantities of a cell."""
    within: tuple[str, ...] = ()
    """Dimensions among the rows; the best is marked among rows with the same values of these."""


class FigureLayout(Settings):
    """A figure: a panel for each quantity and each value of the dimensions that are neither x, a line nor a seed."""

    x: str
    """A dimension; ``epoch``, for learning curves; or ``loss``, for a dot per run."""
    y: tuple[str, ...] = Field(min_length=1)
    """The quantities, a panel each."""
    lines: str = LOSS
    """A line for each value of this: ``loss``, ``data``, a setting of the grid; or ``quantity``, all in one panel."""
    scale: Literal["linear", "log"] = "linear"
    """Scale of the x axis."""


class Study(Settings):
    """A declaration; its trials are every loss under every combination of the grid, on all data, with every seed."""

    name: str
    question: str
    """The question that the study answers, in one sentence."""
    source: str = ""
    """The published table or figure that it reproduces."""
    losses: tuple[str, ...] = Field(min_length=1)
    """Each as in ``compare``: a name, with parameters after colons; a dotted parameter is a setting for this loss. Of
    values in brackets, ``reg:alpha=[0, 1]``, the ones with the best mean over seeds on validation are shown."""
    choose_by: str = "micro_f1"
    """The validation metric by which they are chosen."""
    seeds: int = Field(default=3, ge=1)
    """Runs of each combination; seeds count from 0."""
    grid: dict[str, tuple[Scalar, ...]] = Field(default_factory=dict)
    """Values by dotted setting; a loss without a parameter runs once for all its values."""
    idle: dict[str, dict[str, Scalar]] = Field(default_factory=dict)
    """For an axis, the values of other axes under which it has no effect; one trial then stands for all its values."""
    variants: dict[str, dict[str, Scalar]] = Field(default_factory=dict)
    """Named settings, where all combinations would be too many; each overrides the settings of all trials."""
    transfer: bool = False
    """Evaluate every encoder on each data set in turn, and not only on the one that it was trained on."""
    search: dict[str, str] = Field(default_factory=dict)
    """Ranges by dotted setting, as in ``search --range``, for ``search --study``."""
    protocol: dict[str, Scalar] = Field(default_factory=dict)
    """Settings of all trials, by dotted name; the user's settings override them."""
    table: TableLayout
    figures: tuple[FigureLayout, ...] = ()

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions of the grid, in the order of nesting; cells are averages over seeds."""
        asked = {CHOICE: any(map(_LISTED.search, self.losses)), VARIANT: self.variants, TRANSFER: self.transfer}
        first, last = ([name for name in names if asked[name]] for names in ((CHOICE,), (VARIANT, TRANSFER)))
        return (DATA, LOSS, *first, *self.grid, *last)

    @classmethod
    def build(cls, values: dict[str, Any]) -> Self:
        """Validate a declaration.

        Raises:
            ConfigError: The first error, in one line.
        """
        try:
            study = cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            message = f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}. Got {first['input']!r}."
            raise ConfigError(message) from None
        _check_known(study.table.rows, study.dimensions, "table.rows")
        _check_known(study.table.within, study.table.rows, "table.within")
        _check_known(study.table.metrics, QUANTITIES, "table.metrics")
        _check_known([study.choose_by], METRICS, "choose_by")
        _check_known(study.idle, study.grid, "idle")
        for axis, others in study.idle.items():
            _check_known(others, study.grid, f"idle.{axis}")
        for name, ends in study.search.items():
            parse_range(f"{name}={ends}")
        for figure in study.figures:
            _check_known([figure.x], (*study.dimensions, EPOCH), "figures.x")
            _check_known([figure.lines], (*study.dimensions, QUANTITY), "figures.lines")
            known = [one.name for one in QUANTITIES.values() if one.by_epoch or figure.x != EPOCH]
            _check_known(figure.y, known, "figures.y")
        return study

    def is_idle(self, axis: str, values: Mapping[str, Scalar]) -> bool:
        """Return True if an axis changes nothing under these values of other axes."""
        return axis in self.idle and self.idle[axis].items() <= values.items()

    def with_protocol(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return nested settings with the protocol filled in."""
        values: dict[str, Any] = {}
        for name, value in {**LOSSES_ALONE, **self.protocol, **flatten(dict(settings))}.items():
            values = put(values, name, value)
        return values

    def varies(self, assignment: str) -> bool:
        """Return True if ``KEY=VALUE`` is about an axis: of the grid, or a list for a setting that takes none."""
        key, _, text = (part.strip() for part in assignment.partition("="))
        return key in self.grid or (isinstance(value := read_value(text), list) and not _takes(key, value))

    def with_changes(
        self, *, losses: str | None = None, seeds: int | None = None, assignments: Sequence[str] = ()
    ) -> Self:
        """Return the study with other losses, seeds, or values of the grid.

        Args:
            losses: Separated by commas, as in ``compare``.
            seeds: Runs of each combination.
            assignments: ``KEY=VALUE``, one value or a list; a list for another setting is one more axis, with rows of
                its own. Assignments that are not about an axis are ignored.
        """
        grid = dict(self.grid)
        rows = list(self.table.rows)
        for assignment in filter(self.varies, assignments):
            key, _, text = assignment.partition("=")
            value = read_value(text.strip())
            rows += [key.strip()] if key.strip() not in grid else []
            grid[key.strip()] = tuple(value) if isinstance(value, list) else (value,)
        changes = {"losses": losses.split(",") if losses else self.losses, "seeds": seeds or self.seeds, "grid": grid}
        table = {**self.table.model_dump(), "rows": rows}
        protocol = {name: value for name, value in self.protocol.items() if name not in grid}
        return self.build({**self.model_dump(), **changes, "table": table, "protocol": protocol})


@dataclass(frozen=True)
class GridTrial:
    """The settings of a trial, and its point of the grid."""

    settings: RunSettings
    point: GridPoint

    @property
    def title(self) -> str:
        """A one-line name.

        Example:
            >>> GridTrial(RunSettings(data="a"), {"data": "a", "loss": "reg", "loss.alpha": 1, "seed": 0}).title
            'a, reg, alpha 1, seed 0'
        """
        own = (f"{dimension_title(name)} {value}" for name, value in self.point.items() if name not in (DATA, LOSS))
        return ", ".join([str(self.point[DATA]), str(self.point[LOSS]), *own])


def study_catalogue() -> dict[str, Study]:
    """Return the studies of the package, keyed by name."""
    return {path.stem: read_study(path) for path in sorted(CATALOGUE.glob("*.toml"))}


def find_study(name: str) -> Study:
    """Return a study of the catalogue by its name, or read one from a TOML file.

    Raises:
        ConfigError: There is no such study or file, or the declaration is wrong.

    Example:
        >>> find_study("temperature").grid["loss.temperature"]
        (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    """
    if name.endswith(".toml"):
        return read_study(name)
    known = {path.stem: path for path in sorted(CATALOGUE.glob("*.toml"))}
    if name not in known:
        message = f"there is no study {name!r}{nearest(name, known)}. There are: {', '.join(known)}; or a TOML file."
        raise ConfigError(message)
    return read_study(known[name])


def read_study(path: str | Path) -> Study:
    """Read a declaration from a TOML file.

    Raises:
        ConfigError: The file is missing or wrong; the message names it.
    """
    path = Path(path)
    try:
        return Study.build({"name": path.stem, **read_settings(path)})
    except ConfigError as error:
        message = str(error) if str(error).startswith(str(path)) else f"{path}: {error}"
        raise ConfigError(message) from None


def plan_study(study: Study, data: Sequence[str], settings: Mapping[str, Any]) -> list[GridTrial]:
    """Return every trial of a study, seed by seed, so that there is an early table of all cells.

    Args:
        study: The declaration.
        data: Files or folders.
        settings: The user's settings, nested; they override the study's protocol.

    Raises:
        ConfigError: A setting or a parameter of a loss is wrong, or the user sets what the study varies.
    """
    for name in {**study.protocol, **flatten(dict(settings))}:
        if name in (*study.dimensions, SEED) or name.partition(".")[0] == LOSS:
            message = f"{name} varies within the study {study.name}; it cannot be set for all its trials."
            raise ConfigError(message)
    values, paths = study.with_protocol(settings), _name_data(data)
    load_plugins(RunSettings.build({**values, "data": ""}).plugins)
    losses, axes = _parse_losses(study), _list_axes(study, paths)
    planned: dict[tuple[object, ...], GridTrial] = {}
    for seed, name, loss, combination in product(range(study.seeds), paths, losses, list(product(*axes.values()))):
        chosen = {axis: one for axis, one in zip(axes, combination, strict=True) if has_setting(loss.loss, axis)}
        own_values = {axis: one.value for axis, one in chosen.items()}
        chosen = {axis: one for axis, one in chosen.items() if not study.is_idle(axis, own_values)}
        axis_values: GridPoint = {axis: one.value for axis, one in chosen.items()}
        chosen_among = {CHOICE: loss.choice} if CHOICE in study.dimensions else {}
        point: GridPoint = {DATA: name, LOSS: loss.shown, **chosen_among, **axis_values, SEED: seed}
        nested = {**values, "data": paths[name], "seed": seed, "loss": loss.loss.model_dump()}
        for setting, value in chain(loss.settings.items(), *(one.settings.items() for one in chosen.values())):
            nested = put(nested, setting, value)
        planned.setdefault(tuple(point.items()), GridTrial(RunSettings.build(nested), point))
    for trial in planned.values():
        validate_settings(trial.settings)
    return list(planned.values())


def dimension_title(dimension: str) -> str:
    """Return the last part of a setting's name in words.

    Example:
        >>> dimension_title("loss.temperature"), dimension_title("train_fraction")
        ('temperature', 'train fraction')
    """
    return dimension.rpartition(".")[2].replace("_", " ")


@dataclass(frozen=True)
class _AxisValue:
    """A value on an axis, and its settings."""

    value: Scalar
    settings: Mapping[str, Scalar]


@dataclass(frozen=True)
class _Listed:
    """A loss with one of the values of each list, its name without them, and what was taken of them."""

    study_loss: StudyLoss
    shown: str
    choice: str

    @property
    def loss(self) -> LossSettings:
        """The loss."""
        return self.study_loss.loss

    @property
    def settings(self) -> Mapping[str, Scalar]:
        """Settings of the run for this loss."""
        return self.study_loss.settings


def without_lists(losses: Iterable[str]) -> tuple[str, ...]:
    """Return losses without their parameters of several values.

    Example:
        >>> without_lists(["bce", "reg:alpha=[0, 1]:temperature=0.1"])
        ('bce', 'reg:temperature=0.1')
    """
    return tuple(_LISTED.sub("", loss) for loss in losses)


def _parse_losses(study: Study) -> list[_Listed]:
    """Parse the losses of a study, with each value of a list; a dimension of the grid cannot be set for one of them."""
    parse_study_losses(without_lists(study.losses))  # refuses repeats
    losses, listed = [], []
    for entry in study.losses:
        lists = {found["name"]: found["values"].split(",") for found in _LISTED.finditer(entry)}
        (base,), (shown,) = without_lists([entry]), parse_study_losses(without_lists([entry]))
        for values in product(*lists.values()):
            taken = {name: value.strip() for name, value in zip(lists, values, strict=True)}
            (one,) = parse_study_losses([":".join([base, *(f"{name}={value}" for name, value in taken.items())])])
            losses.append(one)
            choice = ", ".join(f"{dimension_title(name)} {value}" for name, value in taken.items())
            listed.append(_Listed(one, shown.title, choice))
    for one in losses:
        for name in one.settings:
            if name in (*study.dimensions, SEED):
                message = f"{name} varies within the study {study.name}; it cannot be set for {one.loss.title} alone."
                raise ConfigError(message)
    return listed


def _list_axes(study: Study, data: Mapping[str, str]) -> dict[str, list[_AxisValue]]:
    """Return the axes beside data, loss and seed: the grid, variants, and the data set of the evaluation."""
    axes = {axis: [_AxisValue(value, {axis: value}) for value in values] for axis, values in study.grid.items()}
    if study.variants:
        axes[VARIANT] = [_AxisValue(name, settings) for name, settings in study.variants.items()]
    if study.transfer:
        axes[TRANSFER] = [_AxisValue(name, {TRANSFER: path}) for name, path in data.items()]
    return axes


def _takes(key: str, value: object) -> bool:
    """Return True if a setting can have a value."""
    try:
        RunSettings.build(put({"data": ""}, key, value))
    except ConfigError:
        return False
    return True


def _name_data(data: Sequence[str]) -> dict[str, str]:
    """Return the paths of the data sets by the name of their file or folder."""
    named: dict[str, str] = {}
    for path in data:
        name = Path(path).name.partition(".")[0] or path
        if name in named:
            message = f'two data sets are named "{name}": {named[name]} and {path}; a study needs other names.'
            raise ConfigError(message)
        named[name] = path
    return named


def _check_known(names: Iterable[str], known: Iterable[str], place: str) -> None:
    among = list(known)
    for name in names:
        if name not in among:
            message = f"{place}: there is no {name!r}{nearest(name, among)}. There are: {', '.join(among)}."
            raise ConfigError(message)
