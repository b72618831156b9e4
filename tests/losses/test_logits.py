"""The losses on logits against their formulas, label by label; the golden files are in test_golden.py."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from labelcontrast.errors import EmbeddingError, LabelShapeError
from labelcontrast.losses.logits import LogitLoss, asl, bce, focal, lsep, zlpr

LOSSES = [bce, focal, asl, lsep, zlpr]


def literal_bce(x: Tensor, y: Tensor) -> Tensor:
    p = x.sigmoid()
    return -(y * p.log() + (1 - y) * (1 - p).log()).mean()


def literal_focal(x: Tensor, y: Tensor) -> Tensor:
    p = x.sigmoid()
    right = torch.where(y == 1, p, 1 - p)
    return -(torch.where(y == 1, 0.25, 0.75) * (1 - right) ** 1.5 * right.log()).mean()


def literal_asl(x: Tensor, y: Tensor) -> Tensor:
    p, lowered = x.sigmoid(), (x.sigmoid() - 0.05).clamp(min=0)
    return -(y * (1 - p) ** 1 * p.log() + (1 - y) * lowered**4 * (1 - lowered).log()).sum()


def literal_asl_as_printed(x: Tensor, y: Tensor) -> Tensor:
    """Eq. 20 of arXiv 2412.00101, with its s for positives too, from a millionth of a percent."""
    s = (x.sigmoid() - 0.05).clamp(min=0)
    positive = (1 - s.clamp(min=1e-8)) ** 1 * s.clamp(min=1e-8).log()
    return -(y * positive + (1 - y) * s**4 * (1 - s).log()).sum()


def literal_lsep(x: Tensor, y: Tensor) -> Tensor:
    rows = []
    for row, there in zip(x, y, strict=True):
        pairs = [(row[v] - row[u]).exp() for u in range(len(row)) for v in range(len(row)) if there[u] and not there[v]]
        rows.append((1 + sum(pairs, 0 * row.sum())).log())
    return torch.stack(rows).mean()


def literal_zlpr(x: Tensor, y: Tensor) -> Tensor:
    return ((1 + (y * (-x).exp()).sum(1)).log() + (1 + ((1 - y) * x.exp()).sum(1)).log()).mean()


@st.composite
def logits_and_labels(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shape = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    x = 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    y = (torch.rand(shape, generator=generator) < draw(st.sampled_from([0.0, 0.3, 1.0]))).double()
    return x.requires_grad_(), y


@pytest.mark.parametrize(
    ("loss", "settings_", "literal"),
    [
        (bce, {}, literal_bce),
        (focal, {"gamma": 1.5, "alpha": 0.25}, literal_focal),
        (asl, {"detach_focus": False}, literal_asl),
        (asl, {"detach_focus": False, "margin_on": "both"}, literal_asl_as_printed),
        (lsep, {}, literal_lsep),
        (zlpr, {}, literal_zlpr),
    ],
)
@settings(deadline=None, max_examples=40)
@given(drawn=logits_and_labels())
def test_equals_its_formula(
    loss: Callable[..., Tensor], settings_: dict[str, Any], literal: Callable[..., Tensor], drawn: tuple[Tensor, Tensor]
) -> None:
    x, y = drawn
    value, expected = loss(x, y, **settings_), literal(x, y)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, x), torch.autograd.grad(expected, x))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_huge_logits_and_empty_rows_are_finite(loss: Callable[..., Tensor], dtype: torch.dtype) -> None:
    x = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [1.0, 2.0, 3.0]], dtype=dtype, requires_grad=True)
    for y in (torch.eye(3), torch.zeros(3, 3), torch.ones(3, 3)):
        value = loss(x, y)
        value.backward()
        assert value.dtype == torch.float32
        assert value.isfinite()
        assert x.grad.isfinite().all()


def test_a_margin_on_positives_leaves_those_below_it_without_slope() -> None:
    x = torch.tensor([[-4.0, 0.0]], requires_grad=True)
    (grad,) = torch.autograd.grad(asl(x, torch.ones(1, 2), margin_on="both"), x)
    assert grad[0, 0] == 0 > grad[0, 1]
    both, negatives = (asl(x, torch.ones(1, 2), margin=0.0, margin_on=on) for on in ("both", "negatives"))
    assert both == negatives


def test_focusing_below_1_has_a_finite_gradient() -> None:
    x = torch.tensor([[-9.0, 200.0, -200.0]], requires_grad=True)
    for loss in (focal(x, torch.eye(3)[:1], gamma=0.5), asl(x, torch.zeros(1, 3), gamma_neg=0.5, detach_focus=False)):
        assert torch.autograd.grad(loss, x)[0].isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_an_unknown_label_counts_nowhere(loss: Callable[..., Tensor]) -> None:
    """A column where all are unknown is as good as dropped, and its logits have no gradient."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 4, generator=generator, dtype=torch.float64).requires_grad_()
    y = (torch.rand(5, 4, generator=generator) < 0.5).double()
    known = [0, 1, 3]
    y[:, 2] = torch.nan
    value, expected = loss(x, y), loss(x[:, known], y[:, known])
    torch.testing.assert_close(value, expected)
    (grad,) = torch.autograd.grad(value, x)
    assert not grad[:, 2].any()
    torch.testing.assert_close(grad, torch.autograd.grad(expected, x)[0])


