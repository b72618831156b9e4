"""What a study is: a TOML file of a question, losses, a grid, a protocol, a table and figures; ours in catalogue/."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError

from labelcontrast.errors import ConfigError, nearest
from labelcontrast.lab.quantities import QUANTITIES
from labelcontrast.lab.search_space import parse_range
from labelcontrast.settings import Scalar, Settings, flatten, put, read_settings, read_value

CATALOGUE = Path(__file__).parent / "catalogue"
DATA, LOSS, SEED, EPOCH = "data", "loss", "seed", "epoch"
VARIANT, TRANSFER, QUANTITY = "variant", "transfer_to", "quantity"


class TableLayout(Settings):
    """What the table shows; what is neither a row nor a seed makes columns, each with every metric."""

    rows: tuple[str, ...] = (LOSS,)
    """Of ``data``, ``loss`` and the grid's settings: a row for each combination."""
    metrics: tuple[str, ...] = Field(min_length=1)
    """The quantities of a cell."""
    within: tuple[str, ...] = ()
    """Of the rows' dimensions: the best is looked for among rows that have the same value of these."""


class FigureLayout(Settings):
    """What a figure shows: a panel for each quantity and for each value of what is neither x, a line nor a seed."""

    x: str
    """A dimension; ``epoch``, for the course of training; or ``loss``, for a dot a run."""
    y: tuple[str, ...] = Field(min_length=1)
    """The quantities, a panel each."""
    lines: str = LOSS
    """What a line is drawn for: ``loss``, ``data``, a setting of the grid; or ``quantity``, all in one panel."""
    scale: Literal["linear", "log"] = "linear"
    """Of the x axis."""


class Study(Settings):
    """A declaration; trials are every loss under every combination of the grid, on all data, with every seed."""

    name: str
    """What it is called by."""
    question: str
    """What it answers, in one sentence."""
    source: str = ""
    """The published table or figure that it repeats."""
    losses: tuple[str, ...] = Field(min_length=1)
    """Each as in ``compare``: a name with parameters behind colons; and among them, with a dot, settings of its own."""
    seeds: int = Field(default=3, ge=1)
    """Runs of each combination; the seeds count from 0."""
    grid: dict[str, tuple[Scalar, ...]] = Field(default_factory=dict)
    """Values by dotted setting; a loss without a parameter runs once for all its values."""
    idle: dict[str, dict[str, Scalar]] = Field(default_factory=dict)
    """By axis of the grid, values of others under which it changes nothing: one trial stands for all its values."""
    variants: dict[str, dict[str, Scalar]] = Field(default_factory=dict)
    """Named settings, where all combinations would be too many; each goes before what is set for all trials."""
    transfer: bool = False
    """Read every encoder off on each data set in turn, and not on the one alone that it was trained on."""
    search: dict[str, str] = Field(default_factory=dict)
    """Ranges by dotted setting, as in ``search --range``: where ``search --study`` looks for the best values."""
    protocol: dict[str, Scalar] = Field(default_factory=dict)
    """Settings of all trials, by dotted name; what the user sets goes before them."""
    table: TableLayout
    figures: tuple[FigureLayout, ...] = ()

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What tells one cell from another, in the order of nesting; seeds are what cells are averaged over."""
        return (DATA, LOSS, *self.grid, *([VARIANT] if self.variants else []), *([TRANSFER] if self.transfer else []))

    @classmethod
    def build(cls, values: dict[str, Any]) -> Self:
        """Check a declaration.

        Raises:
            ConfigError: the first thing that is wrong, in one line.
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
        _check_known(study.idle, study.grid, "idle")
        for axis, under in study.idle.items():
            _check_known(under, study.grid, f"idle.{axis}")
        for name, ends in study.search.items():
            parse_range(f"{name}={ends}")
        for figure in study.figures:
            _check_known([figure.x], (*study.dimensions, EPOCH), "figures.x")
            _check_known([figure.lines], (*study.dimensions, QUANTITY), "figures.lines")
            known = [one.name for one in QUANTITIES.values() if one.by_epoch or figure.x != EPOCH]
            _check_known(figure.y, known, "figures.y")
        return study

    def is_idle(self, axis: str, values: Mapping[str, Scalar]) -> bool:
        """Say whether an axis changes nothing under values of the grid."""
        return axis in self.idle and self.idle[axis].items() <= values.items()

    def under_protocol(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Put settings, nested, over the protocol."""
        values: dict[str, Any] = {}
        for name, value in {**self.protocol, **flatten(dict(settings))}.items():
            values = put(values, name, value)
        return values

    def varies(self, assignment: str) -> bool:
        """Say whether ``KEY=VALUE`` is about a setting of the grid."""
        return assignment.partition("=")[0].strip() in self.grid

    def narrowed(self, *, losses: str | None = None, seeds: int | None = None, assignments: Sequence[str] = ()) -> Self:
        """Take other losses, seeds, or values of the grid.

        Args:
            losses: separated by commas, as in ``compare``.
            seeds: runs of each combination.
            assignments: ``KEY=VALUE``, the value one or a list; those that are not about the grid are not looked at.
        """
        grid = dict(self.grid)
        for assignment in filter(self.varies, assignments):
            key, _, text = assignment.partition("=")
            value = read_value(text.strip())
            grid[key.strip()] = tuple(value) if isinstance(value, list) else (value,)
        asked = {"losses": losses.split(",") if losses else self.losses, "seeds": seeds or self.seeds, "grid": grid}
        return self.build({**self.model_dump(), **asked})


def catalogue() -> dict[str, Study]:
    """Read the studies that come with the package, by name."""
    return {path.stem: read_study(path) for path in sorted(CATALOGUE.glob("*.toml"))}


def find_study(name: str) -> Study:
    """Find a study by its name, or read one from a TOML file.

    Raises:
        ConfigError: there is no such study or file, or the file is no declaration.

    Example:
        >>> find_study("temperature").grid["loss.temperature"]
        (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    """
    if name.endswith(".toml"):
        return read_study(Path(name))
    known = {path.stem: path for path in sorted(CATALOGUE.glob("*.toml"))}
    if name not in known:
        message = f"there is no study {name!r}{nearest(name, known)}. There are: {', '.join(known)}; or a TOML file."
        raise ConfigError(message)
    return read_study(known[name])


def read_study(path: Path) -> Study:
    """Read a declaration.

    Raises:
        ConfigError: when the file is missing, is not TOML, or is no declaration; it names the file.
    """
    try:
        return Study.build({"name": path.stem, **read_settings(path)})
    except ConfigError as error:
        message = str(error) if str(error).startswith(str(path)) else f"{path}: {error}"
        raise ConfigError(message) from None


def _check_known(names: Iterable[str], known: Iterable[str], place: str) -> None:
    """Refuse a name that means nothing here."""
    among = list(known)
    for name in names:
        if name not in among:
            message = f"{place}: there is no {name!r}{nearest(name, among)}. There are: {', '.join(among)}."
            raise ConfigError(message)
