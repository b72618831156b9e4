"""What a page is made of: plain data, filled in by the caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    Curve = tuple[Sequence[float], Sequence[float]]
    from collections.abc import Mapping, Sequence

    import numpy as np
    from jaxtyping import Float


Diagram = tuple["Sequence[float]", "Sequence[float]", "Sequence[float]"]
"""By bin: how many pairs, the mean probability, the share that is true."""


class Measure(Protocol):
    """A metric as a table shows it: its name, which way is better, and one sentence."""

    @property
    def name(self) -> str:
        """The key under which its value is found."""

    @property
    def better(self) -> Literal["higher", "lower"]:
        """Which way is better."""

    @property
    def meaning(self) -> str:
        """One sentence that says what it measures."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingScatter:
    """Embeddings in the plane, the label that each point is coloured by (none: grey), and how the plane was found."""

    coordinates: Float[np.ndarray, "points 2"]
    labels: Sequence[str | None]
    method: str


@dataclass(frozen=True, kw_only=True)
class HierarchySummary:
    """A run over a hierarchy: what it is, and its measures as fractions by split, level by level from the roots on.

    ``nodes`` are rows with ``node``, ``parents``, ``f1`` and ``support``; ``retrieval`` holds the levels of seen and of
    unseen leaves where some are held out; ``maps`` is the map of embeddings, coloured by the nodes of each level.
    """

    source: str
    measures: Sequence[Measure]
    metrics: Mapping[str, Mapping[str, float]]
    levels: Sequence[Mapping[str, float | None]]
    nodes: Sequence[Mapping[str, Any]] = ()
    maps: Sequence[EmbeddingScatter] = ()
    held_out: Sequence[str] = ()
    retrieval: Mapping[str, Sequence[Mapping[str, float | None]]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One run. Metrics are fractions by split; per-label rows are the fields of ``LabelRow``; curves are by epoch."""

    title: str
    command: str
    measures: Sequence[Measure]
    metrics: Mapping[str, Mapping[str, float]]
    facts: Sequence[tuple[str, object]] = ()
    per_label: Sequence[Mapping[str, Any]] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    reliability: Mapping[str, Diagram] = field(default_factory=dict)
    embedding: EmbeddingScatter | None = None
    hierarchy: HierarchySummary | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    duration: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ComparedLoss:
    """One row of a comparison: what each finished run of a loss measured, in the order of the seeds.

    ``runs`` are pairs of a name and a relative link; ``failures`` one line a run that did not finish; ``per_label``
    holds ``label``, ``train_count`` and ``f1`` (averaged over seeds), ``curves`` are by epoch; ``as_good`` says of a
    metric whether the loss is the best or not significantly worse, where that was tested.
    """

    name: str
    metrics: Mapping[str, Sequence[float]]
    seconds: Sequence[float] = ()
    per_label: Sequence[Mapping[str, Any]] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    runs: Sequence[tuple[str, str]] = ()
    failures: Sequence[str] = ()
    as_good: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RankedMetric:
    """How losses rank on a metric over many data sets; ``alike`` are groups that no more than chance keeps apart."""

    name: str
    ranks: Mapping[str, float]
    critical_difference: float
    alike: Sequence[Sequence[str]]
    p: float


@dataclass(frozen=True, kw_only=True)
class RankSummary:
    """The same losses compared on many data sets, metric by metric."""

    title: str
    command: str
    metrics: Sequence[RankedMetric]
    facts: Sequence[tuple[str, object]] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    duration: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ComparisonSummary:
    """Several losses under one protocol on one data set, each with several seeds."""

    title: str
    command: str
    measures: Sequence[Measure]
    losses: Sequence[ComparedLoss]
    over_hierarchy: Sequence[Measure] = ()
    """What is measured over a hierarchy, where there is one: a table of its own."""
    facts: Sequence[tuple[str, object]] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    duration: float = 0.0
