"""Anchors and candidates of a loss: instances, views, prototypes, a queue of earlier rows, and rows of other processes.

Rows of other processes are gathered with their gradient: as a candidate an example is attracted and repelled by the
anchors of the other processes too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, distributed, nn

from labelcontrast.errors import ConfigError
from labelcontrast.losses.affinity import Affinity
from labelcontrast.losses.axes import CandidatePrior, RowKind
from labelcontrast.losses.batch_labels import BatchLabels
from labelcontrast.losses.blocks import PerAnchor
from labelcontrast.losses.pair_weights import Pairs

LEAST_COUNT = 1e-20
"""Below any count of a label that occurs, soft ones included."""


class Queue(nn.Module):
    """The latest rows and labels, as buffers: they are saved, resumed and moved with the loss.

    Empty places have no label and are not ``filled``; so shapes never change, and no step has to read from the device
    how full the queue is.

    Example:
        >>> queue = Queue(3, dim=2, num_labels=1)
        >>> queue.append(torch.eye(2), torch.ones(2, 1))
        >>> queue.filled
        tensor([1., 1., 0.])

    Reference: He et al., Momentum Contrast for Unsupervised Visual Representation Learning, 2020.
    """

    rows: Float[Tensor, "size dim"]
    labels: Float[Tensor, "size labels"]
    filled: Float[Tensor, " size"]
    next: Tensor

    def __init__(self, size: int, *, dim: int, num_labels: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(size, dim))
        self.register_buffer("labels", torch.zeros(size, num_labels))
        self.register_buffer("filled", torch.zeros(size))
        self.register_buffer("next", torch.zeros((), dtype=torch.int64))

    @property
    def latest(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, labels, and 1 where a place is filled."""
        return self.rows, self.labels, self.filled

    @torch.no_grad()
    def append(self, rows: Float[Tensor, "batch dim"], labels: Float[Tensor, "batch labels"]) -> None:
        """Replace the oldest rows; of more rows than places, the last stay."""
        size = len(self.rows)
        places = (self.next + torch.arange(len(rows), device=rows.device)) % size
        self.rows[places[-size:]] = rows[-size:].to(self.rows.dtype)
        self.labels[places[-size:]] = labels[-size:].to(self.labels.dtype)
        self.filled[places[-size:]] = 1
        self.next.copy_((self.next + len(rows)) % size)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one kind with their label sets.

    Attributes:
        units: On the unit sphere.
        sets: Their label sets.
        kind: Instances or prototypes.
        anchor: Whether each has a loss of its own.
        candidate: Whether they attract and repel.
        weights: Factors of the losses, of anchors.
        filled: 0 for places without a row; by default every place has one.
    """

    units: Float[Tensor, "rows dim"]
    sets: BatchLabels
    kind: RowKind = "instances"
    anchor: bool = False
    candidate: bool = True
    weights: Float[Tensor, " rows"] | None = None
    filled: Float[Tensor, " rows"] | None = None


@dataclass(frozen=True, eq=False)
class Negatives:
    """Prototypes of labels that no label set of the batch has: each is a negative of all anchors.

    Attributes:
        units: All prototypes, on the unit sphere.
        left_out: Numbers of those whose labels occur, which stand among the candidates.
        anchor: Whether they are anchors too; as such they have no positive.
    """

    units: Float[Tensor, "labels dim"]
    left_out: Int[Tensor, " left"]
    anchor: bool

    def __len__(self) -> int:
        return len(self.units) - len(self.left_out)

    def total(self) -> Float[Tensor, " dim"]:
        """Sum them."""
        return self.units.sum(0) - self.units[self.left_out].sum(0)


@dataclass(frozen=True)
class Participants:
    """All anchors and all candidates; the anchors are the first candidates, unless they are none."""

    anchors: Sequence[Rows]
    candidates: Sequence[Rows]
    negatives: Negatives | None = None

    @classmethod
    def of(cls, groups: Sequence[Rows], negatives: Negatives | None = None) -> "Participants":
        """Separate anchors and candidates.

        Raises:
            ConfigError: Some anchors are candidates, and some are not.
        """
        anchors = [rows for rows in groups if rows.anchor]
        if len({rows.candidate for rows in anchors}) == 2:
            raise ConfigError("with keys, prototypes cannot be anchors too: it needs prototype_anchors=False.")
        others = [rows for rows in groups if rows.candidate and not rows.anchor]
        return cls(anchors, [rows for rows in anchors if rows.candidate] + others, negatives)

    @property
    def symmetric(self) -> bool:
        """True if all anchors are candidates."""
        return all(rows.candidate for rows in self.anchors)

    def units(self) -> tuple[Float[Tensor, "candidates dim"], Float[Tensor, "anchors dim"] | None]:
        """Return the candidates; and the anchors, where they are none."""
        queries = None if self.symmetric else torch.cat([rows.units for rows in self.anchors])
        return torch.cat([rows.units for rows in self.candidates]), queries

    def pairs(
        self,
        affinity: Affinity,
        to_prototypes: Affinity,
        *,
        prior: Affinity | None = None,
        between_kinds: bool = False,
    ) -> Pairs:
        """Return the label sets of both sides, and how they are compared; all, or rows of different kinds alone."""
        affinities: list[tuple[int, Affinity]] = []
        start, kinds = 0, []
        for rows in self.candidates:
            kinds.append((start, rows.kind))
            own = affinity if rows.kind == "instances" else to_prototypes
            if not affinities or affinities[-1][1] is not own:
                affinities.append((start, own))
            start += len(rows.units)
        candidates = BatchLabels.join([rows.sets for rows in self.candidates])
        if self.symmetric:
            anchors = candidates[: sum(len(rows.units) for rows in self.anchors)]
        else:
            anchors = BatchLabels.join([rows.sets for rows in self.anchors])
        kinds = kinds if between_kinds else []
        return Pairs(anchors, candidates, tuple(affinities), self.symmetric, prior, self.filled(), tuple(kinds))

    def filled(self) -> Float[Tensor, " candidates"] | None:
        """Return 0 for candidates that are none; None where all are."""
        if all(rows.filled is None for rows in self.candidates):
            return None
        present = [
            torch.ones_like(rows.units[:, 0]) if rows.filled is None else rows.filled for rows in self.candidates
        ]
        return torch.cat(present)

    def prior(self, of_instances: float, of_labels: CandidatePrior = "equal") -> Float[Tensor, " candidates"] | None:
        """Return the factors of the candidates' exponentials; None where that is 1 for all."""
        filled = self.filled()
        if of_instances == 1 and of_labels == "equal":
            return filled
        factors = torch.cat(
            [
                torch.full_like(rows.units[:, 0], of_instances if rows.kind == "instances" else 1.0)
                for rows in self.candidates
            ]
        )
        factors = factors if filled is None else factors * filled
        if of_labels == "equal":
            return factors
        sets = BatchLabels.join([rows.sets for rows in self.candidates])
        present = torch.ones_like(sets.sizes) if filled is None else filled
        counts = (present[:, None] * sets.matrix).sum(0)  # no matrix product, which autocast would round
        if of_labels == "label_frequency":
            frequent = (sets.matrix * (counts / counts.sum())).sum(1)
            prototype = torch.cat(
                [torch.full_like(rows.units[:, 0], rows.kind == "prototypes") for rows in self.candidates]
            )
            return torch.where(prototype > 0, factors * frequent, factors)
        without = (sets.sizes == 0) * present
        means = (sets.matrix / counts.clamp(min=LEAST_COUNT)).sum(1)
        return factors * (means + without / without.sum().clamp(min=1))

    @property
    def idle(self) -> int:
        """Number of anchors that stand among the negatives."""
        return len(self.negatives) if self.negatives is not None and self.negatives.anchor else 0

    def number_of_anchors(self) -> int:
        """Count the anchors, those without a positive among them."""
        return sum(len(rows.units) for rows in self.anchors) + self.idle

    def number_of_pairs(self, *, between_kinds: bool = False) -> Tensor | int:
        """Count the pairs, without those of a row with itself; all, or of rows of different kinds alone."""
        sizes = [len(rows.units) if rows.filled is None else rows.filled.sum() for rows in self.candidates]
        if between_kinds:
            return sum(
                len(anchors.units) * size
                for anchors in self.anchors
                for rows, size in zip(self.candidates, sizes, strict=True)
                if rows.kind != anchors.kind
            )
        present = sum(sizes)
        present = present + (0 if self.negatives is None else len(self.negatives))
        return self.number_of_anchors() * (present - int(self.symmetric))

    def sum_with_negatives(self) -> Tensor | float:
        """Sum the products of the pairs that have one or two of the negatives in them."""
        if self.negatives is None:
            return 0.0
        others, (candidates, queries) = self.negatives.total(), self.units()
        anchors = candidates[: self.number_of_anchors() - self.idle] if queries is None else queries
        pairs = anchors.sum(0) @ others
        return pairs + others @ (candidates.sum(0) + others) if self.idle else pairs

    def weights(self) -> PerAnchor:
        """Return the factors of the anchors' losses."""
        return torch.cat(
            [torch.ones_like(rows.units[:, 0]) if rows.weights is None else rows.weights for rows in self.anchors]
        )

    def own(self) -> PerAnchor:
        """Return 1 for anchors of this process alone, 0 for prototypes, which all processes have."""
        return torch.cat([torch.full_like(rows.units[:, 0], rows.kind == "instances") for rows in self.anchors])


