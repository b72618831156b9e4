"""The table and the figures of a study, from the outcomes of its trials.

Rows are compared where they were measured on the same test examples: within one column, and within the groups of rows
that the declaration asks for. The test is that of a comparison: paired over seeds and test examples, adjusted over all
pairs of rows by Holm's procedure.
"""

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, TypeAlias, TypeGuard

from labelcontrast.lab.quantities import QUANTITIES, Quantity, read_epochs, read_quantity
from labelcontrast.lab.significance import Better, EvaluatedRun, compare_with_best
from labelcontrast.lab.study import (
    CHOICE,
    DATA,
    EPOCH,
    LOSS,
    QUANTITY,
    SEED,
    TRANSFER,
    VARIANT,
    FigureLayout,
    GridPoint,
    Study,
    dimension_title,
    without_lists,
)
from labelcontrast.lab.trial_pages import Panel, Series
from labelcontrast.lab.trials import Record
from labelcontrast.metrics.registry import METRICS
from labelcontrast.reports.tables import NOTHING, Cell, Table
from labelcontrast.settings import Scalar

DECIMALS = {"%": 2, "": 3, "s": 0, "steps": 2}
"""Decimals of a quantity, keyed by unit."""
AXIS_TITLES = {
    "train_fraction": "share of the training examples",
    "label_fraction": "share of the labels",
    "training.epochs": "epochs of training",
    TRANSFER: "evaluated on",
}
"""Axis labels of settings whose names are unclear."""

Verdict: TypeAlias = dict[str, Any]
"""Test of a cell: ``column`` and ``row`` as points of the grid, ``metric``, and the result of ``compare_with_best``."""


@dataclass(frozen=True)
class Outcome:
    """A point of the grid and the record of its trial."""

    point: GridPoint
    record: Record | None
    """None as long as the trial has not ended."""
    outputs: Path | None = None
    """The file of its predictions on the test split."""

    @property
    def error(self) -> str | None:
        """The error of a trial that failed."""
        return None if self.record is None else self.record.get("error")

    def matches(self, point: GridPoint) -> bool:
        """Return True if the trial belongs to a part of the grid; a loss without an axis belongs to all its values.

        Example:
            >>> outcome = Outcome({"loss": "bce", "seed": 0}, None)
            >>> outcome.matches({"loss": "bce", "loss.temperature": 0.1}), outcome.matches({"loss": "reg"})
            (True, False)
        """
        return all(self.point.get(name, value) == value for name, value in point.items())


def study_table(study: Study, outcomes: Sequence[Outcome], verdicts: Sequence[Verdict] = ()) -> Table:
    """Tabulate means and standard deviations over seeds, with the number of finished runs.

    Marked are the best mean of a column within each group of comparable rows, and what is as good by the verdicts.
    """
    rows = row_points(outcomes, study.table.rows)
    columns = list(product(column_points(study, outcomes), study.table.metrics))
    groups = [{rows.index(row) for row in group} for group in comparable_rows(study, rows)]
    good = {_cell_key(one["row"] | one["column"], one["metric"]) for one in verdicts if one["as_good"]}
    cells = []
    for column, name in columns:
        values = [values_at(outcomes, row | column, name) for row in rows]
        as_good = {number for number, row in enumerate(rows) if _cell_key(row | column, name) in good}
        marked = as_good.union(*(_find_best_means(values, group, name) for group in groups))
        cells.append(_column(values, QUANTITIES[name], marked=marked))
    heads = [[Cell(str(row.get(name, NOTHING))) for row in rows] for name in study.table.rows]
    runs = [Cell(count_runs(outcomes, row)) for row in rows]
    titles = [" ".join([*_distinguish(outcomes, column), QUANTITIES[name].label]) for column, name in columns]
    header = (*(dimension_title(name) for name in study.table.rows), *titles, "runs")
    return Table(header, tuple(zip(*heads, *cells, runs, strict=True)), texts=len(heads))


