"""Parts come together: anchors first, each kind with its affinity and its prior."""

import pytest
import torch

from labelcontrast.contrast.candidates.parts import Gathering, Part
from labelcontrast.contrast.weights.affinity import any_shared, jaccard
from labelcontrast.contrast.weights.label_sets import LabelSets
from labelcontrast.errors import ConfigError


def part(value: float, size: int, **more: object) -> Part:
    rows = torch.full((size, 2), float(value))
    return Part(rows, LabelSets.of(rows), **more)


def test_anchors_come_first_among_the_candidates() -> None:
    gathering = Gathering.of([part(1, 2, anchor=True), part(2, 1), part(3, 1, kind="prototypes", anchor=True)])
    rows, queries = gathering.rows()
    assert queries is None
    assert rows[:, 0].tolist() == [1, 1, 3, 2]
    pairs = gathering.pairs(jaccard, any_shared)
    assert pairs.symmetric
    assert len(pairs.anchors) == 3
    assert pairs.affinities == ((0, jaccard), (2, any_shared), (3, jaccard))
    assert gathering.own().tolist() == [1, 1, 0]


def test_anchors_that_are_no_candidates() -> None:
    gathering = Gathering.of([part(1, 2, anchor=True, candidate=False, weights=torch.tensor([0.5, 2.0])), part(2, 3)])
    rows, queries = gathering.rows()
    assert rows[:, 0].tolist() == [2, 2, 2]
    assert queries[:, 0].tolist() == [1, 1]
    assert gathering.weights().tolist() == [0.5, 2.0]
    pairs = gathering.pairs(any_shared, any_shared)
    assert (len(pairs.anchors), len(pairs.candidates), pairs.symmetric) == (2, 3, False)


def test_the_prior_is_of_instances_and_0_for_empty_places() -> None:
    parts = [part(1, 1, anchor=True), part(2, 1, kind="prototypes"), part(3, 2, filled=torch.tensor([1.0, 0.0]))]
    assert Gathering.of(parts).prior(0.5).tolist() == [0.5, 1.0, 0.5, 0.0]
    assert Gathering.of(parts[:2]).prior(1.0) is None


def test_keys_and_prototype_anchors_do_not_go_together() -> None:
    parts = [part(1, 1, anchor=True, candidate=False), part(2, 1, kind="prototypes", anchor=True)]
    with pytest.raises(
        ConfigError, match="with keys, prototypes cannot be anchors too: it needs prototype_anchors=False"
    ):
        Gathering.of(parts)
