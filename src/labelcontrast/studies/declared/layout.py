"""From outcomes to what is drawn: the cells of the table, the lines and dots of the figures."""

import re
from collections.abc import Sequence
from itertools import product
from statistics import fmean, stdev
from typing import TypeGuard

from labelcontrast.config.sections import Scalar
from labelcontrast.reports.studies.summary import Panel, Series
from labelcontrast.reports.tables import NOTHING, Cell, Table
from labelcontrast.studies.declared.outcomes import Outcome, count_runs, measured, row_places, values_of
from labelcontrast.studies.declared.plan import Place, short
from labelcontrast.studies.declared.quantities import QUANTITIES, Quantity, measure_epochs
from labelcontrast.studies.declared.study import DATA, EPOCH, LOSS, FigureLayout, Study

DECIMALS = {"%": 2, "": 3, "s": 0, "steps": 2}
"""By unit."""


def tabulate(study: Study, outcomes: Sequence[Outcome]) -> Table:
    """Tabulate means and deviations over seeds, the best of each column marked, with the number of finished runs."""
    rows = row_places(outcomes, study.table.rows)
    across = [name for name in study.dimensions if name not in study.table.rows]
    columns = list(product(_combinations(outcomes, across), study.table.metrics))
    cells = [_column([measured(outcomes, row | place, name) for row in rows], name) for place, name in columns]
    heads = [[Cell(str(row.get(name, NOTHING))) for row in rows] for name in study.table.rows]
    runs = [Cell(count_runs(outcomes, row)) for row in rows]
    told = [" ".join([*_told(outcomes, place), QUANTITIES[name].label]) for place, name in columns]
    header = (*(short(name) for name in study.table.rows), *told, "runs")
    return Table(header, tuple(zip(*heads, *cells, runs, strict=True)))


def draw_panels(study: Study, outcomes: Sequence[Outcome]) -> list[Panel]:
    """Lay out every figure: a panel for each quantity and each value of what is neither x nor a line."""
    panels = []
    for figure in study.figures:
        apart = [name for name in study.dimensions if name not in (figure.x, figure.lines)]
        for place, name in product(_combinations(outcomes, apart), figure.y):
            panel = _panel(figure, outcomes, place, QUANTITIES[name])
            if panel.series:
                panels.append(panel)
    return panels


def _combinations(outcomes: Sequence[Outcome], dimensions: Sequence[str]) -> list[Place]:
    """Every combination of the values of some dimensions."""
    values = [values_of(outcomes, name) for name in dimensions]
    return [dict(zip(dimensions, chosen, strict=True)) for chosen in product(*values)]


def _told(outcomes: Sequence[Outcome], place: Place) -> list[str]:
    """Say of a place what is not the same everywhere."""
    return [
        str(value) if name in (DATA, LOSS) else f"{short(name)} {value}"
        for name, value in place.items()
        if len(values_of(outcomes, name)) > 1
    ]


def _column(values: Sequence[Sequence[float]], name: str) -> list[Cell]:
    """Mean and deviation of one quantity for each row, the best mean marked where there is a choice."""
    quantity = QUANTITIES[name]
    digits = DECIMALS[quantity.unit]
    scaled = [[quantity.factor * value for value in row] for row in values]
    means = [round(fmean(row), digits) if row else None for row in scaled]
    known = [mean for mean in means if mean is not None]
    best = {"higher": max, "lower": min}[quantity.better](known) if quantity.better and len(known) > 1 else None
    texts = [f"{fmean(row):.{digits}f}" if row else NOTHING for row in scaled]
    spreads = [f" ± {stdev(row):.{digits}f}" if len(row) > 1 else "" for row in scaled]
    return [
        Cell(text + spread, best=mean is not None and mean == best)
        for text, spread, mean in zip(texts, spreads, means, strict=True)
    ]


def _panel(figure: FigureLayout, outcomes: Sequence[Outcome], place: Place, quantity: Quantity) -> Panel:
    """Lay out one figure."""
    told = _told(outcomes, place)
    return Panel(
        name=re.sub(r"[^\w.-]+", "-", "-".join([quantity.name, "by", short(figure.x), *told])),
        kind="dots" if figure.x == LOSS else "lines",
        title=", ".join(told),
        x_label=short(figure.x),
        y_label=quantity.label,
        scale=figure.scale,
        series=[
            series
            for value in values_of(outcomes, figure.lines)
            if (series := _series(figure, outcomes, place | {figure.lines: value}, value, quantity)) is not None
        ],
    )


def _series(
    figure: FigureLayout, outcomes: Sequence[Outcome], place: Place, value: Scalar, quantity: Quantity
) -> Series | None:
    """Gather one line, or one row of dots; nothing where nothing was measured."""
    name = str(value) if figure.lines in (DATA, LOSS) else f"{short(figure.lines)} {value}"
    here = [one for one in outcomes if one.record is not None and one.at(place)]
    if figure.x == EPOCH:
        courses = [course for one in here if (course := measure_epochs(one.record or {}, quantity.name))]
        points: list[tuple[Scalar, list[float]]] = list(enumerate(map(list, zip(*courses, strict=False)), start=1))
    elif any(figure.x in one.place and figure.x != LOSS for one in here):
        points = [(x, measured(here, {figure.x: x}, quantity.name)) for x in values_of(here, figure.x)]
    else:
        values = measured(here, {}, quantity.name)
        return Series(name=name, values=[[quantity.factor * one for one in values]]) if values else None
    kept = [(x if _is_number(x) else str(x), values) for x, values in points if values]
    if all(_is_number(x) for x, _ in kept):
        kept.sort(key=lambda point: float(point[0]))
    if not kept:
        return None
    return Series(
        name=name,
        x=[x for x, _ in kept],
        values=[[quantity.factor * one for one in values] for _, values in kept],
    )


def _is_number(value: Scalar) -> TypeGuard[float]:
    """Say whether a value has a place on an axis of numbers; true and false have none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
