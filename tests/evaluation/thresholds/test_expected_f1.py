"""The set with the highest expected F1, against all sets and all truths, one after the other."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.evaluation.thresholds import expected_f1
from labelcontrast.evaluation.thresholds.expected_f1 import expected_f1_sets


def literal_expectation(chosen: tuple[bool, ...], chances: list[float]) -> float:
    """Mean over every truth, by its probability, of its F1 with the set; 0 where either is empty."""
    total = 0.0
    for truth in product((False, True), repeat=len(chances)):
        weight = np.prod([chance if one else 1 - chance for one, chance in zip(truth, chances, strict=True)])
        hits = sum(a and b for a, b in zip(chosen, truth, strict=True))
        total += weight * (2 * hits / (sum(chosen) + sum(truth)) if hits else 0.0)
    return total


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([0.0, 0.01, 0.1, 0.3, 0.5, 0.77, 0.9, 1.0]), min_size=1, max_size=5))
def test_no_set_has_a_higher_expected_f1(chances: list[float]) -> None:
    found = tuple(expected_f1_sets(np.array([chances]))[0].tolist())
    best = max(literal_expectation(chosen, chances) for chosen in product((False, True), repeat=len(chances)))
    assert literal_expectation(found, chances) == pytest.approx(best, abs=1e-12)
    assert any(found) == any(chances)


def test_examples_do_not_depend_on_their_company_nor_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    chances = np.random.default_rng(0).random((9, 12)).astype(np.float32) ** 2
    whole = expected_f1_sets(chances)
    monkeypatch.setattr(expected_f1, "BLOCK", 300)
    assert expected_f1_sets(chances).tolist() == whole.tolist()
    assert expected_f1_sets(chances[3:4]).tolist() == whole[3:4].tolist()
    assert expected_f1_sets(chances[:0]).shape == (0, 12)
