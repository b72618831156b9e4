"""What a run over a hierarchy comes to: predictions by level and by node, and embeddings on unseen leaves."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from labelcontrast.evaluation.hierarchical.metrics import hierarchical_metrics, level_metrics
from labelcontrast.evaluation.hierarchical.unseen import cluster_nmi, level_retrieval, retrieval
from labelcontrast.run.hierarchical.closing import Unseen
from labelcontrast.run.hierarchical.tree import LabelTree

Labels = Shaped[np.ndarray, "examples labels"]


def measure_hierarchy(tree: LabelTree, labels: Labels, predictions: Labels) -> dict[str, Any]:
    """Measure predictions over all nodes, the true label sets closed.

    A node that is no label is predicted where a label below it is; else predictions are taken as they are, for the
    levels too, so that a label without the one above it costs on the level above.

    Returns:
        The measures of ``HIERARCHICAL_METRICS``; and as ``levels`` those of each level, from the roots on.
    """
    true, predicted = tree.close(labels).toarray(), tree.imply(predictions)
    found: dict[str, Any] = hierarchical_metrics(true, predicted, tree.nodes.parents)
    sizes = np.bincount(tree.nodes.depths).tolist()
    levels = level_metrics(true, predicted, tree.nodes.depths)
    return {**found, "levels": [{"nodes": size, **level} for size, level in zip(sizes, levels, strict=True)]}


def per_node_table(tree: LabelTree, labels: Labels, predictions: Labels) -> list[dict[str, Any]]:
    """List every node with its parents, its level, the examples that have it, and its F1, as the levels have it."""
    true, predicted = tree.close(labels).toarray() > 0, tree.imply(predictions)
    sizes = true.sum(0) + predicted.sum(0)
    f1 = 2 * (true & predicted).sum(0) / np.maximum(sizes, 1)
    above = tree.nodes.vocabulary.decode(tree.nodes.parents)
    columns = (tree.nodes.names, above, tree.nodes.depths.tolist(), true.sum(0).tolist(), f1.tolist())
    names = ("node", "parents", "level", "support", "f1")
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def measure_unseen(
    tree: LabelTree,
    labels: Labels,
    unseen: Unseen,
    features: Mapping[str, Float[np.ndarray, "examples dim"]],
    *,
    seed: int,
) -> dict[str, Any]:
    """Measure embeddings by retrieval and by clusters, on seen and on unseen leaves.

    Args:
        tree: of the labels that were trained on.
        labels: of the test examples.
        unseen: the test examples of leaves that were not trained on.
        features: of ``test`` and ``unseen``.
        seed: of the clusters.

    Returns:
        The leaves that were ``held_out``; for ``seen`` and ``unseen`` the measures of each level, from the roots on;
        and as ``unseen_leaves`` those of the leaves held out alone, whatever else these examples share.
    """
    held = unseen.labels[:, [unseen.tree.nodes.vocabulary.column[name] for name in unseen.held]].toarray()
    own = features["unseen"]
    return {
        "held_out": list(unseen.held),
        "seen": level_retrieval(features["test"], tree.close(labels).toarray(), tree.nodes.depths, seed=seed),
        "unseen": level_retrieval(own, unseen.labels.toarray(), unseen.tree.nodes.depths, seed=seed),
        "unseen_leaves": {**retrieval(own, held), "nmi": cluster_nmi(own, held, seed=seed)},
    }
