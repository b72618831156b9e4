"""What pages show of the test examples: mistakes and successes, confused labels, and what other thresholds would do."""

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped
from PIL import Image

from labelcontrast.data.examples import Examples
from labelcontrast.encoders.base import Kind
from labelcontrast.encoders.pictures import decode_picture
from labelcontrast.files import write_json
from labelcontrast.metrics.counting import Matrix, Places, column_blocks, in_blocks, known_pairs, row_blocks
from labelcontrast.metrics.measures import Outputs
from labelcontrast.run.folder import EXAMPLES

SUCCESSES = 6
"""Correct examples that are shown after the mistakes."""
SNIPPET = 400
"""Characters of a text that are shown."""
TITLE = 100
"""Characters of a text that name it on the map."""
THUMBNAIL = 128
"""Longest side of a picture that is shown, in pixels."""
MOST_LABELS = 20
"""True or predicted labels of an example that are shown, mistakes first."""
CONFUSED = 8
"""Labels that are listed as confused with another one."""
CUTS = 120
"""Thresholds of a curve, at most, beside the multiples of 0.05."""
SMALLEST = 1e-6
"""Probabilities are clipped at this in the log loss, so that a certain mistake has a finite one."""
BLOCK = 2**20
"""Pairs of an example and a label whose loss is computed together."""


def save_examples(folder: str | Path, examples: Examples, names: Sequence[str], outputs: Outputs, *, most: int) -> None:
    """Write the mistakes with the largest loss and a few of the most certain successes, with what a page shows of them.

    The file holds the beginning of a text, a small copy of a picture, and of a vector its id alone.

    Args:
        folder: The run folder.
        examples: The test examples.
        names: The labels, in the order of the columns.
        outputs: Labels, probabilities and predictions of the examples.
        most: Number of mistakes, at most; with 0 there is no file, and no input is copied.
    """
    if not most:
        return
    losses, wrong, labelled = example_errors(outputs)
    chosen = choose_examples(losses, wrong, labelled, most=most)
    write_json(
        Path(folder) / EXAMPLES,
        {
            "examples": len(examples),
            "wrong": int(wrong.sum()),
            **{part: shown_examples(examples, names, outputs, losses, rows) for part, rows in chosen.items()},
        },
    )


def shown_examples(
    examples: Examples,
    names: Sequence[str],
    outputs: Outputs,
    losses: Float[np.ndarray, " examples"],
    rows: Shaped[np.ndarray, " chosen"],
) -> list[dict[str, Any]]:
    """Return what a page shows of some test examples: input, loss, and labels with the mistakes first."""
    return [
        {**shown, "loss": float(losses[row]), **_shown_labels(names, outputs, row)}
        for row, shown in zip(rows.tolist(), shown_inputs(examples, rows), strict=True)
    ]


def shown_inputs(examples: Examples, rows: Shaped[np.ndarray, " chosen"]) -> list[dict[str, str]]:
    """Return the id of some examples, with the beginning of a text, or a small copy of a picture."""
    pairs = zip(rows.tolist(), examples.inputs_at(rows), strict=True)
    return [{"id": str(examples.ids[row]), **_shown_input(given, examples.kind)} for row, given in pairs]


def example_titles(examples: Examples, rows: Shaped[np.ndarray, " chosen"]) -> list[str]:
    """Name some examples by their ids, texts also by their first characters."""
    names = [str(examples.ids[row]) for row in rows.tolist()]
    if examples.kind != "text":
        return names
    texts = [" ".join(str(text).split()) for text in examples.inputs_at(rows)]
    return [
        f"{name}: {text[:TITLE]}{'…' if len(text) > TITLE else ''}" for name, text in zip(names, texts, strict=True)
    ]


def example_errors(
    outputs: Outputs,
) -> tuple[Float[np.ndarray, " examples"], Bool[np.ndarray, " examples"], Bool[np.ndarray, " examples"]]:
    r"""Compute the mean log loss of each example over its known labels, whether one is wrong, and whether it has one.

    .. math:: -\frac1L \sum_l y_{il} \log p_{il} + (1 - y_{il}) \log (1 - p_{il})

    Args:
        outputs: Labels, probabilities and predictions.

    Returns: A loss of 0 for an example without a known label.

    Example:
        >>> truth, said = np.array([[1.0, 0.0], [1.0, np.nan]]), np.array([[0.5, 0.5], [0.25, 0.9]])
        >>> losses, wrong, _ = example_errors(Outputs(truth, said, said > 0.3))
        >>> losses.round(3).tolist(), wrong.tolist()
        ([0.693, 1.386], [True, True])
    """
    losses = np.zeros(len(outputs.labels))
    (wrong, labelled), bad = np.zeros((2, len(losses)), dtype=bool), wrong_pairs(outputs)
    for at in row_blocks(outputs.labels.shape, BLOCK):
        true, given = outputs.labels[at], outputs.scores[at].astype(np.float64)
        known = known_pairs(true)
        pairs = np.where(known, -np.log(np.where(true > 0, given, 1 - given).clip(SMALLEST, 1)), 0.0)
        losses[at] = pairs.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        wrong[at], labelled[at] = bad[at].any(axis=1), (true > 0).any(axis=1)
    return losses, wrong, labelled


