"""The learner: optimiser, schedule, records of an epoch, and the views of a batch."""

import math
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from labelcontrast.data.batches import Prepared, training_batches
from labelcontrast.errors import ConfigError, MissingExtraError, RunError
from labelcontrast.losses.factory import make_loss
from labelcontrast.settings import TrainingSettings
from labelcontrast.training.learner import (
    Learner,
    Rates,
    build_optimiser,
    make_views,
    random_streams,
    set_random_streams,
)
from labelcontrast.training.trainer import fit

PICTURES = {"pixels": torch.arange(4 * 8 * 6 * 3, dtype=torch.int64).remainder(256).to(torch.uint8).view(4, 8, 6, 3)}


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
def test_the_schedule_is_the_formula(schedule: Any, steps: int, warmup: float, data: st.DataObject) -> None:
    rates = Rates(encoder=0.1, head=0.1, schedule=schedule)
    settings, layer = TrainingSettings(warmup=warmup), nn.Linear(1, 1)
    learner = Learner(
        layer, nn.Identity(), nn.Identity(), score=lambda *_: {"score": 0.0}, settings=settings, rates=rates
    )
    learner.trainer = trainer = SimpleNamespace(estimated_stepping_batches=steps)
    scheduler: Any = learner.configure_optimizers()["lr_scheduler"]["scheduler"]
    factor = scheduler.lr_lambdas[0]
    step = data.draw(st.integers(0, trainer.estimated_stepping_batches))
    rising = int(steps * warmup)
    done = (step - rising) / max(steps - rising, 1)
    decay = {"linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[schedule]
    expected = step / rising if step < rising else decay
    assert factor(step) == expected


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
    """A loss that is NaN."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return logits.sum() * torch.nan


def test_a_loss_that_is_not_finite_ends_the_run(
    prepared: Prepared, build_learner: Callable[..., Learner], tmp_path: Path
) -> None:
    settings = TrainingSettings(epochs=2)
    learner = build_learner(settings, loss=Nan())
    batches = training_batches(prepared, batch_size=8, seed=0)
    with pytest.raises(RunError, match=r"^the training loss became nan in epoch 1; try a smaller learning_rate\.$"):
        fit(learner, batches, folder=tmp_path, settings=settings)


def test_the_random_streams_are_restored() -> None:
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


def test_pair_statistics_are_averaged_over_the_steps_of_an_epoch(
    prepared: Prepared, build_learner: Callable[..., Learner], tmp_path: Path
) -> None:
    settings = TrainingSettings(epochs=2)
    batches = training_batches(prepared, batch_size=10, seed=0)  # 4 steps an epoch
    history = fit(build_learner(settings, loss=Counting()), batches, folder=tmp_path, settings=settings)
    assert [epoch.diagnostics for epoch in history] == [{"steps": 2.5}, {"steps": 6.5}]


class Views(nn.BCEWithLogitsLoss):
    """A loss that records its input."""

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


def test_equal_views_are_refused(prepared: Prepared, build_learner: Callable[..., Learner], tmp_path: Path) -> None:
    settings = TrainingSettings(epochs=1, views=2)
    learner = build_learner(settings, loss=Views())
    for module in learner.encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    batches = training_batches(prepared, batch_size=37, seed=0)
    with pytest.raises(ConfigError, match=r"^training\.views: the views of an example are equal"):
        fit(learner, batches, folder=tmp_path, settings=settings)


LOSSES: dict[str, Callable[[], nn.Module]] = {
    "logit": nn.BCEWithLogitsLoss,
    "reg": lambda: make_loss("reg", num_labels=3, dim=3, generator=torch.Generator().manual_seed(0)),
    "queue": lambda: make_loss("supcon", num_labels=3, dim=3, queue_size=50),
}


def gradients_of(learner: Learner) -> dict[str, Tensor]:
    return {
        name: parameter.grad.clone() for name, parameter in learner.named_parameters() if parameter.grad is not None
    }


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("chunk", [1, 8, 37, 99])
def test_a_step_in_chunks_is_the_plain_one(
    *, prepared: Prepared, build_learner: Callable[..., Learner], name: str, views: int, autocast: bool, chunk: int
) -> None:
    """The plain one embeds the chunks one after the other, and keeps the graphs of all until the loss is known."""
    if name == "logit" and views > 1:
        return
    dtype = torch.float32 if autocast else torch.float64
    settings, found = TrainingSettings(chunk=chunk, views=views), []
    for plain in (True, False):
        learner = build_learner(settings, loss=LOSSES[name]()).to(dtype).train()
        learner._losses, learner._counted = [], []
        chunks, labels = prepared.chunked_batch(range(37), chunk=chunk)
        chunks = [{"rows": part["rows"].to(dtype)} for part in chunks]
        torch.manual_seed(5)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast, cache_enabled=False):
            if plain:
                parts = [torch.stack(learner._embed([part] * views), 1) for part in chunks]
                value = learner.loss(torch.cat(parts).squeeze(1), labels)
            else:
                value = learner.training_step((chunks, labels), 0)
        value.backward()
        found.append((value.detach(), gradients_of(learner), torch.rand(1)))
    assert found[0][1].keys() == found[1][1].keys()
    tolerance = {"rtol": 1e-6, "atol": 1e-6} if autocast else {"rtol": 1e-12, "atol": 1e-13}
    torch.testing.assert_close(found[1], found[0], **tolerance)


def test_chunks_change_nothing_but_the_dropout(prepared: Prepared, build_learner: Callable[..., Learner]) -> None:
    """Without dropout a batch in chunks is the whole batch."""
    found = []
    for chunk in (0, 5):
        learner = build_learner(TrainingSettings(chunk=chunk), loss=LOSSES["reg"]()).double().train()
        learner.encoder.layers[2].p, learner._losses, learner._counted = 0.0, [], []
        inputs, labels = prepared.chunked_batch(range(37), chunk=chunk or 37)
        inputs = [{"rows": part["rows"].double()} for part in inputs]
        value = learner.training_step((inputs if chunk else inputs[0], labels), 0)
        value.backward()
        found.append((value.detach(), gradients_of(learner)))
    torch.testing.assert_close(found[1], found[0], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("held", "apart"), [(10, False), (1, True)])
def test_one_chunk_at_a_time_is_held(
    prepared: Prepared, build_learner: Callable[..., Learner], held: int, *, apart: bool
) -> None:
    """Counted as the outputs of the first layer that exist at once."""
    alive: set[int] = set()
    most = 0

    def watch(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal most
        storage = output.untyped_storage()
        alive.add(storage.data_ptr())
        weakref.finalize(storage, alive.discard, storage.data_ptr())
        most = max(most, len(alive))

    learner = build_learner(TrainingSettings(chunk=4), loss=LOSSES["reg"]()).train()
    learner.encoder.layers[0].register_forward_hook(watch)
    learner._losses, learner._counted = [], []
    chunks, labels = prepared.chunked_batch(range(37), chunk=4)
    if apart:
        value = learner.training_step((chunks, labels), 0)
    else:
        value = learner.loss(torch.cat([learner._embed([part])[0] for part in chunks]), labels)
    value.backward()
    assert most == held


class Keys(nn.Module):
    """A loss that records its keys."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, projections: Tensor, labels: Tensor, *, keys: Tensor) -> Tensor:
        self.seen.append(keys)
        return ((projections - keys.roll(1, 0)).square().sum(1) * labels[:, 0]).mean()


@pytest.mark.parametrize("chunk", [0, 8])
def test_keys_come_from_an_average_of_the_weights_and_have_no_gradient(
    prepared: Prepared, build_learner: Callable[..., Learner], chunk: int
) -> None:
    loss, momentum = Keys(), 0.75
    learner = build_learner(TrainingSettings(momentum=momentum, chunk=chunk), loss=loss).double().train()
    for encoder in (learner.encoder, learner.averaged[0]):
        encoder.layers[2].p = 0.0
    learner._losses, learner._counted = [], []
    inputs, labels = prepared.chunked_batch(range(37), chunk=chunk or 37)
    inputs = [{"rows": part["rows"].double()} for part in inputs]
    current = [*learner.encoder.parameters(), *learner.head.parameters()]
    average = [one.detach().clone() for one in current]
    optimiser = torch.optim.SGD(current, lr=0.1)
    for step in range(4):
        average = [momentum * kept + (1 - momentum) * one.detach() for kept, one in zip(average, current, strict=True)]
        learner.zero_grad()
        learner.training_step((inputs if chunk else inputs[0], labels), step).backward()
        weight, bias, scale, shift, out, constant = average
        rows = torch.cat([part["rows"] for part in inputs]) @ weight.T + bias
        rows = nn.functional.layer_norm(rows, (8,), scale, shift)
        torch.testing.assert_close(loss.seen[-1], (rows @ out.T + constant).float())
        assert not loss.seen[-1].requires_grad
        assert all(one.grad is None for one in learner.averaged.parameters())
        optimiser.step()
    names = {name for name in learner.state_dict() if name.startswith("averaged.")}
    assert len(names) == 6


def test_what_is_not_trained_is_shared_with_the_average() -> None:
    encoder = nn.Sequential(nn.Linear(2, 3).requires_grad_(requires_grad=False), nn.Linear(3, 2))
    settings, rates = TrainingSettings(momentum=0.9), Rates(encoder=0.1, head=0.1, schedule="cosine")
    learner = Learner(encoder, nn.Identity(), Keys(), score=lambda *_: {"score": 0.0}, settings=settings, rates=rates)
    copied = learner.averaged[0]
    assert copied[0].weight is encoder[0].weight
    assert copied[1].weight is not encoder[1].weight
    assert torch.equal(copied[1].weight, encoder[1].weight)


def test_accumulated_batches_are_one_step_of_all(
    prepared: Prepared, build_learner: Callable[..., Learner], tmp_path: Path
) -> None:
    """Under a mean over examples, batches of the same size have the gradient of their union."""
    found = []
    for size, accumulate in ((32, 1), (8, 4)):
        settings = TrainingSettings(epochs=3, accumulate=accumulate, optimiser="sgd", warmup=0, keep="last")
        learner = build_learner(settings)
        learner.encoder.layers[2].p = 0.0
        batches = training_batches(prepared.select(np.arange(32)), batch_size=size, seed=0)
        fit(learner, batches, folder=tmp_path / f"{size}", settings=settings)
        found.append(learner.state_dict())
    torch.testing.assert_close(found[1], found[0])


def test_batch_normalisation_is_refused_in_chunks() -> None:
    encoder, rates = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), Rates(encoder=0.1, head=0.1, schedule="cosine")
    settings = TrainingSettings(chunk=8)
    with pytest.raises(ConfigError) as refusal:
        Learner(encoder, nn.Identity(), nn.Identity(), score=lambda *_: {"score": 0.0}, settings=settings, rates=rates)
    expected = "training.chunk must be 0 with an encoder that normalises over the batch. Got 8."
    assert str(refusal.value) == expected


