"""Losses over a hierarchy: closure, level weights, constraint and level means, against literal loops; properties."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from batches import Batch, batches
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_of_levels import paper, released, weights_at
from torch import Tensor, nn
from trees import Tree, trees

from labelcontrast.errors import ConfigError, LabelShapeError
from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.losses.affinity import any_shared
from labelcontrast.losses.batch_labels import BatchLabels
from labelcontrast.losses.blocks import Block
from labelcontrast.losses.factory import make_loss
from labelcontrast.losses.levels import Closure, share_by_level
from labelcontrast.losses.pair_weights import Pairs

quick = settings(deadline=None, max_examples=15)
NAMES = ["himulcon", "hicone", "himulcone"]
CASES: list[tuple[str, dict[str, Any]]] = [
    ("himulcon", {"layer_penalty": "uniform"}),
    ("himulcon", {}),
    ("hicone", {}),
    ("himulcone", {"layer_penalty": "pow"}),
]


def run(loss: nn.Module, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Value, and gradient times length."""
    z = z.detach().clone().requires_grad_()
    value = loss(z, y)
    value.backward()
    return value.detach(), z.grad * z.detach().norm(dim=-1, keepdim=True).clamp(min=1e-12)


def assert_same(got: tuple[Tensor, ...], expected: tuple[Tensor, ...], rtol: float = 1e-9) -> None:
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=rtol, atol=rtol * max(1.0, float(other.abs().max())))


def generic(batch: Batch) -> Tensor:
    """Projections without two equal pairs, between which the gradient of a maximum would have to choose."""
    noise = torch.randn(batch.z.shape, generator=torch.Generator().manual_seed(1), dtype=batch.z.dtype)
    return batch.z + 0.1 * noise


@pytest.mark.parametrize(("name", "parameters"), CASES)
@pytest.mark.parametrize("oracle", [paper, released])
@quick
@given(batch=batches(least_temperature=0.05), data=st.data())
def test_equals_the_paper_and_the_released_code(
    name: str, parameters: dict[str, Any], oracle: Any, batch: Batch, data: st.DataObject
) -> None:
    tree = data.draw(trees(size=batch.y.shape[1]))
    z = generic(batch).requires_grad_()
    penalty = parameters.get("layer_penalty", "uniform" if name == "hicone" else "exp")
    more = {"penalty": penalty, "constrained": name != "himulcon", "temperature": batch.temperature}
    expected = oracle(z, tree.close(batch.y), tree.depths.tolist(), **more)
    expected.backward()
    loss = make_loss(name, hierarchy=tree, temperature=batch.temperature, variant=oracle.__name__, **parameters)
    assert_same(run(loss, z, batch.y), (expected.detach(), z.grad * z.detach().norm(dim=-1, keepdim=True)))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", NAMES)
@quick
@given(batch=batches(views=True, least_temperature=0.05), block_size=st.integers(1, 9), data=st.data())
def test_order_scale_block_size_and_closing_before_change_nothing(
    name: str, batch: Batch, block_size: int, data: st.DataObject
) -> None:
    tree, z = data.draw(trees(size=batch.y.shape[1])), generic(batch)
    loss = make_loss(name, hierarchy=tree, temperature=batch.temperature)
    value, grad = run(loss, z, batch.y)
    in_blocks = make_loss(name, hierarchy=tree, temperature=batch.temperature, block_size=block_size)
    assert_same(run(in_blocks, z, batch.y), (value, grad))
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(block_size))
    assert_same(run(loss, z[order], batch.y[order]), (value, grad[order]))
    assert_same(run(loss, 1e3 * z, tree.close(batch.y)), (value, grad))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", NAMES)
@quick
@given(batch=batches(least_temperature=0.05), data=st.data())
def test_losses_of_the_anchors_add_up_and_carry_the_gradient(name: str, batch: Batch, data: st.DataObject) -> None:
    tree, z = data.draw(trees(size=batch.y.shape[1])), generic(batch).requires_grad_()
    losses = make_loss(name, hierarchy=tree, temperature=batch.temperature).per_anchor(z, batch.y)
    summed = make_loss(name, hierarchy=tree, temperature=batch.temperature, reduction="sum")(z, batch.y)
    assert_same((losses.sum().detach(),), (summed.detach(),))
    assert_same(torch.autograd.grad(losses.sum(), z), torch.autograd.grad(summed, z))


