"""What a model said of every test example, kept so small that every run can keep it.

Two bytes a score and a bit each for what is true, what is predicted and, where not all is, what is known: 0.6 MB for
3,000 examples and 90 labels. Scores are kept as log-odds: half precision has a thousand steps a power of two, and near
1 a probability would have none left.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from jaxtyping import Bool, Float, Shaped
from safetensors import SafetensorError
from scipy.special import expit, logit

from labelcontrast.errors import DataError
from labelcontrast.files import whole_file
from labelcontrast.metrics.counting import known_pairs

_FARTHEST = 30.0  # log-odds of a probability of 0 or 1


@dataclass(frozen=True)
class Outputs:
    """Labels, scores and predictions of the same examples."""

    labels: Shaped[np.ndarray, "examples labels"]
    """What is true, 0 or 1; NaN where it is not known."""
    scores: Float[np.ndarray, "examples labels"]
    """Probabilities."""
    predictions: Bool[np.ndarray, "examples labels"]

    def save(self, path: Path) -> None:
        """Write them, whole or not at all.

        Raises:
            RunError: when the file cannot be written.
        """
        with np.errstate(divide="ignore"):
            odds = logit(self.scores).clip(-_FARTHEST, _FARTHEST)
        bits = {name: np.packbits(getattr(self, name) > 0, axis=1) for name in ("labels", "predictions")}
        known = known_pairs(self.labels)
        if not known.all():
            bits["known"] = np.packbits(known, axis=1)
        with whole_file(path) as file:
            file.write(safetensors.numpy.save({"log_odds": odds.astype(np.float16), **bits}))

    @classmethod
    def load(cls, path: Path) -> "Outputs":
        """Read what ``save`` wrote: the scores to three digits of their log-odds, the rest as it was.

        Raises:
            DataError: The file is not such a file.
        """
        try:
            kept = safetensors.numpy.load_file(path)
            odds = kept["log_odds"].astype(np.float64)
            bits = {name: np.unpackbits(kept[name], axis=1, count=odds.shape[1]) for name in kept if name != "log_odds"}
            labels, predictions = bits["labels"], bits["predictions"] > 0
        except (OSError, KeyError, SafetensorError) as error:
            raise DataError(f"expected the outputs of a run on its test examples. Got {error!r}.", path=path) from error
        if "known" in bits:
            labels = np.where(bits["known"], labels, np.nan).astype(np.float32)
        return cls(labels, expit(odds), predictions)
