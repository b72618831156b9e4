"""Vectors are standardised by what training has seen, whatever the batches were."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.encoders.vectors import ResidualNetwork, Standardise, VectorEncoder
from labelcontrast.errors import EncoderError

ROWS = torch.randn(60, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 100, 0.01, 5, 0]) + 7


@given(st.lists(st.integers(1, 59), max_size=6, unique=True))
@settings(deadline=None, max_examples=25)
def test_one_epoch_of_any_batches_learns_the_statistics_of_the_set(cuts: list[int]) -> None:
    standardise = Standardise(5).train()
    for batch in torch.tensor_split(ROWS, sorted(cuts)):
        standardise(batch)
    assert torch.allclose(standardise.mean, ROWS.mean(dim=0), rtol=1e-4)
    expected = ((ROWS - ROWS.mean(dim=0)) / ROWS.std(dim=0, unbiased=False)).clamp(-5, 5)
    expected[:, 4] = 0  # a column that never changes
    assert torch.allclose(standardise.eval()(ROWS), expected, atol=0.05)


def test_evaluation_standardises_and_learns_nothing() -> None:
    standardise = Standardise(5).train()
    standardise(ROWS)
    before = {name: value.clone() for name, value in standardise.state_dict().items()}
    scaled = standardise.eval()(ROWS)
    varied = ROWS[:, :4].double()
    expected = ((varied - varied.mean(dim=0)) / varied.std(dim=0, unbiased=False)).clamp(-5, 5)
    assert torch.allclose(scaled[:, :4].double(), expected, atol=1e-3)
    assert scaled[:, 4].abs().max() < 0.01  # a column that never changes
    assert all(torch.equal(value, before[name]) for name, value in standardise.state_dict().items())


def test_far_values_are_cut_at_five_deviations() -> None:
    standardise = Standardise(1).train()
    standardise(torch.tensor([[0.0]] * 99 + [[1.0]]))
    assert standardise.eval()(torch.tensor([[1.0]])).item() == 5.0


def test_the_network_is_its_formula() -> None:
    network = ResidualNetwork(3, width=4, dropout=0.5).eval()
    features = torch.randn(2, 3)
    norm, first, gelu, _, second = network.block
    hidden = features @ network.enter.weight.T + network.enter.bias
    inner = gelu(norm(hidden) @ first.weight.T + first.bias) @ second.weight.T + second.bias
    assert torch.allclose(network(features), network.norm(hidden + inner), atol=1e-6)


def test_a_batch_of_one_can_be_trained_on() -> None:
    encoder = VectorEncoder(input_dim=5, width=8).train()
    assert encoder(encoder.collate(encoder.prepare(ROWS[:1].numpy()))).isfinite().all()


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(EncoderError, match=r"made for vectors of width 5\. Got an array of shape \(2, 4\)\."):
        VectorEncoder(input_dim=5).prepare(np.zeros((2, 4)))


def test_rows_become_float32() -> None:
    prepared = VectorEncoder(input_dim=2).prepare([[1, 2], [3, 4]])
    assert prepared.dtype == np.float32
    assert prepared.tolist() == [[1, 2], [3, 4]]
