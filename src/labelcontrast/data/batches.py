"""Prepared examples, and data loaders over them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from labelcontrast.data.examples import Examples
from labelcontrast.data.sampling import HierarchicalBatches, MultiLabelBatches, SeededBatches, ShuffledBatches
from labelcontrast.data.table import CHUNK
from labelcontrast.encoders.base import Encoder, Items, longest_first
from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.labels.vocabulary import LabelVocabulary
from labelcontrast.metrics.counting import Matrix, blocks_of_sparse

KEPT = 2**29
"""Bytes that prepared items may take in memory."""
SAMPLE, ITEM = 200, 112
"""Items whose size is measured, and the bytes of an item beside its numbers."""


class LazyItems(Sequence[Any]):
    """Items that are prepared when a batch needs them and not kept: for more than fits into memory."""

    def __init__(self, encoder: Encoder, examples: Examples) -> None:
        self._encoder = encoder
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        """Prepare one item, or those of a slice."""
        if isinstance(index, slice):
            return self._encoder.prepare(self._examples.inputs[index])
        return self._encoder.prepare(self._examples.inputs[index : index + 1])[0]

    def __iter__(self) -> Iterator[Any]:
        """Prepare all items, a chunk at a time."""
        for start in range(0, len(self), CHUNK):
            yield from self[start : start + CHUNK]

    def take(self, indices: Sequence[int]) -> Items:
        """Prepare the items at these positions together."""
        return self._encoder.prepare(self._examples.inputs_at(indices))

    def select(self, indices: np.ndarray) -> "LazyItems":
        """Return the items at these positions, still not prepared."""
        return LazyItems(self._encoder, self._examples.select(indices))

    def lengths(self) -> np.ndarray:
        """Return the length of every item; if lengths do not matter, without preparing any."""
        if type(self._encoder).length is Encoder.length:
            return np.ones(len(self), dtype=np.int64)
        return np.fromiter(map(self._encoder.length, self), np.int64, count=len(self))

    def size(self) -> float:
        """Estimate the bytes of all items from the first ones."""
        first = self[:SAMPLE]
        return len(self) * float(sum(item.nbytes + ITEM for item in first)) / max(len(first), 1)


@dataclass(frozen=True)
class Prepared:
    """Examples as an encoder needs them: its items, the length of each, and their multi-hot labels."""

    items: Sequence[Any] | np.ndarray
    lengths: np.ndarray
    collate: Callable[[Sequence[Any]], Mapping[str, Tensor]]
    labels: sp.csr_array | None = None
    targets: sp.csr_array | None = None
    """The labels for a loss, if some are soft, or unknown (NaN)."""
    weights: np.ndarray | None = None
    """The weight of each example, above 0, if they differ."""

    def __len__(self) -> int:
        return len(self.items)

    def truth(self) -> Matrix:
        """Return the labels for metrics as a matrix of 0 and 1, with NaN where a label is unknown."""
        assert self.labels is not None
        return blocks_of_sparse(_with_unknown(self.labels, self.targets))

    def batch(self, indices: Sequence[int]) -> tuple[Mapping[str, Tensor], Tensor]:
        """Collate the inputs of some examples, and densify their labels; without labels, a matrix of width 0."""
        (inputs,), labels = self.chunked_batch(indices, chunk=len(indices))
        return inputs, labels

    def chunked_batch(self, indices: Sequence[int], *, chunk: int) -> tuple[list[Mapping[str, Tensor]], Tensor]:
        """Collate the inputs of ``chunk`` examples at a time; the labels are those of all."""
        lazy = isinstance(self.items, LazyItems)
        items: Any = self.items.take(indices) if lazy else [self.items[index] for index in indices]  # type: ignore[union-attr]
        starts = range(0, len(indices), chunk) if len(indices) else [0]
        inputs = [self.collate(items[start : start + chunk]) for start in starts]
        if self.labels is None:
            return inputs, torch.zeros(len(indices), 0)
        seen = self.labels if self.targets is None else self.targets
        return inputs, torch.from_numpy(seen[list(indices)].toarray()).float()

    def select(self, indices: np.ndarray) -> "Prepared":
        """Return the examples at these positions, in this order."""
        labels = None if self.labels is None else self.labels[indices]
        targets = None if self.targets is None else self.targets[indices]
        lazy = self.items.select(indices) if isinstance(self.items, LazyItems) else None
        items = [self.items[index] for index in indices] if lazy is None else lazy
        weights = None if self.weights is None else self.weights[indices]
        return Prepared(items, self.lengths[indices], self.collate, labels, targets, weights)


def prepare(
    encoder: Encoder, examples: Examples, vocabulary: LabelVocabulary | None = None, *, cache: str | Path | None = None
) -> Prepared:
    """Prepare examples for an encoder, with multi-hot labels if there is a vocabulary.

    Items are prepared once and kept; if they would take more than half a GiB, again for each batch.

    Args:
        encoder: The encoder that prepares the items.
        examples: Inputs, and their label sets if there is a vocabulary.
        vocabulary: The labels; by default there are none.
        cache: A folder in which an encoder may cache expensive items for the next run; by default none.
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
    """Return the label sets as a multi-hot matrix; and the targets, if some labels are soft or unknown, else None.

    Raises:
        LabelError: A label is not in the vocabulary.
    """
    label_sets, where = examples.label_sets or [], examples.where_labels
    labels = vocabulary.encode(label_sets, where=where)
    if examples.values is None and examples.annotated is None:
        return labels, None
    return labels, vocabulary.encode_values(label_sets, examples.values, examples.annotated, where=where)


