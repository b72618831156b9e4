"""Thresholds: rules that turn probabilities into label sets, chosen on validation."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped
from numpy.typing import ArrayLike

from labelcontrast.errors import ConfigError, DataError, LabelShapeError, nearest
from labelcontrast.files import parse_json, write_text
from labelcontrast.metrics.counting import AnyMatrix, as_matrix, checked_pair, column_blocks, known_pairs
from labelcontrast.metrics.ranking import rank_positives

Rule = Literal["global", "fixed", "per_label", "top_k", "expected_f1"]
Empty = Literal["allow", "best"]
SHRINKAGES = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, np.inf)
"""Numbers of positives at which a label's own threshold weighs as much as the global one."""
FOLDS = 5
Counts = Shaped[np.ndarray, "..."]
CutValue = Callable[[Counts, Counts, Counts], Float[np.ndarray, "..."]]
"""The value of thresholds, from their true positives, the examples that they claim, and all positives."""
BLOCK = 2**22
"""Pairs of an example and a label that are sorted together, so that memory does not grow with the labels."""
EXAMPLES_AT_ONCE = 2**25
"""Numbers that are held at a time; an example needs about the square of the number of labels."""


def choose_thresholds(
    rule: Rule,
    labels: AnyMatrix,
    probabilities: AnyMatrix,
    *,
    top_k: int = 3,
    empty: Empty = "allow",
    weights: ArrayLike | None = None,
) -> "Thresholds":
    """Choose thresholds by a rule, on validation examples.

    Args:
        rule: ``fixed`` is one half; ``global`` and ``per_label`` are chosen; the others need no examples.
        labels: Of validation examples, 0 or 1, shape [examples, labels]; NaN where it is not known.
        probabilities: Of the same examples.
        top_k: Labels of each example under the rule of this name.
        empty: Whether an example without a predicted label keeps the empty set or gets its most probable label.
        weights: Of the examples in every count; by default 1.

    One threshold for each level of a hierarchy is chosen by :func:`labelcontrast.probes.level_thresholds`.

    Raises:
        ConfigError: There is no such rule.
        LabelShapeError: Labels and probabilities are no matrices of one shape.

    Example:
        >>> choose_thresholds("fixed", np.zeros((1, 2)), np.zeros((1, 2))).values
        array([0.5, 0.5])
    """
    true, given = checked_pair(labels, probabilities)
    count = true.shape[1]
    rules: dict[Rule, Callable[[], Thresholds]] = {
        "fixed": lambda: fixed_threshold(count),
        "global": lambda: global_threshold(true, given, weights=weights),
        "per_label": lambda: per_label_thresholds(true, given, weights=weights),
        "top_k": lambda: top_labels(count, most=top_k),
        "expected_f1": lambda: expected_f1_rule(count),
    }
    if rule not in rules:
        if str(rule) == "per_level":
            raise ConfigError("per_level needs a hierarchy: call level_thresholds(labels, probabilities, tree.depths).")
        raise ConfigError(f"there is no rule {rule!r}{nearest(rule, rules)}. There are {', '.join(rules)}.")
    return replace(rules[rule](), empty=empty)


def fixed_threshold(num_labels: int, *, threshold: float = 0.5) -> "Thresholds":
    """Return the same given threshold for every label.

    Raises:
        ConfigError: The threshold is not a probability.

    Example:
        >>> fixed_threshold(3).values
        array([0.5, 0.5, 0.5])
    """
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold must be between 0 and 1. Got {threshold}.")
    return Thresholds(np.full(num_labels, float(threshold)), "fixed")


