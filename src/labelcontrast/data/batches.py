"""Prepared items and their labels, and batches of both."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from labelcontrast.data.arrow import CHUNK
from labelcontrast.data.examples import Examples
from labelcontrast.data.hierarchical_sampling import HierarchicalBatches
from labelcontrast.data.sampling import MultiLabelBatches, SeededBatches, ShuffledBatches
from labelcontrast.encoders.base import Encoder, Items, longest_first
from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.labels.vocabulary import LabelVocabulary

KEPT = 2**29
"""Bytes that prepared items may take in memory."""
SAMPLE, ITEM = 200, 112
"""Items whose size is looked at, and the bytes of one beside its numbers."""


class LazyItems(Sequence[Any]):
    """Items that are made ready when a batch asks for them, and not kept: for more than fits into memory."""

    def __init__(self, encoder: Encoder, examples: Examples) -> None:
        self._encoder = encoder
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        """Make one item ready, or those of a slice."""
        if isinstance(index, slice):
            return self._encoder.prepare(self._examples.inputs[index])
        return self._encoder.prepare(self._examples.inputs[index : index + 1])[0]

    def __iter__(self) -> Iterator[Any]:
        """Make all ready, some thousands at a time."""
        for start in range(0, len(self), CHUNK):
            yield from self[start : start + CHUNK]

    def take(self, indices: Sequence[int]) -> Items:
        """Make the items at these positions ready together."""
        return self._encoder.prepare(self._examples.inputs_at(indices))

    def select(self, indices: np.ndarray) -> "LazyItems":
        """Keep the items at these positions."""
        return LazyItems(self._encoder, self._examples.select(indices))

    def lengths(self) -> np.ndarray:
        """Measure every item; where lengths do not matter, without making any ready."""
        if type(self._encoder).length is Encoder.length:
            return np.ones(len(self), dtype=np.int64)
        return np.fromiter(map(self._encoder.length, self), np.int64, count=len(self))

    def size(self) -> float:
        """Estimate how many bytes all items would take, from the first ones."""
        first = self[:SAMPLE]
        return len(self) * float(sum(item.nbytes + ITEM for item in first)) / max(len(first), 1)


@dataclass(frozen=True)
class Prepared:
    """Examples as an encoder wants them: the items, how long each one is, and their multi-hot labels."""

    items: Sequence[Any] | np.ndarray
    lengths: np.ndarray
    collate: Callable[[Sequence[Any]], Mapping[str, Tensor]]
    labels: sp.csr_array | None = None
    targets: sp.csr_array | None = None
    """What a loss sees in place of the labels, where some are soft, or unknown (NaN)."""

    def __len__(self) -> int:
        """Count the examples."""
        return len(self.items)

    def truth(self) -> np.ndarray:
        """Give the label sets as a dense matrix of 0 and 1, and NaN where a label is unknown: what is measured."""
        assert self.labels is not None
        return dense_truth(self.labels, self.targets)

    def batch(self, indices: Sequence[int]) -> tuple[Mapping[str, Tensor], Tensor]:
        """Collate the inputs and densify the labels of some examples; without labels, a matrix of width 0."""
        inputs = self.collate(self._items_at(indices))
        if self.labels is None:
            return inputs, torch.zeros(len(indices), 0)
        seen = self.labels if self.targets is None else self.targets
        return inputs, torch.from_numpy(seen[list(indices)].toarray()).float()

    def select(self, indices: np.ndarray) -> "Prepared":
        """Keep some of the examples, in the order given."""
        labels = None if self.labels is None else self.labels[indices]
        targets = None if self.targets is None else self.targets[indices]
        lazy = self.items.select(indices) if isinstance(self.items, LazyItems) else None
        items = [self.items[index] for index in indices] if lazy is None else lazy
        return Prepared(items, self.lengths[indices], self.collate, labels, targets)

    def _items_at(self, indices: Sequence[int]) -> Any:  # noqa: ANN401
        """Take the items of a batch, or make them ready now."""
        if isinstance(self.items, LazyItems):
            return self.items.take(indices)
        return [self.items[index] for index in indices]


def prepare(
    encoder: Encoder, examples: Examples, vocabulary: LabelVocabulary | None = None, *, cache: Path | None = None
) -> Prepared:
    """Turn examples into the items of an encoder, with multi-hot labels where there is a vocabulary.

    Items are made ready once and kept; where they would take more than half a GiB, anew for each batch.

    Args:
        encoder: what wants the items.
        examples: inputs, and their label sets where there is a vocabulary.
        vocabulary: of the labels; by default there are none.
        cache: where an encoder may keep, for the next run, what it makes ready once; by default nowhere.
    """
    lazy = LazyItems(encoder, examples)
    if encoder.caches_prepared or isinstance(examples.inputs, np.ndarray) or lazy.size() <= KEPT:
        inputs = examples.inputs
        items: Any = encoder.prepare(inputs) if cache is None else encoder.prepare_cached(inputs, cache)
        lengths = np.array([encoder.length(item) for item in items])
    else:
        items, lengths = lazy, lazy.lengths()
    if vocabulary is None:
        return Prepared(items, lengths, encoder.collate)
    return Prepared(items, lengths, encoder.collate, *encode_labels(examples, vocabulary))


def encode_labels(examples: Examples, vocabulary: LabelVocabulary) -> tuple[sp.csr_array, sp.csr_array | None]:
    """Make the label sets multi-hot; and beside them the targets, where some labels are soft or unknown.

    Raises:
        LabelError: when a label is not in the vocabulary.
    """
    label_sets, where = examples.label_sets or [], examples.where_labels
    labels = vocabulary.encode(label_sets, where=where)
    if examples.values is None and examples.annotated is None:
        return labels, None
    return labels, vocabulary.encode_values(label_sets, examples.values, examples.annotated, where=where)


def dense_truth(labels: sp.csr_array, targets: sp.csr_array | None) -> np.ndarray:
    """Make a dense matrix of what is true: 0 or 1 as the sets say, and NaN where a target is."""
    dense: np.ndarray = labels.toarray()
    if targets is None or not np.isnan(targets.data).any():
        return dense
    return np.where(np.isnan(targets.toarray()), np.nan, dense).astype(np.float32)


def training_batches(
    prepared: Prepared,
    *,
    batch_size: int,
    seed: int,
    smallest: int = 1,
    per_label: int | None = None,
    hierarchy: Hierarchy | None = None,
) -> "DataLoader[tuple[Mapping[str, Tensor], Tensor]]":
    """Load batches of inputs and labels.

    Args:
        prepared: the examples.
        batch_size: examples a batch, at most.
        seed: of the order.
        smallest: batches of fewer examples are left out.
        per_label: examples of each label that a batch is about; by default examples are only shuffled.
        hierarchy: over the labels, for batches with positives at each level of it.
    """
    lengths, how = prepared.lengths, {"batch_size": batch_size, "seed": seed, "smallest": smallest}
    sampler: SeededBatches
    if per_label is None or prepared.labels is None:
        sampler = ShuffledBatches(lengths, **how)
    elif hierarchy is None:
        sampler = MultiLabelBatches(prepared.labels, lengths, per_label=per_label, **how)
    else:
        sampler = HierarchicalBatches(prepared.labels, hierarchy, lengths, per_label=per_label, **how)
    # The loader draws a base seed for workers; from a generator of its own, the stream of the dropout is not touched.
    generator = torch.Generator().manual_seed(seed)
    indices: Any = range(len(prepared))
    return DataLoader(indices, batch_sampler=sampler, collate_fn=prepared.batch, generator=generator)


def ordered_batches(prepared: Prepared, *, batch_size: int) -> Iterator[tuple[np.ndarray, Mapping[str, Tensor]]]:
    """Yield each example once, the longest first, with the indices that put results back in order."""
    for indices in longest_first(prepared.lengths, batch_size=batch_size):
        yield indices, prepared.batch(indices.tolist())[0]
