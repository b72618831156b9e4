"""Anchors and candidates of a loss: instances, views, prototypes, and a queue of earlier projections."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelcontrast.errors import ConfigError
from labelcontrast.losses.affinity import Affinity
from labelcontrast.losses.axes import RowKind
from labelcontrast.losses.label_sets import BatchLabels
from labelcontrast.losses.pair_weights import Pairs


class Queue(nn.Module):
    """The latest rows and labels, as plain buffers: they are saved, resumed and moved with the loss.

    Places that are still empty have no label and are not ``filled``; so shapes never change, and no step has to look
    at how full the queue is.

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
        """Rows, labels, and which of them are filled."""
        return self.rows, self.labels, self.filled

    @torch.no_grad()
    def append(self, rows: Float[Tensor, "batch dim"], labels: Float[Tensor, "batch labels"]) -> None:
        """Put the rows in place of the oldest; of more rows than there are places, the last stay."""
        size = len(self.rows)
        places = (self.next + torch.arange(len(rows), device=rows.device)) % size
        self.rows[places[-size:]] = rows[-size:].to(self.rows.dtype)
        self.labels[places[-size:]] = labels[-size:].to(self.labels.dtype)
        self.filled[places[-size:]] = 1
        self.next.copy_((self.next + len(rows)) % size)


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of one kind that take part, each with its label set.

    Attributes:
        rows: on the unit sphere.
        sets: their label sets.
        kind: what they are.
        anchor: whether each has a loss of its own.
        candidate: whether they pull and push.
        weights: what the losses count, of anchors.
        filled: 0 for places in which there is no row; by default there is one in all.
    """

    rows: Float[Tensor, "part dim"]
    sets: BatchLabels
    kind: RowKind = "instances"
    anchor: bool = False
    candidate: bool = True
    weights: Float[Tensor, " part"] | None = None
    filled: Float[Tensor, " part"] | None = None


@dataclass(frozen=True)
class Gathering:
    """All parts: the anchors, and the candidates, of whom the anchors are the first unless they are none."""

    anchors: Sequence[Part]
    candidates: Sequence[Part]

    @classmethod
    def of(cls, parts: Sequence[Part]) -> "Gathering":
        """Tell anchors from candidates.

        Raises:
            ConfigError: some anchors are candidates, and some are not.
        """
        anchors = [part for part in parts if part.anchor]
        if len({part.candidate for part in anchors}) == 2:
            raise ConfigError("with keys, prototypes cannot be anchors too: it needs prototype_anchors=False.")
        others = [part for part in parts if part.candidate and not part.anchor]
        return cls(anchors, [part for part in anchors if part.candidate] + others)

    @property
    def symmetric(self) -> bool:
        """Whether the anchors are candidates."""
        return all(part.candidate for part in self.anchors)

    def rows(self) -> tuple[Float[Tensor, "candidates dim"], Float[Tensor, "anchors dim"] | None]:
        """The candidates; and the anchors, where they are none."""
        queries = None if self.symmetric else torch.cat([part.rows for part in self.anchors])
        return torch.cat([part.rows for part in self.candidates]), queries

    def pairs(self, affinity: Affinity, to_prototypes: Affinity, *, prior: Affinity | None = None) -> Pairs:
        """Who meets whom."""
        affinities: list[tuple[int, Affinity]] = []
        start = 0
        for part in self.candidates:
            own = affinity if part.kind == "instances" else to_prototypes
            if not affinities or affinities[-1][1] is not own:
                affinities.append((start, own))
            start += len(part.rows)
        candidates = BatchLabels.join([part.sets for part in self.candidates])
        if self.symmetric:
            anchors = candidates[: sum(len(part.rows) for part in self.anchors)]
        else:
            anchors = BatchLabels.join([part.sets for part in self.anchors])
        return Pairs(anchors, candidates, tuple(affinities), self.symmetric, prior)

    def prior(self, of_instances: float) -> Float[Tensor, " candidates"] | None:
        """What the candidates' exponentials are multiplied with; none where that is 1 for all."""
        if of_instances == 1 and all(part.filled is None for part in self.candidates):
            return None
        prior = []
        for part in self.candidates:
            filled = torch.ones_like(part.rows[:, 0]) if part.filled is None else part.filled
            prior.append(filled * (of_instances if part.kind == "instances" else 1.0))
        return torch.cat(prior)

    def pairs_met(self) -> Tensor | int:
        """How many pairs there are, without those of a row with itself."""
        present = sum(len(part.rows) if part.filled is None else part.filled.sum() for part in self.candidates)
        return sum(len(part.rows) for part in self.anchors) * (present - int(self.symmetric))

    def weights(self) -> Float[Tensor, " anchors"]:
        """What the losses of the anchors count."""
        return torch.cat(
            [torch.ones_like(part.rows[:, 0]) if part.weights is None else part.weights for part in self.anchors]
        )

    def own(self) -> Float[Tensor, " anchors"]:
        """1 for anchors that this process alone has, 0 for prototypes, which all have."""
        return torch.cat([torch.full_like(part.rows[:, 0], part.kind == "instances") for part in self.anchors])