def global_threshold(labels: AnyMatrix, probabilities: AnyMatrix, *, weights: ArrayLike | None = None) -> "Thresholds":
    """Return one threshold for all labels, which maximises micro-F1; between equals the nearest to 0.5.

    Args:
        labels: Of validation examples, 0 or 1, shape [examples, labels]; NaN where it is not known.
        probabilities: Of the same examples.
        weights: Of the examples; a weight of 2 is a row given twice.

    Example:
        >>> global_threshold(np.array([[1, 0], [0, 1]]), np.array([[0.4, 0.1], [0.2, 0.8]])).values.round(6)
        array([0.3, 0.3])

    Reference: Lipton, Elkan and Naryanaswamy, Optimal Thresholding of Classifiers to Maximize F1 Measure, 2014.
    """
    true, given = checked_pair(labels, probabilities)
    best = 0.5
    if weights is not None:
        own = np.repeat(np.asarray(weights, dtype=np.float64), true.shape[1])
        best = best_cuts(true[:].reshape(-1, 1), given[:].reshape(-1, 1), weights=own).item()
        return Thresholds(np.full(true.shape[1], best), "global")
    scores, above, below = rank_positives(true, given)
    lower = np.maximum(below, 0.0)
    # The best cut is just below a positive: one more negative would only lower F1.
    f1 = 2 * (len(scores) - np.searchsorted(scores, scores)) / (above + len(scores))
    f1[scores <= lower] = -1
    if f1.max(initial=-1) >= 0:
        chosen = np.flatnonzero(f1 == f1.max())[::-1]
        cuts = _cuts(scores[chosen].astype(np.float64), lower[chosen], 0.5)
        best = float(cuts[np.abs(cuts - 0.5).argmin()])
    return Thresholds(np.full(true.shape[1], best), "global")


def top_labels(num_labels: int, *, most: int) -> "Thresholds":
    """Return a rule that predicts the ``most`` most probable labels of each example, but none of probability 0.

    Raises:
        ConfigError: The number is not positive.

    Example:
        >>> top_labels(3, most=2).predict(np.array([[0.1, 0.2, 0.3], [0.9, 0.0, 0.0]])).tolist()
        [[False, True, True], [True, False, False]]
    """
    if most < 1:
        raise ConfigError(f"most must be at least 1. Got {most}.")
    return Thresholds(np.zeros(num_labels), "top_k", most=most)


def expected_f1_rule(num_labels: int) -> "Thresholds":
    """Return a rule that predicts for each example the set with the highest expected F1 (``expected_f1_sets``).

    Example:
        >>> expected_f1_rule(3).predict(np.array([[0.4, 0.35, 0.01]])).tolist()
        [[True, True, False]]
    """
    return Thresholds(np.zeros(num_labels), "expected_f1", expected_f1=True)


def per_label_thresholds(
    labels: AnyMatrix,
    probabilities: AnyMatrix,
    *,
    strengths: Sequence[float] = SHRINKAGES,
    generator: np.random.Generator | None = None,
    weights: ArrayLike | None = None,
) -> "Thresholds":
    r"""Choose a threshold for each label, shrunk towards the global one, the more the fewer positives it has.

    .. math:: t_l = t + \frac{n_l}{n_l + s} (\bar t_l - t)

    with t the global threshold, n the positives of the label, and :math:`\bar t_l` the mean over five folds of the
    threshold with the best F1 of the label on the other four. The strength s is the one with the best mean of micro-
    and macro-F1 on held-out folds. A label without a positive has the global threshold; with an infinite strength all
    labels have it.

    Args:
        labels: Of validation examples, 0 or 1, shape [examples, labels]; NaN where it is not known.
        probabilities: Of the same examples.
        strengths: To choose from; between equals the largest is taken.
        generator: Assigns the examples to folds; by default always in the same way.
        weights: Of the examples in every count; by default 1.

    Example:
        >>> labels = np.tile(np.array([[1, 0], [0, 1], [0, 0], [0, 0]]), (50, 1))
        >>> scores = np.tile(np.array([[0.3, 0.2], [0.1, 0.9], [0.1, 0.5], [0.1, 0.8]]), (50, 1))
        >>> per_label_thresholds(labels, scores).values.round(2)
        array([0.25, 0.82])
    """
    given, scored = checked_pair(labels, probabilities)
    start = global_threshold(given, scored, weights=weights).values[0]
    order = (generator or np.random.default_rng(0)).permutation(len(given))
    path = sorted(strengths, reverse=True)
    own_weights = None if weights is None else np.asarray(weights, dtype=np.float64)
    found = [
        _label_cuts(given[:, at], scored[:, at], order, start, path, weights=own_weights)
        for at in column_blocks(given.shape)
    ]
    own, count, hits, claimed = (np.concatenate(one, axis=-1) for one in zip(*found, strict=True))
    best = path[int(np.argmax([_mean_f1(*counts, count) for counts in zip(hits, claimed, strict=True)]))]
    return Thresholds(_shrink(own, count, start, best), "per_label")


