"""From probabilities to label sets: a label is predicted where its probability exceeds its threshold."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Shaped

from labelcontrast.errors import ConfigError, DataError, LabelShapeError
from labelcontrast.files import write_text


@dataclass(frozen=True)
class Thresholds:
    """A threshold a label, and the name of the rule that set them; part of the saved model."""

    values: Float[np.ndarray, " labels"]
    how: str

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
        return np.asarray(probabilities > self.values)

    def save(self, path: Path) -> None:
        """Write the thresholds as JSON."""
        write_text(path, json.dumps({"how": self.how, "values": self.values.tolist()}, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Thresholds":
        """Read what ``save`` wrote, to the last digit.

        Raises:
            DataError: The file is not such JSON.
        """
        try:
            saved = json.loads(path.read_text())
            return cls(np.array(saved["values"], dtype=np.float64).reshape(-1), str(saved["how"]))
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
    r"""Return for every label the one threshold that maximises micro-F1.

    .. math:: \operatorname{argmax}_t \frac{2 \, |\{p > t\} \cap \text{true}|}{|\{p > t\}| + |\text{true}|}

    Tried are 0.5 and the middle between any two neighbours among the probabilities, 0 and 1; with one sort of the
    pairs. Of several that are as good, the nearest to 0.5 is taken: so 0.5 itself where nothing is true.

    Args:
        labels: What is true of the validation examples, 0 or 1.
        probabilities: What the model says of them.

    Example:
        >>> global_threshold(np.array([[1, 0], [0, 1]]), np.array([[0.4, 0.1], [0.2, 0.8]])).values.round(6)
        array([0.3, 0.3])

    Reference: Lipton, Elkan and Naryanaswamy, Optimal Thresholding of Classifiers to Maximize F1 Measure, 2014.
    """
    order = np.argsort(probabilities, axis=None)
    ascending = probabilities.ravel()[order].astype(np.float64)
    true = labels.ravel()[order].astype(np.int64)
    hits_from = np.append(true[::-1].cumsum()[::-1], 0)

    levels = np.unique(np.concatenate([[0.0], ascending, [1.0]]))
    candidates = np.append((levels[1:] + levels[:-1]) / 2, 0.5)
    first_above = np.searchsorted(ascending, candidates, side="right")
    claimed = len(ascending) - first_above
    micro_f1 = 2 * hits_from[first_above] / np.maximum(claimed + true.sum(), 1)

    best = candidates[micro_f1 == micro_f1.max()]
    nearest = best[np.argmin(np.abs(best - 0.5))]
    return Thresholds(np.full(labels.shape[1], nearest), "global")
