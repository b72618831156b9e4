"""Closing label sets: dense, sparse, soft and unknown; and the arrays that are no hierarchy.

The weights of levels against loops, whole and in blocks.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
import torch
from batches import Batch, batches
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_of_levels import weights_at
from trees import trees

from labelcontrast.errors import ConfigError, LabelShapeError
from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.losses.affinity import any_shared
from labelcontrast.losses.batch_labels import BatchLabels
from labelcontrast.losses.blocks import Block
from labelcontrast.losses.factory import make_loss
from labelcontrast.losses.levels import Closure, share_by_level
from labelcontrast.losses.pair_weights import Pairs

quick = settings(deadline=None, max_examples=25)
CHAIN = SimpleNamespace(ancestors=torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 1]]), depths=np.array([0, 1, 2]))


@quick
@given(batch=batches(), data=st.data())
def test_dense_and_sparse_labels_are_closed_as_by_walking(batch: Batch, data: st.DataObject) -> None:
    tree = data.draw(trees(size=batch.y.shape[1]))
    closure, expected = Closure(tree), tree.close(batch.y)
    assert torch.equal(closure(batch.y), expected)
    assert torch.equal(closure(batch.y.to_sparse()).to_dense(), expected)
    of_scipy = SimpleNamespace(ancestors=scipy.sparse.csr_array(tree.ancestors.numpy()), depths=tree.depths.numpy())
    assert torch.equal(Closure(of_scipy)(batch.y), expected)


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


def test_nothing_of_it_is_saved() -> None:
    """It comes from the hierarchy again."""
    assert not make_loss("himulcon", hierarchy=CHAIN).state_dict()


def test_refusals() -> None:
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
