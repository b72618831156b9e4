"""Training of the encoder: the objective of each kind of loss, and stages that follow one another."""

import json
import math
import signal
import subprocess
import sys
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from safetensors import safe_open
from torch import nn

from labelcontrast.data.batches import Prepared, training_batches
from labelcontrast.data.splits import load_splits
from labelcontrast.encoders.base import Projector
from labelcontrast.experiment import run_experiment
from labelcontrast.lab.quantities import QUANTITIES
from labelcontrast.labels.hierarchy import Hierarchy, LabelTree
from labelcontrast.losses.factory import make_loss
from labelcontrast.metrics.counting import TrainingLabels
from labelcontrast.metrics.measures import compute_metrics
from labelcontrast.run.fitting import (
    THIRDS,
    Callbacks,
    Objective,
    build_objective,
    draw_sample,
    finetuning_settings,
    linear_head,
    measure_directions,
    measure_repulsion,
)
from labelcontrast.run.model import TrainedModel, load
from labelcontrast.run.validation import LossKind
from labelcontrast.settings import RunSettings
from labelcontrast.training.epochs import Epoch, read_history
from labelcontrast.training.trainer import LAST

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


def build(vectors: Path, **values: Any) -> RunSettings:
    training = {"epochs": 2, "batch_size": 32, **values.pop("training", {})}
    return RunSettings.build({"data": str(vectors), "training": training, **values})


def objective_of(settings: RunSettings, kind: LossKind, **sizes: Any) -> Objective:
    return build_objective(settings.loss, settings.training, kind, seed=settings.seed, **sizes)


def measured_again(model: TrainedModel, vectors: Path) -> dict[str, float]:
    """The metrics of a saved model on the test split, with the label frequencies of train."""
    splits = load_splits(vectors, seed=0)
    train, test = (model.vocabulary.encode(part.label_sets or []).toarray() for part in (splits.train, splits.test))
    scores = model.predict_proba(splits.test)
    of_train = TrainingLabels(train.sum(0), len(train))
    return compute_metrics(test, scores, model.thresholds.predict(scores), train=of_train)


def known(metrics: dict[str, float | None]) -> dict[str, float]:
    """Metrics with NaN in place of the null of JSON."""
    return {name: math.nan if value is None else value for name, value in metrics.items()}


def test_a_joint_run_keeps_the_linear_head(vectors: Path, tmp_path: Path) -> None:
    joint = {"name": "zlpr", "joint": {"name": "reg", "weight": 0.5}}
    result = run_experiment(build(vectors, loss=joint, training={"epochs": 4}), tmp_path / "run")
    model = load(tmp_path / "run")
    assert isinstance(model.classifier, torch.nn.Linear)
    assert measured_again(model, vectors) == pytest.approx(known(result["metrics"]["test"]), nan_ok=True)
    assert result["metrics"]["test"]["map_macro"] > 0.75
    alone = run_experiment(build(vectors, loss={"name": "zlpr"}, training={"epochs": 4}), tmp_path / "alone")
    assert alone["metrics"] != result["metrics"]


def test_a_joint_run_in_chunks_of_a_batch_is_the_run_in_whole_batches(vectors: Path, tmp_path: Path) -> None:
    """Both have the same dropout where one chunk holds the batch; in smaller chunks it is drawn in another order."""
    runs = {
        chunk: run_experiment(build(vectors, training={"epochs": 4, "chunk": chunk}), tmp_path / f"{chunk}")
        for chunk in (0, 32, 8)
    }
    assert runs[32]["metrics"] == runs[0]["metrics"]
    assert runs[8]["metrics"]["test"]["map_macro"] > 0.75


