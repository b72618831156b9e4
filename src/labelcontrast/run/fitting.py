"""How an encoder is trained: under one loss, for the best of several lengths, or in two stages.

Each training has a folder of its own with its history and checkpoints, and goes on from what it finds there.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from labelcontrast.data.batches import Prepared, training_batches
from labelcontrast.encoders.base import Encoder
from labelcontrast.labels.tree import LabelTree
from labelcontrast.run.machine import seeded
from labelcontrast.run.objective import build_objective
from labelcontrast.run.validation import LossKind
from labelcontrast.settings import LossSettings, RunSettings
from labelcontrast.training.history import HISTORY, Epoch, write_history

FINETUNING = "finetuning"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Callbacks:
    """Who hears of progress; by default nobody."""

    say: Say = lambda _: None
    epoch: Callable[[Epoch], None] = lambda _: None
    bar: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What an encoder is trained on, and who hears of it."""

    encoder: Encoder
    train: Prepared
    validation: Prepared
    num_labels: int
    tree: LabelTree | None = None
    """The hierarchy over the labels, where there is one."""
    listen: Callable[[Epoch], None]
    bar: bool


@dataclass(frozen=True)
class TrainResult:
    """What a training leaves beside the encoder's weights: the kept epoch's head, and the history."""

    classifier: nn.Linear | None
    """A linear head that was trained with the encoder; none under a contrastive loss alone."""
    history: list[Epoch]
    kept: Epoch
    """The epoch whose weights these are: the best one, or the last where the settings say so."""


def train_encoder(settings: RunSettings, kind: LossKind, lesson: TrainingData, folder: Path) -> TrainResult:
    """Train the encoder as the settings say, from the start or from the last checkpoints.

    Args:
        settings: of the run.
        kind: of its loss.
        lesson: the encoder, which has the kept epoch's weights afterwards, and what it is trained on.
        folder: where histories and checkpoints go.
    """
    if kind == "logit" and settings.training.epoch_grid:
        return _best_length(settings, lesson, folder)
    learned = train_once(settings, kind, lesson, folder)
    if kind == "logit" or not settings.finetuning.epochs:
        return learned
    with seeded(settings.seed):  # a run that is resumed in the second stage draws nothing in the first
        return train_once(finetuning_settings(settings), "logit", lesson, folder / FINETUNING)


def finetuning_settings(settings: RunSettings) -> RunSettings:
    """Make the settings of the fine-tuning those of a training of its own."""
    finetuning = settings.finetuning
    rate = {"learning_rate": finetuning.learning_rate} if finetuning.learning_rate else {}
    training = settings.training.model_copy(update={"epochs": finetuning.epochs, "views": 1, **rate})
    return settings.model_copy(update={"loss": LossSettings(name=finetuning.loss), "training": training})


def train_once(settings: RunSettings, kind: LossKind, lesson: TrainingData, folder: Path) -> TrainResult:
    """Train encoder and head once, from the start or from the last checkpoint; the best epoch is kept, or the last."""
    # Lightning takes seconds to import; bad data are refused before.
    from labelcontrast.training.fit import fit
    from labelcontrast.training.learner import Learner, Rates

    training, encoder = settings.training, lesson.encoder
    objective = build_objective(
        settings,
        kind,
        width=encoder.output_dim,
        num_labels=lesson.num_labels,
        train=lesson.train,
        validation=lesson.validation,
        tree=lesson.tree,
    )
    schedule = objective.schedule if training.schedule == "auto" else training.schedule
    rates = Rates(settings.learning_rate, training.head_learning_rate or settings.learning_rate, schedule)
    learner = Learner(
        encoder,
        objective.head,
        objective.loss,
        score=objective.score,
        examine=objective.examine,
        settings=training,
        rates=rates,
    )
    batches = training_batches(
        lesson.train,
        batch_size=training.batch_size,
        seed=settings.seed,
        smallest=objective.smallest_batch,
        per_label=None if training.sampler == "shuffled" else training.per_label,
        hierarchy=lesson.tree.nodes if lesson.tree and training.sampler == "hierarchical" else None,
    )
    history = fit(learner, batches, folder=folder, settings=training, progress=lesson.bar, listen=lesson.listen)
    learner.cpu()
    kept = history[-1] if training.keep == "last" else max(history, key=lambda epoch: epoch.score)
    return TrainResult(objective.classifier, history, kept)


def _best_length(settings: RunSettings, lesson: TrainingData, folder: Path) -> TrainResult:
    """Train for each number of epochs from the same start, and keep the training with the best validation score."""
    start = deepcopy(lesson.encoder.state_dict())

    def train_for(epochs: int) -> TrainResult:
        lesson.encoder.load_state_dict(start)
        training = settings.training.model_copy(update={"epochs": epochs})
        with seeded(settings.seed):
            return train_once(
                settings.model_copy(update={"training": training}), "logit", lesson, folder / f"epochs-{epochs}"
            )

    scores = {epochs: train_for(epochs).kept.score for epochs in settings.training.epoch_grid}
    # The training that is there ends at once, with the weights that it kept.
    learned = train_for(max(scores, key=scores.__getitem__))
    write_history(folder / HISTORY, learned.history)
    return learned
