"""Properties of contrastive losses: what changes nothing, special cases, options, and statistics of pairs."""

from itertools import permutations
from math import exp
from types import SimpleNamespace

import pytest
import scipy.sparse
import torch
from batches import Batch, assert_same, batches, loss_on, run
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import label_sets as sets_of
from oracle import log_p, similarities
from torch import Tensor
from torch.nn import functional as F

import labelcontrast as lc
from labelcontrast.losses.blocks import PairStatistics
from labelcontrast.losses.factory import make_loss
from labelcontrast.losses.loss import ContrastiveLoss
from labelcontrast.losses.module import label_sets

TREE = SimpleNamespace(ancestors=torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 1]]), depths=torch.tensor([0, 1, 1]))
Y = torch.tensor([[0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]])
Z = torch.tensor([[1.0, 0.0], [-1.0, 0.02], [2.0, 1.0], [-2.0, -1.1], [0.0, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize("name", ["mulsupcon", "himulcon", "hicone"])
def test_the_sum_is_that_of_the_single_losses(name: str) -> None:
    batch = make_loss(name, hierarchy=TREE)._prepare(Z, Y, None, None)
    factors = torch.arange(5.0, dtype=torch.float64)
    losses = batch.softmax()
    assert losses[4] == 0
    assert (losses[:4] > 0).all()
    torch.testing.assert_close(batch.softmax(average=factors), losses @ factors)


def test_statistics_of_pairs() -> None:
    batch = make_loss("supcon", hierarchy=TREE)._prepare(Z, Y, None, None)
    statistics = PairStatistics()
    batch.softmax(average=torch.ones(5, dtype=torch.float64), statistics=statistics)
    found = batch.diagnostics(statistics)
    cosines = torch.nn.functional.cosine_similarity(Z[:, None], Z[None], dim=2)
    torch.testing.assert_close(found["similarity_of_positives"], (cosines[:4, :4].sum() - 4) / 12)
    torch.testing.assert_close(found["similarity_of_negatives"], cosines[4, :4].mean())
    assert found["anchors_without_positives"].item() == pytest.approx(1 / 5)


quick = settings(deadline=None, max_examples=25)
NAMES = [row.name for row in lc.loss_catalogue() if row.contrast and not row.needs_hierarchy and row.name != "simclr"]
UNDIVIDED = {"similarity_dissimilarity", "multisupcon", "jaccard_sigmoid"}  # whose weights are not shares of one


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", NAMES)
@quick
@given(batch=batches(), block_size=st.integers(1, 9))
def test_order_scale_block_size_and_unused_labels_change_nothing(name: str, batch: Batch, block_size: int) -> None:
    value, grad, _ = run(loss_on(batch, name), batch.z, batch.y)
    in_blocks = run(loss_on(batch, name, block_size=block_size), batch.z, batch.y)
    assert_same(in_blocks[:2], (value, grad))
    order = torch.randperm(len(batch.z), generator=torch.Generator().manual_seed(block_size))
    shuffled = run(loss_on(batch, name), batch.z[order], batch.y[order])
    assert_same(shuffled[:2], (value, grad[order]))
    scaled = run(loss_on(batch, name), 1e6 * batch.z, batch.y)
    assert_same(scaled[:2], (value, grad))
    if name in {"supcon", "base", "mulsupcon"}:
        padded = torch.cat([batch.y, torch.zeros_like(batch.y[:, :1])], 1)
        wider = run(make_loss(name, temperature=batch.temperature), batch.z, padded)
        assert_same(wider[:2], (value, grad))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", [*NAMES, "simclr"])
@quick
@given(
    batch=batches(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    autocast=st.sampled_from([torch.bfloat16, torch.float16]),
)
def test_everything_is_finite_at_low_precision(
    *, name: str, batch: Batch, dtype: torch.dtype, autocast: torch.dtype
) -> None:
    loss = loss_on(batch, name).float()
    z = (torch.stack([batch.z, -batch.z], 1) if name == "simclr" else batch.z).to(dtype).requires_grad_()
    with torch.autocast("cpu", autocast):
        value = loss(z, batch.y)
    value.backward()
    assert value.dtype in {torch.float32, torch.float64}
    assert value.isfinite()
    assert all(p.grad.isfinite().all() for p in loss.parameters())
    if dtype == torch.float32:
        assert z.grad.isfinite().all()
        exact = loss_on(batch, name)(z.detach().double(), batch.y)
        torch.testing.assert_close(value.double(), exact, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", NAMES)
def test_losses_of_the_anchors_carry_their_own_gradients(name: str) -> None:
    """A weighted sum of them, with weights of both signs, against finite differences."""
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    y = (torch.rand(5, 4, generator=generator) < 0.5).double()
    loss = make_loss(name, num_labels=4, dim=3, generator=generator, stop_repulsion=0.0).double()
    assert torch.autograd.gradcheck(lambda z: loss.per_anchor(z, y), (z,))
    assert torch.autograd.gradcheck(lambda z: loss(z, y), (z,))


@pytest.mark.parametrize("name", sorted({*NAMES} - UNDIVIDED))
def test_pair_weights_of_a_batch_of_several_blocks(name: str) -> None:
    """Rows of examples with a label sum to 1, other rows to 0, and the diagonal is 0."""
    y = (torch.rand(500, 6, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    weights = make_loss(name, num_labels=6, dim=2).pair_weights(y)
    sums = weights.sum(1)
    torch.testing.assert_close(sums[y.any(1).nonzero()[:, 0]], torch.ones(int(y.any(1).sum())))
    assert not weights[:500][~y.any(1)].any()
    assert not weights[:, :500][:500].diagonal().any() or name == "proto"


def test_reductions() -> None:
    y = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    z = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    terms = make_loss("supcon").per_anchor(z, y)
    assert terms[2] == 0
    got = {
        reduction: make_loss("supcon", reduction=reduction)(z, y)
        for reduction in ("mean_valid", "mean_all", "sum", "none")
    }
    torch.testing.assert_close(got["none"], terms)
    torch.testing.assert_close(got["sum"], terms.sum())
    torch.testing.assert_close(got["mean_all"], terms.sum() / 3)
    torch.testing.assert_close(got["mean_valid"], terms.sum() / 2)
    by_labels = make_loss("supcon", reduction="label_count")(z, y)
    torch.testing.assert_close(by_labels, (2 * terms[0] + terms[1]) / 3)
    scaled = make_loss("supcon", base_temperature=0.05)(z, y)
    torch.testing.assert_close(scaled, 2 * got["mean_valid"])


def test_a_stopped_repulsion_never_pushes_a_positive_away() -> None:
    """Two equal examples in a batch: without the stop they repel, with it the gradient of the pair is gone."""
    y = torch.tensor([[1.0], [1.0], [1.0]])
    z = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.3]], dtype=torch.float64, requires_grad=True)
    for stop, repelled in [(0.0, True), (1.0, False)]:
        terms = make_loss("supcon", temperature=0.5, stop_repulsion=stop).per_anchor(z, y)
        (grad,) = torch.autograd.grad(terms[0], z)
        # the first step of descent moves example 1 along -grad; it is repelled if that leads away from example 0
        assert bool(-grad[1, 1] > 0) == repelled


@pytest.mark.parametrize("name", ["supcon", "mulsupcon"])
@pytest.mark.parametrize("stop", [0.0, 0.5, 1.0])
def test_steps_are_sums_over_pairs(name: str, stop: float) -> None:
    """Pair by pair: the slope is m p - W, less its stopped part; a step is a sum of ways to the others."""
    generator, tau = torch.Generator().manual_seed(0), 0.3
    z = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    y = (torch.rand(7, 4, generator=generator) < 0.5).double()
    loss = make_loss(name, temperature=tau)
    w, u = loss.pair_weights(y).tolist(), z / z.norm(dim=1, keepdim=True)
    e = [[0.0 if i == j else exp(float(u[i] @ u[j]) / tau) for j in range(7)] for i in range(7)]
    size = [float(row.sum()) for row in y]
    factors = [(size[i] if name == "mulsupcon" else 1.0) * (sum(w[i]) > 0) for i in range(7)]
    slope = [[0.0] * 7 for _ in range(7)]
    for i, j in permutations(range(7), 2):
        slope[i][j] = sum(w[i]) * e[i][j] / sum(e[i]) - w[i][j]
        if w[i][j] and slope[i][j] > 0:
            slope[i][j] *= 1 - stop
        slope[i][j] *= factors[i] / sum(factors) / tau
    steps = loss.steps(z, y, stop_repulsion=stop)
    for i in range(7):
        ways = [(slope[i][j] + slope[j][i]) * (u[j] - (u[i] @ u[j]) * u[i]) for j in range(7) if j != i]
        torch.testing.assert_close(steps[i], -sum(ways) / z[i].norm(), rtol=1e-6, atol=1e-7)  # weights in float32
    assert not loss.steps(z, y).equal(loss.steps(z, y, stop_repulsion=1.0))
    assert loss.steps(z, y).equal(loss.steps(z, y, stop_repulsion=0.0))
    assert not z.requires_grad


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0])
def test_reg_descends_its_closed_form_in_which_positives_only_attract(alpha: float) -> None:
    generator = torch.Generator().manual_seed(2)
    z = torch.randn(6, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    c = torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    batch = Batch(z.detach(), (torch.rand(6, 4, generator=generator) < 0.5).double(), c.detach(), 0.1)
    loss = loss_on(batch, "reg", alpha=alpha)
    w = loss.pair_weights(batch.y).double()
    rows = F.normalize(torch.cat([z, c]))
    s = rows @ rows.T / 0.1
    p = s.detach().masked_fill(torch.eye(10, dtype=torch.bool), -torch.inf).softmax(1)
    r = w.sum(1, keepdim=True)
    slope = (r * p - w - (p - w).clamp(min=0) * (w > 0)) / (r > 0).sum()
    assert (slope[w > 0] <= 1e-7).all()  # pair_weights shows float32
    assert (slope[w == 0] >= 0).all()
    expected = torch.autograd.grad(s, (z, c), slope)
    _, by_angle_, prototypes = run(loss, batch.z, batch.y)
    torch.testing.assert_close(by_angle_ / batch.z.norm(dim=1, keepdim=True), expected[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(prototypes, expected[1], rtol=1e-5, atol=1e-6)


def test_reg_is_wo_reg_with_the_repulsion_stopped() -> None:
    generator = torch.Generator().manual_seed(1)
    batch = Batch(
        torch.randn(6, 3, generator=generator, dtype=torch.float64),
        (torch.rand(6, 4, generator=generator) < 0.5).double(),
        torch.randn(4, 3, generator=generator, dtype=torch.float64),
        0.1,
    )
    stopped = run(loss_on(batch, "wo_reg", stop_repulsion=1.0), batch.z, batch.y)
    assert_same(run(loss_on(batch, "reg"), batch.z, batch.y), stopped)


def test_mulsupcon_is_supcon_where_everyone_has_one_label_and_a_partner() -> None:
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = torch.eye(3, dtype=torch.float64).repeat(2, 1)
    assert_same(run(make_loss("mulsupcon"), z, y), run(make_loss("supcon"), z, y))


def test_prototypes_can_be_candidates_only() -> None:
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = torch.tensor([[1, 0], [1, 1], [0, 1], [0, 1]])
    loss = make_loss("wo_reg", num_labels=2, dim=3, prototype_anchors=False)
    assert loss.per_anchor(z, y).shape == (4,)
    all_anchors = make_loss("wo_reg", num_labels=2, dim=3)
    all_anchors.load_state_dict(loss.state_dict())
    torch.testing.assert_close(loss.per_anchor(z, y), all_anchors.per_anchor(z, y)[:4])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", ["supcon", "base", "mulsupcon"])
@quick
@given(batch=batches(least_temperature=0.1), column=st.integers(0, 4))
def test_a_label_that_is_unknown_everywhere_has_no_effect(name: str, batch: Batch, column: int) -> None:
    y = torch.cat([batch.y, batch.y], 1)
    column %= y.shape[1]
    y[:, column] = torch.nan
    rest = [c for c in range(y.shape[1]) if c != column]
    loss = make_loss(name, temperature=batch.temperature)
    assert_same(run(loss, batch.z, y), run(loss, batch.z, y[:, rest]))


def test_an_unknown_label_neither_makes_nor_breaks_a_pair() -> None:
    """The first two agree on all that is known of both; the third may have the label that they know of."""
    y = torch.tensor([[1.0, 1.0, 0.0], [1.0, torch.nan, 0.0], [0.0, torch.nan, 1.0], [0.0, 0.0, 1.0]])
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = make_loss("supcon", positives="exact")
    filled = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    assert_same(run(exact, z, y), run(exact, z, filled))
    # between the first two 1 of 1 known labels is shared, not 1 of 2
    assert_same(run(make_loss("base"), z, y), run(make_loss("base"), z, filled))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_counts_as_much_as_its_weight(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    y = (torch.rand(5, 4, generator=generator) < 0.5).double()
    weights = torch.tensor([0.0, 1.0, 2.0, 0.5, 1.0], dtype=torch.float64)
    loss = make_loss(name, num_labels=4, dim=3, generator=generator).double()
    terms = loss.per_anchor(z, y)
    of_anchors = torch.cat([weights, torch.ones(len(terms) - 5, dtype=torch.float64)])
    counted = y.sum(1) if name == "mulsupcon" else loss.pair_weights(y).sum(1).sign().double()
    counted = torch.ones_like(counted) if name == "jaccard_sigmoid" else counted
    if name == "lacon":  # its prototypes come after the examples, and the two are averaged apart
        counted = torch.cat([kind / kind.sum() for kind in counted.split([5, 4])])
    torch.testing.assert_close(loss.per_anchor(z, y, weights=weights), terms * of_anchors)
    expected = (terms * of_anchors).sum() / (counted * of_anchors).sum()
    torch.testing.assert_close(loss(z, y, weights=weights), expected)
    torch.testing.assert_close(loss(z, y, weights=torch.full((5,), 1.0)), loss(z, y))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", NAMES)
@quick
@given(batch=batches(least_temperature=0.1))
def test_sparse_labels_are_the_same_labels(name: str, batch: Batch) -> None:
    loss = loss_on(batch, name)
    expected = run(loss, batch.z, batch.y)
    assert_same(run(loss, batch.z, batch.y.to_sparse()), expected)
    assert_same(run(loss, batch.z, scipy.sparse.csr_array(batch.y.numpy())), expected)


def test_a_hundred_thousand_labels_are_never_a_dense_matrix() -> None:
    """4,096 examples with 5 of 100,000 labels: 1.6 GB as a dense matrix, and 64 MB for all that is needed."""
    generator = torch.Generator().manual_seed(0)
    columns = torch.randint(0, 100_000, (4096, 5), generator=generator)
    rows = torch.arange(4096).repeat_interleave(5)
    y = torch.sparse_coo_tensor(
        torch.stack([rows, columns.flatten()]), torch.ones(4096 * 5), (4096, 100_000), check_invariants=True
    )
    y = y.coalesce()
    y = torch.sparse_coo_tensor(y.indices(), torch.ones_like(y.values()), y.shape, check_invariants=True)
    sets = label_sets(y, torch.ones(4096, 1, 2), dense=False)
    assert sets.matrix.numel() * 4 < 64e6
    assert make_loss("base")(torch.randn(4096, 8, generator=generator), y).isfinite()


@pytest.mark.parametrize("name", NAMES)
def test_a_nearly_certain_label_is_nearly_a_label(name: str) -> None:
    """Soft labels against literal sums are in test_reference.py."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    loss = make_loss(name, num_labels=2, dim=3, generator=generator).double()
    values = [loss(z, torch.tensor([[1.0, there], [1.0, 0.5], [0.0, 1.0]])) for there in (0.5, 1 - 1e-6, 1.0)]
    torch.testing.assert_close(values[1], values[2], rtol=1e-4, atol=1e-4)
    assert name in {"supcon", "sincere", "weighted"} or (values[0] - values[2]).abs() > 1e-3


@quick
@given(batch=batches(least_temperature=0.05), block_size=st.integers(1, 9))
def test_diagnostics_are_means_over_pairs(batch: Batch, block_size: int) -> None:
    z = F.normalize(batch.z, dim=1)
    if not z.norm(dim=1).all():
        return
    loss = make_loss("supcon", temperature=batch.temperature, diagnostics=True, block_size=block_size)
    loss(batch.z, batch.y)
    pairs = [(i, j) for i in range(len(z)) for j in range(len(z)) if i != j]
    related = {(i, j): bool((batch.y[i] * batch.y[j]).sum()) for i, j in pairs}
    means = [[float(z[i] @ z[j]) for i, j in pairs if related[i, j] == positive] for positive in (True, False)]
    alone = [not any(related[i, j] for j in range(len(z)) if i != j) for i in range(len(z))]
    assert loss.diagnostics["anchors_without_positives"].item() == pytest.approx(sum(alone) / len(z))
    for name, values in zip(("similarity_of_positives", "similarity_of_negatives"), means, strict=True):
        if values:
            assert loss.diagnostics[name].item() == pytest.approx(sum(values) / len(values), abs=1e-9)
        elif name == "similarity_of_positives":
            assert loss.diagnostics[name].isnan()


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16])
def test_labels_of_any_type(dtype: torch.dtype) -> None:
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    y = torch.tensor([[1, 0], [1, 1], [0, 1], [0, 1]])
    assert make_loss("base")(z, y.to(dtype)) == make_loss("base")(z, y.float())


def test_an_empty_batch_is_0() -> None:
    z = torch.zeros(0, 3, requires_grad=True)
    make_loss("supcon")(z, torch.zeros(0, 2)).backward()
    assert z.grad.shape == (0, 3)


def supcon_weights(sets: list[set[int]], i: int) -> dict[int, float]:
    """Every positive the same."""
    related = [j for j in range(len(sets)) if j != i and sets[i] & sets[j]]
    return {j: 1 / len(related) for j in related}


def per_label_weights(sets: list[set[int]], i: int) -> dict[int, float]:
    """Every label the same, shared by those who have it: Eq. 16 of the study with alpha 0."""
    weights: dict[int, float] = {}
    for label in sets[i]:
        same = [j for j in range(len(sets)) if j != i and label in sets[j]]
        for j in same:
            weights[j] = weights.get(j, 0) + 1 / len(same) / len(sets[i])
    return weights


WEIGHTS = {"supcon": supcon_weights, "reg": per_label_weights}
EDGE = 1e-9


"""A pair whose repulsion and attraction are as near as this may fall to either side by the last bit."""


def counted(rows: Tensor, sets: list[set[int]], labels: int, temperature: float, name: str) -> list[list[float]]:
    """Count for each label positives, those surely and possibly repelled, and the sum of their repulsion."""
    s, found = similarities(rows, rows, temperature), [[0.0] * labels for _ in range(4)]
    for i in range(len(rows)):
        others, weights = [k for k in range(len(rows)) if k != i], WEIGHTS[name](sets, i)
        for j, weight in weights.items():
            excess = sum(weights.values()) * float(log_p(s, i, j, others).exp()) - weight
            for label in sets[i] & sets[j]:
                found[0][label] += 1
                found[1][label] += excess > EDGE
                found[2][label] += excess > -EDGE
                found[3][label] += max(excess, 0.0)
    return found


def loss_in_blocks(batch: Batch, name: str, block_size: int) -> ContrastiveLoss:
    loss = make_loss(
        name, num_labels=batch.y.shape[1], dim=batch.z.shape[1], temperature=batch.temperature, block_size=block_size
    ).double()
    if name == "reg":
        loss.prototypes.data = batch.c.clone()
    return loss


@pytest.mark.parametrize("name", ["supcon", "reg"])
@quick
@given(batch=batches(least_temperature=0.1), block_size=st.integers(1, 14))
def test_repulsion_statistics_equal_loops(name: str, batch: Batch, block_size: int) -> None:
    rows, sets, labels = batch.z, sets_of(batch.y), batch.y.shape[1]
    if name == "reg":  # prototypes are anchors and candidates, each with its label
        rows, sets = torch.cat([batch.z, batch.c]), sets + [{label} for label in range(labels)]
    found = loss_in_blocks(batch, name, block_size).repulsion(batch.z, batch.y)
    positives, surely, perhaps, push = counted(rows, sets, labels, batch.temperature, name)
    assert found.positives.tolist() == positives
    assert found.push.tolist() == pytest.approx(push, abs=1e-9)
    for low, repelled, high in zip(surely, found.repelled.tolist(), perhaps, strict=True):
        assert low <= repelled <= high


def test_batches_add_up_and_nothing_is_changed() -> None:
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(6, 4, generator=generator), (torch.rand(6, 3, generator=generator) < 0.6).float()
    loss = make_loss("mulsupcon", num_labels=3, dim=4, queue_size=4)
    one, other = loss.repulsion(z[:3], y[:3]), loss.repulsion(z[3:], y[3:])
    both = one + other
    for name in ("positives", "repelled", "push"):
        assert torch.equal(getattr(both, name), getattr(one, name) + getattr(other, name))
    assert not loss.queue.latest[2].any(), "the queue stays as it was"


def test_the_share_agrees_with_the_diagnostics_where_pairs_share_one_label() -> None:
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(40, 4, generator=generator), torch.eye(5).repeat(8, 1)
    loss = make_loss("reg", num_labels=5, dim=4, diagnostics=True, generator=generator)
    loss(z, y)
    found = loss.repulsion(z, y)
    assert 0 < found.repelled.sum() < found.positives.sum()
    assert found.repelled.sum() / found.positives.sum() == pytest.approx(
        float(loss.diagnostics["positives_pushed_away"])
    )
