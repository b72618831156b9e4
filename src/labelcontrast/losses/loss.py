"""Who takes part in a loss and how strongly each is pulled to each, lined up for the kernel.

A contrastive loss as a module: it lines up who meets whom, and leaves the rest to pair weights and kernel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from labelcontrast.losses.axes import Contrast
from labelcontrast.losses.blocks import PairStatistics, grid, working_precision
from labelcontrast.losses.candidates import Gathering, Part, Queue
from labelcontrast.losses.constraint import HeldAbove
from labelcontrast.losses.denominator import AllCandidates, Denominator, EachPair, NegativesOnly
from labelcontrast.losses.kernel import weighted_softmax
from labelcontrast.losses.label_sets import BatchLabels, SampleIds
from labelcontrast.losses.levels import Closure, LevelWeights, share_by_level
from labelcontrast.losses.module import Labels, LossModule, example_weights, label_sets, unit_vectors
from labelcontrast.losses.pair_weights import Pairs, SharedWeights, share
from labelcontrast.losses.processes import gather_rows, processes, rank, sum_over_processes
from labelcontrast.losses.statistics import LabelPairStatistics, RepulsionStatistics


@dataclass(frozen=True)
class PreparedBatch:
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
    competition: Denominator
    fresh: Part | None

    def softmax(self, average: Tensor | None = None, tally: PairStatistics | None = None) -> Tensor:
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

    def diagnostics(self, tally: PairStatistics) -> dict[str, Tensor]:
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


class ContrastiveLoss(LossModule):
    r"""Any contrastive loss: what its row of the catalogue says, with its settings; with a closure, on closed labels.

    .. math:: \frac{\sum_i a_i \ell_i}{\sum_i a_i}, \qquad
       \ell_i = m_i \log \sum_{j \ne i} g_j e^{s_{ij}} - \sum_j W_{ij} s_{ij}, \qquad
       s_{ij} = \frac{\langle z_i, z_j \rangle}{\tau \lVert z_i \rVert \lVert z_j \rVert}

    Usually made by :func:`make_loss`.

    Attributes:
        prototypes: a parameter [labels, dim], where the loss has prototypes.
        bias: a parameter, the log-odds of a pair of similarity 0, where the loss judges each pair by itself.
        queue: the latest rows and their labels, where ``queue_size`` is not 0. In training a batch enters it after its
            loss; in evaluation it stays as it is.
        diagnostics: with the parameter of this name, after every loss: the share of anchors without positives, the mean
            cosine similarity of positives and of negatives, and the share of positives that are pushed more than they
            are pulled (the positive regularisation ratio, A.2 of arXiv 2412.00101).
    """

    def __init__(
        self,
        contrast: Contrast,
        settings: Mapping[str, Any],
        *,
        num_labels: int | None = None,
        dim: int | None = None,
        generator: torch.Generator | None = None,
        closure: Closure | None = None,
        name: str = "own",
    ) -> None:
        super().__init__(
            name, {}
        )  # the settings come last: torch registers no parameter under the name of an attribute
        self.contrast = contrast
        self.closure = closure
        self.num_labels = num_labels
        self.dim = dim
        self.diagnostics: dict[str, Tensor] = {}
        if "prototypes" in contrast.candidates:
            self.prototypes = nn.Parameter(torch.empty(num_labels or 0, dim or 0))
            nn.init.xavier_uniform_(self.prototypes, generator=generator)
        if contrast.denominator == "each_pair":
            self.bias = nn.Parameter(torch.tensor(contrast.bias))
        self.queue: Queue | None = None
        if settings["queue_size"]:
            columns = 1 if contrast.views_only else num_labels or 0
            self.queue = Queue(settings["queue_size"], dim=dim or 0, num_labels=columns)
        self.settings = dict(settings)

    def forward(
        self,
        projections: Tensor,
        labels: Labels = None,
        *,
        weights: Tensor | None = None,
        keys: Tensor | None = None,
    ) -> Tensor:
        """Average the losses of the anchors.

        Args:
            projections: floats [batch, dim], or [batch, views, dim]; their length does not matter.
            labels: [batch, labels], 0 and 1 of any type, dense or sparse, or a SciPy sparse matrix. A number between is
                a soft label, the probability that it is there; NaN is unknown, and neither makes nor breaks a pair.
                None where only views count.
            weights: one for each example, from 0; its loss counts that much. By default 1.
            keys: other projections of the same examples, by a momentum encoder. They, and not the projections, are then
                the candidates, an example's own key included, and enter the queue.

        Returns:
            A scalar; 0, with a gradient of 0, where no anchor has a positive. With ``reduction="none"`` the terms of
            :meth:`per_anchor`. With ``gather`` the same on every process, and the mean of the processes' gradients, as
            DistributedDataParallel takes it, is the gradient of one process that has all.

        Raises:
            EmbeddingError: projections of another shape or width, or with NaN or infinity.
            LabelShapeError: labels or weights of another shape or width.
            TensorError: labels or weights out of their range.
        """
        line_up = self._line_up(projections, labels, weights, keys)
        loss = self._terms(line_up) if self.settings["reduction"] == "none" else self._averaged(line_up)
        if self.queue is not None and line_up.fresh is not None and self.training:
            self.queue.append(line_up.fresh.rows.detach(), line_up.fresh.sets.raw)
        return loss

    def per_anchor(
        self,
        projections: Tensor,
        labels: Labels = None,
        *,
        weights: Tensor | None = None,
        keys: Tensor | None = None,
    ) -> Tensor:
        """List what each anchor adds to the sum that is averaged: instances, view by view, and then prototypes."""
        return self._terms(self._line_up(projections, labels, weights, keys))

    @torch.no_grad()
    def pair_weights(self, labels: Tensor, *, views: int = 1) -> Tensor:
        """Show the weights W of a small batch, [anchors, candidates]: how strongly each is pulled to each.

        Example:
            >>> from labelcontrast.losses.factory import make_loss
            >>> make_loss("base").pair_weights(torch.tensor([[1, 1], [1, 0], [0, 1], [1, 1]]))
            tensor([[0.0000, 0.2500, 0.2500, 0.5000],
                    [0.5000, 0.0000, 0.0000, 0.5000],
                    [0.5000, 0.0000, 0.0000, 0.5000],
                    [0.5000, 0.2500, 0.2500, 0.0000]])
        """
        weights = self._line_up(torch.ones(len(labels), views, self.dim or 1), labels, None, None).weights
        pairs = weights.pairs
        shape = len(pairs.anchors), len(pairs.candidates)
        dense = torch.zeros(shape)
        for rows, columns, mirrored in grid(*shape, size=max(shape), symmetric=pairs.symmetric, cuts=pairs.cuts):
            dense[rows, columns], mirror = weights.block(rows, columns, mirrored=mirrored)
            if mirror is not None:
                dense[columns, rows] = mirror.T
        return dense

    @torch.no_grad()
    def repulsion(self, projections: Tensor, labels: Tensor) -> RepulsionStatistics:
        """Count of a batch, for each label, how many positives are pushed away and how far; nothing is trained by it.

        Args:
            projections: as in :meth:`forward`.
            labels: [batch, labels], dense.

        Example:
            >>> from labelcontrast.losses.factory import make_loss
            >>> z = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.9], [0.0, 1.0]])
            >>> y = torch.tensor([[1, 0], [1, 0], [1, 1], [0, 1]])
            >>> make_loss("supcon").repulsion(z, y).repelled  # of each of the first three the nearest is close already
            tensor([3., 0.])
        """
        line_up = self._line_up(projections, labels, None, None)
        tally = LabelPairStatistics(line_up.weights.pairs)
        line_up.softmax(average=torch.ones_like(line_up.factors), tally=tally)
        return tally.repulsion

    @property
    def _scale(self) -> float:
        """Temperature over base temperature, where there is one."""
        base = self.settings["base_temperature"]
        return 1.0 if base is None else self.settings["temperature"] / base

    def _terms(self, line_up: PreparedBatch) -> Tensor:
        """What each anchor adds to the sum."""
        return line_up.softmax() * (self._scale * line_up.factors)

    def _averaged(self, line_up: PreparedBatch) -> Tensor:
        """The average over the anchors of all processes."""
        factors = line_up.factors
        everywhere = processes() if self.settings["gather"] else 1
        total = factors.sum(0, keepdim=True)
        if everywhere > 1:
            own = line_up.gathering.own()
            shared = (factors * (1 - own)).sum(0, keepdim=True)
            total = shared + sum_over_processes((factors * own).sum(0, keepdim=True))
            # the mean of the processes' gradients is to be the gradient, and the prototypes are anchors on all of them
            factors = factors * (own * everywhere + 1 - own)
        if self.settings["reduction"] == "sum":
            total = torch.ones_like(total)
        tally = PairStatistics() if self.settings["diagnostics"] else None
        loss = line_up.softmax(average=self._scale * factors / total.masked_fill(total == 0, 1), tally=tally)
        if tally is not None:
            self.diagnostics = line_up.diagnostics(tally)
        return loss + (sum_over_processes(loss) / everywhere - loss).detach() if everywhere > 1 else loss

    def _line_up(
        self, projections: Tensor, labels: Labels, weights: Tensor | None, keys: Tensor | None
    ) -> PreparedBatch:
        """Bring together all who take part."""
        settings, contrast = self.settings, self.contrast
        with torch.autocast(projections.device.type, enabled=False):
            parts, fresh = self._parts(projections, labels, weights, keys)
            gathering = Gathering.of(parts)
            affinity = contrast.affinity
            pairs = gathering.pairs(affinity, contrast.prototype_affinity or affinity, prior=contrast.pair_prior)
            shared = self._share(pairs)
            factors = self._factors(shared.totals, pairs.anchors.sizes) * gathering.weights()
        return PreparedBatch(gathering, shared, factors, settings, contrast.instance_prior, self._competition(), fresh)

    def _share(self, pairs: Pairs) -> SharedWeights | LevelWeights:
        """Share out every anchor's attraction."""
        sharing, size = self.contrast.sharing, self.settings["block_size"]
        if sharing != "per_level" or self.closure is None:
            return share(pairs, sharing, block_size=size)
        levels = self.closure.level_weights(self.contrast.layer_penalty, pairs.anchors.sizes.dtype)
        return share_by_level(pairs, self.closure.depths, levels, block_size=size)

    def _parts(
        self,
        projections: Tensor,
        labels: Labels,
        weights: Tensor | None,
        keys: Tensor | None,
    ) -> tuple[list[Part], Part | None]:
        """All who take part; and those that are to enter the queue."""
        views = self._unit(projections)
        sets = self._sets(labels, views)
        own = example_weights(weights, views)
        every, sampled = self.settings["anchor_views"] == "all", "instances" in self.contrast.candidates
        parts = [
            Part(view, sets, anchor=every or not number, candidate=sampled and keys is None, weights=own)
            for number, view in enumerate(views.unbind(1))
        ]
        offered = views if keys is None else self._unit(keys.to(projections.dtype))
        if keys is not None:
            parts += [Part(view, sets) for view in offered.unbind(1)]
        if "prototypes" in self.contrast.candidates:
            parts.append(self._prototypes(views))
        if not sampled or (self.queue is None and not self.settings["gather"]):
            return parts, None
        others, fresh = self._elsewhere(Part(offered.flatten(0, 1), self._foreign(sets.repeat(offered.shape[1]).raw)))
        return parts + others, fresh

    def _elsewhere(self, fresh: Part) -> tuple[list[Part], Part]:
        """The candidates of other processes and of earlier batches; and what is new in all processes."""
        others = []
        if self.settings["gather"] and processes() > 1:
            rows, matrices = gather_rows(fresh.rows), gather_rows(fresh.sets.raw)
            parts = [Part(part, self._foreign(matrix)) for part, matrix in zip(rows, matrices, strict=True)]
            others = [part for number, part in enumerate(parts) if number != rank()]
            fresh = Part(torch.cat(rows), self._foreign(torch.cat(matrices)))
        if self.queue is not None:
            earlier, labels, filled = (held.to(fresh.rows.dtype) for held in self.queue.latest)
            others.append(Part(earlier, self._foreign(labels), filled=filled))
        return others, fresh

    def _prototypes(self, like: Tensor) -> Part:
        """The prototypes, each with its label."""
        rows = unit_vectors(self.prototypes, like.dtype, name="prototypes")[:, 0]
        sets = BatchLabels(torch.eye(len(rows), dtype=like.dtype, device=like.device), torch.ones_like(rows[:, 0]))
        anchor = "prototypes" in self.contrast.anchors
        return Part(rows, sets, "prototypes", anchor=anchor)

    def _unit(self, projections: Tensor) -> Tensor:
        """Projections as unit vectors [batch, views, dim]."""
        precise = working_precision(projections.dtype, self.settings["temperature"])
        return unit_vectors(projections, precise, dim=self.dim)

    def _sets(self, labels: Labels, views: Tensor) -> BatchLabels:
        """The label sets of a batch; where only views count, each example is its own label."""
        if self.contrast.views_only:
            return SampleIds.of(torch.arange(len(views), dtype=views.dtype, device=views.device)[:, None])
        by_column = "prototypes" in self.contrast.candidates or self.contrast.sharing == "per_level"
        dense = by_column or self.queue is not None or self.settings["gather"]
        return label_sets(labels, views, num_labels=self.num_labels, dense=dense, close=self.closure)

    def _foreign(self, matrix: Tensor) -> BatchLabels:
        """The label sets of rows from elsewhere; where only views count, they are nobody's."""
        return SampleIds.of(torch.full_like(matrix[:, :1], -1)) if self.contrast.views_only else BatchLabels.of(matrix)

    def _competition(self) -> Denominator:
        """What a positive has to win against."""
        if self.contrast.constrained:
            return HeldAbove()
        if self.contrast.denominator == "each_pair":
            return EachPair(self.bias)
        return NegativesOnly() if self.contrast.denominator == "negatives" else AllCandidates()

    def _factors(self, totals: Tensor, sizes: Tensor) -> Tensor:
        """What the anchors' losses are weighed with."""
        reduction = self.settings["reduction"]
        reduction = self.contrast.averaging if reduction in {"sum", "none"} else reduction
        if reduction == "label_count":
            return sizes
        return torch.ones_like(totals) if reduction == "mean_all" else totals.sign()
