"""The label set of an example whose F1 with the true one is expected to be highest."""

import numpy as np
from jaxtyping import Bool, Float

BLOCK = 2**25
"""Numbers that are kept at a time: for each example about the square of the number of labels."""


def expected_f1_sets(probabilities: Float[np.ndarray, "examples labels"]) -> Bool[np.ndarray, "examples labels"]:
    r"""Choose for each example the set with the highest expected F1, if its labels are independent of one another.

    .. math:: \operatorname{argmax}_S \; \mathbb{E}_Y \frac{2 \, |S \cap Y|}{|S| + |Y|},
        \qquad Y_l \sim \text{Bernoulli}(p_l)

    The best set of k labels is that of the k most probable ones, so only k is sought; exactly, in a time that grows
    with the square of the number of labels. An empty set has an F1 of 0, as in the metrics: so at least one label is
    chosen, unless all probabilities are 0. It asks for probabilities that can be believed: calibrate them first.

    Example:
        >>> expected_f1_sets(np.array([[0.9, 0.6, 0.1], [0.2, 0.1, 0.15]])).tolist()
        [[True, True, False], [True, False, True]]

    Reference: Ye, Chai, Lee and Chieu, Optimizing F-Measures: A Tale of Two Approaches, 2012.
    """
    chosen = np.zeros(probabilities.shape, dtype=bool)
    step = max(1, BLOCK // probabilities.shape[1] ** 2)
    for at in range(0, len(chosen), step):
        chosen[at : at + step] = _choose(probabilities[at : at + step].astype(np.float64))
    return chosen


def _choose(probabilities: Float[np.ndarray, "examples labels"]) -> Bool[np.ndarray, "examples labels"]:
    """Choose the sets of a few examples."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    expected = _expected_f1(np.take_along_axis(probabilities, order, axis=1).T)
    size = np.where(expected.max(axis=0) > 0, expected.argmax(axis=0) + 1, 0)
    chosen = np.zeros(probabilities.shape, dtype=bool)
    np.put_along_axis(chosen, order, np.arange(len(expected)) < size[:, None], axis=1)
    return chosen


def _expected_f1(ranked: Float[np.ndarray, "labels examples"]) -> Float[np.ndarray, "labels examples"]:
    """Expected F1 of the k most probable labels, for k = 1 to all.

    ``found[h]`` is the chance that h of the first k labels are true; ``rest[m]`` the mean of 1 / (m + T), where T is
    how many of the labels after the first k are true. Then the F1 is the sum over h of found[h] * 2 h * rest[k + h].
    """
    total, examples = ranked.shape
    found = [np.ones((1, examples))]
    for chance in ranked:
        none, one = np.pad(found[-1], ((0, 1), (0, 0))), np.pad(found[-1], ((1, 0), (0, 0)))
        found.append((1 - chance) * none + chance * one)
    rest = np.repeat(1 / np.arange(1, 2 * total + 1.0)[:, None], examples, axis=1)
    expected = np.empty_like(ranked)
    for size in range(total, 0, -1):
        hits = np.arange(1, size + 1)
        expected[size - 1] = (found[size][1:] * 2 * hits[:, None] * rest[size + hits - 1]).sum(axis=0)
        chance = ranked[size - 1]
        rest = (1 - chance) * rest[:-1] + chance * rest[1:]
    return expected
