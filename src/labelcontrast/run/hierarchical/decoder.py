"""From scores to label sets that agree with a hierarchy, as the settings of a run say."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Shaped
from numpy import ndarray

from labelcontrast.config.sections import Hierarchy as Wanted
from labelcontrast.evaluation.hierarchical.consistency import consistent
from labelcontrast.evaluation.hierarchical.decoding import all_paths, best_path
from labelcontrast.evaluation.thresholds.rules import Thresholds
from labelcontrast.run.hierarchical.tree import LabelTree


@dataclass(frozen=True)
class Decoder:
    """The hierarchy over the labels of a run, and what is made of it.

    Example:
        >>> import numpy as np
        >>> from labelcontrast.evaluation.thresholds.rules import fixed_threshold
        >>> from labelcontrast.labels.hierarchy import Hierarchy
        >>> tree = LabelTree.over(["cat", "animal"], Hierarchy.from_parents({"cat": "animal"}))
        >>> decoder, scores = Decoder(tree, Wanted(consistency="max")), np.array([[0.8, 0.4]])
        >>> decoder.settle(scores).tolist()
        [[0.8, 0.8]]
        >>> Decoder(tree, Wanted(decoding="all_paths")).decide(scores, fixed_threshold(2)).tolist()
        [[False, False]]
    """

    tree: LabelTree
    wanted: Wanted

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
