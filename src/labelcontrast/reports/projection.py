"""Projections of embeddings to the plane, by PCA or UMAP."""

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
    """Points in the plane, the examples they belong to, and the method."""

    coordinates: Float[np.ndarray, "points 2"]
    chosen: Integer[np.ndarray, " points"]
    method: str


def project(
    features: Float[np.ndarray, "examples dim"],
    *,
    generator: np.random.Generator,
    method: Literal["pca", "umap"] = "pca",
) -> Projection:
    """Project features to the plane; of more than ``MOST_POINTS`` examples a random sample, in their order.

    Args:
        features: Embeddings.
        generator: Draws the sample, and initialises UMAP.
        method: PCA preserves distances as well as a plane can; its share of the variance is reported. UMAP preserves
            neighbours; its distances and empty spaces mean nothing. It needs the extra ``umap``.

    Raises:
        MissingExtraError: UMAP is requested and not installed.
        EmbeddingError: There are fewer than three examples, or fewer than two features.

    Example:
        >>> found = project(np.eye(5), generator=np.random.default_rng(0))
        >>> found.coordinates.shape, found.method
        ((5, 2), 'PCA, 50 % of the variance')

    Reference: McInnes, Healy and Melville, UMAP, 2018.
    """
    if len(features) < FEWEST_POINTS or features.shape[1] < 2:
        raise EmbeddingError(f"a projection needs at least 3 examples of 2 features. Got {features.shape}.")
    chosen = np.arange(len(features))
    if len(chosen) > MOST_POINTS:
        chosen = np.sort(generator.choice(len(features), size=MOST_POINTS, replace=False))
    coordinates, name = _umap(features[chosen], generator) if method == "umap" else _pca(features[chosen])
    return Projection(coordinates, chosen, name)


def fit_to_drawing(
    points: Float[np.ndarray, "points 2"], *, width: float = 100, height: float = 70
) -> list[list[float]]:
    """Scale points to a drawing, whose origin is its upper left corner.

    Example:
        >>> fit_to_drawing(np.array([[-1.0, 0.0], [3.0, 5.0]]))
        [[0.0, 70.0], [100.0, 0.0]]
    """
    if not len(points):
        return []
    scaled = (points - points.min(axis=0)) / np.maximum(np.ptp(points, axis=0), 1e-9)
    rows: list[list[float]] = ((0.0, height) + scaled * (width, -height)).round(2).tolist()
    return rows


def _pca(features: Float[np.ndarray, "points dim"]) -> tuple[Float[np.ndarray, "points 2"], str]:
    model = PCA(n_components=2, svd_solver="full")
    with np.errstate(invalid="ignore"):  # features without variance have no shares of it
        coordinates = model.fit_transform(features)
    share = np.nan_to_num(model.explained_variance_ratio_).sum()
    return coordinates, f"PCA, {100 * share:.0f} % of the variance"


def _umap(
    features: Float[np.ndarray, "points dim"], generator: np.random.Generator
) -> tuple[Float[np.ndarray, "points 2"], str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from umap import UMAP
    except ImportError as error:
        raise MissingExtraError("a projection by UMAP", "umap") from error
    model = UMAP(
        n_neighbors=min(15, len(features) - 1), metric="cosine", random_state=int(generator.integers(2**31)), n_jobs=1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(model.fit_transform(features)), "UMAP"
