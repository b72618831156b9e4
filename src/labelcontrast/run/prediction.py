"""A trained model at work: scores, label sets and embeddings for examples it has not seen, and its metrics on them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labelcontrast.data.batches import dense_truth, encode_labels, prepare
from labelcontrast.data.examples import Examples
from labelcontrast.errors import DataError
from labelcontrast.metrics.counting import TrainingLabels
from labelcontrast.metrics.streaming import StreamedMetrics
from labelcontrast.probes.linear import Classifier
from labelcontrast.run.folder import TrainedModel
from labelcontrast.run.hierarchy_use import StreamedHierarchy
from labelcontrast.training.features import compute_features

CHUNK = 4096
"""Examples that are prepared together; so memory does not grow with the input."""
BINS, FEWEST_BINS = 2**22, 2**11
"""Of the histograms that average precision is read from: of all labels together, 64 MiB, and of each at least."""


def embed(model: TrainedModel, examples: Examples) -> np.ndarray:
    """Compute the embedding of every example, ``[examples, dim]`` in float32.

    Raises:
        DataError: when the examples are of another kind than the model was trained on, or one cannot be read.
    """
    if examples.kind != model.encoder.kind:
        message = f"holds {examples.kind} inputs; this run was trained on {model.encoder.kind} inputs."
        raise DataError(message, path=examples.origin)
    features: np.ndarray = compute_features(model.encoder, prepare(model.encoder, examples)).numpy()
    return features


def compute_scores(model: TrainedModel, examples: Examples) -> np.ndarray:
    """Compute the probability of every label for every example, ``[examples, labels]``."""
    said = probabilities(model.classifier, embed(model, examples))
    scores = said if model.calibration is None else model.calibration.apply(said)
    return scores if model.decoder is None else model.decoder.settle(scores)


def probabilities(classifier: Classifier, features: np.ndarray) -> np.ndarray:
    """Compute the probability of every label from embeddings."""
    with torch.inference_mode():
        rows: Tensor = classifier(torch.from_numpy(features)).sigmoid()
    return rows.numpy()


def predict(model: TrainedModel, examples: Examples, *, top: int | None = None) -> Iterator[dict[str, Any]]:
    """Predict label sets, a chunk of examples at a time.

    Args:
        model: a trained model.
        examples: with or without labels; labels are not looked at.
        top: give the scores of so many labels, the best first; by default those of the predicted labels.

    Yields:
        ``{"id": ..., "labels": [...], "scores": {label: probability}}``, the best label first.
    """
    names = np.array(model.vocabulary.names)
    for part in chunks(examples):
        scores = compute_scores(model, part)
        for identity, row, chosen in zip(part.ids, scores, model.decide(scores), strict=True):
            order = np.argsort(-row, kind="stable")
            labels = [index for index in order if chosen[index]]
            shown = labels if top is None else order[:top]
            yield {
                "id": identity,
                "labels": names[labels].tolist(),
                "scores": {str(names[index]): round(float(row[index]), 6) for index in shown},
            }


def evaluate(model: TrainedModel, examples: Examples, *, train: TrainingLabels | None = None) -> dict[str, Any]:
    """Measure a model on labelled examples, a chunk at a time: never are the scores of all of them in memory.

    Args:
        model: a trained model.
        examples: with labels; unknown ones are left out.
        train: how frequent the labels were in training; without it head, medium, tail and ``psp@k`` are left out.

    Returns:
        What ``compute_metrics`` finds; the two mean average precisions from histograms of so many bins that they agree
        to four digits, for up to a thousand labels. As ``hierarchy`` the measures over it, where the model has one.

    Raises:
        LabelError: when a label is unknown to the run.
        DataError: when the examples have no labels.
    """
    if examples.label_sets is None:
        message = "has no labels to evaluate against."
        raise DataError(message, path=examples.origin)
    # An unknown label is refused before the work.
    model.vocabulary.encode(examples.label_sets, where=examples.where_labels)
    number = len(model.vocabulary)
    streamed = StreamedMetrics(number, train=train, bins=max(BINS // number, FEWEST_BINS))
    over = None if model.decoder is None else StreamedHierarchy(model.decoder.tree)
    for part in chunks(examples):
        scores = compute_scores(model, part)
        predictions = model.decide(scores)
        truth = dense_truth(*encode_labels(part, model.vocabulary))
        streamed.update(truth if model.decoder is None else model.decoder.truth(truth), scores, predictions)
        if over is not None:
            over.update(truth, predictions)
    return {**streamed.measures(), **({} if over is None else {"hierarchy": over.measures()})}


def chunks(examples: Examples) -> Iterator[Examples]:
    """Yield ``CHUNK`` examples at a time."""
    for start in range(0, len(examples), CHUNK):
        yield examples.select(np.arange(start, min(start + CHUNK, len(examples))))


def as_table(ids: Sequence[str], features: np.ndarray) -> Any:  # noqa: ANN401
    """Make an Arrow table of embeddings: a column of ids, and one of vectors of a fixed width."""
    import pyarrow as pa

    flat = pa.array(features.reshape(-1))
    vectors = pa.FixedSizeListArray.from_arrays(flat, features.shape[1])
    return pa.table({"id": list(ids), "embedding": vectors})
