"""Average precision from a histogram: exact where a bin is a score, near to it elsewhere.

Batches, dense or sparse, come to the same measures as all at once.
"""

import numpy as np
import pytest
from scipy.sparse import csr_array

from labelcontrast.errors import TensorError
from labelcontrast.metrics import streaming
from labelcontrast.metrics.counting import TrainingLabels
from labelcontrast.metrics.measures import average_precisions, compute_metrics
from labelcontrast.metrics.streaming import ScoreHistogram, StreamedMetrics


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


@pytest.mark.parametrize("convert", [np.asarray, csr_array])
def test_equal_to_all_at_once(convert, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "BLOCK", 60)
    generator = np.random.default_rng(0)
    true = (generator.random((300, 8)) < 0.3).astype(float)
    true[generator.random(true.shape) < 0.1] = np.nan
    scores = generator.random(true.shape) * (generator.random(true.shape) < 0.7)
    train = TrainingLabels(np.geomspace(1, 800, 8), 1000)
    streamed = StreamedMetrics(8, train=train)
    for at in range(0, 300, 41):
        streamed.update(*(convert(one[at : at + 41]) for one in (true, scores, scores > 0.5)))
    found, expected = streamed.measures(), compute_metrics(true, scores, scores > 0.5, train=train)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=3e-3 if name.startswith("map") else 1e-12)


def test_scores_that_are_no_probabilities_are_refused_or_have_no_average_precision() -> None:
    labels, scores = np.array([[1, 0]]), np.array([[-2.0, 3.0]])
    with pytest.raises(TensorError, match=r"^scores must be probabilities\. Got -2 to 3\.$"):
        StreamedMetrics(2).update(labels, scores, scores > 0)
    free = StreamedMetrics(2, bins=None)
    free.update(labels, scores, scores > 0)
    assert "map_macro" not in free.measures()
    assert free.measures()["ranking_loss"] == 1.0
