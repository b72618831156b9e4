"""Samplers: every example once, the same again from seed and epoch, of like length, partners, ranks, and a resume."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from labelcontrast.data.hierarchical_sampling import HierarchicalBatches
from labelcontrast.data.sampling import MultiLabelBatches, SeededBatches, ShuffledBatches, owned_examples
from labelcontrast.labels.hierarchy import Hierarchy


@settings(deadline=None)
@given(count=st.integers(1, 700), batch_size=st.integers(1, 9), seed=st.integers(0, 5), smallest=st.integers(1, 2))
def test_every_example_once_but_a_last_one_alone(count: int, batch_size: int, seed: int, smallest: int) -> None:
    smallest = min(smallest, batch_size)
    batches = ShuffledBatches(np.arange(count) % 7, batch_size=batch_size, seed=seed, smallest=smallest)
    drawn = list(batches)
    flat = [index for batch in drawn for index in batch]
    assert len(drawn) == len(batches)
    assert len(flat) == len(set(flat)) >= count - (smallest - 1)
    assert all(smallest <= len(batch) <= batch_size for batch in drawn)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    lengths = np.arange(100)

    def draw(seed: int, epoch: int) -> list[list[int]]:
        batches = ShuffledBatches(lengths, batch_size=8, seed=seed)
        batches.set_epoch(epoch)
        return list(batches)

    assert draw(1, 3) == draw(1, 3)
    assert draw(1, 3) != draw(1, 4)
    assert draw(1, 3) != draw(2, 3)


def test_like_lengths_share_a_batch() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 1000)
    spread = [np.ptp(lengths[batch]) for batch in ShuffledBatches(lengths, batch_size=10, seed=0)]
    assert np.mean(spread) < 10


def long_tail(examples: int, labels: int, seed: int = 0) -> csr_array:
    """Label sets with a long tail: label l is as frequent as 1 / (l + 1)."""
    random = np.random.default_rng(seed)
    return csr_array((random.random((examples, labels)) < 0.5 / np.arange(1, labels + 1)).astype(np.uint8))


def make(kind: str, *, seed: int = 0, rank: int = 0, ranks: int = 1) -> SeededBatches:
    lengths = np.random.default_rng(1).integers(1, 100, 203)
    where = {"seed": seed, "rank": rank, "ranks": ranks}
    if kind == "shuffled":
        return ShuffledBatches(lengths, batch_size=16, **where)
    if kind == "hierarchical":
        tree = Hierarchy.from_parents({str(node): str(node // 3) if node else None for node in range(30)})
        return HierarchicalBatches(long_tail(203, 30), tree, lengths, batch_size=16, per_label=2, **where)
    return MultiLabelBatches(long_tail(203, 30), lengths, batch_size=16, per_label=2, **where)


@settings(deadline=None)
@given(
    examples=st.integers(1, 120),
    labels=st.integers(1, 12),
    batch_size=st.integers(1, 20),
    per_label=st.integers(1, 5),
    seed=st.integers(0, 9),
)
def test_partners_are_found_and_no_row_comes_twice(
    examples: int, labels: int, batch_size: int, per_label: int, seed: int
) -> None:
    hot = long_tail(examples, labels, seed)
    lengths = np.ones(examples)
    batches = list(MultiLabelBatches(hot, lengths, batch_size=batch_size, per_label=per_label, seed=seed))
    flat = [row for batch in batches for row in batch]
    assert sorted(flat) == list(range(examples))
    pack = min(per_label, batch_size)
    assert all(len(batch) <= max(batch_size, pack + 1) for batch in batches)
    if pack < 2:
        return
    dense = hot.toarray()
    alone = set(owned_examples(hot).get(-1, np.empty(0)).tolist())
    for batch in batches:
        shared = dense[batch].astype(int) @ dense[batch].T.astype(int)
        np.fill_diagonal(shared, 0)
        lonely = {row for row, partners in zip(batch, shared.sum(1), strict=True) if not partners}
        assert lonely <= alone


def test_a_batch_is_about_many_labels() -> None:
    """Of twenty labels with ten examples each, a batch of sixteen holds four examples of each of four."""
    hot = csr_array(np.repeat(np.eye(20, dtype=np.uint8), 12, axis=0))
    batches = list(MultiLabelBatches(hot, np.ones(240), batch_size=16, per_label=4, seed=0))
    assert len(batches) == 15
    for batch in batches:
        counts = hot[batch].sum(0)
        assert set(counts[counts > 0].tolist()) <= {4, 8}
    assert np.mean([(hot[batch].sum(0) > 0).sum() for batch in batches]) > 3.5


def test_rare_labels_own_their_examples() -> None:
    hot = csr_array(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 0], [0, 0, 0]]))
    assert {label: rows.tolist() for label, rows in owned_examples(hot).items()} == {1: [0, 1], 0: [2, 3], -1: [4]}
    upper_first = owned_examples(hot, np.array([1, 0, 0]))
    assert {label: rows.tolist() for label, rows in upper_first.items()} == {0: [0, 1, 2, 3], -1: [4]}


def test_like_lengths_share_a_batch_with_partners_too() -> None:
    hot = csr_array(np.repeat(np.eye(4, dtype=np.uint8), 250, axis=0))
    lengths = np.random.default_rng(0).integers(1, 100, 1000)
    spread = [np.ptp(lengths[batch]) for batch in MultiLabelBatches(hot, lengths, batch_size=10, per_label=2, seed=0)]
    assert np.mean(spread) < 25  # of random batches of ten, 81


@pytest.mark.parametrize("kind", ["shuffled", "multilabel", "hierarchical"])
def test_ranks_share_the_batches_evenly(kind: str) -> None:
    whole = list(make(kind))
    shares = [list(make(kind, rank=rank, ranks=3)) for rank in range(3)]
    assert {len(share) for share in shares} == {len(whole) // 3}
    for rank, share in enumerate(shares):
        assert share == whole[rank::3][: len(share)]


@pytest.mark.parametrize("kind", ["shuffled", "multilabel", "hierarchical"])
def test_an_epoch_goes_on_in_its_middle(kind: str) -> None:
    batches = make(kind)
    batches.set_epoch(2)
    order = list(batches)
    stream = iter(batches)
    before = [next(stream) for _ in range(5)]
    later = make(kind)
    later.load_state_dict(batches.state_dict())
    later.set_epoch(2)
    assert before + list(later) == order
    assert later.state_dict() == {"epoch": 2, "drawn": 0}
    later.set_epoch(3)
    assert list(later) != order
    assert len(later) == len(list(later))
