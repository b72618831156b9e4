"""Many losses on many data sets: mean ranks, and which of them are further apart than chance puts them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from labelcontrast.errors import ConfigError


@dataclass(frozen=True)
class Ranking:
    """The mean rank of each loss, 1 is best, and the distance from which two of them differ by more than chance."""

    ranks: dict[str, float]
    """By name, the best first."""
    critical_difference: float
    p: float
    """Of the hypothesis that all losses are alike, by Friedman's test."""
    data_sets: int

    @property
    def alike(self) -> list[tuple[str, ...]]:
        """The largest groups of neighbours whose ends are no further apart than the critical difference."""
        names = list(self.ranks)
        groups: list[tuple[str, ...]] = []
        for start, name in enumerate(names):
            group = [
                other for other in names[start:] if self.ranks[other] - self.ranks[name] <= self.critical_difference
            ]
            if len(group) > 1 and not (groups and set(group) <= set(groups[-1])):
                groups.append(tuple(group))
        return groups


def rank_losses(results: Mapping[str, Mapping[str, float]], *, better: str = "higher", level: float = 0.05) -> Ranking:
    r"""Rank losses on every data set, average the ranks, and say which differ.

    .. math:: CD = q_\alpha \sqrt{\frac{k (k + 1)}{6 N}}

    for k losses on N data sets, with :math:`q_\alpha` of the studentised range over :math:`\sqrt 2` (Nemenyi).

    Args:
        results: By data set, by loss, the mean of a metric over seeds.
        better: ``higher`` or ``lower``.
        level: The share of times in which two of losses that are all alike may be called different.

    Raises:
        ConfigError: A data set lacks a loss, or there are fewer than two data sets or three losses.

    Example:
        >>> results = {"a": {"bce": 0.5, "reg": 0.7, "msc": 0.6}, "b": {"bce": 0.4, "reg": 0.6, "msc": 0.5}}
        >>> rank_losses(results).ranks
        {'reg': 1.0, 'msc': 2.0, 'bce': 3.0}

    Reference: Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, 2006.
    """
    losses = list(next(iter(results.values()), {}))
    for data, measured in results.items():
        if set(measured) != set(losses):
            raise ConfigError(
                f"every data set needs the same losses. {data} has {_listed(measured)}, not {_listed(losses)}."
            )
    if len(results) < 2 or len(losses) < 3:
        raise ConfigError(
            f"mean ranks need at least two data sets and three losses. Got {len(results)} and {len(losses)}."
        )
    sign = -1 if better == "higher" else 1
    values = sign * np.array([[measured[loss] for loss in losses] for measured in results.values()])
    mean = stats.rankdata(values, axis=1).mean(axis=0)
    order = np.argsort(mean, kind="stable")
    quantile = stats.studentized_range.ppf(1 - level, len(losses), np.inf) / np.sqrt(2)
    distance = float(quantile * np.sqrt(len(losses) * (len(losses) + 1) / (6 * len(results))))
    p = float(stats.friedmanchisquare(*values.T).pvalue)
    return Ranking({losses[place]: float(mean[place]) for place in order}, distance, p, len(results))


def _listed(names: Sequence[str] | Mapping[str, float]) -> str:
    """Name them in order."""
    return ", ".join(sorted(names))
