"""Averaged heads against the mean of sigmoids, and where that mean is 0 or 1 to the last digit."""

import torch
from torch import nn

from labelcontrast.evaluation.probes.averaged_heads import AveragedHeads


def test_the_probability_is_the_mean_of_the_heads_probabilities() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(3, 5, 7, generator=generator), torch.randn(3, 5, generator=generator)
    features = 3 * torch.randn(20, 7, generator=generator)
    heads = AveragedHeads(weight.double(), bias.double())
    expected = torch.zeros(20, 5, dtype=torch.float64)
    for head in range(3):
        for row in range(20):
            for label in range(5):
                margin = features[row].double() @ weight[head, label].double() + bias[head, label].double()
                expected[row, label] += 1 / (1 + torch.exp(-margin)) / 3
    torch.testing.assert_close(heads(features.double()).sigmoid(), expected, rtol=1e-12, atol=0)
    assert heads.out_features == 5


def test_one_head_is_a_linear_layer_also_far_out() -> None:
    layer = nn.Linear(4, 3)
    heads = AveragedHeads(layer.weight.detach().unsqueeze(0), layer.bias.detach().unsqueeze(0))
    features = 1000 * torch.randn(9, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(heads(features), layer(features).detach(), rtol=1e-5, atol=1e-3)
    assert not heads(features).requires_grad
