"""What an encoder is trained for: a loss, the head that feeds it, how epochs are judged, and how the rate falls."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from labelcontrast.data.batches import Prepared
from labelcontrast.encoders.base import Projector
from labelcontrast.labels.tree import LabelTree
from labelcontrast.losses.catalogue import loss_row
from labelcontrast.losses.factory import make_loss
from labelcontrast.losses.loss import ContrastiveLoss
from labelcontrast.losses.whole_levels import by_levels
from labelcontrast.metrics.counting import by_frequency
from labelcontrast.run.validation import LossKind
from labelcontrast.settings import NamedLoss, RunSettings
from labelcontrast.training.features import compute_features, evaluation_mode
from labelcontrast.training.validation import Examine, Score, score_features, score_logits


@dataclass(frozen=True)
class Objective:
    """Everything about a training that depends on the kind of its loss."""

    head: nn.Module
    """From embeddings to what the loss takes: logits or projections."""
    loss: nn.Module
    score: Score
    schedule: Literal["cosine", "linear"]
    smallest_batch: int
    """A batch of fewer examples teaches nothing."""
    classifier: nn.Linear | None = None
    """What of the head gives logits, where something does."""
    examine: Examine = lambda *_: {}
    """What else is measured after an epoch."""


def build_objective(
    settings: RunSettings,
    kind: LossKind,
    *,
    width: int,
    num_labels: int,
    train: Prepared,
    validation: Prepared,
    tree: LabelTree | None = None,
) -> Objective:
    """Build what the settings ask for.

    Args:
        settings: of the run.
        kind: of its loss. A logit loss trains a linear head that is kept; a contrastive loss trains a projector and,
            where it has them, prototypes, which are dropped. With one beside the other the head is both.
        width: of the embeddings.
        num_labels: how many labels there are.
        train: the training examples; a part of them serves to judge the epochs of a contrastive loss.
        validation: the examples that epochs are judged on.
        tree: the hierarchy over the labels, where there is one; a loss of levels takes it.
    """
    training, joint = settings.training, settings.loss.joint
    contrast = {"num_labels": num_labels, "dim": training.projection_dim}
    if kind == "contrastive":
        judged_on = subset(train, training.selection_examples, seed=settings.seed)
        projector, loss = (
            Projector(width, output_dim=training.projection_dim),
            _contrastive(settings.loss, contrast, tree),
        )
        score = score_features(judged_on, validation)
        return Objective(projector, loss, score, "cosine", 2, examine=_examine(settings, projector, loss, train))
    linear, loss, score = linear_head(width, num_labels), _loss(settings.loss, {}), score_logits(validation)
    if joint is None:
        return Objective(linear, loss, score, "linear", 1, linear)
    head = JointHead(linear, Projector(width, output_dim=training.projection_dim))
    both = JointLoss(loss, _contrastive(joint, contrast, tree), weight=joint.weight, num_labels=num_labels)
    examine = _examine(settings, head.projector, both.contrastive, train)
    return Objective(head, both, lambda encoder, _: score(encoder, linear), "linear", 2, linear, examine)


class JointHead(nn.Module):
    """Logits and projections of the same embeddings, side by side."""

    def __init__(self, linear: nn.Linear, projector: nn.Module) -> None:
        super().__init__()
        self.linear = linear
        self.projector = projector

    def forward(self, embeddings: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch both"]:
        """Compute the logits, and behind them the projections."""
        return torch.cat([self.linear(embeddings), self.projector(embeddings)], 1)


class JointLoss(nn.Module):
    """A logit loss on the first columns, and a weighted contrastive loss on the others."""

    def __init__(self, logit: nn.Module, contrastive: nn.Module, *, weight: float, num_labels: int) -> None:
        super().__init__()
        self.logit = logit
        self.contrastive = contrastive
        self.weight = weight
        self.num_labels = num_labels

    @property
    def diagnostics(self) -> Mapping[str, Tensor]:
        """What the contrastive loss has counted of its pairs."""
        counted: Mapping[str, Tensor] = getattr(self.contrastive, "diagnostics", {})
        return counted

    def forward(self, both: Float[Tensor, "batch both"], labels: Float[Tensor, "batch labels"]) -> Float[Tensor, ""]:
        """Add the two up."""
        logits, projections = both.tensor_split([self.num_labels], 1)
        value: Tensor = self.logit(logits, labels) + self.weight * self.contrastive(projections, labels)
        return value


class Widened(nn.Module):
    """A loss of levels on labels that are not all nodes of the hierarchy: the others' columns are added, empty."""

    def __init__(self, loss: nn.Module, *, num_nodes: int) -> None:
        super().__init__()
        self.loss = loss
        self.num_nodes = num_nodes

    @property
    def diagnostics(self) -> Mapping[str, Tensor]:
        """What the loss has counted of its pairs."""
        counted: Mapping[str, Tensor] = getattr(self.loss, "diagnostics", {})
        return counted

    def forward(
        self, projections: Float[Tensor, "batch *views dim"], labels: Float[Tensor, "batch labels"]
    ) -> Float[Tensor, ""]:
        """Compute the loss, which closes the labels itself."""
        value: Tensor = self.loss(projections, pad(labels, (0, self.num_nodes - labels.shape[1])))
        return value


