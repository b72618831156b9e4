"""Who takes part in a loss: rows of one kind at a time, put together for the pair weights and the kernel."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from labelcontrast.contrast.rows import Rows
from labelcontrast.contrast.weights.affinity import Affinity
from labelcontrast.contrast.weights.label_sets import LabelSets
from labelcontrast.contrast.weights.sharing import Pairs
from labelcontrast.errors import ConfigError


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
    sets: LabelSets
    kind: Rows = "instances"
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
        candidates = LabelSets.join([part.sets for part in self.candidates])
        if self.symmetric:
            anchors = candidates[: sum(len(part.rows) for part in self.anchors)]
        else:
            anchors = LabelSets.join([part.sets for part in self.anchors])
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
