"""Projections of embeddings: scikit-learn's PCA, a seeded sample of many, and UMAP if it is installed."""

import sys

import numpy as np
import pytest

from labelcontrast.errors import EmbeddingError, MissingExtraError
from labelcontrast.reports.projection import MOST_POINTS, project


def test_pca_is_the_plane_of_most_variance() -> None:
    generator = np.random.default_rng(0)
    features = (generator.normal(size=(200, 5)) * [9, 4, 1, 1, 1]) @ np.linalg.qr(generator.normal(size=(5, 5)))[0]
    found = project(features, generator=generator)
    left, extent, _ = np.linalg.svd(features - features.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found.coordinates), np.abs(left[:, :2] * extent[:2]), atol=1e-9)
    share = (extent[:2] ** 2).sum() / (extent**2).sum()
    assert found.method == f"PCA, {100 * share:.0f} % of the variance"
    assert found.chosen.tolist() == list(range(200))


def test_many_examples_are_sampled_by_seed_in_their_order() -> None:
    features = np.random.default_rng(0).normal(size=(MOST_POINTS + 500, 3))
    first, again, other = (project(features, generator=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert len(first.chosen) == len(set(first.chosen)) == len(first.coordinates) == MOST_POINTS
    assert (np.diff(first.chosen) > 0).all()
    assert (first.chosen == again.chosen).all()
    assert (first.coordinates == again.coordinates).all()
    assert (first.chosen != other.chosen).any()


def test_a_collapsed_embedding_is_one_point() -> None:
    found = project(np.ones((10, 4)), generator=np.random.default_rng(0))
    assert np.allclose(found.coordinates, 0)
    assert found.method == "PCA, 0 % of the variance"


@pytest.mark.slow
def test_umap_separates_clusters() -> None:
    pytest.importorskip("umap", reason="needs the extra umap")
    generator = np.random.default_rng(0)
    cluster = np.repeat(np.arange(3), 30)
    features = np.eye(8)[cluster] * 6 + generator.normal(size=(90, 8)) * 0.3
    found = project(features, generator=generator, method="umap")
    assert found.method == "UMAP"
    nearest = np.linalg.norm(found.coordinates[:, None] - found.coordinates, axis=2).argsort(axis=1)[:, 1]
    assert (cluster[nearest] == cluster).all()


def test_too_few_examples_and_a_missing_umap_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(
        EmbeddingError, match=r"^a projection needs at least 3 examples of 2 features\. Got \(2, 8\)\.$"
    ):
        project(np.ones((2, 8)), generator=generator)
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError, match=r"^a projection by UMAP needs .* pip install 'labelcontrast\[umap\]'$"):
        project(np.ones((5, 8)), generator=generator, method="umap")
