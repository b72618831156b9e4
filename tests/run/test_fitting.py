"""Trainings: two stages, the best of several lengths, and that each goes on from where it was."""

import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from labelcontrast.data.batches import training_batches
from labelcontrast.data.splits import load_splits
from labelcontrast.experiment import run_experiment
from labelcontrast.metrics.counting import TrainingLabels
from labelcontrast.metrics.measures import compute_metrics
from labelcontrast.run.fitting import Callbacks, finetuning_settings
from labelcontrast.run.folder import TrainedModel, load_model
from labelcontrast.run.prediction import compute_scores
from labelcontrast.settings import RunSettings
from labelcontrast.training.fit import LAST
from labelcontrast.training.history import Epoch, read_history


def build(vectors: Path, **values: Any) -> RunSettings:
    training = {"epochs": 2, "batch_size": 32, **values.pop("training", {})}
    return RunSettings.build({"data": str(vectors), "training": training, **values})


def measured_again(model: TrainedModel, vectors: Path) -> dict[str, float]:
    """The metrics of a kept model on the test part, with what is known of train."""
    splits = load_splits(vectors, seed=0)
    train, test = (model.vocabulary.encode(part.label_sets or []).toarray() for part in (splits.train, splits.test))
    scores = compute_scores(model, splits.test)
    of_train = TrainingLabels(train.sum(0), len(train))
    return compute_metrics(test, scores, model.thresholds.predict(scores), train=of_train)


def known(metrics: dict[str, float | None]) -> dict[str, float]:
    """What JSON has as null, as the NaN that it was."""
    return {name: math.nan if value is None else value for name, value in metrics.items()}


def test_a_joint_run_keeps_the_linear_head(vectors: Path, tmp_path: Path) -> None:
    joint = {"name": "zlpr", "joint": {"name": "reg", "weight": 0.5}}
    result = run_experiment(build(vectors, loss=joint, training={"epochs": 4}), tmp_path / "run")
    model = load_model(tmp_path / "run")
    assert isinstance(model.classifier, torch.nn.Linear)
    assert measured_again(model, vectors) == pytest.approx(known(result["metrics"]["test"]), nan_ok=True)
    assert result["metrics"]["test"]["map_macro"] > 0.75
    alone = run_experiment(build(vectors, loss={"name": "zlpr"}, training={"epochs": 4}), tmp_path / "alone")
    assert alone["metrics"] != result["metrics"]


def test_finetuning_follows_a_contrastive_training(vectors: Path, tmp_path: Path) -> None:
    finetuning = {"epochs": 3, "loss": "zlpr", "learning_rate": 5e-4}
    result = run_experiment(build(vectors, finetuning=finetuning), tmp_path / "run")
    first, second = (read_history(tmp_path / "run" / place / "history.csv") for place in ("", "finetuning"))
    assert (len(first), len(second)) == (2, 3)
    assert result["validation_score"] == max(epoch.score for epoch in second)
    model = load_model(tmp_path / "run")
    assert isinstance(model.classifier, torch.nn.Linear)
    assert measured_again(model, vectors) == pytest.approx(known(result["metrics"]["test"]), nan_ok=True)
    read_off = run_experiment(build(vectors), tmp_path / "read off")
    assert read_off["metrics"] != result["metrics"]


def test_a_run_killed_in_the_second_stage_ends_in_the_same_metrics(vectors: Path, tmp_path: Path) -> None:
    settings = build(vectors, finetuning={"epochs": 3})
    whole = run_experiment(settings, tmp_path / "whole")
    heard: list[int] = []

    def kill(epoch: Epoch) -> None:
        heard.append(epoch.epoch)
        if len(heard) == 4:
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run_experiment(settings, tmp_path / "killed", listeners=Callbacks(epoch=kill))
    again: list[int] = []
    listeners = Callbacks(epoch=lambda epoch: again.append(epoch.epoch))
    resumed = run_experiment(settings, tmp_path / "killed", resume=True, listeners=listeners)
    assert again == [2, 3]
    assert resumed["metrics"] == whole["metrics"]


KILLED = """
import os, signal
import lightning.pytorch as pl
from labelcontrast.cli import main

save, saved = pl.Trainer.save_checkpoint, []

def save_and_die(trainer, path, *arguments):
    save(trainer, path, *arguments)
    saved.append(path)
    if len(saved) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

pl.Trainer.save_checkpoint = save_and_die
main()
"""


def test_sigkill_within_an_epoch_and_resume_give_the_same_metrics(vectors: Path, tmp_path: Path) -> None:
    values = {"epochs": 1, "batch_size": 32, "checkpoint_minutes": 0.0}
    settings = build(vectors, training=values)
    whole = run_experiment(settings, tmp_path / "whole")
    words = [f"--set=training.{name}={value}" for name, value in values.items()]
    command = [sys.executable, "-c", KILLED, "train", str(vectors), "--out", str(tmp_path / "killed"), *words]
    assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == -signal.SIGKILL
    checkpoint = torch.load(tmp_path / "killed" / LAST, weights_only=True)
    assert (checkpoint["global_step"], checkpoint["history"]) == (3, [])
    resumed = run_experiment(settings, tmp_path / "killed", resume=True)
    assert resumed["metrics"] == whole["metrics"]
    assert resumed["validation_score"] == whole["validation_score"]


