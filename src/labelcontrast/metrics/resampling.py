"""The measures on resamples of the examples, all resamples in one pass: what a bootstrap draws its distribution from.

A resample is a row of counts, how often each example is in it. Where two models are measured on the same resamples, the
difference of their values is paired.
"""

from collections.abc import Collection

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped

from labelcontrast.metrics.counting import known_pairs
from labelcontrast.metrics.ranking import ranking_precisions

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
    metrics: Collection[str] = RESAMPLED,
) -> dict[str, Float[np.ndarray, " resamples"]]:
    """Compute measures on every resample.

    Args:
        labels: What is true, 0 or 1; NaN where it is not known, and such a pair is left out.
        scores: Logits or probabilities, higher is likelier.
        predictions: What is predicted, 0 or 1.
        counts: How often each example is in each resample.
        metrics: Which of ``RESAMPLED``; those of rankings are the dear ones.

    Returns:
        By name what ``compute_metrics`` would find on each resample.

    Reference: Efron and Tibshirani, An Introduction to the Bootstrap, 1993.
    """
    known, weights = known_pairs(labels), counts.astype(np.float64)
    true, predicted = (labels == 1).astype(np.float64), (known & predictions.astype(bool)).astype(np.float64)
    scored = known.any(axis=1)
    total, pairs = weights @ scored, weights @ known.astype(np.float64)
    hits, either = weights @ (true * predicted), weights @ (true + predicted)
    shared, both = (true * predicted).sum(axis=1), (true + predicted).sum(axis=1)
    found = {
        "micro_f1": _ratio(2 * hits.sum(axis=1), either.sum(axis=1)),
        "macro_f1": _ratio(_ratio(2 * hits, either).sum(axis=1), (pairs > 0).sum(axis=1), empty=np.nan),
        "sample_f1": _ratio(weights @ _ratio(2 * shared, both), total, empty=np.nan),
        "hamming_loss": _ratio((either - 2 * hits).sum(axis=1), pairs.sum(axis=1), empty=np.nan),
    }
    if "lrap" in metrics:
        ranked = ranking_precisions(labels == 1, known, scores)
        found["lrap"] = _ratio(weights @ np.where(scored, ranked, 0.0), total, empty=np.nan)
    if "map_macro" in metrics:
        by_label = [_precisions(*column, weights) for column in zip(labels.T, scores.T, known.T, strict=True)]
        measured = ~np.isnan(by_label)
        found["map_macro"] = _ratio(np.where(measured, by_label, 0).sum(axis=0), measured.sum(axis=0), empty=np.nan)
    if "map_micro" in metrics:
        found["map_micro"] = _precisions(labels, scores, known, weights)
    return {name: found[name] for name in RESAMPLED if name in metrics}


def _precisions(
    labels: Shaped[np.ndarray, "examples *labels"],
    scores: Float[np.ndarray, "examples *labels"],
    known: Bool[np.ndarray, "examples *labels"],
    weights: Float[np.ndarray, "resamples examples"],
) -> Float[np.ndarray, " resamples"]:
    """Average precision of one ranking on every resample; it is sorted once. NaN where a resample has no positive."""
    example_of, scores = np.nonzero(known)[0], scores[known]
    order = np.argsort(-scores, kind="stable")
    place = np.flatnonzero(labels[known][order])
    # Rows of the same score are ranked together: a positive is found where the last of its score is.
    ends = np.flatnonzero(np.append(np.diff(scores[order]), 1.0))
    end = ends[np.searchsorted(ends, place)]
    last = np.searchsorted(end, end, side="right") - 1
    columns = example_of[order]
    found = []
    for start in range(0, len(weights), step := max(_AT_ONCE // max(len(order), 1), 1)):
        chosen = weights[start : start + step][:, columns]
        gained = chosen[:, place]
        hits, seen = gained.cumsum(axis=1)[:, last], chosen.cumsum(axis=1)[:, end]
        found.append(_ratio((gained * _ratio(hits, seen)).sum(axis=1), gained.sum(axis=1), empty=np.nan))
    return np.concatenate(found)


def _ratio(part: np.ndarray, whole: np.ndarray, *, empty: float = 0.0) -> np.ndarray:
    """Part over whole; ``empty`` where the whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(part), empty), where=whole > 0))
