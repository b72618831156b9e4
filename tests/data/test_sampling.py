"""Samplers: every example once, reproducible orders, similar lengths, partners at each level, ranks and resuming."""

from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from labelcontrast.data.sampling import (
    AHEAD,
    HierarchicalBatches,
    MultiLabelBatches,
    Pack,
    SeededBatches,
    ShuffledBatches,
    fill_by_need,
    join_packs,
    meetings,
    owned_examples,
    rarest_parents,
)
from labelcontrast.errors import LabelShapeError
from labelcontrast.labels.hierarchy import Hierarchy


@settings(deadline=None)
@given(count=st.integers(1, 700), batch_size=st.integers(1, 9), seed=st.integers(0, 5), smallest=st.integers(1, 2))
def test_every_example_occurs_once_or_in_too_small_a_batch(
    count: int, batch_size: int, seed: int, smallest: int
) -> None:
    smallest = min(smallest, batch_size)
    batches = ShuffledBatches(np.arange(count) % 7, batch_size=batch_size, seed=seed, smallest=smallest)
    drawn = list(batches)
    flat = [index for batch in drawn for index in batch]
    assert len(drawn) == len(batches)
    assert len(flat) == len(set(flat)) >= count - (smallest - 1)
    assert all(smallest <= len(batch) <= batch_size for batch in drawn)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    lengths = np.arange(100)

    def draw(seed: int, epoch: int) -> list[list[int]]:
        batches = ShuffledBatches(lengths, batch_size=8, seed=seed)
        batches.set_epoch(epoch)
        return list(batches)

    assert draw(1, 3) == draw(1, 3)
    assert draw(1, 3) != draw(1, 4)
    assert draw(1, 3) != draw(2, 3)


def test_similar_lengths_share_a_batch() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 1000)
    spread = [np.ptp(lengths[batch]) for batch in ShuffledBatches(lengths, batch_size=10, seed=0)]
    assert np.mean(spread) < 10


def long_tail(examples: int, labels: int, seed: int = 0) -> csr_array:
    """Label sets with a long tail: label l is as frequent as 1 / (l + 1)."""
    random = np.random.default_rng(seed)
    return csr_array((random.random((examples, labels)) < 0.5 / np.arange(1, labels + 1)).astype(np.uint8))


def make(kind: str, *, seed: int = 0, rank: int = 0, ranks: int = 1) -> SeededBatches:
    lengths = np.random.default_rng(1).integers(1, 100, 203)
    where = {"seed": seed, "rank": rank, "ranks": ranks}
    if kind == "shuffled":
        return ShuffledBatches(lengths, batch_size=16, **where)
    if kind == "hierarchical":
        tree = Hierarchy.from_parents({str(node): str(node // 3) if node else None for node in range(30)})
        return HierarchicalBatches(long_tail(203, 30), tree, lengths, batch_size=16, per_label=2, **where)
    return MultiLabelBatches(long_tail(203, 30), lengths, batch_size=16, per_label=2, **where)


@settings(deadline=None)
@given(
    examples=st.integers(1, 120),
    labels=st.integers(1, 12),
    batch_size=st.integers(1, 20),
    per_label=st.integers(1, 5),
    seed=st.integers(0, 9),
)
def test_partners_are_found_and_every_row_occurs_once(
    examples: int, labels: int, batch_size: int, per_label: int, seed: int
) -> None:
    hot = long_tail(examples, labels, seed)
    lengths = np.ones(examples)
    batches = list(MultiLabelBatches(hot, lengths, batch_size=batch_size, per_label=per_label, seed=seed))
    flat = [row for batch in batches for row in batch]
    assert sorted(flat) == list(range(examples))
    pack = min(per_label, batch_size)
    assert all(len(batch) <= max(batch_size, pack + 1) for batch in batches)
    if pack < 2:
        return
    dense = hot.toarray()
    alone = set(owned_examples(hot).get(-1, np.empty(0)).tolist())
    for batch in batches:
        shared = dense[batch].astype(int) @ dense[batch].T.astype(int)
        np.fill_diagonal(shared, 0)
        lonely = {row for row, partners in zip(batch, shared.sum(1), strict=True) if not partners}
        assert lonely <= alone


def test_a_batch_has_many_labels() -> None:
    """A batch of sixteen holds four examples of each of four labels."""
    hot = csr_array(np.repeat(np.eye(20, dtype=np.uint8), 12, axis=0))
    batches = list(MultiLabelBatches(hot, np.ones(240), batch_size=16, per_label=4, seed=0))
    assert len(batches) == 15
    for batch in batches:
        counts = hot[batch].sum(0)
        assert set(counts[counts > 0].tolist()) <= {4, 8}
    assert np.mean([(hot[batch].sum(0) > 0).sum() for batch in batches]) > 3.5


def test_rare_labels_own_their_examples() -> None:
    hot = csr_array(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 0], [0, 0, 0]]))
    assert {label: rows.tolist() for label, rows in owned_examples(hot).items()} == {1: [0, 1], 0: [2, 3], -1: [4]}
    upper_first = owned_examples(hot, np.array([1, 0, 0]))
    assert {label: rows.tolist() for label, rows in upper_first.items()} == {0: [0, 1, 2, 3], -1: [4]}


