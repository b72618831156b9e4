r"""Scores that fall, or stay, from a label to those below it: three ways to make them so.

.. math:: \text{max:} \; \max_{d \text{ below } c} s_d, \qquad \text{product:} \; \prod_{a \text{ above } c} s_a, \qquad
   \text{projection:} \; \operatorname{argmin}_{t} \lVert t - s \rVert^2 \text{ with } t_c \le t_p
   \text{ for every parent p of c,}

a label being among those above and below it.
"""

from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array

from labelcontrast.errors import ConfigError, LabelShapeError
from labelcontrast.evaluation.hierarchical.forests import top_down
from labelcontrast.evaluation.hierarchical.projection import project

WAYS = ("max", "product", "projection")
Scores: TypeAlias = Float[np.ndarray, "examples labels"]


def consistent(scores: Scores, parents: csr_array, how: str) -> Scores:
    """Make scores consistent with a hierarchy: no label has a higher one than a label above it.

    Args:
        scores: of every label, from 0 to 1.
        parents: [labels, labels], 1 where the column is a parent of the row; without circles.
        how: ``"max"`` raises a label to the best below it; ``"product"`` takes a score for the probability of a label
            where all its parents are there, and multiplies; ``"projection"`` changes the scores as little as can be,
            in the sum of squares; where labels have several parents, to within 1e-8.

    Returns:
        Scores of the same shape and type.

    Raises:
        ConfigError: no such way.
        LabelShapeError: the scores have not a column for each label.

    Example:
        >>> chain = csr_array([[0, 0], [1, 0]])  # the second is below the first
        >>> for how in ("max", "product", "projection"):
        ...     consistent(np.array([[0.4, 0.8]]), chain, how).round(2).tolist()
        [[0.8, 0.8]]
        [[0.4, 0.32]]
        [[0.6, 0.6]]

    Reference: Obozinski et al., Consistent Probabilistic Outputs for Protein Function Prediction, 2008.
    """
    if how not in WAYS:
        raise ConfigError(f"how must be one of {', '.join(WAYS)}. Got {how!r}.")
    if scores.shape[1] != parents.shape[0]:
        raise LabelShapeError(
            f"scores must have a column for each of {parents.shape[0]} labels. Got {scores.shape[1]}."
        )
    if how == "projection":
        return project(np.ascontiguousarray(scores.T, np.float64), parents).T.astype(scores.dtype)
    order = top_down(parents)
    by_label = scores.T.copy()
    above = [parents.indices[parents.indptr[label] : parents.indptr[label + 1]] for label in range(len(by_label))]
    if how == "max":
        for label in order[::-1]:
            for parent in above[label]:
                np.maximum(by_label[parent], by_label[label], out=by_label[parent])
        return by_label.T.copy()
    closure = [{label} for label in range(len(by_label))]
    for label in order:
        closure[label].update(*(closure[parent] for parent in above[label]))
    return np.stack([by_label[sorted(labels)].prod(0) for labels in closure], 1)