def wrong_pairs(outputs: Outputs) -> Matrix:
    """Return where a known label is predicted and absent, or present and not predicted."""

    def wrong(rows: Places, columns: Places) -> np.ndarray:
        labels, predictions = outputs.labels[rows, columns], outputs.predictions[rows, columns]
        return np.asarray(((labels > 0) != (predictions > 0)) & known_pairs(labels))

    return in_blocks(outputs.labels.shape, wrong)


def choose_examples(
    losses: Float[np.ndarray, " examples"],
    wrong: Bool[np.ndarray, " examples"],
    labelled: Bool[np.ndarray, " examples"],
    *,
    most: int,
) -> dict[str, Shaped[np.ndarray, " chosen"]]:
    """Choose ``mistakes``, the largest loss first, and ``successes``, the smallest first, among those with a label."""
    order = np.argsort(-losses, kind="stable")
    rising = order[::-1]
    return {"mistakes": order[wrong[order]][:most], "successes": rising[(labelled & ~wrong)[rising]][:SUCCESSES]}


def most_mistaken(outputs: Outputs, *, most: int) -> list[int]:
    """Return the columns of the labels with the most wrong and missed examples, the most first; none without any."""
    wrong = wrong_pairs(outputs)
    errors = np.concatenate([wrong[:, at].sum(axis=0) for at in column_blocks(wrong.shape)])
    return [column for column in np.argsort(-errors, kind="stable")[:most].tolist() if errors[column]]


def confused_labels(outputs: Outputs, names: Sequence[str], column: int) -> dict[str, list[tuple[str, int]]]:
    """Count the labels that are ``wrong`` where one is missed, and ``missed`` where it is wrong, the most first.

    Example:
        >>> labels, scores = np.array([[1, 0], [1, 0], [0, 1]]), np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
        >>> confused_labels(Outputs(labels, scores, scores > 0.5), ["cat", "dog"], 0)
        {'wrong': [('dog', 1)], 'missed': []}
    """
    bad, true = wrong_pairs(outputs), outputs.labels[:, column] > 0
    counts = {}
    for name, here in (("wrong", bad[:, column] & true), ("missed", bad[:, column] & ~true)):
        rows = np.flatnonzero(here)
        counts[name] = (bad[rows] & ((outputs.labels[rows] > 0) == (name == "missed"))).sum(axis=0)
    return {
        name: [(names[at], int(count[at])) for at in np.argsort(-count, kind="stable")[:CONFUSED] if count[at]]
        for name, count in counts.items()
    }


def threshold_curve(outputs: Outputs, column: int, *, cuts: int = CUTS) -> list[dict[str, float]]:
    """Count right, wrong and missed test examples of a label at thresholds from 0 to 1."""
    labels = outputs.labels[:, column]
    known = known_pairs(labels)
    true, scores = labels[known] > 0, outputs.scores[:, column][known]
    levels = np.unique(np.quantile(np.append(scores, (0.0, 1.0)), np.linspace(0, 1, cuts)).round(4))
    return [count_at(true, scores, cut) for cut in np.unique([*levels, *np.linspace(0, 1, 21).round(2)]).tolist()]


def count_at(
    true: Bool[np.ndarray, " examples"], scores: Float[np.ndarray, " examples"], threshold: float
) -> dict[str, float]:
    """Count right, wrong and missed examples of a label at one threshold."""
    predicted = scores > threshold
    right = int((predicted & true).sum())
    wrong, missed = int(predicted.sum()) - right, int(true.sum()) - right
    return {"threshold": threshold, "right": right, "wrong": wrong, "missed": missed}


def curve_points(curve: Sequence[Mapping[str, float]]) -> list[tuple[float, float, float]]:
    """Return recall, precision and threshold along a curve, where something is predicted and something is true."""
    points = []
    for row in curve:
        right, predicted, true = row["right"], row["right"] + row["wrong"], row["right"] + row["missed"]
        if predicted and true:
            points.append((right / true, right / predicted, row["threshold"]))
    return points


def _shown_input(given: Any, kind: Kind) -> Mapping[str, str]:  # noqa: ANN401
    if kind == "text":
        text = " ".join(given.split())
        return {"text": text if len(text) <= SNIPPET else text[: SNIPPET - 1] + "…"}
    return {"picture": thumbnail(given)} if kind == "image" else {}


def thumbnail(picture: Path | bytes) -> str:
    """Return a small copy of a picture as a data URI."""
    copy, file = decode_picture(picture, place="test"), BytesIO()
    copy.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    copy.save(file, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _shown_labels(names: Sequence[str], outputs: Outputs, row: int) -> dict[str, Any]:
    """List the true and the predicted labels of an example, mistakes first, then by probability."""
    true, predicted, scores = outputs.labels[row] > 0, outputs.predictions[row] > 0, outputs.scores[row]
    known = known_pairs(outputs.labels[row])
    either = np.flatnonzero(true | predicted)
    order = either[np.lexsort((-scores[either], (~known | (true == predicted))[either]))]
    labels = [
        {
            "name": names[column],
            "probability": float(scores[column]),
            "true": bool(true[column]) if known[column] else None,
            "predicted": bool(predicted[column]),
        }
        for column in order[:MOST_LABELS].tolist()
    ]
    return {"labels": labels, "more_labels": max(0, len(order) - MOST_LABELS)}
