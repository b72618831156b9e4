"""One door to the rules of thresholds: a name in, thresholds out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped

from labelcontrast.evaluation.thresholds.per_label import per_label_thresholds
from labelcontrast.evaluation.thresholds.rules import (
    Empty,
    Thresholds,
    expected_f1_rule,
    fixed_threshold,
    global_threshold,
    top_labels,
)

Rule = Literal["global", "fixed", "per_label", "top_k", "expected_f1"]


def choose_thresholds(
    rule: Rule,
    labels: Shaped[np.ndarray, "examples labels"],
    probabilities: Float[np.ndarray, "examples labels"],
    *,
    top_k: int = 3,
    empty: Empty = "allow",
) -> Thresholds:
    """Follow a rule; what it has to choose is chosen on these examples.

    Args:
        rule: ``fixed`` is one half; ``global`` and ``per_label`` are chosen; the others need no examples.
        labels: What is true of the validation examples, 0 or 1.
        probabilities: What the model says of them.
        top_k: Labels of each example under the rule of this name.
        empty: What is done where no label passes.

    Example:
        >>> choose_thresholds("fixed", np.zeros((1, 2)), np.zeros((1, 2))).values
        array([0.5, 0.5])
    """
    count = labels.shape[1]
    rules: dict[Rule, Callable[[], Thresholds]] = {
        "fixed": lambda: fixed_threshold(count),
        "global": lambda: global_threshold(labels, probabilities),
        "per_label": lambda: per_label_thresholds(labels, probabilities),
        "top_k": lambda: top_labels(count, most=top_k),
        "expected_f1": lambda: expected_f1_rule(count),
    }
    return replace(rules[rule](), empty=empty)
