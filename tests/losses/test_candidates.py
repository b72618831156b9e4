"""Anchors and candidates: the queue, prototypes, keys, and the rows of other processes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from gather_worker import CASES, STEPS, compute, part

from labelcontrast.errors import ConfigError
from labelcontrast.losses import loss as loss_module
from labelcontrast.losses import module
from labelcontrast.losses.affinity import any_shared, jaccard
from labelcontrast.losses.batch_labels import BatchLabels
from labelcontrast.losses.candidates import Participants, Queue, Rows
from labelcontrast.losses.factory import make_loss


def test_the_oldest_leave_first() -> None:
    queue = Queue(3, dim=1, num_labels=1)
    held: list[float] = []
    for batch in ([1.0, 2.0], [3.0, 4.0], [5.0, 6.0, 7.0, 8.0, 9.0], [10.0]):
        rows = torch.tensor(batch)[:, None]
        queue.append(rows, -rows)
        held = [*held, *batch][-3:]
        filled = queue.filled == 1
        assert sorted(queue.rows[filled, 0].tolist()) == held
        assert torch.equal(queue.labels, -queue.rows)


@pytest.mark.parametrize("name", ["supcon", "base", "mulsupcon", "msc", "reg", "simclr"])
def test_earlier_batches_are_candidates_from_the_second_step_on(name: str) -> None:
    """The same as handing the kernel a batch of all rows, of which only the new ones are anchors."""
    generator = torch.Generator().manual_seed(0)
    views = (2,) if name == "simclr" else ()
    batches = [torch.randn(4, *views, 3, generator=generator, dtype=torch.float64) for _ in range(3)]
    labels = [(torch.rand(4, 5, generator=generator) < 0.4).double() for _ in range(3)]
    options = {"num_labels": 5, "dim": 3, "generator": generator}
    loss = make_loss(
        name, queue_size=100, **options, **({"prototype_anchors": False} if name == "reg" else {})
    ).double()
    plain = make_loss(
        name, reduction="none", **options, **({"prototype_anchors": False} if name == "reg" else {})
    ).double()
    plain.load_state_dict(loss.state_dict(), strict=False)
    torch.testing.assert_close(loss.per_anchor(batches[0], labels[0]), plain(batches[0], labels[0]))
    loss(batches[0], labels[0])
    loss(batches[1], labels[1])
    latest = loss.per_anchor(batches[2], labels[2])
    together = plain.per_anchor(torch.cat(batches[::-1]), torch.cat(labels[::-1]))
    if name == "simclr":  # view by view: 12 examples and the first 4 are new
        together = together.unflatten(0, (2, 12))[:, :4].flatten()
    torch.testing.assert_close(latest, together[: len(latest)])


def test_evaluation_does_not_change_the_queue_and_training_resumes_it() -> None:
    z, y = torch.eye(3), torch.ones(3, 2)
    loss = make_loss("supcon", queue_size=4, num_labels=2, dim=3)
    loss.eval()(z, y)
    assert not loss.queue.filled.any()
    loss.train()(2 * z, y)
    assert torch.equal(loss.queue.rows[:3], z)
    resumed = make_loss("supcon", queue_size=4, num_labels=2, dim=3)
    resumed.load_state_dict(loss.state_dict())
    assert resumed(z, y) == loss(z, y)


def test_a_queue_needs_sizes() -> None:
    with pytest.raises(ConfigError, match="a queue keeps rows and labels: it needs num_labels and dim"):
        make_loss("supcon", queue_size=4, dim=3)


def some(value: float, size: int, **more: object) -> Rows:
    units = torch.full((size, 2), float(value))
    return Rows(units, BatchLabels.of(units), **more)


def test_anchors_come_first_among_the_candidates() -> None:
    participants = Participants.of([some(1, 2, anchor=True), some(2, 1), some(3, 1, kind="prototypes", anchor=True)])
    units, queries = participants.units()
    assert queries is None
    assert units[:, 0].tolist() == [1, 1, 3, 2]
    pairs = participants.pairs(jaccard, any_shared)
    assert pairs.symmetric
    assert len(pairs.anchors) == 3
    assert pairs.affinities == ((0, jaccard), (2, any_shared), (3, jaccard))
    assert participants.own().tolist() == [1, 1, 0]


def test_anchors_that_are_no_candidates() -> None:
    participants = Participants.of(
        [some(1, 2, anchor=True, candidate=False, weights=torch.tensor([0.5, 2.0])), some(2, 3)]
    )
    units, queries = participants.units()
    assert units[:, 0].tolist() == [2, 2, 2]
    assert queries[:, 0].tolist() == [1, 1]
    assert participants.weights().tolist() == [0.5, 2.0]
    pairs = participants.pairs(any_shared, any_shared)
    assert (len(pairs.anchors), len(pairs.candidates), pairs.symmetric) == (2, 3, False)


def test_the_prior_is_of_instances_and_0_for_empty_places() -> None:
    groups = [
        some(1, 1, anchor=True),
        some(2, 1, kind="prototypes"),
        some(3, 2, filled=torch.tensor([1.0, 0.0])),
    ]
    assert Participants.of(groups).prior(0.5).tolist() == [0.5, 1.0, 0.5, 0.0]
    assert Participants.of(groups[:2]).prior(1.0) is None


def test_keys_and_prototype_anchors_do_not_go_together() -> None:
    groups = [some(1, 1, anchor=True, candidate=False), some(2, 1, kind="prototypes", anchor=True)]
    with pytest.raises(
        ConfigError, match="with keys, prototypes cannot be anchors too: it needs prototype_anchors=False"
    ):
        Participants.of(groups)


def test_many_processes_equal_one(tmp_path: Path) -> None:
    world = 4  # the last one has the shortest part, and in the third step none
    worker = Path(__file__).with_name("gather_worker.py")
    subprocess.run([sys.executable, worker, str(world), tmp_path], check=True, timeout=120)
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(world)]
    for name, case in CASES.items():
        alone = compute(case)
        for step in range(STEPS):
            value, grad, prototypes = alone[step]
            steps = [results[name][step] for results in found]
            for rank, (theirs, mine, _) in enumerate(steps):
                torch.testing.assert_close(theirs, value, rtol=1e-9, atol=1e-9, msg=f"{name} value, step {step}")
                # a process's gradient is that of all losses; DistributedDataParallel then takes the mean over processes
                own = part(len(grad), rank, world)
                torch.testing.assert_close(mine / world, grad[own], rtol=1e-9, atol=1e-9, msg=f"{name}, step {step}")
            mean = torch.stack([theirs for _, _, theirs in steps]).mean(0)
            torch.testing.assert_close(mean, prototypes, rtol=1e-9, atol=1e-9, msg=f"{name} prototypes, step {step}")


def test_a_single_process_gathers_nothing() -> None:
    from labelcontrast.losses.candidates import processes, rank, sum_over_processes

    assert (processes(), rank()) == (1, 0)
    assert sum_over_processes(torch.tensor(3.0)) == 3


@pytest.mark.parametrize("name", ["proto", "msc", "wo_reg", "bcl", "paco", "lacon"])
def test_prototypes_stay_or_follow_the_means_of_their_labels(name: str) -> None:
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]])
    start = torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    unit = torch.nn.functional.normalize
    means = torch.stack([unit(start)[c] if not y[:, c].any() else unit(z)[y[:, c] == 1].mean(0) for c in range(3)])
    for update, expected in {"fixed": start, "means": 0.75 * unit(start) + 0.25 * means}.items():
        loss = make_loss(name, num_labels=3, dim=3, prototype_update=update, prototype_momentum=0.75).double()
        assert not any(one.requires_grad for one in loss.parameters())
        loss.prototypes.data = start.clone()
        learned = make_loss(name, num_labels=3, dim=3).double()
        learned.prototypes.data = start.clone()
        assert loss.eval()(z, y) == learned(z, y)
        assert torch.equal(loss.prototypes, start), "evaluation moves nothing"
        assert loss.train()(z, y) == learned(z, y)
        torch.testing.assert_close(loss.prototypes.data, expected)


def test_more_prototypes_than_are_compared_with_every_label_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_module, "MOST_COMPARED", 6)
    with pytest.raises(ConfigError, match=r"reg with a queue.*: num_labels must be at most 6\. Got 7\."):
        make_loss("reg", num_labels=7, dim=3, queue_size=4)(torch.ones(4, 3), torch.ones(4, 7))
    make_loss("reg", num_labels=6, dim=3, queue_size=4)(torch.ones(4, 3), torch.ones(4, 6))


def test_of_one_process_nothing_is_gathered_and_labels_stay_sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_module, "MOST_COMPARED", 6)
    monkeypatch.setattr(loss_module, "WIDE", 5)
    monkeypatch.setattr(module, "WIDE", 5)
    rows, labels = torch.eye(4), torch.eye(4, 7) + torch.eye(4, 7).roll(1, 1)
    values = [
        make_loss("msc", num_labels=7, dim=4, gather=gather, generator=torch.Generator().manual_seed(0))(rows, labels)
        for gather in (False, True)
    ]
    assert values[0] == values[1]
