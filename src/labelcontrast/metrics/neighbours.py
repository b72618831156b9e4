"""Metrics of embeddings from nearest neighbours: retrieval, purity, and classes that were not trained on.

Exact, by cosine similarity, a block of queries at a time: never an array of queries x examples. The similarity of an
embedding that is exactly zero is 0 to every other: it is neither near nor far, and among equals any may be taken.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Integer, Shaped
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from sklearn.preprocessing import normalize

from labelcontrast.errors import ConfigError, EmbeddingError, LabelShapeError
from labelcontrast.metrics.counting import known_pairs

PAIRS_AT_ONCE = 2**24
"""Similarities that are held at a time: 64 MiB."""


def nearest_neighbours(
    queries: Float[np.ndarray, "queries dim"],
    examples: Float[np.ndarray, "examples dim"],
    *,
    neighbours: int,
    without_self: bool = False,
) -> Integer[np.ndarray, "queries neighbours"]:
    """Find the examples of largest cosine similarity to each query, the nearest first.

    Args:
        queries: Features of what asks.
        examples: Features of what is found.
        neighbours: How many.
        without_self: Query i is example i, and does not find itself.

    Raises:
        ConfigError: Fewer than one neighbour is asked for, or more than there are.
        EmbeddingError: The two have different widths, or a row is NaN or infinite.

    Example:
        >>> points = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        >>> nearest_neighbours(points, points, neighbours=1, without_self=True)
        array([[1],
               [0],
               [1]])
    """
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
    for start in range(0, len(queries), rows_at_once):
        similarity = unit_rows(queries[start : start + rows_at_once], zero=True) @ directions
        if without_self:
            row = torch.arange(len(similarity))
            similarity[row, start + row] = -torch.inf
        found.append(similarity.topk(neighbours).indices)
    return torch.cat(found).numpy()


def neighbour_scores(
    train_features: Float[np.ndarray, "train dim"],
    train_labels: Shaped[np.ndarray, "train labels"],
    features: Float[np.ndarray, "examples dim"],
    *,
    neighbours: int = 10,
) -> Float[np.ndarray, "examples labels"]:
    r"""Score each label by the share of the nearest training examples that have it, of those of which it is known.

    .. math:: \hat p_{ic} = \frac1k \sum_{j \in N_k(i)} y_{jc}

    Args:
        train_features: Features of the examples whose labels are known.
        train_labels: What is true of them, 0 or 1; NaN where it is not known. A label that is known of none of the
            nearest has the score 0.
        features: Features of the examples to score.
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
    _check(train_features, train_labels)
    found = nearest_neighbours(features, train_features, neighbours=neighbours)
    return np.asarray(np.nan_to_num(_shares(found, train_labels)))


def neighbourhood_purity(
    features: Float[np.ndarray, "examples dim"], labels: Shaped[np.ndarray, "examples labels"], *, neighbours: int = 10
) -> Float[np.ndarray, " labels"]:
    r"""Say of each label what share of the nearest neighbours of its examples have it too; higher is better.

    .. math:: \operatorname{mean}_{i : y_{ic} = 1} \; \frac1k \sum_{j \in N_k(i)} y_{jc}

    Args:
        features: One row an example.
        labels: What is true of them, 0 or 1; NaN where it is not known, and such a neighbour is left out.
        neighbours: k; an example is not a neighbour of itself.

    Returns:
        Between 0 and 1 for each label, where chance gives the label's share of the examples. NaN for a label that no
        example has.

    Raises:
        LabelShapeError: Features and labels have different lengths.
        ConfigError: k is not between 1 and the number of other examples.
        EmbeddingError: A row is NaN or infinite.

    Example:
        >>> points = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        >>> neighbourhood_purity(points, np.array([[1, 0], [1, 0], [0, 1]]), neighbours=1)
        array([1., 0.])
    """
    _check(features, labels)
    found = _shares(nearest_neighbours(features, features, neighbours=neighbours, without_self=True), labels)
    having = (labels == 1) & ~np.isnan(found)
    counts = having.sum(axis=0)
    sums = np.where(having, found, 0.0).sum(axis=0)
    return np.asarray(np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0))


