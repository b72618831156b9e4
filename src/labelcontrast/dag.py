"""Directed acyclic graphs of labels as sparse matrices: ancestors, levels, steps, and the lowest labels of a set.

A graph is given by its parents: [nodes, nodes], 1 where the column is a parent of the row.
"""

import numpy as np
from jaxtyping import Integer
from scipy.sparse import csr_array, eye_array, hstack


def depths(parents: csr_array) -> Integer[np.ndarray, " nodes"]:
    """Return the level of each node: 0 for a root, else one more than the deepest of its parents; -1 below a cycle.

    Example:
        >>> depths(csr_array([[0, 0, 0], [1, 0, 0], [1, 1, 0]])).tolist()
        [0, 1, 2]
    """
    found = np.full(parents.shape[0], -1)
    waiting = np.diff(parents.indptr)
    children = csr_array(parents.T.tocsr())
    front, depth = np.flatnonzero(waiting == 0), 0
    while front.size:
        found[front] = depth
        below = children[front].indices
        np.subtract.at(waiting, below, 1)
        front = np.unique(below[waiting[below] == 0])
        depth += 1
    return found


def top_down(parents: csr_array) -> list[int]:
    """Order the nodes so that each comes after all its parents.

    Example:
        >>> top_down(csr_array([[0, 1, 0], [0, 0, 0], [1, 0, 0]]))
        [1, 0, 2]
    """
    waiting = np.diff(parents.indptr).tolist()
    children = parents.T.tocsr()
    below, starts = children.indices.tolist(), children.indptr.tolist()
    order = [node for node, count in enumerate(waiting) if not count]
    for node in order:  # grows on the way
        for child in below[starts[node] : starts[node + 1]]:
            waiting[child] -= 1
            if waiting[child] == 0:
                order.append(child)
    return order


def ancestors(parents: csr_array, *, longest: int) -> csr_array:
    """Return a matrix with 1 where the column is the row itself or above it.

    Args:
        parents: Without cycles.
        longest: Number of steps of the longest path, the highest of ``depths``.

    Example:
        >>> ancestors(csr_array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]), longest=2).toarray().tolist()
        [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    """
    closure = binary(parents + eye_array(parents.shape[0], dtype=np.uint8))
    reach = 1
    while reach < longest:  # two steps of up to `reach` make one of up to twice as many
        wide = closure.astype(bool)
        closure = binary(wide @ wide)
        reach *= 2
    return closure


def steps_up(parents: csr_array) -> csr_array:
    """Count the fewest steps from each node up to each of its ancestors.

    Args:
        parents: Without cycles.

    Returns:
        [nodes, nodes + 1]: one more than the steps, and 0 where the column is not above; the last is above all roots.

    Example:
        >>> steps_up(csr_array([[0, 0], [1, 0]])).toarray().tolist()
        [[1, 0, 2], [2, 1, 3]]
    """
    size = parents.shape[0]
    roots = csr_array((np.diff(parents.indptr) == 0).astype(np.int64)[:, None])
    links = hstack([csr_array(parents, dtype=np.int64), roots], format="csr")
    found = csr_array(eye_array(size, size + 1, dtype=np.int64))
    front, number = csr_array(eye_array(size, dtype=np.int64)), 1
    while front.nnz:
        number += 1
        reached = (front @ links).astype(bool)
        fresh = csr_array(reached > found.astype(bool)).astype(np.int64)
        found = csr_array(found + number * fresh)
        front = csr_array(fresh[:, :size])
    found.sort_indices()
    return found


def lowest(labels: object, ancestors: csr_array) -> csr_array:
    """Keep of each label set the labels without another label of the set below them.

    Args:
        labels: Shape [examples, nodes], 0 or 1, dense or sparse.
        ancestors: Shape [nodes, nodes], nonzero where the column is the row or above it.

    Example:
        >>> lowest(csr_array([[1, 1], [1, 0]]), csr_array([[1, 0], [1, 1]])).toarray().tolist()
        [[0, 1], [1, 0]]
    """
    own = csr_array(labels).astype(bool)
    strict = csr_array(ancestors).astype(bool).astype(np.int8) - eye_array(own.shape[1], dtype=np.int8)
    return csr_array((own > csr_array(own @ csr_array(strict).astype(bool))).astype(np.uint8))


def binary(matrix: object) -> csr_array:
    """Return a matrix of 8 bits with a 1 in the place of each nonzero entry."""
    ones = csr_array(matrix)
    ones.sum_duplicates()
    ones.eliminate_zeros()
    return csr_array((np.ones(ones.nnz, np.uint8), ones.indices, ones.indptr), shape=ones.shape)
