"""Held-out leaves, and retrieval and clusters against scikit-learn and loops."""

import numpy as np
import pytest
from graphs import Graph, graphs, label_matrices
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.metrics import average_precision_score

from labelcontrast.errors import ConfigError
from labelcontrast.evaluation.hierarchical.unseen import cluster_nmi, hold_out_leaves, level_retrieval, retrieval

TREE = csr_array(np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]))


@settings(deadline=None, max_examples=40)
@given(graphs(), st.data(), st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 9))
def test_no_example_that_is_seen_has_a_leaf_that_is_held_out(
    graph: Graph, data: st.DataObject, share: float, seed: int
) -> None:
    labels = data.draw(label_matrices(labels=len(graph.above), examples=5))
    leaves = {node for node in range(len(graph.above)) if not any(node in above for above in graph.above)}
    used = {leaf for leaf in leaves if labels[:, leaf].any()}
    assume(len(used) > 1)
    held, unseen = hold_out_leaves(labels, graph.parents, share=share, generator=np.random.default_rng(seed))
    again, _ = hold_out_leaves(labels, graph.parents, share=share, generator=np.random.default_rng(seed))
    assert held.tolist() == again.tolist()
    assert set(held) <= used
    assert len(held) == min(max(round(share * len(used)), 1), len(used) - 1)
    assert [any(row[leaf] for leaf in held) for row in labels] == unseen.tolist()


@pytest.mark.parametrize("unknown", [0.0, 0.1])
def test_retrieval_is_what_scikit_learn_finds_a_query_at_a_time(unknown: float) -> None:
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


def test_clusters_that_know_nothing_of_the_labels() -> None:
    generator = np.random.default_rng(0)
    labels = np.eye(2)[generator.integers(0, 2, 400)]
    assert cluster_nmi(generator.normal(size=(400, 3)), labels) < 0.02
    assert cluster_nmi(labels + 0.1 * generator.normal(size=(400, 2)), labels) == pytest.approx(1)


def test_an_example_whose_set_is_not_known_is_in_no_cluster() -> None:
    features, labels = (
        np.array([[1, 0.0], [1, 0.1], [0, 1], [0.1, 1], [0, 1]]),
        np.array([0.0, 0, 1, 1, np.nan])[:, None],
    )
    assert cluster_nmi(features, labels) == pytest.approx(1)
    assert cluster_nmi(features, np.nan_to_num(labels)) < 1


def test_nobody_to_find() -> None:
    alone = retrieval(np.ones((1, 2)), np.ones((1, 1)))
    strangers = retrieval(np.eye(2), np.eye(2))
    assert all(np.isnan(value) for found in (alone, strangers) for value in found.values())
    assert np.isnan(cluster_nmi(np.ones((0, 2)), np.ones((0, 1))))


def test_refusals() -> None:
    with pytest.raises(ConfigError) as caught:
        hold_out_leaves(np.eye(4), TREE, share=1.0, generator=np.random.default_rng(0))
    assert str(caught.value) == "share must be between 0 and 1. Got 1.0."
    with pytest.raises(ConfigError) as caught:
        hold_out_leaves(np.eye(4)[:2], TREE, share=0.5, generator=np.random.default_rng(0))
    assert str(caught.value) == "to hold out leaves, two of them must have an example. Got 1."