@pytest.mark.parametrize("loss", [bce, focal, asl])
def test_the_loss_of_a_soft_label_is_its_expectation(loss: Callable[..., Tensor]) -> None:
    x = torch.tensor([[0.7]])
    there, not_there = loss(x, torch.tensor([[1.0]])), loss(x, torch.tensor([[0.0]]))
    torch.testing.assert_close(loss(x, torch.tensor([[0.3]])), 0.3 * there + 0.7 * not_there)


def test_reductions() -> None:
    x, y = torch.randn(3, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([[1, 0], [0, 0], [1, 1]])
    for loss, shape in [(bce, (3, 2)), (focal, (3, 2)), (asl, (3, 2)), (lsep, (3,)), (zlpr, (3,))]:
        terms = loss(x, y, reduction="none")
        assert terms.shape == shape
        torch.testing.assert_close(loss(x, y, reduction="sum"), terms.sum())
        torch.testing.assert_close(loss(x, y, reduction="mean"), terms.mean())


@pytest.mark.parametrize(
    ("logits", "labels", "error", "message"),
    [
        (torch.ones(2, 3), torch.ones(2, 4), LabelShapeError, r"must be \[2, 3\]. Got \[2, 3\] and \[2, 4\]."),
        (torch.ones(2, 4), torch.ones(2, 4), LabelShapeError, r"must be \[2, 3\]. Got \[2, 4\] and \[2, 4\]."),
        (
            torch.ones(2),
            torch.ones(2),
            EmbeddingError,
            r"logits must be floats \[batch, labels\]. Got torch.float32 \[2\].",
        ),
        (torch.ones(2, 3).long(), torch.ones(2, 3), EmbeddingError, "logits must be floats .* Got torch.int64"),
    ],
)
def test_refusals(logits: Tensor, labels: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LogitLoss(bce, {}, num_labels=3)(logits, labels)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_weight_of_two_is_a_row_given_twice(loss: Callable[..., Tensor], reduction: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    labels = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, float("nan")], [0, 0, 0]], dtype=torch.float64)
    weights = torch.tensor([2.0, 1.0, 3.0, 0.0])
    module = LogitLoss(loss, {"reduction": reduction})
    repeated = torch.tensor([0, 0, 1, 2, 2, 2])
    torch.testing.assert_close(module(logits, labels, weights=weights), module(logits[repeated], labels[repeated]))
    with pytest.raises(LabelShapeError, match="weights must be one for each of 4 examples"):
        module(logits, labels, weights=weights[:2])
