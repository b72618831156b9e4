"""Similarity blocks, denominators and the kernel against plain code; values and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from labelcontrast.errors import TensorError
from labelcontrast.losses import blocks as module
from labelcontrast.losses.blocks import Block, PairWeights, Similarities, grid, working_precision
from labelcontrast.losses.kernel import AllCandidates, Denominator, EachPair, NegativesOnly, weighted_softmax


class Matrix(PairWeights):
    """Weights that are a matrix."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix
        self.totals = matrix.sum(1)

    def block(self, block: Block) -> tuple[Tensor, Tensor | None]:
        rows, columns = block.rows, block.columns
        return self.matrix[rows, columns].clone(), self.matrix[columns, rows].T.clone() if block.mirrored else None

    def scaled(self, factors: Tensor) -> "Matrix":
        return Matrix(self.matrix * factors[:, None])


@st.composite
def problems(draw: st.DrawFn, *, ones: bool = False) -> tuple[Tensor, Tensor, Tensor | None, float, Tensor, float]:
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    m = draw(st.integers(2, 9))
    n, apart = draw(st.integers(1, m)), draw(st.booleans())
    w = rand(n, m) * (rand(n, m) < 0.4)
    if not apart:
        w.fill_diagonal_(0)
    candidates = F.normalize(rand(m, 3) - 0.5, dim=1)
    queries = F.normalize(rand(n, 3) - 0.5, dim=1) if apart else None
    return (
        candidates,
        w,
        queries,
        draw(st.sampled_from([0.05, 0.5])),
        torch.ones(m, dtype=torch.float64) if ones else rand(m) + 0.1,
        draw(st.sampled_from([0.0, 0.5, 1.0])),
    )


@settings(deadline=None)
@given(anchors=st.integers(0, 9), more=st.integers(0, 5), size=st.integers(1, 6), cut=st.integers(0, 14))
def test_the_grid_meets_every_pair_once(anchors: int, more: int, size: int, cut: int) -> None:
    for symmetric in (True, False):
        met = torch.zeros(anchors, anchors + more)
        cuts = (cut,) if 0 < cut < anchors + more else ()
        for block in grid(anchors, anchors + more, size=size, symmetric=symmetric, cuts=cuts):
            met[block.rows, block.columns] += 1
            if block.mirrored:
                met[block.columns, block.rows] += 1
            assert all(not block.columns.start < end < block.columns.stop for end in cuts)
        assert (met == 1).all()


@pytest.mark.parametrize(("most", "places"), [(2**23, 3), (5, 1)])
def test_few_pairs_are_computed_once_and_many_in_one_place(
    most: int, places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_PAIRS", most)
    rows = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    similarities = Similarities(rows, None, Matrix(torch.ones(5, 5)), None, size=3, scale=1.0)
    found: set[int] = set()
    for _ in range(2):
        for block in similarities:
            torch.testing.assert_close(block.similarity, rows[block.rows] @ rows[block.columns].T)
            expected = block.similarity.exp()
            torch.testing.assert_close(block.exponential, expected.fill_diagonal_(0) if block.on_diagonal else expected)
            found.add(block.similarity.data_ptr())
    assert len(found) == places


def test_precision_follows_the_temperature() -> None:
    assert working_precision(torch.float16, 0.05) == torch.float32
    assert working_precision(torch.float32, 1 / 71) == torch.float64
    assert working_precision(torch.float64, 1.0) == torch.float64


def plain_softmax(
    candidates: Tensor, w: Tensor, *, queries: Tensor | None, temperature: float, prior: Tensor, stop_repulsion: float
) -> Tensor:
    """Compute the loss of the kernel in plain PyTorch."""
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
def test_the_softmax_equals_plain_code(problem: tuple, block_size: int) -> None:
    candidates, w, queries, temperature, prior, stop = problem
    inputs = [x.requires_grad_() for x in (candidates, queries) if x is not None]
    options = {"temperature": temperature, "queries": queries, "prior": prior, "stop_repulsion": stop}
    losses = plain_softmax(candidates, w, **options)
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


def exponentials(candidates: Tensor, w: Tensor, *, queries: Tensor | None, temperature: float, prior: Tensor) -> Tensor:
    """g exp(s), 0 for self pairs."""
    anchors = candidates[: len(w)] if queries is None else queries
    e = (anchors @ candidates.T / temperature).exp() * prior
    return e.masked_fill(torch.eye(*w.shape, dtype=torch.bool), 0) if queries is None else e


def negatives_only(w: Tensor, e: Tensor, s: Tensor, _bias: Tensor) -> Tensor:
    """A softmax a positive, over itself and the negatives."""
    negatives = (e * (w == 0)).sum(1, keepdim=True)
    rivals = (e + negatives).masked_fill(w == 0, 1)  # log 0 would make its own gradient NaN
    return (w * (rivals.log() - s)).sum(1)


def each_pair(w: Tensor, e: Tensor, s: Tensor, bias: Tensor) -> Tensor:
    """Every pair by itself."""
    return ((1 + e * bias.exp()).log() - torch.where(w > 0, w * (s + bias), 0)).sum(1)


def denominator_of(name: str, bias: Tensor) -> Denominator:
    return EachPair(bias) if name == "each_pair" else NegativesOnly()


@pytest.mark.usefixtures("unchecked")
@settings(deadline=None, max_examples=60)
@given(
    problem=problems(ones=True),
    block_size=st.integers(1, 10),
    plain=st.sampled_from([negatives_only, each_pair]),
    b=st.sampled_from([-3.0, 0.0, 1.5]),
)
def test_other_denominators_equal_plain_code(problem: tuple, block_size: int, plain: object, b: float) -> None:
    candidates, w, queries, temperature, prior, _ = problem
    bias = torch.tensor(b, dtype=torch.float64, requires_grad=True)
    inputs = [x.requires_grad_() for x in (candidates, queries) if x is not None]
    inputs += [bias] if plain is each_pair else []
    e = exponentials(candidates, w, queries=queries, temperature=temperature, prior=prior)
    s = (candidates[: len(w)] if queries is None else queries) @ candidates.T / temperature
    losses = plain(w, e, s, bias)
    options = {"temperature": temperature, "queries": queries, "prior": prior, "block_size": block_size}
    options["denominator"] = denominator_of(plain.__name__, bias)
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


@settings(deadline=None, max_examples=30)
@given(problem=problems(ones=True))
def test_no_positive_is_ever_pushed_by_another(problem: tuple) -> None:
    """Stopping the repulsion denominator_of positives changes nothing where there is none."""
    candidates, w, queries, temperature, _, _ = problem
    grads = []
    for stop in (0.0, 1.0):
        z = candidates.clone().requires_grad_()
        average = torch.ones(len(w), dtype=torch.float64)
        options = {"temperature": temperature, "queries": queries, "average": average, "stop_repulsion": stop}
        weighted_softmax(z, Matrix(w), denominator=NegativesOnly(), **options).backward()
        grads.append(z.grad)
    torch.testing.assert_close(grads[0], grads[1])


@settings(deadline=None, max_examples=30)
@given(problem=problems(ones=True))
def test_with_one_positive_an_anchor_the_softmax_is_over_all(problem: tuple) -> None:
    candidates, w, queries, temperature, _, _ = problem
    first = torch.zeros_like(w)
    for i, row in enumerate(w):
        if row.any():
            first[i, row.nonzero()[0]] = 1
    one, other = (
        weighted_softmax(candidates, Matrix(first), temperature=temperature, queries=queries, denominator=denominator)
        for denominator in (NegativesOnly(), AllCandidates())
    )
    torch.testing.assert_close(one, other)