@pytest.mark.parametrize(
    "loss",
    [
        {"name": "msc", "queue_size": 40},
        {"name": "simclr"},
        {"name": "zlpr", "joint": {"name": "reg", "weight": 0.5, "prototype_anchors": False, "queue_size": 20}},
    ],
)
def test_keys_of_an_averaged_encoder_train_and_are_not_saved(
    vectors: Path, tmp_path: Path, loss: dict[str, Any]
) -> None:
    settings = build(vectors, loss=loss, training={"momentum": 0.9}, finetuning={"epochs": 1})
    result = run_experiment(settings, tmp_path / "run")
    assert result["metrics"]["test"]["map_macro"] > 0.7
    assert measured_again(load(tmp_path / "run"), vectors) == pytest.approx(
        known(result["metrics"]["test"]), nan_ok=True
    )
    plain = run_experiment(
        build(vectors, loss=loss, training={"views": 1 if loss["name"] != "simclr" else 2}), tmp_path / "plain"
    )
    assert plain["metrics"] != result["metrics"]
    with safe_open(tmp_path / "run" / "model.safetensors", "pt") as saved:
        assert not [name for name in saved.keys() if "averaged" in name]  # noqa: SIM118  it is no mapping


def test_finetuning_follows_a_contrastive_training(vectors: Path, tmp_path: Path) -> None:
    finetuning = {"epochs": 3, "loss": "zlpr", "learning_rate": 5e-4}
    loss = {"name": "reg"}
    result = run_experiment(build(vectors, loss=loss, finetuning=finetuning), tmp_path / "run")
    first, second = (read_history(tmp_path / "run" / place / "history.csv") for place in ("", "finetuning"))
    assert (len(first), len(second)) == (2, 3)
    assert result["validation_score"] == max(epoch.score for epoch in second)
    model = load(tmp_path / "run")
    assert isinstance(model.classifier, torch.nn.Linear)
    assert measured_again(model, vectors) == pytest.approx(known(result["metrics"]["test"]), nan_ok=True)
    probed = run_experiment(build(vectors, loss=loss), tmp_path / "probed")
    assert probed["metrics"] != result["metrics"]


def test_finetuning_after_a_logit_loss_is_said_to_have_no_effect(vectors: Path, tmp_path: Path) -> None:
    said: list[str] = []
    settings = build(vectors, finetuning={"epochs": 3}, training={"epochs": 1})
    run_experiment(settings, tmp_path / "run", callbacks=Callbacks(on_message=said.append))
    assert "finetuning.epochs has no effect under zlpr+0.5*reg, which trains a linear head already" in said
    assert said[-1] == "fitting and blending the views probe, neighbours, trees"
    assert not (tmp_path / "run" / "finetuning").exists()


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [0, 5])
def test_a_run_killed_in_the_second_stage_ends_in_the_same_metrics(vectors: Path, tmp_path: Path, chunk: int) -> None:
    settings = build(vectors, loss={"name": "reg"}, finetuning={"epochs": 3}, training={"chunk": chunk})
    whole = run_experiment(settings, tmp_path / "whole")
    heard: list[int] = []

    def kill(epoch: Epoch) -> None:
        heard.append(epoch.epoch)
        if len(heard) == 4:
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run_experiment(settings, tmp_path / "killed", callbacks=Callbacks(on_epoch=kill))
    again: list[int] = []
    callbacks = Callbacks(on_epoch=lambda epoch: again.append(epoch.epoch))
    resumed = run_experiment(settings, tmp_path / "killed", resume=True, callbacks=callbacks)
    assert again == [2, 3]
    assert resumed["metrics"] == whole["metrics"]


@pytest.mark.slow
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


def test_finetuning_has_settings_of_its_own() -> None:
    values = {"data": "a", "loss": {"name": "reg", "alpha": 1}, "training": {"epochs": 9, "learning_rate": 0.1}}
    settings = finetuning_settings(RunSettings.build({**values, "finetuning": {"epochs": 3, "loss": "zlpr"}}))
    assert (settings.loss.title, settings.training.epochs, settings.learning_rate) == ("zlpr", 3, 0.1)
    slower = finetuning_settings(RunSettings.build({**values, "finetuning": {"epochs": 3, "learning_rate": 0.01}}))
    assert (slower.loss.title, slower.learning_rate) == ("bce", 0.01)


