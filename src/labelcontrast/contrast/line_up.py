"""Who takes part in a loss and how strongly each is pulled to each, lined up for the kernel."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from labelcontrast.contrast.candidates.parts import Gathering, Part
from labelcontrast.contrast.hierarchical.level_weights import LevelWeights
from labelcontrast.contrast.kernel.blocks import Tally
from labelcontrast.contrast.kernel.competition import Competition
from labelcontrast.contrast.kernel.weighted_softmax import weighted_softmax
from labelcontrast.contrast.weights.sharing import SharedWeights


@dataclass(frozen=True)
class LineUp:
    """All that is ready before the kernel starts.

    Attributes:
        gathering: who takes part.
        weights: how strongly each is pulled to each.
        factors: what the anchors' losses are weighed with.
        settings: of the loss.
        instance_prior: what instances are multiplied with in the denominator.
        competition: what a positive has to win against.
        fresh: what is to enter the queue.
    """

    gathering: Gathering
    weights: SharedWeights | LevelWeights
    factors: Tensor
    settings: Mapping[str, Any]
    instance_prior: float
    competition: Competition
    fresh: Part | None

    def softmax(self, average: Tensor | None = None, tally: Tally | None = None) -> Tensor:
        """The losses of the anchors, or their weighted sum."""
        candidates, queries = self.gathering.rows()
        return weighted_softmax(
            candidates,
            self.weights,
            temperature=self.settings["temperature"],
            queries=queries,
            prior=self.gathering.prior(self.instance_prior),
            competition=self.competition,
            stop_repulsion=self.settings["stop_repulsion"],
            block_size=self.settings["block_size"],
            average=average,
            tally=tally,
        )

    def diagnostics(self, tally: Tally) -> dict[str, Tensor]:
        """What the sweep has shown, each a number on the device; NaN where there was nothing to average."""
        totals, temperature = self.weights.totals, self.settings["temperature"]
        own = len(totals) / temperature if self.gathering.symmetric else 0.0  # of a row with itself
        negatives = tally.similarity_of_all - own - tally.similarity_of_positives
        return {
            "anchors_without_positives": 1 - totals.sign().mean(),
            "similarity_of_positives": temperature * tally.similarity_of_positives / tally.positives,
            "similarity_of_negatives": temperature * negatives / (self.gathering.pairs_met() - tally.positives),
            "positives_pushed_away": tally.stoppable / tally.positives,
        }
