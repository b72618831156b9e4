"""The page of a run and its model card, made from the files in its folder."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labelcontrast.errors import RunError
from labelcontrast.files import read_json
from labelcontrast.metrics.measures import Outputs, draw_resamples, resampled_metrics
from labelcontrast.metrics.registry import HIERARCHICAL_METRICS, LEVEL_METRICS, METRICS, RETRIEVAL_METRICS
from labelcontrast.probes.thresholds import Thresholds
from labelcontrast.probes.views import PROBE, VIEWS_BY_NAME
from labelcontrast.reports.pages import write_model_card, write_run_report
from labelcontrast.reports.summary import (
    CardFacts,
    EmbeddingScatter,
    HierarchySummary,
    MistakenLabel,
    RunSummary,
    ShownExamples,
)
from labelcontrast.reports.tables import PAIR_STATISTICS, percent
from labelcontrast.run.examples import confused_labels, curve_points, most_mistaken, threshold_curve, wrong_pairs
from labelcontrast.run.folder import (
    CARD,
    EXAMPLES,
    OUTPUTS,
    PER_LABEL,
    PER_NODE,
    REPORT,
    RESULT_FILES,
    SCATTER,
    THRESHOLDS,
    RunResult,
    check_files,
    is_finished,
    load_settings,
    undamaged,
)
from labelcontrast.run.machine import machine_facts
from labelcontrast.settings import EncoderSettings, flatten
from labelcontrast.training.epochs import HISTORY, read_history

COLOURED_LABELS = 7
"""Number of labels with a colour of their own in the scatter plot, limited to clearly distinct colours."""
MISTAKEN, POINTS = 12, 40
"""Labels whose mistakes are shown, and thresholds of their curves, beside the multiples of 0.05."""
RESAMPLES = 200
"""Of the test examples, for the intervals on a card."""
DIAGRAMS = {"as said": "uncalibrated"}
"""Titles of reliability diagrams, for keys of ``metrics.json`` that are no titles."""


def write_report(folder: str | Path) -> Path:
    """Write the page of a run and its model card from the files in its folder, and return the page.

    Raises:
        RunError: The folder is not a finished run.
    """
    folder = Path(folder)
    if not is_finished(folder):
        raise RunError(f"{folder} is neither a finished run nor a comparison.")
    summary = write_card(folder, folder / CARD)
    write_run_report(folder / REPORT, summary)
    return folder / REPORT


def write_card(folder: str | Path, path: str | Path, *, for_hub: bool = False) -> RunSummary:
    """Write the model card of a run, and return the content of its page.

    Args:
        folder: The finished run.
        path: The Markdown file.
        for_hub: Begin with the fields that the hub of Hugging Face reads, and add 95 % intervals of the test metrics
            over 200 resamples of the test examples.

    Raises:
        RunError: A file of the run is damaged.
    """
    folder = Path(folder)
    check_files(folder, [THRESHOLDS, *RESULT_FILES])
    with undamaged(folder):
        result, thresholds = RunResult.load(folder), Thresholds.load(folder / THRESHOLDS)
        summary = summarise_run(folder, result)
        facts = CardFacts(
            kind=result.kind,
            threshold=float(thresholds.values.mean()),
            rule=thresholds.rule,
            examples=result.examples,
            for_hub=for_hub,
            encoder=load_settings(folder).encoder.name,
            calibration=load_settings(folder).evaluation.calibration,
            intervals=metric_intervals(folder) if for_hub and (folder / OUTPUTS).exists() else {},
        )
    write_model_card(path, summary, facts)
    return summary


def metric_intervals(folder: str | Path) -> dict[str, tuple[float, float]]:
    """Compute 95 % percentile intervals of the test metrics over resamples of the test examples, keyed by metric.

    Reference: Efron and Tibshirani, An Introduction to the Bootstrap, 1993.
    """
    outputs = Outputs.load(Path(folder) / OUTPUTS)
    counts = draw_resamples(len(outputs.labels), resamples=RESAMPLES, generator=np.random.default_rng(0))
    found = resampled_metrics(outputs.labels, outputs.scores, outputs.predictions, counts)
    return {name: tuple(np.nanpercentile(values, (2.5, 97.5)).tolist()) for name, values in found.items()}


def summarise_run(folder: str | Path, result: RunResult) -> RunSummary:
    """Collect the content of the page of a run."""
    folder = Path(folder)
    settings, representation = load_settings(folder), result.representation or {}
    scatter = read_json(folder / SCATTER) if (folder / SCATTER).exists() else None
    nodes = read_json(folder / PER_NODE) if result.hierarchy else []
    examples = read_json(folder / EXAMPLES) if (folder / EXAMPLES).exists() else None
    return RunSummary(
        title=f"{settings.loss.title} on {Path(settings.data).name}",
        command=result.command,
        measures=list(METRICS.values()),
        metrics=result.metrics,
        views={name: {**view, "scores_by": _scores_by(name)} for name, view in (result.views or {}).items()},
        facts=[
            ("encoder", _encoder_title(settings.encoder)),
            *run_facts(result),
            ("epoch kept", result.best_epoch),
            *_representation_facts(representation),
        ],
        per_label=read_json(folder / PER_LABEL),
        curves=read_curves(folder),
        reliability={
            DIAGRAMS.get(name, name): (one["count"], one["said"], one["true"])
            for name, one in (result.reliability or {}).items()
        },
        embedding=_scatter(scatter, scatter["labels"]) if scatter else None,
        examples=ShownExamples(**examples) if examples else None,
        mistaken=mistaken_labels(folder),
        hierarchy=summarise_hierarchy(result.hierarchy, nodes, scatter) if result.hierarchy else None,
        settings=flatten(settings.model_dump(mode="json", exclude_none=True)),
        warnings=result.warnings,
        versions=result.versions,
        duration=sum(result.seconds.values()),
    )


def mistaken_labels(folder: str | Path) -> list[MistakenLabel]:
    """Collect the labels with the most mistakes on test; none for a folder without the predictions."""
    folder = Path(folder)
    if not (folder / OUTPUTS).exists():
        return []
    outputs, rows, found = Outputs.load(folder / OUTPUTS), read_json(folder / PER_LABEL), []
    names = [row["label"] for row in rows]
    wrong = wrong_pairs(outputs)
    for column in most_mistaken(outputs, most=MISTAKEN):
        bad, true = wrong[:, column], outputs.labels[:, column] > 0
        confused = confused_labels(outputs, names, column)
        found.append(
            MistakenLabel(
                label=names[column],
                threshold=rows[column]["threshold"],
                right=int((true & ~bad).sum()),
                wrong=int((bad & ~true).sum()),
                missed=int((bad & true).sum()),
                given_instead=confused["wrong"],
                missed_instead=confused["missed"],
                curve=curve_points(threshold_curve(outputs, column, cuts=POINTS)),
            )
        )
    return found


def summarise_hierarchy(
    measured: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]], scatter: Mapping[str, Any] | None = None
) -> HierarchySummary:
    """Collect what a page shows of a hierarchy: its metrics, its nodes, and the scatter plot by level."""
    return HierarchySummary(
        source=measured["source"],
        measures=list(HIERARCHICAL_METRICS.values()),
        metrics={split: measured[split] for split in ("val", "test")},
        level_measures=list(LEVEL_METRICS.values()),
        levels=measured["test"]["levels"],
        nodes=nodes,
        scatters=[_scatter(scatter, label_sets) for label_sets in scatter.get("levels", ())] if scatter else (),
        held_out=measured.get("held_out", ()),
        retrieval_measures=list(RETRIEVAL_METRICS.values()),
        retrieval=retrieval_groups(measured),
    )


def run_facts(result: Mapping[str, Any]) -> list[tuple[str, object]]:
    """List the sizes of a run and the machine it ran on, from the content of ``metrics.json``."""
    examples = result["examples"]
    return [
        ("examples", ", ".join(f"{count:,} {split}" for split, count in examples.items())),
        ("labels", result["labels"]),
        ("encoder parameters", f"{result['encoder_parameters']:,}"),
        *machine_facts(result),
    ]


def read_curves(folder: str | Path) -> dict[str, tuple[list[float], list[float]]]:
    """Read the learning curves of a run: title -> epochs and values."""
    history = read_history(Path(folder) / HISTORY)
    epochs = [float(epoch.epoch) for epoch in history]
    names = {"loss": "training loss", "score": "validation mAP", "learning_rate": "learning rate"}
    curves = {title: (epochs, [float(getattr(epoch, name)) for epoch in history]) for name, title in names.items()}
    for name in history[0].diagnostics if history else ():
        curves[PAIR_STATISTICS.get(name, name)] = (epochs, [epoch.diagnostics[name] for epoch in history])
    return curves


def retrieval_groups(hierarchy: Mapping[str, Any]) -> dict[str, Sequence[Mapping[str, float | None]]]:
    """Return the measures of retrieval by group, seen and unseen leaves; empty if no leaf is held out."""
    if "held_out" not in hierarchy:
        return {}
    unseen_leaves = [hierarchy["unseen_leaves"]]
    return {"seen": hierarchy["seen"], "unseen": hierarchy["unseen"], "unseen leaves alone": unseen_leaves}


def _encoder_title(encoder: EncoderSettings) -> str:
    if not encoder.frozen:
        return encoder.name
    return f"{encoder.name}, frozen, with {'a trained' if encoder.adapter else 'no'} network on its features"


def _scores_by(view: str) -> str:
    return "a linear classifier on the embedding" if view == PROBE else VIEWS_BY_NAME[view].scores_by


def _representation_facts(representation: Mapping[str, Any]) -> list[tuple[str, object]]:
    titles = {
        "alignment": "alignment of equal label sets, lower is better",
        "uniformity": "uniformity, lower is more even",
        "effective_rank": "effective rank",
    }
    values = {title: representation.get(name) for name, title in titles.items()}
    facts: list[tuple[str, object]] = [(title, f"{value:.3g}") for title, value in values.items() if value is not None]
    if "neighbours" in representation:
        facts.append(("mAP of nearest neighbours", percent(representation["neighbours"]["map_macro"])))
    return facts


def _scatter(scatter: Mapping[str, Any], label_sets: Sequence[Sequence[str]]) -> EmbeddingScatter:
    """Colour each point by the rarest of its labels among the most frequent ones; the other points are grey."""
    counts = Counter(label for labels in label_sets for label in labels)
    shown = {label for label, _ in counts.most_common(COLOURED_LABELS)}
    colours = [
        min((label for label in labels if label in shown), key=counts.__getitem__, default=None)
        for labels in label_sets
    ]
    titles = scatter.get("titles", [""] * len(label_sets))
    return EmbeddingScatter(
        coordinates=np.array(scatter["points"]),
        labels=colours,
        method=scatter["method"],
        titles=[
            f"{title}\n{', '.join(own) or 'no label'}".strip() for title, own in zip(titles, label_sets, strict=True)
        ],
    )
