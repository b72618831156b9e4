"""Epochs: how one is scored on validation, its record, and the history as a CSV file.

The score has no threshold, and is never the value of a contrastive loss: a regularised one is not the function that is
minimised (its clamp is detached, its value can be negative), so the smallest value is not the best. What counts is how
well the labels of validation examples can be predicted.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import nn

from labelcontrast.data.batches import Prepared
from labelcontrast.files import write_text
from labelcontrast.metrics.counting import Matrix, in_blocks, known_pairs, row_blocks
from labelcontrast.metrics.ranking import mean_average_precision
from labelcontrast.probes.linear import head_logits, ridge_scores
from labelcontrast.training.features import compute_features

HISTORY = "history.csv"
MICRO_F1 = "micro_f1"
"""Value of ``training.keep``, and the measure of an epoch that it selects by."""
NUMBERS = ("epoch", "loss", "score", "learning_rate", "seconds")
EpochScore = Callable[[nn.Module, nn.Module], Mapping[str, float]]
"""Scores an encoder and its head: ``score``, and whatever else selects an epoch; higher is better."""
EpochMeasures = Callable[[nn.Module, nn.Module], Mapping[str, float]]
"""Computes further measures of an encoder and its head, keyed by name."""


@dataclass(frozen=True)
class Epoch:
    """The record of an epoch."""

    epoch: int
    """Counted from 1."""
    loss: float
    """Mean of the training loss over the steps; under a contrastive loss it is not comparable between epochs."""
    score: float
    """The validation score, higher is better."""
    learning_rate: float
    """The encoder's learning rate at the end."""
    seconds: float
    """Duration, with the validation."""
    diagnostics: dict[str, float] = field(default_factory=dict)
    """Pair statistics of the loss, mean over the steps, and further measures; empty if there are none."""
    of: int = 0
    """Epochs of the training, at most; 0 if unknown."""

    def __str__(self) -> str:
        left = round((self.of - self.epoch) * self.seconds)
        return (
            f"epoch {self.epoch:>{len(str(self.of))}}/{self.of}   loss {self.loss:8.4f}   "
            f"validation mAP {self.score:.4f}   {self.seconds:.1f} s" + (f", {left} s left" if left else "")
        )


def selected_epoch(history: Sequence[Epoch], keep: str) -> Epoch:
    """Return the epoch whose weights are kept: see ``training.keep``."""
    if keep == "last":
        return history[-1]
    return max(history, key=lambda epoch: epoch.diagnostics[MICRO_F1] if keep == MICRO_F1 else epoch.score)


def score_logits(validation: Prepared, *, f1: bool = False) -> EpochScore:
    """Build the score of a logit loss: macro average precision of the head's logits on validation.

    Args:
        validation: The examples.
        f1: Compute micro-F1 at one half too.
    """

    def score(encoder: nn.Module, head: nn.Module) -> Mapping[str, float]:
        assert isinstance(head, nn.Linear)
        features, shape = compute_features(encoder, validation).numpy(), validation.truth().shape
        logits = in_blocks(shape, lambda rows, columns: head_logits(head, features[rows], columns))
        return _scores(validation, logits, cut=np.zeros(shape[1]) if f1 else None)

    return score


def score_features(train: Prepared, validation: Prepared, *, f1: bool = False) -> EpochScore:
    """Build the score of a contrastive loss: macro average precision on validation of a ridge probe fitted on train.

    Args:
        train: The examples that the probe is fitted on.
        validation: The examples.
        f1: Compute micro-F1 at one half too.
    """

    def score(encoder: nn.Module, head: nn.Module) -> Mapping[str, float]:  # noqa: ARG001  a projector is dropped
        features, unseen = (compute_features(encoder, split).numpy() for split in (train, validation))
        predicted, half = ridge_scores(features, train.truth(), unseen, weights=train.weights)
        return _scores(validation, predicted, cut=half if f1 else None)

    return score


def _scores(validation: Prepared, scores: Matrix, *, cut: np.ndarray | None) -> dict[str, float]:
    truth, weights = validation.truth(), validation.weights
    found = {"score": mean_average_precision(truth, scores, weights)}
    if cut is not None:
        right, claimed, there = np.zeros((3, len(truth)))
        for rows in row_blocks(truth.shape):
            predicted, true = known_pairs(truth[rows]) & (scores[rows] > cut), truth[rows] == 1
            right[rows], claimed[rows], there[rows] = (one.sum(1) for one in (predicted & true, predicted, true))
        hits, claims, positives = (float(np.average(one, weights=weights)) for one in (right, claimed, there))
        found[MICRO_F1] = 2 * hits / (claims + positives or 1.0)
    return found


def write_history(path: str | Path, history: list[Epoch]) -> None:
    """Write the history as CSV, one row per epoch; the columns of ``diagnostics`` come last.

    A file that holds it already is left as it is.
    """
    rows = [{name: getattr(epoch, name) for name in NUMBERS} | epoch.diagnostics for epoch in history]
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]) if rows else NUMBERS)
    table.writeheader()
    table.writerows(rows)
    path, content = Path(path), text.getvalue()
    if not path.is_file() or path.read_bytes() != content.encode():
        write_text(path, content)


def read_history(path: str | Path) -> list[Epoch]:
    """Read a history that ``write_history`` wrote."""
    with Path(path).open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    return [_epoch(row) for row in rows]


def _epoch(row: dict[str, float]) -> Epoch:
    epoch, loss, score, rate, seconds = (row.pop(name) for name in NUMBERS)
    return Epoch(int(epoch), loss, score, rate, seconds, diagnostics=row)