def test_similar_lengths_share_a_batch_with_partners_too() -> None:
    hot = csr_array(np.repeat(np.eye(4, dtype=np.uint8), 250, axis=0))
    lengths = np.random.default_rng(0).integers(1, 100, 1000)
    spread = [np.ptp(lengths[batch]) for batch in MultiLabelBatches(hot, lengths, batch_size=10, per_label=2, seed=0)]
    assert np.mean(spread) < 25  # of random batches of ten, 81


@pytest.mark.parametrize("kind", ["shuffled", "multilabel", "hierarchical"])
def test_ranks_share_the_batches_evenly(kind: str) -> None:
    whole = list(make(kind))
    shares = [list(make(kind, rank=rank, ranks=3)) for rank in range(3)]
    assert {len(share) for share in shares} == {len(whole) // 3}
    for rank, share in enumerate(shares):
        assert share == whole[rank::3][: len(share)]


@pytest.mark.parametrize("kind", ["shuffled", "multilabel", "hierarchical"])
def test_an_epoch_resumes_in_its_middle(kind: str) -> None:
    batches = make(kind)
    batches.set_epoch(2)
    order = list(batches)
    stream = iter(batches)
    before = [next(stream) for _ in range(5)]
    later = make(kind)
    later.load_state_dict(batches.state_dict())
    later.set_epoch(2)
    assert before + list(later) == order
    assert later.state_dict() == {"epoch": 2, "drawn": 0}
    later.set_epoch(3)
    assert list(later) != order
    assert len(later) == len(list(later))


def balanced(branching: int, levels: int) -> Hierarchy:
    """A tree whose nodes are named by their path from the root: 0, 00, 01, ..."""
    ways = ["".join(way) for length in range(1, levels + 1) for way in product("012"[:branching], repeat=length)]
    return Hierarchy.from_parents({way: way[:-1] or None for way in ways})


@pytest.mark.parametrize("branching", [2, 3])
def test_every_anchor_has_a_positive_at_each_level(branching: int) -> None:
    tree = balanced(branching, 3)
    own = [tree.names[leaf] for leaf in tree.leaves for _ in range(8)]
    labels = tree.vocabulary.encode([(leaf,) for leaf in own])
    batches = list(HierarchicalBatches(labels, tree, np.ones(len(own)), batch_size=16, per_label=2, seed=0))
    for batch in batches:
        for anchor in batch:
            common = {
                next((level for level in range(3) if own[row][level] != own[anchor][level]), 3)
                for row in batch
                if row != anchor
            }
            assert {1, 2, 3} <= common


@st.composite
def labelled(draw: st.DrawFn) -> tuple[Hierarchy, np.ndarray]:
    """A graph of up to nine nodes, and examples of up to three of its labels."""
    above = [draw(st.sets(st.integers(0, node - 1), max_size=2)) if node else set() for node in range(9)]
    hierarchy = Hierarchy.from_parents({str(node): sorted(map(str, parents)) for node, parents in enumerate(above)})
    count = draw(st.integers(1, 60))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    return hierarchy, (random.random((count, 9)) < 0.2).astype(np.uint8)


@settings(deadline=None, max_examples=60)
@given(labelled(), st.integers(2, 20), st.integers(1, 4), st.integers(0, 9))
def test_every_example_occurs_once_with_a_partner_if_there_is_one(
    drawn: tuple[Hierarchy, np.ndarray], batch_size: int, per_label: int, seed: int
) -> None:
    hierarchy, hot = drawn
    how = {"batch_size": batch_size, "per_label": per_label, "seed": seed}
    batches = list(HierarchicalBatches(csr_array(hot), hierarchy, np.ones(len(hot)), **how))
    assert sorted(row for batch in batches for row in batch) == list(range(len(hot)))
    pack = min(per_label, batch_size)
    assert all(len(batch) <= max(batch_size, pack + 1) for batch in batches)
    closed = hierarchy.close(hot)
    assert batches == list(HierarchicalBatches(closed, hierarchy, np.ones(len(hot)), **how))
    if pack < 2:
        return
    dense = closed.toarray().astype(int)
    lonely = [row for batch in batches for row in batch if not (dense[row] @ dense[batch].T > 0).sum() > 1]
    assert all(not (dense[one] @ dense[other]) for one, other in combinations(lonely, 2))


def test_labels_may_be_fewer_than_nodes() -> None:
    """Two labels with an example each share a batch because of their parent, which is not a label."""
    tree = Hierarchy.from_parents({"cat": "animal", "oak": "plant", "dog": "animal", "elm": "plant"})
    batches = HierarchicalBatches(csr_array(np.eye(4)), tree, np.ones(4), batch_size=2, per_label=2, seed=0)
    assert sorted(map(sorted, batches)) == [[0, 2], [1, 3]]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5)), max_size=20), st.integers(1, 12), st.integers(0, 99))