def choose_configurations(study: Study, outcomes: Sequence[Outcome]) -> tuple[Study, list[Outcome], dict[str, Scalar]]:
    """Keep of each loss the configuration with the best mean over seeds of a validation metric; the first among equals.

    Returns:
        The study and the outcomes without the others, and the choices by what they were made for.
    """
    if CHOICE not in study.dimensions:
        return study, list(outcomes), {}
    sign = 1 if METRICS[study.choose_by].better == "higher" else -1
    measured: dict[tuple[tuple[str, Scalar], ...], dict[Scalar, list[float]]] = {}
    for one in outcomes:
        if one.record and "result" in one.record:
            value = one.record["result"]["metrics"]["val"][study.choose_by]
            among = measured.setdefault(_without(one.point, SEED, CHOICE), {})
            among.setdefault(one.point[CHOICE], []).append(sign * value)
    best = {place: max(among, key=lambda choice: fmean(among[choice])) for place, among in measured.items()}
    kept = [
        replace(one, point={name: value for name, value in one.point.items() if name != CHOICE})
        for one in outcomes
        if best.get(_without(one.point, SEED, CHOICE), one.point[CHOICE]) == one.point[CHOICE]
    ]
    choices = {", ".join(str(value) for _, value in place): choice for place, choice in best.items() if choice}
    return study.model_copy(update={"losses": without_lists(study.losses)}), kept, choices


def compare_rows(study: Study, outcomes: Sequence[Outcome], columns: Sequence[GridPoint]) -> list[Verdict] | None:
    """Test the differences between the rows of a study's table, column by column.

    Args:
        study: The declaration.
        outcomes: Of its trials.
        columns: Points of the grid, one for each column.

    Returns:
        A verdict for every row, column and metric of predictions; None if a finished trial lacks its outputs.
    """
    finished = [one for one in outcomes if one.record is not None and one.error is None]
    if not all(one.outputs and one.outputs.exists() for one in finished):
        return None
    rows = row_points(outcomes, study.table.rows)
    metrics = {name: better for name in study.table.metrics if (better := better_direction(name))}
    verdicts = []
    for column in columns:
        for group in comparable_rows(study, rows):
            runs = {row_title(row): _tested_runs(finished, row | column, metrics) for row in group}
            found = compare_with_best(
                {name: by_seed for name, by_seed in runs.items() if by_seed}, metrics, permute=False
            )
            for row in group:
                for metric, verdict in found.get(row_title(row), {}).items():
                    verdicts.append({"column": column, "row": row, "metric": metric, **verdict})
    return verdicts


def study_panels(study: Study, outcomes: Sequence[Outcome]) -> list[Panel]:
    """Return the panels of every figure: one for each quantity and each value of what is neither x nor a line."""
    panels = []
    for figure in study.figures:
        others = [name for name in study.dimensions if name not in (figure.x, figure.lines)]
        together = _group_by_axis(figure.y) if figure.lines == QUANTITY else [[name] for name in figure.y]
        drawn = [
            _panel(figure, outcomes, point, [QUANTITIES[name] for name in names])
            for names, point in product(together, _combinations(outcomes, others))
        ]
        drawn = [panel for panel in drawn if panel.series]
        panels += _share_limits(drawn) if figure.lines == QUANTITY else drawn
    return panels


def grid_values(outcomes: Sequence[Outcome], dimension: str) -> list[Scalar]:
    """Return the values of a dimension in the order of the grid."""
    return list(dict.fromkeys(one.point[dimension] for one in outcomes if dimension in one.point))


def values_at(outcomes: Sequence[Outcome], point: GridPoint, quantity: str) -> list[float]:
    """Return a quantity of every finished trial of a part of the grid, one value per seed."""
    found = (read_quantity(one.record, quantity) for one in outcomes if one.record is not None and one.matches(point))
    return [value for value in found if value is not None]


def row_points(outcomes: Sequence[Outcome], dimensions: Sequence[str]) -> list[GridPoint]:
    """Return the combinations of some dimensions that occur, sorted in the order of the grid.

    A loss without an axis has one row for all its values.
    """
    found: dict[tuple[object, ...], GridPoint] = {}
    for one in outcomes:
        point = {name: one.point[name] for name in dimensions if name in one.point}
        found.setdefault(tuple(point.items()), point)
    order = {name: grid_values(outcomes, name) for name in dimensions}
    return sorted(
        found.values(), key=lambda row: [order[name].index(row[name]) if name in row else -1 for name in dimensions]
    )


