"""Tests of ``labelcontrast.probes.views``."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import LinearSVC

from labelcontrast.errors import ConfigError, DataError
from labelcontrast.metrics.ranking import mean_average_precision
from labelcontrast.probes import views
from labelcontrast.probes.views import (
    PROBE,
    VIEWS_BY_NAME,
    NeighboursView,
    TextFeatures,
    TreesView,
    View,
    WordsView,
    fit_svm,
)
from labelcontrast.settings import VIEWS

TEXTS = [
    "Good film, good music :) 😀",
    "bad film :(",
    "Good book!",
    "a bad book",
    "music and film",
    "book, music & film!",
    "",
    "   ",
]
LABELS = np.array([[1, 0, 0], [0, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]])


def test_the_settings_know_every_view() -> None:
    assert set(VIEWS) == {PROBE, *VIEWS_BY_NAME}


def test_features_of_texts_equal_those_of_scikit_learn() -> None:
    features = TextFeatures.fit(TEXTS)
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", sublinear_tf=True, min_df=2)
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=2)
    new = [*TEXTS, "Another GOOD film :)", "ümlaut"]
    for place, vectoriser in enumerate((words, pieces)):
        expected = vectoriser.fit(TEXTS).transform(new).toarray()
        assert list(features.terms[place]) == vectoriser.get_feature_names_out().tolist()
        start = len(features.terms[0]) * place
        found = features.transform(new).toarray()[:, start : start + expected.shape[1]]
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_features_of_the_texts_that_are_fitted_on_equal_those_of_the_same_texts_later() -> None:
    features, fitted = TextFeatures.fit_transform(TEXTS)
    later = features.transform(TEXTS)
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(fitted, name), getattr(later, name))


@pytest.mark.parametrize("texts", [["", " "], ["a"], ["one two three"], ["!", "?"]])
def test_texts_without_common_words_have_features_of_some_width(texts: list[str]) -> None:
    features = TextFeatures.fit(texts)
    assert features.transform(["one", ""]).shape == (2, sum(map(len, features.terms)))
    view = WordsView.fit(texts, np.ones((len(texts), 1)))
    assert (view.logits(["anything"]) == 1).all()


def test_words_equal_a_support_vector_machine_for_each_label() -> None:
    view = WordsView.fit(TEXTS, LABELS)
    design = TextFeatures.fit(TEXTS).transform(TEXTS)
    for label in (0, 1):
        svm = LinearSVC(C=0.3, tol=0.1, random_state=0).fit(design, LABELS[:, label])
        np.testing.assert_allclose(view.logits(TEXTS)[:, label], svm.decision_function(design), atol=0.02)
    assert (view.logits(TEXTS)[:, 2] == -1).all()


def test_an_unknown_label_is_left_out_of_the_words() -> None:
    unknown = LABELS.astype(float)
    unknown[[0, 3], 0] = np.nan
    rest = [row for row in range(len(TEXTS)) if row not in {0, 3}]
    design = TextFeatures.fit(TEXTS).transform(TEXTS)
    svm = LinearSVC(C=0.3, tol=0.1, random_state=0).fit(design[rest], LABELS[rest, 0])
    found = WordsView.fit(TEXTS, unknown).logits(TEXTS)[:, 0]
    np.testing.assert_allclose(found, svm.decision_function(design), atol=0.02)


@pytest.mark.parametrize("labels", [1, 4])
def test_trees_equal_the_forest_they_come_from(labels: int) -> None:
    random = np.random.default_rng(0)
    rows, new = random.normal(size=(60, 5)).astype(np.float32), random.normal(size=(40, 5))
    truth = (rows[:, :1] + random.normal(size=(60, labels)) > 0).astype(np.uint8)
    forest = ExtraTreesRegressor(200, max_features="sqrt", random_state=3)
    shares = forest.fit(rows, truth if labels > 1 else truth[:, 0]).predict(new).reshape(40, labels)
    expected = np.log(200 * shares + 0.5) - np.log(200 * (1 - shares) + 0.5)
    np.testing.assert_allclose(TreesView.fit(rows, truth, seed=3).logits(new), expected, atol=1e-4)


def test_many_labels_have_fewer_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, truth = np.random.default_rng(0).normal(size=(50, 4)), np.eye(50)[:, :30]
    assert len(TreesView.fit(rows, truth).roots) == 200
    monkeypatch.setattr(TreesView, "WORK", 50 * 30 * 2 * 33)
    assert len(TreesView.fit(rows, truth).roots) == 33
    monkeypatch.setattr(TreesView, "WORK", 0)
    assert len(TreesView.fit(rows, truth).roots) == 20


def test_neighbours_equal_a_weighted_vote_of_the_nearest() -> None:
    random = np.random.default_rng(0)
    train, labels = random.normal(size=(80, 6)).astype(np.float32), random.integers(0, 2, size=(80, 3)).astype(float)
    labels[4, 1] = np.nan
    new = random.normal(size=(10, 6)).astype(np.float32)
    distance, found = NearestNeighbors(n_neighbors=50, metric="cosine").fit(train).kneighbors(new)
    weight = np.exp((distance[:, :1] - distance) / 0.1)
    votes = np.einsum("nk,nkl->nl", weight, np.nan_to_num(labels)[found])
    share = (votes + np.nanmean(labels, axis=0)) / (weight.sum(axis=1, keepdims=True) + 1)
    np.testing.assert_allclose(NeighboursView.fit(train, labels).logits(new), np.log(share / (1 - share)), atol=1e-4)


def test_fewer_training_examples_than_neighbours_are_all_used() -> None:
    rows = np.eye(3, dtype=np.float32)
    assert (NeighboursView.fit(rows, np.eye(3)).logits(rows).argmax(axis=1) == [0, 1, 2]).all()


@pytest.mark.parametrize("name", VIEWS_BY_NAME)
def test_a_view_is_saved_and_loaded(name: str, tmp_path: Path) -> None:
    view: type[View] = VIEWS_BY_NAME[name]
    rows: Any = TEXTS if name == "words" else np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    fitted = view.fit(rows, LABELS)
    fitted.save(tmp_path / "view.safetensors")
    np.testing.assert_array_equal(view.load(tmp_path / "view.safetensors").logits(rows), fitted.logits(rows))
    (tmp_path / "view.safetensors").write_bytes(b"damaged")
    for path in ("view.safetensors", "missing.safetensors"):
        with pytest.raises(DataError, match=f"{path}: is not a saved view of {name}"):
            view.load(tmp_path / path)


def test_of_many_labels_an_svm_has_a_sample_of_the_others_and_few_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    labels = (random.random((400, 12)) < 0.1).astype(np.uint8)
    texts = [
        " ".join(
            [*(f"word{label}" for label in np.flatnonzero(row)), *(f"noise{one}" for one in random.integers(0, 30, 5))]
        )
        for row in labels
    ]
    whole = WordsView.fit(texts[:300], labels[:300])
    monkeypatch.setattr(WordsView, "FEW", 10)
    monkeypatch.setattr(WordsView, "OTHERS", 60)
    monkeypatch.setattr(WordsView, "FEWEST_WEIGHTS", 20)
    monkeypatch.setattr(WordsView, "WEIGHTS", 12 * 15)
    few = WordsView.fit(texts[:300], labels[:300])
    assert max(np.diff(few.weight.indptr)) == 20 < min(np.diff(whole.weight.indptr))
    for view in (whole, few):
        scores = view.logits(texts[300:])
        assert mean_average_precision(labels[300:], scores) > 0.95
        np.testing.assert_array_equal(
            view.score_labels(view.describe(view.prepare(texts[300:]))[5:9], slice(2, 6)), scores[5:9, 2:6]
        )
    weighed = fit_svm(TextFeatures.fit(texts).transform(texts), labels[:, 0], cost=0.3, others=np.arange(60))
    rows = np.unique(np.append(np.arange(60), np.flatnonzero(labels[:, 0])))
    factor = np.where(labels[rows, 0] == 1, 1.0, (labels[:, 0] == 0).sum() / (labels[:60, 0] == 0).sum())
    svm = LinearSVC(C=0.3, tol=0.1, random_state=0)
    svm.fit(TextFeatures.fit(texts).transform(texts)[rows], labels[rows, 0], sample_weight=factor)
    np.testing.assert_allclose(weighed[0], svm.coef_[0])


def test_too_many_labels_for_trees_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MOST_FOR_TREES", 20)
    with pytest.raises(ConfigError, match=r"the view trees takes at most 20 pairs .* Got 8 examples and 3 labels\."):
        TreesView.fit(np.zeros((8, 2), np.float32), LABELS)
