"""One training step and the end of an epoch, for any encoder, head and loss; and the optimiser."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from labelcontrast.errors import RunError
from labelcontrast.settings import TrainingSettings
from labelcontrast.training.history import Epoch
from labelcontrast.training.validation import Examine, Score
from labelcontrast.training.views import make_views

MOMENTUM = 0.9
NORMS = (
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.modules.batchnorm._NormBase,  # noqa: SLF001  the one base of every batch and instance norm
)


def without_decay(modules: Iterable[nn.Module]) -> set[int]:
    """Collect the identities of the parameters that are not decayed: every bias and all of a norm."""
    found = set()
    for module in modules:
        for part in module.modules():
            whole = isinstance(part, NORMS) or "norm" in type(part).__name__.lower()
            names = part.named_parameters(recurse=False)
            found |= {id(parameter) for name, parameter in names if whole or name.endswith("bias")}
    return found


def build_optimiser(
    name: Literal["adamw", "sgd"], rates: Iterable[tuple[nn.Module, float]], *, weight_decay: float, fused: bool
) -> Optimizer:
    """Build the optimiser over modules, each with its peak learning rate.

    Args:
        name: ``"adamw"``, whose decay is decoupled from the gradient, or ``"sgd"`` with a momentum of 0.9.
        rates: a module and the learning rate of its parameters; modules without parameters may be among them.
        weight_decay: decay of all weights but biases and norms.
        fused: one kernel for all parameters, 5 to 14 times faster over a large embedding table; not with float16
            gradient scaling.
    """
    groups = []
    for module, rate in rates:
        spared = without_decay([module])
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        decayed = [parameter for parameter in parameters if id(parameter) not in spared]
        kept = [parameter for parameter in parameters if id(parameter) in spared]
        groups += [{"params": decayed, "lr": rate, "weight_decay": weight_decay}] if decayed else []
        groups += [{"params": kept, "lr": rate, "weight_decay": 0.0}] if kept else []
    return AdamW(groups, fused=fused) if name == "adamw" else SGD(groups, momentum=MOMENTUM, fused=fused)


def rate_factor(schedule: Literal["cosine", "linear"], *, steps: int, warmup: float) -> Callable[[int], float]:
    r"""Build the factor on the peak learning rate as a function of the step.

    .. math:: f(t) = t / w \;(t < w), \qquad f(t) = 1 - u \text{ or } (1 + \cos \pi u) / 2, \quad u = (t - w) / (T - w)

    Args:
        schedule: the decay after the warm-up, over half a cosine or a straight line.
        steps: all steps of the training, :math:`T`.
        warmup: the share of them in which the rate rises, :math:`w = \lfloor T \cdot` ``warmup`` :math:`\rfloor`.

    Example:
        >>> factor = rate_factor("linear", steps=100, warmup=0.1)
        >>> [factor(step) for step in (0, 5, 10, 55, 100)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    rising = int(steps * warmup)

    def factor(step: int) -> float:
        if step < rising:
            return step / rising
        done = min((step - rising) / max(steps - rising, 1), 1.0)
        return 1 - done if schedule == "linear" else (1 + math.cos(math.pi * done)) / 2

    return factor


@dataclass(frozen=True)
class Rates:
    """The peak learning rates, resolved, and how they fall."""

    encoder: float
    head: float
    schedule: Literal["cosine", "linear"]


class Learner(pl.LightningModule):
    """Encoder, head and loss in training; history, the epoch so far and random streams travel in the checkpoint.

    The head is a projector under a contrastive loss and a linear layer under a logit loss: here it is what makes the
    loss's first argument out of embeddings.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        loss: nn.Module,
        *,
        score: Score,
        settings: TrainingSettings,
        rates: Rates,
        examine: Examine = lambda *_: {},
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.loss = loss
        self.history: list[Epoch] = []
        self.note: Callable[[list[Epoch]], None] = lambda _: None
        self._score = score
        self._examine = examine
        self._settings = settings
        self._rates = rates
        self._streams: list[Tensor] = []
        self._views = make_views(settings)

    def training_step(self, batch: tuple[Mapping[str, Tensor], Tensor], _index: int) -> Tensor:
        """Compute the loss of one batch."""
        inputs, labels = batch
        views = [self.head(self.encoder(view)).float() for view in self._views(inputs)]
        value: Tensor = self.loss(views[0] if len(views) == 1 else torch.stack(views, dim=1), labels)
        self._losses.append(_noted(value))
        self._counted.append({name: _noted(count) for name, count in getattr(self.loss, "diagnostics", {}).items()})
        return value

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:  # noqa: ARG002
        """Begin an epoch with its first batch; and a run, with the random streams where a killed one left them."""
        if batch_idx == 0:
            self._started = time.monotonic()
            self._losses: list[Tensor | float] = []
            self._counted: list[Mapping[str, Tensor | float]] = []
        if self._streams:
            set_random_streams(self._streams)
            self._streams = []

    def on_train_epoch_end(self) -> None:
        """Judge the epoch and write it into the history."""
        loss = _float32(self._losses).mean().item()
        if not math.isfinite(loss):
            message = f"the training loss became {loss} in epoch {self.current_epoch + 1}; try a smaller learning_rate."
            raise RunError(message)
        with self.trainer.precision_plugin.forward_context():
            score = self._score(self.encoder, self.head)
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        names = self._counted[0]
        counted = {name: _float32(step[name] for step in self._counted).nanmean().item() for name in names}
        counted |= self._examine(self.encoder, self.head)
        record = Epoch(self.current_epoch + 1, loss, score, rate, time.monotonic() - self._started, counted)
        self.history.append(record)
        self.log_dict({"loss": loss, "score": score, "learning_rate": rate, **counted})
        self.note(self.history)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Build the optimiser and its schedule over all steps."""
        rates = [(self.encoder, self._rates.encoder), (self.head, self._rates.head), (self.loss, self._rates.head)]
        wanted, half = self._settings, self._settings.precision == "16"
        optimiser = build_optimiser(wanted.optimiser, rates, weight_decay=wanted.weight_decay, fused=not half)
        steps = int(self.trainer.estimated_stepping_batches)
        factor = rate_factor(self._rates.schedule, steps=steps, warmup=wanted.warmup)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": LambdaLR(optimiser, factor), "interval": "step"}}

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:  # noqa: ARG002
        """Clip the global norm of all gradients; the trainer's own clipping refuses a fused optimiser."""
        nn.utils.clip_grad_norm_(self.parameters(), self._settings.clip)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Pack the history, the epoch so far and the random streams."""
        checkpoint["history"] = [asdict(epoch) for epoch in self.history]
        checkpoint["so_far"] = {
            "losses": [float(value) for value in self._losses],
            "counted": [{name: float(value) for name, value in step.items()} for step in self._counted],
            "seconds": time.monotonic() - self._started,
        }
        checkpoint["streams"] = random_streams()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Unpack them."""
        self.history = [Epoch(**epoch) for epoch in checkpoint["history"]]
        so_far = checkpoint["so_far"]
        self._losses, self._counted = so_far["losses"], so_far["counted"]
        self._started = time.monotonic() - so_far["seconds"]
        self._streams = checkpoint["streams"]


def _noted(value: Tensor) -> Tensor | float:
    """Keep a number for the end of the epoch: on an accelerator as a tensor, so that nobody waits for it."""
    # On a CPU a small tensor that stays keeps the heap around it from being given back: a megabyte a step.
    return value.item() if value.device.type == "cpu" else value.detach()


def _float32(values: Iterable[Tensor | float]) -> Tensor:
    """Line up numbers, each a tensor on some device or read from a checkpoint."""
    return torch.tensor([float(value) for value in values])


def random_streams() -> list[Tensor]:
    """Read where torch's random streams are: the CPU's, then that of every accelerator."""
    return [torch.random.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])]


def set_random_streams(streams: list[Tensor]) -> None:
    """Put torch's random streams where they were; those of accelerators that are not here are left out."""
    torch.random.set_rng_state(streams[0])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state_all(streams[1 : 1 + torch.cuda.device_count()])
