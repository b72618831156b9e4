"""The training step, the end of an epoch, the optimiser and the augmented views, for any encoder, head and loss."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.utils.checkpoint import checkpoint
from transformers.optimization import get_wsd_schedule

from labelcontrast.errors import ConfigError, LabelContrastError, MissingExtraError, RunError
from labelcontrast.settings import TrainingSettings
from labelcontrast.training.epochs import Epoch, EpochMeasures, EpochScore

Inputs = Mapping[str, Tensor]
MOMENTUM = 0.9
NORMS = (
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.modules.batchnorm._NormBase,  # noqa: SLF001  the one base of every batch and instance norm
)
BATCH_NORM = nn.modules.batchnorm._BatchNorm  # noqa: SLF001  the one base of every batch norm
OPERATIONS, MAGNITUDE = 2, 9
"""RandAugment as in the paper: two operations of strength 9 of 30."""


@dataclass(frozen=True)
class Rates:
    """The peak learning rates of encoder and head, and how they decay."""

    encoder: float
    head: float
    schedule: Literal["cosine", "linear"]
    loss: float | None = None
    """Of what the loss learns; by default that of the head."""


class Learner(pl.LightningModule):
    """Encoder, head and loss in training.

    The head computes what the loss takes from the embeddings: projections for a contrastive loss, logits for a logit
    loss. The history, the steps of the epoch so far and the random streams are part of every checkpoint. An exception
    in a ``registered_loss``, one that is not of this package, is reported with its name. With ``momentum`` the keys of
    the loss come from ``averaged``, moving averages of encoder and head, with dropout and a view of their own.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        loss: nn.Module,
        *,
        score: EpochScore,
        settings: TrainingSettings,
        rates: Rates,
        measures: EpochMeasures = lambda *_: {},
        registered_loss: str | None = None,
    ) -> None:
        super().__init__()
        if settings.chunk and any(isinstance(part, BATCH_NORM) for part in encoder.modules()):
            message = "training.chunk must be 0 with an encoder that normalises over the batch"
            raise ConfigError(f"{message}. Got {settings.chunk}.")
        self.encoder = encoder
        self.head = head
        self.loss = loss
        self.history: list[Epoch] = []
        self.on_history: Callable[[list[Epoch]], None] = lambda _: None
        """Called with the history at the end of every epoch."""
        self._score = score
        self._measures = measures
        self._registered_loss = registered_loss
        self._settings = settings
        self._rates = rates
        self._streams: list[Tensor] = []
        self._views = make_views(settings)
        if settings.momentum:
            self.averaged = nn.ModuleList([_copied(encoder), _copied(head)])

    def training_step(self, batch: Sequence[Any], _index: int) -> Tensor:
        r"""Compute the loss of one batch: its inputs, labels, and any weights.

        Where its inputs come in chunks, :math:`x_1, \ldots, x_n`, the encoder holds one of them in memory:

        .. math:: g_k = \partial \ell / \partial f(x_k), \qquad
           \partial \ell / \partial \theta = \sum_k g_k^\top \, \partial f(x_k) / \partial \theta

        All are first embedded without a graph. The gradient of the loss at the embeddings is then passed to each chunk,
        which is embedded again with the same dropout.

        Reference: Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, 2021.
        """
        inputs, labels, *weights = batch
        chunks = [self._views(chunk) for chunk in (inputs if isinstance(inputs, list) else [inputs])]
        given = dict(zip(["weights"], weights, strict=False))
        if self._settings.momentum:
            given["keys"] = self._make_keys([views.pop() for views in chunks])
        views = self._embed_chunks(chunks) if isinstance(inputs, list) else self._embed(chunks[0])
        if len(views) > 1 and _index == 0 and torch.equal(views[0], views[1]):
            message = "training.views: the views of an example are equal, since the encoder has no dropout; "
            raise ConfigError(message + "set training.augment=randaugment for pictures, or training.views=1.")
        value = self._compute_loss(views[0] if len(views) == 1 else torch.stack(views, dim=1), labels, given)
        self._losses.append(_recorded(value))
        self._counted.append({name: _recorded(count) for name, count in getattr(self.loss, "diagnostics", {}).items()})
        return value

    def _embed(self, views: Sequence[Inputs]) -> list[Tensor]:
        """Compute what the loss takes, of every view."""
        return [self.head(self.encoder(view)).float() for view in views]

    def _embed_chunks(self, chunks: Sequence[Sequence[Inputs]]) -> list[Tensor]:
        """Compute the same a chunk at a time; the graph of a chunk is built when its gradient is needed."""

        def embed(_: Tensor, views: Sequence[Inputs]) -> tuple[Tensor, ...]:
            return tuple(self._embed(views))

        # The reentrant form builds no graph at first, and so does not fragment the heap: three times the memory. It
        # needs one input that has a gradient.
        start = torch.zeros(1, requires_grad=True)
        found = [checkpoint(embed, start, views, use_reentrant=True) for views in chunks]
        return [torch.cat(views) for views in zip(*found, strict=True)]

    @torch.no_grad()
    def _make_keys(self, chunks: Sequence[Inputs]) -> Tensor:
        r"""Update the averaged encoder and head, and compute the keys.

        .. math:: \theta_k \leftarrow m \, \theta_k + (1 - m) \, \theta

        Reference: He et al., Momentum Contrast for Unsupervised Visual Representation Learning, 2020, Eq. 2.
        """
        encoder, head = self.averaged
        for average, module in zip(self.averaged, (self.encoder, self.head), strict=True):
            for own, current in zip(average.parameters(), module.parameters(), strict=True):
                if current.requires_grad:
                    own.lerp_(current, 1 - self._settings.momentum)
        return torch.cat([head(encoder(chunk)).float() for chunk in chunks])

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:  # noqa: ARG002
        """Start the records of an epoch; and restore the random streams of a run that is resumed."""
        if batch_idx == 0:
            self._started = time.monotonic()
            self._losses: list[Tensor | float] = []
            self._counted: list[Mapping[str, Tensor | float]] = []
        if self._streams:
            set_random_streams(self._streams)
            self._streams = []

    def on_train_epoch_end(self) -> None:
        """Score the epoch and append it to the history."""
        loss = _as_float32(self._losses).mean().item()
        if not math.isfinite(loss):
            check = f"check the loss {self._registered_loss}, or " if self._registered_loss else ""
            became = f"the training loss became {loss} in epoch {self.current_epoch + 1}"
            raise RunError(f"{became}; {check}try a smaller learning_rate.")
        with self.trainer.precision_plugin.forward_context():
            scores = dict(self._score(self.encoder, self.head))
        score = scores.pop("score")
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        names = self._counted[0]
        diagnostics = {name: _as_float32(step[name] for step in self._counted).nanmean().item() for name in names}
        diagnostics |= {**scores, **self._measures(self.encoder, self.head)}
        seconds = time.monotonic() - self._started
        self.history.append(
            Epoch(self.current_epoch + 1, loss, score, rate, seconds, diagnostics, self._settings.epochs)
        )
        self.log_dict({"loss": loss, "score": score, "learning_rate": rate, **diagnostics})
        self.on_history(self.history)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Build the optimiser and its schedule over all steps."""
        of_loss = self._rates.loss or self._rates.head
        rates = [(self.encoder, self._rates.encoder), (self.head, self._rates.head), (self.loss, of_loss)]
        settings, half = self._settings, self._settings.precision == "16"
        optimiser = build_optimiser(settings.optimiser, rates, weight_decay=settings.weight_decay, fused=not half)
        steps = int(self.trainer.estimated_stepping_batches)
        warmup = int(steps * settings.warmup)
        # Linear decay is here 1 - progress; get_linear_schedule_with_warmup rounds the remaining share differently.
        schedule = get_wsd_schedule(
            optimiser,
            num_warmup_steps=warmup,
            num_stable_steps=0,
            num_decay_steps=steps - warmup,
            decay_type=self._rates.schedule,
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:  # noqa: ARG002
        """Clip the global norm of all gradients; the trainer's own clipping refuses a fused optimiser."""
        nn.utils.clip_grad_norm_(self.parameters(), self._settings.clip)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the history, the steps of the epoch so far, and the random streams."""
        checkpoint["history"] = [asdict(epoch) for epoch in self.history]
        checkpoint["so_far"] = {
            "losses": [float(value) for value in self._losses],
            "counted": [{name: float(value) for name, value in step.items()} for step in self._counted],
            "seconds": time.monotonic() - self._started,
        }
        checkpoint["streams"] = random_streams()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore them."""
        self.history = [Epoch(**epoch) for epoch in checkpoint["history"]]
        so_far = checkpoint["so_far"]
        self._losses, self._counted = so_far["losses"], so_far["counted"]
        self._started = time.monotonic() - so_far["seconds"]
        self._streams = checkpoint["streams"]

    def _compute_loss(self, outputs: Tensor, labels: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        try:
            value: Tensor = self.loss(outputs, labels, **given)
        except LabelContrastError:
            raise
        except Exception as error:
            if self._registered_loss is None:
                raise
            line = next(iter(str(error).splitlines()), "")
            raise RunError(f"the loss {self._registered_loss} raised {type(error).__name__}: {line}") from error
        return value


def build_optimiser(
    name: Literal["adamw", "sgd"], rates: Iterable[tuple[nn.Module, float]], *, weight_decay: float, fused: bool
) -> Optimizer:
    """Build the optimiser over modules, each with its peak learning rate.

    Args:
        name: ``"adamw"``, with decoupled weight decay, or ``"sgd"`` with a momentum of 0.9.
        rates: Pairs of a module and its learning rate; modules without parameters may be among them.
        weight_decay: Decay of all weights but biases and norms.
        fused: Update all parameters in one kernel, 5 to 14 times faster with a large embedding table; not possible with
            float16 gradient scaling.
    """
    groups = []
    for module, rate in rates:
        spared = without_decay([module])
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        decayed = [parameter for parameter in parameters if id(parameter) not in spared]
        others = [parameter for parameter in parameters if id(parameter) in spared]
        groups += [{"params": decayed, "lr": rate, "weight_decay": weight_decay}] if decayed else []
        groups += [{"params": others, "lr": rate, "weight_decay": 0.0}] if others else []
    return AdamW(groups, fused=fused) if name == "adamw" else SGD(groups, momentum=MOMENTUM, fused=fused)


def without_decay(modules: Iterable[nn.Module]) -> set[int]:
    """Return the ids of the parameters without weight decay: every bias and all of a norm."""
    found = set()
    for module in modules:
        for part in module.modules():
            is_norm = isinstance(part, NORMS) or "norm" in type(part).__name__.lower()
            names = part.named_parameters(recurse=False)
            found |= {id(parameter) for name, parameter in names if is_norm or name.endswith("bias")}
    return found


def make_views(settings: TrainingSettings) -> Callable[[Inputs], list[Inputs]]:
    """Build a function from a batch of inputs to ``settings.views`` views of it, and one more for keys, if there are.

    With ``augment = "randaugment"`` each view of pictures is altered by two random operations, on their device. Inputs
    of another kind are unchanged: their views differ by the dropout of the encoder.

    Raises:
        MissingExtraError: Pictures are to be augmented and kornia is not installed.
    """
    number = settings.views + bool(settings.momentum)
    if settings.augment == "none":
        return lambda inputs: [inputs] * number
    augment = _rand_augment()
    return lambda inputs: [_augmented(inputs, augment) for _ in range(number)]


def random_streams() -> list[Tensor]:
    """Return the states of torch's random streams: the CPU's, then that of every accelerator."""
    return [torch.random.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])]