def test_the_best_number_of_epochs_is_kept(vectors: Path, tmp_path: Path) -> None:
    settings = build(vectors, loss={"name": "bce"}, training={"epoch_grid": [1, 4, 2]})
    result = run_experiment(settings, tmp_path / "run")
    histories = {epochs: read_history(tmp_path / "run" / f"epochs-{epochs}" / "history.csv") for epochs in (1, 4, 2)}
    assert {epochs: len(history) for epochs, history in histories.items()} == {1: 1, 4: 4, 2: 2}
    scores = {epochs: max(epoch.score for epoch in history) for epochs, history in histories.items()}
    assert len(set(scores.values())) == 3
    best = max(scores, key=scores.__getitem__)
    assert result["validation_score"] == scores[best]
    assert read_history(tmp_path / "run" / "history.csv") == histories[best]
    model = load(tmp_path / "run")
    assert measured_again(model, vectors) == pytest.approx(known(result["metrics"]["test"]), nan_ok=True)


def test_each_number_of_epochs_starts_from_the_same_weights(vectors: Path, tmp_path: Path) -> None:
    scores = []
    for name, grid in (("one", [2, 3]), ("other", [3, 2])):
        settings = build(vectors, loss={"name": "bce"}, training={"epoch_grid": grid})
        scores.append(run_experiment(settings, tmp_path / name)["metrics"])
    assert scores[0] == scores[1]


def test_settings_that_do_not_apply_to_a_loss_are_ignored(vectors: Path, tmp_path: Path) -> None:
    """A comparison has one protocol: fine-tuning is for contrastive losses, the grid of epochs for logit losses."""
    settings = build(vectors, loss={"name": "bce"}, finetuning={"epochs": 2})
    run_experiment(settings, tmp_path / "logit")
    assert not (tmp_path / "logit" / "finetuning").exists()
    settings = build(vectors, loss={"name": "reg"}, training={"epoch_grid": [1]})
    run_experiment(settings, tmp_path / "contrastive")
    assert len(json.loads((tmp_path / "contrastive" / "metrics.json").read_text())) > 0
    assert len(read_history(tmp_path / "contrastive" / "history.csv")) == 2


@pytest.mark.parametrize(("sampler", "over"), [("multilabel", False), ("hierarchical", True)])
def test_batches_are_drawn_over_the_hierarchy_if_the_sampler_asks_for_it(
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


@pytest.mark.parametrize("loss", [{"name": "zlpr"}, {"name": "reg"}, {"name": "bce", "joint": {"name": "supcon"}}])
def test_the_epoch_of_the_best_micro_f1_is_kept(loss: dict, vectors: Path, tmp_path: Path) -> None:
    """And patience and the choice of a number of epochs go by it too."""
    training = {"epochs": 6, "keep": "micro_f1", "learning_rate": 0.3, "patience": 2}
    result = run_experiment(build(vectors, loss=loss, training=training), tmp_path / "run")
    measured = [epoch.diagnostics["micro_f1"] for epoch in read_history(tmp_path / "run" / "history.csv")]
    assert result.best_epoch == 1 + measured.index(max(measured))
    assert len(measured) == min(6, result.best_epoch + 2)
    assert measured_again(load(tmp_path / "run"), vectors) == pytest.approx(
        known(result["metrics"]["test"]), nan_ok=True
    )


@pytest.mark.parametrize(
    ("loss", "training"), [("bce", {"learning_rate": 0.3}), ("reg", {"learning_rate": 0.05, "optimiser": "sgd"})]
)
def test_the_last_epoch_is_that_of_the_result_if_it_is_kept(
    loss: str, training: dict[str, object], vectors: Path, tmp_path: Path
) -> None:
    settings = build(vectors, loss={"name": loss}, training={"epochs": 3, "keep": "last", **training})
    result = run_experiment(settings, tmp_path / "run")
    history = read_history(tmp_path / "run" / "history.csv")
    assert (result.best_epoch, result.validation_score) == (3, history[-1].score)
    assert measured_again(load(tmp_path / "run"), vectors) == pytest.approx(
        known(result["metrics"]["test"]), nan_ok=True
    )


def test_transfer_evaluates_an_encoder_with_a_probe_on_other_data(vectors: Path, tmp_path: Path) -> None:
    with np.load(vectors) as arrays:
        np.savez(tmp_path / "b.npz", X=arrays["X"][:150], Y=arrays["Y"][:150, 1:3], label_names=np.array(["x", "y"]))
    loss, other = {"name": "bce"}, str(tmp_path / "b.npz")
    run_experiment(build(vectors, loss=loss), tmp_path / "own")
    result = run_experiment(build(vectors, loss=loss, transfer_to=other), tmp_path / "run")
    assert (result["labels"], result["examples"]["train"]) == (2, 105)
    own, model = load(tmp_path / "own"), load(tmp_path / "run")
    assert model.vocabulary.names == ("x", "y")
    for name, weight in own.encoder.state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], weight), "the target data do not train the encoder"
    metrics = measured_again(model, tmp_path / "b.npz")
    assert metrics == pytest.approx(known(result["metrics"]["test"]), nan_ok=True)
    assert metrics["map_macro"] > 0.6
    again = run_experiment(build(vectors, loss=loss, transfer_to=other), tmp_path / "own", resume=True)
    assert again["metrics"] == result["metrics"], "a finished run is evaluated on other data without a second training"


