"""The kernel against the plain code that its docstring opens with."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_problems import Matrix, problems
from torch import Tensor
from torch.nn import functional as F

from labelcontrast.errors import TensorError
from labelcontrast.losses.kernel import weighted_softmax


def plain(
    candidates: Tensor, w: Tensor, *, queries: Tensor | None, temperature: float, prior: Tensor, stop_repulsion: float
) -> Tensor:
    """What the kernel is to equal."""
    anchors = candidates[: len(w)] if queries is None else queries
    s = anchors @ candidates.T / temperature
    masked = s
    if queries is None:
        masked = s.masked_fill(torch.eye(*w.shape, dtype=torch.bool), -torch.inf)
    normaliser = (masked + prior.log()).logsumexp(1)
    p = (masked + prior.log() - normaliser[:, None]).exp()
    m = w.sum(1)
    excess = ((m[:, None] * p - w).clamp(min=0) * (w > 0)).detach()
    return torch.where(m > 0, m * normaliser, 0) - ((w + stop_repulsion * excess) * s).sum(1)


@settings(deadline=None, max_examples=60)
@given(problem=problems(), block_size=st.integers(1, 10))
def test_equals_the_plain_code(problem: tuple, block_size: int) -> None:
    candidates, w, queries, temperature, prior, stop = problem
    inputs = [x.requires_grad_() for x in (candidates, queries) if x is not None]
    options = {"temperature": temperature, "queries": queries, "prior": prior, "stop_repulsion": stop}
    losses = plain(candidates, w, **options)
    options["block_size"] = block_size
    torch.testing.assert_close(weighted_softmax(candidates, Matrix(w), **options), losses)
    average = torch.linspace(0, 1, len(w), dtype=torch.float64)
    value = weighted_softmax(candidates, Matrix(w), average=average, **options)
    torch.testing.assert_close(value, (average * losses).sum())
    expected = torch.autograd.grad((average * losses).sum(), inputs, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(value, inputs), expected)
    signed = average - 0.5
    expected = torch.autograd.grad((signed * losses).sum(), inputs)
    again = weighted_softmax(candidates, Matrix(w), **options)
    torch.testing.assert_close(torch.autograd.grad((signed * again).sum(), inputs), expected)


def test_there_are_no_second_derivatives() -> None:
    z = torch.eye(3, requires_grad=True)
    loss = weighted_softmax(z, Matrix(torch.ones(3, 3) - torch.eye(3)), temperature=1.0, average=torch.ones(3))
    with pytest.raises(TensorError, match="a contrastive loss has no second derivatives"):
        torch.autograd.grad(loss, z, create_graph=True)


def test_autocast_does_not_reach_inside() -> None:
    z = F.normalize(torch.randn(40, 8, generator=torch.Generator().manual_seed(0)), dim=1).requires_grad_()
    weights = Matrix((torch.ones(40, 40) - torch.eye(40)) / 39)
    outside = weighted_softmax(z, weights, temperature=0.1)
    (expected,) = torch.autograd.grad(outside.sum(), z)
    with torch.autocast("cpu", torch.bfloat16):
        inside = weighted_softmax(z, weights, temperature=0.1)
        (grad,) = torch.autograd.grad(inside.sum(), z)
    assert torch.equal(inside, outside)
    assert torch.equal(grad, expected)