def test_the_second_stage_is_a_training_of_its_own() -> None:
    values = {"data": "a", "loss": {"name": "reg", "alpha": 1}, "training": {"epochs": 9, "learning_rate": 0.1}}
    settings = finetuning_settings(RunSettings.build({**values, "finetuning": {"epochs": 3, "loss": "zlpr"}}))
    assert (settings.loss.title, settings.training.epochs, settings.learning_rate) == ("zlpr", 3, 0.1)
    slower = finetuning_settings(RunSettings.build({**values, "finetuning": {"epochs": 3, "learning_rate": 0.01}}))
    assert (slower.loss.title, slower.learning_rate) == ("bce", 0.01)


def test_the_best_length_is_kept(vectors: Path, tmp_path: Path) -> None:
    settings = build(vectors, loss={"name": "bce"}, training={"epoch_grid": [1, 4, 2]})
    result = run_experiment(settings, tmp_path / "run")
    histories = {epochs: read_history(tmp_path / "run" / f"epochs-{epochs}" / "history.csv") for epochs in (1, 4, 2)}
    assert {epochs: len(history) for epochs, history in histories.items()} == {1: 1, 4: 4, 2: 2}
    scores = {epochs: max(epoch.score for epoch in history) for epochs, history in histories.items()}
    assert len(set(scores.values())) == 3
    best = max(scores, key=scores.__getitem__)
    assert result["validation_score"] == scores[best]
    assert read_history(tmp_path / "run" / "history.csv") == histories[best]
    model = load_model(tmp_path / "run")
    assert measured_again(model, vectors) == pytest.approx(known(result["metrics"]["test"]), nan_ok=True)


def test_the_last_epoch_is_the_run_s_where_it_shall_be(vectors: Path, tmp_path: Path) -> None:
    settings = build(vectors, training={"epochs": 3, "keep": "last", "learning_rate": 0.05, "optimiser": "sgd"})
    result = run_experiment(settings, tmp_path / "run")
    last = read_history(tmp_path / "run" / "history.csv")[-1]
    assert (result["best_epoch"], result["validation_score"]) == (3, last.score)


def test_each_length_starts_from_the_same_weights(vectors: Path, tmp_path: Path) -> None:
    scores = []
    for name, grid in (("one", [2, 3]), ("other", [3, 2])):
        settings = build(vectors, loss={"name": "bce"}, training={"epoch_grid": grid})
        scores.append(run_experiment(settings, tmp_path / name)["metrics"])
    assert scores[0] == scores[1]


def test_what_a_loss_has_no_use_for_is_left_aside(vectors: Path, tmp_path: Path) -> None:
    """A comparison has one protocol: stage two is for contrastive losses, the lengths are for logit losses."""
    settings = build(vectors, loss={"name": "bce"}, finetuning={"epochs": 2})
    run_experiment(settings, tmp_path / "logit")
    assert not (tmp_path / "logit" / "finetuning").exists()
    settings = build(vectors, loss={"name": "reg"}, training={"epoch_grid": [1]})
    run_experiment(settings, tmp_path / "contrastive")
    assert len(json.loads((tmp_path / "contrastive" / "metrics.json").read_text())) > 0
    assert len(read_history(tmp_path / "contrastive" / "history.csv")) == 2


@pytest.mark.parametrize(("sampler", "over"), [("multilabel", False), ("hierarchical", True)])
def test_batches_are_laid_out_over_the_hierarchy_where_that_is_asked_for(
    living: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str, over: bool
) -> None:
    laid = []

    def watched(*args: Any, **how: Any) -> Any:
        laid.append(how)
        return training_batches(*args, **how)

    monkeypatch.setattr("labelcontrast.run.fitting.training_batches", watched)
    run_experiment(
        build(living, loss={"name": "mulsupcon"}, training={"sampler": sampler, "epochs": 1}), tmp_path / "a"
    )
    (how,) = laid
    assert how["per_label"] == 2
    assert ("plant" in how["hierarchy"].names) if over else how["hierarchy"] is None


def test_the_last_epoch_is_that_of_the_result_where_it_is_kept(vectors: Path, tmp_path: Path) -> None:
    training = {"epochs": 3, "keep": "last", "learning_rate": 0.3}
    result = run_experiment(build(vectors, loss={"name": "bce"}, training=training), tmp_path / "run")
    history = read_history(tmp_path / "run" / "history.csv")
    assert result["best_epoch"] == 3
    assert result["validation_score"] == history[-1].score
    assert measured_again(load_model(tmp_path / "run"), vectors) == pytest.approx(
        known(result["metrics"]["test"]), nan_ok=True
    )


def test_a_transferred_run_is_the_encoder_of_one_data_set_with_a_probe_on_another(
    vectors: Path, tmp_path: Path
) -> None:
    with np.load(vectors) as arrays:
        np.savez(tmp_path / "b.npz", X=arrays["X"][:150], Y=arrays["Y"][:150, 1:3], label_names=np.array(["x", "y"]))
    loss, other = {"name": "bce"}, str(tmp_path / "b.npz")
    run_experiment(build(vectors, loss=loss), tmp_path / "own")
    result = run_experiment(build(vectors, loss=loss, transfer_to=other), tmp_path / "run")
    assert (result["labels"], result["examples"]["train"]) == (2, 105)
    own, model = load_model(tmp_path / "own"), load_model(tmp_path / "run")
    assert model.vocabulary.names == ("x", "y")
    for name, weight in own.encoder.state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], weight), "what it is read off on does not train it"
    metrics = measured_again(model, tmp_path / "b.npz")
    assert metrics == pytest.approx(known(result["metrics"]["test"]), nan_ok=True)
    assert metrics["map_macro"] > 0.6
    again = run_experiment(build(vectors, loss=loss, transfer_to=other), tmp_path / "own", resume=True)
    assert again["metrics"] == result["metrics"], "a finished run is read off elsewhere without a second training"