@pytest.fixture
def prepared() -> Prepared:
    rows = np.arange(40, dtype=np.float32).reshape(20, 2)
    labels = sp.csr_array(np.eye(20, 3, dtype=np.uint8))
    return Prepared(rows, np.ones(20, int), lambda items: {"rows": torch.tensor(np.stack(items))}, labels)


def test_a_logit_loss_goes_with_a_linear_head(prepared: Prepared) -> None:
    settings = RunSettings.build({"data": "a", "loss": {"name": "zlpr"}})
    objective = objective_of(settings, "logit", width=7, num_labels=3, train=prepared, validation=prepared)
    assert isinstance(objective.head, nn.Linear)
    assert objective.head.weight.shape == (3, 7)
    assert (objective.schedule, objective.smallest_batch) == ("linear", 1)
    assert objective.classifier is objective.head


def test_a_contrastive_loss_goes_with_a_projector_and_prototypes(prepared: Prepared) -> None:
    training = {"projection_dim": 5}
    settings = RunSettings.build({"data": "a", "loss": {"name": "reg", "temperature": 0.3}, "training": training})
    objective = objective_of(settings, "contrastive", width=7, num_labels=3, train=prepared, validation=prepared)
    assert isinstance(objective.head, Projector)
    assert objective.head(torch.zeros(2, 7)).shape == (2, 5)
    assert objective.loss.prototypes.shape == (3, 5)
    assert objective.loss.settings["temperature"] == 0.3
    assert (objective.schedule, objective.smallest_batch) == ("cosine", 2)
    assert objective.classifier is None


def test_a_joint_loss_is_the_weighted_sum_on_a_joint_head(prepared: Prepared) -> None:
    joint = {"name": "reg", "weight": 0.25, "temperature": 0.3}
    values = {"data": "a", "loss": {"name": "zlpr", "joint": joint}, "training": {"projection_dim": 5}}
    settings = RunSettings.build(values)
    objective = objective_of(settings, "logit", width=7, num_labels=3, train=prepared, validation=prepared)
    assert (objective.schedule, objective.smallest_batch) == ("linear", 2)
    embeddings, labels = torch.randn(6, 7, generator=torch.Generator().manual_seed(0)), torch.eye(3).repeat(2, 1)
    value = objective.loss(objective.head(embeddings), labels)
    reg = make_loss("reg", num_labels=3, dim=5, temperature=0.3)
    reg.load_state_dict(objective.loss.contrastive.state_dict())
    expected = make_loss("zlpr")(objective.head.linear(embeddings), labels)
    expected = expected + 0.25 * reg(objective.head.projector(embeddings), labels)
    torch.testing.assert_close(value, expected)
    value.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in objective.head.parameters())
    assert objective.loss.contrastive.prototypes.grad.abs().sum() > 0
    assert objective.classifier is objective.head.linear