def column_points(study: Study, outcomes: Sequence[Outcome]) -> list[GridPoint]:
    """Return every combination of the dimensions that are not rows."""
    return _combinations(outcomes, [name for name in study.dimensions if name not in study.table.rows])


def comparable_rows(study: Study, rows: Sequence[GridPoint]) -> list[list[GridPoint]]:
    """Group the rows that are compared with one another: those on the same test examples, and as declared."""
    tested_on = TRANSFER if study.transfer else DATA
    by = [name for name in (tested_on, *study.table.within) if name in study.table.rows]

    def key(row: GridPoint) -> list[str]:
        return [str(row.get(name)) for name in by]

    return [list(group) for _, group in groupby(sorted(rows, key=key), key=key)]


def count_runs(outcomes: Sequence[Outcome], point: GridPoint) -> str:
    """Count the finished trials of a part of the grid, with the total where some failed or have not ended.

    Example:
        >>> outcomes = [Outcome({"loss": "bce", "seed": 0}, {"result": {}}), Outcome({"loss": "bce", "seed": 1}, None)]
        >>> count_runs(outcomes, {"loss": "bce"})
        '1 of 2'
    """
    here = [one for one in outcomes if one.matches(point)]
    finished = sum(one.record is not None and one.error is None for one in here)
    return str(finished) if finished == len(here) else f"{finished} of {len(here)}"


def row_title(row: GridPoint) -> str:
    """Return the name of a row.

    Example:
        >>> row_title({"loss": "reg", "loss.alpha": 1.0})
        'reg, alpha 1.0'
    """
    return ", ".join(
        str(value) if name in (DATA, LOSS) else f"{dimension_title(name)} {value}" for name, value in row.items()
    )


def better_direction(quantity: str) -> Better | None:
    """Return which direction of a metric of predictions is better; None for other quantities, which are not tested.

    Example:
        >>> better_direction("micro_f1"), better_direction("violations"), better_direction("unseen_leaves_map")
        ('higher', 'lower', None)
    """
    one = QUANTITIES[quantity]
    return one.better if quantity in METRICS or one.path[:2] == ("hierarchy", "test") else None


def _tested_runs(finished: Sequence[Outcome], point: GridPoint, metrics: Iterable[str]) -> dict[int, EvaluatedRun]:
    """Return the finished trials of a part of the grid by seed, with the metrics that are tested."""
    here = [(one, one.record, one.outputs) for one in finished if one.matches(point)]
    return {
        int(one.point[SEED]): EvaluatedRun.beside(
            outputs, {name: read_quantity(record, name) for name in metrics}, record["result"].get("fold", 0)
        )
        for one, record, outputs in here
        if outputs and record
    }


def _find_best_means(values: Sequence[Sequence[float]], group: set[int], name: str) -> set[int]:
    """Return the rows of a group whose rounded mean is best; none if fewer than two have a mean."""
    quantity = QUANTITIES[name]
    digits = DECIMALS[quantity.unit]
    means = {row: round(quantity.factor * fmean(values[row]), digits) for row in group if values[row]}
    if quantity.better is None or len(means) < 2:
        return set()
    best = {"higher": max, "lower": min}[quantity.better](means.values())
    return {row for row, mean in means.items() if mean == best}


def _column(values: Sequence[Sequence[float]], quantity: Quantity, *, marked: Container[int]) -> list[Cell]:
    """Write mean and standard deviation of one quantity for each row."""
    digits = DECIMALS[quantity.unit]
    scaled = [[quantity.factor * value for value in row] for row in values]
    texts = [f"{fmean(row):.{digits}f}" if row else NOTHING for row in scaled]
    spreads = [f" ± {stdev(row):.{digits}f}" if len(row) > 1 else "" for row in scaled]
    return [
        Cell(text + spread, best=number in marked)
        for number, (text, spread) in enumerate(zip(texts, spreads, strict=True))
    ]


def _without(point: GridPoint, *names: str) -> tuple[tuple[str, Scalar], ...]:
    return tuple((name, value) for name, value in point.items() if name not in names)


def _cell_key(point: GridPoint, metric: str) -> tuple[frozenset[tuple[str, Scalar]], str]:
    return frozenset(point.items()), metric


