"""Mean ranks and critical differences against the published example, definitions in loops, and simulated losses."""

import numpy as np
import pytest

from labelcontrast.errors import ConfigError
from labelcontrast.studies.ranks import Ranking, rank_losses

# Demsar 2006, table 6: AUC of C4.5 with four settings on 14 data sets; mean ranks 3.143, 2.000, 2.893, 1.964.
PUBLISHED = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def as_results(values: np.ndarray) -> dict[str, dict[str, float]]:
    return {
        f"data {row}": {f"loss {column}": float(v) for column, v in enumerate(line)} for row, line in enumerate(values)
    }


def test_the_published_example() -> None:
    ranking = rank_losses(as_results(PUBLISHED))
    assert ranking.ranks["loss 0"] == pytest.approx(3.143, abs=0.001)
    assert ranking.ranks["loss 1"] == pytest.approx(2.000, abs=0.001)
    assert ranking.ranks["loss 2"] == pytest.approx(2.893, abs=0.001)
    assert ranking.ranks["loss 3"] == pytest.approx(1.964, abs=0.001)
    assert ranking.critical_difference == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=0.002)
    assert ranking.p < 0.05


def test_lower_is_better_turns_the_order_round() -> None:
    higher, lower = (rank_losses(as_results(PUBLISHED), better=better).ranks for better in ("higher", "lower"))
    for name, rank in higher.items():
        assert rank + lower[name] == pytest.approx(5)


def test_groups_are_the_largest_runs_of_neighbours() -> None:
    ranks = {"a": 1.0, "b": 1.8, "c": 2.1, "d": 3.4, "e": 4.6}
    assert Ranking(ranks, 1.2, 0.0, 9).alike == [("a", "b", "c"), ("d", "e")]
    assert Ranking(ranks, 1.4, 0.0, 9).alike == [("a", "b", "c"), ("c", "d"), ("d", "e")]
    assert Ranking(ranks, 0.2, 0.0, 9).alike == []
    assert Ranking(ranks, 9.0, 0.0, 9).alike == [("a", "b", "c", "d", "e")]


def test_losses_that_are_alike_are_seldom_called_different() -> None:
    generator = np.random.default_rng(0)
    wrong = []
    for _ in range(400):
        ranking = rank_losses(as_results(generator.normal(size=(12, 5))))
        wrong.append(max(ranking.ranks.values()) - min(ranking.ranks.values()) > ranking.critical_difference)
    assert 0.01 < np.mean(wrong) < 0.09


def test_refusals() -> None:
    with pytest.raises(
        ConfigError, match=r"^every data set needs the same losses\. b has bce, reg, not bce, msc, reg\.$"
    ):
        rank_losses({"a": {"bce": 1, "reg": 2, "msc": 3}, "b": {"bce": 1, "reg": 2}})
    with pytest.raises(ConfigError, match=r"two data sets and three losses\. Got 1 and 3\.$"):
        rank_losses({"a": {"bce": 1, "reg": 2, "msc": 3}})
