"""What became of a study's trials, and which of them a cell or a point is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labelcontrast.config.sections import Scalar
from labelcontrast.studies.declared.plan import Place
from labelcontrast.studies.declared.quantities import measure
from labelcontrast.studies.engine.store import Record


@dataclass(frozen=True)
class Outcome:
    """A trial's place in the grid, and its record; none where it has not ended."""

    place: Place
    record: Record | None
    outputs: Path | None = None
    """The file of what its model said of every test example, where that is kept."""

    @property
    def error(self) -> str | None:
        """The one line of a trial that failed."""
        return None if self.record is None else self.record.get("error")

    def at(self, where: Place) -> bool:
        """Say whether the trial belongs there; a loss that does not have what an axis varies belongs to all of it.

        Example:
            >>> outcome = Outcome({"loss": "bce", "seed": 0}, None)
            >>> outcome.at({"loss": "bce", "loss.temperature": 0.1}), outcome.at({"loss": "reg"})
            (True, False)
        """
        return all(self.place.get(name, value) == value for name, value in where.items())


def values_of(outcomes: Sequence[Outcome], dimension: str) -> list[Scalar]:
    """List what a dimension takes, in the order of the grid."""
    return list(dict.fromkeys(one.place[dimension] for one in outcomes if dimension in one.place))


def measured(outcomes: Sequence[Outcome], where: Place, quantity: str) -> list[float]:
    """Measure a quantity on every finished trial of a place, a value a seed."""
    found = (measure(one.record, quantity) for one in outcomes if one.record is not None and one.at(where))
    return [value for value in found if value is not None]


def row_places(outcomes: Sequence[Outcome], dimensions: Sequence[str]) -> list[Place]:
    """List the combinations that occur of some dimensions, sorted by the first, then the second, as the grid has them.

    A loss without an axis has one row for all of it.
    """
    found: dict[tuple[object, ...], Place] = {}
    for one in outcomes:
        place = {name: one.place[name] for name in dimensions if name in one.place}
        found.setdefault(tuple(place.items()), place)
    known = {name: values_of(outcomes, name) for name in dimensions}
    return sorted(
        found.values(), key=lambda row: [known[name].index(row[name]) if name in row else -1 for name in dimensions]
    )


def count_runs(outcomes: Sequence[Outcome], where: Place) -> str:
    """Count the finished trials of a place, and of how many, where some failed or have not ended.

    Example:
        >>> outcomes = [Outcome({"loss": "bce", "seed": 0}, {"result": {}}), Outcome({"loss": "bce", "seed": 1}, None)]
        >>> count_runs(outcomes, {"loss": "bce"})
        '1 of 2'
    """
    here = [one for one in outcomes if one.at(where)]
    finished = sum(one.record is not None and one.error is None for one in here)
    return str(finished) if finished == len(here) else f"{finished} of {len(here)}"
