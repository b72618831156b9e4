"""All pairs of anchors and candidates in blocks: their similarities, their weights, and statistics of them.

Where the anchors are candidates themselves, similarities are symmetric: a block serves (i, j) and (j, i), and no block
below the diagonal is computed. No maximum is subtracted before the exponential: a similarity is at most 1 / temperature
and where the exponential of that leaves the range of float32, below a temperature of 1/70, float64 is used. The pair of
an example with itself has the exponential 0.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from math import ceil, prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

BLOCK_SIZE = 384
"""Rows of a block by default: a handful of blocks of this size fits the processor's cache."""
LINE = 16
"""Numbers in a line of the processor's cache."""
KEPT_PAIRS = 2**23
"""Largest number of pairs for which blocks are kept from one sweep to the next."""
NEGATIVE_PAIRS = 2**20
"""Pairs of a block of candidates that are no positives: a megabyte or a few fit the processor's cache."""
KEPT_NEGATIVES = 2**25
"""Largest number of such pairs whose exponentials are kept from one sweep to the next."""
LARGEST_EXPONENT = {torch.float32: 70.0, torch.float64: 650.0}

PerAnchor = Float[Tensor, " anchors"]
PerPair = Float[Tensor, "rows columns"]


@dataclass(frozen=True, eq=False)
class Block:
    """The pairs of anchors ``rows`` with candidates ``columns``; where mirrored, also of anchors ``columns``."""

    rows: slice
    columns: slice
    mirrored: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def on_diagonal(self) -> bool:
        """True if rows and columns are the same range."""
        return self.rows == self.columns


@dataclass(frozen=True, eq=False)
class SimilarityBlock(Block):
    """A block with its similarities, and their exponentials times the priors of both, which keeps them symmetric."""

    similarity: PerPair
    exponential: PerPair


class Attraction(ABC):
    """Attraction of every anchor by every candidate: never negative, 0 for pairs that are not positives."""

    @abstractmethod
    def block(self, block: Block) -> tuple[PerPair, PerPair | None]:
        """Return the weights of a block, self pairs 0; and where it is mirrored, those the other way round.

        The second is laid out as the first: rows by columns. The caller may write into both.
        """


class PairWeights(Attraction):
    """Attraction that follows from labels alone."""

    totals: PerAnchor

    @property
    def cuts(self) -> tuple[int, ...]:
        """The candidates at which a new block must begin."""
        return ()

    def meets(self, block: Block) -> bool:  # noqa: ARG002
        """Return False for a block whose pairs neither attract nor repel."""
        return True

    def prior(self, block: Block) -> PerPair | None:  # noqa: ARG002
        """Return the factors of the exponentials, symmetric; None for 1."""
        return None

    @abstractmethod
    def scaled(self, factors: PerAnchor) -> "PairWeights":
        """Return the same weights, every anchor's times its factor."""


