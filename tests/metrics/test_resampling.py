"""Measures on resamples against the measures of the resampled examples themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.metrics import resampling
from labelcontrast.metrics.measures import compute_metrics
from labelcontrast.metrics.resampling import RESAMPLED, draw_resamples, resampled_metrics


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 12),
    st.integers(1, 5),
    st.sampled_from([2, 5, 1000]),
    st.sampled_from([0.0, 0.3]),
)
def test_equal_to_the_measures_of_the_examples_drawn(
    seed: int, examples: int, labels: int, levels: int, unknown: float
) -> None:
    generator = np.random.default_rng(seed)
    true = (generator.random((examples, labels)) < 0.3).astype(np.float32)
    true[1:][generator.random((examples - 1, labels)) < unknown] = np.nan
    scores = generator.integers(0, levels, size=true.shape) / levels
    predicted = scores > 0.6
    counts = draw_resamples(examples, resamples=3, generator=generator)
    counts[:, 0] += 1  # the first example is known, so that there is something to measure
    found = resampled_metrics(true, scores, predicted, counts)
    assert set(found) == set(RESAMPLED)
    for resample, count in enumerate(counts):
        rows = np.repeat(np.arange(examples), count)
        expected = compute_metrics(true[rows], scores[rows], predicted[rows])
        for name, values in found.items():
            assert values[resample] == pytest.approx(expected[name], abs=1e-12, nan_ok=True), name


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    true, scores = (generator.random((40, 3)) < 0.3).astype(np.uint8), generator.random((40, 3))
    counts = draw_resamples(40, resamples=7, generator=generator)
    whole = resampled_metrics(true, scores, scores > 0.5, counts)
    monkeypatch.setattr(resampling, "_AT_ONCE", 50)
    for name, values in resampled_metrics(true, scores, scores > 0.5, counts).items():
        np.testing.assert_array_equal(values, whole[name])


@given(st.sets(st.sampled_from(RESAMPLED)))
def test_what_is_not_asked_for_is_left_out_and_changes_nothing(asked: set[str]) -> None:
    generator = np.random.default_rng(1)
    true, scores = (generator.random((20, 3)) < 0.3).astype(np.uint8), generator.random((20, 3))
    counts = draw_resamples(20, resamples=4, generator=generator)
    whole, some = (resampled_metrics(true, scores, scores > 0.5, counts, names) for names in (RESAMPLED, asked))
    assert set(some) == asked
    assert all((some[name] == whole[name]).all() for name in asked)


def test_the_spread_is_that_of_new_samples() -> None:
    generator = np.random.default_rng(4)

    def sample() -> tuple[np.ndarray, np.ndarray]:
        true = (generator.random((400, 4)) < 0.4).astype(np.uint8)
        return true, true + generator.normal(size=true.shape)

    afresh = [compute_metrics(*one, one[1] > 0.5) for one in (sample() for _ in range(60))]
    true, scores = sample()
    counts = draw_resamples(400, resamples=200, generator=generator)
    drawn = resampled_metrics(true, scores, scores > 0.5, counts)
    for name in RESAMPLED:
        ratio = drawn[name].std() / np.std([one[name] for one in afresh])
        assert 0.7 < ratio < 1.4, name
