"""The metrics of a multi-label prediction: at once, in batches, on resamples, and for each label.

A ratio without a denominator is 0, as in scikit-learn: the F1 of a label that is neither present nor predicted, the
precision of a label that is never predicted, the recall of a label that is never present, the gain of an example
without labels. A label without a positive has no average precision (NaN) and is left out of the mean;
``labels_scored`` counts the others. A mean of nothing, as the F1 of tail labels where there are none, is NaN.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import safetensors.numpy
from jaxtyping import Bool, Float, Integer, Real
from safetensors import SafetensorError
from scipy.sparse import csr_array
from scipy.special import expit, logit

from labelcontrast.errors import DataError, LabelShapeError, TensorError
from labelcontrast.files import whole_file
from labelcontrast.metrics.counting import (
    AnyMatrix,
    Confusion,
    Labels,
    Matrix,
    TrainingLabels,
    Weights,
    as_blocks,
    average_labels,
    blocks_of_sparse,
    known_pairs,
    mean_of_known,
    ratio,
    row_blocks,
)
from labelcontrast.metrics.ranking import (
    LabelRanking,
    ScoreHistogram,
    average_precisions,
    inverse_propensities,
    micro_average_precision,
    weighted_average_precision,
)
from labelcontrast.metrics.registry import DETAILS, METRICS, RATIOS, Metric

Scores: TypeAlias = Float[np.ndarray, "examples labels"]
BLOCK = 2**20
"""Pairs of an example and a label that are counted together."""
MOST_PAIRS, MOST_SCORES = 2**25, 2**23
"""Pairs of an example and a label up to which outputs are saved whole, and the scores that are saved of more."""
_FARTHEST = 30.0  # log-odds of a probability of 0 or 1
_PREDICTED, _UNKNOWN = 2, 4  # bits beside that of a true label


def compute_metrics(
    labels: AnyMatrix,
    scores: AnyMatrix,
    predictions: AnyMatrix,
    *,
    train: TrainingLabels | None = None,
) -> dict[str, float]:
    r"""Compute every metric of ``METRICS`` and ``DETAILS``, and ``labels_scored``; all of them exactly.

    .. math:: F_1 = \frac{2 \, |\text{true} \cap \text{predicted}|}{|\text{true}| + |\text{predicted}|}

    Where the scores do not fit into memory, use ``StreamedMetrics``.

    Args:
        labels: True labels, 0 or 1, shape [examples, labels]; NaN where it is not known, and such a pair is left out.
            Dense or sparse.
        scores: Logits or probabilities, higher is more likely. Only their order matters.
        predictions: Predicted labels, 0 or 1.
        train: Frequencies of the labels in training; without it head, medium, tail and ``psp@k`` are left out.

    Returns:
        Fractions, not percents; only ``coverage`` counts labels. The mean average precisions are NaN where no label has
        a positive. In ``lrap`` an example without labels, or with all of them, counts 1.

    Raises:
        LabelShapeError: The three have different shapes, or hold no example.
        TensorError: A score is NaN or infinite, or a label or a prediction is not 0 or 1.

    Example:
        >>> labels = np.array([[1, 0], [1, 1], [0, 0]])
        >>> scores = np.array([[0.9, 0.2], [0.6, 0.3], [0.7, 0.1]])
        >>> metrics = compute_metrics(labels, scores, scores > 0.5)
        >>> round(metrics["micro_f1"], 3), round(metrics["macro_f1"], 3), round(metrics["map_macro"], 3)
        (0.667, 0.4, 0.917)

    Reference: Tsoumakas, Katakis and Vlahavas, Mining Multi-label Data, 2010.
    """
    return measure(labels, scores, predictions, train=train).metrics


@dataclass(frozen=True)
class Measured:
    """The metrics of predictions, and the counts of each label behind them."""

    metrics: dict[str, float]
    counts: Confusion
    """A row of one weighting."""
    precisions: Float[np.ndarray, " labels"]
    """The average precision of each label."""

    def rows(
        self,
        names: Sequence[str],
        *,
        train_counts: Integer[np.ndarray, " labels"],
        thresholds: Real[np.ndarray, " labels"],
    ) -> list["LabelRow"]:
        """Return the metrics of each label on its own; the arguments are those of ``per_label_table``."""
        rates = [ratio(*terms(self.counts))[0] for terms in RATIOS.values()]
        columns = (train_counts, self.counts.support[0], *rates, self.precisions, thresholds)
        return [
            LabelRow(name, int(seen), int(present), *map(float, rest))
            for name, (seen, present, *rest) in zip(names, zip(*columns, strict=True), strict=True)
        ]


def measure(
    labels: AnyMatrix,
    scores: AnyMatrix,
    predictions: AnyMatrix,
    *,
    train: TrainingLabels | None = None,
) -> Measured:
    """Compute the metrics of ``compute_metrics`` with the counts of each label, in blocks of rows and of labels."""
    labels, scores = as_blocks(labels, "labels"), as_blocks(scores, "scores")
    streamed = StreamedMetrics(labels.shape[-1], train=train, bins=None)
    streamed.update(labels, scores, predictions)
    precisions = average_precisions(labels, scores)
    of_all = {"map_macro": mean_of_known(precisions), "map_micro": micro_average_precision(labels, scores)}
    return Measured(_ordered(streamed.measures() | of_all), streamed.counts, precisions)


class StreamedMetrics:
    """Compute the metrics of ``compute_metrics`` from batches of labels, scores and predictions.

    All are exact but the two mean average precisions: these need all scores at once, and come from a histogram of
    probabilities for each label, 2 x 8 bytes a bin. With 2,048 bins a bin is 1.6 % wide in the odds.

    Args:
        num_labels: Number of labels.
        train: Frequencies of the labels in training; without it head, medium, tail and ``psp@k`` are left out.
        bins: Of the histogram; with None the scores may be any numbers, and there are no mean average precisions.

    Example:
        >>> streamed = StreamedMetrics(2)
        >>> for score in (0.9, 0.4):
        ...     streamed.update(np.array([[1, 0]]), np.array([[score, 0.1]]), np.array([[score > 0.5, False]]))
        >>> measures = streamed.measures()
        >>> round(measures["micro_f1"], 3), measures["map_macro"]
        (0.667, 1.0)
    """

    def __init__(self, num_labels: int, *, train: TrainingLabels | None = None, bins: int | None = 2048) -> None:
        self._counters = _Counters(num_labels, train=train)
        self._histogram = None if bins is None else ScoreHistogram(num_labels, bins)

    def update(
        self,
        labels: AnyMatrix,
        scores: AnyMatrix,
        predictions: AnyMatrix,
    ) -> None:
        """Count a batch, dense or sparse; a sparse one is made dense a few rows at a time.

        Raises:
            LabelShapeError: The three have different shapes, or hold no example.
            TensorError: A score is NaN or infinite, or no probability where there is a histogram; or a label or a
                prediction is not 0 or 1.
        """
        labels, scores = as_blocks(labels, "labels"), as_blocks(scores, "scores")
        for true, ranked, predicted in _blocks(labels, scores, as_blocks(predictions, "predictions")):
            if self._histogram is not None:
                if not ((ranked >= 0) & (ranked <= 1)).all():
                    raise TensorError(f"scores must be probabilities. Got {ranked.min():g} to {ranked.max():g}.")
                self._histogram.update(true, ranked)
            self._counters.update(true, ranked, predicted)

    @property
    def counts(self) -> Confusion:
        """The counts of each label so far."""
        return self._counters.by_label

    def measures(self) -> dict[str, float]:
        """Compute the metrics of all batches so far."""
        found = {name: values.item() for name, values in self._counters.values().items()}
        found["labels_scored"] = float((self._counters.by_label.support > 0).sum())
        if self._histogram is not None:
            found["map_macro"] = mean_of_known(self._histogram.average_precisions())
            found["map_micro"] = self._histogram.micro_average_precision()
        return _ordered(found)


class _Counters:
    """The counts behind all metrics of predictions and rankings, under every weighting of the examples."""

    def __init__(
        self,
        num_labels: int,
        *,
        train: TrainingLabels | None = None,
        weightings: int = 1,
        metrics: Collection[str] | None = None,
    ) -> None:
        asked = [metric for name, metric in _FLAT.items() if metrics is None or name in metrics]
        asked = [metric for metric in asked if train is not None or not metric.from_training]
        self._train = train
        self._propensities = None if train is None else inverse_propensities(train)
        self._by_example = [metric for metric in asked if metric.counted == "ranking" or metric.average == "sample"]
        self._by_label = [metric for metric in asked if metric.counted == "predictions" and metric.average != "sample"]
        self.by_label = Confusion.zeros(weightings, num_labels)
        self._sums = {metric.name: np.zeros((2, weightings)) for metric in self._by_example}

    def update(self, labels: Labels, scores: Scores, predictions: Labels, weights: Weights | None = None) -> None:
        pairs = Confusion.of(labels, predictions)
        self.by_label.add(pairs.over_examples(weights))
        rows = np.asarray(pairs.known.any(axis=1))
        if not rows.any():
            return
        counts = Confusion(*(one[rows] for one in pairs)).over_labels()
        ranking = None
        for metric in self._by_example:
            assert metric.terms is not None
            if metric.counted == "ranking" and ranking is None:
                ranking = LabelRanking(labels[rows], scores[rows], self._propensities)
            part, whole = metric.terms(ranking if metric.counted == "ranking" else counts)
            if metric.average == "sample":
                part, whole = ratio(part, whole), np.ones(len(counts.known))
            for total, values in zip(self._sums[metric.name], (part, whole), strict=True):
                np.add(total, _sum(values, rows, weights), out=total)

    def values(self) -> dict[str, Float[np.ndarray, " weightings"]]:
        found = {metric.name: average_labels(metric, self.by_label, self._train) for metric in self._by_label}
        for metric in self._by_example:
            empty = np.nan if metric.average == "sample" else 0.0
            found[metric.name] = ratio(*self._sums[metric.name], empty=empty)
        return found


def _sum(values: np.ndarray, rows: Bool[np.ndarray, " examples"], weights: Weights | None) -> np.ndarray:
    """Sum the values of some rows, under every weighting of all."""
    if weights is None:
        return np.asarray(values.sum())
    everyone = np.zeros(len(rows))
    everyone[rows] = values
    return np.asarray(weights @ everyone)


_FLAT = METRICS | DETAILS


def draw_resamples(
    examples: int, *, resamples: int, generator: np.random.Generator
) -> Integer[np.ndarray, "resamples examples"]:
    """Draw how often each example is in each bootstrap resample of as many examples as there are.

    Example:
        >>> draw_resamples(4, resamples=3, generator=np.random.default_rng(0)).sum(axis=1)
        array([4, 4, 4])
    """
    return generator.multinomial(examples, np.full(examples, 1 / examples), size=resamples)


def resampled_metrics(
    labels: Matrix,
    scores: Matrix,
    predictions: Matrix,
    counts: Weights,
    metrics: Collection[str] = tuple(METRICS),
    *,
    train: TrainingLabels | None = None,
) -> dict[str, Float[np.ndarray, " resamples"]]:
    """Compute metrics on every resample of the examples, all resamples in one pass.

    Where two models are measured on the same resamples, the difference of their values is paired.

    Args:
        labels: True labels, 0 or 1, shape [examples, labels]; NaN where it is not known, and such a pair is left out.
        scores: Logits or probabilities, higher is more likely.
        predictions: Predicted labels, 0 or 1.
        counts: How often each example is in each resample, shape [resamples, examples].
        metrics: Names of ``METRICS`` or ``DETAILS``; ranking metrics and average precisions are the expensive ones.
        train: Frequencies of the labels in training, for the metrics of rare labels.

    Returns:
        The values of ``compute_metrics`` on each resample, keyed by metric.

    Example:
        >>> labels, scores = np.array([[1, 0], [0, 1]]), np.array([[0.9, 0.6], [0.2, 0.7]])
        >>> found = resampled_metrics(labels, scores, scores > 0.5, np.array([[1, 1], [2, 0], [0, 2]]), ["micro_f1"])
        >>> found["micro_f1"].round(3).tolist()
        [0.8, 0.667, 1.0]

    Reference: Efron and Tibshirani, An Introduction to the Bootstrap, 1993.
    """
    weights = counts.astype(np.float64)
    counters = _Counters(labels.shape[1], train=train, weightings=len(weights), metrics=metrics)
    start = 0
    for block in _blocks(labels, scores, predictions):
        counters.update(block[0], block[1], block[2], weights[:, start : start + len(block[0])])
        start += len(block[0])
    found = counters.values()
    if "map_macro" in metrics:
        columns = ((labels[:, label], scores[:, label]) for label in range(labels.shape[1]))
        by_label = np.stack([weighted_average_precision(*column, weights) for column in columns])
        measured = ~np.isnan(by_label)
        total = np.where(measured, by_label, 0).sum(axis=0)
        found["map_macro"] = ratio(total, measured.sum(axis=0), empty=np.nan)
    if "map_micro" in metrics:
        found["map_micro"] = weighted_average_precision(labels[:], scores[:], weights)
    return {name: found[name] for name in _FLAT if name in found}


def example_terms(metric: Metric, labels: Labels, predictions: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Compute what each example adds to the two terms of a metric of predictions, for permutation tests.

    Args:
        metric: Counted from ``predictions``, with a ``micro``, ``macro`` or ``sample`` average.
        labels: True labels, 0 or 1, shape [examples, labels]; NaN where it is not known.
        predictions: Predicted labels, 0 or 1.

    Returns:
        Two arrays [examples, columns], one column per label for ``macro``, otherwise one column. The metric is
        the mean over columns of the sum of the first over the sum of the second.

    Example:
        >>> example_terms(METRICS["micro_f1"], np.array([[1, 0], [0, 1]]), np.array([[1, 1], [0, 1]]))
        (array([[2.],
               [2.]]), array([[3.],
               [2.]]))
    """
    assert metric.terms is not None
    pairs = Confusion(*(one.astype(np.float64) for one in Confusion.of(labels, predictions)))
    if metric.average == "macro":
        return metric.terms(pairs)
    part, whole = metric.terms(pairs.over_labels())
    if metric.average == "sample":
        part, whole = ratio(part, whole), np.ones(len(labels))
    return part[:, None], whole[:, None]


