"""Findings about labels, against loops over pairs of labels."""

from pathlib import Path

import numpy as np

from labelcontrast.data.doctor.label_findings import EXPECTED, about_cleanlab, about_labels
from labelcontrast.data.doctor.suspects import Suspect
from labelcontrast.data.splitting.splits import load_splits


def test_pairs_are_those_of_a_loop(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = (random.random((300, 8)) < 0.15).astype(np.uint8)
    labels[:, 1] |= labels[:, 0]  # 0 never without 1
    labels[:, 2] &= 1 - labels[:, 1]  # 2 never with 1
    np.savez(tmp_path / "a.npz", X=random.normal(size=(300, 2)), Y=labels, split=np.repeat([0, 1, 2], 100))
    splits = load_splits(tmp_path / "a.npz", seed=0)
    train = splits.vocabulary.encode(splits.train.label_sets or [])
    dense = train.toarray().astype(int)
    found = {finding.kind: finding for finding in about_labels(splits, train, [])}
    counts = dense.sum(0)
    never = always = 0
    for one in range(8):
        always += any(
            counts[one] >= 5 and (dense[:, one] & dense[:, other]).sum() == counts[one]
            for other in range(8)
            if other != one
        )
        for other in range(one):
            both, expected = (dense[:, one] & dense[:, other]).sum(), counts[one] * counts[other] / 100
            never += both == 0 and expected >= EXPECTED and min(counts[one], counts[other]) > EXPECTED
    assert found["always together"].number == always == 1
    assert found.get("never together") is None or found["never together"].number == never


def test_single_labels_do_not_exclude_one_another(tmp_path: Path) -> None:
    labels = np.eye(2, dtype=np.uint8)[np.arange(90) % 2]
    np.savez(tmp_path / "a.npz", X=np.arange(180.0).reshape(90, 2), Y=labels, split=np.arange(90) % 3)
    splits = load_splits(tmp_path / "a.npz", seed=0)
    train = splits.vocabulary.encode(splits.train.label_sets or [])
    assert list(about_labels(splits, train, [])) == []
    suspect = Suspect(0, 1, present=False, probability=0.96)
    (finding,) = about_labels(splits, train, [suspect])
    assert finding.sentence == "1 labels of 1 training examples are suspected of being wrong"
    assert finding.instances == ('a.npz, row 1 lacks "label_1" (probability 0.96): example 1',)
    (named,) = about_cleanlab(splits, [2])
    assert named.instances == ("a.npz, row 7: example 7",)
    assert list(about_cleanlab(splits, [])) == []
