"""Training with Lightning: it learns, keeps the best epoch, stops, logs, and resumes after a kill."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn

from labelcontrast.data.batches import Prepared, training_batches
from labelcontrast.losses.factory import make_loss
from labelcontrast.settings import TrainingSettings
from labelcontrast.training import Epoch, Learner, fit, read_history
from labelcontrast.training.epochs import HISTORY
from labelcontrast.training.trainer import LAST, LOGGERS


def test_tensorboard_gets_the_epochs(prepared: Prepared, build_learner: Callable[..., Learner], tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    settings = TrainingSettings(epochs=2, loggers=("tensorboard",))
    learner = build_learner(settings)
    fit(learner, training_batches(prepared, batch_size=8, seed=0), folder=tmp_path, settings=settings)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    logged = [event.value for event in events.Scalars("score")]
    assert logged == pytest.approx([epoch.score for epoch in learner.history])


def test_mlflow_writes_into_the_run_folder_unless_a_server_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert LOGGERS["mlflow"][1](tmp_path)["tracking_uri"] == f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert "tracking_uri" not in LOGGERS["mlflow"][1](tmp_path)


Build = Callable[..., Learner]


class Killed(Exception):
    """Simulates SIGKILL between two epochs."""


class Counting(nn.BCEWithLogitsLoss):
    """A loss whose diagnostics differ from step to step, and that is killed after a number of steps."""

    diagnostics: ClassVar[dict[str, Tensor]] = {}

    def __init__(self, steps: int | None) -> None:
        super().__init__()
        self.done, self._steps = 0, steps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002  the name of its base
        if self.done == self._steps:
            raise Killed
        self.done += 1
        self.diagnostics = {"spread": input.detach().std()}
        return super().forward(input, target)


def run(build: Build, prepared: Prepared, folder: Path, settings: TrainingSettings, **options: object) -> Learner:
    learner = build(settings)
    batches = training_batches(prepared, batch_size=8, seed=0, chunk=settings.chunk)
    fit(learner, batches, folder=folder, settings=settings, **options)
    return learner


def outcome(history: list[Epoch]) -> list[tuple[float, ...]]:
    return [(epoch.epoch, epoch.loss, epoch.score, epoch.learning_rate) for epoch in history]


def test_it_learns_and_keeps_the_best_epoch(prepared: Prepared, build_learner: Build, tmp_path: Path) -> None:
    learner = run(build_learner, prepared, tmp_path, TrainingSettings(epochs=12))
    scores = [epoch.score for epoch in learner.history]
    assert max(scores) > 0.85
    assert learner._score(learner.encoder, learner.head)["score"] == pytest.approx(max(scores))
    assert outcome(read_history(tmp_path / HISTORY)) == outcome(learner.history)
    assert learner.history[-1].learning_rate == pytest.approx(0, abs=1e-12)


def test_the_history_of_a_training_that_has_ended_is_that_of_its_checkpoint(
    prepared: Prepared, build_learner: Build, tmp_path: Path
) -> None:
    run(build_learner, prepared, tmp_path, TrainingSettings(epochs=2))
    written = (tmp_path / HISTORY).read_bytes()
    (tmp_path / HISTORY).write_bytes(written.replace(b"0.", b"1.", 1))
    run(build_learner, prepared, tmp_path, TrainingSettings(epochs=2))
    assert (tmp_path / HISTORY).read_bytes() == written


def test_the_last_epoch_is_kept_if_asked_for(prepared: Prepared, build_learner: Build, tmp_path: Path) -> None:
    scores, kept, last = [0.9, 0.5, 0.4], {}, []
    for keep in ("best", "last"):
        learner = build_learner(settings := TrainingSettings(epochs=3, keep=keep))
        learner._score = lambda *_, learner=learner: {"score": scores[learner.current_epoch]}
        ends: list[torch.Tensor] = []

        def record(_: Epoch, learner: Learner = learner, ends: list[torch.Tensor] = ends) -> None:
            ends.append(learner.head.weight.detach().clone())

        batches = training_batches(prepared, batch_size=8, seed=0)
        fit(learner, batches, folder=str(tmp_path / keep), settings=settings, on_epoch=record)
        kept[keep] = [torch.equal(learner.head.weight, end) for end in ends]
        last.append(torch.load(tmp_path / keep / LAST, weights_only=True)["state_dict"]["head.weight"])
        assert torch.equal(last[-1], ends[-1])
    assert kept == {"best": [True, False, False], "last": [False, False, True]}
    assert torch.equal(*last)


@pytest.mark.parametrize(("killed_at", "chunk"), [(1, 0), (3, 0), (5, 0), (3, 5)])
def test_a_killed_run_resumes_with_the_same_result(
    prepared: Prepared, build_learner: Build, tmp_path: Path, killed_at: int, chunk: int
) -> None:
    settings = TrainingSettings(epochs=5, chunk=chunk)
    whole = run(build_learner, prepared, tmp_path / "whole", settings)

    def kill(epoch: Epoch) -> None:
        if epoch.epoch == killed_at:
            raise Killed

    with pytest.raises(Killed):
        run(build_learner, prepared, tmp_path / "killed", settings, on_epoch=kill)
    torch.manual_seed(99)
    heard: list[Epoch] = []
    resumed = run(build_learner, prepared, tmp_path / "killed", settings, on_epoch=heard.append)
    assert [epoch.epoch for epoch in heard] == list(range(killed_at, 6))  # the kill came before its checkpoint
    assert outcome(resumed.history) == outcome(whole.history)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_queue_and_averaged_encoder_resume(prepared: Prepared, build_learner: Build, tmp_path: Path) -> None:
    settings, ends = TrainingSettings(epochs=4, momentum=0.9, chunk=4, precision="bf16"), []

    def run(name: str, on_epoch: Callable[[Epoch], None]) -> Learner:
        learner = build_learner(settings, loss=make_loss("supcon", num_labels=3, dim=3, queue_size=20))
        batches = training_batches(prepared, batch_size=8, seed=0, smallest=2, chunk=4)
        fit(learner, batches, folder=tmp_path / name, settings=settings, on_epoch=on_epoch)
        return learner

    def kill(epoch: Epoch) -> None:
        if epoch.epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        run("killed", kill)
    torch.manual_seed(99)
    ends = [run("whole", lambda _: None).state_dict(), run("killed", lambda _: None).state_dict()]
    assert {"loss.queue.rows", "averaged.0.layers.0.weight", "averaged.1.bias"} <= set(ends[0])
    assert not torch.equal(ends[0]["averaged.1.bias"], ends[0]["head.bias"])
    for name, value in ends[0].items():
        assert torch.equal(ends[1][name], value), name


@pytest.mark.parametrize(("killed_at", "per_label"), [(1, None), (5, None), (8, 2)])
def test_a_run_killed_within_an_epoch_resumes_there(
    prepared: Prepared, build_learner: Build, tmp_path: Path, killed_at: int, per_label: int | None
) -> None:
    settings = TrainingSettings(epochs=3, checkpoint_minutes=0)

    def run(name: str, *, steps: int | None = None) -> tuple[Learner, int]:
        loss = Counting(steps)
        learner = build_learner(settings, loss=loss)
        batches = training_batches(prepared, batch_size=8, seed=0, per_label=per_label)
        assert len(batches) == 5
        try:
            fit(learner, batches, folder=tmp_path / name, settings=settings)
        except Killed:
            assert steps is not None
        return learner, loss.done

    whole, everything = run("whole")
    run("killed", steps=killed_at)
    torch.manual_seed(99)
    resumed, rest = run("killed")
    assert (everything, rest) == (15, 15 - killed_at)
    assert outcome(resumed.history) == outcome(whole.history)
    assert [epoch.diagnostics for epoch in resumed.history] == [epoch.diagnostics for epoch in whole.history]
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_checkpoints_within_an_epoch_have_their_interval(
    prepared: Prepared, build_learner: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    save = pl.Trainer.save_checkpoint

    def noted(trainer: pl.Trainer, path: Path, *arguments: Any, **named: Any) -> None:
        written.append(trainer.global_step)
        save(trainer, path, *arguments, **named)

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", noted)
    for minutes, expected in ((0, [1, 2, 3, 4, 5, 5]), (10, [5, 5])):
        run(build_learner, prepared, tmp_path / str(minutes), TrainingSettings(epochs=1, checkpoint_minutes=minutes))
        assert written == expected  # at an epoch's end, the best and the last
        written.clear()


def test_training_resumes_from_the_last_epoch_and_not_the_best(
    prepared: Prepared, build_learner: Build, tmp_path: Path
) -> None:
    scores = [0.9, 0.5, 0.4, 0.3, 0.2]
    for stop, expected in ((3, [1, 2, 3]), (5, [4, 5])):
        learner = build_learner(settings := TrainingSettings(epochs=5))
        learner._score = lambda encoder, head, learner=learner: {"score": scores[learner.current_epoch]}
        heard: list[Epoch] = []

        def kill(epoch: Epoch, stop: int = stop, heard: list[Epoch] = heard) -> None:
            heard.append(epoch)
            if epoch.epoch == stop + 1:
                raise Killed

        batches = training_batches(prepared, batch_size=8, seed=0)
        try:
            fit(learner, batches, folder=tmp_path, settings=settings, on_epoch=kill)
        except Killed:
            heard.pop()
        assert [epoch.epoch for epoch in heard] == expected
    assert torch.load(tmp_path / LAST, weights_only=True)["epoch"] == 4


def test_a_finished_run_is_not_trained_again(prepared: Prepared, build_learner: Build, tmp_path: Path) -> None:
    settings = TrainingSettings(epochs=2)
    first = run(build_learner, prepared, tmp_path, settings)
    heard: list[Epoch] = []
    again = run(build_learner, prepared, tmp_path, settings, on_epoch=heard.append)
    assert heard == []
    assert torch.equal(again.head.weight, first.head.weight)


def test_training_stops_when_patience_ends(prepared: Prepared, build_learner: Build, tmp_path: Path) -> None:
    learner = build_learner(settings := TrainingSettings(epochs=50, patience=2))
    scores = iter([0.1, 0.3, 0.2, 0.25, 0.9])
    learner._score = lambda encoder, head: {"score": next(scores)}
    fit(learner, training_batches(prepared, batch_size=8, seed=0), folder=tmp_path, settings=settings)
    assert [epoch.score for epoch in learner.history] == [0.1, 0.3, 0.2, 0.25]


def test_bf16_learns_as_well(prepared: Prepared, build_learner: Build, tmp_path: Path) -> None:
    learner = run(build_learner, prepared, tmp_path, TrainingSettings(epochs=12, precision="bf16"))
    assert max(epoch.score for epoch in learner.history) > 0.85


def test_the_checkpoint_holds_no_code(prepared: Prepared, build_learner: Build, tmp_path: Path) -> None:
    run(build_learner, prepared, tmp_path, TrainingSettings(epochs=1))
    checkpoint = torch.load(tmp_path / LAST, weights_only=True)
    assert checkpoint["history"][0]["epoch"] == 1
    assert checkpoint["callbacks"]["Interim"] == {"epoch": 0, "drawn": 5}  # as earlier versions named it