@dataclass(frozen=True)
class LabelRow:
    """One label: how frequent it is, and how well it is predicted."""

    label: str
    train_count: int
    support: int
    precision: float
    recall: float
    f1: float
    average_precision: float
    threshold: float


def per_label_table(
    names: Sequence[str],
    labels: Matrix,
    scores: Matrix,
    predictions: Matrix,
    *,
    train_counts: Integer[np.ndarray, " labels"],
    thresholds: Real[np.ndarray, " labels"],
) -> list[LabelRow]:
    """Compute the metrics of each label on its own, in the order of the vocabulary.

    Args:
        names: Of the labels.
        labels: True labels, 0 or 1, shape [examples, labels]; NaN where it is not known.
        scores: Logits or probabilities, higher is more likely.
        predictions: Predicted labels, 0 or 1.
        train_counts: Positives of each label among the training examples.
        thresholds: Of each label, with which the predictions were made.

    Raises:
        LabelShapeError: The matrices have different shapes, or hold no example.
        TensorError: A score is NaN or infinite, or a label or a prediction is not 0 or 1.

    Example:
        >>> labels, scores = np.array([[1], [0]]), np.array([[0.9], [0.6]])
        >>> seen = {"train_counts": np.array([7]), "thresholds": np.array([0.5])}
        >>> row = per_label_table(["news"], labels, scores, scores > 0.5, **seen)[0]
        >>> row.label, row.support, row.precision, row.recall, row.average_precision
        ('news', 1, 0.5, 1.0, 1.0)
    """
    return measure(labels, scores, predictions).rows(names, train_counts=train_counts, thresholds=thresholds)


