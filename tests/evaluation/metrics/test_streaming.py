"""Batches, dense or sparse, come to the same measures as all at once."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from labelcontrast.errors import TensorError
from labelcontrast.evaluation.metrics import streaming
from labelcontrast.evaluation.metrics.counting import TrainingLabels
from labelcontrast.evaluation.metrics.measures import compute_metrics
from labelcontrast.evaluation.metrics.streaming import StreamedMetrics


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
