"""Embeddings in the plane, for the eye."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.decomposition import PCA

from labelcontrast.errors import EmbeddingError, MissingExtraError

if TYPE_CHECKING:
    from jaxtyping import Float, Integer

FEWEST_POINTS, MOST_POINTS = 3, 2000


@dataclass(frozen=True)
class Projection:
    """Points in the plane, which examples they are, and how they were found."""

    coordinates: Float[np.ndarray, "points 2"]
    chosen: Integer[np.ndarray, " points"]
    method: str


def project(
    features: Float[np.ndarray, "examples dim"],
    *,
    generator: np.random.Generator,
    method: Literal["pca", "umap"] = "pca",
) -> Projection:
    """Project features to the plane; above ``MOST_POINTS`` a random part of them, in the order of the examples.

    Args:
        features: Embeddings.
        generator: Draws the part, and starts UMAP.
        method: PCA keeps distances as well as a plane can, and says how much of the variance that is; UMAP keeps
            neighbours, and its distances and empty spaces mean nothing. UMAP needs the extra ``umap``.

    Raises:
        MissingExtraError: UMAP is asked for and not installed.
        EmbeddingError: There are fewer than three examples, or fewer than two features.

    Example:
        >>> found = project(np.eye(5), generator=np.random.default_rng(0))
        >>> found.coordinates.shape, found.method
        ((5, 2), 'PCA, 50 % of the variance')

    Reference: McInnes, Healy and Melville, UMAP, 2018.
    """
    if len(features) < FEWEST_POINTS or features.shape[1] < 2:
        raise EmbeddingError(f"a map needs at least 3 examples of 2 features. Got {features.shape}.")
    chosen = np.arange(len(features))
    if len(chosen) > MOST_POINTS:
        chosen = np.sort(generator.choice(len(features), size=MOST_POINTS, replace=False))
    find = _umap if method == "umap" else _pca
    coordinates, name = find(features[chosen], generator)
    return Projection(coordinates, chosen, name)


def _pca(
    features: Float[np.ndarray, "points dim"], _generator: np.random.Generator
) -> tuple[Float[np.ndarray, "points 2"], str]:
    """The two directions of most variance; where nothing varies there is nothing to share out."""
    model = PCA(n_components=2, svd_solver="full")
    with np.errstate(invalid="ignore"):
        coordinates = model.fit_transform(features)
    share = np.nan_to_num(model.explained_variance_ratio_).sum()
    return coordinates, f"PCA, {100 * share:.0f} % of the variance"


def _umap(
    features: Float[np.ndarray, "points dim"], generator: np.random.Generator
) -> tuple[Float[np.ndarray, "points 2"], str]:
    """The plane in which neighbours by cosine stay neighbours."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from umap import UMAP
    except ImportError as error:
        raise MissingExtraError("a map by UMAP", "umap") from error
    model = UMAP(
        n_neighbors=min(15, len(features) - 1), metric="cosine", random_state=int(generator.integers(2**31)), n_jobs=1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(model.fit_transform(features)), "UMAP"
