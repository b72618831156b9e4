"""The metrics of a multi-label prediction: at once, in batches, on resamples, and for each label.

A ratio without a denominator is 0, as in scikit-learn: the F1 of a label that is neither present nor predicted, the
precision of a label that is never predicted, the recall of a label that is never present, the gain of an example
without labels. A label without a positive has no average precision (NaN) and is left out of the mean;
``labels_scored`` counts the others. A mean of nothing, as the F1 of tail labels where there are none, is NaN.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import safetensors.numpy
import scipy.sparse as sp
from jaxtyping import Bool, Float, Integer, Real, Shaped
from numpy.typing import ArrayLike
from safetensors import SafetensorError
from scipy.special import expit, logit

from labelcontrast.errors import DataError, LabelShapeError, TensorError
from labelcontrast.files import whole_file
from labelcontrast.metrics.counting import (
    Confusion,
    Labels,
    TrainingLabels,
    Weights,
    as_matrix,
    average_labels,
    known_pairs,
    mean_of_known,
    ratio,
)
from labelcontrast.metrics.ranking import (
    LabelRanking,
    ScoreHistogram,
    average_precisions,
    inverse_propensities,
    weighted_average_precision,
)
from labelcontrast.metrics.registry import DETAILS, METRICS, RATIOS, Metric

Matrix: TypeAlias = np.ndarray | sp.csr_array
"""[examples, labels], dense or sparse."""
Scores: TypeAlias = Float[np.ndarray, "examples labels"]
BLOCK = 2**20
"""Pairs of an example and a label that are counted together."""
_FARTHEST = 30.0  # log-odds of a probability of 0 or 1


def compute_metrics(
    labels: ArrayLike | sp.csr_array,
    scores: ArrayLike | sp.csr_array,
    predictions: ArrayLike | sp.csr_array,
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
    labels, scores = _as_matrix(labels, "labels"), _as_matrix(scores, "scores")
    predictions = _as_matrix(predictions, "predictions")
    streamed = StreamedMetrics(labels.shape[-1], train=train, bins=None)
    streamed.update(labels, scores, predictions)
    true, ranked = _dense(labels), _dense(scores)
    precisions = {
        "map_macro": mean_of_known(average_precisions(true, ranked)),
        "map_micro": average_precisions(true.reshape(-1, 1), ranked.reshape(-1, 1)).item(),
    }
    return _ordered(streamed.measures() | precisions)


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
        labels: ArrayLike | sp.csr_array,
        scores: ArrayLike | sp.csr_array,
        predictions: ArrayLike | sp.csr_array,
    ) -> None:
        """Count a batch, dense or sparse; a sparse one is made dense a few rows at a time.

        Raises:
            LabelShapeError: The three have different shapes, or hold no example.
            TensorError: A score is NaN or infinite, or no probability where there is a histogram; or a label or a
                prediction is not 0 or 1.
        """
        labels, scores = _as_matrix(labels, "labels"), _as_matrix(scores, "scores")
        predictions = _as_matrix(predictions, "predictions")
        _check_measurable(labels, scores, predictions)
        for true, ranked, predicted in _blocks(labels, scores, predictions):
            if self._histogram is not None:
                if not ((ranked >= 0) & (ranked <= 1)).all():
                    raise TensorError(f"scores must be probabilities. Got {ranked.min():g} to {ranked.max():g}.")
                self._histogram.update(true, ranked)
            self._counters.update(true, ranked, predicted)

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
    labels: Labels,
    scores: Scores,
    predictions: Labels,
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
    _check_measurable(labels, scores, predictions)
    weights = counts.astype(np.float64)
    counters = _Counters(labels.shape[1], train=train, weightings=len(weights), metrics=metrics)
    counters.update(labels, scores, predictions, weights)
    found = counters.values()
    if "map_macro" in metrics:
        columns = zip(labels.T, scores.T, strict=True)
        by_label = np.stack([weighted_average_precision(*column, weights) for column in columns])
        measured = ~np.isnan(by_label)
        total = np.where(measured, by_label, 0).sum(axis=0)
        found["map_macro"] = ratio(total, measured.sum(axis=0), empty=np.nan)
    if "map_micro" in metrics:
        found["map_micro"] = weighted_average_precision(labels, scores, weights)
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
    labels: Labels,
    scores: Scores,
    predictions: Labels,
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
    _check_measurable(labels, scores, predictions)
    counts = Confusion.of(labels, predictions).over_examples()
    rates = [ratio(*terms(counts))[0] for terms in RATIOS.values()]
    columns = (train_counts, counts.support[0], *rates, average_precisions(labels, scores), thresholds)
    return [
        LabelRow(name, int(seen), int(present), *map(float, rest))
        for name, (seen, present, *rest) in zip(names, zip(*columns, strict=True), strict=True)
    ]


@dataclass(frozen=True)
class Outputs:
    """True labels, scores and predictions of the test examples of a run, in a file small enough for every run.

    The file takes two bytes a score and a bit each for true, predicted and, where not all are, known labels: 0.6 MB for
    3,000 examples and 90 labels. Scores are saved as log-odds: half precision has a thousand steps a power of two, and
    near 1 a probability would have none left.
    """

    labels: Shaped[np.ndarray, "examples labels"]
    """0 or 1; NaN where it is not known."""
    scores: Float[np.ndarray, "examples labels"]
    """Probabilities."""
    predictions: Bool[np.ndarray, "examples labels"]

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            RunError: The file cannot be written.
        """
        with np.errstate(divide="ignore"):
            odds = logit(self.scores).clip(-_FARTHEST, _FARTHEST)
        bits = {name: np.packbits(getattr(self, name) > 0, axis=1) for name in ("labels", "predictions")}
        known = known_pairs(self.labels)
        if not known.all():
            bits["known"] = np.packbits(known, axis=1)
        with whole_file(Path(path)) as file:
            # in rows: an array in columns would be written as it lies in memory
            file.write(
                safetensors.numpy.save(
                    {
                        "log_odds": np.ascontiguousarray(odds, np.float16),
                        **{name: np.ascontiguousarray(one) for name, one in bits.items()},
                    }
                )
            )

    @classmethod
    def load(cls, path: str | Path) -> "Outputs":
        """Load a saved file: the scores to three digits of their log-odds, the rest exactly.

        Raises:
            DataError: The file is not of this kind.
        """
        try:
            saved = safetensors.numpy.load_file(path)
            odds = saved["log_odds"].astype(np.float64)
            bits = {
                name: np.unpackbits(saved[name], axis=1, count=odds.shape[1]) for name in saved if name != "log_odds"
            }
            labels, predictions = bits["labels"], bits["predictions"] > 0
        except (OSError, KeyError, SafetensorError) as error:
            message = f"expected the outputs of a run on its test examples. Got {error!r}."
            raise DataError(message, path=Path(path)) from error
        if "known" in bits:
            labels = np.where(bits["known"], labels, np.nan).astype(np.float32)
        return cls(labels, expit(odds), predictions)


