"""Tables and figures of a study, from the outcomes of its trials and the significance of their differences.

Rows are compared where they were measured on the same test examples: within one column, and within the rows that the
declaration holds together. The test is that of a comparison: paired over seeds and test examples, adjusted over all
pairs of rows by Holm's procedure.
"""

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, TypeGuard

from labelcontrast.lab.figures import Panel, Series
from labelcontrast.lab.plan import Place, short
from labelcontrast.lab.quantities import QUANTITIES, Quantity, measure, measure_epochs
from labelcontrast.lab.significance import Better, Measured, find_best
from labelcontrast.lab.store import Record
from labelcontrast.lab.study import DATA, EPOCH, LOSS, QUANTITY, SEED, TRANSFER, VARIANT, FigureLayout, Study
from labelcontrast.metrics.registry import METRICS
from labelcontrast.reports.tables import NOTHING, Cell, Table
from labelcontrast.settings import Scalar


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


Verdict = dict[str, Any]
"""Of a cell: ``column`` and ``row`` as places, the ``metric``, and what ``find_best`` says of it."""


def judge_rows(study: Study, outcomes: Sequence[Outcome], columns: Sequence[Place]) -> list[Verdict] | None:
    """Compare the rows of a study's table, column by column.

    Args:
        study: the declaration.
        outcomes: of its trials.
        columns: where each column is in the grid.

    Returns:
        A verdict for every row, column and metric that is measured on predictions; None where a finished trial no
        longer has its outputs.
    """
    finished = [one for one in outcomes if one.record is not None and one.error is None]
    if not all(one.outputs and one.outputs.exists() for one in finished):
        return None
    rows = row_places(outcomes, study.table.rows)
    metrics = {name: better for name in study.table.metrics if (better := better_way(name))}
    verdicts = []
    for column in columns:
        for group in held_together(study, rows):
            runs = {title(row): _runs(finished, row | column, metrics) for row in group}
            found = find_best({name: by_seed for name, by_seed in runs.items() if by_seed}, metrics, permute=False)
            for row in group:
                for metric, verdict in found.get(title(row), {}).items():
                    verdicts.append({"column": column, "row": row, "metric": metric, **verdict})
    return verdicts


def held_together(study: Study, rows: Sequence[Place]) -> list[list[Place]]:
    """Divide the rows into those among which the best is looked for: on the same test examples, or as declared."""
    tested_on = TRANSFER if study.transfer else DATA
    apart = [name for name in (tested_on, *study.table.within) if name in study.table.rows]

    def key(row: Place) -> list[str]:
        return [str(row.get(name)) for name in apart]

    return [list(group) for _, group in groupby(sorted(rows, key=key), key=key)]


def title(row: Place) -> str:
    """Name a row.

    Example:
        >>> title({"loss": "reg", "loss.alpha": 1.0})
        'reg, alpha 1.0'
    """
    return ", ".join(str(value) if name in (DATA, LOSS) else f"{short(name)} {value}" for name, value in row.items())


def better_way(quantity: str) -> Better | None:
    """Say which way is better of what is measured on predictions; None of what is not, and is not tested.

    Example:
        >>> better_way("micro_f1"), better_way("violations"), better_way("unseen_leaves_map")
        ('higher', 'lower', None)
    """
    one = QUANTITIES[quantity]
    return one.better if quantity in METRICS or one.path[:2] == ("hierarchy", "test") else None


def _runs(finished: Sequence[Outcome], where: Place, metrics: Iterable[str]) -> dict[int, Measured]:
    """Gather the finished trials of a place by seed, with what is tested of them."""
    here = [(one, one.record, one.outputs) for one in finished if one.at(where)]
    return {
        int(one.place[SEED]): Measured.beside(
            outputs, {name: measure(record, name) for name in metrics}, record["result"].get("fold", 0)
        )
        for one, record, outputs in here
        if outputs and record
    }


