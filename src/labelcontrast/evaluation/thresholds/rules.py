"""From probabilities to label sets: a label is predicted where its probability exceeds its threshold."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Shaped

from labelcontrast.errors import ConfigError, DataError, LabelShapeError
from labelcontrast.evaluation.thresholds.cuts import best_cuts
from labelcontrast.evaluation.thresholds.expected_f1 import expected_f1_sets
from labelcontrast.files import write_text

Empty = Literal["allow", "best"]


@dataclass(frozen=True)
class Thresholds:
    """A threshold a label, what else a predicted label must be, and the name of the rule; part of the saved model."""

    values: Float[np.ndarray, " labels"]
    how: str
    most: int | None = None
    """A label must be among so many most probable ones of its example; between equals the first label goes before."""
    expected_f1: bool = False
    """A label must be in the set whose expected F1 is highest."""
    empty: Empty = "allow"
    """Where nothing is predicted of an example: ``allow`` the empty set, or take the ``best``, most probable label."""

    @property
    def rule(self) -> str:
        """The rule in words, as ``top_k, at most 3 labels, the best label where none passes``."""
        words = [self.how]
        if self.most is not None:
            words.append(f"at most {self.most} labels")
        if self.empty == "best":
            words.append("the best label where none passes")
        return ", ".join(words)

    def predict(self, probabilities: Float[np.ndarray, "examples labels"]) -> Bool[np.ndarray, "examples labels"]:
        """Predict the labels whose probability exceeds the threshold; exactly at it is a no.

        Raises:
            LabelShapeError: The probabilities have another number of labels.

        Example:
            >>> fixed_threshold(2).predict(np.array([[0.9, 0.5], [0.2, 0.51]]))
            array([[ True, False],
                   [False,  True]])
        """
        if probabilities.shape[1] != len(self.values):
            raise LabelShapeError(
                f"probabilities must have one column a threshold, {len(self.values)}. Got {probabilities.shape[1]}."
            )
        predicted = probabilities > self.values
        if self.most is not None:
            predicted &= _most_probable(probabilities, self.most)
        if self.expected_f1:
            predicted &= expected_f1_sets(probabilities)
        if self.empty == "best":
            predicted |= _most_probable(probabilities, 1) & ~predicted.any(axis=1, keepdims=True)
        return np.asarray(predicted)

    def save(self, path: Path) -> None:
        """Write the thresholds as JSON."""
        saved: dict[str, Any] = {"how": self.how, "most": self.most, "expected_f1": self.expected_f1}
        saved |= {"empty": self.empty, "values": self.values.tolist()}
        write_text(path, json.dumps(saved, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Thresholds":
        """Read what ``save`` wrote, to the last digit; an older file has only ``how`` and ``values``.

        Raises:
            DataError: The file is not such JSON.
        """
        try:
            saved = json.loads(path.read_text())
            values = np.array(saved["values"], dtype=np.float64).reshape(-1)
            most, empty = saved.get("most"), saved.get("empty", "allow")
            if empty not in get_args(Empty):
                raise ValueError(empty)
            most = None if most is None else int(most)
            return cls(values, str(saved["how"]), most, bool(saved.get("expected_f1", False)), empty)
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f'expected {{"how": name, "values": [numbers]}}. Got {error!r}.', path=path) from error


def fixed_threshold(num_labels: int, *, threshold: float = 0.5) -> Thresholds:
    """Return the same threshold for every label, chosen beforehand.

    Raises:
        ConfigError: The threshold is not a probability.

    Example:
        >>> fixed_threshold(3).values
        array([0.5, 0.5, 0.5])
    """
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold must be between 0 and 1. Got {threshold}.")
    return Thresholds(np.full(num_labels, float(threshold)), "fixed")


def global_threshold(
    labels: Shaped[np.ndarray, "examples labels"], probabilities: Float[np.ndarray, "examples labels"]
) -> Thresholds:
    """Return for every label the one threshold that maximises micro-F1; of several, the nearest to 0.5.

    Args:
        labels: What is true of the validation examples, 0 or 1; NaN where it is not known.
        probabilities: What the model says of them.

    Example:
        >>> global_threshold(np.array([[1, 0], [0, 1]]), np.array([[0.4, 0.1], [0.2, 0.8]])).values.round(6)
        array([0.3, 0.3])

    Reference: Lipton, Elkan and Naryanaswamy, Optimal Thresholding of Classifiers to Maximize F1 Measure, 2014.
    """
    best = best_cuts(labels.reshape(-1, 1), probabilities.reshape(-1, 1)).item()
    return Thresholds(np.full(labels.shape[1], best), "global")


def top_labels(num_labels: int, *, most: int) -> Thresholds:
    """Predict for every example so many labels, the most probable ones; fewer where the probability is 0.

    Raises:
        ConfigError: The number is not positive.

    Example:
        >>> top_labels(3, most=2).predict(np.array([[0.1, 0.2, 0.3], [0.9, 0.0, 0.0]])).tolist()
        [[False, True, True], [True, False, False]]
    """
    if most < 1:
        raise ConfigError(f"most must be at least 1. Got {most}.")
    return Thresholds(np.zeros(num_labels), "top_k", most=most)


def expected_f1_rule(num_labels: int) -> Thresholds:
    """Predict for every example the set whose expected F1 is highest, as ``expected_f1_sets`` finds it.

    Example:
        >>> expected_f1_rule(3).predict(np.array([[0.4, 0.35, 0.01]])).tolist()
        [[True, True, False]]
    """
    return Thresholds(np.zeros(num_labels), "expected_f1", expected_f1=True)


def _most_probable(
    probabilities: Float[np.ndarray, "examples labels"], most: int
) -> Bool[np.ndarray, "examples labels"]:
    """Mark the most probable labels of each example."""
    marked = np.zeros(probabilities.shape, dtype=bool)
    np.put_along_axis(marked, np.argsort(-probabilities, axis=1, kind="stable")[:, :most], values=True, axis=1)
    return marked
