"""Prepared items and their labels in batches: seeded by epoch, and of like length where length costs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from labelcontrast.data.examples import Examples
from labelcontrast.encoders.base import Encoder
from labelcontrast.labels.vocabulary import LabelVocabulary

POOL = 50
"""Batches whose examples are sorted by length together: wide enough to save padding, narrow enough to stay random."""


@dataclass(frozen=True)
class Prepared:
    """Examples as an encoder wants them: the items, how long each one is, and their multi-hot labels."""

    items: Sequence[Any] | np.ndarray
    lengths: np.ndarray
    collate: Callable[[Sequence[Any]], Mapping[str, Tensor]]
    labels: sp.csr_array | None = None

    def __len__(self) -> int:
        """Count the examples."""
        return len(self.items)

    def batch(self, indices: Sequence[int]) -> tuple[Mapping[str, Tensor], Tensor]:
        """Collate the inputs and densify the labels of some examples; without labels, a matrix of width 0."""
        inputs = self.collate([self.items[index] for index in indices])
        if self.labels is None:
            return inputs, torch.zeros(len(indices), 0)
        return inputs, torch.from_numpy(self.labels[list(indices)].toarray()).float()

    def select(self, indices: np.ndarray) -> "Prepared":
        """Keep some of the examples, in the order given."""
        labels = None if self.labels is None else self.labels[indices]
        return Prepared([self.items[index] for index in indices], self.lengths[indices], self.collate, labels)


def prepare(encoder: Encoder, examples: Examples, vocabulary: LabelVocabulary | None = None) -> Prepared:
    """Turn examples into the items of an encoder, with multi-hot labels where there is a vocabulary."""
    items = encoder.prepare(examples.inputs)
    lengths = np.array([encoder.length(item) for item in items])
    labels = None if vocabulary is None else vocabulary.encode(examples.label_sets or [], where=examples.where)
    return Prepared(items, lengths, encoder.collate, labels)


class ShuffledBatches(Sampler[list[int]]):
    """Batches of indices in an order that is a function of seed and epoch alone, so a resumed run sees the same.

    Examples of like length share a batch: shuffle, cut into pools of 50 batches, sort each pool by length, cut into
    batches, shuffle the batches. A last batch of fewer than ``smallest`` examples is left out, since an anchor alone
    has nothing to be contrasted with.

    Example:
        >>> batches = ShuffledBatches(np.array([3, 1, 2, 1, 3]), batch_size=2, seed=0, smallest=2)
        >>> len(batches), sorted(len(batch) for batch in batches)
        (2, [2, 2])
    """

    def __init__(self, lengths: np.ndarray, *, batch_size: int, seed: int, smallest: int = 1) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self._smallest = smallest
        self._epoch = 0
        # Lightning calls set_epoch on ``batch_sampler.sampler``.
        self.sampler = self

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch's order comes next, counted from 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        whole, rest = divmod(len(self._lengths), self._batch_size)
        return whole + (rest >= self._smallest and rest > 0)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the batches of the present epoch."""
        random = np.random.default_rng([self._seed, self._epoch])
        order = random.permutation(len(self._lengths))
        pool = POOL * self._batch_size
        batches = []
        for start in range(0, len(order), pool):
            chunk = order[start : start + pool]
            chunk = chunk[np.argsort(self._lengths[chunk], kind="stable")]
            batches += [chunk[at : at + self._batch_size] for at in range(0, len(chunk), self._batch_size)]
        batches = [batch for batch in batches if len(batch) >= self._smallest]
        for index in random.permutation(len(batches)):
            yield batches[index].tolist()


def training_batches(
    prepared: Prepared, *, batch_size: int, seed: int, smallest: int = 1
) -> "DataLoader[tuple[Mapping[str, Tensor], Tensor]]":
    """Load shuffled batches of inputs and labels."""
    sampler = ShuffledBatches(prepared.lengths, batch_size=batch_size, seed=seed, smallest=smallest)
    # The loader draws a base seed for workers; from a generator of its own, the stream of the dropout is not touched.
    generator = torch.Generator().manual_seed(seed)
    indices: Any = range(len(prepared))
    return DataLoader(indices, batch_sampler=sampler, collate_fn=prepared.batch, generator=generator)


def ordered_batches(prepared: Prepared, *, batch_size: int) -> Iterator[tuple[np.ndarray, Mapping[str, Tensor]]]:
    """Yield each example once, the longest first, with the indices that put results back in order."""
    order = np.argsort(-prepared.lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        indices = order[start : start + batch_size]
        yield indices, prepared.batch(indices.tolist())[0]