DECIMALS = {"%": 2, "": 3, "s": 0, "steps": 2}
"""By unit."""
AXES = {
    "train_fraction": "share of the training examples",
    "label_fraction": "share of the labels",
    "training.epochs": "epochs of training",
    TRANSFER: "read off on",
}
"""What a setting is called at an axis, where its own name would not do."""


def tabulate(study: Study, outcomes: Sequence[Outcome], verdicts: Sequence[Verdict] = ()) -> Table:
    """Tabulate means and deviations over seeds, with the number of finished runs.

    Marked is the best mean of a column, of the rows that are held together, and what by the verdicts is as good.
    """
    rows = row_places(outcomes, study.table.rows)
    columns = list(product(column_places(study, outcomes), study.table.metrics))
    groups = [{rows.index(row) for row in group} for group in held_together(study, rows)]
    good = {_key(one["row"] | one["column"], one["metric"]) for one in verdicts if one["as_good"]}
    cells = []
    for place, name in columns:
        as_good = {number for number, row in enumerate(rows) if _key(row | place, name) in good}
        values = [measured(outcomes, row | place, name) for row in rows]
        cells.append(
            _column(values, QUANTITIES[name], marked=as_good.union(*(_best(values, group, name) for group in groups)))
        )
    heads = [[Cell(str(row.get(name, NOTHING))) for row in rows] for name in study.table.rows]
    runs = [Cell(count_runs(outcomes, row)) for row in rows]
    told = [" ".join([*_told(outcomes, place), QUANTITIES[name].label]) for place, name in columns]
    header = (*(short(name) for name in study.table.rows), *told, "runs")
    return Table(header, tuple(zip(*heads, *cells, runs, strict=True)), texts=len(heads))


def column_places(study: Study, outcomes: Sequence[Outcome]) -> list[Place]:
    """Where the columns of the table are: every combination of what is no row."""
    return _combinations(outcomes, [name for name in study.dimensions if name not in study.table.rows])


def draw_panels(study: Study, outcomes: Sequence[Outcome]) -> list[Panel]:
    """Lay out every figure: a panel for each quantity and each value of what is neither x nor a line."""
    panels = []
    for figure in study.figures:
        apart = [name for name in study.dimensions if name not in (figure.x, figure.lines)]
        together = _by_axis(figure.y) if figure.lines == QUANTITY else [[name] for name in figure.y]
        drawn = [
            _panel(figure, outcomes, place, [QUANTITIES[name] for name in names])
            for names, place in product(together, _combinations(outcomes, apart))
        ]
        kept = [panel for panel in drawn if panel.series]
        panels += _on_one_scale(kept) if figure.lines == QUANTITY else kept
    return panels


def _on_one_scale(panels: Sequence[Panel]) -> list[Panel]:
    """Give panels of the same quantity the same y axis, so that they can be compared; with some room at both ends."""
    values: dict[str, list[float]] = {}
    for panel in panels:
        values.setdefault(panel.y_label, []).extend(
            value for one in panel.series for seeds in one.values for value in seeds
        )
    limits = {}
    for label, found in values.items():
        room = 0.05 * (max(found) - min(found)) or 1.0
        limits[label] = (min(found) - room, max(found) + room)
    return [replace(panel, y_limits=limits[panel.y_label]) for panel in panels]


def _by_axis(names: Sequence[str]) -> list[list[str]]:
    """Put the quantities together that are drawn against one axis."""
    axes = dict.fromkeys(QUANTITIES[name].axis for name in names)
    return [[name for name in names if QUANTITIES[name].axis == axis] for axis in axes]


def _combinations(outcomes: Sequence[Outcome], dimensions: Sequence[str]) -> list[Place]:
    """Every combination of the values of some dimensions."""
    values = [values_of(outcomes, name) for name in dimensions]
    return [dict(zip(dimensions, chosen, strict=True)) for chosen in product(*values)]


def _told(outcomes: Sequence[Outcome], place: Place) -> list[str]:
    """Say of a place what is not the same everywhere."""
    return [_named(name, value) for name, value in place.items() if len(values_of(outcomes, name)) > 1]


