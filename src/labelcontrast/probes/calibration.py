"""Calibration of probabilities for each label, and how reliable they are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float, Integer, Shaped
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from labelcontrast.errors import ConfigError, DataError, LabelShapeError
from labelcontrast.files import parse_json, write_text
from labelcontrast.metrics.counting import (
    ALL,
    AnyMatrix,
    Places,
    as_matrix,
    checked_pair,
    column_blocks,
    known_pairs,
    ratio,
    row_blocks,
)

Method = Literal["temperature", "isotonic"]
Map = float | list[tuple[float, float]]
"""A temperature; or pairs (from, to), linear between them and constant beyond."""
FEWEST = 10
"""A label with fewer positives, or fewer negatives, uses the map fitted on all labels together."""
PAIRS = 2**24
"""Pairs, at most, that the map of all labels together is fitted on: those of labels drawn at random."""
REACH = (-3.0, 3.0)
"""Bounds of the logarithm of a temperature."""


def fit_calibration(
    labels: AnyMatrix,
    probabilities: AnyMatrix,
    *,
    method: Method,
    weights: ArrayLike | None = None,
) -> "Calibration":
    r"""Fit a map of probabilities for each label, on examples that the model was not trained on.

    .. math:: p' = \sigma\left(\frac{1}{T} \log \frac{p}{1 - p}\right)

    with the temperature T that maximises the likelihood; or the non-decreasing step function nearest to the labels
    (isotonic). A label with fewer than ten positives or negatives takes the map fitted on all labels together.

    Args:
        labels: Of validation examples, 0 or 1, shape [examples, labels]; NaN where it is not known.
        probabilities: Of the same examples.
        method: ``temperature`` fits one number for each label; ``isotonic`` any shape, and needs more examples.
        weights: Of the examples; by default each counts once.

    Raises:
        ConfigError: The method is neither of the two.
        LabelShapeError: Labels and probabilities are no matrices of one shape.

    Example:
        >>> labels = (np.arange(1000) % 10 < 7).astype(int)[:, None]
        >>> fitted = fit_calibration(labels, np.full((1000, 1), 0.9), method="temperature")
        >>> fitted.apply(np.array([[0.9]])).round(3).tolist()
        [[0.7]]

    Reference: Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, 2017.
    """
    if method not in get_args(Method):
        raise ConfigError(f"method must be temperature or isotonic. Got {method!r}.")
    given, scored = checked_pair(labels, probabilities)
    fit = _temperature if method == "temperature" else _steps
    (examples, count), most = given.shape, max(1, PAIRS // len(given))
    drawn = np.arange(count) if count <= most else np.sort(np.random.default_rng(0).choice(count, most, replace=False))
    sample = given[:, drawn]
    own = np.ones(examples) if weights is None else np.asarray(weights, dtype=np.float64)
    known = known_pairs(sample)
    together = fit(sample[known], scored[:, drawn][known], np.broadcast_to(own[:, None], sample.shape)[known])
    maps: list[Map] = []
    for at in column_blocks((examples, count)):
        block = given[:, at]
        for column, scores, here in zip(block.T, scored[:, at].T, known_pairs(block).T, strict=True):
            positives = int((column[here] == 1).sum())
            enough = min(positives, here.sum() - positives) >= FEWEST
            maps.append(fit(column[here], scores[here], own[here]) if enough else together)
    return Calibration(method, maps)


def reliability(labels: AnyMatrix, probabilities: AnyMatrix, *, bins: int = 15) -> "Reliability":
    """Compare predicted probabilities of pairs of an example and a label with true labels, by bins.

    Args:
        labels: 0 or 1, shape [examples, labels] or [examples]; NaN where it is not known, and it is left out.
        probabilities: Of the same examples.
        bins: Number of bins between 0 and 1.

    Example:
        >>> found = reliability([[1, 0], [0, 1]], [[0.9, 0.9], [0.1, 0.2]], bins=2)
        >>> found.count.tolist(), found.predicted.round(2).tolist(), found.true.tolist(), round(found.error, 3)
        ([2, 2], [0.15, 0.9], [0.5, 0.5], 0.375)

    Reference: Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning, 2015.
    """
    given, scored = checked_pair(*map(_as_column, (labels, probabilities)))
    width = given.shape[1]
    count, sums, hits = np.zeros((width, bins), dtype=np.int64), np.zeros((width, bins)), np.zeros((width, bins))
    for rows in row_blocks(given.shape):
        true, predicted = given[rows], scored[rows]
        known = known_pairs(true)
        true, predicted, label = true[known] == 1, predicted[known].astype(np.float64), np.nonzero(known)[1]
        place = label * bins + np.minimum((predicted * bins).astype(np.int64), bins - 1)
        count += np.bincount(place, minlength=count.size).reshape(count.shape)
        sums += np.bincount(place, weights=predicted, minlength=count.size).reshape(count.shape)
        hits += np.bincount(place, weights=true, minlength=count.size).reshape(count.shape)
    of_all = (one.sum(axis=0) for one in (count, sums, hits))
    return Reliability(*_diagram(*of_all), by_label=_error(*_diagram(count, sums, hits)))


def calibration_errors(labels: AnyMatrix, probabilities: AnyMatrix, *, bins: int = 15) -> Float[np.ndarray, " labels"]:
    """Compute the expected calibration error of each label; the arguments are those of ``reliability``.

    Example:
        >>> calibration_errors(np.array([[1, 0], [0, 0]]), np.array([[0.5, 0.1], [0.5, 0.1]])).tolist()
        [0.0, 0.1]
    """
    return reliability(labels, probabilities, bins=bins).by_label


@dataclass(frozen=True)
class Calibration:
    """A monotone map of probabilities for each label."""

    method: Method
    maps: list[Map]

    def apply(self, probabilities: ArrayLike, at: Places = ALL) -> Float[np.ndarray, "examples labels"]:
        """Map the probabilities of each label; within a label their order stays, except that ties may arise.

        Args:
            probabilities: Of every label, or of some.
            at: Which labels they are of.

        Raises:
            LabelShapeError: The probabilities have another number of labels.

        Example:
            >>> Calibration("temperature", [2.0]).apply(np.array([[0.9], [0.5]])).round(3).tolist()
            [[0.75], [0.5]]
        """
        probabilities = as_matrix(probabilities, "probabilities")
        maps = [self.maps[label] for label in np.arange(len(self.maps))[at]]
        if probabilities.shape[1] != len(maps):
            raise LabelShapeError(
                f"probabilities must have one column per label, {len(maps)}. Got {probabilities.shape[1]}."
            )
        if self.method == "temperature":
            return np.asarray(expit(_logit(probabilities) / np.array(maps))).astype(probabilities.dtype)
        columns = [np.interp(column, *np.array(one).T) for column, one in zip(probabilities.T, maps, strict=True)]
        return np.stack(columns, axis=1).astype(probabilities.dtype)

    def select(self, columns: Sequence[int]) -> "Calibration":
        """Return the maps of some labels, in this order."""
        return Calibration(self.method, [self.maps[column] for column in columns])

    def with_label(self) -> "Calibration":
        """Append a label whose probabilities stay as they are."""
        unchanged: Map = 1.0 if self.method == "temperature" else [(0.0, 0.0), (1.0, 1.0)]
        return Calibration(self.method, [*self.maps, unchanged])

    def save(self, path: str | Path) -> None:
        """Save the maps as JSON."""
        write_text(Path(path), json.dumps({"method": self.method, "maps": self.maps}) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "Calibration":
        """Load saved maps.

        Raises:
            DataError: The file is not such JSON.
        """
        path = Path(path)
        try:
            saved = parse_json(path.read_text())
            if saved["method"] not in get_args(Method):
                raise ValueError(saved["method"])
            if saved["method"] == "temperature":
                temperatures = [float(one) for one in saved["maps"]]
                if not all(0 < one < np.inf for one in temperatures):
                    raise ValueError(f"temperatures from {min(temperatures)} to {max(temperatures)}")
                return cls("temperature", list[Map](temperatures))
            steps = [[(float(start), float(end)) for start, end in one] for one in saved["maps"]]
            if not all(
                one and one == sorted(one) and 0 <= min(map(min, one)) <= max(map(max, one)) <= 1 for one in steps
            ):
                raise ValueError("points outside of 0 to 1, or not in order")
            return cls("isotonic", list[Map](steps))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f'expected {{"method": name, "maps": [...]}}. Got {error!r}.', path=path) from error


@dataclass(frozen=True)
class Reliability:
    """Predicted probabilities against the share of positives, in bins of equal width."""

    count: Integer[np.ndarray, " bins"]
    predicted: Float[np.ndarray, " bins"]
    """Mean predicted probability in each bin; 0 in an empty one."""
    true: Float[np.ndarray, " bins"]
    """Share of positives in each bin; 0 in an empty one."""
    by_label: Float[np.ndarray, " labels"]
    """The expected calibration error of each label alone."""

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of the two over pairs; NaN without pairs."""
        return float(_error(self.count, self.predicted, self.true))


