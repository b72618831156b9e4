"""An example of weight 2 is one that is given twice, wherever nothing is drawn and no number of examples is fixed."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from labelcontrast.errors import ConfigError
from labelcontrast.metrics.ranking import average_precisions
from labelcontrast.probes.blend import fit_blend
from labelcontrast.probes.calibration import fit_calibration
from labelcontrast.probes.linear import fit_linear_probe, selection_score
from labelcontrast.probes.logistic import solve_logistic
from labelcontrast.probes.published import fit_probe
from labelcontrast.probes.thresholds import best_cuts, choose_thresholds, global_threshold
from labelcontrast.probes.views import NeighboursView, TreesView, WordsView

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(60, 4)).astype(np.float32)
COARSE = FEATURES.round()
LABELS = (FEATURES[:, :3] + RANDOM.normal(size=(60, 3)) > 0.3).astype(float)
LABELS[RANDOM.random(LABELS.shape) < 0.1] = np.nan
TEXTS = [" ".join(f"word{place}" for place in np.flatnonzero(row > 0)) or "none" for row in FEATURES]
WEIGHTS = RANDOM.integers(1, 9, 60).astype(float)
REPEATED = np.repeat(np.arange(60), WEIGHTS.astype(int))
CHANCES = 1 / (1 + np.exp(-FEATURES[:, :3]))


def probe(rows, own):
    return fit_linear_probe(*2 * (FEATURES[rows], LABELS[rows]), weights=(own, own)).scores(FEATURES)


def neighbours(rows, own):
    few = rows[rows < 8]  # given several times, they are fewer than the neighbours that vote
    view = NeighboursView.fit(FEATURES[few], LABELS[few], weights=own if own is None else own[:8])
    return NeighboursView.of_arrays(view.arrays()).logits(FEATURES)


def added_label(rows, own):
    """The blend of a label that is appended, on the scores of two views of very different spread."""
    blend = fit_blend(LABELS, {"one": FEATURES[:, :3], "other": 9 * FEATURES[:, 1:]})
    scores = {"one": COARSE[rows, 0], "other": 40 * FEATURES[rows, 3]}
    weights = np.ones(len(rows)) if own is None else own
    grown = blend.with_label(scores, frequency=0.2, weights=weights)
    return np.concatenate([grown.centre[-1], grown.scale[-1], grown.bias[-1:], grown.weight[-1]])


@pytest.mark.parametrize(
    "compute",
    [
        added_label,
        lambda rows, own: average_precisions(LABELS[rows], FEATURES[rows, :3], own),
        lambda rows, own: [selection_score(*2 * (FEATURES[rows], LABELS[rows]), weights=(own, own))],
        probe,
        lambda rows, own: best_cuts(LABELS[rows], CHANCES[rows], weights=own),
        lambda rows, own: global_threshold(LABELS[rows, :1], CHANCES[rows, :1], weights=own).values,
        lambda rows, own: fit_calibration(LABELS[rows], CHANCES[rows], method="temperature", weights=own).maps,
        lambda rows, own: fit_calibration(LABELS[rows], CHANCES[rows], method="isotonic", weights=own).apply(CHANCES),
        neighbours,
        lambda rows, own: TreesView.fit(COARSE[rows], LABELS[rows], weights=own).logits(COARSE),
    ],
    ids=[
        "added label",
        "precision",
        "selection",
        "probe",
        "cuts",
        "global",
        "temperature",
        "isotonic",
        "neighbours",
        "trees",
    ],
)
def test_a_weight_of_two_is_a_row_given_twice(compute) -> None:
    weighted, repeated = compute(np.arange(60), WEIGHTS), compute(REPEATED, None)
    np.testing.assert_allclose(weighted, repeated, atol=1e-3)
    assert np.abs(np.subtract(weighted, compute(np.arange(60), None))).max() > 3e-3


def test_the_solver_equals_that_of_scikit_learn() -> None:
    true, own = (FEATURES[:, :1] > 0.2).astype(float), WEIGHTS
    design = np.hstack([FEATURES, np.ones((60, 1))]).astype(np.float64)
    found = solve_logistic(design, true, np.zeros((5, 1)), strength=0.1, weights=own, tolerance=1e-9)
    judge = LogisticRegression(C=1 / (own.sum() * 0.1), tol=1e-9).fit(design[:, :4], true[:, 0], sample_weight=own)
    np.testing.assert_allclose(found[:, 0], [*judge.coef_[0], judge.intercept_[0]], atol=1e-5)


def test_average_precision_equals_that_of_scikit_learn() -> None:
    known = ~np.isnan(LABELS[:, 0])
    expected = average_precision_score(LABELS[known, 0], CHANCES[known, 0], sample_weight=WEIGHTS[known])
    assert average_precisions(LABELS, CHANCES, WEIGHTS)[0] == pytest.approx(expected)


def test_words_blend_and_thresholds_of_a_label_follow_the_heavy_examples() -> None:
    """What is solved to a tolerance, or on folds, is not equal to the digit."""
    half = np.repeat([True, False], 30)
    labels = np.where(half, CHANCES[:, 0] > 0.5, CHANCES[:, 0] < 0.5)[:, None].astype(int)  # the halves contradict
    for heavy, right in ((half, 1), (~half, -1)):
        own = np.where(heavy, 50.0, 0.02)
        words = WordsView.fit(TEXTS, labels, weights=own).logits(TEXTS)[:, 0]
        assert ((words > 0) == labels[:, 0])[heavy].mean() > 0.9
        blend = fit_blend(labels, {"one": FEATURES[:, :1], "other": -FEATURES[:, :1]}, weights=own)
        assert blend.shares["one" if right == 1 else "other"] > 0.7
        scores = CHANCES[:, :1] if right == 1 else 1 - CHANCES[:, :1]
        predicted = choose_thresholds("per_label", labels, scores, weights=own).predict(scores)
        assert (predicted == labels)[heavy].mean() > 0.9


def test_the_published_probe_refuses_weights() -> None:
    with pytest.raises(ConfigError, match="'paper' does not weight examples"):
        fit_probe("paper", *2 * (FEATURES, LABELS), weights=(WEIGHTS, None))
