"""What positives have to win against, each against plain code; values and gradients."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_problems import Matrix, problems
from torch import Tensor

from labelcontrast.losses.kernel import AllCandidates, Denominator, EachPair, NegativesOnly, weighted_softmax


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


def of(name: str, bias: Tensor) -> Denominator:
    return EachPair(bias) if name == "each_pair" else NegativesOnly()


@settings(deadline=None, max_examples=60)
@given(
    problem=problems(ones=True),
    block_size=st.integers(1, 10),
    plain=st.sampled_from([negatives_only, each_pair]),
    b=st.sampled_from([-3.0, 0.0, 1.5]),
)
def test_equals_the_plain_code(problem: tuple, block_size: int, plain: object, b: float) -> None:
    candidates, w, queries, temperature, prior, _ = problem
    bias = torch.tensor(b, dtype=torch.float64, requires_grad=True)
    inputs = [x.requires_grad_() for x in (candidates, queries) if x is not None]
    inputs += [bias] if plain is each_pair else []
    e = exponentials(candidates, w, queries=queries, temperature=temperature, prior=prior)
    s = (candidates[: len(w)] if queries is None else queries) @ candidates.T / temperature
    losses = plain(w, e, s, bias)
    options = {"temperature": temperature, "queries": queries, "prior": prior, "block_size": block_size}
    options["denominator"] = of(plain.__name__, bias)
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
    """Stopping the repulsion of positives changes nothing where there is none."""
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
