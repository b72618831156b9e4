"""Neighbours, scores, purity, retrieval and clusters against scikit-learn and loops; blocks change nothing."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from labelcontrast.errors import ConfigError, EmbeddingError, LabelShapeError
from labelcontrast.metrics import neighbours
from labelcontrast.metrics.neighbours import (
    cluster_nmi,
    level_retrieval,
    nearest_neighbours,
    neighbour_scores,
    neighbourhood_purity,
    retrieval,
    unit_rows,
)


@pytest.fixture(params=[1, 700, 2**24])
def any_block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "PAIRS_AT_ONCE", request.param)


@pytest.mark.usefixtures("any_block")
def test_equal_to_scikit_learn(problem) -> None:
    features, labels = problem
    train, rest = features[:200] - features.mean(0), features[200:] - features.mean(0)
    search = NearestNeighbors(n_neighbors=7, metric="cosine").fit(train.astype(np.float64))
    expected = search.kneighbors(rest.astype(np.float64), return_distance=False)
    np.testing.assert_array_equal(nearest_neighbours(rest, train, neighbours=7), expected)
    model = KNeighborsClassifier(n_neighbors=7, metric="cosine").fit(train.astype(np.float64), labels[:200])
    probabilities = np.stack([one[:, 1] for one in model.predict_proba(rest.astype(np.float64))], axis=1)
    np.testing.assert_allclose(neighbour_scores(train, labels[:200], rest, neighbours=7), probabilities, atol=1e-12)


@pytest.mark.usefixtures("any_block")
def test_purity_by_its_definition_in_loops() -> None:
    generator = np.random.default_rng(2)
    features = generator.normal(size=(40, 5))
    labels = (generator.random((40, 4)) < [0.5, 0.2, 0.05, 0.0]).astype(np.uint8)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    expected = []
    for label in range(4):
        shares = []
        for i in range(40):
            if labels[i, label]:
                others = sorted((j for j in range(40) if j != i), key=lambda j: -float(unit[i] @ unit[j]))[:6]
                shares.append(sum(labels[j, label] for j in others) / 6)
        expected.append(sum(shares) / len(shares) if shares else np.nan)
    found = neighbourhood_purity(features, labels, neighbours=6)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.isnan(found[3])


def test_clusters_are_pure_and_noise_is_as_pure_as_chance() -> None:
    generator = np.random.default_rng(0)
    labels = np.eye(2, dtype=np.uint8)[generator.integers(0, 2, size=2000)]
    noise = generator.normal(size=(2000, 8))
    np.testing.assert_allclose(neighbourhood_purity(noise, labels), labels.mean(0), atol=0.03)
    assert (neighbourhood_purity(noise / 20 + np.eye(8)[labels[:, 0]], labels) > 0.99).all()


def test_the_length_of_features_changes_nothing_and_nearest_come_first() -> None:
    angles = np.array([0.0, 0.3, 0.1, 2.0])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    lengths = np.array([[1.0], [5.0], [0.01], [3.0]])
    found = nearest_neighbours(points * lengths, points, neighbours=3, without_self=True)
    assert found[0].tolist() == [2, 1, 3]


def test_a_zero_embedding_is_neither_near_nor_far() -> None:
    examples = np.array([[0.0, 0.0], [1.0, 0.1], [-1.0, 0.1], [1.0, 0.2]])
    assert nearest_neighbours(np.array([[1.0, 0.0]]), examples, neighbours=4)[0].tolist() == [1, 3, 0, 2]
    labels = np.array([[0, 1], [1, 0], [0, 1], [1, 1]])
    np.testing.assert_allclose(neighbour_scores(examples, labels, np.zeros((1, 2)), neighbours=4), [[0.5, 0.75]])
    assert np.isfinite(neighbourhood_purity(examples, labels, neighbours=2)).all()


def test_unknown_labels_of_neighbours_are_left_out() -> None:
    generator = np.random.default_rng(4)
    features = generator.normal(size=(60, 4))
    labels = (generator.random((60, 3)) < 0.4).astype(np.float32)
    labels[generator.random(labels.shape) < 0.5] = np.nan
    near = nearest_neighbours(features, features, neighbours=3, without_self=True)
    scores = neighbour_scores(features, labels, features, neighbours=3)
    purity = neighbourhood_purity(features, labels, neighbours=3)
    for label in range(3):
        own = [labels[row, label][~np.isnan(labels[row, label])] for row in near]
        shares = [part.mean() for part, true in zip(own, labels[:, label], strict=True) if true == 1 and part.size]
        assert purity[label] == pytest.approx(np.mean(shares))
        known = [[labels[j, label] for j in row if labels[j, label] in {0, 1}] for row in with_self(features, 3)]
        expected = [np.mean(values) if values else 0.0 for values in known]
        np.testing.assert_allclose(scores[:, label], expected)


def with_self(features: np.ndarray, count: int) -> np.ndarray:
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return np.argsort(-(unit @ unit.T), axis=1)[:, :count]


@pytest.mark.usefixtures("unchecked")
def test_refusals() -> None:
    ones = np.ones((4, 3))
    with pytest.raises(ConfigError, match=r"^neighbours must be between 1 and the 3 examples there are\. Got 4\.$"):
        nearest_neighbours(ones, ones, neighbours=4, without_self=True)
    with pytest.raises(ConfigError, match=r"Got 0\.$"):
        nearest_neighbours(ones, ones, neighbours=0)
    with pytest.raises(EmbeddingError, match=r"^queries and examples must have the same width\. Got 2 and 3\.$"):
        nearest_neighbours(ones[:, :2], ones, neighbours=1)
    with pytest.raises(LabelShapeError, match=r"^features and labels .* Got 4 and 3\.$"):
        neighbour_scores(ones, np.ones((3, 2)), ones)
    with pytest.raises(EmbeddingError, match=r"above 0\. Got 1 rows that are not\.$"):
        unit_rows(np.vstack([ones, np.zeros((1, 3))]))
    with pytest.raises(EmbeddingError, match=r"^features must be finite\. Got 1 rows that are not\.$"):
        nearest_neighbours(np.full((1, 3), np.nan), ones, neighbours=1)


@pytest.mark.parametrize("unknown", [0.0, 0.1])
def test_retrieval_equals_scikit_learn_one_query_at_a_time(unknown: float) -> None:
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(40, 5)), 1.0 * (generator.random((40, 6)) < 0.2)
    labels[generator.random(labels.shape) < unknown] = np.nan
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    precisions, first, most = [], [], []
    for query in range(40):
        shares = {
            row: [one * other for one, other in zip(labels[query], labels[row], strict=True)]
            for row in range(40)
            if row != query
        }
        # What is absent of either is not shared, whether it is known of the other or not.
        for row, products in shares.items():
            for label, product in enumerate(products):
                if np.isnan(product) and 0 in (labels[query, label], labels[row, label]):
                    products[label] = 0
        others = [row for row, products in shares.items() if 1 in products or not np.isnan(products).any()]
        relevant = np.array([1 in shares[row] for row in others])
        if relevant.any():
            scores = unit[others] @ unit[query]
            precisions.append(average_precision_score(relevant, scores))
            ranked = relevant[np.argsort(-scores)]
            first.append(ranked[0])
            most.append(ranked[:7].mean())
    found = retrieval(features, labels, at=(1, 7), block_size=9)
    assert found == pytest.approx(
        {"map": np.mean(precisions), "precision_at_1": np.mean(first), "precision_at_7": np.mean(most)}
    )


def test_every_level_is_measured_on_the_examples_that_have_a_label_of_it() -> None:
    labels = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    features = np.array([[1, 0.0], [1, 0.1], [0, 1.0], [0.1, 1], [-1, -1], [1, 1]])
    roots, leaves = level_retrieval(features, labels, np.array([0, 1, 1, 1]), at=(1, 3))
    assert roots == pytest.approx({"map": 1, "precision_at_1": 1, "precision_at_3": 1, "nmi": 1})
    assert leaves == pytest.approx({"map": 1, "precision_at_1": 1, "precision_at_3": 1 / 3, "nmi": 1})


def test_clusters_of_noise_and_of_the_labels() -> None:
    generator = np.random.default_rng(0)
    labels = np.eye(2)[generator.integers(0, 2, 400)]
    assert cluster_nmi(generator.normal(size=(400, 3)), labels) < 0.02
    assert cluster_nmi(labels + 0.1 * generator.normal(size=(400, 2)), labels) == pytest.approx(1)


def test_an_example_with_an_unknown_label_is_in_no_cluster() -> None:
    features, labels = (
        np.array([[1, 0.0], [1, 0.1], [0, 1], [0.1, 1], [0, 1]]),
        np.array([0.0, 0, 1, 1, np.nan])[:, None],
    )
    assert cluster_nmi(features, labels) == pytest.approx(1)
    assert cluster_nmi(features, np.nan_to_num(labels)) < 1


def test_without_related_examples_there_is_no_value() -> None:
    alone = retrieval(np.ones((1, 2)), np.ones((1, 1)))
    strangers = retrieval(np.eye(2), np.eye(2))
    assert all(np.isnan(value) for found in (alone, strangers) for value in found.values())
    assert np.isnan(cluster_nmi(np.ones((0, 2)), np.ones((0, 1))))
