"""Suspected labels: flipped ones come first, probabilities are out of fold, cleanlab is an extra."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from labelcontrast.data.doctor.suspects import STRENGTH, cleanlab_rows, out_of_fold, plain_features, suspects
from labelcontrast.data.examples import Examples
from labelcontrast.errors import MissingExtraError


def examples_of(inputs: Any, kind: Any) -> Examples:
    names = [str(row) for row in range(len(inputs))]
    return Examples(
        inputs=inputs, label_sets=None, kind=kind, ids=names, lines=range(len(inputs)), origin="a", understood=""
    )


def separable(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    features = random.normal(size=(400, 5))
    return features, (features[:, :3] > 0).astype(np.uint8)


def test_flipped_labels_are_found() -> None:
    features, labels = separable()
    turned = {(row, row % 3) for row in range(0, 400, 5) if abs(features[row, row % 3]) > 1.5}
    for row, label in turned:
        labels[row, label] ^= 1
    found = suspects(out_of_fold(features, csr_array(labels)), csr_array(labels))
    assert {(it.row, it.label) for it in found[: len(turned)]} == turned
    assert all(it.present == bool(labels[it.row, it.label]) for it in found)
    distances = [abs(it.probability - it.present) for it in found]
    assert distances == sorted(distances, reverse=True)
    assert min(distances) >= 0.9


def test_the_criterion_is_the_one_of_a_loop() -> None:
    random = np.random.default_rng(0)
    labels = (random.random((60, 4)) < 0.4).astype(np.uint8)
    probabilities = np.where(labels == 1, 0.97, 0.03) * 1.0
    flipped = random.random(labels.shape) < 0.1
    probabilities[flipped] = 1 - probabilities[flipped]
    probabilities[:, 3] = np.nan
    expected = set()
    for label in range(3):
        held = labels[:, label] == 1
        with_it, without = probabilities[held, label].mean(), probabilities[~held, label].mean()
        for row in range(60):
            p = probabilities[row, label]
            if (held[row] and p <= without) or (not held[row] and p >= with_it):
                expected.add((row, label))
    assert {(it.row, it.label) for it in suspects(probabilities, csr_array(labels))} == expected != set()


def test_probabilities_are_those_of_a_probe_that_has_not_seen_the_example() -> None:
    features, labels = separable()
    ours = out_of_fold(features, csr_array(labels))
    train, unseen = next(iter(KFold(5, shuffle=True, random_state=0).split(features)))
    theirs = LogisticRegression(C=1 / (len(train) * STRENGTH), tol=1e-8, max_iter=1000).fit(
        features[train], labels[train, 1]
    )
    assert ours[unseen, 1] == pytest.approx(theirs.predict_proba(features[unseen])[:, 1], abs=0.02)


def test_a_label_with_few_examples_is_not_judged() -> None:
    features, labels = separable()
    labels[9:, 0] = 0
    probabilities = out_of_fold(features, csr_array(labels))
    assert np.isnan(probabilities[:, 0]).all()
    assert not np.isnan(probabilities[:, 1:]).any()


def test_features_need_no_encoder(tmp_path: Path) -> None:
    texts = ["a goal was shot", "a vote was cast", "a goal again", "the vote again"] * 50
    features = plain_features(examples_of(texts, "text"))
    assert features.shape[1] <= 128
    assert np.allclose(features[0], features[4])
    assert not np.allclose(features[0], features[1])
    assert plain_features(examples_of(["one", "two"], "text")).shape == (2, 1)
    vectors = np.random.default_rng(0).normal(3, 2, (50, 4)).astype(np.float32)
    scaled = plain_features(examples_of(vectors, "vector"))
    assert scaled.mean(0) == pytest.approx(0, abs=1e-9)
    assert scaled.std(0) == pytest.approx(1)
    for row in range(3):
        Image.new("RGB", (8, 8), (80 * row, 0, 0)).save(tmp_path / f"{row}.png")
    (tmp_path / "3.png").write_text("no picture")
    pictures = plain_features(examples_of([tmp_path / f"{row}.png" for row in range(4)], "image"))
    assert np.allclose(pictures[0], pictures[3])
    assert not np.allclose(pictures[0], pictures[2])


def test_cleanlab_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    with pytest.raises(MissingExtraError) as refusal:
        cleanlab_rows(np.ones((2, 1)), csr_array(np.ones((2, 1))))
    assert str(refusal.value).endswith("pip install 'labelcontrast[cleanlab]'")


def test_cleanlab_gets_the_labels_that_were_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call as cleanlab 2.9 takes it; with cleanlab itself where it is installed, see the test below."""
    asked: dict[str, Any] = {}

    def find_label_issues(labels: list[list[int]], probabilities: np.ndarray, **options: Any) -> np.ndarray:
        asked.update(options, labels=labels, width=probabilities.shape[1])
        return np.array([1])

    name = "cleanlab.multilabel_classification.filter"
    fake = ModuleType(name)
    fake.find_label_issues = find_label_issues  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, fake)
    for parent in ("cleanlab", "cleanlab.multilabel_classification"):
        monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
    labels = csr_array(np.array([[1, 0, 1], [0, 1, 1]]))
    assert cleanlab_rows(np.array([[0.9, np.nan, 0.2], [0.1, 0.5, 0.3]]), labels) == [1]
    assert asked["labels"] == [[0, 1], [1]]
    assert asked["width"] == 2
    assert asked["return_indices_ranked_by"] == "self_confidence"


def test_cleanlab_and_we_suspect_the_same() -> None:
    pytest.importorskip("cleanlab")
    features, labels = separable()
    turned = [row for row in range(0, 400, 40) if abs(features[row, 0]) > 0.5]
    labels[turned, 0] ^= 1
    probabilities = out_of_fold(features, csr_array(labels))
    ours = {it.row for it in suspects(probabilities, csr_array(labels))}
    theirs = cleanlab_rows(probabilities, csr_array(labels))
    assert set(turned) <= set(theirs)
    assert set(turned) <= ours
