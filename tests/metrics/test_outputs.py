"""Kept outputs: what is true and predicted as it was, scores in their order, and as small as they say."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from labelcontrast.errors import DataError
from labelcontrast.metrics.measures import compute_metrics
from labelcontrast.metrics.outputs import Outputs


def test_written_and_read_again(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = (generator.random((3019, 90)) < 0.05).astype(np.uint8)
    scores = expit(4 * labels + 3 * generator.normal(size=labels.shape) - 4).astype(np.float32)
    scores[0, :3] = 0.0, 1.0, 0.5
    outputs = Outputs(labels, scores, scores > 0.4)
    outputs.save(tmp_path / "test.safetensors")
    assert (tmp_path / "test.safetensors").stat().st_size < 620_000
    again = Outputs.load(tmp_path / "test.safetensors")
    np.testing.assert_array_equal(again.labels, labels)
    np.testing.assert_array_equal(again.predictions, outputs.predictions)
    np.testing.assert_allclose(again.scores, scores, atol=2e-3)
    before, after = (compute_metrics(one.labels, one.scores, one.predictions) for one in (outputs, again))
    for name, value in before.items():
        assert after[name] == pytest.approx(value, rel=1e-3, abs=1e-3), name


def test_what_is_not_known_stays_so(tmp_path: Path) -> None:
    labels = np.array([[1, 0, np.nan], [np.nan, 1, 0]], dtype=np.float32)
    scores = np.array([[0.9, 0.2, 0.8], [0.1, 0.7, 0.4]])
    Outputs(labels, scores, scores > 0.5).save(tmp_path / "test.safetensors")
    again = Outputs.load(tmp_path / "test.safetensors")
    np.testing.assert_array_equal(again.labels, labels)
    np.testing.assert_array_equal(again.predictions, scores > 0.5)


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"no such thing")
    with pytest.raises(DataError, match=r"a\.safetensors: expected the outputs of a run on its test examples\. Got "):
        Outputs.load(tmp_path / "a.safetensors")
