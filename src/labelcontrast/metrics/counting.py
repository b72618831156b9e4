"""What is counted of predictions: hits by label, and means over examples; exact, in a memory that does not grow."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Real, Shaped
from scipy.sparse import csr_array

from labelcontrast.metrics.registry import HEAD, TAIL


@dataclass(frozen=True)
class TrainingLabels:
    """How frequent the labels were in training; what the measures for rare labels go by."""

    counts: Real[np.ndarray, " labels"]
    """Positives of each label."""
    examples: int
    """All examples, with labels or without."""

    @classmethod
    def of(cls, labels: "Shaped[np.ndarray, 'examples labels'] | csr_array") -> "TrainingLabels":
        """Count the positives of training labels, dense or sparse; unknown ones (NaN) count nothing."""
        return cls((labels == 1).sum(axis=0), labels.shape[0])


@dataclass
class Counts:
    """Predictions against the truth, a batch after another; a pair whose truth is not known is left out."""

    labels: int
    hits: Float[np.ndarray, " labels"] = field(init=False)
    claimed: Float[np.ndarray, " labels"] = field(init=False)
    support: Float[np.ndarray, " labels"] = field(init=False)
    known: Float[np.ndarray, " labels"] = field(init=False)
    by_example: Float[np.ndarray, "4"] = field(init=False)
    """Sums over examples of precision, recall, F1 and of 1 where the whole set is right."""
    examples: int = 0

    def __post_init__(self) -> None:
        self.hits, self.claimed, self.support, self.known = np.zeros((4, self.labels))
        self.by_example = np.zeros(4)

    def update(
        self,
        true: Bool[np.ndarray, "examples labels"],
        known: Bool[np.ndarray, "examples labels"],
        predicted: Bool[np.ndarray, "examples labels"],
    ) -> None:
        """Count a batch; ``true`` and ``predicted`` are False where the truth is not known."""
        found = true & predicted
        self.hits += found.sum(axis=0)
        self.claimed += predicted.sum(axis=0)
        self.support += true.sum(axis=0)
        self.known += known.sum(axis=0)
        scored = known.any(axis=1)
        hits, claimed, support = (one[scored].sum(axis=1) for one in (found, predicted, true))
        right = (hits == claimed) & (hits == support)
        self.by_example += [one.sum() for one in (*rates(hits, claimed, support), right)]
        self.examples += int(scored.sum())

    def measures(self, train: TrainingLabels | None = None) -> dict[str, float]:
        """Compute precision, recall and F1 in every mean, the Hamming loss and the accuracy of whole sets.

        Args:
            train: For the F1 of head, medium and tail labels, which are left out without it.
        """
        precision, recall, f1 = rates(self.hits, self.claimed, self.support)
        micro = [
            one.item() for one in rates(*(one.sum(keepdims=True) for one in (self.hits, self.claimed, self.support)))
        ]
        scored = self.known > 0
        sample = self.by_example / self.examples if self.examples else np.full(4, np.nan)
        wrong = self.claimed.sum() + self.support.sum() - 2 * self.hits.sum()
        found = {"hamming_loss": _divide(wrong, self.known.sum()), "subset_accuracy": sample[3]}
        for place, (name, by_label) in enumerate((("precision", precision), ("recall", recall), ("f1", f1))):
            found[f"micro_{name}"] = micro[place] if scored.any() else np.nan
            found[f"macro_{name}"] = mean_of_known(by_label[scored])
            found[f"weighted_{name}"] = _divide(by_label @ self.support, self.support.sum(), nothing=0.0)
            found[f"sample_{name}"] = sample[place]
        if train is not None:
            buckets = by_frequency(train.counts)
            found |= {f"{name}_f1": mean_of_known(f1[scored & chosen]) for name, chosen in buckets.items()}
        return {name: float(value) for name, value in found.items()}


def by_frequency(counts: Real[np.ndarray, " labels"]) -> dict[str, Bool[np.ndarray, " labels"]]:
    """Say which labels are head, medium and tail, by their positives in training.

    Example:
        >>> by_frequency(np.array([101, 100, 20, 19]))["medium"]
        array([False,  True,  True, False])
    """
    head, tail = counts > HEAD, counts < TAIL
    return {"head": head, "medium": ~head & ~tail, "tail": tail}


def known_pairs(labels: Shaped[np.ndarray, "..."]) -> Bool[np.ndarray, "..."]:
    """Say of which pairs the truth is known: all that are not NaN."""
    if labels.dtype.kind == "f":
        return np.asarray(~np.isnan(labels))
    return np.ones(labels.shape, dtype=bool)


def rates(hits: np.ndarray, claimed: np.ndarray, support: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1; each 0 where its denominator is 0."""
    return ratio(hits, claimed), ratio(hits, support), ratio(2 * hits, claimed + support)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part over whole; 0 where the whole is 0, for then the part is 0 too."""
    return np.asarray(part / np.where(whole == 0, 1, whole))


def _divide(part: float, whole: float, *, nothing: float = float("nan")) -> float:
    """Part over whole, or what it is where there is nothing."""
    return part / whole if whole else nothing


def mean_of_known(values: Float[np.ndarray, " values"]) -> float:
    """Mean of what is not NaN; NaN when nothing is left."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
