"""The objective: which head, loss, judge and schedule go with a kind of loss."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from labelcontrast.data.batches import Prepared
from labelcontrast.encoders.base import Projector
from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.labels.tree import LabelTree
from labelcontrast.losses.factory import make_loss
from labelcontrast.run.objective import build_objective, linear_head, measure_repulsion, subset
from labelcontrast.settings import RunSettings


@pytest.fixture
def prepared() -> Prepared:
    rows = np.arange(40, dtype=np.float32).reshape(20, 2)
    labels = sp.csr_array(np.eye(20, 3, dtype=np.uint8))
    return Prepared(rows, np.ones(20, int), lambda items: {"rows": torch.tensor(np.stack(items))}, labels)


def test_a_logit_loss_goes_with_a_linear_head(prepared: Prepared) -> None:
    settings = RunSettings.build({"data": "a", "loss": {"name": "zlpr"}})
    objective = build_objective(settings, "logit", width=7, num_labels=3, train=prepared, validation=prepared)
    assert isinstance(objective.head, nn.Linear)
    assert objective.head.weight.shape == (3, 7)
    assert (objective.schedule, objective.smallest_batch) == ("linear", 1)
    assert objective.classifier is objective.head


def test_a_contrastive_loss_goes_with_a_projector_and_prototypes(prepared: Prepared) -> None:
    training = {"projection_dim": 5}
    settings = RunSettings.build({"data": "a", "loss": {"name": "reg", "temperature": 0.3}, "training": training})
    objective = build_objective(settings, "contrastive", width=7, num_labels=3, train=prepared, validation=prepared)
    assert isinstance(objective.head, Projector)
    assert objective.head(torch.zeros(2, 7)).shape == (2, 5)
    assert objective.loss.prototypes.shape == (3, 5)
    assert objective.loss.settings["temperature"] == 0.3
    assert (objective.schedule, objective.smallest_batch) == ("cosine", 2)
    assert objective.classifier is None


def test_a_joint_loss_is_the_sum_of_both_on_a_head_that_is_both(prepared: Prepared) -> None:
    joint = {"name": "reg", "weight": 0.25, "temperature": 0.3}
    values = {"data": "a", "loss": {"name": "zlpr", "joint": joint}, "training": {"projection_dim": 5}}
    settings = RunSettings.build(values)
    objective = build_objective(settings, "logit", width=7, num_labels=3, train=prepared, validation=prepared)
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


def test_a_joint_head_is_judged_by_its_logits(prepared: Prepared) -> None:
    class Pass(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            return self.scale * inputs["rows"]

    def score(loss: dict) -> float:
        settings = RunSettings.build({"data": "a", "loss": loss})
        objective = build_objective(settings, "logit", width=2, num_labels=3, train=prepared, validation=prepared)
        objective.classifier.weight.data = torch.tensor([[-1.0, 0.5], [0.2, -0.1], [1.0, 1.0]])
        return objective.score(Pass(), objective.head)

    assert score({"name": "bce", "joint": {"name": "reg"}}) == score({"name": "bce"})


def test_a_loss_of_levels_takes_the_hierarchy_and_closes_the_labels(prepared: Prepared) -> None:
    tree = LabelTree.over(["a", "b", "c"], Hierarchy.from_parents({"top": None, "a": "top", "b": "top", "c": None}))
    projections = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.eye(3).repeat(2, 1)
    closed = torch.cat([labels, labels[:, :1] + labels[:, 1:2]], 1)
    shape = {"width": 7, "num_labels": 3, "train": prepared, "validation": prepared, "tree": tree}
    for variant in ("paper", "released"):
        loss = {"name": "himulcone", "variant": variant}
        settings = RunSettings.build({"data": "a", "loss": loss, "training": {"projection_dim": 5}})
        objective = build_objective(settings, "contrastive", **shape)
        expected = make_loss("himulcone", hierarchy=tree.nodes, variant=variant)(projections, closed)
        torch.testing.assert_close(objective.loss(projections, labels), expected)
        assert bool(getattr(objective.loss, "diagnostics", {})) == (variant == "paper")
    joint = RunSettings.build({"data": "a", "loss": {"name": "bce", "joint": loss}, "training": {"projection_dim": 5}})
    objective = build_objective(joint, "logit", **shape)
    both = torch.cat([torch.zeros(6, 3), projections], 1)
    torch.testing.assert_close(objective.loss(both, labels), expected + np.log(2))


def test_a_head_starts_without_bias_and_within_xaviers_bound() -> None:
    head = linear_head(30, 12)
    assert not head.bias.any()
    bound = (6 / 42) ** 0.5
    assert 0.9 * bound < head.weight.abs().max() <= bound


def test_a_subset_is_in_order_without_repetition_and_fixed_by_its_seed(prepared: Prepared) -> None:
    firsts = [item[0] for item in subset(prepared, 8, seed=3).items]
    assert firsts == sorted(set(firsts))
    assert len(firsts) == 8
    assert firsts == [item[0] for item in subset(prepared, 8, seed=3).items]
    assert len(subset(prepared, 99, seed=3)) == 20


class Flat(nn.Module):
    """An encoder that passes its rows on."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.scale * inputs["rows"]


def test_repulsion_is_measured_by_frequency_where_it_is_asked_for() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(300, 4)).astype(np.float32)
    labels = random.random((300, 4)) < [0.5, 0.2, 0.03, 0.0]  # head, medium, tail, and one that nobody has
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
        objective = build_objective(settings, kind, width=4, num_labels=4, train=train, validation=train)
        return dict(objective.examine(Flat(), objective.head))

    found = examined({"name": "reg"}, repulsion=True)
    names = [f"{what}_{bucket}" for bucket in ("head", "medium", "tail") for what in ("pushed_away", "push")]
    assert list(found) == names
    assert all(0 <= value < 1 for value in found.values())
    assert found["pushed_away_head"] > 0
    assert found["push_head"] > 0
    assert examined({"name": "reg"}, repulsion=True, selection_examples=150) != found
    assert list(examined({"name": "zlpr", "joint": {"name": "reg"}}, repulsion=True)) == names
    assert examined({"name": "reg"}) == {}
    assert examined({"name": "simclr"}, repulsion=True, views=2) == {}
    assert examined({"name": "zlpr"}, repulsion=True) == {}


def test_a_bucket_is_the_sum_over_its_labels_of_what_its_batches_show() -> None:
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
    assert got == pytest.approx({"pushed_away_some": repelled / positives, "push_some": push / repelled})
