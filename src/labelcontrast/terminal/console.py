"""Where words go, and what is the same for all verbs: the device, and who hears of epochs."""

import sys
from collections.abc import Mapping
from typing import Any

import torch

from labelcontrast.allocator import keep_freed_memory
from labelcontrast.evaluation.metrics.catalogue import HIERARCHICAL_METRICS, METRICS
from labelcontrast.reports.hierarchical.tables import level_table, measures_table
from labelcontrast.reports.tables import Cell, Table, as_text, percent, title_of
from labelcontrast.run.learning import Listeners
from labelcontrast.training.history import Epoch


def pick_device() -> str:
    """Name the accelerator where there is one; on a CPU, keep the memory that training frees and takes again."""
    if torch.cuda.is_available():
        return "cuda"
    keep_freed_memory()
    return "cpu"


def listeners(epochs: int) -> Listeners:
    """Print a line an epoch, and show a bar within it where somebody is watching."""

    def epoch(record: Epoch) -> None:
        say(
            f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}   loss {record.loss:8.4f}   "
            f"validation mAP {record.score:.4f}   {record.seconds:.1f} s"
        )

    return Listeners(say=say, epoch=epoch, bar=sys.stderr.isatty())


def say(sentence: str) -> None:
    """Tell of progress."""
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201


def show(text: str) -> None:
    """Print a result."""
    print(text, flush=True)  # noqa: T201


def show_hierarchy(metrics: Mapping[str, Mapping[str, Any]], *, levels_of: str) -> None:
    """Print what was measured over a hierarchy: every part, and the levels of one."""
    show("\n" + as_text(measures_table(metrics, [*HIERARCHICAL_METRICS])))
    show("\n" + as_text(level_table(metrics[levels_of]["levels"])))


def metrics_table(metrics: Mapping[str, Mapping[str, float]]) -> Table:
    """Tabulate metrics, a row a part of the data."""
    rows = [(Cell(part), *(Cell(percent(values[name])) for name in METRICS)) for part, values in metrics.items()]
    return Table(("%", *map(title_of, METRICS)), tuple(rows))
