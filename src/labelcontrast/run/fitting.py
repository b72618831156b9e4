"""Training of the encoder: the objective that a loss needs, and the trainings of a run, one after the other.

A logit loss trains a linear head that is kept. A contrastive loss trains a projector (and its prototypes), which are
dropped. With one beside the other the head is both. A run has one training, or one for each number of epochs of which
the best is kept, or a contrastive training that is followed by fine-tuning. Each has a folder of its own with history
and checkpoints, and continues from what is there.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize, pad
from torch.utils.data import DataLoader

from labelcontrast.data.batches import Prepared, training_batches
from labelcontrast.encoders.base import Projector
from labelcontrast.labels.hierarchy import LabelTree
from labelcontrast.losses.factory import make_loss
from labelcontrast.losses.loss import ContrastiveLoss
from labelcontrast.losses.registry import check_loss, is_built_in, loss_row
from labelcontrast.metrics.counting import by_frequency
from labelcontrast.metrics.representation import closing_angles
from labelcontrast.run.inputs import OnMessage, RunInputs
from labelcontrast.run.machine import seeded
from labelcontrast.run.validation import LossKind
from labelcontrast.settings import LossSettings, NamedLoss, RunSettings, TrainingSettings
from labelcontrast.training.epochs import (
    HISTORY,
    MICRO_F1,
    Epoch,
    EpochMeasures,
    EpochScore,
    score_features,
    score_logits,
    selected_epoch,
    write_history,
)
from labelcontrast.training.features import compute_features, evaluation_mode

if TYPE_CHECKING:
    from labelcontrast.training.learner import Learner

FINETUNING = "finetuning"
THIRDS = ("far", "near", "close")
"""The positives of a batch by the cosine of their projections, a third each."""
RIGHT_ANGLE = 90.0


@dataclass(frozen=True)
class Callbacks:
    """Functions that are called as a run progresses; by default none."""

    on_message: OnMessage = lambda _: None
    """Called with a sentence about the data."""
    on_epoch: Callable[[Epoch], None] = lambda _: None
    """Called at the end of every epoch."""


@dataclass(frozen=True)
class TrainResult:
    """Result of a training besides the weights of the encoder: the trained head, and the history."""

    classifier: nn.Linear | None
    """The linear head that was trained with the encoder; None under a contrastive loss alone."""
    history: list[Epoch]
    selected: Epoch
    """The epoch whose weights were kept: the best one, or the last if the settings say so."""


@dataclass(frozen=True)
class Objective:
    """The parts of a training that depend on the kind of its loss."""

    head: nn.Module
    """Maps embeddings to what the loss takes: logits or projections."""
    loss: nn.Module
    score: EpochScore
    schedule: Literal["cosine", "linear"]
    smallest_batch: int
    """Batches of fewer examples are skipped."""
    classifier: nn.Linear | None = None
    """The part of the head that computes logits, if there is one."""
    measures: EpochMeasures = lambda *_: {}
    """Further measures after an epoch."""


def train_encoder(
    settings: RunSettings,
    kind: LossKind,
    inputs: RunInputs,
    folder: str | Path,
    callbacks: Callbacks = Callbacks(),
) -> TrainResult:
    """Train the encoder as the settings say, from the start or from the last checkpoints.

    Args:
        settings: Settings of the run.
        kind: Kind of its loss.
        inputs: The examples, and the encoder, which has the weights of the selected epoch afterwards.
        folder: Where histories and checkpoints are written.
        callbacks: Called as the training progresses.
    """
    folder = Path(folder)
    if kind == "logit" and settings.finetuning.epochs:
        title = settings.loss.title
        callbacks.on_message(f"finetuning.epochs has no effect under {title}, which trains a linear head already")
    if kind == "logit" and settings.training.epoch_grid:
        return _train_best_length(settings, inputs, folder, callbacks)
    trained = train_once(settings, kind, inputs, folder, callbacks)
    if kind == "logit" or not settings.finetuning.epochs:
        return trained
    with seeded(settings.seed):  # a run that is resumed in the second stage draws nothing in the first
        return train_once(finetuning_settings(settings), "logit", inputs, folder / FINETUNING, callbacks)


def finetuning_settings(settings: RunSettings) -> RunSettings:
    """Return the settings of the fine-tuning as those of a training of its own."""
    finetuning = settings.finetuning
    rate = {"learning_rate": finetuning.learning_rate} if finetuning.learning_rate else {}
    alone = {"epochs": finetuning.epochs, "views": 1, "momentum": 0.0}
    training = settings.training.model_copy(update={**alone, **rate})
    return settings.model_copy(update={"loss": LossSettings(name=finetuning.loss), "training": training})


def train_once(
    settings: RunSettings, kind: LossKind, inputs: RunInputs, folder: Path, callbacks: Callbacks
) -> TrainResult:
    """Train encoder and head under one loss, from the start or from the last checkpoint."""
    # Lightning takes seconds to import; bad data are refused before.
    from labelcontrast.training.trainer import fit

    training = settings.training
    learner, batches, objective = build_learner(settings, kind, inputs)
    history = fit(learner, batches, folder=folder, settings=training, on_epoch=callbacks.on_epoch)
    learner.cpu()
    return TrainResult(objective.classifier, history, selected_epoch(history, training.keep))


def build_learner(
    settings: RunSettings, kind: LossKind, inputs: RunInputs
) -> "tuple[Learner, DataLoader[Any], Objective]":
    """Build what is trained under one loss, the loader of its training batches, and its objective."""
    from labelcontrast.training.learner import Learner, Rates

    training, encoder, tree = settings.training, inputs.encoder, inputs.data.tree
    objective = build_objective(
        settings.loss,
        training,
        kind,
        width=encoder.output_dim,
        num_labels=len(inputs.splits.vocabulary),
        train=inputs.train,
        validation=inputs.prepared["val"],
        tree=tree,
        seed=settings.seed,
    )
    schedule = objective.schedule if training.schedule == "auto" else training.schedule
    named = [loss.name for loss in (settings.loss, settings.loss.joint) if loss]
    learner = Learner(
        encoder,
        objective.head,
        objective.loss,
        score=objective.score,
        measures=objective.measures,
        registered_loss=next((name for name in named if not is_built_in(name)), None),
        settings=training,
        rates=Rates(
            settings.learning_rate,
            training.head_learning_rate or settings.learning_rate,
            schedule,
            training.prototype_learning_rate,
        ),
    )
    batches = training_batches(
        inputs.train,
        batch_size=training.batch_size,
        seed=settings.seed,
        smallest=objective.smallest_batch,
        per_label=None if training.sampler == "shuffled" else training.per_label,
        hierarchy=tree.nodes if tree and training.sampler == "hierarchical" else None,
        chunk=training.chunk,
    )
    return learner, batches, objective


def build_objective(
    loss: LossSettings,
    training: TrainingSettings,
    kind: LossKind,
    *,
    width: int,
    num_labels: int,
    train: Prepared,
    validation: Prepared,
    seed: int,
    tree: LabelTree | None = None,
) -> Objective:
    """Build the head, the loss, and the validation score that the settings ask for.

    Args:
        loss: The loss, and the contrastive loss beside it.
        training: Settings of the training.
        kind: Kind of the loss.
        width: Width of the embeddings.
        num_labels: Number of labels.
        train: The training examples; a sample of them is used to score the epochs of a contrastive loss.
        validation: The examples that epochs are scored on.
        seed: Of the samples.
        tree: The hierarchy over the labels, if there is one, which a hierarchical loss takes.
    """
    sizes, f1 = {"num_labels": num_labels, "dim": training.projection_dim}, training.keep == MICRO_F1
    if kind == "contrastive":
        sample = draw_sample(train, training.selection_examples, seed=seed)
        projector = Projector(width, output_dim=training.projection_dim)
        contrastive = _contrastive_loss(loss, sizes, tree)
        measures = _repulsion_measures(training, projector, contrastive, train, seed)
        scored = score_features(sample, validation, f1=f1)
        return Objective(projector, contrastive, scored, "cosine", 2, measures=measures)
    linear, logit, score = linear_head(width, num_labels), _named_loss(loss, {}), score_logits(validation, f1=f1)
    if loss.joint is None:
        return Objective(linear, logit, score, "linear", 1, linear)
    head = JointHead(linear, Projector(width, output_dim=training.projection_dim))
    contrastive = _contrastive_loss(loss.joint, sizes, tree)
    joint = JointLoss(logit, contrastive, weight=loss.joint.weight, num_labels=num_labels)
    measures = _repulsion_measures(training, head.projector, contrastive, train, seed)
    return Objective(head, joint, lambda encoder, _: score(encoder, linear), "linear", 2, linear, measures)


class JointHead(nn.Module):
    """Logits and projections of the same embeddings, side by side."""

    def __init__(self, linear: nn.Linear, projector: nn.Module) -> None:
        super().__init__()
        self.linear = linear
        self.projector = projector

    def forward(self, embeddings: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch both"]:
        """Compute the logits, followed by the projections."""
        return torch.cat([self.linear(embeddings), self.projector(embeddings)], 1)


class JointLoss(nn.Module):
    """A logit loss on the first columns, plus a weighted contrastive loss on the others."""

    def __init__(self, logit: nn.Module, contrastive: nn.Module, *, weight: float, num_labels: int) -> None:
        super().__init__()
        self.logit = logit
        self.contrastive = contrastive
        self.weight = weight
        self.num_labels = num_labels

    @property
    def diagnostics(self) -> Mapping[str, Tensor]:
        """The pair statistics of the contrastive loss."""
        return _diagnostics(self.contrastive)

    def forward(
        self,
        both: Float[Tensor, "batch both"],
        labels: Float[Tensor, "batch labels"],
        *,
        keys: Float[Tensor, "batch both"] | None = None,
        **weights: Float[Tensor, " batch"],
    ) -> Float[Tensor, ""]:
        """Compute the sum of both losses; of the keys, the contrastive loss takes its columns."""
        logits, projections = both.tensor_split([self.num_labels], 1)
        given = weights if keys is None else {**weights, "keys": keys[:, self.num_labels :]}
        contrastive = self.contrastive(projections, labels, **given)
        value: Tensor = self.logit(logits, labels, **weights) + self.weight * contrastive
        return value


class PaddedLabels(nn.Module):
    """A hierarchical loss on labels that are not all nodes of the hierarchy: empty columns are added for the others."""

    def __init__(self, loss: nn.Module, *, num_nodes: int) -> None:
        super().__init__()
        self.loss = loss
        self.num_nodes = num_nodes

    @property
    def diagnostics(self) -> Mapping[str, Tensor]:
        """The pair statistics of the loss."""
        return _diagnostics(self.loss)

    def forward(
        self,
        projections: Float[Tensor, "batch *views dim"],
        labels: Float[Tensor, "batch labels"],
        **given: Float[Tensor, "..."],
    ) -> Float[Tensor, ""]:
        """Compute the loss, which closes the labels itself; keys and weights are passed on."""
        value: Tensor = self.loss(projections, pad(labels, (0, self.num_nodes - labels.shape[1])), **given)
        return value


def measure_repulsion(
    encoder: nn.Module,
    projector: nn.Module,
    loss: ContrastiveLoss,
    sample: Prepared,
    *,
    batch_size: int,
    buckets: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """Measure the net repulsion of positive pairs, and where the steps of training lead, by their common labels.

    Args:
        encoder: As it is after an epoch; it runs in evaluation mode.
        projector: On the embeddings.
        loss: Whose gradient is measured, within batches as in training.
        sample: The examples, in the order in which they are put into batches.
        batch_size: Of the training.
        buckets: Masks of the labels, keyed by bucket.

    Returns:
        ``pushed_away_NAME``, the share of the positives whose repulsion exceeds their attraction, and ``push_NAME``, by
        how much on average, in units of the loss of an anchor, before the regulariser clamps it; and the values of
        ``measure_directions``. A pair counts for each label that the two share. A bucket without a positive is left
        out.
    """
    features, device = compute_features(encoder, sample), next(projector.parameters()).device
    assert sample.labels is not None
    labels = torch.from_numpy(sample.labels.toarray()).float().to(device)
    with evaluation_mode(projector):
        projections = projector(features.to(device)).float()
    batches = [*zip(torch.split(projections, batch_size), torch.split(labels, batch_size), strict=True)]
    found = reduce(add, (loss.repulsion(*batch) for batch in batches))
    measured = {}
    for name, chosen in buckets.items():
        positives, repelled, push = (
            float(one.cpu()[chosen].sum()) for one in (found.positives, found.repelled, found.push)
        )
        if positives:
            measured[f"pushed_away_{name}"] = repelled / positives
            measured[f"push_{name}"] = push / repelled if repelled else 0.0
    return measured | measure_directions(loss, batches, buckets)


def measure_directions(
    loss: ContrastiveLoss,
    batches: Iterable[tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch labels"]]],
    buckets: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """Measure the angles between the steps of examples and the ways to their positives, with and without L_REG.

    Args:
        loss: The steps are down this loss.
        batches: Projections and labels, as in training.
        buckets: Masks of the labels, keyed by bucket; the ``THIRDS`` by similarity are added.

    Returns:
        For pairs in one batch that share a label: ``angle_NAME``, the mean angle in degrees, and ``away_NAME``, the
        share of angles above 90, where the step leads away from the positive. With the ending ``_regularised`` the same
        where the repulsion of positives is stopped, at the strength of the loss or 1. A pair counts for each label of a
        bucket that the two share, and once in a third. NaN where no angle is defined.
    """
    stops = {"": 0.0, "_regularised": loss.settings["stop_repulsion"] or 1.0}
    sums: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * 4)
    for projections, labels in batches:
        units = normalize(projections)
        cosine, alike = units @ units.T, (labels @ labels.T).fill_diagonal_(0).sign()
        counts = {name: (labels[:, chosen] @ labels[:, chosen].T).fill_diagonal_(0) for name, chosen in buckets.items()}
        if alike.any():
            ranked = cosine[alike > 0].sort().values
            third = torch.bucketize(cosine, ranked[[len(ranked) // 3, 2 * len(ranked) // 3]], right=True)
            counts |= {name: alike * (third == place) for place, name in enumerate(THIRDS)}
        for ending, stop in stops.items():
            angles = closing_angles(projections, loss.steps(projections, labels, stop_repulsion=stop))
            known = ~angles.isnan()
            for name, pairs in counts.items():
                parts = pairs, pairs * known, pairs * angles.nan_to_num(), pairs * (angles > RIGHT_ANGLE)
                place = f"{name}{ending}"
                sums[place] = [whole + float(part.sum()) for whole, part in zip(sums[place], parts, strict=True)]
    measured = {}
    for place, (number, defined, angle, away) in sums.items():
        if number:
            measured[f"angle_{place}"] = angle / defined if defined else math.nan
            measured[f"away_{place}"] = away / defined if defined else math.nan
    return measured


def linear_head(width: int, num_labels: int) -> nn.Linear:
    """Build a linear layer with one logit a label: Xavier weights, zero bias."""
    head = nn.Linear(width, num_labels)
    nn.init.xavier_uniform_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def draw_sample(prepared: Prepared, size: int, *, seed: int) -> Prepared:
    """Draw at most ``size`` examples without repetition, in their order."""
    chosen = np.random.default_rng(seed).permutation(len(prepared))[:size]
    return prepared.select(np.sort(chosen))


def _train_best_length(settings: RunSettings, inputs: RunInputs, folder: Path, callbacks: Callbacks) -> TrainResult:
    """Train for each number of epochs from the same start, and keep the training with the best validation score."""
    start = deepcopy(inputs.encoder.state_dict())

    def train_for(epochs: int) -> TrainResult:
        inputs.encoder.load_state_dict(start)
        training = settings.training.model_copy(update={"epochs": epochs})
        own = settings.model_copy(update={"training": training})
        with seeded(settings.seed):
            return train_once(own, "logit", inputs, folder / f"epochs-{epochs}", callbacks)

    # the best of all epochs, among those that each training kept; one that is complete only loads its weights
    kept = {epochs: train_for(epochs).selected for epochs in settings.training.epoch_grid}
    rule = MICRO_F1 if settings.training.keep == MICRO_F1 else "best"
    best = selected_epoch(list(kept.values()), rule)
    trained = train_for(next(epochs for epochs, epoch in kept.items() if epoch is best))
    write_history(folder / HISTORY, trained.history)
    return trained


def _contrastive_loss(named: NamedLoss, sizes: dict[str, Any], tree: LabelTree | None) -> nn.Module:
    """Make a contrastive loss, with pair statistics if it has some, and with the hierarchy if it needs one."""
    row, given = loss_row(named.name), dict(sizes)
    axes = row.contrast_of(check_loss(named.name, named.parameters))
    if axes is not None:
        given["diagnostics"] = not axes.level_means
    if not row.needs_hierarchy:
        return _named_loss(named, given)
    assert tree is not None, "a hierarchical loss without a hierarchy is refused when the data are read"
    nodes = len(tree.nodes)
    return PaddedLabels(_named_loss(named, {**given, "num_labels": nodes, "hierarchy": tree.nodes}), num_nodes=nodes)


def _named_loss(named: NamedLoss, given: dict[str, Any]) -> nn.Module:
    """Make a loss; its own parameters take precedence over those given."""
    return make_loss(named.name, **{**given, **named.parameters})


def _repulsion_measures(
    training: TrainingSettings, projector: nn.Module, loss: nn.Module, train: Prepared, seed: int
) -> EpochMeasures:
    """Build the measures of repulsion after an epoch; none if the settings or the loss do not call for them."""
    if not training.repulsion or not isinstance(loss, ContrastiveLoss) or loss.contrast.views_only:
        return lambda *_: {}
    assert train.labels is not None
    buckets = by_frequency(train.labels.sum(0))
    chosen = np.random.default_rng(seed).permutation(len(train))[: training.selection_examples]
    sample = train.select(chosen)
    return lambda encoder, _: measure_repulsion(
        encoder, projector, loss, sample, batch_size=training.batch_size, buckets=buckets
    )


def _diagnostics(loss: nn.Module) -> Mapping[str, Tensor]:
    counted: Mapping[str, Tensor] = getattr(loss, "diagnostics", {})
    return counted
