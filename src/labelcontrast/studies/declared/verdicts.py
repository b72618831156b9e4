"""Which cells of a study's table are the best or not significantly worse, and how sure that is.

Rows are compared where they were measured on the same test examples: within one column, and within the rows that the
declaration holds together. The test is that of a comparison: paired over seeds and test examples, adjusted over all
pairs of rows by Holm's procedure.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from labelcontrast.evaluation.resampling import RESAMPLED
from labelcontrast.studies.declared.outcomes import Outcome, row_places
from labelcontrast.studies.declared.plan import Place, short
from labelcontrast.studies.declared.quantities import QUANTITIES, measure
from labelcontrast.studies.declared.study import DATA, LOSS, SEED, TRANSFER, Study
from labelcontrast.studies.significance import Better, Measured, find_best

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
    return one.better if quantity in RESAMPLED or one.path[:2] == ("hierarchy", "test") else None


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