@quick
@given(batch=batches(least_temperature=0.05))
def test_on_one_level_it_is_half_of_supcon_a_label(batch: Batch) -> None:
    """The other half is the level of the examples themselves, which has no loss."""
    flat = Tree(torch.eye(batch.y.shape[1]), torch.zeros(batch.y.shape[1], dtype=torch.long))
    per_label = make_loss("wo_reg", num_labels=batch.y.shape[1], dim=batch.z.shape[1])
    weights = per_label.pair_weights(batch.y)[: len(batch.y), : len(batch.y)]
    uniform = make_loss("himulcon", hierarchy=flat, layer_penalty="uniform")
    ours = uniform.pair_weights(batch.y)
    assert torch.equal(ours > 0, weights > 0)
    shares = torch.tensor([len([c for c in row if c]) for row in batch.y.tolist()])
    alone = (batch.y * (batch.y.sum(0) == 1)).sum(1)
    torch.testing.assert_close(ours.sum(1), ((shares - alone) / shares.clamp(min=1) / 2).float())


@pytest.mark.parametrize("name", NAMES)
def test_a_queue_and_the_weights_of_examples(name: str) -> None:
    tree = Tree(torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([0, 1]))
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.tensor([[0, 1], [0, 1], [1, 0], [1, 0], [0, 0], [0, 1]])
    loss = make_loss(name, hierarchy=tree, dim=3, queue_size=4).double()
    loss(z[:3], y[:3])
    both = make_loss(name, hierarchy=tree).double()
    queued = loss.per_anchor(z[3:], y[3:])
    if name == "himulcon":  # without a floor, which the anchors of the queue would raise
        torch.testing.assert_close(queued, both.per_anchor(torch.cat([z[3:], z[:3]]), torch.cat([y[3:], y[:3]]))[:3])
    assert queued.tolist()[1] == 0
    weights = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    torch.testing.assert_close(both(z, y, weights=weights), (both.per_anchor(z, y) * weights).sum() / 4)


CHAIN = SimpleNamespace(ancestors=torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 1]]), depths=np.array([0, 1, 2]))


@settings(quick, max_examples=25)
@given(batch=batches(), data=st.data())
def test_dense_and_sparse_labels_are_closed_as_by_walking(batch: Batch, data: st.DataObject) -> None:
    tree = data.draw(trees(size=batch.y.shape[1]))
    closure, expected = Closure(tree), tree.close(batch.y)
    assert torch.equal(closure(batch.y), expected)
    assert torch.equal(closure(batch.y.to_sparse()).to_dense(), expected)
    of_scipy = SimpleNamespace(ancestors=scipy.sparse.csr_array(tree.ancestors.numpy()), depths=tree.depths.numpy())
    assert torch.equal(Closure(of_scipy)(batch.y), expected)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", ["base", "mulsupcon", "msc", "reg"])
@settings(quick, max_examples=10)
@given(batch=batches(least_temperature=0.05), data=st.data())
def test_every_flat_loss_runs_on_the_closure(name: str, batch: Batch, data: st.DataObject) -> None:
    tree = data.draw(trees(size=batch.y.shape[1]))
    given = {"num_labels": batch.y.shape[1], "dim": batch.z.shape[1], "temperature": batch.temperature}
    plain, over = make_loss(name, **given).double(), make_loss(name, **given, hierarchy=tree).double()
    if hasattr(plain, "prototypes"):
        plain.prototypes.data = over.prototypes.data = batch.c.clone()
    expected = plain(batch.z, tree.close(batch.y))
    torch.testing.assert_close(over(batch.z, batch.y), expected)
    torch.testing.assert_close(over(batch.z, scipy.sparse.csr_array(batch.y.numpy())), expected)


def test_soft_labels_add_up_to_one_and_unknown_ones_rise_unless_others_suffice() -> None:
    tree = SimpleNamespace(ancestors=torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 1]]), depths=torch.tensor([0, 1, 1]))
    nan = torch.nan
    got = Closure(tree)(torch.tensor([[0.0, 0.4, 0.3], [0.0, 0.8, 0.7], [0.0, nan, 1.0], [0.0, nan, 0.0]]))
    expected = torch.tensor([[0.7, 0.4, 0.3], [1.0, 0.8, 0.7], [1.0, nan, 1.0], [nan, nan, 0.0]])
    torch.testing.assert_close(got, expected, equal_nan=True)


