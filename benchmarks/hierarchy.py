"""How long hierarchies of 100,000 nodes take, and measures and consistent scores over large families.

    python benchmarks/hierarchy.py

Processor time on one thread, which holds on a machine that does other work too. Writes
benchmarks/results/hierarchy.json.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from labelcontrast.labels.consistency import WAYS, consistent
from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.labels.hierarchy_files import read_hierarchy, write_hierarchy
from labelcontrast.metrics.hierarchical import hierarchical_metrics
from labelcontrast.run.machine import describe_origin

NODES = 100_000
Link = tuple[str, str | None]


def shapes(random: np.random.Generator) -> dict[str, list[Link]]:
    """The child and the parent of every edge, for hierarchies of several shapes."""
    nodes = np.arange(1, NODES)
    below_earlier = random.integers(0, nodes)
    second = [(str(node), str(random.integers(node))) for node in range(NODES // 10, NODES, 10)]
    return {
        "each below a random earlier one": (tree := _links(below_earlier)),
        "the same, every tenth below another too": list(dict.fromkeys([*tree, *second])),
        "ten below each": _links((nodes - 1) // 10),
        "all below one": _links(0 * nodes),
        "a thousand chains of a hundred": _links(np.where(nodes % 100, nodes - 1, -1)),
    }


def _links(above: np.ndarray) -> list[Link]:
    """Edges of the parents of the nodes from 1 on; -1 is no parent."""
    named = ((str(node), None if parent < 0 else str(parent)) for node, parent in enumerate(above.tolist(), 1))
    return [("0", None), *named]


def operations(edges: list[Link], random: np.random.Generator) -> dict[str, float]:
    """Seconds of everything that is asked of a hierarchy."""
    laps: dict[str, float] = {}
    first, second = random.integers(0, NODES, (2, NODES))
    labels = csr_array((np.ones(3 * NODES), random.integers(0, NODES, 3 * NODES), 3 * np.arange(NODES + 1)))
    labels.resize(NODES, NODES)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "hierarchy.json"
        hierarchy = _timed(laps, "build, with its levels", lambda: Hierarchy(edges))
        _timed(laps, "closure", lambda: hierarchy.ancestors)
        _timed(laps, "100,000 lowest common ancestors", lambda: hierarchy.lowest_common_ancestors(first, second))
        _timed(laps, "100,000 label sets of three closed", lambda: hierarchy.close(labels))
        _timed(laps, "put in the order of a vocabulary", lambda: hierarchy.over(hierarchy.names[::-1]))
        _timed(laps, "write", lambda: write_hierarchy(hierarchy, file))
        _timed(laps, "read", lambda: read_hierarchy(file))
    return laps


def judgements(random: np.random.Generator) -> dict[str, dict[str, float]]:
    """Seconds of the measures on 10,000 examples and 1,000 labels, and of consistent scores on large families."""
    found: dict[str, dict[str, float]] = {"measures, 10,000 examples, 1,000 labels, 5 true": {}}
    ten_below = _parents((np.arange(1, 1000) - 1) // 10)
    true = _drawn(random, 5)
    for count in (5, 50, 200):
        predicted = _drawn(random, count)
        _timed(
            found["measures, 10,000 examples, 1,000 labels, 5 true"],
            f"{count} predicted",
            lambda predicted=predicted: hierarchical_metrics(true, predicted, ten_below),
        )
    earlier = _parents(random.integers(0, np.arange(1, 1000)))
    others = csr_array((np.ones(99, np.uint8), (tenth := np.arange(10, 1000, 10), random.integers(0, tenth))))
    others.resize(earlier.shape)
    families = {
        "consistent, 1,000 examples, 10,000 labels below one": _parents(np.zeros(10_000, int)),
        "consistent, 1,000 examples, ten below each of 1,111": _parents((np.arange(1, 11_111) - 1) // 10),
        "consistent, 1,000 examples, a chain of 500": _parents(np.arange(499)),
        "consistent, 10,000 examples, 1,000 labels, each below a random earlier one": earlier,
        "consistent, 10,000 examples, the same, every tenth below another too": csr_array((earlier + others) > 0),
    }
    for name, parents in families.items():
        examples = int(name.split()[1].replace(",", ""))
        scores, laps = random.random((examples, parents.shape[0])), found.setdefault(name, {})
        for how in WAYS:
            _timed(laps, how, lambda how=how, parents=parents, scores=scores: consistent(scores, parents, how))
    return found


def _parents(above: np.ndarray) -> csr_array:
    """A tree as a matrix, from the parents of the nodes from 1 on."""
    size = len(above) + 1
    return csr_array((np.ones(size - 1, np.uint8), (np.arange(1, size), above)), shape=(size, size))


def _drawn(random: np.random.Generator, count: int) -> np.ndarray:
    """Draw label sets of 10,000 examples, each from ``count`` draws of 1,000 labels."""
    labels = np.zeros((10_000, 1000), np.uint8)
    np.put_along_axis(labels, random.integers(0, 1000, (10_000, count)), 1, axis=1)
    return labels


def _timed(laps: dict[str, float], name: str, do: Callable[[], Any]) -> Any:
    """Do it, and write down how long the processor took."""
    start = time.process_time()
    done = do()
    laps[name] = round(time.process_time() - start, 2)
    return done


def main() -> None:
    """Measure everything and write it down."""
    random = np.random.default_rng(0)
    found = {
        **describe_origin(),
        "hierarchies of 100,000 nodes, seconds": {
            name: operations(edges, random) for name, edges in shapes(random).items()
        },
        "judgement, seconds": judgements(random),
    }
    path = Path(__file__).parent / "results" / "hierarchy.json"
    path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
