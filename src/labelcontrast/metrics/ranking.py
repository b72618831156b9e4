"""How each example ranks the labels; exact, in a memory that does not grow with the examples.

Labels with the same score share their places: LRAP, coverage and ranking loss take the worst of them, as scikit-learn;
what looks at the first k places takes the mean over every order of equals.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Integer

from labelcontrast.metrics.counting import TrainingLabels, ratio

TOP = (1, 3, 5)
"""At how many places the measures with an ``@`` are taken."""


@dataclass
class Rankings:
    """Sums over examples, a batch after another; a label whose truth is not known has no place."""

    weights: Float[np.ndarray, " labels"] | None = None
    """Inverse propensities, for the propensity-scored precision."""
    sums: dict[str, float] = field(default_factory=dict)
    examples: int = 0

    def update(
        self,
        true: Bool[np.ndarray, "examples labels"],
        known: Bool[np.ndarray, "examples labels"],
        scores: Float[np.ndarray, "examples labels"],
    ) -> None:
        """Rank the labels of a batch; ``true`` is False where the truth is not known."""
        scored = known.any(axis=1)
        true, known, scores = true[scored], known[scored], scores[scored]
        found = {}
        if len(true):
            order, hits, first, last = _rank(true, known, scores)
            found = _whole_ranking(hits, last, known.sum(axis=1)) | _top(hits, first, last)
            if self.weights is not None:
                found |= _propensity_scored(hits, self.weights[order], first, last)
        for name, values in found.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(values.sum())
        self.examples += len(true)

    def measures(self) -> dict[str, float]:
        """Compute the means over examples; the propensity-scored precisions are ratios of two sums."""
        found = {name: total / self.examples for name, total in self.sums.items() if not name.startswith("ps")}
        if self.weights is not None:
            for k in TOP:
                best = self.sums.get(f"ps_best@{k}", 0.0)
                found[f"psp@{k}"] = self.sums[f"ps_found@{k}"] / best if best else 0.0
        return found


def inverse_propensities(train: TrainingLabels, *, a: float = 0.55, b: float = 1.5) -> Float[np.ndarray, " labels"]:
    r"""Weigh a label by how likely its positives were missed, estimated from its frequency in training.

    .. math:: 1 + C e^{-A \log(n_l + B)}, \qquad C = (\log N - 1)(B + 1)^A

    with n the positives of the label among N training examples; C is at least 0.

    Example:
        >>> inverse_propensities(TrainingLabels(np.array([1, 100, 10_000]), 20_000)).round(2)
        array([9.9 , 2.16, 1.09])

    Reference: Jain, Prabhu and Varma, Extreme Multi-label Loss Functions, 2016.
    """
    constant = max(np.log(max(train.examples, 1)) - 1, 0.0) * (b + 1) ** a
    return np.asarray(1 + constant * np.exp(-a * np.log(train.counts + b)))


def ranking_precisions(
    true: Bool[np.ndarray, "examples labels"],
    known: Bool[np.ndarray, "examples labels"],
    scores: Float[np.ndarray, "examples labels"],
) -> Float[np.ndarray, " examples"]:
    """Label ranking average precision of each example by itself; ``true`` is False where the truth is not known."""
    _, hits, _, last = _rank(true, known, scores)
    return _whole_ranking(hits, last, known.sum(axis=1))["lrap"]


def _rank(
    true: Bool[np.ndarray, "examples labels"],
    known: Bool[np.ndarray, "examples labels"],
    scores: Float[np.ndarray, "examples labels"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Order of the labels of each example, which places are hits, and the first and last place of equals."""
    # What is not known comes after all others, with no hit and no place: it stays in the matrix, not in a sum.
    order = np.argsort(np.where(known, -scores, np.inf), axis=1)
    first, last = _ties(np.take_along_axis(np.where(known, scores, -np.inf), order, axis=1))
    return order, np.take_along_axis(true, order, axis=1), first, last


def _ties(ranked: Float[np.ndarray, "examples labels"]) -> tuple[np.ndarray, np.ndarray]:
    """First and last place, from 0, of the scores that equal the one at each place."""
    places = np.arange(ranked.shape[1], dtype=np.int32)
    new = np.ones(ranked.shape, dtype=bool)
    new[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    ends = np.ones(ranked.shape, dtype=bool)
    ends[:, :-1] = new[:, 1:]
    first = np.maximum.accumulate(np.where(new, places, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, places, places[-1])[:, ::-1], axis=1)[:, ::-1]
    return first, last


def _whole_ranking(
    hits: Bool[np.ndarray, "examples labels"],
    last: Integer[np.ndarray, "examples labels"],
    known: Integer[np.ndarray, " examples"],
) -> dict[str, np.ndarray]:
    """LRAP, coverage and ranking loss of each example."""
    upto = np.take_along_axis(hits.cumsum(axis=1, dtype=np.int32), last, axis=1)
    positives = hits.sum(axis=1)
    precision = np.where(hits, upto / (last + 1.0), 0.0).sum(axis=1)
    trivial = (positives == 0) | (positives == known)
    worse = np.where(hits, last + 1 - upto, 0).sum(axis=1)
    return {
        "lrap": np.where(trivial, 1.0, ratio(precision, positives)),
        "coverage": np.where(hits, last + 1, 0).max(axis=1),
        "ranking_loss": ratio(worse, positives * (known - positives)),
    }


def _top(
    hits: Bool[np.ndarray, "examples labels"],
    first: Integer[np.ndarray, "examples labels"],
    last: Integer[np.ndarray, "examples labels"],
) -> dict[str, np.ndarray]:
    """Precision and normalised discounted gain of each example at its first places."""
    gains = _shared(hits.astype(np.float64), first, last)
    positives = hits.sum(axis=1)
    discounts = 1 / np.log2(np.arange(2, max(TOP) + 2))
    found = {}
    for k in TOP:
        here = gains[:, :k]
        ideal = np.append(0.0, discounts[: here.shape[1]].cumsum())[np.minimum(positives, here.shape[1])]
        found[f"precision@{k}"] = here.sum(axis=1) / k
        found[f"ndcg@{k}"] = ratio(here @ discounts[: here.shape[1]], ideal)
    return found


def _propensity_scored(
    hits: Bool[np.ndarray, "examples labels"],
    weights: Float[np.ndarray, "examples labels"],
    first: Integer[np.ndarray, "examples labels"],
    last: Integer[np.ndarray, "examples labels"],
) -> dict[str, np.ndarray]:
    """Weighted hits at the first places of each example, and the most that could have been had."""
    weighted = hits * weights
    gains, best = _shared(weighted, first, last), -np.sort(-weighted, axis=1)[:, : max(TOP)]
    found = {f"ps_found@{k}": gains[:, :k].sum(axis=1) for k in TOP}
    return found | {f"ps_best@{k}": best[:, :k].sum(axis=1) for k in TOP}


def _shared(
    gains: Float[np.ndarray, "examples labels"],
    first: Integer[np.ndarray, "examples labels"],
    last: Integer[np.ndarray, "examples labels"],
) -> Float[np.ndarray, "examples top"]:
    """Mean gain of the places that equal each of the first ones."""
    sums = np.pad(gains.cumsum(axis=1), ((0, 0), (1, 0)))
    first, last = first[:, : max(TOP)], last[:, : max(TOP)]
    total = np.take_along_axis(sums, last + 1, axis=1) - np.take_along_axis(sums, first, axis=1)
    return np.asarray(total / (last + 1 - first))