def test_without_augmentation_views_are_the_batch_itself() -> None:
    assert [view is PICTURES for view in make_views(TrainingSettings(views=3))(PICTURES)] == [True] * 3


def test_the_augmentation_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*(name for name in sys.modules if name.startswith("kornia")), "kornia", "kornia.augmentation.auto"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError) as refusal:
        make_views(TrainingSettings(augment="randaugment"))
    assert str(refusal.value).endswith("pip install 'labelcontrast[kornia]'")


def test_pictures_are_passed_to_kornia_as_floats_and_clamped(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, int]] = []

    class RandAugment:
        def __init__(self, **options: int) -> None:
            made.append(options)

        def __call__(self, pixels: Tensor) -> Tensor:
            assert pixels.shape == (4, 3, 8, 6)
            assert 0 <= float(pixels.min()) <= float(pixels.max()) <= 1
            return pixels * 2 - 0.25  # beyond what a byte can hold

    fake: Any = ModuleType("kornia.augmentation.auto")
    fake.RandAugment = RandAugment
    for name in ("kornia", "kornia.augmentation"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "kornia.augmentation.auto", fake)
    first, second = make_views(TrainingSettings(views=2, augment="randaugment"))(PICTURES)
    assert made == [{"n": 2, "m": 9}]
    expected = (PICTURES["pixels"].double() / 255 * 2 - 0.25).clamp(0, 1).mul(255).round()
    assert first["pixels"].dtype == torch.uint8
    assert (first["pixels"].double() - expected).abs().max() <= 1
    assert torch.equal(first["pixels"], second["pixels"])
    texts = {"rows": torch.tensor([1, 2])}
    assert make_views(TrainingSettings(views=2, augment="randaugment"))(texts) == [texts, texts]


def test_kornia_alters_pictures_and_is_seeded() -> None:
    pytest.importorskip("kornia")
    views = make_views(TrainingSettings(views=2, augment="randaugment"))
    torch.manual_seed(0)
    first, second = (view["pixels"] for view in views(PICTURES))
    assert first.shape == PICTURES["pixels"].shape
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    again = views(PICTURES)[0]["pixels"]
    assert torch.equal(first, again)
