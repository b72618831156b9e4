"""The sampler: the same answers lead to the same questions, good values are found, failures are borne."""

import pytest

from labelcontrast.studies.search.sampler import Sampler
from labelcontrast.studies.search.space import Range

pytest.importorskip("optuna", reason="Optuna is an extra")
SPACE = {"rate": Range(1e-5, 1e-1, log=True), "alpha": Range(0.0, 2.0)}


def height(values: dict[str, float]) -> float:
    """A hill with its top at alpha 1.5; the rate hardly matters."""
    return -((values["alpha"] - 1.5) ** 2) - 1e-3 * values["rate"]


def climb(sampler: Sampler, rounds: int) -> list[dict[str, float]]:
    asked = []
    for _ in range(rounds):
        batch = sampler.ask(2)
        sampler.tell([height(values) for values in batch])
        asked += batch
    return asked


def test_a_longer_search_begins_as_the_shorter_one() -> None:
    shorter, longer = climb(Sampler(SPACE, seed=3), 8), climb(Sampler(SPACE, seed=3), 12)
    assert longer[:16] == shorter
    assert climb(Sampler(SPACE, seed=4), 2) != shorter[:4]
    assert all(1e-5 <= one["rate"] <= 1e-1 and 0 <= one["alpha"] <= 2 for one in longer)
    assert all(value == float(f"{value:.3g}") for one in longer for value in one.values())


def test_it_looks_where_it_was_good_and_knows_what_mattered() -> None:
    sampler = Sampler(SPACE, seed=0)
    asked = climb(sampler, 25)
    first, last = ([abs(one["alpha"] - 1.5) for one in part] for part in (asked[:10], asked[-20:]))
    assert sum(last) / len(last) < sum(first) / len(first)
    found = sampler.importance()
    assert found["alpha"] > 0.7
    assert sum(found.values()) == pytest.approx(1)


def test_what_failed_has_no_say() -> None:
    sampler = Sampler(SPACE, seed=0)
    sampler.ask(3)
    sampler.tell([None, float("nan"), 1.0])
    assert sampler.importance() == {}
    assert len(sampler.ask(1)) == 1