class Similarities:
    """The similarities of all pairs, a block at a time, and the memory for them: made by each call of a loss.

    For up to ``KEPT_PAIRS`` pairs every block has a place of its own and is computed in the first sweep only. For more,
    each block is computed again in each sweep, in one place, so that memory grows with the rows and not the pairs.

    Args:
        candidates: Of unit length, divided by the root of the temperature.
        queries: The anchors, where they are no candidates; by default the first candidates are the anchors.
        weights: W.
        prior: Factors of the candidates' exponentials; by default 1.
        size: Rows and columns of a block.
        scale: Of candidates and anchors: one over the root of the temperature.
    """

    def __init__(
        self,
        candidates: Float[Tensor, "candidates dim"],
        queries: Float[Tensor, "anchors dim"] | None,
        weights: PairWeights,
        prior: Float[Tensor, " candidates"] | None,
        *,
        size: int,
        scale: float,
    ) -> None:
        self.candidates, self.queries, self.weights, self.prior, self.scale = candidates, queries, weights, prior, scale
        self.anchors = candidates[: len(weights.totals)] if queries is None else queries
        sizes = len(self.anchors), len(candidates)
        self.places = [
            place
            for place in grid(*sizes, size=size, symmetric=queries is None, cuts=weights.cuts)
            if weights.meets(place)
        ]
        self._room = self._make_room() if sizes[0] * sizes[1] <= KEPT_PAIRS else None
        self._kept: list[SimilarityBlock] = []
        areas = [] if self._room else [prod(place.shape) for place in self.places]
        self._scratch = candidates.new_empty(2 * max(areas, default=0))

    def __iter__(self) -> Iterator[SimilarityBlock]:
        """Go through all blocks; a block of many pairs holds until the next one."""
        for number, place in enumerate(self.places):
            if number < len(self._kept):
                yield self._kept[number]
                continue
            room = self._room[number] if self._room else self._scratch[: 2 * prod(place.shape)].view(2, *place.shape)
            block = self._compute(place, *room)
            if self._room:
                self._kept.append(block)
            yield block

    def descend(self, slope: PerPair, block: Block, gradients: list[Tensor]) -> None:
        """Add what a block of slopes does to the rows of both its sides, before they were scaled."""
        rows, columns = block.rows, block.columns
        if self.queries is None and block.on_diagonal:  # both products are of the same rows
            both = slope.T.contiguous().add_(slope)
            gradients[0][rows].addmm_(both, self.candidates[rows], alpha=self.scale)
        else:
            gradients[-1][rows].addmm_(slope, self.candidates[columns], alpha=self.scale)
            gradients[0][columns].addmm_(slope.T, self.anchors[rows], alpha=self.scale)

    def _make_room(self) -> list[Float[Tensor, "2 _ _"]]:
        """Allocate the blocks in one piece, each from a new line of the cache on.

        Blocks that are allocated and freed one by one are cleared by the system again in each step.
        """
        shapes = [place.shape for place in self.places]
        sizes = [ceil(prod(shape) / LINE) * LINE for shape in shapes]
        pieces = self.candidates.new_empty(2, sum(sizes)).split_with_sizes(sizes, 1)
        return [piece[:, : prod(shape)].view(2, *shape) for piece, shape in zip(pieces, shapes, strict=True)]

    def _compute(self, place: Block, similarity: PerPair, exponential: PerPair) -> SimilarityBlock:
        torch.mm(self.anchors[place.rows], self.candidates[place.columns].T, out=similarity)
        torch.exp(similarity, out=exponential)
        of_pairs = self.weights.prior(place)
        if of_pairs is not None:
            exponential *= of_pairs
        if self.prior is not None:
            exponential *= self.prior[place.columns]
            if self.queries is None:
                exponential *= self.prior[place.rows, None]
        if self.queries is None and place.on_diagonal:
            exponential.fill_diagonal_(0)
        return SimilarityBlock(place.rows, place.columns, place.mirrored, similarity, exponential)


