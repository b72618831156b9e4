"""The objective: which head, loss, judge and schedule go with a kind of loss."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from labelcontrast.config import RunSettings
from labelcontrast.data.batches import Prepared
from labelcontrast.encoders.projector import Projector
from labelcontrast.objective import build_objective, linear_head, subset


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


def test_a_contrastive_loss_goes_with_a_projector_and_prototypes(prepared: Prepared) -> None:
    training = {"projection_dim": 5}
    settings = RunSettings.build({"data": "a", "loss": {"name": "reg", "temperature": 0.3}, "training": training})
    objective = build_objective(settings, "contrastive", width=7, num_labels=3, train=prepared, validation=prepared)
    assert isinstance(objective.head, Projector)
    assert objective.head(torch.zeros(2, 7)).shape == (2, 5)
    assert objective.loss.prototypes.shape == (3, 5)
    assert objective.loss.settings["temperature"] == 0.3
    assert (objective.schedule, objective.smallest_batch) == ("cosine", 2)


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
