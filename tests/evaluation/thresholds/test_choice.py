"""The door to the rules: each is what its own function says, with the policy for empty sets on it."""

import numpy as np
import pytest

from labelcontrast.evaluation.thresholds.choice import Rule, choose_thresholds
from labelcontrast.evaluation.thresholds.per_label import per_label_thresholds
from labelcontrast.evaluation.thresholds.rules import expected_f1_rule, fixed_threshold, global_threshold, top_labels

RANDOM = np.random.default_rng(0)
LABELS = (RANDOM.random((60, 4)) < 0.4).astype(np.uint8)
SCORES = np.clip(0.5 * LABELS + 0.5 * RANDOM.random((60, 4)), 0, 1)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("fixed", fixed_threshold(4)),
        ("global", global_threshold(LABELS, SCORES)),
        ("per_label", per_label_thresholds(LABELS, SCORES)),
        ("top_k", top_labels(4, most=2)),
        ("expected_f1", expected_f1_rule(4)),
    ],
)
def test_a_rule_by_its_name(rule: Rule, expected: object) -> None:
    found = choose_thresholds(rule, LABELS, SCORES, top_k=2)
    np.testing.assert_array_equal(found.predict(SCORES), expected.predict(SCORES))
    assert found.rule == expected.rule


def test_an_empty_set_takes_the_best_label_where_that_is_asked_for() -> None:
    assert choose_thresholds("fixed", LABELS, SCORES, empty="best").predict(np.array([[0.1, 0.2, 0.3, 0.2]])).any()
