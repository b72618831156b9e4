"""What is shown of a run over a hierarchy: on its page, in the terminal, and beside other runs in a comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

from labelcontrast.evaluation.metrics.catalogue import HIERARCHICAL_METRICS, METRICS, Metric
from labelcontrast.reports.summary import EmbeddingMap, HierarchySummary

COMPARED = ("hierarchical_f1", "lca_f1", "tree_distance_of_errors", "violations")
"""Of the measures over all levels, what a comparison shows."""
OF_LEVELS = ("macro_f1", "accuracy")
"""Of the measures of each level, what a comparison shows."""


def summarise_hierarchy(
    found: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]], maps: Sequence[EmbeddingMap]
) -> HierarchySummary:
    """Gather what a page shows of a hierarchy: what ``metrics.json`` has of it, its nodes, and the maps by level."""
    return HierarchySummary(
        source=found["source"],
        measures=list(HIERARCHICAL_METRICS.values()),
        metrics={part: found[part] for part in ("val", "test")},
        levels=found["test"]["levels"],
        nodes=nodes,
        maps=maps,
        held_out=found.get("held_out", ()),
        retrieval=retrieval_groups(found),
    )


def retrieval_groups(found: Mapping[str, Any]) -> dict[str, Sequence[Mapping[str, float | None]]]:
    """Name the groups that embeddings are judged on without a probe; none where no leaf is held out."""
    if "held_out" not in found:
        return {}
    return {"seen": found["seen"], "unseen": found["unseen"], "unseen leaves alone": [found["unseen_leaves"]]}


def flat_measures(found: Mapping[str, Any]) -> dict[str, float | None]:
    """List the measures of one part under one name each, those of levels too.

    Example:
        >>> found = {"violations": 0.25, "levels": [{"nodes": 2, "macro_f1": 0.5, "accuracy": None}]}
        >>> flat_measures(found)
        {'violations': 0.25, 'level_0_macro_f1': 0.5, 'level_0_accuracy': None}
    """
    flat = {name: value for name, value in found.items() if name in HIERARCHICAL_METRICS}
    levels = found["levels"]
    return flat | {
        f"level_{place}_{name}": level[name] for place, level in enumerate(levels) for name in level if name != "nodes"
    }


def compared_measures(levels: int) -> list[Metric]:
    """List what a comparison shows of a hierarchy of so many levels."""
    shown = [HIERARCHICAL_METRICS[name] for name in COMPARED]
    meanings = {"macro_f1": METRICS["macro_f1"].meaning, "accuracy": "Share of the examples that are right there."}
    return shown + [
        Metric(f"level_{level}_{name}", "higher", meanings[name]) for level in range(levels) for name in OF_LEVELS
    ]