def test_packs_are_joined_with_another_label_if_possible(sizes: list[tuple[int, int]], size: int, seed: int) -> None:
    times = np.random.default_rng(seed).random(len(sizes)).tolist()
    rows = iter(range(100))
    packs = [
        (label, Pack(time, [next(rows) for _ in range(count)]))
        for time, (label, count) in zip(times, sizes, strict=True)
    ]
    label_of = {row: label for label, pack in packs for row in pack.rows}
    joined = join_packs(packs, size)
    assert sorted(row for pack in joined for row in pack.rows) == sorted(label_of)
    assert all(len(pack.rows) <= size or pack in [given for _, given in packs] for pack in joined)
    small = Counter(label for label, pack in packs if len(pack.rows) <= size // 2)
    apart = [pack for pack in joined if len({label_of[row] for row in pack.rows}) == 1 and len(pack.rows) <= size // 2]
    assert len({label_of[pack.rows[0]] for pack in apart}) <= 1
    assert len(small) < 2 or len(apart) < sum(small.values()) - 1


@settings(deadline=None)
@given(labelled())
def test_the_rarest_parent_is_the_first_of_the_fewest(drawn: tuple[Hierarchy, np.ndarray]) -> None:
    hierarchy, hot = drawn
    counts = hot.sum(0)
    above = hierarchy.parents.toarray()
    expected = [min(np.flatnonzero(row), key=lambda node: counts[node], default=-1) for row in above]
    assert rarest_parents(hierarchy, counts) == expected


def lowest_met(hierarchy: Hierarchy, closed: np.ndarray, one: int, other: int) -> int:
    """The lowest level of which two examples share a label; -1 where they share none."""
    return max(hierarchy.depths[np.flatnonzero(closed[one] & closed[other])], default=-1)


def served(hierarchy: Hierarchy, closed: np.ndarray, batch: list[int]) -> int:
    """The number of levels, over all examples, with a partner in the batch."""
    return sum(
        len({lowest_met(hierarchy, closed, row, other) for other in batch if other != row} - {-1}) for row in batch
    )


@settings(deadline=None, max_examples=30)
@given(labelled())
def test_examples_meet_on_the_lowest_level_that_they_share(drawn: tuple[Hierarchy, np.ndarray]) -> None:
    hierarchy, hot = drawn
    closed = hierarchy.close(hot).toarray()
    found = meetings(closed, hierarchy.depths)
    met, rows = np.where(found.any(2), found.argmax(2), -1), range(len(hot))
    assert met.tolist() == [[lowest_met(hierarchy, closed, one, other) for other in rows] for one in rows]


@settings(deadline=None, max_examples=40)
@given(labelled(), st.integers(1, 3), st.integers(3, 9))
def test_every_pack_is_the_first_of_those_that_serve_most_levels(
    drawn: tuple[Hierarchy, np.ndarray], each: int, size: int
) -> None:
    hierarchy, hot = drawn
    closed = hierarchy.close(hot).toarray()
    waiting = [list(range(start, min(start + each, len(hot)))) for start in range(0, len(hot), each)]
    timed = [Pack(float(place), rows) for place, rows in enumerate(waiting)]
    for batch in fill_by_need(timed, size, csr_array(closed), hierarchy.depths):
        expected = waiting.pop(0)
        while fitting := [pack for pack in waiting[:AHEAD] if len(expected) + len(pack) <= size]:
            gains = [served(hierarchy, closed, expected + pack) - served(hierarchy, closed, pack) for pack in fitting]
            best = int(np.argmax(gains))
            expected = expected + fitting[best]
            waiting.remove(fitting[best])
        assert batch == expected
    assert not waiting


def test_examples_with_two_paths_lack_less_than_when_shuffled() -> None:
    """Each has one of eight leaves below a root, and one of eight below another."""
    leaves = [f"{root}{leaf}" for root in "ab" for leaf in range(8)]
    tree = Hierarchy.from_parents({"a": None, "b": None, **{leaf: leaf[0] for leaf in leaves}})
    random = np.random.default_rng(0)
    labels = tree.vocabulary.encode([(f"a{one}", f"b{other}") for one, other in random.integers(0, 8, (400, 2))])
    closed, lengths = tree.close(labels).toarray(), np.ones(400)
    how = {"batch_size": 8, "seed": 0}
    shuffled = ShuffledBatches(lengths, **how)
    hierarchical = HierarchicalBatches(labels, tree, lengths, per_label=2, **how)
    lacking = [800 - sum(served(tree, closed, batch) for batch in sampler) for sampler in (hierarchical, shuffled)]
    assert lacking[0] < lacking[1] / 20


def test_samplers_take_dense_labels_and_print_their_sizes() -> None:
    sparse, lengths = long_tail(40, 6), np.ones(40)
    tree = Hierarchy.from_parents({str(node): None for node in range(6)})
    sizes = {"batch_size": 8, "per_label": 2, "seed": 0}
    for labels in (sparse.toarray(), sparse.toarray().tolist(), torch.from_numpy(sparse.toarray())):
        batches = MultiLabelBatches(labels, lengths.tolist(), **sizes)
        assert list(batches) == list(MultiLabelBatches(sparse, lengths, **sizes))
        levels = HierarchicalBatches(labels, tree, lengths.tolist(), **sizes)
        assert list(levels) == list(HierarchicalBatches(sparse, tree, lengths, **sizes))
    assert repr(batches) == "MultiLabelBatches(40 examples, batch_size=8)"
    assert repr(ShuffledBatches([1, 2, 3], batch_size=2, seed=0)) == "ShuffledBatches(3 examples, batch_size=2)"


def test_labels_and_lengths_of_the_wrong_shape_are_refused() -> None:
    sizes = {"batch_size": 2, "per_label": 2, "seed": 0}
    with pytest.raises(LabelShapeError, match=r"^lengths must have one number for each .* Got shape \[2\]\.$"):
        MultiLabelBatches(np.eye(3), [1, 1], **sizes)
    with pytest.raises(LabelShapeError, match=r"^labels must be a matrix of numbers .* Got shape \[3\] of"):
        MultiLabelBatches([1, 0, 1], [1, 1, 1], **sizes)