def test_a_hierarchy_of_labels_is_taken_as_it_is() -> None:
    animals = Hierarchy.from_parents({"animal": None, "cat": "animal", "dog": "animal", "puppy": "dog"})
    labels = animals.vocabulary.encode([("puppy",), ("dog",), ("cat",), ("puppy",)])
    closed = Closure(animals)(torch.from_numpy(labels.toarray()).float())
    assert torch.equal(closed, torch.from_numpy(animals.close(labels).toarray()).float())
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert make_loss("himulcone", hierarchy=animals)(z, labels).isfinite()


def test_level_weights_count_from_the_leaves() -> None:
    closure = Closure(CHAIN)
    assert closure.num_levels == 3
    above = torch.tensor([1 / 3, 1 / 2, 1.0], dtype=torch.float64)
    torch.testing.assert_close(closure.level_weights("exp", torch.float64), above.exp() / 4)
    torch.testing.assert_close(closure.level_weights("pow", torch.float32)[1], torch.tensor(2**0.5 / 4))


def test_the_closure_is_not_in_the_state_dict() -> None:
    assert not make_loss("himulcon", hierarchy=CHAIN).state_dict()


def test_refused_hierarchies_and_labels() -> None:
    with pytest.raises(LabelShapeError) as caught:
        Closure(SimpleNamespace(ancestors=torch.eye(2), depths=torch.zeros(3)))
    assert str(caught.value) == "a hierarchy must have ancestors [3, 3], as it has depths. Got [2, 2]."
    with pytest.raises(LabelShapeError) as shape:
        make_loss("mulsupcon", hierarchy=CHAIN)(torch.ones(2, 2), torch.ones(2, 4))
    assert str(shape.value) == "labels must be a matrix [2, 3]. Got [2, 4]."


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("himulcon", {}, "himulcon needs a hierarchy of the labels."),
        ("mulsupcon", {"hierarchy": CHAIN, "num_labels": 2}, "num_labels must be that of the hierarchy, 3. Got 2."),
        (
            "hicone",
            {"hierarchy": CHAIN, "gather": True},
            "hicone compares the pairs of one process: gather must be False.",
        ),
        ("bce", {"hierarchy": CHAIN}, "bce takes no hierarchy."),
    ],
)
def test_refusals_of_the_factory(name: str, more: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_loss(name, **more)
    assert str(caught.value) == message


@settings(deadline=None, max_examples=25)
@given(batch=batches(), data=st.data())
def test_the_weights_are_those_of_the_levels(batch: Batch, data: st.DataObject) -> None:
    tree = data.draw(trees(size=batch.y.shape[1]))
    closed, depths, size = tree.close(batch.y), tree.depths.tolist(), len(batch.y)
    counts = torch.arange(1.0, max(depths) + 2, dtype=torch.float64)
    expected = torch.zeros(size, size, dtype=torch.float64)
    for level, count in enumerate(counts.tolist()):
        for i in range(size):
            for j, share in weights_at(closed, depths, level, i).items():
                expected[i, j] += count * share
    sets = BatchLabels.of(closed)
    weights = share_by_level(Pairs(sets, sets, ((0, any_shared),), symmetric=True), tree.depths, counts, block_size=2)
    everyone, factors = slice(0, size), torch.arange(1.0, size + 1, dtype=torch.float64)
    torch.testing.assert_close(weights.block(Block(everyone, everyone, mirrored=False))[0], expected)
    torch.testing.assert_close(weights.totals, expected.sum(1))
    here, there = slice(0, size // 2), slice(size // 2, size)
    block, mirror = weights.scaled(factors).block(Block(here, there, mirrored=True))
    torch.testing.assert_close(block, (factors[:, None] * expected)[here, there])
    torch.testing.assert_close(mirror, (factors[:, None] * expected)[there, here].T)


TWO_LEAVES = SimpleNamespace(ancestors=torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 1]]), depths=torch.tensor([0, 1, 1]))


LEAVES = torch.tensor([[0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]])


def test_the_minimum_loss_of_a_level_is_the_maximum_of_the_finer_level() -> None:
    """Pairs that share a leaf are far apart, so all pairs of the root have their largest loss."""
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.02], [2.0, 1.0], [-2.0, -1.1]], dtype=torch.float64).requires_grad_()
    losses = make_loss("supcon", temperature=0.5).per_anchor(z, LEAVES[:, 1:])  # of one positive each
    expected = (losses.sum() + 4 * losses.max()) / 3
    value = make_loss("hicone", hierarchy=TWO_LEAVES, temperature=0.5, reduction="sum")(z, LEAVES)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, z), torch.autograd.grad(expected, z))


