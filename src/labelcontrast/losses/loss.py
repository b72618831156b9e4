r"""The contrastive losses as modules: they collect anchors and candidates, and leave the rest to weights and kernel.

A loss over a hierarchy is either one of weighted pairs, as any other, or the sum of the mean losses of its levels.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from labelcontrast.errors import ConfigError, EmbeddingError
from labelcontrast.losses.affinity import any_shared
from labelcontrast.losses.axes import Contrast, Parameter, contrastive
from labelcontrast.losses.batch_labels import BatchLabels, SampleIds
from labelcontrast.losses.blocks import LabelPairStatistics, PairStatistics, RepulsionStatistics, working_precision
from labelcontrast.losses.candidates import (
    Negatives,
    Participants,
    Queue,
    Rows,
    gather_rows,
    processes,
    rank,
    sum_over_processes,
)
from labelcontrast.losses.kernel import (
    AllCandidates,
    Denominator,
    EachPair,
    NegativesAlone,
    NegativesOnly,
    weighted_softmax,
)
from labelcontrast.losses.levels import Closure, HeldAbove, LevelWeights, columns_of, share_by_level
from labelcontrast.losses.module import (
    WIDE,
    Labels,
    LossModule,
    check_labels,
    check_tensor,
    example_weights,
    label_sets,
    uncompiled,
    unit_vectors,
)
from labelcontrast.losses.pair_weights import Pairs, SharedWeights, share

MOST_COMPARED = 2**14
"""Labels, at most, where every prototype is compared with every label: a matrix of 1 GiB in single precision."""


@dataclass(frozen=True)
class PreparedBatch:
    """Everything that the kernel needs.

    Attributes:
        participants: Anchors and candidates.
        weights: W.
        factors: Weights of the anchors' losses in the average.
        settings: Of the loss.
        contrast: Its axes.
        denominator: What a positive competes with.
        fresh: Rows for the queue.
    """

    participants: Participants
    weights: SharedWeights | LevelWeights
    factors: Tensor
    settings: Mapping[str, Any]
    contrast: Contrast
    denominator: Denominator
    fresh: Rows | None

    def softmax(self, average: Tensor | None = None, statistics: PairStatistics | None = None) -> Tensor:
        """Compute the losses of the anchors, or their weighted sum."""
        candidates, queries = self.participants.units()
        negatives = self.participants.negatives
        return weighted_softmax(
            candidates,
            self.weights,
            temperature=self.settings["temperature"],
            queries=queries,
            prior=self.participants.prior(self.contrast.instance_prior, self.contrast.candidate_prior),
            negatives=None if negatives is None else negatives.units,
            left_out=None if negatives is None else negatives.left_out,
            denominator=self.denominator,
            stop_repulsion=self.settings["stop_repulsion"],
            block_size=self.settings["block_size"],
            average=average,
            statistics=statistics,
        )

    def diagnostics(self, statistics: PairStatistics) -> dict[str, Tensor]:
        """Return means over pairs, each a number on the device; NaN where there was nothing to average."""
        participants, temperature = self.participants, self.settings["temperature"]
        anchors = participants.number_of_anchors()
        apart = self.contrast.between_kinds
        own = anchors / temperature if participants.symmetric and not apart else 0.0  # of a row with itself
        everyone = statistics.similarity_of_all + participants.sum_with_negatives() / temperature
        negatives = everyone - own - statistics.similarity_of_positives
        number = participants.number_of_pairs(between_kinds=apart) - statistics.positives
        return {
            "anchors_without_positives": 1 - self.weights.totals.sign().sum() / anchors,
            "similarity_of_positives": temperature * statistics.similarity_of_positives / statistics.positives,
            "similarity_of_negatives": temperature * negatives / number,
            "positives_pushed_away": statistics.stoppable / statistics.positives,
        }


class ContrastiveLoss(LossModule):
    r"""Any contrastive loss, from its choice on the axes and its settings; with a closure, on closed labels.

    .. math:: \frac{\sum_i a_i \ell_i}{\sum_i a_i}, \qquad
       \ell_i = m_i \log \sum_{j \ne i} g_j e^{s_{ij}} - \sum_j W_{ij} s_{ij}, \qquad
       s_{ij} = \frac{\langle z_i, z_j \rangle}{\tau \lVert z_i \rVert \lVert z_j \rVert}

    Usually made by :func:`make_loss`.

    Attributes:
        prototypes: A parameter [labels, dim], where the loss has prototypes.
        bias: A parameter, the log-odds of a pair of similarity 0, where each pair is a binary classification.
        queue: The latest rows and their labels, where ``queue_size`` is not 0. In training a batch enters it after its
            loss; in evaluation it does not change.
        diagnostics: With the setting of this name, after every loss: the share of anchors without positives, the mean
            cosine similarity of positives and of negatives, and the share of positives whose repulsion exceeds their
            attraction (the positive regularisation ratio, A.2 of arXiv 2412.00101).
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
        super().__init__(name, {})  # settings come last: torch refuses a parameter under the name of an attribute
        self.contrast = contrast
        self.closure = closure
        self.num_labels = num_labels
        self.dim = dim
        self._check_settings(settings)
        self.diagnostics: dict[str, Tensor] = {}
        if "prototypes" in contrast.candidates:
            self.prototypes = nn.Parameter(torch.empty(num_labels or 0, dim or 0))
            nn.init.xavier_uniform_(self.prototypes, generator=generator)
            self.prototypes.requires_grad_(settings.get("prototype_update", "learned") == "learned")
        if contrast.denominator == "each_pair":
            self.bias = nn.Parameter(torch.tensor(contrast.bias))
        self.queue: Queue | None = None
        if settings["queue_size"]:
            columns = 1 if contrast.views_only else num_labels or 0
            self.queue = Queue(settings["queue_size"], dim=dim or 0, num_labels=columns)
        self.settings = dict(settings)

    @uncompiled
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
            projections: Floats, shape [batch, dim] or [batch, views, dim]; their length does not matter.
            labels: Shape [batch, labels], 0 and 1 of any type, dense or sparse, or a SciPy sparse matrix. A number
                between is a soft label, the probability of the label, from 1e-12; NaN is unknown, and neither makes nor
                breaks a pair. None where only views count.
            weights: One for each example, from 0: the factor of its loss. By default 1.
            keys: Other projections of the same examples, by a momentum encoder. They, and not the projections, are then
                the candidates, an example's own key included, and enter the queue. Where prototypes alone are
                candidates, they change nothing, as a queue does.

        Returns: A scalar; 0, with a gradient of 0, where no anchor has a positive. With ``reduction="none"`` the terms
            of :meth:`per_anchor`. With ``gather`` the same on every process; the mean of the processes' gradients,
            which DistributedDataParallel computes, is the gradient of one process that has the whole batch.

        Raises:
            EmbeddingError: Projections or keys of another shape or width, or with NaN or infinity; a single view of
                each example where only views count.
            LabelShapeError: Labels or weights of another shape or width.
            TensorError: Labels or weights out of their range; or an argument that is no tensor.
        """
        batch = self._prepare(projections, labels, weights, keys)
        loss = self._terms(batch) if self.settings["reduction"] == "none" else self._averaged(batch)
        if self.queue is not None and batch.fresh is not None and self.training:
            self.queue.append(batch.fresh.units.detach(), batch.fresh.sets.raw)
        if self.training and self.settings.get("prototype_update") == "means":
            self._follow_means(batch.participants.anchors)
        return loss

    @uncompiled
    def per_anchor(
        self,
        projections: Tensor,
        labels: Labels = None,
        *,
        weights: Tensor | None = None,
        keys: Tensor | None = None,
    ) -> Tensor:
        """Compute each anchor's term of the sum that is averaged: instances, view by view, and then prototypes."""
        return self._terms(self._prepare(projections, labels, weights, keys))

    @torch.no_grad()
    def pair_weights(self, labels: Labels, *, views: int = 1) -> Tensor:
        """Compute the weights W of a small batch, shape [anchors, candidates].

        Example:
            >>> from labelcontrast.losses.factory import make_loss
            >>> make_loss("base").pair_weights(torch.tensor([[1, 1], [1, 0], [0, 1], [1, 1]]))
            tensor([[0.0000, 0.2500, 0.2500, 0.5000],
                    [0.5000, 0.0000, 0.0000, 0.5000],
                    [0.5000, 0.0000, 0.0000, 0.5000],
                    [0.5000, 0.2500, 0.2500, 0.0000]])
        """
        check_labels(labels)
        ones = torch.ones(labels.shape[0], views, self.dim or 1)
        weights = self._prepare(ones, labels, None, None, by_column=True).weights
        pairs = weights.pairs
        shape = len(pairs.anchors), len(pairs.candidates)
        dense = torch.zeros(shape)
        for block in pairs.blocks(max(shape)):
            dense[block.rows, block.columns], mirror = weights.block(block)
            if mirror is not None:
                dense[block.columns, block.rows] = mirror.T
        return dense

    @torch.no_grad()
    def repulsion(self, projections: Tensor, labels: Labels) -> RepulsionStatistics:
        """Count, for each label, how many positives of a batch are repelled and how far; no gradient is computed.

        Args:
            projections: As in :meth:`forward`.
            labels: As in :meth:`forward`.

        Example:
            >>> from labelcontrast.losses.factory import make_loss
            >>> z = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.9], [0.0, 1.0]])
            >>> y = torch.tensor([[1, 0], [1, 0], [1, 1], [0, 1]])
            >>> make_loss("supcon").repulsion(z, y).repelled  # each of the first three repels its nearest positive
            tensor([3., 0.])
        """
        if self.contrast.views_only:
            raise ConfigError(f"{self.name} ignores labels: it has no repulsion by label.")
        batch = self._prepare(projections, labels, None, None)
        pairs = batch.weights.pairs
        statistics = LabelPairStatistics(pairs.left.matrix, pairs.candidates.matrix)
        batch.softmax(average=torch.ones_like(batch.factors), statistics=statistics)
        found = statistics.repulsion
        return found if pairs.candidates.labels is None else found.spread(pairs.candidates.labels, labels.shape[1])

    def steps(self, projections: Tensor, labels: Labels, *, stop_repulsion: float | None = None) -> Tensor:
        """Compute the steps of a batch of projections down the loss: its negative gradient.

        Args:
            projections: As in :meth:`forward`.
            labels: As in :meth:`forward`.
            stop_repulsion: In place of that of the loss, to compare both.

        Example:
            >>> from labelcontrast.losses.factory import make_loss
            >>> z, loss = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.3]]), make_loss("supcon", temperature=0.5)
            >>> [loss.steps(z, torch.ones(3, 1), stop_repulsion=stop)[0, 1].item() for stop in (0.0, 1.0)]
            [0.031..., 0.095...]
        """
        rows = projections.detach().clone().requires_grad_()
        with torch.enable_grad():
            batch = self._prepare(rows, labels, None, None)
            stop = self.settings["stop_repulsion"] if stop_repulsion is None else stop_repulsion
            batch = replace(batch, settings={**batch.settings, "stop_repulsion": stop})
            total = batch.factors.sum()
            loss = batch.softmax(average=self._scale * batch.factors / total.masked_fill(total == 0, 1))
        return -torch.autograd.grad(loss, rows)[0]

    def _variable(self) -> Iterable[Parameter]:
        return [parameter for parameter in contrastive() if parameter.name != "queue_size"]

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        if self.contrast.constrained and settings["gather"]:
            raise ConfigError(f"{self.name} compares the pairs of one process: gather must be False.")

    @property
    def _scale(self) -> float:
        base = self.settings["base_temperature"]
        return 1.0 if base is None else self.settings["temperature"] / base

    def _terms(self, batch: PreparedBatch) -> Tensor:
        terms, participants = batch.softmax() * (self._scale * batch.factors), batch.participants
        if participants.negatives is None or not participants.idle:
            return terms
        instances = len(terms) - len(participants.negatives.left_out)
        of_prototypes = terms.new_zeros(len(participants.negatives.units))
        of_prototypes = of_prototypes.index_copy(0, participants.negatives.left_out, terms[instances:])
        return torch.cat([terms[:instances], of_prototypes])

    def _averaged(self, batch: PreparedBatch) -> Tensor:
        """Average over the anchors of all processes."""
        factors = batch.factors
        everywhere = processes() if self._gathers else 1
        total = factors.sum(0, keepdim=True)
        if everywhere > 1:
            own = batch.participants.own()
            shared = (factors * (1 - own)).sum(0, keepdim=True)
            total = shared + sum_over_processes((factors * own).sum(0, keepdim=True))
            # the mean of the processes' gradients is to be the gradient, and the prototypes are anchors on all of them
            factors = factors * (own * everywhere + 1 - own)
        if self._averaging in {"mean_all", "label_count"}:  # a prototype has one label
            total = total + batch.participants.idle
        if self.settings["reduction"] == "sum":
            total = torch.ones_like(total)
        statistics = PairStatistics() if self.settings["diagnostics"] else None
        loss = batch.softmax(average=self._scale * factors / total.masked_fill(total == 0, 1), statistics=statistics)
        if statistics is not None:
            self.__dict__["diagnostics"] = batch.diagnostics(statistics)  # an assignment would go to the setting
        return loss + (sum_over_processes(loss) / everywhere - loss).detach() if everywhere > 1 else loss

    def _prepare(
        self,
        projections: Tensor,
        labels: Labels,
        weights: Tensor | None,
        keys: Tensor | None,
        *,
        by_column: bool = False,
    ) -> PreparedBatch:
        """Collect anchors and candidates, and compute their weights; if so asked, every label has a column."""
        settings, contrast = self.settings, self.contrast
        check_tensor(projections, "projections")
        with torch.autocast(projections.device.type, enabled=False):
            participants, fresh = self._participants(projections, labels, weights, keys, by_column=by_column)
            affinity = contrast.affinity
            pairs = participants.pairs(
                affinity,
                contrast.prototype_affinity or affinity,
                prior=contrast.pair_prior,
                between_kinds=contrast.between_kinds,
            )
            shared = self._share(pairs)
            factors = self._factors(shared.totals, pairs.anchors.sizes, participants.own()) * participants.weights()
        return PreparedBatch(participants, shared, factors, settings, contrast, self._denominator(), fresh)

    def _share(self, pairs: Pairs) -> SharedWeights | LevelWeights:
        sharing, size = self.contrast.sharing, self.settings["block_size"]
        if sharing != "per_level" or self.closure is None:
            return share(pairs, sharing, block_size=size)
        levels = self.closure.level_weights(self.contrast.layer_penalty, pairs.anchors.sizes.dtype)
        return share_by_level(pairs, self.closure.depths, levels, block_size=size)

    def _participants(
        self,
        projections: Tensor,
        labels: Labels,
        weights: Tensor | None,
        keys: Tensor | None,
        *,
        by_column: bool,
    ) -> tuple[Participants, Rows | None]:
        """Return all anchors and candidates; and those that are to enter the queue."""
        views = self._unit(projections)
        if self.contrast.views_only and keys is None and views.shape[1] == 1:
            expected = "projections [batch, views, dim] with two views or more, or keys"
            raise EmbeddingError(f"{self.name} pairs views: it needs {expected}. Got {list(projections.shape)}.")
        sets = self._sets(labels, views, by_column=by_column, repeated=keys is not None or views.shape[1] > 1)
        own = example_weights(weights, views)
        every, sampled = self.settings["anchor_views"] == "all", "instances" in self.contrast.candidates
        groups = [
            Rows(view, sets, anchor=every or not number, candidate=sampled and keys is None, weights=own)
            for number, view in enumerate(views.unbind(1))
        ]
        offered = views if keys is None else self._keys(keys, views)
        if keys is not None and sampled:
            groups += [Rows(view, sets) for view in offered.unbind(1)]
        negatives = None
        if "prototypes" in self.contrast.candidates:
            prototypes, negatives = self._prototypes(views, sets)
            groups.append(prototypes)
        if not sampled or (self.queue is None and not self._gathers):
            return Participants.of(groups, negatives), None
        others, fresh = self._elsewhere(Rows(offered.flatten(0, 1), self._foreign(sets.repeat(offered.shape[1]).raw)))
        return Participants.of(groups + others, negatives), fresh

    def _elsewhere(self, fresh: Rows) -> tuple[list[Rows], Rows]:
        """Return the candidates of other processes and of earlier batches; and the new rows of all processes."""
        others = []
        if self._gathers:
            units, matrices = gather_rows(fresh.units), gather_rows(fresh.sets.raw)
            everywhere = [Rows(one, self._foreign(matrix)) for one, matrix in zip(units, matrices, strict=True)]
            others = [rows for number, rows in enumerate(everywhere) if number != rank()]
            fresh = Rows(torch.cat(units), self._foreign(torch.cat(matrices)))
        if self.queue is not None:
            earlier, labels, filled = (held.to(fresh.units.dtype) for held in self.queue.latest)
            others.append(Rows(earlier, self._foreign(labels), filled=filled))
        return others, fresh

    def _prototypes(self, like: Tensor, sets: BatchLabels) -> tuple[Rows, Negatives | None]:
        """Return the prototypes of the labels that have a column, each with its label; and the others."""
        units, anchor = unit_vectors(self.prototypes, like.dtype, name="prototypes")[:, 0], self._prototype_anchors
        negatives = None if sets.labels is None else Negatives(units, sets.labels, anchor)
        if negatives is None and len(units) > MOST_COMPARED:
            how = "with a queue, several processes, or this sharing compares every prototype with every label"
            raise ConfigError(f"{self.name} {how}: num_labels must be at most {MOST_COMPARED:,}. Got {len(units):,}.")
        units = units if sets.labels is None else units[sets.labels]
        one = torch.eye(len(units), dtype=like.dtype, device=like.device)
        own = BatchLabels(one, torch.ones_like(units[:, 0]), labels=sets.labels)
        return Rows(units, own, "prototypes", anchor=anchor), negatives

    @torch.no_grad()
    def _follow_means(self, anchors: Sequence[Rows]) -> None:
        r"""Move the prototypes of the labels that occur: :math:`c \leftarrow m c + (1 - m) \bar z_c`."""
        instances = [rows for rows in anchors if rows.kind == "instances"]
        sets = BatchLabels.join([rows.sets for rows in instances])
        with torch.autocast(sets.matrix.device.type, enabled=False):
            sums = sum_over_processes(
                self._by_label(sets, sets.matrix.T @ torch.cat([rows.units for rows in instances]))
            )
            counts = sum_over_processes(self._by_label(sets, sets.matrix.sum(0)[:, None]))
            means = sums / counts.masked_fill(counts == 0, 1)
            before = unit_vectors(self.prototypes, means.dtype, name="prototypes")[:, 0]
            moved = before.lerp(means, 1 - self.settings["prototype_momentum"])
            self.prototypes.copy_(torch.where(counts > 0, moved, before))

    def _by_label(self, sets: BatchLabels, values: Float[Tensor, "columns _"]) -> Float[Tensor, "labels _"]:
        """Return one row per label from one per column."""
        return (
            values
            if sets.labels is None
            else values.new_zeros(self.num_labels or 0, values.shape[1]).index_copy(0, sets.labels, values)
        )

    def _unit(self, projections: Tensor) -> Tensor:
        """Return projections as unit vectors, shape [batch, views, dim]."""
        factor = self.contrast.log_factor
        precise = working_precision(projections.dtype, self.settings["temperature"], factor)
        return unit_vectors(projections, precise, dim=self.dim)

    def _keys(self, keys: Tensor, views: Tensor) -> Tensor:
        """Return keys as unit vectors, as many as there are examples."""
        units = unit_vectors(keys, views.dtype, dim=views.shape[-1], name="keys").to(views.device)
        if len(units) != len(views):
            raise EmbeddingError(f"keys must be of the same {len(views)} examples. Got {len(units)}.")
        return units

    def _sets(self, labels: Labels, views: Tensor, *, by_column: bool, repeated: bool) -> BatchLabels:
        """Return the label sets of a batch; where only views count, each example is its own label."""
        if self.contrast.views_only:
            return SampleIds.of(torch.arange(len(views), dtype=views.dtype, device=views.device)[:, None])
        prototypes = "prototypes" in self.contrast.candidates
        by_column |= (prototypes and not self._absent_repel) or self.contrast.sharing == "per_level"
        dense = by_column or self.queue is not None or self._gathers
        repeated |= prototypes  # a label of one example makes a pair with its prototype
        return label_sets(labels, views, num_labels=self.num_labels, dense=dense, repeated=repeated, close=self.closure)

    @property
    def _gathers(self) -> bool:
        """True if there are rows of other processes."""
        return bool(self.settings["gather"]) and processes() > 1

    @property
    def _prototype_anchors(self) -> bool:
        return "prototypes" in self.contrast.anchors

    @property
    def _absent_repel(self) -> bool:
        """True if the prototypes of labels that do not occur repel and nothing else, and may be many."""
        contrast, many = self.contrast, (self.num_labels or 0) >= WIDE
        alone = contrast.sharing == "per_label" and contrast.denominator != "each_pair" and contrast.pair_prior is None
        return many and alone and not contrast.between_kinds and contrast.candidate_prior != "label_frequency"

    def _foreign(self, matrix: Tensor) -> BatchLabels:
        """Return the label sets of rows from elsewhere; where only views count, they match none."""
        return SampleIds.of(torch.full_like(matrix[:, :1], -1)) if self.contrast.views_only else BatchLabels.of(matrix)

    def _denominator(self) -> Denominator:
        if self.contrast.constrained:
            return HeldAbove()
        if self.contrast.denominator == "each_pair":
            return EachPair(self.bias)
        if self.contrast.denominator == "negatives_alone":
            return NegativesAlone()
        return NegativesOnly() if self.contrast.denominator == "negatives" else AllCandidates()

    def _factors(self, totals: Tensor, sizes: Tensor, own: Tensor) -> Tensor:
        """Return the weights of the anchors' losses in the average; ``own`` is 1 for instances, 0 for prototypes."""
        power: float = self.settings["label_power"]
        factors = {"label_count": sizes, "mean_all": torch.ones_like(totals)}.get(self._averaging, totals.sign())
        if power:
            factors = factors * sizes.masked_fill(sizes == 0, 1) ** power * sizes.sign()
        if self._averaging != "mean_kinds":
            return factors
        instances = (factors * own).sum()
        if self.settings["gather"]:
            instances = sum_over_processes(instances)
        of_kinds = own * instances + (1 - own) * (factors * (1 - own)).sum()
        return factors / of_kinds.masked_fill(of_kinds == 0, 1)

    @property
    def _averaging(self) -> str:
        reduction: str = self.settings["reduction"]
        return self.contrast.averaging if reduction in {"sum", "none"} else reduction