def dense_truth(labels: sp.csr_array, targets: sp.csr_array | None) -> np.ndarray:
    """Return labels as a dense matrix of 0 and 1, with NaN where a target is NaN."""
    return np.asarray(_with_unknown(labels, targets).toarray())


def _with_unknown(labels: sp.csr_array, targets: sp.csr_array | None) -> sp.csr_array:
    """Return the labels with an entry of NaN where a target is NaN."""
    if targets is None or not np.isnan(targets.data).any():
        return labels
    unknown = targets.copy()
    unknown.data = np.where(np.isnan(targets.data), np.nan, 0.0).astype(np.float32)
    return sp.csr_array(labels.astype(np.float32) + unknown)


def training_batches(
    prepared: Prepared,
    *,
    batch_size: int,
    seed: int,
    smallest: int = 1,
    per_label: int | None = None,
    hierarchy: Hierarchy | None = None,
    chunk: int = 0,
) -> "DataLoader[Any]":
    """Return a loader of batches of inputs, labels and any weights; the inputs are a list where they come in chunks.

    Args:
        prepared: The examples.
        batch_size: Examples a batch, at most.
        seed: Seed of the order.
        smallest: Batches with fewer examples are dropped.
        per_label: Examples of each label in a batch; by default examples are only shuffled.
        hierarchy: The hierarchy over the labels, for batches with positives at each of its levels.
        chunk: Examples whose inputs are collated together; 0 for the whole batch.
    """
    lengths = prepared.lengths
    how: dict[str, Any] = {"batch_size": batch_size, "seed": seed, "smallest": smallest}
    sampler: SeededBatches
    if per_label is None or prepared.labels is None:
        sampler = ShuffledBatches(lengths, **how)
    elif hierarchy is None:
        sampler = MultiLabelBatches(prepared.labels, lengths, per_label=per_label, **how)
    else:
        sampler = HierarchicalBatches(prepared.labels, hierarchy, lengths, per_label=per_label, **how)
    # The loader draws a base seed for workers; from its own generator, it leaves the random stream of dropout alone.
    generator = torch.Generator().manual_seed(seed)
    indices: Any = range(len(prepared))
    collate: Callable[[Sequence[int]], Any] = partial(prepared.chunked_batch, chunk=chunk) if chunk else prepared.batch
    if (weights := prepared.weights) is not None:
        unweighted = collate
        collate = lambda rows: (*unweighted(rows), torch.from_numpy(weights[list(rows)]).float())  # noqa: E731
    return DataLoader(indices, batch_sampler=sampler, collate_fn=collate, generator=generator)


def ordered_batches(prepared: Prepared, *, batch_size: int) -> Iterator[tuple[np.ndarray, Mapping[str, Tensor]]]:
    """Yield each example once, the longest first, with the indices that restore the order of results."""
    for indices in longest_first(prepared.lengths, batch_size=batch_size):
        yield indices, prepared.batch(indices.tolist())[0]
