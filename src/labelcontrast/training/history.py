"""What every epoch came to, and the CSV file it is kept in."""

import csv
import io
from dataclasses import asdict, dataclass, field
from pathlib import Path

from labelcontrast.files import write_text

HISTORY = "history.csv"
NUMBERS = ("epoch", "loss", "score", "learning_rate", "seconds")


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to."""

    epoch: int
    """Counted from 1."""
    loss: float
    """Mean of the training loss over the steps; of a contrastive loss it says nothing on its own."""
    score: float
    """The validation score, higher is better."""
    learning_rate: float
    """The encoder's rate at the end."""
    seconds: float
    """Time of the epoch, with its validation."""
    diagnostics: dict[str, float] = field(default_factory=dict)
    """What the loss counted of its pairs, mean over the steps, and what was examined; nothing where nothing was."""


def write_history(path: Path, history: list[Epoch]) -> None:
    """Write the history as CSV, a row an epoch; what was counted of pairs comes last."""
    rows = [_flat(epoch) for epoch in history]
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]) if rows else NUMBERS)
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())


def read_history(path: Path) -> list[Epoch]:
    """Read what ``write_history`` wrote."""
    with path.open(newline="") as file:
        return [_epoch({name: float(value) for name, value in row.items()}) for row in csv.DictReader(file)]


def _flat(epoch: Epoch) -> dict[str, int | float]:
    """Put an epoch's numbers beside one another."""
    values = asdict(epoch)
    return {name: values[name] for name in NUMBERS} | epoch.diagnostics


def _epoch(values: dict[str, float]) -> Epoch:
    """Read them back."""
    epoch, loss, score, rate, seconds = (values.pop(name) for name in NUMBERS)
    return Epoch(int(epoch), loss, score, rate, seconds, values)
