"""Levels against scikit-learn on what is known of each, in one batch and in several."""

import numpy as np
import pytest
from graphs import Graph, graphs, label_matrices
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from labelcontrast.evaluation.hierarchical.levels import LevelMetrics


@pytest.mark.parametrize("share", [0, 1], ids=["all known", "some unknown"])
@settings(deadline=None, max_examples=15)
@given(graphs(), st.data())
def test_levels_against_scikit_learn(share: int, graph: Graph, data: st.DataObject) -> None:
    drawn = [data.draw(label_matrices(labels=len(graph.above), examples=4)) for _ in range(3)]
    labels, predictions, hidden = drawn
    labels = np.where(hidden * share == 1, np.nan, labels)
    known = ~np.isnan(labels)
    counted = LevelMetrics(graph.depths)
    for rows in (slice(0, 3), slice(3, 4)):
        counted.update(labels[rows], predictions[rows])
    found = counted.measures()
    assert len(found) == graph.depths.max() + 1
    f1 = [
        f1_score(labels[seen, column], predictions[seen, column], zero_division=0) if seen.any() else np.nan
        for column, seen in enumerate(known.T)
    ]
    assert counted.f1[0].tolist() == pytest.approx(f1, nan_ok=True)
    for depth, measured in enumerate(found):
        here = graph.depths == depth
        true, claimed, seen = (matrix[:, here] for matrix in (labels, predictions, known))
        micro = f1_score(true[seen], claimed[seen], zero_division=0) if seen.any() else np.nan
        of_known = [one for one, is_here in zip(f1, here, strict=True) if is_here and not np.isnan(one)]
        exact = [(t[s] == p[s]).all() for t, p, s in zip(true, claimed, seen, strict=True) if (t == 1).any()]
        assert measured["micro_f1"] == pytest.approx(micro, nan_ok=True)
        assert measured["macro_f1"] == pytest.approx(np.mean(of_known) if of_known else np.nan, nan_ok=True)
        assert measured["accuracy"] == pytest.approx(np.mean(exact) if exact else np.nan, nan_ok=True)