@dataclass(frozen=True)
class Outputs:
    """True labels, scores and predictions of the test examples of a run, in a file small enough for every run.

    The file takes two bytes a score and a bit each for true, predicted and, where not all are, known labels: 0.6 MB for
    3,000 examples and 90 labels. Scores are saved as log-odds: half precision has a thousand steps a power of two, and
    near 1 a probability would have none left.

    Of more than 2^25 pairs of an example and a label, the file holds those that are true, predicted or unknown, and the
    highest scores of each example, 2^23 in all; when it is read, a score that it lacks is 0.
    """

    labels: Matrix
    """0 or 1; NaN where it is not known."""
    scores: Matrix
    """Probabilities."""
    predictions: Matrix

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            RunError: The file cannot be written.
        """
        examples, labels = self.labels.shape
        few = examples * labels <= MOST_PAIRS
        pack = _packed if few else partial(_highest, count=max(1, MOST_SCORES // examples))
        blocks = [pack(self.labels[at], self.scores[at], self.predictions[at]) for at in row_blocks((examples, labels))]
        saved = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
        if few and all(known_pairs(self.labels[at]).all() for at in row_blocks((examples, labels))):
            del saved["known"]
        if not few:
            saved["shape"] = np.array([examples, labels])
        with whole_file(Path(path)) as file:
            # in rows: an array in columns would be written as it lies in memory
            file.write(safetensors.numpy.save({name: np.ascontiguousarray(one) for name, one in saved.items()}))

    @classmethod
    def load(cls, path: str | Path) -> "Outputs":
        """Load a saved file: the scores to three digits of their log-odds, the rest exactly.

        Raises:
            DataError: The file is not of this kind.
        """
        try:
            saved = safetensors.numpy.load_file(path)
            return _of_highest(saved) if "shape" in saved else _of_packed(saved)
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            message = f"expected the outputs of a run on its test examples. Got {error!r}."
            raise DataError(message, path=Path(path)) from error


def _packed(labels: Labels, scores: Scores, predictions: Labels) -> dict[str, np.ndarray]:
    """Pack all pairs of some examples."""
    matrices = {"labels": labels > 0, "predictions": predictions > 0, "known": known_pairs(labels)}
    bits = {name: np.packbits(matrix, axis=1) for name, matrix in matrices.items()}
    return {"log_odds": _log_odds(scores), **bits}


def _of_packed(saved: Mapping[str, np.ndarray]) -> Outputs:
    odds = saved["log_odds"].astype(np.float64)
    bits = {name: np.unpackbits(saved[name], axis=1, count=odds.shape[1]) for name in saved if name != "log_odds"}
    labels, predictions = bits["labels"], bits["predictions"] > 0
    if "known" in bits:
        labels = np.where(bits["known"], labels, np.nan).astype(np.float32)
    return Outputs(labels, expit(odds), predictions)


def _highest(labels: Labels, scores: Scores, predictions: Labels, *, count: int) -> dict[str, np.ndarray]:
    """Pack the pairs of some examples that are true, predicted or unknown, and those of the highest scores."""
    kept = (labels != 0) | (predictions != 0)
    first = np.argpartition(-scores, min(count, scores.shape[1] - 1), axis=1)[:, :count]
    np.put_along_axis(kept, first, values=True, axis=1)
    columns = np.nonzero(kept)[1].astype(np.int32)
    is_known = known_pairs(labels)[kept]
    kinds = np.where(is_known, labels[kept] > 0, _UNKNOWN) + _PREDICTED * (predictions[kept] > 0)
    sizes = kept.sum(axis=1)
    return {"sizes": sizes, "columns": columns, "kinds": kinds.astype(np.uint8), "log_odds": _log_odds(scores[kept])}


def _of_highest(saved: Mapping[str, np.ndarray]) -> Outputs:
    starts, kinds = np.append(0, saved["sizes"].cumsum()), saved["kinds"]
    label = np.where(kinds & _UNKNOWN, np.nan, kinds & 1).astype(np.float32)
    values = label, expit(saved["log_odds"].astype(np.float64)), (kinds & _PREDICTED) > 0
    shape = tuple(saved["shape"].tolist())
    matrices = (blocks_of_sparse(csr_array((one, saved["columns"], starts), shape=shape)) for one in values)
    return Outputs(*matrices)


def _log_odds(scores: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.asarray(logit(scores).clip(-_FARTHEST, _FARTHEST), dtype=np.float16)


def _ordered(found: dict[str, float]) -> dict[str, float]:
    return {name: found[name] for name in (*_FLAT, "labels_scored") if name in found}


def _blocks(labels: Matrix, scores: Matrix, predictions: Matrix) -> Iterator[list[np.ndarray]]:
    """Yield the same few rows of each matrix, checked."""
    shapes = {labels.shape, scores.shape, predictions.shape}
    if len(shapes) > 1 or labels.ndim != 2 or not min(labels.shape):
        raise LabelShapeError(
            "labels, scores and predictions must be three matrices [examples, labels] of one shape with at least one "
            f"example and one label. Got {labels.shape}, {scores.shape} and {predictions.shape}."
        )
    for rows in row_blocks(labels.shape, BLOCK):
        block = labels[rows], scores[rows], predictions[rows]
        _check_measurable(*block)
        yield list(block)


def _check_measurable(labels: np.ndarray, scores: np.ndarray, predictions: np.ndarray) -> None:
    if not np.isfinite(scores).all():
        raise TensorError(f"scores must be finite. Got {np.count_nonzero(~np.isfinite(scores))} that are not.")
    for name, matrix in (("labels", labels), ("predictions", predictions)):
        wrong = (matrix != 0) & (matrix != 1) if matrix.dtype.kind != "b" else np.zeros(0, dtype=bool)
        if name == "labels":
            wrong &= known_pairs(matrix) if wrong.size else True
        if wrong.any():
            raise TensorError(f"{name} must be 0 or 1. Got {matrix[wrong][0]:g}.")
