"""Batches: inputs and labels together, by either sampler, and results back in order."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
import torch

from labelcontrast.data import batches
from labelcontrast.data.batches import LazyItems, Prepared, ordered_batches, prepare, training_batches
from labelcontrast.data.examples import Examples
from labelcontrast.data.table import ArrowColumn
from labelcontrast.encoders.embedded import HashedEncoder
from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.labels.vocabulary import LabelVocabulary


class Measured(HashedEncoder):
    """An encoder to which lengths matter, and that marks each call with a cache by a file."""

    def prepare_cached(self, inputs: Any, cache: str | Path) -> Any:
        (Path(cache) / f"{len(inputs)} texts").touch()
        return self.prepare(inputs)

    def length(self, item: Any) -> int:
        return len(item)


def prepared(count: int = 10) -> Prepared:
    rows = [np.full(1 + index % 4, index) for index in range(count)]
    lengths = np.array([len(row) for row in rows])
    labels = sp.csr_array(np.eye(count, dtype=np.uint8))
    return Prepared(rows, lengths, lambda items: {"first": torch.tensor([item[0] for item in items])}, labels)


def test_inputs_and_labels_stay_together() -> None:
    loader = training_batches(prepared(), batch_size=3, seed=0, smallest=2)
    for inputs, labels in loader:
        assert torch.equal(labels.argmax(1), inputs["first"])
        assert labels.dtype == torch.float32


def test_the_truth_is_the_label_sets_and_nan_for_unknown_targets() -> None:
    plain = prepared(3)
    np.testing.assert_array_equal(plain.truth(), np.eye(3))
    targets = sp.csr_array(np.array([[1, 0, np.nan], [0, 0.7, 0], [np.nan, 0, 1]], dtype=np.float32))
    soft = Prepared(plain.items, plain.lengths, plain.collate, plain.labels, targets)
    np.testing.assert_array_equal(soft.truth(), [[1, 0, np.nan], [0, 1, 0], [np.nan, 0, 1]])
    np.testing.assert_array_equal(soft.select(np.array([1, 0])).truth(), [[0, 1, 0], [1, 0, np.nan]])


def test_batches_can_have_partners() -> None:
    data = prepared(4)
    labels = sp.csr_array(np.array([[1, 0], [0, 1], [1, 0], [0, 1]], dtype=np.uint8))
    data = Prepared(data.items, data.lengths, data.collate, labels)
    for _ in range(3):
        for _, seen in training_batches(data, batch_size=2, seed=0, per_label=2):
            assert torch.equal(seen[0], seen[1])


def test_batches_can_have_partners_at_each_level() -> None:
    """With two labels under each of two parents, a batch holds two examples of each label of one parent."""
    tree = Hierarchy.from_parents({"0": "a", "1": "b", "2": "a", "3": "b"})
    data = prepared(8)
    data = Prepared(data.items, data.lengths, data.collate, sp.csr_array(np.eye(4, dtype=np.uint8)[np.arange(8) % 4]))
    for _, seen in training_batches(data, batch_size=4, seed=0, per_label=2, hierarchy=tree):
        assert sorted(seen.sum(0).tolist()) == [0, 0, 2, 2]
        assert seen[:, [0, 2]].sum() in (0, 4)


def test_loading_does_not_change_the_global_random_state() -> None:
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


def test_a_loss_sees_soft_and_unknown_labels() -> None:
    data = prepared(2)
    targets = sp.csr_array(np.array([[0.25, np.nan], [0, 1]], dtype=np.float32))
    soft = Prepared(data.items, data.lengths, data.collate, data.labels, targets)
    seen = soft.select(np.array([1, 0])).batch([0, 1])[1]
    assert torch.equal(seen.nan_to_num(9), torch.tensor([[0, 1], [0.25, 9]]))
    assert soft.labels is not None


def test_items_that_exceed_memory_are_prepared_per_batch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    texts = [f"{'word ' * (row % 7)}text {row}" for row in range(30)]
    label_sets = [("even",) if row % 2 else () for row in range(30)]
    given: dict[str, Any] = {"kind": "text", "ids": texts, "lines": range(30), "origin": "a", "understood": ""}
    vocabulary, encoder = LabelVocabulary(("even",)), Measured(width=8)
    kept = prepare(encoder, Examples(inputs=texts, label_sets=label_sets, **given), vocabulary)
    assert isinstance(kept.items, list)
    assert not list(tmp_path.iterdir())
    prepare(encoder, Examples(inputs=texts, label_sets=label_sets, **given), vocabulary, cache=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["30 texts"]
    (tmp_path / "30 texts").unlink()
    monkeypatch.setattr(batches, "KEPT", 0)
    column = ArrowColumn(pa.chunked_array([texts[:11], texts[11:]]))
    for inputs in (texts, column):
        lazy = prepare(encoder, Examples(inputs=inputs, label_sets=label_sets, **given), vocabulary, cache=tmp_path)
        assert isinstance(lazy.items, LazyItems)
        assert np.array_equal(lazy.lengths, kept.lengths)
        assert [item.tolist() for item in lazy.items] == [item.tolist() for item in kept.items]
        chosen = np.array([29, 3, 8])
        for one, other in ((kept, lazy), (kept.select(chosen), lazy.select(chosen))):
            (expected, labels), (same, equal) = one.batch([2, 0]), other.batch([2, 0])
            assert all(torch.equal(expected[name], same[name]) for name in expected)
            assert torch.equal(labels, equal)
            assert len(one) == len(other)
    assert not list(tmp_path.iterdir())


def test_the_size_of_all_items_is_estimated_from_the_first() -> None:
    texts = ["a cat"] * 1000
    examples = Examples(
        inputs=texts, label_sets=None, kind="text", ids=texts, lines=range(1000), origin="a", understood=""
    )
    lazy = LazyItems(HashedEncoder(width=8), examples)
    assert lazy.size() == sum(item.nbytes + 112 for item in lazy)
    assert lazy.lengths().tolist() == [1] * 1000
