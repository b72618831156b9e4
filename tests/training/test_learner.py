"""The learner: a loss that is no number ends the run with one line."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from labelcontrast.config.sections import Training
from labelcontrast.data.batches import Prepared, training_batches
from labelcontrast.errors import RunError
from labelcontrast.training.fit import fit
from labelcontrast.training.learner import Learner, random_streams, set_random_streams


class Nan(nn.Module):
    """A loss that is no number."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return logits.sum() * torch.nan


def test_a_loss_that_is_no_number_is_refused(
    prepared: Prepared, build_learner: Callable[..., Learner], tmp_path: Path
) -> None:
    settings = Training(epochs=2)
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
    settings = Training(epochs=2)
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
    settings = Training(epochs=1, views=2)
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
