"""The projector is its formula, with the initial weights of the published code."""

import math

import torch

from labelcontrast.encoders.projector import Projector


def test_it_is_the_formula() -> None:
    projector = Projector(6, output_dim=4, generator=torch.Generator().manual_seed(0))
    embeddings = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    weights = {name: value.detach() for name, value in projector.named_parameters()}
    expected = [
        weights["output.weight"] @ (weights["hidden.weight"] @ row + weights["hidden.bias"]).clamp(min=0)
        + weights["output.bias"]
        for row in embeddings
    ]
    assert torch.allclose(projector(embeddings), torch.stack(expected), atol=1e-6)


def test_weights_start_xavier_and_biases_as_those_of_a_linear_layer() -> None:
    projector = Projector(300, generator=torch.Generator().manual_seed(0))
    assert projector.output_dim == projector.output.out_features == 256
    for layer in (projector.hidden, projector.output):
        bound = math.sqrt(6 / (layer.in_features + layer.out_features))
        assert 0.99 * bound < layer.weight.abs().max() <= bound
        assert 0.9 / math.sqrt(300) < layer.bias.abs().max() <= 1 / math.sqrt(300)


def test_a_generator_decides_the_weights() -> None:
    first, second, other = (Projector(8, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first.hidden.weight, second.hidden.weight)
    assert not torch.equal(first.hidden.weight, other.hidden.weight)