def test_no_floor_where_the_order_holds() -> None:
    """All share the root, and the pairs of a leaf are the nearest: the root's other pairs cost what they cost."""
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    near = torch.tensor(1 + 2 * torch.e**-2.0, dtype=torch.float64).log()
    value = make_loss("hicone", hierarchy=TWO_LEAVES, temperature=0.5)(z, LEAVES)
    torch.testing.assert_close(value, (near + (near + 2 * (near + 2)) / 3) / 3)


def test_autocast_does_not_reach_inside() -> None:
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = make_loss("hicone", hierarchy=TWO_LEAVES)
    expected = loss(z, LEAVES)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(z, LEAVES)
    assert torch.equal(value, expected)
    assert torch.equal(torch.autograd.grad(value, z)[0], torch.autograd.grad(expected, z)[0])


def test_a_single_example_sets_no_minimum_loss() -> None:
    loss = make_loss("hicone", hierarchy=TWO_LEAVES, dim=2, queue_size=3)
    z = torch.ones(1, 2).requires_grad_()
    value = loss(z, LEAVES[:1])
    value.backward()
    assert value == 0
    assert not z.grad.any()


LEAVES_AND_ROOT = torch.tensor([[0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [1, 0, 0]])


Z = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def level_means() -> list[torch.Tensor]:
    """Return supcon on the labels of each level: roots and leaves."""
    loss = make_loss("supcon")
    return [loss(Z, torch.ones(5, 1)), loss(Z, LEAVES_AND_ROOT[:, 1:])]


@pytest.mark.parametrize(("name", "more"), [("himulcon", {}), ("himulcone", {"constraint": "levels"})])
def test_learned_weights_add_their_log_scale(name: str, more: dict[str, Any]) -> None:
    loss = make_loss(name, hierarchy=TWO_LEAVES, layer_penalty="learned", **more).double()
    roots, leaves = level_means()
    if name == "himulcone":
        roots = roots.maximum(leaves)
    loss.log_scales.data = torch.tensor([0.5, -0.2], dtype=torch.float64)
    value = loss(Z, LEAVES_AND_ROOT)
    s = loss.log_scales.detach()
    shrunk = torch.stack([roots, leaves]) * (-s).exp()
    torch.testing.assert_close(value.detach(), (shrunk + s).sum() / 3)
    value.backward()
    torch.testing.assert_close(loss.log_scales.grad, (1 - shrunk) / 3)


def test_weights_and_views_follow_the_examples_kept_between_levels() -> None:
    views = torch.stack([Z, Z.flip(0)], 1)
    loss = make_loss("himulcone", hierarchy=TWO_LEAVES, variant="released", layer_penalty="uniform")
    weights = torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0])
    leaves = make_loss("supcon")(views, LEAVES_AND_ROOT[:, 1:], weights=weights)
    kept = [0, 2, 4]
    roots = make_loss("supcon")(views[kept], torch.ones(3, 1), weights=weights[kept])
    torch.testing.assert_close(loss(views, LEAVES_AND_ROOT, weights=weights), (leaves + roots.maximum(leaves)) / 3)


def test_an_anchor_without_positives_costs_nothing_and_a_level_without_any_is_left_out() -> None:
    loss = make_loss("hicone", hierarchy=TWO_LEAVES, constraint="levels")
    z = Z[:2].clone().requires_grad_()
    value = loss(z, torch.tensor([[0, 1, 0], [0, 0, 0]]))
    value.backward()
    assert value == 0
    assert not z.grad.any()
    torch.testing.assert_close(loss(Z, torch.tensor([[1, 0, 0]] * 5)), level_means()[0] / 3)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"layer_penalty": "learned"}, 'himulcone with layer_penalty="learned" needs constraint="levels".'),
        (
            {"variant": "released", "diagnostics": True},
            "himulcone level by level takes no queue_size, gather or diagnostics.",
        ),
        (
            {"constraint": "levels", "reduction": "sum"},
            "himulcone level by level takes the reduction mean_valid or mean_all.",
        ),
    ],
)
def test_refused_settings_of_level_means(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_loss("himulcone", hierarchy=TWO_LEAVES, **parameters)
    assert str(caught.value) == message
