"""What the nearest neighbours of an example say of its labels: nothing is fitted, so an embedding is judged as it is.

Exact, by cosine similarity, a block of queries at a time: never an array of queries x examples. The similarity of an
embedding that is exactly zero is 0 to every other: it is neither near nor far, and among equals any may be taken.
"""

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Integer, Shaped

from labelcontrast.errors import ConfigError, EmbeddingError, LabelShapeError
from labelcontrast.evaluation.metrics.counting import known_pairs

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