def processes() -> int:
    """Return the number of processes that compute together; 1 where torch.distributed does not run."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def gather_rows(rows: Tensor) -> list[Tensor]:
    """Gather the rows of every process, own ones included; the numbers of rows may differ.

    The gradient of a process's rows is the sum over all processes. Every process has to call this, and go backward
    through it.
    """
    sizes = [int(size) for size in _gather_equal(torch.tensor([len(rows)], device=rows.device))]
    gathered: tuple[Tensor, ...] = _GatherRows.apply(rows, sizes)
    return list(gathered)


def sum_over_processes(value: Tensor) -> Tensor:
    """Sum a value over all processes, without a gradient."""
    total = value.detach().clone()
    if processes() > 1:
        distributed.all_reduce(total)
    return total


def rank() -> int:
    """Return the number of this process."""
    return distributed.get_rank() if processes() > 1 else 0


class _GatherRows(torch.autograd.Function):
    """Gathering; its transpose is a sum, of which every process takes its rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:  # noqa: ANN401
        ctx.sizes = sizes
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        return tuple(rows[:size] for rows, size in zip(_gather_equal(padded), sizes, strict=True))

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        total = torch.cat(upstream)
        distributed.all_reduce(total)
        return torch.split(total, ctx.sizes)[distributed.get_rank()], None


def _gather_equal(rows: Tensor) -> list[Tensor]:
    gathered = [torch.empty_like(rows) for _ in range(processes())]
    distributed.all_gather(gathered, rows.contiguous())
    return gathered
