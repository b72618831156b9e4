"""Calibration on data with known probabilities, against scikit-learn; reliability by hand; files and refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from labelcontrast.errors import ConfigError, DataError, LabelShapeError
from labelcontrast.probes.calibration import Calibration, calibration_errors, fit_calibration, reliability


def overconfident(examples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from true probabilities, and predicted ones: their logits times 3, 0.5 and 1."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(examples, 3))
    true = generator.random(logits.shape) < 1 / (1 + np.exp(-logits))
    return true.astype(float), 1 / (1 + np.exp(-logits * [3.0, 0.5, 1.0]))


def test_the_temperature_is_that_of_a_logistic_regression_without_intercept() -> None:
    true, scores = overconfident(2000)
    fitted = fit_calibration(true, scores, method="temperature")
    for label, found in enumerate(fitted.maps):
        logits = np.log(scores[:, [label]] / (1 - scores[:, [label]]))
        model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8).fit(logits, true[:, label])
        assert found == pytest.approx(1 / model.coef_.item(), rel=1e-3)


def test_isotonic_steps_are_those_of_scikit_learn() -> None:
    true, scores = overconfident(400)
    _, new = overconfident(200, seed=1)
    found = fit_calibration(true, scores, method="isotonic").apply(new)
    for label in range(3):
        model = IsotonicRegression(out_of_bounds="clip").fit(scores[:, label], true[:, label])
        np.testing.assert_allclose(found[:, label], model.predict(new[:, label]), atol=1e-12)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_the_error_on_new_examples_falls(method) -> None:
    fitted = fit_calibration(*overconfident(3000), method=method)
    true, scores = overconfident(6000, seed=1)
    before, after = calibration_errors(true, scores), calibration_errors(true, fitted.apply(scores))
    assert (before[:2] > 0.08).all()
    assert (after < 0.035).all()
    assert fitted.apply(scores.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_a_rare_label_takes_the_map_of_all_and_unknown_labels_are_left_out(method) -> None:
    true, scores = overconfident(500)
    true[:, 2] = np.arange(500) < 9
    fitted = fit_calibration(true, scores, method=method)
    pooled = fit_calibration(true.reshape(-1, 1), scores.reshape(-1, 1), method=method)
    assert fitted.maps[2] == pooled.maps[0] != fitted.maps[0]
    holed = np.vstack([true, np.full((100, 3), np.nan)])
    assert fit_calibration(holed, np.vstack([scores, scores[:100]]), method=method) == fitted
    nothing = fit_calibration(np.zeros((30, 2)), scores[:30, :2], method=method)
    np.testing.assert_allclose(nothing.apply(scores[:, :2]), scores[:, :2], atol=1e-12)


def test_reliability_by_hand_and_its_error() -> None:
    generator = np.random.default_rng(0)
    scores, true = generator.random(300), (generator.random(300) < 0.4).astype(float)
    true[::7] = np.nan
    found = reliability(true, scores, bins=10)
    expected = 0.0
    for place in range(10):
        chosen = [i for i in range(300) if not np.isnan(true[i]) and place / 10 <= scores[i] < (place + 1) / 10]
        assert found.count[place] == len(chosen)
        assert found.predicted[place] == pytest.approx(np.mean(scores[chosen]))
        assert found.true[place] == pytest.approx(np.mean(true[chosen]))
        expected += len(chosen) * abs(np.mean(scores[chosen]) - np.mean(true[chosen]))
    assert found.error == pytest.approx(expected / found.count.sum())
    assert reliability(np.array([1.0]), np.array([1.0])).count[-1] == 1
    assert np.isnan(reliability(np.array([np.nan]), np.array([0.5])).error)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_a_file_preserves_every_digit(method, tmp_path: Path) -> None:
    before = fit_calibration(*overconfident(200), method=method)
    before.save(tmp_path / "calibration.json")
    assert Calibration.load(tmp_path / "calibration.json") == before


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", '{"method": "magic", "maps": []}', '{"method": "isotonic", "maps": [1]}', '{"method": "isotonic"}'),
        *('{"method": "temperature", "maps": [1.5, 0]}', '{"method": "temperature", "maps": [NaN]}'),
        *('{"method": "isotonic", "maps": [[[0.5, 1], [0.1, 0]]]}', '{"method": "isotonic", "maps": [[]]}'),
    ],
)
def test_refuses_a_damaged_file(text: str, tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(DataError, match=r'calibration\.json: expected \{"method": name, "maps": \[\.\.\.\]\}\. Got'):
        Calibration.load(tmp_path / "calibration.json")


@pytest.mark.usefixtures("unchecked")
def test_invalid_inputs_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^method must be temperature or isotonic\. Got 'platt'\.$"):
        fit_calibration(np.ones((2, 2)), np.ones((2, 2)), method="platt")
    with pytest.raises(LabelShapeError, match=r"^probabilities must have one column per label, 1\. Got 2\.$"):
        Calibration("temperature", [1.0]).apply(np.ones((2, 2)))


def test_calibration_takes_lists_and_tensors() -> None:
    labels = np.tile([[1, 0], [0, 1], [1, 1]], (20, 1))
    scores = np.tile([[0.6, 0.2], [0.1, 0.9], [0.7, 0.4]], (20, 1))
    expected = fit_calibration(labels, scores, method="temperature")
    for convert in (np.ndarray.tolist, torch.from_numpy):
        found = fit_calibration(convert(labels), convert(scores), method="temperature")
        assert found == expected
        np.testing.assert_array_equal(found.apply(convert(scores)), expected.apply(scores))
        errors = calibration_errors(convert(labels), convert(scores))
        np.testing.assert_array_equal(errors, calibration_errors(labels, scores))
    with pytest.raises(LabelShapeError, match=r"^labels and probabilities must have one shape, .* Got \[60, 2\] and"):
        fit_calibration(labels, scores[1:], method="temperature")