def test_a_joint_head_is_scored_by_its_logits(prepared: Prepared) -> None:
    class Pass(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            return self.scale * inputs["rows"]

    def score(loss: dict) -> float:
        settings = RunSettings.build({"data": "a", "loss": loss})
        objective = objective_of(settings, "logit", width=2, num_labels=3, train=prepared, validation=prepared)
        objective.classifier.weight.data = torch.tensor([[-1.0, 0.5], [0.2, -0.1], [1.0, 1.0]])
        return objective.score(Pass(), objective.head)

    assert score({"name": "bce", "joint": {"name": "reg"}}) == score({"name": "bce"})


def test_a_hierarchical_loss_takes_the_hierarchy_and_closes_the_labels(prepared: Prepared) -> None:
    tree = LabelTree.over(["a", "b", "c"], Hierarchy.from_parents({"top": None, "a": "top", "b": "top", "c": None}))
    projections = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.eye(3).repeat(2, 1)
    closed = torch.cat([labels, labels[:, :1] + labels[:, 1:2]], 1)
    shape = {"width": 7, "num_labels": 3, "train": prepared, "validation": prepared, "tree": tree}
    for variant in ("paper", "released"):
        loss = {"name": "himulcone", "variant": variant}
        settings = RunSettings.build({"data": "a", "loss": loss, "training": {"projection_dim": 5}})
        objective = objective_of(settings, "contrastive", **shape)
        expected = make_loss("himulcone", hierarchy=tree.nodes, variant=variant)(projections, closed)
        torch.testing.assert_close(objective.loss(projections, labels), expected)
        assert bool(getattr(objective.loss, "diagnostics", {})) == (variant == "paper")
    joint = RunSettings.build({"data": "a", "loss": {"name": "bce", "joint": loss}, "training": {"projection_dim": 5}})
    objective = objective_of(joint, "logit", **shape)
    both = torch.cat([torch.zeros(6, 3), projections], 1)
    torch.testing.assert_close(objective.loss(both, labels), expected + np.log(2))


def test_a_head_starts_with_zero_bias_and_within_xaviers_bound() -> None:
    head = linear_head(30, 12)
    assert not head.bias.any()
    bound = (6 / 42) ** 0.5
    assert 0.9 * bound < head.weight.abs().max() <= bound


def test_a_sample_is_ordered_without_repetition_and_fixed_by_its_seed(prepared: Prepared) -> None:
    firsts = [item[0] for item in draw_sample(prepared, 8, seed=3).items]
    assert firsts == sorted(set(firsts))
    assert len(firsts) == 8
    assert firsts == [item[0] for item in draw_sample(prepared, 8, seed=3).items]
    assert len(draw_sample(prepared, 99, seed=3)) == 20


class Flat(nn.Module):
    """An encoder that returns its rows."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.scale * inputs["rows"]


def test_repulsion_is_measured_by_label_frequency_if_asked_for() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(300, 4)).astype(np.float32)
    labels = random.random((300, 4)) < [0.5, 0.2, 0.03, 0.0]  # head, medium, tail, and one without an example
    train = Prepared(
        rows,
        np.ones(300, int),
        lambda items: {"rows": torch.tensor(np.stack(items))},
        sp.csr_array(labels.astype(np.uint8)),
    )

    def examined(loss: dict[str, object], **training: object) -> dict[str, float]:
        settings = RunSettings.build({"data": "a", "loss": loss, "training": {"batch_size": 100, **training}})
        torch.manual_seed(0)
        kind = "logit" if loss["name"] == "zlpr" else "contrastive"
        objective = objective_of(settings, kind, width=4, num_labels=4, train=train, validation=train)
        return dict(objective.measures(Flat(), objective.head))

    found = examined({"name": "reg"}, repulsion=True)
    names = [f"{what}_{bucket}" for bucket in ("head", "medium", "tail") for what in ("pushed_away", "push")]
    directed = [f"{place}{ending}" for ending in ("", "_regularised") for place in ("head", "medium", "tail", *THIRDS)]
    names += [f"{what}_{place}" for place in directed for what in ("angle", "away")]
    assert list(found) == names
    assert set(found) <= set(QUANTITIES)
    assert all(0 <= value <= (180 if name.startswith("angle") else 1) for name, value in found.items())
    assert found["away_head_regularised"] < found["away_head"]
    assert found["pushed_away_head"] > 0
    assert found["push_head"] > 0
    assert examined({"name": "reg"}, repulsion=True, selection_examples=150) != found
    assert list(examined({"name": "zlpr", "joint": {"name": "reg"}}, repulsion=True)) == names
    assert examined({"name": "reg"}) == {}
    assert examined({"name": "simclr"}, repulsion=True, views=2) == {}
    assert examined({"name": "zlpr"}, repulsion=True) == {}


def test_the_repulsion_of_a_bucket_is_the_sum_over_its_labels_and_batches() -> None:
    random = np.random.default_rng(0)
    rows, labels = random.normal(size=(24, 3)).astype(np.float32), (random.random((24, 4)) < 0.4).astype(np.uint8)
    sample = Prepared(
        rows, np.ones(24, int), lambda items: {"rows": torch.tensor(np.stack(items))}, sp.csr_array(labels)
    )
    loss = make_loss("supcon")
    projector = nn.Linear(3, 2)
    projections, targets = projector(torch.from_numpy(rows)).detach(), torch.from_numpy(labels)
    buckets = {"some": np.array([True, False, True, False])}
    got = measure_repulsion(Flat(), projector, loss, sample, batch_size=10, buckets=buckets)
    parts = [loss.repulsion(projections[at : at + 10], targets[at : at + 10]) for at in (0, 10, 20)]
    positives, repelled, push = (
        sum(float(getattr(part, name)[[0, 2]].sum()) for part in parts) for name in ("positives", "repelled", "push")
    )
    expected = {"pushed_away_some": repelled / positives, "push_some": push / repelled}
    assert {name: got[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("name", ["supcon", "wo_reg", "reg"])
def test_directions_are_those_of_the_steps_pair_by_pair(name: str) -> None:
    random = torch.Generator().manual_seed(0)
    z, y = torch.randn(24, 3, generator=random), (torch.rand(24, 4, generator=random) < 0.4).float()
    loss, buckets = make_loss(name, num_labels=4, dim=3), {"some": np.array([True, False, True, False])}
    batches = [(z[at : at + 10], y[at : at + 10]) for at in (0, 10, 20)]
    got, expected = measure_directions(loss, batches, buckets), {}
    for ending, stop in {"": 0.0, "_regularised": 1.0}.items():
        pairs: dict[str, list[tuple[float, float]]] = {}
        for rows, labels in batches:
            alike: list[tuple[float, float]] = []
            steps = loss.steps(rows, labels, stop_repulsion=stop).double().numpy()
            units = (rows / rows.norm(dim=1, keepdim=True)).double().numpy()
            for i, j in permutations(range(len(rows)), 2):
                way = units[j] - (units[i] @ units[j]) * units[i]
                angle = np.degrees(np.arccos(steps[i] @ way / np.linalg.norm(steps[i]) / np.linalg.norm(way)))
                shared = (labels[i] * labels[j]).numpy()
                pairs.setdefault(f"some{ending}", []).append((shared[[0, 2]].sum(), angle))
                if shared.any():
                    alike.append((units[i] @ units[j], angle))
            ranked = sorted(cosine for cosine, _ in alike)
            ends = ranked[len(ranked) // 3], ranked[2 * len(ranked) // 3]
            for cosine, angle in alike:
                third = THIRDS[sum(cosine >= end for end in ends)]
                pairs.setdefault(f"{third}{ending}", []).append((1.0, angle))
        for place, found in pairs.items():
            weights, angles = np.array(found).T
            expected[f"angle_{place}"] = np.average(angles, weights=weights)
            expected[f"away_{place}"] = np.average(angles > 90, weights=weights)
    assert got == pytest.approx(expected, rel=1e-4)
