"""Who chooses what is tried next: Optuna's tree-structured Parzen estimator, asked for several trials at a time."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from math import isfinite
from typing import Any

from labelcontrast.studies.search.space import Range

DIGITS = 3
"""Significant digits of what is tried, so that the best settings can be read and written down."""


class Sampler:
    """Asks for values in ranges and hears how good they were; the same answers lead to the same questions.

    Args:
        space: the ranges by name.
        seed: of what is drawn.

    Reference: Watanabe, Tree-Structured Parzen Estimator: Understanding Its Algorithm Components, 2023.
    """

    def __init__(self, space: Mapping[str, Range], *, seed: int) -> None:
        optuna = import_module("optuna")  # an extra
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._failed = optuna.trial.TrialState.FAIL
        self._within = {
            name: optuna.distributions.FloatDistribution(one.low, one.high, log=one.log) for name, one in space.items()
        }
        self._asked: list[Any] = []

    def ask(self, count: int) -> list[dict[str, float]]:
        """Choose the values of the next trials."""
        self._asked = [self._study.ask(self._within) for _ in range(count)]
        return [{name: float(f"{one.params[name]:.{DIGITS}g}") for name in self._within} for one in self._asked]

    def tell(self, scores: Sequence[float | None]) -> None:
        """Hear what the trials asked for came to, higher is better; None where one failed."""
        for one, score in zip(self._asked, scores, strict=True):
            if score is None or not isfinite(score):
                self._study.tell(one, state=self._failed)
            else:
                self._study.tell(one, score)

    def importance(self) -> dict[str, float]:
        """Share out over the settings how much the best trials differ from the others by each; empty if none do.

        Reference: Watanabe et al., PED-ANOVA: Efficiently Quantifying Hyperparameter Importance, 2023.
        """
        values = {one.value for one in self._study.get_trials(deepcopy=False) if one.value is not None}
        if len(values) < 4 or len(self._within) < 2:
            return {}
        importance = import_module("optuna").importance
        found = importance.get_param_importances(self._study, evaluator=importance.PedAnovaImportanceEvaluator())
        return {name: float(found[name]) for name in self._within}
