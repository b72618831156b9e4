"""The measures on resamples of the examples, all resamples in one pass: what a bootstrap draws its distribution from.

A resample is a row of counts, how often each example is in it. Where two models are measured on the same resamples, the
difference of their values is paired.
"""

import numpy as np
from jaxtyping import Float, Integer, Shaped

Counts = Integer[np.ndarray, "resamples examples"]
RESAMPLED = ("micro_f1", "macro_f1", "sample_f1", "hamming_loss", "map_macro", "map_micro", "lrap")
"""The measures that are computed on resamples."""
_AT_ONCE = 2**22  # numbers that are held for a label at a time


def draw_resamples(examples: int, *, resamples: int, generator: np.random.Generator) -> Counts:
    """Draw how often each example is in each resample of as many examples as there are.

    Example:
        >>> draw_resamples(4, resamples=3, generator=np.random.default_rng(0)).sum(axis=1)
        array([4, 4, 4])
    """
    return generator.multinomial(examples, np.full(examples, 1 / examples), size=resamples)


def resampled_metrics(
    labels: Shaped[np.ndarray, "examples labels"],
    scores: Float[np.ndarray, "examples labels"],
    predictions: Shaped[np.ndarray, "examples labels"],
    counts: Counts,
) -> dict[str, Float[np.ndarray, " resamples"]]:
    """Compute every measure of ``RESAMPLED`` on every resample.

    Args:
        labels: What is true, 0 or 1.
        scores: Logits or probabilities, higher is likelier.
        predictions: What is predicted, 0 or 1.
        counts: How often each example is in each resample.

    Returns:
        By name what ``compute_metrics`` would find on each resample.

    Reference: Efron and Tibshirani, An Introduction to the Bootstrap, 1993.
    """
    true, predicted, weights = labels.astype(np.float64), predictions.astype(np.float64), counts.astype(np.float64)
    total = weights.sum(axis=1)
    hits, either = weights @ (true * predicted), weights @ (true + predicted)
    shared, both = (true * predicted).sum(axis=1), (true + predicted).sum(axis=1)
    found = {
        "micro_f1": _ratio(2 * hits.sum(axis=1), either.sum(axis=1)),
        "macro_f1": _ratio(2 * hits, either).mean(axis=1),
        "sample_f1": weights @ _ratio(2 * shared, both) / total,
        "hamming_loss": (either.sum(axis=1) - 2 * hits.sum(axis=1)) / (total * labels.shape[1]),
        "lrap": weights @ _ranking_precisions(labels, scores) / total,
    }
    by_label = [_precisions(labels[:, label], scores[:, label], weights) for label in range(labels.shape[1])]
    known = ~np.isnan(by_label)
    found["map_macro"] = _ratio(np.where(known, by_label, 0).sum(axis=0), known.sum(axis=0), empty=np.nan)
    pairs = np.repeat(np.arange(len(labels)), labels.shape[1])
    found["map_micro"] = _precisions(labels.ravel(), scores.ravel(), weights, pairs)
    return found


def _precisions(
    true: Shaped[np.ndarray, " rows"],
    scores: Float[np.ndarray, " rows"],
    weights: Float[np.ndarray, "resamples examples"],
    example_of: Integer[np.ndarray, " rows"] | None = None,
) -> Float[np.ndarray, " resamples"]:
    """Average precision of one ranking on every resample; it is sorted once. NaN where a resample has no positive."""
    order = np.argsort(-scores, kind="stable")
    place = np.flatnonzero(true[order])
    # Rows of the same score are ranked together: a positive is found where the last of its score is.
    ends = np.flatnonzero(np.append(np.diff(scores[order]), 1.0))
    end = ends[np.searchsorted(ends, place)]
    last = np.searchsorted(end, end, side="right") - 1
    columns = order if example_of is None else example_of[order]
    found = []
    for start in range(0, len(weights), step := max(_AT_ONCE // len(order), 1)):
        chosen = weights[start : start + step][:, columns]
        gained = chosen[:, place]
        hits, seen = gained.cumsum(axis=1)[:, last], chosen.cumsum(axis=1)[:, end]
        found.append(_ratio((gained * _ratio(hits, seen)).sum(axis=1), gained.sum(axis=1), empty=np.nan))
    return np.concatenate(found)


def _ranking_precisions(labels: np.ndarray, scores: np.ndarray) -> Float[np.ndarray, " examples"]:
    """Label ranking average precision of each example by itself: scikit-learn has only the mean."""
    order = np.argsort(-scores, axis=1)
    ranked, true = np.take_along_axis(scores, order, 1), np.take_along_axis(labels > 0, order, 1)
    ends_a_rank = np.append(np.diff(ranked, axis=1) != 0, np.ones((len(labels), 1), bool), axis=1)
    ends = np.where(ends_a_rank, np.arange(labels.shape[1]), labels.shape[1])
    end = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    precision = np.take_along_axis(true.cumsum(axis=1), end, 1) / (end + 1)
    own, trivial = true.sum(axis=1), true.all(axis=1) | ~true.any(axis=1)
    return np.where(trivial, 1.0, _ratio((precision * true).sum(axis=1), own))


def _ratio(part: np.ndarray, whole: np.ndarray, *, empty: float = 0.0) -> np.ndarray:
    """Part over whole; ``empty`` where the whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(part), empty), where=whole > 0))