def _ordered(found: dict[str, float]) -> dict[str, float]:
    return {name: found[name] for name in (*_FLAT, "labels_scored") if name in found}


def _as_matrix(values: ArrayLike | sp.csr_array, name: str) -> Matrix:
    return sp.csr_array(values) if sp.issparse(values) else as_matrix(values, name)


def _dense(matrix: Matrix) -> np.ndarray:
    return matrix if isinstance(matrix, np.ndarray) else np.asarray(matrix.toarray())


def _check_measurable(labels: Matrix, scores: Matrix, predictions: Matrix) -> None:
    shapes = {labels.shape, scores.shape, predictions.shape}
    if len(shapes) > 1 or labels.ndim != 2 or not min(labels.shape):
        raise LabelShapeError(
            "labels, scores and predictions must be three matrices [examples, labels] of one shape with at least one "
            f"example and one label. Got {labels.shape}, {scores.shape} and {predictions.shape}."
        )
    values = scores if isinstance(scores, np.ndarray) else scores.data
    if not np.isfinite(values).all():
        raise TensorError(f"scores must be finite. Got {np.count_nonzero(~np.isfinite(values))} that are not.")
    for name, matrix in (("labels", labels), ("predictions", predictions)):
        held = matrix if isinstance(matrix, np.ndarray) else matrix.data
        wrong = (held != 0) & (held != 1) if held.dtype.kind != "b" else np.zeros(0, dtype=bool)
        if name == "labels":
            wrong &= known_pairs(held) if wrong.size else True
        if wrong.any():
            raise TensorError(f"{name} must be 0 or 1. Got {held[wrong][0]:g}.")


def _blocks(*matrices: Matrix) -> Iterator[list[np.ndarray]]:
    """Yield the same few rows of each matrix, dense."""
    rows, labels = matrices[0].shape
    step = max(1, BLOCK // labels)
    for at in range(0, rows, step):
        yield [_dense(matrix[at : at + step]) for matrix in matrices]
