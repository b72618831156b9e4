"""Estimate of a run before it is run: time and memory of its training, from a few batches that are trained."""

import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from labelcontrast.data.batches import KEPT, LazyItems, Prepared, prepare
from labelcontrast.data.examples import Examples
from labelcontrast.losses.registry import loss_row
from labelcontrast.run.fitting import build_learner
from labelcontrast.run.inputs import (
    OnMessage,
    RunInputs,
    build_run_encoder,
    load_data,
    lowest_labels,
    resolve_settings,
    with_found_columns,
)
from labelcontrast.run.machine import seeded
from labelcontrast.run.validation import validate_settings
from labelcontrast.settings import RunSettings
from labelcontrast.training.features import compute_features

BATCHES = 5
"""Batches that are trained: the first one warms up, the others are timed."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run would do and need, without probe, views, thresholds and page."""

    encoder: str
    examples: Mapping[str, int]
    """Number of examples by split."""
    labels: int
    steps: int
    """Batches that are trained, in all epochs."""
    seconds_per_step: float
    """Mean over the batches that were timed."""
    seconds: Mapping[str, float]
    """By stage: ``reading``, ``preparing``, ``training`` with the score of every epoch, and ``features``."""
    memory: int
    """Bytes: of the accelerator, if there is one, else of the process."""


def estimate_run(settings: RunSettings, *, device: str = "cpu", on_message: OnMessage = lambda _: None) -> Estimate:
    r"""Read the data, train a few batches, and extrapolate to the whole run.

    A stage that took t seconds on n of N examples is taken to need

    .. math:: t N / n

    seconds. Nothing is written, and no cache is read: a run may find token ids and features there.

    Args:
        settings: Settings of the run.
        device: Where features are computed.
        on_message: Receives sentences about the data and the encoder.

    Raises:
        LabelContrastError: As the run would.
    """
    # Imported here, as in train_once: Lightning takes seconds.
    from labelcontrast.training.trainer import time_batches

    validate_settings(settings)
    kind, clock = loss_row(settings.loss.name).kind, _Stopwatch()
    data = load_data(settings)
    for sentence in data.summary():
        on_message(sentence)
    splits, reading = data.splits, clock.lap()
    settings = resolve_settings(with_found_columns(settings, splits), splits.train.kind, on_message)
    training = settings.training
    every: dict[str, int] = {name: len(split) for name, split in splits.by_name.items()}
    with seeded(settings.seed):
        encoder = build_run_encoder(settings.encoder, splits.train, device)
        fitting = clock.lap()
        drawn = {name: _draw(splits.by_name[name], BATCHES * training.batch_size) for name in ("train", "val")}
        prepared = {name: prepare(encoder, part, splits.vocabulary) for name, part in drawn.items()}
        preparing = clock.lap() * sum(every.values()) / sum(map(len, drawn.values()))
        few = replace(data, splits=replace(splits, train=drawn["train"], val=drawn["val"]))
        inputs = RunInputs(few, encoder.cpu(), prepared, lowest_labels(settings, few, prepared))
        learner, batches, _ = build_learner(settings, kind, inputs)
        step, scoring = time_batches(learner, batches, settings=training)
        encoder.to(device)
        clock.lap()
        for part in prepared.values():
            compute_features(encoder, part)
        features = clock.lap() * sum(every.values()) / sum(map(len, drawn.values()))
    epochs = (sum(training.epoch_grid) if kind == "logit" else 0) or training.epochs
    epochs += settings.finetuning.epochs if kind == "contrastive" else 0
    batches_each = -(-every["train"] // training.batch_size)
    scored = every["val"] + (min(every["train"], training.selection_examples) if kind == "contrastive" else 0)
    share = scored / (len(drawn["val"]) + (len(drawn["train"]) if kind == "contrastive" else 0))
    kept = sum(_bytes(prepared["train"]) * number / len(drawn["train"]) for number in every.values())
    kept = kept if encoder.caches_prepared or encoder.kind == "vector" or kept <= KEPT else 0
    return Estimate(
        encoder=settings.encoder.name + (", frozen" if settings.encoder.frozen else ""),
        examples=every,
        labels=len(splits.vocabulary),
        steps=epochs * batches_each,
        seconds_per_step=step,
        seconds={
            "reading": reading,
            "preparing": fitting + preparing,
            "training": epochs * (batches_each * step + scoring * share),
            "features": features,
        },
        memory=_peak_memory() + int(kept),
    )


class _Stopwatch:
    """Seconds since the last call."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def lap(self) -> float:
        before, self._last = self._last, time.monotonic()
        return self._last - before


def _draw(examples: Examples, count: int) -> Examples:
    chosen = np.random.default_rng(0).permutation(len(examples))[:count]
    return examples.select(np.sort(chosen))


def _bytes(prepared: Prepared) -> int:
    items = prepared.items
    return 0 if isinstance(items, LazyItems) else sum(np.asarray(item).nbytes for item in items)


def _peak_memory() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