def _named(dimension: str, value: Scalar) -> str:
    """Name a value: by itself where it says what it is."""
    if dimension in (DATA, LOSS, VARIANT):
        return str(value)
    return f"{AXES[dimension] if dimension == TRANSFER else short(dimension)} {value}"


def _best(values: Sequence[Sequence[float]], group: set[int], name: str) -> set[int]:
    """The rows of a group whose mean looks best to the digits shown; none where there is no choice."""
    quantity = QUANTITIES[name]
    digits = DECIMALS[quantity.unit]
    means = {row: round(quantity.factor * fmean(values[row]), digits) for row in group if values[row]}
    if quantity.better is None or len(means) < 2:
        return set()
    best = {"higher": max, "lower": min}[quantity.better](means.values())
    return {row for row, mean in means.items() if mean == best}


def _column(values: Sequence[Sequence[float]], quantity: Quantity, *, marked: Container[int]) -> list[Cell]:
    """Mean and deviation of one quantity for each row."""
    digits = DECIMALS[quantity.unit]
    scaled = [[quantity.factor * value for value in row] for row in values]
    texts = [f"{fmean(row):.{digits}f}" if row else NOTHING for row in scaled]
    spreads = [f" ± {stdev(row):.{digits}f}" if len(row) > 1 else "" for row in scaled]
    return [
        Cell(text + spread, best=number in marked)
        for number, (text, spread) in enumerate(zip(texts, spreads, strict=True))
    ]


def _key(place: Place, metric: str) -> tuple[frozenset[tuple[str, Scalar]], str]:
    """Name a cell."""
    return frozenset(place.items()), metric


def _panel(figure: FigureLayout, outcomes: Sequence[Outcome], place: Place, quantities: Sequence[Quantity]) -> Panel:
    """Lay out one figure: a line for each value of what lines are drawn for, or for each quantity."""
    told = _told(outcomes, place)
    if figure.lines == QUANTITY:
        y_label, stem = quantities[0].axis, quantities[0].title
        lines = [(one.part or one.title, place, one) for one in quantities]
    else:
        (quantity,) = quantities
        y_label, stem = quantity.label, quantity.name
        lines = [
            (_named(figure.lines, value), place | {figure.lines: value}, quantity)
            for value in values_of(outcomes, figure.lines)
        ]
    series = [_series(name, figure.x, outcomes, where, quantity) for name, where, quantity in lines]
    return Panel(
        name=re.sub(r"[^\w.-]+", "-", "-".join([stem, "by", short(figure.x), *told])),
        kind="dots" if figure.x == LOSS else "lines",
        title=", ".join(told),
        x_label=AXES.get(figure.x, short(figure.x)),
        y_label=y_label,
        scale=figure.scale,
        series=[one for one in series if one is not None],
    )


def _series(name: str, x: str, outcomes: Sequence[Outcome], where: Place, quantity: Quantity) -> Series | None:
    """Gather one line, or one row of dots; nothing where nothing was measured."""
    here = [one for one in outcomes if one.record is not None and one.at(where)]
    if x == EPOCH:
        courses = [course for one in here if (course := measure_epochs(one.record or {}, quantity.name))]
        points: list[tuple[Scalar, list[float]]] = list(enumerate(map(list, zip(*courses, strict=False)), start=1))
    elif any(x in one.place and x != LOSS for one in here):
        points = [(value, measured(here, {x: value}, quantity.name)) for value in values_of(here, x)]
    else:
        values = measured(here, {}, quantity.name)
        return Series(name=name, values=[[quantity.factor * one for one in values]]) if values else None
    kept = [(at if _is_number(at) else str(at), values) for at, values in points if values]
    if all(_is_number(at) for at, _ in kept):
        kept.sort(key=lambda point: float(point[0]))
    if not kept:
        return None
    return Series(
        name=name,
        x=[at for at, _ in kept],
        values=[[quantity.factor * one for one in values] for _, values in kept],
    )


def _is_number(value: Scalar) -> TypeGuard[float]:
    """Say whether a value has a place on an axis of numbers; true and false have none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
