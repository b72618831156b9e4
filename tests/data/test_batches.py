"""Batches: every example once, the same again from seed and epoch, of like length."""

import numpy as np
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelcontrast.data.batches import Prepared, ShuffledBatches, ordered_batches, training_batches


def prepared(count: int = 10) -> Prepared:
    rows = [np.full(1 + index % 4, index) for index in range(count)]
    lengths = np.array([len(row) for row in rows])
    labels = sp.csr_array(np.eye(count, dtype=np.uint8))
    return Prepared(rows, lengths, lambda items: {"first": torch.tensor([item[0] for item in items])}, labels)


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


def test_inputs_and_labels_stay_together() -> None:
    loader = training_batches(prepared(), batch_size=3, seed=0, smallest=2)
    for inputs, labels in loader:
        assert torch.equal(labels.argmax(1), inputs["first"])
        assert labels.dtype == torch.float32


def test_loading_leaves_the_global_random_stream_alone() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    list(training_batches(prepared(), batch_size=3, seed=0))
    assert torch.equal(before, torch.random.get_rng_state())


def test_ordered_batches_can_be_put_back() -> None:
    data = prepared()
    back = np.empty(len(data))
    longest = []
    for indices, inputs in ordered_batches(data, batch_size=4):
        back[indices] = inputs["first"]
        longest.append(data.lengths[indices].max())
    assert (back == np.arange(len(data))).all()
    assert longest == sorted(longest, reverse=True)


def test_a_selection_keeps_order_and_labels() -> None:
    chosen = prepared().select(np.array([7, 2]))
    inputs, labels = chosen.batch([0, 1])
    assert inputs["first"].tolist() == [7, 2]
    assert labels.argmax(1).tolist() == [7, 2]


def test_without_labels_the_matrix_has_no_columns() -> None:
    data = prepared()
    assert Prepared(data.items, data.lengths, data.collate).batch([1, 2])[1].shape == (2, 0)