def set_random_streams(streams: list[Tensor]) -> None:
    """Restore torch's random streams; those of accelerators that this machine does not have are ignored."""
    torch.random.set_rng_state(streams[0])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state_all(streams[1 : 1 + torch.cuda.device_count()])


def _copied(module: nn.Module) -> nn.Module:
    """Copy a module for an average of it; what is not trained is shared."""
    shared: dict[int, Any] = {id(one): one for one in module.parameters() if not one.requires_grad}
    return deepcopy(module, shared).requires_grad_(requires_grad=False)


def _augmented(inputs: Inputs, augment: Callable[[Tensor], Tensor]) -> Inputs:
    """Augment the pictures of a batch, which are bytes [batch, height, width, 3] before and after."""
    if "pixels" not in inputs:
        return inputs
    pixels = inputs["pixels"].permute(0, 3, 1, 2).float() / 255
    changed = augment(pixels).clamp(0, 1).mul(255).round().to(torch.uint8)
    return {**inputs, "pixels": changed.permute(0, 2, 3, 1)}


def _rand_augment() -> Callable[[Tensor], Tensor]:
    """Build kornia's RandAugment: a batch has its operations in common, each picture its own strengths and signs.

    Reference: Cubuk, Zoph, Shlens and Le, RandAugment, 2020.
    """
    try:
        build = import_module("kornia.augmentation.auto").RandAugment
    except ImportError:
        what = "the augmentation of pictures"
        raise MissingExtraError(what, "kornia") from None
    augment: Callable[[Tensor], Tensor] = build(n=OPERATIONS, m=MAGNITUDE)
    return augment


def _recorded(value: Tensor) -> Tensor | float:
    """Keep a number for the end of the epoch: on an accelerator as a tensor, so that the host does not wait for it."""
    # On a CPU a small tensor that stays keeps the heap around it from being given back: a megabyte a step.
    return value.item() if value.device.type == "cpu" else value.detach()


def _as_float32(values: Iterable[Tensor | float]) -> Tensor:
    """Build a vector from numbers, each a tensor on some device or read from a checkpoint."""
    return torch.tensor([float(value) for value in values])