def best_cuts(
    labels: Shaped[np.ndarray, "examples labels"],
    probabilities: Float[np.ndarray, "examples labels"],
    *,
    preferred: float = 0.5,
    weights: Float[np.ndarray, " examples"] | None = None,
    value: CutValue | None = None,
) -> Float[np.ndarray, " labels"]:
    r"""Return for each column the threshold with the best F1 of that column, or the best value of another kind.

    .. math:: \operatorname{argmax}_t \frac{2 \, |\{p > t\} \cap \text{true}|}{|\{p > t\}| + |\text{true}|}

    All thresholds between two neighbouring probabilities predict the same: the preferred one is taken if it is among
    them, else the middle. Between intervals of equal F1 the nearest to the preferred threshold is taken, which is
    that threshold itself where no label is true.

    Args:
        labels: 0 or 1, shape [examples, labels]; NaN where it is not known, and such a pair is left out.
        probabilities: Shape [examples, labels].
        preferred: The threshold to stay near.
        weights: Of the examples, above 0; by default 1.
        value: Computes what is best from the true positives, the predicted examples and the positives; by default F1.

    Example:
        >>> best_cuts(np.array([[1, 0], [0, 0], [1, 0]]), np.array([[0.4, 0.1], [0.2, 0.8], [0.9, 0.2]])).round(6)
        array([0.3, 0.5])
    """
    cuts = np.full(labels.shape[1], float(preferred))
    # where no label is true all cuts are as good, and of a long tail few labels are true in validation
    chosen = np.flatnonzero((labels == 1).any(axis=0)) if 0 < preferred < 1 else np.arange(labels.shape[1])
    step = max(1, BLOCK // len(labels))
    for at in range(0, len(chosen), step):
        columns = chosen[at : at + step]
        shown = labels[:, columns], probabilities[:, columns]
        cuts[columns] = _best_cuts(*shown, preferred, weights, value or f1_of_cuts)
    return cuts


def f1_of_cuts(hits: Counts, claimed: Counts, positives: Counts) -> Float[np.ndarray, "..."]:
    """Compute the F1 of thresholds from their true positives, the examples that they claim, and all positives."""
    return np.asarray(2 * hits / np.maximum(claimed + positives, np.finfo(float).tiny))


def wanted_thresholds(
    thresholds: "Thresholds",
    labels: AnyMatrix,
    probabilities: AnyMatrix,
    *,
    columns: Sequence[int] | None = None,
    precision: float | None = None,
    recall: float | None = None,
    cost: tuple[float, float] | None = None,
) -> tuple["Thresholds", list[int]]:
    r"""Change thresholds so that labels reach a precision or a recall on validation, or have the smallest cost.

    With a precision the largest recall is taken, with a recall the largest precision; the cost is
    :math:`c_1 \, |\text{wrong}| + c_2 \, |\text{missed}|`, and between equals the threshold nearest to
    :math:`c_1 / (c_1 + c_2)` is taken, the best one for calibrated probabilities.

    Args:
        thresholds: Of all labels.
        labels: Of validation examples, 0 or 1, shape [examples, labels]; NaN where it is not known.
        probabilities: Of the same examples.
        columns: The labels whose threshold is changed; by default all.
        precision: The smallest precision of each of them.
        recall: The smallest recall of each of them.
        cost: Of a label that is wrongly predicted, and of one that is missed.

    Returns: The thresholds; and the labels that keep theirs, as they have no positive or cannot reach what is wanted.

    Raises:
        ConfigError: Not exactly one of the three is given, or it is out of range; or the rule of the thresholds is one
            that ranks the labels of an example.

    Example:
        >>> labels, scores = np.array([[1], [0], [1], [0]]), np.array([[0.9], [0.6], [0.4], [0.1]])
        >>> start = fixed_threshold(1)
        >>> [wanted_thresholds(start, labels, scores, **{name: 1.0})[0].values.round(2).item()
        ...  for name in ("precision", "recall")]
        [0.75, 0.25]
    """
    truth, scores = (one[:] for one in checked_pair(labels, probabilities))
    wanted = {
        name: one for name, one in (("precision", precision), ("recall", recall), ("cost", cost)) if one is not None
    }
    if len(wanted) != 1:
        raise ConfigError(f"one of precision, recall and cost is needed. Got {' and '.join(wanted) or 'none'}.")
    for share in (precision, recall):
        if share is not None and not 0 < share <= 1:
            raise ConfigError(f"{next(iter(wanted))} must be above 0 and at most 1. Got {share}.")
    if cost is not None and not all(0 < one < np.inf for one in cost):
        raise ConfigError(f"cost must be two positive numbers, as in 1:5. Got {cost[0]:g}:{cost[1]:g}.")
    if thresholds.most is not None or thresholds.expected_f1:
        raise ConfigError(
            f"under the rule {thresholds.how} no threshold decides alone; it needs evaluation.threshold=per_label."
        )

    def value(hits: Counts, claimed: Counts, positives: Counts) -> Float[np.ndarray, "..."]:
        exact = hits / np.maximum(claimed, 1)
        if cost is not None:
            return np.asarray(-cost[0] * (claimed - hits) - cost[1] * (positives - hits))
        if precision is not None:  # of two cuts with the same recall, the more precise
            return np.where((exact >= precision) & (hits > 0), hits + exact / 2, -np.inf)
        return np.where(hits >= recall * positives - 1e-9, exact, -np.inf)

    preferred = 0.5 if cost is None else cost[0] / sum(cost)
    cuts = best_cuts(truth, scores, preferred=preferred, value=value)
    chosen = np.arange(truth.shape[1]) if columns is None else np.asarray(columns)
    known = known_pairs(truth)
    true, predicted = known & (truth == 1), known & (scores > cuts)
    counts = (one.sum(axis=0, keepdims=True) for one in (true & predicted, predicted, true))
    reached = true.any(axis=0) & np.isfinite(value(*counts))[0]
    changed = chosen[reached[chosen]]
    values = thresholds.values.copy()
    values[changed] = cuts[changed]
    given = f"{cost[0]:g}:{cost[1]:g}" if cost is not None else f"{precision or recall:g}"
    how = f"{next(iter(wanted))} {given}" + (
        "" if columns is None else f" for {len(chosen)} labels, else {thresholds.how}"
    )
    return replace(thresholds, values=values, how=how), chosen[~reached[chosen]].tolist()


def expected_f1_sets(probabilities: Float[np.ndarray, "examples labels"]) -> Bool[np.ndarray, "examples labels"]:
    r"""Choose for each example the set with the highest expected F1, assuming that its labels are independent.

    .. math:: \operatorname{argmax}_S \; \mathbb{E}_Y \frac{2 \, |S \cap Y|}{|S| + |Y|},
        \qquad Y_l \sim \text{Bernoulli}(p_l)

    The best set of k labels holds the k most probable ones, so only k is searched; exactly, in a time that grows with
    the square of the number of labels. An empty set has an F1 of 0, as in the metrics: so at least one label is
    chosen, unless all probabilities are 0. The probabilities should be calibrated.

    Example:
        >>> expected_f1_sets(np.array([[0.9, 0.6, 0.1], [0.2, 0.1, 0.15]])).tolist()
        [[True, True, False], [True, False, True]]

    Reference: Ye, Chai, Lee and Chieu, Optimizing F-Measures: A Tale of Two Approaches, 2012.
    """
    chosen = np.zeros(probabilities.shape, dtype=bool)
    step = max(1, EXAMPLES_AT_ONCE // probabilities.shape[1] ** 2)
    for at in range(0, len(chosen), step):
        chosen[at : at + step] = _expected_f1_sets(probabilities[at : at + step].astype(np.float64))
    return chosen


@dataclass(frozen=True)
class Thresholds:
    """A threshold for each label, further conditions for a label to be predicted, and the name of the rule."""

    values: Float[np.ndarray, " labels"]
    how: str
    most: int | None = None
    """A label must be among this number of most probable ones of its example; between equals the first is taken."""
    expected_f1: bool = False
    """A label must be in the set with the highest expected F1."""
    empty: Empty = "allow"
    """Without a predicted label: ``allow`` the empty set, or predict the ``best``, most probable label."""

    @property
    def rule(self) -> str:
        """The rule in words, such as ``top_k, at most 3 labels, the best label where none passes``."""
        words = [self.how]
        if self.most is not None:
            words.append(f"at most {self.most} labels")
        if self.empty == "best":
            words.append("the best label where none passes")
        return ", ".join(words)

    def predict(self, probabilities: ArrayLike) -> Bool[np.ndarray, "examples labels"]:
        """Predict the labels whose probability exceeds their threshold; equal is not enough.

        Raises:
            LabelShapeError: The probabilities have another number of labels.

        Example:
            >>> fixed_threshold(2).predict(np.array([[0.9, 0.5], [0.2, 0.51]]))
            array([[ True, False],
                   [False,  True]])
        """
        probabilities = as_matrix(probabilities, "probabilities")
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

    def save(self, path: str | Path) -> None:
        """Save the thresholds as JSON."""
        saved: dict[str, Any] = {"how": self.how, "most": self.most, "expected_f1": self.expected_f1}
        saved |= {"empty": self.empty, "values": self.values.tolist()}
        write_text(Path(path), json.dumps(saved, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "Thresholds":
        """Load saved thresholds; an older file has only ``how`` and ``values``.

        Raises:
            DataError: The file is not such JSON.
        """
        path = Path(path)
        try:
            saved = parse_json(path.read_text())
            values = np.array(saved["values"], dtype=np.float64).reshape(-1)
            most, empty = saved.get("most"), saved.get("empty", "allow")
            if empty not in get_args(Empty) or np.isnan(values).any():
                raise ValueError(f"empty = {empty}, {np.isnan(values).sum()} values are not numbers")
            most = None if most is None else int(most)
            return cls(values, str(saved["how"]), most, bool(saved.get("expected_f1", False)), empty)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f'expected {{"how": name, "values": [numbers]}}. Got {error!r}.', path=path) from error


def _best_cuts(
    labels: np.ndarray, probabilities: np.ndarray, preferred: float, weights: np.ndarray | None, value: CutValue
) -> Float[np.ndarray, " labels"]:
    true = labels.astype(np.float64)
    # Unknown pairs come after all others, and no cut is below them.
    scores = np.where(np.isnan(true), -1.0, probabilities.astype(np.float64))
    order = np.argsort(-scores, axis=0)
    scores, true = np.take_along_axis(scores, order, axis=0), np.nan_to_num(np.take_along_axis(true, order, axis=0))
    counted = np.ones((len(true), 1)) if weights is None else weights[order]
    del order
    edge = np.ones((1, scores.shape[1]))
    bounds = np.maximum(np.vstack([edge, scores, 0 * edge]), 0.0)
    hits = np.vstack([0 * edge, (true * counted).cumsum(axis=0)])
    claimed = np.vstack([0 * edge[:, : counted.shape[1]], counted.cumsum(axis=0)])
    del scores, true, counted
    found = value(hits, claimed, hits[-1])
    del hits
    found[(bounds[:-1] <= bounds[1:]) & (claimed > 0)] = -np.inf
    rows, columns = np.nonzero(found == found.max(axis=0))
    cuts = _cuts(bounds[rows, columns], bounds[rows + 1, columns], preferred)
    nearest = np.lexsort((rows, np.abs(cuts - preferred), columns))
    return np.asarray(cuts[nearest[np.unique(columns[nearest], return_index=True)[1]]])


def _cuts(
    upper: Float[np.ndarray, " cuts"], lower: Float[np.ndarray, " cuts"], preferred: float
) -> Float[np.ndarray, " cuts"]:
    """Return a threshold between each two scores."""
    middle = (upper + lower) / 2
    # The middle of two neighbouring floats can be the upper one, which would then no longer be predicted.
    return np.where((lower <= preferred) & (preferred < upper), preferred, np.where(middle < upper, middle, lower))


def _label_cuts(
    labels: Shaped[np.ndarray, "examples labels"],
    probabilities: Float[np.ndarray, "examples labels"],
    order: Integer[np.ndarray, " examples"],
    start: float,
    strengths: Sequence[float],
    *,
    weights: Float[np.ndarray, " examples"] | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Choose the thresholds of some labels on all folds but one, and count what they predict in that fold.

    Args:
        labels: 0 or 1; NaN where it is not known.
        probabilities: Of the same examples.
        order: Of the examples, in which they are assigned to folds.
        start: The global threshold.
        strengths: Each shrinks the thresholds.
        weights: Of the examples; by default each counts once.

    Returns: The mean of the thresholds over folds and the positives, for each label; and for each strength the right
        and the predicted or true examples of each label.
    """
    known = known_pairs(labels)
    true = known & (labels == 1)
    counted = 1 if weights is None else weights[:, None]
    count = (counted * true).sum(axis=0)
    cuts, sizes = np.full(len(count), start), count + (counted * (known & (probabilities > start))).sum(axis=0)
    hits = (counted * (true & (probabilities > start))).sum(axis=0)
    hits, sizes = (np.repeat(one[None], len(strengths), axis=0) for one in (hits, sizes))
    present = np.flatnonzero(count)  # a label without a positive keeps the global threshold
    labels, probabilities, known, true = (one[:, present] for one in (labels, probabilities, known, true))
    folds = _folds(true, order)
    own, positives = np.empty((2, FOLDS, len(present)))
    for fold in range(FOLDS):
        seen = np.where(folds == fold, np.nan, labels)
        own[fold] = best_cuts(seen, probabilities, preferred=start, weights=weights)
        positives[fold] = np.nansum(seen * counted, axis=0)
    cuts[present] = own.mean(axis=0)
    for place, strength in enumerate(strengths):
        shrunk = np.take_along_axis(_shrink(own, positives, start, strength), folds, axis=0)
        predicted = known & (probabilities > shrunk)
        hits[place, present] = (counted * (true & predicted)).sum(axis=0)
        sizes[place, present] = count[present] + (counted * predicted).sum(axis=0)
    return cuts, count, hits, sizes


def _most_probable(
    probabilities: Float[np.ndarray, "examples labels"], most: int
) -> Bool[np.ndarray, "examples labels"]:
    marked = np.zeros(probabilities.shape, dtype=bool)
    np.put_along_axis(marked, np.argsort(-probabilities, axis=1, kind="stable")[:, :most], values=True, axis=1)
    return marked


def _folds(
    true: Bool[np.ndarray, "examples labels"], order: Integer[np.ndarray, " examples"]
) -> Integer[np.ndarray, "examples labels"]:
    """Assign positives and negatives of each label evenly to folds, each label by itself."""
    shuffled = true[order]
    folds = np.empty(true.shape, dtype=np.int64)
    folds[order] = np.where(shuffled, shuffled.cumsum(axis=0), (~shuffled).cumsum(axis=0)) % FOLDS
    return folds


def _shrink(own: np.ndarray, positives: np.ndarray, start: float, strength: float) -> np.ndarray:
    weight = positives / np.maximum(positives + strength, 1e-9) if np.isfinite(strength) else 0.0 * positives
    return np.asarray(start + weight * (own - start))


def _mean_f1(
    hits: Shaped[np.ndarray, " labels"], sizes: Shaped[np.ndarray, " labels"], count: Shaped[np.ndarray, " labels"]
) -> float:
    """Mean of micro-F1 and of macro-F1 over the labels with a positive."""
    present = count > 0
    if not present.any():
        return 0.0
    return float(2 * hits.sum() / sizes.sum() + (2 * hits[present] / sizes[present]).mean()) / 2


def _expected_f1_sets(probabilities: Float[np.ndarray, "examples labels"]) -> Bool[np.ndarray, "examples labels"]:
    order = np.argsort(-probabilities, axis=1, kind="stable")
    expected = _expected_f1(np.take_along_axis(probabilities, order, axis=1).T)
    size = np.where(expected.max(axis=0) > 0, expected.argmax(axis=0) + 1, 0)
    chosen = np.zeros(probabilities.shape, dtype=bool)
    np.put_along_axis(chosen, order, np.arange(len(expected)) < size[:, None], axis=1)
    return chosen


def _expected_f1(ranked: Float[np.ndarray, "labels examples"]) -> Float[np.ndarray, "labels examples"]:
    """Expected F1 of the k most probable labels, for k = 1 to all.

    ``found[h]`` is the probability that h of the first k labels are true; ``rest[m]`` the mean of 1 / (m + T), where T
    of the labels after the first k are true. Then the F1 is the sum over h of found[h] * 2 h * rest[k + h].
    """
    total, examples = ranked.shape
    found = [np.ones((1, examples))]
    for chance in ranked:
        none, one = np.pad(found[-1], ((0, 1), (0, 0))), np.pad(found[-1], ((1, 0), (0, 0)))
        found.append((1 - chance) * none + chance * one)
    rest = np.repeat(1 / np.arange(1, 2 * total + 1.0)[:, None], examples, axis=1)
    expected = np.empty_like(ranked)
    for size in range(total, 0, -1):
        hits = np.arange(1, size + 1)
        expected[size - 1] = (found[size][1:] * 2 * hits[:, None] * rest[size + hits - 1]).sum(axis=0)
        chance = ranked[size - 1]
        rest = (1 - chance) * rest[:-1] + chance * rest[1:]
    return expected
