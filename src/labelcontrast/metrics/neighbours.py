"""Metrics of embeddings from nearest neighbours and clusters: scores, purity, retrieval.

Similarities are cosines, exact, and computed for a block of queries at a time. An embedding that is exactly zero has
the similarity 0 to every other; between equals the choice is arbitrary.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Integer
from numpy.typing import ArrayLike
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from sklearn.preprocessing import normalize

from labelcontrast.errors import ConfigError, EmbeddingError, LabelShapeError
from labelcontrast.metrics.counting import AnyMatrix, Labels, as_blocks, as_features, known_pairs, ratio
from labelcontrast.progress import tracked

PAIRS_AT_ONCE = 2**24
"""Similarities that are held at a time: 64 MiB."""
Features: TypeAlias = Float[np.ndarray, "examples dim"]


def nearest_neighbours(
    queries: ArrayLike,
    examples: ArrayLike,
    *,
    neighbours: int,
    without_self: bool = False,
) -> Integer[np.ndarray, "queries neighbours"]:
    """Find the examples with the largest cosine similarity to each query, the nearest first.

    Args:
        queries: Features, shape [queries, dim].
        examples: Features to search, shape [examples, dim].
        neighbours: Number of neighbours.
        without_self: True if query i is example i, and does not find itself.

    Returns: Indices of examples, shape [queries, neighbours].

    Raises:
        ConfigError: The number of neighbours is below 1 or above the number of examples.
        EmbeddingError: The two have different widths, or a row is NaN or infinite.

    Example:
        >>> points = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        >>> nearest_neighbours(points, points, neighbours=1, without_self=True)
        array([[1],
               [0],
               [1]])
    """
    queries, examples = as_features(queries, "queries"), as_features(examples, "examples")
    there = len(examples) - without_self
    if not 1 <= neighbours <= there:
        raise ConfigError(f"neighbours must be between 1 and the {there} examples there are. Got {neighbours}.")
    if queries.shape[1] != examples.shape[1]:
        raise EmbeddingError(
            f"queries and examples must have the same width. Got {queries.shape[1]} and {examples.shape[1]}."
        )
    directions = unit_rows(examples, zero=True).T
    found = []
    rows_at_once = max(PAIRS_AT_ONCE // len(examples), 1)
    for start in tracked(range(0, len(queries), rows_at_once), "neighbours"):
        similarity = unit_rows(queries[start : start + rows_at_once], zero=True) @ directions
        if without_self:
            row = torch.arange(len(similarity))
            similarity[row, start + row] = -torch.inf
        found.append(similarity.topk(neighbours).indices)
    return torch.cat(found).numpy() if found else np.empty((0, neighbours), dtype=np.int64)


def neighbour_scores(
    train_features: ArrayLike,
    train_labels: ArrayLike,
    features: ArrayLike,
    *,
    neighbours: int = 10,
) -> Float[np.ndarray, "examples labels"]:
    r"""Score each label by the share of the nearest training examples that have it.

    .. math:: \hat p_{ic} = \frac1k \sum_{j \in N_k(i)} y_{jc}

    Args:
        train_features: Features of the examples whose labels are known, shape [train, dim].
        train_labels: 0 or 1, shape [train, labels]; NaN where it is not known, and such a neighbour is left out. A
            label that is known of none of the nearest has the score 0.
        features: Features of the examples to score, shape [examples, dim].
        neighbours: k.

    Raises:
        LabelShapeError: Features and labels have different lengths.
        ConfigError: k is not between 1 and the number of training examples.
        EmbeddingError: The features have different widths, or a row is NaN or infinite.

    Example:
        >>> train, labels = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), np.array([[1, 0], [1, 1], [0, 1]])
        >>> neighbour_scores(train, labels, np.array([[2.0, 0.1]]), neighbours=2)
        array([[1. , 0.5]])

    Reference: Zhang and Zhou, ML-KNN: A Lazy Learning Approach to Multi-label Learning, 2007, without its prior.
    """
    train, sets = checked_rows(train_features, train_labels)
    found = nearest_neighbours(features, train, neighbours=neighbours)
    return np.asarray(np.nan_to_num(_shares(found, sets)))


def neighbourhood_purity(
    features: ArrayLike, labels: ArrayLike, *, neighbours: int = 10
) -> Float[np.ndarray, " labels"]:
    r"""Compute for each label the mean share of neighbours of its examples that have it too.

    .. math:: \operatorname{mean}_{i : y_{ic} = 1} \; \frac1k \sum_{j \in N_k(i)} y_{jc}

    Args:
        features: Shape [examples, dim].
        labels: 0 or 1, shape [examples, labels]; NaN where it is not known, and such a neighbour is left out.
        neighbours: k; an example is not a neighbour of itself.

    Returns:
        Between 0 and 1 for each label, higher is better; chance gives the label's share of the examples. NaN for a
        label that no example has.

    Raises:
        LabelShapeError: Features and labels have different lengths.
        ConfigError: k is not between 1 and the number of other examples.
        EmbeddingError: A row is NaN or infinite.

    Example:
        >>> points = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        >>> neighbourhood_purity(points, np.array([[1, 0], [1, 0], [0, 1]]), neighbours=1)
        array([1., 0.])
    """
    given, sets = checked_rows(features, labels)
    found = _shares(nearest_neighbours(given, given, neighbours=neighbours, without_self=True), sets)
    having = (sets == 1) & ~np.isnan(found)
    counts = having.sum(axis=0)
    sums = np.where(having, found, 0.0).sum(axis=0)
    return ratio(sums, counts, empty=np.nan)


def level_retrieval(
    features: Features,
    labels: Labels,
    depths: Integer[np.ndarray, " labels"],
    *,
    at: Sequence[int] = (1, 10),
    seed: int = 0,
) -> list[dict[str, float]]:
    """Compute retrieval and cluster metrics of embeddings for each level of a hierarchy.

    Args:
        features: Shape [examples, dim].
        labels: 0 or 1, shape [examples, labels], closed upwards; NaN where it is not known.
        depths: The level of each label, 0 for the roots.
        at: The k of precision at k.
        seed: Of k-means.

    Returns:
        For each level, over the examples with a label of it, the values of :func:`retrieval`, and ``nmi`` of
        :func:`cluster_nmi`; NaN with fewer than two examples.
    """
    found = []
    for depth in range(int(depths.max()) + 1):
        here = labels[:, depths == depth]
        present = (here == 1).any(1)
        measured = retrieval(features[present], here[present], at=at)
        found.append({**measured, "nmi": cluster_nmi(features[present], here[present], seed=seed)})
    return found


def retrieval(
    features: Features, labels: Labels, *, at: Sequence[int] = (1, 10), block_size: int = 512
) -> dict[str, float]:
    """Rank all other examples by cosine for each example, and compute how early those with a shared label come.

    A pair is left out where it is not known whether the two share a label.

    Args:
        features: Shape [examples, dim].
        labels: 0 or 1, shape [examples, labels]; NaN where it is not known.
        at: The k of precision at k; with fewer other examples, of all of them.
        block_size: Queries at a time; it changes no result.

    Returns:
        ``map``, the mean average precision, and ``precision_at_k``, the mean share of the k nearest that share a label,
        over the examples that share a label with another; NaN where there is none.

    Example:
        >>> retrieval(np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), np.array([[1], [1], [0]]), at=[1])
        {'map': 1.0, 'precision_at_1': 1.0}
    """
    rows, known = normalize(features.astype(np.float64)), known_pairs(labels)
    sets, possible = (labels == 1).astype(np.float64), ((labels == 1) | ~known).astype(np.float64)
    means: list[np.ndarray] = [np.empty((0, 1 + len(at)))]
    for start in range(0, len(rows), block_size):
        own = np.arange(start, min(start + block_size, len(rows)))
        similarity, shared = rows[own] @ rows.T, sets[own] @ sets.T > 0
        others = shared | (possible[own] @ possible.T == 0)
        others[own - start, own] = shared[own - start, own] = False
        finding = shared.any(1)
        similarity[~others] = -np.inf  # pairs that are left out come last
        order = np.argsort(-similarity[finding], axis=1, kind="stable")
        relevant = np.take_along_axis(shared[finding], order, 1)
        precision = relevant.cumsum(1) / np.arange(1, len(rows) + 1)
        last = others[finding].sum(1) - 1
        columns = [(precision * relevant).sum(1) / relevant.sum(1)]
        columns += [np.take_along_axis(precision, np.minimum(k - 1, last)[:, None], 1)[:, 0] for k in at]
        means.append(np.stack(columns, 1))
    found = np.concatenate(means)
    names = ["map", *(f"precision_at_{k}" for k in at)]
    return dict(zip(names, found.mean(0).tolist() if len(found) else [float("nan")] * len(names), strict=True))


def cluster_nmi(features: Features, labels: Labels, *, seed: int = 0) -> float:
    """Compute the normalised mutual information of label sets and of as many clusters by k-means.

    Args:
        features: Shape [examples, dim]; they are scaled to length 1.
        labels: 0 or 1, shape [examples, labels]; an example with an unknown label (NaN) is left out.
        seed: Of k-means.

    Returns: Between 0 and 1; NaN without examples.

    Example:
        >>> cluster_nmi(np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), np.array([[1, 0], [1, 0], [0, 1]]))
        1.0
    """
    certain = known_pairs(labels).all(1)
    features, labels = features[certain], labels[certain]
    if not len(features):
        return float("nan")
    sets, classes = np.unique(labels.astype(bool), axis=0, return_inverse=True)
    clusters = KMeans(len(sets), n_init=10, random_state=seed).fit_predict(normalize(features.astype(np.float64)))
    return float(normalized_mutual_info_score(classes.ravel(), clusters))


def unit_rows(features: Float[np.ndarray, "rows dim"], *, zero: bool = False) -> Float[torch.Tensor, "rows dim"]:
    """Scale every row to length 1.

    Args:
        features: Shape [rows, dim].
        zero: Whether rows of zeros are allowed; they stay zero.

    Raises:
        EmbeddingError: A row is NaN or infinite, or zero although that is not allowed.
    """
    rows: torch.Tensor = torch.from_numpy(features)
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    bad = int((~lengths.isfinite() | ((lengths == 0) & (not zero))).sum())
    if bad:
        wanted = "finite" if zero else "finite and of a length above 0"
        raise EmbeddingError(f"features must be {wanted}. Got {bad} rows that are not.")
    directions: torch.Tensor = rows / torch.where(lengths == 0, 1, lengths)
    return directions


def _shares(found: Integer[np.ndarray, "queries neighbours"], labels: Labels) -> Float[np.ndarray, "queries labels"]:
    """Average the known labels of neighbours, NaN where none is known; no array of queries x neighbours x labels."""
    queries, neighbours = found.shape
    ends = np.arange(0, found.size + 1, neighbours)
    picked = sp.csr_array((np.ones(found.size), found.ravel(), ends), shape=(queries, len(labels)))
    having = (picked @ sp.csr_array(labels == 1)).toarray()
    unknown = (picked @ sp.csr_array(~known_pairs(labels))).toarray()
    return ratio(having, neighbours - unknown, empty=np.nan)


def checked_rows(features: ArrayLike, labels: AnyMatrix) -> tuple[np.ndarray, Any]:
    """Convert features and labels to matrices, and check that they have the same number of rows.

    Raises:
        LabelShapeError: They have not, or are no matrices of numbers.
    """
    rows, sets = as_features(features, "features"), as_blocks(labels, "labels")
    if len(rows) != len(sets):
        raise LabelShapeError(
            f"features and labels must have the same number of rows. Got {len(rows)} and {len(sets)}."
        )
    return rows, sets
