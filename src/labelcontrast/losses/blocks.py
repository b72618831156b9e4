"""Anchors x candidates, a block at a time: how similar they are, how their labels weigh, what a slope does to them.

Where anchors are candidates themselves, similarities are symmetric: a block serves (i, j) and (j, i), and none below
the diagonal is computed. No maximum is subtracted before the exponential: a similarity is at most 1 / temperature, and
where the exponential of that leaves the range of float32, below a temperature of 1/70, float64 is used. The pair of an
example with itself has the exponential 0.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise, product
from math import ceil

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK_SIZE = 384  # a handful of blocks of this size stay in the cache
LINE = 16  # numbers in a line of the cache
KEPT_PAIRS = 2**23  # up to so many pairs, the later sweeps find the blocks of the first
LARGEST_EXPONENT = {torch.float32: 70.0, torch.float64: 650.0}

Block = Float[Tensor, "rows columns"]


class Pulls(ABC):
    """How strongly every anchor is pulled to every candidate: never negative, 0 for a pair that is no positive."""

    @abstractmethod
    def block(self, rows: slice, columns: slice, *, mirrored: bool) -> tuple[Block, Block | None]:
        """The weights of anchors ``rows`` on candidates ``columns``, self pairs 0.

        And, where ``mirrored``, those of anchors ``columns`` on candidates ``rows``, laid out as the first. Whoever
        asks may write into them.
        """


class PairWeights(Pulls):
    """Pulls that labels alone make."""

    totals: Float[Tensor, " anchors"]

    @property
    def cuts(self) -> tuple[int, ...]:
        """The candidates at which a new block must begin."""
        return ()

    def prior(self, rows: slice, columns: slice) -> Block | None:  # noqa: ARG002
        """What the exponentials of pairs are multiplied with, symmetric in the two; by default nothing."""
        return None

    @abstractmethod
    def scaled(self, factors: Float[Tensor, " anchors"]) -> "PairWeights":
        """The same weights, every anchor's times its factor."""


class PairStatistics:
    """Counts what the blocks show as they pass by: pairs, positives, and how similar they are."""

    def __init__(self) -> None:
        self.positives: Tensor | float = 0.0
        self.stoppable: Tensor | float = 0.0
        self.similarity_of_positives: Tensor | float = 0.0
        self.similarity_of_all: Tensor | float = 0.0

    def add(self, similarity: Block, push: Block, pull: Block, rows: slice, columns: slice) -> None:  # noqa: ARG002
        """Count the block of these rows and columns; a positive is stoppable where it is pushed more than pulled."""
        positive = pull.sign()
        self.positives = self.positives + positive.sum()
        self.stoppable = self.stoppable + (push * positive > pull).sum()
        self.similarity_of_positives = self.similarity_of_positives + (positive * similarity).sum()
        self.similarity_of_all = self.similarity_of_all + similarity.sum()