def unit_rows(features: Float[np.ndarray, "rows dim"], *, zero: bool = False) -> Float[torch.Tensor, "rows dim"]:
    """Scale every row to length 1.

    Args:
        features: One row an example.
        zero: Let a row of zeros be one.

    Raises:
        EmbeddingError: A row is NaN or infinite; or zero, where that is not let be, and has no direction.
    """
    rows: torch.Tensor = torch.from_numpy(features)
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    bad = int((~lengths.isfinite() | ((lengths == 0) & (not zero))).sum())
    if bad:
        wanted = "finite" if zero else "finite and of a length above 0"
        raise EmbeddingError(f"features must be {wanted}. Got {bad} rows that are not.")
    directions: torch.Tensor = rows / torch.where(lengths == 0, 1, lengths)
    return directions


def _shares(
    found: Integer[np.ndarray, "queries neighbours"], labels: Shaped[np.ndarray, "examples labels"]
) -> Float[np.ndarray, "queries labels"]:
    """Average what is known of what was found, NaN where nothing is; no array of queries x neighbours x labels."""
    queries, neighbours = found.shape
    ends = np.arange(0, found.size + 1, neighbours)
    picked = sp.csr_array((np.ones(found.size), found.ravel(), ends), shape=(queries, len(labels)))
    having = (picked @ sp.csr_array(labels == 1)).toarray()
    unknown = (picked @ sp.csr_array(~known_pairs(labels))).toarray()
    known = neighbours - unknown
    return np.asarray(np.divide(having, known, out=np.full(having.shape, np.nan), where=known > 0))


def _check(features: np.ndarray, labels: np.ndarray) -> None:
    """Refuse features and labels that do not belong together."""
    if len(features) != len(labels):
        raise LabelShapeError(
            f"features and labels must have the same number of rows. Got {len(features)} and {len(labels)}."
        )


Features = Float[np.ndarray, "examples dim"]
Labels = Shaped[np.ndarray, "examples labels"]


def level_retrieval(
    features: Features,
    labels: Labels,
    depths: Integer[np.ndarray, " labels"],
    *,
    at: Sequence[int] = (1, 10),
    seed: int = 0,
) -> list[dict[str, float]]:
    """Measure how well the neighbours, and the clusters, of an embedding tell the labels of each level.

    Args:
        features: of the examples; compared by cosine.
        labels: theirs, 0 or 1, closed upwards; NaN where one is unknown.
        depths: the level of each label.
        at: the k of precision at k.
        seed: of k-means.

    Returns:
        For each level, over its examples that have a label of it: ``map`` and ``precision_at_k``, as
        :func:`retrieval` has them, and ``nmi``, as :func:`cluster_nmi` has it; NaN where there are not two examples.
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
    """Let every example find those that share a label with it, among all others by cosine.

    Where it is not known whether two share a label, neither finds the other: that pair is left out.

    Args:
        features: of the examples.
        labels: theirs, 0 or 1; NaN where one is unknown.
        at: the k of precision at k; where there are fewer others, of all these.
        block_size: queries at a time; it changes no result.

    Returns:
        ``map``, the mean of the average precision, and ``precision_at_k``, the mean of the share of the k nearest that
        share a label; over the examples that share a label with another, NaN where there is none.

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
        similarity[~others] = -np.inf  # what a query does not look at comes last, where it moves nothing
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
    """Cluster unit features by k-means, into as many as there are label sets, and compare clusters and label sets.

    An example with an unknown label (NaN) is left out, since its set is not known.

    Returns:
        Normalised mutual information, from 0 to 1; NaN where there is no example.

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
