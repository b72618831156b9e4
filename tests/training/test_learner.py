"""The optimiser's groups and the schedule, against what the protocol says.

The learner: a loss that is no number ends the run with one line.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from labelcontrast.data.batches import Prepared, training_batches
from labelcontrast.errors import RunError
from labelcontrast.settings import TrainingSettings
from labelcontrast.training.fit import fit
from labelcontrast.training.learner import Learner, build_optimiser, random_streams, rate_factor, set_random_streams


def test_biases_and_norms_are_not_decayed() -> None:
    encoder = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2), nn.LayerNorm(2))
    head = nn.Linear(2, 3)
    optimiser = build_optimiser("adamw", [(encoder, 0.1), (head, 0.2), (nn.ReLU(), 0.3)], weight_decay=0.5, fused=True)
    settings = {id(p): (g["lr"], g["weight_decay"]) for g in optimiser.param_groups for p in g["params"]}
    decayed = {(encoder, "0.weight"), (encoder, "2.weight"), (head, "weight")}
    for module, rate in ((encoder, 0.1), (head, 0.2)):
        for name, parameter in module.named_parameters():
            assert settings[id(parameter)] == (rate, 0.5 if (module, name) in decayed else 0.0), name


def test_a_frozen_parameter_is_left_out() -> None:
    head = nn.Linear(2, 3).requires_grad_(requires_grad=False)
    optimiser = build_optimiser("adamw", [(nn.Linear(2, 2), 0.1), (head, 0.1)], weight_decay=0.1, fused=True)
    assert sum(len(group["params"]) for group in optimiser.param_groups) == 2


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@given(steps=st.integers(1, 500), warmup=st.floats(0, 0.9), data=st.data())
def test_the_schedule_is_the_formula(schedule: str, steps: int, warmup: float, data: st.DataObject) -> None:
    step = data.draw(st.integers(0, steps))
    rising = int(steps * warmup)
    done = (step - rising) / max(steps - rising, 1)
    decay = {"linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[schedule]
    expected = step / rising if step < rising else decay
    assert rate_factor(schedule, steps=steps, warmup=warmup)(step) == pytest.approx(expected)


def test_the_fused_step_is_the_plain_one() -> None:
    results = []
    for fused in (False, True):
        torch.manual_seed(0)
        layer = nn.Linear(3, 2)
        optimiser = build_optimiser("adamw", [(layer, 0.1)], weight_decay=0.1, fused=fused)
        for _ in range(3):
            layer(torch.ones(4, 3)).pow(2).sum().backward()
            optimiser.step()
            optimiser.zero_grad()
        results.append(layer.weight.detach().clone())
    torch.testing.assert_close(*results)


def test_sgd_is_the_formula() -> None:
    layer = nn.Linear(1, 1)
    nn.init.ones_(layer.weight)
    optimiser = build_optimiser("sgd", [(layer, 0.1)], weight_decay=0.5, fused=True)
    weight, velocity = 1.0, 0.0
    for _ in range(3):
        layer(torch.full((1, 1), 2.0)).sum().backward()  # the gradient of the weight is 2
        optimiser.step()
        optimiser.zero_grad()
        velocity = 0.9 * velocity + 2 + 0.5 * weight
        weight -= 0.1 * velocity
        assert layer.weight.detach().item() == pytest.approx(weight)


class Nan(nn.Module):
    """A loss that is no number."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return logits.sum() * torch.nan


def test_a_loss_that_is_no_number_is_refused(
    prepared: Prepared, build_learner: Callable[..., Learner], tmp_path: Path
) -> None:
    settings = TrainingSettings(epochs=2)
    learner = build_learner(settings, loss=Nan())
    batches = training_batches(prepared, batch_size=8, seed=0)
    with pytest.raises(RunError, match=r"^the training loss became nan in epoch 1; try a smaller learning_rate\.$"):
        fit(learner, batches, folder=tmp_path, settings=settings)


def test_the_random_streams_go_on_where_they_were() -> None:
    streams = random_streams()
    expected = torch.rand(3)
    torch.manual_seed(99)
    set_random_streams(streams)
    assert torch.equal(torch.rand(3), expected)


class Counting(nn.BCEWithLogitsLoss):
    """A loss that counts its steps."""

    diagnostics: ClassVar[dict[str, Tensor]] = {}

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002  the name of its base
        self.diagnostics = {"steps": self.diagnostics.get("steps", torch.tensor(0.0)) + 1}
        return super().forward(input, target)


def test_what_the_loss_counts_is_averaged_over_the_steps_of_an_epoch(
    prepared: Prepared, build_learner: Callable[..., Learner], tmp_path: Path
) -> None:
    settings = TrainingSettings(epochs=2)
    batches = training_batches(prepared, batch_size=10, seed=0)  # 4 steps an epoch
    history = fit(build_learner(settings, loss=Counting()), batches, folder=tmp_path, settings=settings)
    assert [epoch.diagnostics for epoch in history] == [{"steps": 2.5}, {"steps": 6.5}]


class Views(nn.BCEWithLogitsLoss):
    """A loss that keeps what it saw."""

    seen: Tensor

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002  the name of its base
        self.seen = input.detach()
        return super().forward(input, target[:, None].expand_as(input))


def test_views_of_an_example_differ_by_the_dropout_alone(
    prepared: Prepared, build_learner: Callable[..., Learner], tmp_path: Path
) -> None:
    settings = TrainingSettings(epochs=1, views=2)
    loss = Views()
    fit(
        build_learner(settings, loss=loss),
        training_batches(prepared, batch_size=37, seed=0),
        folder=tmp_path,
        settings=settings,
    )
    assert loss.seen.shape == (37, 2, 3)
    first, second = loss.seen.unbind(1)
    assert not torch.equal(first, second)
    assert torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1] > 0.3
