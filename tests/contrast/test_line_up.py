"""The sum of the kernel is that of its single losses, floors in it or not; and what the tally tells."""

from types import SimpleNamespace

import pytest
import torch

from labelcontrast.contrast.factory import make_loss
from labelcontrast.contrast.kernel.blocks import Tally

TREE = SimpleNamespace(ancestors=torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 1]]), depths=torch.tensor([0, 1, 1]))
Y = torch.tensor([[0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]])
Z = torch.tensor([[1.0, 0.0], [-1.0, 0.02], [2.0, 1.0], [-2.0, -1.1], [0.0, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize("name", ["mulsupcon", "himulcon", "hicone"])
def test_the_sum_is_that_of_the_single_losses(name: str) -> None:
    line_up = make_loss(name, hierarchy=TREE)._line_up(Z, Y, None, None)
    factors = torch.arange(5.0, dtype=torch.float64)
    losses = line_up.softmax()
    assert losses[4] == 0
    assert (losses[:4] > 0).all()
    torch.testing.assert_close(line_up.softmax(average=factors), losses @ factors)


def test_what_the_tally_tells() -> None:
    line_up = make_loss("supcon", hierarchy=TREE)._line_up(Z, Y, None, None)
    tally = Tally()
    line_up.softmax(average=torch.ones(5, dtype=torch.float64), tally=tally)
    told = line_up.diagnostics(tally)
    cosines = torch.nn.functional.cosine_similarity(Z[:, None], Z[None], dim=2)
    torch.testing.assert_close(told["similarity_of_positives"], (cosines[:4, :4].sum() - 4) / 12)
    torch.testing.assert_close(told["similarity_of_negatives"], cosines[4, :4].mean())
    assert told["anchors_without_positives"].item() == pytest.approx(1 / 5)