def _contrastive(named: NamedLoss, given: dict[str, Any], tree: LabelTree | None) -> nn.Module:
    """Make a contrastive loss that counts its pairs where it can; one of levels with the hierarchy."""
    given = {**given, "diagnostics": not by_levels(named.parameters)}
    if not loss_row(named.name).needs_hierarchy:
        return _loss(named, given)
    assert tree is not None, "a loss of levels without a hierarchy is refused when the data are read"
    nodes = len(tree.nodes)
    return Widened(_loss(named, {**given, "num_labels": nodes, "hierarchy": tree.nodes}), num_nodes=nodes)


def _loss(named: NamedLoss, given: dict[str, Any]) -> nn.Module:
    """Make a loss with its parameters, which go before what is given."""
    return make_loss(named.name, **{**given, **named.parameters})


def _examine(settings: RunSettings, projector: nn.Module, loss: nn.Module, train: Prepared) -> Examine:
    """Build what is measured after an epoch beside its score: nothing, unless the settings ask for it."""
    training = settings.training
    if not training.repulsion or not isinstance(loss, ContrastiveLoss) or loss.contrast.views_only:
        return lambda *_: {}
    assert train.labels is not None
    buckets = by_frequency(train.labels.sum(0))
    chosen = np.random.default_rng(settings.seed).permutation(len(train))[: training.selection_examples]
    sample = train.select(chosen)
    return lambda encoder, _: measure_repulsion(
        encoder, projector, loss, sample, batch_size=training.batch_size, buckets=buckets
    )


def measure_repulsion(
    encoder: nn.Module,
    projector: nn.Module,
    loss: ContrastiveLoss,
    sample: Prepared,
    *,
    batch_size: int,
    buckets: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """Measure how often and how far positives are pushed apart, by how frequent the labels are that they share.

    Args:
        encoder: as it is after an epoch; nothing is dropped out.
        projector: on it.
        loss: whose pull and push are measured, within batches as in training.
        sample: the examples that are put into these batches, in their order.
        batch_size: of the training.
        buckets: by name, which labels.

    Returns:
        ``pushed_away_NAME``, the share of the positives that are pushed more than they are pulled, and ``push_NAME``,
        how much more on average: in units of the loss of an anchor, before the regulariser stops any of it. A pair
        counts for each label that the two share. A bucket without a positive is left out.
    """
    features, device = compute_features(encoder, sample), next(projector.parameters()).device
    assert sample.labels is not None
    labels = torch.from_numpy(sample.labels.toarray()).float().to(device)
    with evaluation_mode(projector):
        projections = projector(features.to(device)).float()
    batches = zip(torch.split(projections, batch_size), torch.split(labels, batch_size), strict=True)
    found = reduce(add, (loss.repulsion(*batch) for batch in batches))
    measured = {}
    for name, chosen in buckets.items():
        positives, repelled, push = (
            float(one.cpu()[chosen].sum()) for one in (found.positives, found.repelled, found.push)
        )
        if positives:
            measured[f"pushed_away_{name}"] = repelled / positives
            measured[f"push_{name}"] = push / repelled if repelled else 0.0
    return measured


def linear_head(width: int, num_labels: int) -> nn.Linear:
    """Make one logit a label: Xavier weights, no initial bias."""
    head = nn.Linear(width, num_labels)
    nn.init.xavier_uniform_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def subset(prepared: Prepared, size: int, *, seed: int) -> Prepared:
    """Draw at most so many examples, without repetition, in their order."""
    chosen = np.random.default_rng(seed).permutation(len(prepared))[:size]
    return prepared.select(np.sort(chosen))