@dataclass(frozen=True)
class Blocks:
    """Who meets whom, in blocks.

    Attributes:
        candidates: of unit length, over the root of the temperature.
        queries: the anchors, where they are no candidates; else the first candidates are the anchors.
        weights: W.
        prior: what the candidates' exponentials are multiplied with; by default 1.
        size: rows and columns of a block.
        scale: of candidates and anchors: one over the root of the temperature.
        kept: similarities and exponentials of the blocks that are kept.
    """

    candidates: Float[Tensor, "candidates dim"]
    queries: Float[Tensor, "anchors dim"] | None
    weights: PairWeights
    prior: Float[Tensor, " candidates"] | None
    size: int
    scale: float
    kept: dict[tuple[int, int], tuple[Block, Block]] = field(default_factory=dict, init=False)

    @cached_property
    def anchors(self) -> Float[Tensor, "anchors dim"]:
        """The queries; or the first candidates."""
        return self.candidates[: len(self.weights.totals)] if self.queries is None else self.queries

    def __iter__(self) -> Iterator[tuple[slice, slice, bool]]:
        """Go through all blocks."""
        sizes = len(self.anchors), len(self.candidates)
        return grid(*sizes, size=self.size, symmetric=self.queries is None, cuts=self.weights.cuts)

    def similarities(self, rows: slice, columns: slice) -> tuple[Block, Block]:
        """A block of similarities; and their exponentials times the priors of both, which keeps them symmetric.

        Of a small problem they are kept for the sweeps to come, of a large one until another block is asked for.
        """
        place = rows.start, columns.start
        if place not in self.kept:
            if place not in self.room:
                self.kept.clear()
            self.kept[place] = self._similarities(rows, columns)
        return self.kept[place]

    @cached_property
    def room(self) -> dict[tuple[int, int], Float[Tensor, "2 rows columns"]]:
        """Where the blocks of a small problem are kept.

        In one piece, each from a new line of the cache on: large blocks that are taken and given back one by one are
        cleared by the system anew each step.
        """
        if len(self.anchors) * len(self.candidates) > KEPT_PAIRS:
            return {}
        shapes = {(r.start, c.start): (r.stop - r.start, c.stop - c.start) for r, c, _ in self}
        sizes = [ceil(height * width / LINE) * LINE for height, width in shapes.values()]
        pieces = self.candidates.new_empty(2, sum(sizes)).split_with_sizes(sizes, 1)
        return {
            place: piece[:, : height * width].view(2, height, width)
            for (place, (height, width)), piece in zip(shapes.items(), pieces, strict=True)
        }

    def _similarities(self, rows: slice, columns: slice) -> tuple[Block, Block]:
        """The same, computed."""
        anchors, candidates = self.anchors[rows], self.candidates[columns]
        room = self.room.get((rows.start, columns.start))
        similarity, exponential = candidates.new_empty(2, len(anchors), len(candidates)) if room is None else room
        torch.mm(anchors, candidates.T, out=similarity)
        torch.exp(similarity, out=exponential)
        of_pairs = self.weights.prior(rows, columns)
        if of_pairs is not None:
            exponential *= of_pairs
        if self.prior is not None:
            exponential *= self.prior[columns]
            if self.queries is None:
                exponential *= self.prior[rows, None]
        if self.queries is None and rows == columns:
            exponential.fill_diagonal_(0)
        return similarity, exponential

    def descend(self, slope: Block, rows: slice, columns: slice, gradients: list[Tensor]) -> None:
        """Add what a block of slopes does to the rows of both its sides, before they were scaled."""
        if self.queries is None and rows == columns:  # both products are of the same rows
            both = slope.T.contiguous().add_(slope)
            gradients[0][rows].addmm_(both, self.candidates[rows], alpha=self.scale)
        else:
            gradients[-1][rows].addmm_(slope, self.candidates[columns], alpha=self.scale)
            gradients[0][columns].addmm_(slope.T, self.anchors[rows], alpha=self.scale)


def working_precision(dtype: torch.dtype, temperature: float) -> torch.dtype:
    """Float32 or better; better where the exponential of 1 / temperature needs it.

    Example:
        >>> working_precision(torch.bfloat16, 0.1), working_precision(torch.float32, 0.01)
        (torch.float32, torch.float64)
    """
    enough = dtype != torch.float64 and 1 / temperature <= LARGEST_EXPONENT[torch.float32]
    return torch.float32 if enough else torch.float64


def grid(
    anchors: int, candidates: int, *, size: int, symmetric: bool, cuts: tuple[int, ...] = ()
) -> Iterator[tuple[slice, slice, bool]]:
    """Go through all blocks of anchors x candidates; where symmetric, from the diagonal on, naming those that mirror.

    Example:
        >>> [(rows.start, columns.start, mirrored) for rows, columns, mirrored in grid(4, 5, size=2, symmetric=True)]
        [(0, 0, False), (0, 2, True), (0, 4, False), (2, 2, False), (2, 4, False)]
    """
    ends = sorted({anchors, candidates, *cuts} if symmetric else {candidates, *cuts})
    columns = [part for start, end in pairwise([0, *ends]) for part in _parts(start, end, size)]
    rows = [part for part in columns if part.stop <= anchors] if symmetric else _parts(0, anchors, size)
    for row, column in product(rows, columns):
        if not symmetric or column.start >= row.start:
            yield row, column, symmetric and row.start < column.start < anchors


def _parts(start: int, end: int, size: int) -> list[slice]:
    """Cut a range into pieces of one size, up to the given: products with a narrow rest are slow."""
    pieces = ceil((end - start) / size) or 1
    step = min(size, ceil((end - start) / pieces / LINE) * LINE or LINE)
    return [slice(low, min(low + step, end)) for low in range(start, end, step)]
