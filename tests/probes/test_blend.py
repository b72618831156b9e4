"""Tests of ``labelcontrast.probes.blend``."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit

from labelcontrast import metrics, probes
from labelcontrast.errors import ConfigError, DataError, LabelShapeError
from labelcontrast.probes.blend import _solve

Views = dict[str, np.ndarray]


def simulated(
    examples: int, noises: dict[str, float], *, labels: int = 20, rarest: float = 0.01, seed: int = 0
) -> tuple[np.ndarray, Views]:
    """Draw labels whose true log-odds are known, and views of these log-odds with noise, each on a scale of its own."""
    random = np.random.default_rng(seed)
    bias = np.log(np.geomspace(rarest, 0.3, labels))
    odds = 2 * random.normal(size=(examples, labels)) + bias
    truth = (random.random((examples, labels)) < expit(odds)).astype(np.uint8)
    scales = np.geomspace(0.2, 5, len(noises))
    pairs = zip(noises.items(), scales, strict=True)
    return truth, {name: scale * (odds + noise * random.normal(size=odds.shape)) for (name, noise), scale in pairs}


def halves(truth: np.ndarray, views: Views) -> tuple[np.ndarray, Views, np.ndarray, Views]:
    half = len(truth) // 2
    first, second = ({name: one[part] for name, one in views.items()} for part in (slice(half), slice(half, None)))
    return truth[:half], first, truth[half:], second


def mean_ap(truth: np.ndarray, scores: np.ndarray) -> float:
    return float(metrics.mean_average_precision(truth, scores))


@pytest.mark.parametrize("noises", [{"a": 1.0, "b": 1.0}, {"a": 0.5, "b": 3.0}, {"a": 1.0, "b": 2.0, "c": 4.0}])
def test_a_blend_of_independent_views_beats_the_best_of_them(noises: dict[str, float]) -> None:
    val, val_views, test, test_views = halves(*simulated(4000, noises))
    blend = probes.fit_blend(val, val_views)
    best = max(mean_ap(test, one) for one in test_views.values())
    assert mean_ap(test, blend.probabilities(test_views)) > best - 0.005
    assert list(blend.shares) == list(noises)
    assert sum(blend.shares.values()) == pytest.approx(1)
    assert (
        sorted(blend.shares, key=blend.shares.__getitem__, reverse=True) == list(noises) or noises["a"] == noises["b"]
    )


def test_equal_views_get_the_weights_of_the_best_linear_combination() -> None:
    val, val_views, test, test_views = halves(*simulated(20_000, {"a": 1.0, "b": 1.0}, labels=5, rarest=0.1))
    blended = probes.fit_blend(val, val_views).probabilities(test_views)
    # The views have the same noise, so that their mean on a common scale is the best linear combination.
    oracle = test_views["a"] / 0.2 + test_views["b"] / 5
    assert mean_ap(test, blended) == pytest.approx(mean_ap(test, oracle), abs=0.003)


@pytest.mark.parametrize("examples", [30, 100, 400])
def test_a_blend_is_not_worse_than_the_best_view_by_more_than_noise(examples: int) -> None:
    differences = []
    for seed in range(8):
        truth, views = simulated(examples + 3000, {"good": 0.3, "useless": 30.0}, seed=seed)
        fitted = probes.fit_blend(truth[:examples], {name: one[:examples] for name, one in views.items()})
        rest = {name: one[examples:] for name, one in views.items()}
        differences.append(
            mean_ap(truth[examples:], fitted.probabilities(rest)) - mean_ap(truth[examples:], rest["good"])
        )
    assert np.mean(differences) > -0.02


def test_probabilities_are_calibrated() -> None:
    val, val_views, test, test_views = halves(*simulated(20_000, {"a": 0.5, "b": 1.0}))
    blended = probes.fit_blend(val, val_views).probabilities(test_views)
    assert blended.dtype == np.float32
    assert probes.reliability(test.ravel(), blended.ravel()).error < 0.01
    np.testing.assert_allclose(blended.mean(axis=0), test.mean(axis=0), atol=0.02)


def test_weights_of_a_label_equal_a_general_solver() -> None:
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(80, 3, 2)), random.integers(0, 2, size=(80, 3)).astype(float)
    logits[:, :, 0] += labels
    labels[:7, 1] = np.nan
    prior = np.tile([0.5, 0.2, -0.3], (3, 1))
    found = _solve(logits, labels, prior, prior, strength=2.0)
    for label in range(3):
        known = ~np.isnan(labels[:, label])
        design = np.column_stack([logits[known, label], np.ones(known.sum())])
        true = labels[known, label]

        def objective(w: np.ndarray, design: np.ndarray = design, true: np.ndarray = true, label: int = label) -> float:
            margins = design @ w
            return float((np.logaddexp(0, margins) - true * margins).sum() + ((w - prior[label]) ** 2).sum())

        bounds = [(0, None), (0, None), (None, None)]
        expected = minimize(objective, prior[label], bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-10}).x
        np.testing.assert_allclose(found[label], expected, atol=2e-5)
    assert (found[:, :-1] >= 0).all()


def test_a_rare_label_has_the_common_weights_and_a_frequent_one_its_own() -> None:
    random = np.random.default_rng(1)
    odds = random.normal(size=(3000, 8)) * 2
    odds[:, 0] -= 7
    truth = (random.random(odds.shape) < expit(odds)).astype(np.uint8)
    noise = random.normal(size=odds.shape)
    good, bad = odds + noise, np.where(np.arange(8) == 7, odds + 0.1 * noise[::-1], 5 * noise[::-1])
    blend = probes.fit_blend(truth, {"good": good, "bad": bad}, strengths=(10.0,))
    shares = blend.weight / blend.weight.sum(axis=1, keepdims=True)
    assert shares[7, 1] > shares[:7, 1].max() + 0.3
    assert abs(shares[0, 0] - np.median(shares[:7, 0])) < 0.15


def test_the_scale_of_a_view_does_not_matter() -> None:
    val, val_views, _, test_views = halves(*simulated(1000, {"a": 1.0, "b": 2.0}))
    blended = probes.fit_blend(val, val_views).probabilities(test_views)
    scaled = [{name: 1000 * one - 3 for name, one in views.items()} for views in (val_views, test_views)]
    np.testing.assert_allclose(probes.fit_blend(val, scaled[0]).probabilities(scaled[1]), blended, atol=1e-4)


def test_contributions_add_up_to_the_log_odds() -> None:
    truth, views = simulated(300, {"a": 1.0, "b": 2.0})
    blend = probes.fit_blend(truth, views)
    parts = blend.contributions({**views, "another": views["a"]})
    assert list(parts) == ["a", "b", "bias"]
    np.testing.assert_allclose(expit(sum(parts.values())), blend.probabilities(views), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(examples=st.integers(1, 12), labels=st.integers(1, 3), views=st.integers(1, 3), seed=st.integers(0, 9))
def test_few_examples_constant_views_and_unknown_labels_give_finite_probabilities(
    examples: int, labels: int, views: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    truth = random.choice([0.0, 1.0, np.nan], size=(examples, labels))
    logits = {str(place): random.normal(size=truth.shape) * random.choice([0, 1, 1e6]) for place in range(views)}
    found = probes.fit_blend(truth, logits).probabilities(logits)
    assert np.isfinite(found).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_unknown_pairs_do_not_count() -> None:
    truth, views = simulated(400, {"a": 1.0, "b": 2.0}, labels=4)
    hidden = np.random.default_rng(0).random(truth.shape) < 0.3
    blends = []
    for guess in (0, 1):
        given_labels = np.where(hidden, np.nan, np.where(hidden, guess, truth))
        blends.append(probes.fit_blend(given_labels, views))
    np.testing.assert_array_equal(blends[0].weight, blends[1].weight)


def test_a_blend_is_saved_and_loaded(tmp_path: Path) -> None:
    truth, views = simulated(200, {"a": 1.0, "b": 2.0})
    for strengths in ((np.inf,), (3.0,)):
        blend = probes.fit_blend(truth, views, strengths=strengths)
        blend.save(tmp_path / "blend.json")
        again = probes.Blend.load(tmp_path / "blend.json")
        np.testing.assert_array_equal(again.probabilities(views), blend.probabilities(views))
        assert (again.views, again.strength) == (blend.views, blend.strength)
    assert repr(blend).startswith("Blend(20 labels: a 0.")


def test_bad_input_is_refused(tmp_path: Path) -> None:
    truth, views = simulated(20, {"a": 1.0})
    with pytest.raises(ConfigError, match="at least one view"):
        probes.fit_blend(truth, {})
    with pytest.raises(LabelShapeError):
        probes.fit_blend(truth[:, :3], views)
    blend = probes.fit_blend(truth, views)
    with pytest.raises(LabelShapeError, match=r"the view a must have logits of 20 labels\. Got none"):
        blend.probabilities({})
    with pytest.raises(LabelShapeError, match="Got 3"):
        blend.probabilities({"a": np.zeros((2, 3))})
    weights = '{"views": ["a"], "strength": 1, "bias": [0], "weight": [[1]], "centre": [[0]], "scale": [[%s]]}'
    (tmp_path / "blend.json").write_text(weights % 1)
    assert probes.Blend.load(tmp_path / "blend.json").views == ("a",)
    wrong_width = '{"views": ["a"], "strength": 1, "bias": [0], "weight": [[1, 2]]}'
    for content in ("{", wrong_width, weights % 0, weights % "NaN"):
        (tmp_path / "blend.json").write_text(content)
        with pytest.raises(DataError, match=r"blend\.json"):
            probes.Blend.load(tmp_path / "blend.json")