def _as_column(values: Any) -> Any:  # noqa: ANN401
    return values[:, None] if isinstance(values, np.ndarray) and values.ndim == 1 else values


def _diagram(count: np.ndarray, sums: np.ndarray, hits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return count, ratio(sums, count), ratio(hits, count)


def _error(count: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    return ratio(
        np.sum(count * np.abs(predicted - true), axis=-1, keepdims=True),
        count.sum(axis=-1, keepdims=True),
        empty=np.nan,
    )[..., 0]


def _logit(probabilities: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Log-odds in float64; finite for 0 and 1, since dividing infinity by a temperature changes nothing."""
    return np.asarray(logit(np.clip(probabilities.astype(np.float64), 1e-12, 1 - 1e-12)))


def _temperature(
    labels: Shaped[np.ndarray, " examples"],
    probabilities: Float[np.ndarray, " examples"],
    weights: Float[np.ndarray, " examples"],
) -> float:
    """Fit the temperature; it is 1 for constant labels."""
    true, scores = labels == 1, _logit(probabilities)
    if true.all() or not true.any():
        return 1.0
    margins = np.where(true, scores, -scores)

    def loss(log: float) -> float:
        return float(np.average(np.logaddexp(0, -margins / np.exp(log)), weights=weights))

    found = minimize_scalar(loss, bounds=REACH, method="bounded")
    return float(np.exp(found.x))


def _steps(
    labels: Shaped[np.ndarray, " examples"],
    probabilities: Float[np.ndarray, " examples"],
    weights: Float[np.ndarray, " examples"],
) -> list[tuple[float, float]]:
    """Fit an isotonic regression; the identity for constant labels."""
    true = labels == 1
    if true.all() or not true.any():
        return [(0.0, 0.0), (1.0, 1.0)]
    model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    model.fit(probabilities.astype(np.float64), true, sample_weight=weights)
    return [(float(start), float(end)) for start, end in zip(model.X_thresholds_, model.y_thresholds_, strict=True)]
