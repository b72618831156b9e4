"""Stratified splits, folds and nested subsets: the share of every label, the seed, the time, and invalid shares."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from labelcontrast.data.stratification import (
    iterative_stratification,
    keep_labels,
    low_data_subset,
    nested_order,
    stratified_folds,
)
from labelcontrast.errors import ConfigError, LabelShapeError
from labelcontrast.labels.vocabulary import LabelVocabulary

FRACTIONS = (0.7, 0.1, 0.2)


def long_tail(rows: int, labels: int, per_row: int, seed: int = 0) -> csr_array:
    """Labels drawn with a chance of one over their rank."""
    chance = 1 / np.arange(1, labels + 1)
    drawn = np.random.default_rng(seed).choice(labels, rows * per_row, p=chance / chance.sum())
    matrix = csr_array(
        (np.ones(rows * per_row, np.uint8), drawn, np.arange(0, rows * per_row + 1, per_row)), shape=(rows, labels)
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


@settings(deadline=None)
@given(
    st.integers(0, 30).flatmap(
        lambda rows: st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=rows, max_size=rows)
    ),
    st.integers(0, 5),
)
def test_every_example_is_in_exactly_one_part(rows: list[list[bool]], seed: int) -> None:
    labels = csr_array(np.array(rows, dtype=np.uint8).reshape(-1, 4))
    parts = iterative_stratification(labels, FRACTIONS, generator=np.random.default_rng(seed))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(rows)))
    assert all((np.diff(part) > 0).all() for part in parts)


def test_every_part_has_its_share_of_every_label() -> None:
    labels = long_tail(5000, 60, 3)
    parts = iterative_stratification(labels, FRACTIONS, generator=np.random.default_rng(0))
    counts = np.array([labels[part].sum(0) for part in parts])
    wanted = np.outer(FRACTIONS, labels.sum(0))
    assert np.abs(counts - wanted).mean() < 1
    assert [len(part) / 5000 for part in parts] == pytest.approx(FRACTIONS, abs=0.01)
    chance = np.random.default_rng(0).permutation(5000)
    random = np.array([labels[rows].sum(0) for rows in np.split(chance, [3500, 4000])])
    assert np.abs(counts - wanted).mean() < np.abs(random - wanted).mean() / 3


@pytest.mark.parametrize(
    ("examples", "expected"), [(1, [1, 0, 0]), (2, [1, 0, 1]), (3, [2, 0, 1]), (5, [3, 1, 1]), (10, [7, 1, 2])]
)
def test_a_rare_label_is_on_as_many_sides_as_it_can_be(examples: int, expected: list[int]) -> None:
    labels = np.zeros((100, 2), dtype=np.uint8)
    labels[:examples, 0] = 1
    labels[examples:, 1] = 1
    parts = iterative_stratification(csr_array(labels), FRACTIONS, generator=np.random.default_rng(0))
    assert [int(labels[part, 0].sum()) for part in parts] == expected


def test_examples_without_labels_fill_up_the_parts() -> None:
    labels = np.zeros((100, 1), dtype=np.uint8)
    labels[:10] = 1
    parts = iterative_stratification(csr_array(labels), FRACTIONS, generator=np.random.default_rng(0))
    assert [len(part) for part in parts] == [70, 10, 20]


def test_the_generator_alone_decides() -> None:
    labels = long_tail(300, 10, 2)
    one, same, other = (
        np.concatenate(iterative_stratification(labels, FRACTIONS, generator=np.random.default_rng(seed))).tolist()
        for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


@pytest.mark.parametrize(
    ("fractions", "got"), [((0.7, 0.2), "0.7, 0.2"), ((1.2, -0.2), "1.2, -0.2"), ((1.0, 0.0), "1, 0")]
)
def test_invalid_fractions_are_refused(fractions: tuple[float, ...], got: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        iterative_stratification(long_tail(10, 2, 1), fractions, generator=np.random.default_rng(0))
    assert str(refusal.value) == f"fractions must be positive and have sum 1. Got {got}."


def test_a_hundred_thousand_examples_are_split_with_every_label_in_every_part() -> None:
    labels = long_tail(100_000, 1000, 5)
    parts = iterative_stratification(labels, FRACTIONS, generator=np.random.default_rng(0))
    assert all(labels[part].sum(0).min() > 0 for part in parts)


def test_folds_hold_every_example_out_once_and_share_every_label() -> None:
    labels = long_tail(1000, 30, 2)
    folds = stratified_folds(labels, 5, generator=np.random.default_rng(0))
    assert sorted(np.concatenate([held_out for _, held_out in folds]).tolist()) == list(range(1000))
    for train, held_out in folds:
        assert sorted([*train, *held_out]) == list(range(1000))
    counts = np.array([labels[held_out].sum(0) for _, held_out in folds])
    assert np.ptp(counts, axis=0).max() <= 4
    assert np.abs(counts - labels.sum(0) / 5).mean() < 1


@pytest.mark.parametrize("folds", [1, 11])
def test_invalid_numbers_of_folds_are_refused(folds: int) -> None:
    with pytest.raises(ConfigError, match=rf"^folds must be between 2 and the 10 examples\. Got {folds}\.$"):
        stratified_folds(long_tail(10, 2, 1), folds, generator=np.random.default_rng(0))


def subset(labels: csr_array, fraction: float, seed: int = 0) -> np.ndarray:
    return low_data_subset(labels, fraction, generator=np.random.default_rng(seed))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(1, 8), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.integers(0, 9))
def test_the_order_has_every_example_once(rows: int, labels: int, density: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    matrix = csr_array((generator.random((rows, labels)) < density).astype(np.uint8))
    order = nested_order(matrix, generator=generator)
    assert sorted(order.tolist()) == list(range(rows))


def test_a_smaller_share_is_a_subset_of_a_larger_one_and_has_its_size() -> None:
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
def test_an_invalid_fraction_is_refused(fraction: float, got: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        subset(long_tail(10, 2, 1), fraction)
    assert str(refusal.value) == f"fraction must be above 0 and at most 1. Got {got}."


@pytest.mark.slow
def test_a_subset_of_a_hundred_thousand_examples_has_every_label() -> None:
    labels = long_tail(100_000, 1000, 5)
    rows = subset(labels, 0.05)
    assert (labels[rows].sum(0) > 0).all()


def test_fewer_labels_are_a_subset_of_more_and_as_frequent_as_all() -> None:
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


def test_dense_labels_are_divided_as_sparse_ones() -> None:
    sparse = long_tail(40, 4, 1)
    for labels in (sparse.toarray(), sparse.toarray().tolist(), torch.from_numpy(sparse.toarray())):
        for function, share in ((iterative_stratification, FRACTIONS), (stratified_folds, 3), (low_data_subset, 0.3)):
            found, expected = (function(one, share, generator=np.random.default_rng(0)) for one in (labels, sparse))
            assert str(found) == str(expected)
    with pytest.raises(LabelShapeError, match=r"^labels must be a matrix of numbers .* Got shape \[3\] of"):
        iterative_stratification([1, 0, 1], FRACTIONS, generator=np.random.default_rng(0))
