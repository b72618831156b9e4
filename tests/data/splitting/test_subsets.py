"""Small training sets: nested, of the size asked for, with every label that fits, and like the whole."""

from itertools import pairwise
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from labelcontrast.data.splitting.subsets import keep_labels, low_data_subset, nested_order
from labelcontrast.errors import ConfigError
from labelcontrast.labels.vocabulary import LabelVocabulary


def long_tail(rows: int, labels: int, per_row: int) -> csr_array:
    """Labels drawn with a chance of one over their rank."""
    chance = 1 / np.arange(1, labels + 1)
    drawn = np.random.default_rng(0).choice(labels, (rows, per_row), p=chance / chance.sum())
    matrix = np.zeros((rows, labels), dtype=np.uint8)
    matrix[np.arange(rows)[:, None], drawn] = 1
    return csr_array(matrix)


def subset(labels: csr_array, fraction: float, seed: int = 0) -> np.ndarray:
    return low_data_subset(labels, fraction, generator=np.random.default_rng(seed))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(1, 8), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.integers(0, 9))
def test_the_order_has_every_example_once(rows: int, labels: int, density: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    matrix = csr_array((generator.random((rows, labels)) < density).astype(np.uint8))
    order = nested_order(matrix, generator=generator)
    assert sorted(order.tolist()) == list(range(rows))


def test_a_smaller_share_lies_inside_a_larger_one_and_has_its_size() -> None:
    labels = long_tail(2000, 40, 2)
    shares = [0.0001, 0.01, 0.05, 0.1, 0.1234, 0.2, 0.7, 1.0]
    kept = [subset(labels, share) for share in shares]
    assert [len(rows) for rows in kept] == [1, 20, 100, 200, 247, 400, 1400, 2000]
    for small, large in pairwise(kept):
        assert set(small.tolist()) < set(large.tolist())


def test_every_label_keeps_a_positive_where_there_is_room_and_most_labels_where_there_is_not() -> None:
    labels = long_tail(3000, 200, 3)
    assert (labels.sum(0) < 10).sum() > 30  # so at 5 % chance misses many
    assert (labels[subset(labels, 0.05)].sum(0) > 0).all()
    few = subset(labels, 0.005)
    chance = np.random.default_rng(0).choice(3000, len(few), replace=False)
    assert (labels[few].sum(0) > 0).sum() > 1.3 * (labels[chance].sum(0) > 0).sum()


def test_the_share_of_every_label_is_kept_better_than_by_chance() -> None:
    labels = long_tail(5000, 60, 3)
    wanted = 0.2 * labels.sum(0)
    found = labels[subset(labels, 0.2)].sum(0)
    chance = labels[np.random.default_rng(0).choice(5000, 1000, replace=False)].sum(0)
    assert np.abs(found - wanted).mean() < np.abs(chance - wanted).mean() / 2


def test_the_seed_alone_decides() -> None:
    labels = long_tail(300, 10, 2)
    assert subset(labels, 0.3).tolist() == subset(labels, 0.3).tolist() != subset(labels, 0.3, seed=1).tolist()


@pytest.mark.parametrize(("fraction", "got"), [(0.0, "0"), (1.5, "1.5"), (-0.1, "-0.1"), (float("nan"), "nan")])
def test_a_fraction_that_is_none_is_refused(fraction: float, got: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        subset(long_tail(10, 2, 1), fraction)
    assert str(refusal.value) == f"fraction must be above 0 and at most 1. Got {got}."


@pytest.mark.slow
def test_a_hundred_thousand_examples_of_a_thousand_labels_take_seconds() -> None:
    labels = long_tail(100_000, 1000, 5)
    start = perf_counter()
    rows = subset(labels, 0.05)
    assert perf_counter() - start < 60
    assert (labels[rows].sum(0) > 0).all()


def test_fewer_labels_lie_inside_more_and_are_as_frequent_as_all() -> None:
    labels = LabelVocabulary(tuple(f"label {rank:03d}" for rank in range(120)))
    kept = [keep_labels(labels, share, seed=3).names for share in (0.001, 0.1, 0.25, 1.0)]
    assert [len(names) for names in kept] == [1, 12, 30, 120]
    assert all(set(few) < set(many) for few, many in pairwise(kept))
    assert all(names == tuple(sorted(names)) for names in kept)
    assert keep_labels(labels, 0.1, seed=4).names != kept[1]
    places = [[labels.column[name] for name in keep_labels(labels, 0.1, seed=seed).names] for seed in range(200)]
    assert np.mean(places) == pytest.approx(59.5, abs=3)  # the mean rank by frequency stays that of all
    with pytest.raises(ConfigError, match=r"^fraction must be above 0 and at most 1\. Got 1\.5\.$"):
        keep_labels(labels, 1.5, seed=0)
