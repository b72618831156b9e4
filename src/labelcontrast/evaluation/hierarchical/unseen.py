"""Embeddings judged on classes that were not trained on: leaves held out, retrieval, and clusters, level by level."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped
from scipy.sparse import csr_array
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from sklearn.preprocessing import normalize

from labelcontrast.errors import ConfigError
from labelcontrast.evaluation.metrics.counting import known_pairs

Features = Float[np.ndarray, "examples dim"]
Labels = Shaped[np.ndarray, "examples labels"]


def hold_out_leaves(
    labels: Labels, parents: csr_array, *, share: float, generator: np.random.Generator
) -> tuple[Integer[np.ndarray, " held"], Bool[np.ndarray, " examples"]]:
    """Choose leaves that training shall not see, at random among those that have an example.

    Args:
        labels: of all examples, 0 or 1.
        parents: [labels, labels], 1 where the column is a parent of the row.
        share: of the leaves to hold out, rounded; at least one is held out, and one is left.
        generator: chooses.

    Returns:
        The leaves that are held out; and which examples have one of them, and so are not to be trained on.

    Raises:
        ConfigError: the share is not between 0 and 1, or fewer than two leaves have an example.

    Example:
        >>> labels = np.array([[1, 1, 0], [1, 0, 1], [1, 0, 0]])
        >>> tree = csr_array([[0, 0, 0], [1, 0, 0], [1, 0, 0]])
        >>> held, unseen = hold_out_leaves(labels, tree, share=0.5, generator=np.random.default_rng(0))
        >>> held.tolist(), unseen.tolist()
        ([2], [False, True, False])
    """
    if not 0 < share < 1:
        raise ConfigError(f"share must be between 0 and 1. Got {share}.")
    is_leaf = np.bincount(parents.indices, minlength=parents.shape[0]) == 0
    leaves = np.flatnonzero(is_leaf & labels.any(0))
    if len(leaves) < 2:
        raise ConfigError(f"to hold out leaves, two of them must have an example. Got {len(leaves)}.")
    count = min(max(round(share * len(leaves)), 1), len(leaves) - 1)
    held = np.sort(generator.choice(leaves, count, replace=False))
    return held, np.asarray(labels[:, held].any(1))


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
