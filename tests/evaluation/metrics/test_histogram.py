"""Average precision from a histogram: exact where a bin is a score, near to it elsewhere."""

import numpy as np
import pytest

from labelcontrast.evaluation.metrics.histogram import ScoreHistogram
from labelcontrast.evaluation.metrics.measures import average_precisions


def filled(true: np.ndarray, scores: np.ndarray, *, bins: int = 2048) -> ScoreHistogram:
    histogram = ScoreHistogram(true.shape[1], bins)
    for at in range(0, len(true), 100):
        rows = slice(at, at + 100)
        histogram.update(true[rows], np.ones(true[rows].shape, bool), scores[rows])
    return histogram


def test_exact_where_no_bin_holds_two_scores() -> None:
    generator = np.random.default_rng(0)
    true = generator.random((400, 5)) < [0.5, 0.2, 0.05, 0.01, 0.0]
    scores = generator.choice([0.0, 1e-6, 0.01, 0.3, 0.5, 0.99, 1.0], true.shape).astype(np.float32)
    histogram = filled(true, scores)
    assert histogram.average_precisions() == pytest.approx(average_precisions(true, scores), nan_ok=True, abs=1e-12)
    micro = average_precisions(true.reshape(-1, 1), scores.reshape(-1, 1)).item()
    assert histogram.micro_average_precision() == pytest.approx(micro, abs=1e-12)


def test_near_for_scores_as_models_give_them() -> None:
    generator = np.random.default_rng(1)
    true = generator.random((5000, 20)) < 0.3 / np.arange(1, 21)
    scores = 1 / (1 + np.exp(-(2 * generator.normal(size=true.shape) + 4 * true - 5)))
    lost = average_precisions(true, scores) - filled(true, scores).average_precisions()
    assert np.abs(lost).max() < 3e-3
    finer = average_precisions(true, scores) - filled(true, scores, bins=16_384).average_precisions()
    assert np.abs(finer).max() < 1e-3
