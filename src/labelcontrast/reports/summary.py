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
    """A metric as a table shows it: its name and title, which way is better, one sentence, and its unit."""

    @property
    def name(self) -> str:
        """The key under which its value is found."""

    @property
    def title(self) -> str:
        """Its name for a reader."""

    @property
    def better(self) -> Literal["higher", "lower"]:
        """Which way is better."""

    @property
    def meaning(self) -> str:
        """One sentence that says what it measures."""

    @property
    def unit(self) -> str:
        """``%``, ``steps`` or ``labels``."""


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
    level_measures: Sequence[Measure]
    levels: Sequence[Mapping[str, float | None]]
    nodes: Sequence[Mapping[str, Any]] = ()
    maps: Sequence[EmbeddingScatter] = ()
    held_out: Sequence[str] = ()
    retrieval_measures: Sequence[Measure] = ()
    retrieval: Mapping[str, Sequence[Mapping[str, float | None]]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PageSummary:
    """What every page shows: the title, facts, settings, warnings, and how the results are reproduced."""

    title: str
    command: str
    facts: Sequence[tuple[str, object]] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    duration: float = 0.0
    """In seconds."""


@dataclass(frozen=True, kw_only=True)
class RunSummary(PageSummary):
    """One run. Metrics are fractions by split; per-label rows are the fields of ``LabelRow``; curves are by epoch."""

    measures: Sequence[Measure]
    metrics: Mapping[str, Mapping[str, float | None]]
    per_label: Sequence[Mapping[str, Any]] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    reliability: Mapping[str, Diagram] = field(default_factory=dict)
    embedding: EmbeddingScatter | None = None
    hierarchy: HierarchySummary | None = None