class PureNegatives:
    r"""Candidates that are no positive of any anchor, and no anchors: only sums over them are needed.

    In plain code, with factors r of the anchors,

        E = exp(anchors @ rows.T / temperature), 0 for the rows that are left out
        mass = E.sum(1)
        gradients = r * (E @ rows / temperature), (r * E).T @ anchors / temperature

    The first of the gradients is summed in the sweep of the mass, before r is known.

    Args:
        rows: Of unit length.
        left_out: Numbers of the rows that are no candidates here, ascending.
        anchors: Of unit length, divided by the root of the temperature.
        scale: One over the root of the temperature.
    """

    def __init__(
        self, rows: Float[Tensor, "rows dim"], left_out: Int[Tensor, " left"] | None, anchors: Tensor, *, scale: float
    ) -> None:
        self.rows, self.scale = rows, scale
        left_out = torch.empty(0, dtype=torch.int64, device=rows.device) if left_out is None else left_out
        self.anchors = anchors * scale
        step = max(BLOCK_SIZE, NEGATIVE_PAIRS // max(1, len(anchors)) // LINE * LINE)
        self._pieces = [slice(low, min(low + step, len(rows))) for low in range(0, len(rows), step)]
        ends = torch.tensor([piece.stop for piece in self._pieces], device=left_out.device)
        cuts = pairwise([0, *torch.searchsorted(left_out, ends).tolist()])
        self._left_out = [left_out[slice(*cut)] - piece.start for cut, piece in zip(cuts, self._pieces, strict=True)]
        keeps = len(anchors) * len(rows) <= KEPT_NEGATIVES
        self._room = anchors.new_empty(len(anchors) * (len(rows) if keeps else min(step, len(rows))))
        self._keeps, self._kept = keeps, 0
        self._pull: Tensor | None = None

    def mass(self, *, gradient: bool) -> PerAnchor:
        """Sum the exponentials of every anchor, and for a gradient the rows weighted by them."""
        mass = self.anchors.new_zeros(len(self.anchors))
        self._pull = torch.zeros_like(self.anchors) if gradient else None
        for number, piece in enumerate(self._pieces):
            exponential = self._exponentials(number)
            mass += exponential.sum(1)
            if self._pull is not None:
                self._pull.addmm_(exponential, self.rows[piece])
        return mass

    def gradients(self, factors: PerAnchor) -> tuple[Tensor, Tensor]:
        """Return the gradients of the sum of ``factors`` times the exponentials: of the anchors, and of the rows."""
        assert self._pull is not None
        of_rows = torch.empty_like(self.rows)
        weighted = self.anchors * factors[:, None]
        for number, piece in enumerate(self._pieces):
            torch.mm(self._exponentials(number).T, weighted, out=of_rows[piece])
        return self._pull.mul_((factors * self.scale**2)[:, None]), of_rows

    def _exponentials(self, number: int) -> PerPair:
        """Compute a piece; it holds until the next one, or is computed once where all of them have room."""
        piece, shape = self._pieces[number], (len(self.anchors), self._pieces[number].stop - self._pieces[number].start)
        start = len(self.anchors) * piece.start if self._keeps else 0
        exponential = self._room[start : start + prod(shape)].view(shape)
        if not self._keeps or number >= self._kept:
            torch.mm(self.anchors, self.rows[piece].T, out=exponential)
            exponential.exp_()
            exponential[:, self._left_out[number]] = 0
            self._kept = number + 1
        return exponential


class PairStatistics:
    """Counts of pairs and positives, and sums of their similarities, over all blocks."""

    def __init__(self) -> None:
        self.positives: Tensor | float = 0.0
        self.stoppable: Tensor | float = 0.0
        self.similarity_of_positives: Tensor | float = 0.0
        self.similarity_of_all: Tensor | float = 0.0

    def add(self, block: SimilarityBlock, repulsion: PerPair, attraction: PerPair) -> None:
        """Count a block; a positive is stoppable where its repulsion exceeds its attraction."""
        positive = attraction.sign()
        self.positives = self.positives + positive.sum()
        self.stoppable = self.stoppable + (repulsion * positive > attraction).sum()
        self.similarity_of_positives = self.similarity_of_positives + (positive * block.similarity).sum()
        self.similarity_of_all = self.similarity_of_all + block.similarity.sum()


@dataclass(frozen=True)
class RepulsionStatistics:
    r"""Frequency and strength of the repulsion of positives, for each label that the two share.

    The slope of an anchor's loss in the similarity of a pair is :math:`m_i p_{ij} - W_{ij}`. Where it is above 0 for a
    positive, descent moves the two apart: Figure 1 of arXiv 2412.00101.

    Attributes:
        positives: Number of pairs of an anchor and a positive; a pair counts for every label in common.
        repelled: Number of those whose repulsion exceeds their attraction.
        push: Sum of the excess over these, in units of the loss of an anchor, before any of it is stopped.
    """

    positives: Float[Tensor, " labels"]
    repelled: Float[Tensor, " labels"]
    push: Float[Tensor, " labels"]

    def __add__(self, other: "RepulsionStatistics") -> "RepulsionStatistics":
        """Add another batch."""
        return RepulsionStatistics(
            self.positives + other.positives, self.repelled + other.repelled, self.push + other.push
        )

    def spread(self, labels: Int[Tensor, " labels"], num_labels: int) -> "RepulsionStatistics":
        """Return the statistics of some labels as those of all, of which the others have no pair."""
        counts = (self.positives, self.repelled, self.push)
        return RepulsionStatistics(*(one.new_zeros(num_labels).index_copy(0, labels, one) for one in counts))


class LabelPairStatistics(PairStatistics):
    r"""Counts of positives for each label.

    These are sums :math:`\sum_{ij} y_{ic} X_{ij} y_{jc}`, X being 1, whether a positive is repelled, and how far. They
    are the same whichever of the two is the anchor, so a block and its mirror are counted in the same way.

    Args:
        anchors: Labels of the anchors.
        candidates: Labels of the candidates.
    """

    def __init__(self, anchors: Float[Tensor, "rows labels"], candidates: Float[Tensor, "columns labels"]) -> None:
        super().__init__()
        self._anchors, self._candidates = anchors, candidates
        self._sums = anchors.new_zeros(3, anchors.shape[1])

    def add(self, block: SimilarityBlock, repulsion: PerPair, attraction: PerPair) -> None:
        """Count a block."""
        positive = attraction.sign()
        excess = ((repulsion - attraction) * positive).clamp(min=0)
        for place, counted in enumerate((positive, excess.sign(), excess)):
            self._sums[place] += ((counted @ self._candidates[block.columns]) * self._anchors[block.rows]).sum(0)

    @property
    def repulsion(self) -> RepulsionStatistics:
        """The sums over all blocks."""
        return RepulsionStatistics(*self._sums)


def working_precision(dtype: torch.dtype, temperature: float, log_factor: float = 0.0) -> torch.dtype:
    """Return float32 or better; better where the exponential of 1 / temperature, times a factor, needs it.

    Example:
        >>> working_precision(torch.bfloat16, 0.1), working_precision(torch.float32, 0.01)
        (torch.float32, torch.float64)
    """
    enough = dtype != torch.float64 and 1 / temperature + log_factor <= LARGEST_EXPONENT[torch.float32]
    return torch.float32 if enough else torch.float64


def grid(anchors: int, candidates: int, *, size: int, symmetric: bool, cuts: tuple[int, ...] = ()) -> Iterator[Block]:
    """Go through all blocks of anchors x candidates; where symmetric, from the diagonal on.

    Example:
        >>> [(b.rows.start, b.columns.start, b.mirrored) for b in grid(4, 5, size=2, symmetric=True)]
        [(0, 0, False), (0, 2, True), (0, 4, False), (2, 2, False), (2, 4, False)]
    """
    ends = sorted({anchors, candidates, *cuts} if symmetric else {candidates, *cuts})
    columns = [piece for start, end in pairwise([0, *ends]) for piece in _pieces(start, end, size)]
    rows = [piece for piece in columns if piece.stop <= anchors] if symmetric else _pieces(0, anchors, size)
    for row, column in product(rows, columns):
        if not symmetric or column.start >= row.start:
            yield Block(row, column, symmetric and row.start < column.start < anchors)


def _pieces(start: int, end: int, size: int) -> list[slice]:
    """Cut a range into pieces of one size, up to the given: products with a narrow rest are slow."""
    pieces = ceil((end - start) / size) or 1
    step = min(size, ceil((end - start) / pieces / LINE) * LINE or LINE)
    return [slice(low, min(low + step, end)) for low in range(start, end, step)]