def _combinations(outcomes: Sequence[Outcome], dimensions: Sequence[str]) -> list[GridPoint]:
    values = [grid_values(outcomes, name) for name in dimensions]
    return [dict(zip(dimensions, chosen, strict=True)) for chosen in product(*values)]


def _distinguish(outcomes: Sequence[Outcome], point: GridPoint) -> list[str]:
    """Name the values of a point in the dimensions that have several."""
    return [_name_value(name, value) for name, value in point.items() if len(grid_values(outcomes, name)) > 1]


def _name_value(dimension: str, value: Scalar) -> str:
    if dimension in (DATA, LOSS, VARIANT):
        return str(value)
    return f"{AXIS_TITLES[dimension] if dimension == TRANSFER else dimension_title(dimension)} {value}"


def _group_by_axis(names: Sequence[str]) -> list[list[str]]:
    """Group the quantities that share an axis."""
    axes = dict.fromkeys(QUANTITIES[name].axis for name in names)
    return [[name for name in names if QUANTITIES[name].axis == axis] for axis in axes]


def _share_limits(panels: Sequence[Panel]) -> list[Panel]:
    """Give panels of the same quantity the same y axis, with a margin at both ends."""
    values: dict[str, list[float]] = {}
    for panel in panels:
        values.setdefault(panel.y_label, []).extend(
            value for one in panel.series for seeds in one.values for value in seeds
        )
    limits = {}
    for label, found in values.items():
        margin = 0.05 * (max(found) - min(found)) or 1.0
        limits[label] = (min(found) - margin, max(found) + margin)
    return [replace(panel, y_limits=limits[panel.y_label]) for panel in panels]


def _panel(
    figure: FigureLayout, outcomes: Sequence[Outcome], point: GridPoint, quantities: Sequence[Quantity]
) -> Panel:
    """Return one panel, with a line for each value of the lines' dimension or for each quantity."""
    parts = _distinguish(outcomes, point)
    if figure.lines == QUANTITY:
        y_label, stem = quantities[0].axis, quantities[0].title
        lines = [(one.part or one.title, point, one) for one in quantities]
    else:
        (quantity,) = quantities
        y_label, stem = quantity.label, quantity.name
        lines = [
            (_name_value(figure.lines, value), point | {figure.lines: value}, quantity)
            for value in grid_values(outcomes, figure.lines)
        ]
    series = [_series(name, figure.x, outcomes, line_point, quantity) for name, line_point, quantity in lines]
    return Panel(
        name=re.sub(r"[^\w.-]+", "-", "-".join([stem, "by", dimension_title(figure.x), *parts])),
        kind="dots" if figure.x == LOSS else "lines",
        title=", ".join(parts),
        x_label=AXIS_TITLES.get(figure.x, dimension_title(figure.x)),
        y_label=y_label,
        scale=figure.scale,
        series=[one for one in series if one is not None],
    )


def _series(name: str, x: str, outcomes: Sequence[Outcome], point: GridPoint, quantity: Quantity) -> Series | None:
    """Return one line, or one row of dots; None if nothing was measured."""
    here = [one for one in outcomes if one.record is not None and one.matches(point)]
    if x == EPOCH:
        curves = [curve for one in here if (curve := read_epochs(one.record or {}, quantity.name))]
        points: list[tuple[Scalar, list[float]]] = list(enumerate(map(list, zip(*curves, strict=False)), start=1))
    elif any(x in one.point and x != LOSS for one in here):
        points = [(value, values_at(here, {x: value}, quantity.name)) for value in grid_values(here, x)]
    else:
        values = values_at(here, {}, quantity.name)
        return Series(name=name, values=[[quantity.factor * one for one in values]]) if values else None
    numeric = [(at if _is_number(at) else str(at), values) for at, values in points if values]
    if all(_is_number(at) for at, _ in numeric):
        numeric.sort(key=lambda pair: float(pair[0]))
    if not numeric:
        return None
    return Series(
        name=name,
        x=[at for at, _ in numeric],
        values=[[quantity.factor * one for one in values] for _, values in numeric],
    )


def _is_number(value: Scalar) -> TypeGuard[float]:
    """Return True for numbers; booleans have no place on a numeric axis."""
    return isinstance(value, int | float) and not isinstance(value, bool)