class LevelByLevel(LossModule):
    r"""The sum of the mean losses of the levels, finest first: as in the authors' code, or with learned weights.

    .. math:: \frac{1}{K} \sum_l \lambda_l \max(\ell_l, M_{l+1}), \qquad M_l = \max(M_{l+1}, \ell_l),

    :math:`\ell_l` being the mean loss of the anchors with a positive at level l, without a floor for HiMulCon.

    Args:
        contrast: Its axes.
        settings: Its parameters.
        closure: The hierarchy.
        dim: Width of the projections, where it is fixed.
        name: Of the loss.

    Attributes:
        log_scales: With ``layer_penalty="learned"`` a parameter s per level: the loss of a level is multiplied by
            :math:`e^{-s}`, and s is added, so that s cannot grow without cost.

    Raises:
        ConfigError: Learned weights with single pairs constrained, or a setting that only a loss of anchors has.

    Reference: Zhang et al., 2022, and their code; Kendall et al., Multi-Task Learning Using Uncertainty to Weigh
    Losses, 2018, for the learned weights.
    """

    def __init__(
        self,
        contrast: Contrast,
        settings: Mapping[str, Any],
        closure: Closure,
        *,
        dim: int | None = None,
        name: str = "own",
    ) -> None:
        super().__init__(name, {})
        self._check_settings(settings)
        self.contrast = contrast
        self.closure = closure
        self.dim = dim
        self.of_level = ContrastiveLoss(Contrast(affinity=any_shared, sharing="per_label"), settings, dim=dim)
        if contrast.layer_penalty == "learned":
            if contrast.constrained and settings["constraint"] == "pairs" and not contrast.representatives:
                raise ConfigError(f'{name} with layer_penalty="learned" needs constraint="levels".')
            self.log_scales = nn.Parameter(torch.zeros(closure.num_levels))
        self.settings = self.of_level.settings  # the same object: what is assigned here takes effect there

    @uncompiled
    def forward(
        self,
        projections: Tensor,
        labels: Labels = None,
        *,
        weights: Tensor | None = None,
        keys: Tensor | None = None,
    ) -> Tensor:
        """Sum over the levels.

        Args:
            projections: Floats, shape [batch, dim] or [batch, views, dim].
            labels: Shape [batch, labels], as for any contrastive loss.
            weights: One for each example; by default 1.
            keys: None; single levels have no candidates but the projections.

        Returns: A scalar; 0, with a gradient of 0, where no anchor has a positive.

        Raises: As :class:`ContrastiveLoss`.
        """
        check_tensor(projections, "projections")
        if keys is not None:
            raise ConfigError(f"{self.name} level by level takes no keys.")
        views = unit_vectors(projections, working_precision(projections.dtype, 1.0), dim=self.dim)
        weights = None if weights is None else example_weights(weights, views)
        size = len(self.closure)
        closed = label_sets(labels, views, num_labels=size, dense=True, close=self.closure).raw
        kept, depths = torch.arange(len(closed), device=closed.device), self.closure.depths
        total, floor = projections.sum() * 0, None
        for level in range(self.closure.num_levels - 1, -1, -1):
            of_level = columns_of(closed, depths == level)[kept]
            if ((of_level > 0).sum(0) * views.shape[1] > 1).any():
                own = None if weights is None else weights[kept]
                loss = self.of_level(projections[kept], of_level, weights=own)
                if self.contrast.constrained:
                    floor = loss = loss if floor is None else loss.maximum(floor)
                total = total + self._weighted(loss, level)
            if self.contrast.representatives and level:
                kept = kept[_first_of_equal(columns_of(closed, depths <= level)[kept])]
        return total

    def _variable(self) -> Iterable[Parameter]:
        return contrastive()

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        if settings["queue_size"] or settings["gather"] or settings["diagnostics"]:
            raise ConfigError(f"{self.name} level by level takes no queue_size, gather or diagnostics.")
        if settings["label_power"]:
            raise ConfigError(f"{self.name} level by level takes no label_power.")
        if settings["reduction"] not in {"mean_valid", "mean_all"}:
            raise ConfigError(f"{self.name} level by level takes the reduction mean_valid or mean_all.")

    def _weighted(self, loss: Float[Tensor, ""], level: int) -> Float[Tensor, ""]:
        """Return the weighted loss of a level."""
        if self.contrast.layer_penalty == "learned":
            scale = self.log_scales[level]
            return (loss * (-scale).exp() + scale) / (self.closure.num_levels + 1)
        return loss * self.closure.level_weights(self.contrast.layer_penalty, loss.dtype)[level]


def _first_of_equal(rows: Float[Tensor, "kept labels"]) -> Integer[Tensor, " groups"]:
    """Return the first of all rows that are equal, in the order of their labels, as the authors' code does."""
    groups, group = rows.nan_to_num(-1).unique(dim=0, return_inverse=True)  # type: ignore[no-untyped-call]
    places = torch.arange(len(rows), device=rows.device)
    first = torch.full_like(places[: len(groups)], len(rows))
    return first.scatter_reduce(0, group, places, "amin").flip(0)
