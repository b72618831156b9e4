"""Report of a run, made from the files in its folder."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from labelcontrast.errors import RunError
from labelcontrast.files import read_json
from labelcontrast.metrics.registry import HIERARCHICAL_METRICS, METRICS
from labelcontrast.probes.thresholds import Thresholds
from labelcontrast.reports.pages import write_model_card, write_run_report
from labelcontrast.reports.summary import EmbeddingScatter, HierarchySummary, RunSummary
from labelcontrast.reports.tables import COUNTED, percent
from labelcontrast.run.folder import METRICS as METRICS_FILE
from labelcontrast.run.folder import PER_LABEL, PER_NODE, REPORT, SCATTER, THRESHOLDS, is_finished, load_settings
from labelcontrast.settings import flatten
from labelcontrast.training.history import HISTORY, read_history


def summarise_hierarchy(
    found: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]], maps: Sequence[EmbeddingScatter]
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


CARD = "README.md"
MAPPED_LABELS = 7
"""As many labels of the map have a colour as there are colours that everyone tells apart."""


def write_report(folder: Path) -> Path:
    """Write the page of a run and its model card from the files in its folder.

    Raises:
        RunError: when the folder is not a finished run.
    """
    page = folder / REPORT
    if not is_finished(folder):
        message = f"{folder} is neither a finished run nor a comparison."
        raise RunError(message)
    summary, thresholds = summarise_run(folder), Thresholds.load(folder / THRESHOLDS)
    write_run_report(page, summary)
    write_model_card(
        folder / CARD,
        summary,
        kind=read_json(folder / METRICS_FILE)["kind"],
        threshold=float(thresholds.values.mean()),
        rule=thresholds.rule,
    )
    return page


def summarise_run(folder: Path) -> RunSummary:
    """Gather the page of a run."""
    result, settings = read_json(folder / METRICS_FILE), load_settings(folder)
    return RunSummary(
        title=f"{settings.loss.title} on {Path(settings.data).name}",
        command=result["command"],
        measures=list(METRICS.values()),
        metrics=result["metrics"],
        facts=[
            *run_facts(result),
            ("epoch kept", result["best_epoch"]),
            *_embedding_facts(result.get("representation", {})),
        ],
        per_label=read_json(folder / PER_LABEL),
        curves=read_curves(folder),
        reliability={
            name: (one["count"], one["said"], one["true"]) for name, one in result.get("reliability", {}).items()
        },
        embedding=_read_map(folder / SCATTER) if (folder / SCATTER).exists() else None,
        hierarchy=_hierarchy(folder, result["hierarchy"]) if "hierarchy" in result else None,
        settings=flatten(settings.model_dump(mode="json", exclude_none=True)),
        warnings=result["warnings"],
        versions=result["versions"],
        duration=sum(result["seconds"].values()),
    )


def _hierarchy(folder: Path, found: Mapping[str, Any]) -> HierarchySummary:
    """Gather what the page shows of the hierarchy of a run."""
    drawn = read_json(folder / SCATTER) if (folder / SCATTER).exists() else {}
    maps = [_as_map(drawn, label_sets) for label_sets in drawn.get("levels", ())]
    return summarise_hierarchy(found, read_json(folder / PER_NODE), maps)


def read_curves(folder: Path) -> dict[str, tuple[list[float], list[float]]]:
    """Read the learning curves of a run, by epoch."""
    history = read_history(folder / HISTORY)
    epochs = [float(epoch.epoch) for epoch in history]
    names = {"loss": "training loss", "score": "validation mAP", "learning_rate": "learning rate"}
    curves = {title: (epochs, [asdict(epoch)[name] for epoch in history]) for name, title in names.items()}
    for name in history[0].diagnostics if history else ():
        curves[COUNTED.get(name, name)] = (epochs, [epoch.diagnostics[name] for epoch in history])
    return curves


def _embedding_facts(found: Mapping[str, Any]) -> list[tuple[str, object]]:
    """List what was measured of the test embeddings without a probe."""
    named = {
        "alignment": "alignment of equal label sets, lower is better",
        "uniformity": "uniformity, lower is more even",
        "effective_rank": "effective rank",
    }
    facts: list[tuple[str, object]] = [
        (said, f"{found[name]:.3g}") for name, said in named.items() if found.get(name) is not None
    ]
    if "neighbours" in found:
        facts.append(("mAP of nearest neighbours", percent(found["neighbours"]["map_macro"])))
    return facts


def _read_map(path: Path) -> EmbeddingScatter:
    """Read the map of embeddings, with one label a point to colour it by."""
    drawn = read_json(path)
    return _as_map(drawn, drawn["labels"])


def _as_map(drawn: Mapping[str, Any], label_sets: Sequence[Sequence[str]]) -> EmbeddingScatter:
    """Colour the map by some labels of each point."""
    return EmbeddingScatter(
        coordinates=np.array(drawn["points"]), labels=_rarest_label(label_sets), method=drawn["method"]
    )


def _rarest_label(label_sets: Sequence[Sequence[str]]) -> list[str | None]:
    """Colour each point by the rarest of its labels among the most frequent of the map; others stay grey."""
    counts = Counter(label for labels in label_sets for label in labels)
    shown = {label for label, _ in counts.most_common(MAPPED_LABELS)}
    return [
        min((label for label in labels if label in shown), key=counts.__getitem__, default=None)
        for labels in label_sets
    ]


def run_facts(result: Mapping[str, Any]) -> list[tuple[str, object]]:
    """List what the run was made of and on which machine."""
    machine, examples = result["machine"], result["examples"]
    return [
        ("examples", ", ".join(f"{count:,} {part}" for part, count in examples.items())),
        ("labels", result["labels"]),
        ("encoder parameters", f"{result['encoder_parameters']:,}"),
        ("machine", f"{machine['processors']} processors, {machine['memory_gib']} GiB"),
        ("accelerator", machine["accelerator"] or "none"),
        ("date", result["date"]),
    ]
