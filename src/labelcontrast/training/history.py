"""What every epoch came to, and the CSV file it is kept in."""

import csv
import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from labelcontrast.files import write_text

HISTORY = "history.csv"


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


def write_history(path: Path, history: list[Epoch]) -> None:
    """Write the history as CSV, a row an epoch."""
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(Epoch)])
    table.writeheader()
    table.writerows(asdict(epoch) for epoch in history)
    write_text(path, text.getvalue())


def read_history(path: Path) -> list[Epoch]:
    """Read what ``write_history`` wrote."""
    with path.open(newline="") as file:
        return [
            Epoch(int(row.pop("epoch")), **{name: float(value) for name, value in row.items()})
            for row in csv.DictReader(file)
        ]
