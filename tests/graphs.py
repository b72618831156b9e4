"""Hierarchies that hypothesis draws, walked from node to node."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from scipy.sparse import csr_array


@dataclass(frozen=True)
class Graph:
    """The parents of every node, each before it."""

    above: list[set[int]]

    @property
    def parents(self) -> csr_array:
        matrix = np.zeros((len(self.above), len(self.above)), np.uint8)
        for node, above in enumerate(self.above):
            matrix[node, list(above)] = 1
        return csr_array(matrix)

    @property
    def ancestors(self) -> csr_array:
        size = range(len(self.above))
        return csr_array(np.array([[int(a in self.walk(node)) for a in size] for node in size], np.uint8))

    @property
    def depths(self) -> np.ndarray:
        depths: list[int] = []
        for above in self.above:
            depths.append(1 + max(depths[a] for a in above) if above else 0)
        return np.array(depths)

    def walk(self, node: int) -> dict[int, int]:
        """Every node from this one up, and the fewest steps to it."""
        steps = {node: 0}
        for parent in self.above[node]:
            for above, further in self.walk(parent).items():
                steps[above] = min(steps.get(above, 99), further + 1)
        return steps

    def close(self, labels: set[int]) -> set[int]:
        return set().union(*(self.walk(label) for label in labels))

    def lowest(self, labels: set[int]) -> set[int]:
        closed = self.close(labels)
        return {a for a in closed if not any(a in self.walk(b) for b in closed - {a})}


@st.composite
def graphs(draw: st.DrawFn, *, most_parents: int = 2) -> Graph:
    """Up to seven nodes, each below up to some others."""
    size = draw(st.integers(1, 7))
    return Graph(
        [draw(st.sets(st.integers(0, node - 1), max_size=most_parents)) if node else set() for node in range(size)]
    )


@st.composite
def label_matrices(draw: st.DrawFn, *, labels: int, examples: int = 3) -> np.ndarray:
    rows = draw(
        st.lists(st.lists(st.booleans(), min_size=labels, max_size=labels), min_size=examples, max_size=examples)
    )
    return np.array(rows, np.uint8)


def sets(matrix: np.ndarray) -> list[set[int]]:
    return [set(np.flatnonzero(row).tolist()) for row in matrix]


def distance(graph: Graph, one: int, other: int) -> tuple[int, int]:
    """Return the steps between two nodes and their lowest common node; a virtual node is above all roots."""
    up, back = graph.walk(one), graph.walk(other)
    for way in (up, back):
        way[len(graph.above)] = 1 + min(steps for node, steps in way.items() if not graph.above[node])
    return min((up[node] + back[node], node) for node in up.keys() & back.keys())
