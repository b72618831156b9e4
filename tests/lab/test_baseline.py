"""The baseline: scikit-learn's own, label by label."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from labelcontrast.data.splits import load_splits
from labelcontrast.lab.baseline import fit_baseline
from labelcontrast.metrics.measures import Outputs


def test_it_is_one_svm_a_label(vectors: Path, tmp_path: Path) -> None:
    splits = load_splits(vectors, seed=0)
    train, test = (splits.vocabulary.encode(part.label_sets).toarray() for part in (splits.train, splits.test))
    scaler = StandardScaler().fit(splits.train.inputs)
    rows, unseen = scaler.transform(splits.train.inputs), scaler.transform(splits.test.inputs)
    predictions = np.stack([LinearSVC(random_state=0).fit(rows, column).predict(unseen) for column in train.T], axis=1)
    baseline = fit_baseline(splits, keep=tmp_path / "baseline.safetensors")
    np.testing.assert_array_equal(Outputs.load(tmp_path / "baseline.safetensors").predictions, predictions)
    assert baseline["name"] == "linear SVM"
    assert baseline["metrics"]["test"]["micro_f1"] == pytest.approx(f1_score(test, predictions, average="micro"))


def test_labels_that_all_or_none_have_do_not_stop_it(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    labels = np.stack([np.ones(60), np.zeros(60), features[:, 0] > 0], axis=1).astype(np.uint8)
    np.savez(tmp_path / "a.npz", X=features, Y=labels)
    metrics = fit_baseline(load_splits(tmp_path / "a.npz", seed=0))["metrics"]["test"]
    assert metrics["micro_f1"] > 0.9


@pytest.mark.parametrize("kind", ["text", "vector"])
def test_a_label_is_fitted_where_it_is_known(kind: str, vectors: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    splits = load_splits(vectors, seed=0)
    if kind == "text":
        words = {
            part: [" ".join(f"w{word}" for word in np.flatnonzero(row > 0)) + " end" for row in examples.inputs]
            for part, examples in splits.by_name.items()
        }
        parts = {part: replace(examples, inputs=words[part], kind="text") for part, examples in splits.by_name.items()}
        splits = replace(splits, **parts)
    names = splits.vocabulary.names
    looked_for = [tuple(name for name in names[:4] if random.random() < 0.7) for _ in splits.train.ids]
    partly = replace(splits, train=replace(splits.train, annotated=looked_for))
    train = splits.vocabulary.encode(splits.train.label_sets).toarray()
    known = np.array([[name in row for name in names] for row in looked_for]) | (train == 1)
    inputs = StandardScaler() if kind == "vector" else TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    rows, unseen = inputs.fit_transform(splits.train.inputs), inputs.transform(splits.test.inputs)
    expected = [
        LinearSVC(random_state=0).fit(rows[seen], own[seen]).predict(unseen)
        if name != "rare"
        else np.ones(len(splits.test))
        for name, own, seen in zip(names, train.T, known.T, strict=True)
    ]
    fit_baseline(partly, keep=tmp_path / "partly.safetensors")
    fit_baseline(splits, keep=tmp_path / "whole.safetensors")
    found, whole = (Outputs.load(tmp_path / f"{name}.safetensors") for name in ("partly", "whole"))
    np.testing.assert_array_equal(found.predictions, np.stack(expected, axis=1))
    assert (found.predictions != whole.predictions)[:, :4].any()


@pytest.mark.slow
def test_it_is_near_the_published_baseline_on_tweets(shared: Path) -> None:
    metrics = fit_baseline(load_splits(shared / "data" / "semeval2018_ec", seed=0))["metrics"]["test"]
    assert metrics["micro_f1"] == pytest.approx(0.574, abs=0.02)
    assert metrics["macro_f1"] == pytest.approx(0.417, abs=0.03)
