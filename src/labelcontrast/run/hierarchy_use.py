"""Predictions of a run over its hierarchy: label sets that agree with it, and their measures level by level."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy import ndarray

from labelcontrast.labels.consistency import consistent
from labelcontrast.labels.tree import LabelTree
from labelcontrast.metrics.hierarchical import HierarchicalMetrics, LevelMetrics
from labelcontrast.metrics.neighbours import cluster_nmi, level_retrieval, retrieval
from labelcontrast.probes.decoding import all_paths, best_path
from labelcontrast.probes.thresholds import Thresholds
from labelcontrast.run.hierarchy import Unseen
from labelcontrast.settings import HierarchySettings

Labels = Shaped[np.ndarray, "examples labels"]
Counts = Shaped[np.ndarray, "resamples examples"]
BLOCK = 2**20
"""Pairs of an example and a node that are looked at together."""


@dataclass(frozen=True)
class Decoder:
    """The hierarchy over the labels of a run, and what is made of it.

    Example:
        >>> import numpy as np
        >>> from labelcontrast.probes.thresholds import fixed_threshold
        >>> from labelcontrast.labels.hierarchy import Hierarchy
        >>> tree = LabelTree.over(["cat", "animal"], Hierarchy.from_parents({"cat": "animal"}))
        >>> decoder, scores = Decoder(tree, HierarchySettings(consistency="max")), np.array([[0.8, 0.4]])
        >>> decoder.settle(scores).tolist()
        [[0.8, 0.8]]
        >>> Decoder(tree, HierarchySettings(decoding="all_paths")).decide(scores, fixed_threshold(2)).tolist()
        [[False, False]]
    """

    tree: LabelTree
    wanted: HierarchySettings

    def settle(self, scores: Float[ndarray, "examples labels"]) -> Float[ndarray, "examples labels"]:
        """Make scores consistent, where that is wanted."""
        how = self.wanted.consistency
        return scores if how == "none" else consistent(scores, self.tree.parents, how)

    def decide(
        self, scores: Float[ndarray, "examples labels"], thresholds: Thresholds
    ) -> Bool[ndarray, "examples labels"]:
        """Predict label sets from settled scores."""
        if self.wanted.decoding == "best_path":
            return best_path(scores, self.tree.ancestors)
        if self.wanted.decoding == "all_paths":
            return all_paths(scores, self.tree.ancestors, thresholds)
        return thresholds.predict(scores)

    def truth(self, labels: Shaped[ndarray, "examples labels"]) -> Shaped[ndarray, "examples labels"]:
        """Close given label sets, where examples were trained so; every node is a label then."""
        return self.tree.close_soft(labels) if self.wanted.closure else labels


class StreamedHierarchy:
    """Predictions over all nodes of a hierarchy, from batches: never are all of them in memory.

    The true label sets are closed; above an unknown label is unknown too, unless what is known suffices. A node that is
    no label is predicted where a label below it is; else predictions are taken as they are, for the levels too, so that
    a label without the one above it costs on the level above.

    Args:
        tree: over the labels.
        resamples: how many resamples of the examples are measured; one are the examples as they are.
    """

    def __init__(self, tree: LabelTree, *, resamples: int = 1) -> None:
        self._tree = tree
        self._whole = HierarchicalMetrics(tree.nodes.parents, resamples=resamples)
        self._levels = LevelMetrics(tree.nodes.depths, resamples=resamples)

    def update(self, labels: Labels, predictions: Labels, counts: Counts | None = None) -> None:
        """Count a batch, some rows at a time.

        Args:
            labels: what is true, 0 or 1; NaN where it is unknown.
            predictions: what is predicted, 0 or 1.
            counts: how often each example is in each resample; by default once.
        """
        step = max(1, BLOCK // len(self._tree.nodes))
        for at in range(0, len(labels), step):
            true = self._tree.close_soft(labels[at : at + step])
            predicted = self._tree.imply(predictions[at : at + step])
            weights = None if counts is None else counts[:, at : at + step]
            self._whole.update(true, predicted, weights)
            self._levels.update(true, predicted, weights)

    def measures(self) -> dict[str, Any]:
        """Compute the measures of ``HIERARCHICAL_METRICS``, and as ``levels`` those of each level from the roots on."""
        sizes = np.bincount(self._tree.nodes.depths).tolist()
        levels = zip(sizes, self._levels.measures(), strict=True)
        found: dict[str, Any] = self._whole.measures()
        return {**found, "levels": [{"nodes": size, **level} for size, level in levels]}

    def resampled(self) -> dict[str, Float[np.ndarray, " resamples"]]:
        """Compute the measures of every resample, those of levels by one name each."""
        levels = enumerate(self._levels.resampled())
        of_levels = {f"level_{place}_{name}": values for place, level in levels for name, values in level.items()}
        return self._whole.resampled() | of_levels

    def per_node(self) -> list[dict[str, Any]]:
        """List every node with its parents, its level, the examples that have it, and its F1, as the levels have it."""
        nodes, counted = self._tree.nodes, self._levels
        above = nodes.vocabulary.decode(nodes.parents)
        support, f1 = counted.support[0].astype(int).tolist(), counted.f1[0].tolist()
        columns = (nodes.names, above, nodes.depths.tolist(), support, f1)
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
        labels: of the test examples, 0 or 1; NaN where one is unknown.
        unseen: the test examples of leaves that were not trained on.
        features: of ``test`` and ``unseen``.
        seed: of the clusters.

    Returns:
        The leaves that were ``held_out``; for ``seen`` and ``unseen`` the measures of each level, from the roots on;
        and as ``unseen_leaves`` those of the leaves held out alone, whatever else these examples share.
    """
    held = unseen.labels[:, [unseen.tree.nodes.vocabulary.column[name] for name in unseen.held]]
    own = features["unseen"]
    return {
        "held_out": list(unseen.held),
        "seen": level_retrieval(features["test"], tree.close_soft(labels), tree.nodes.depths, seed=seed),
        "unseen": level_retrieval(own, unseen.labels, unseen.tree.nodes.depths, seed=seed),
        "unseen_leaves": {**retrieval(own, held), "nmi": cluster_nmi(own, held, seed=seed)},
    }
