"""The content of a page as plain data, which the caller fills in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from jaxtyping import Float

    Curve = tuple[Sequence[float], Sequence[float]]

Diagram = tuple["Sequence[float]", "Sequence[float]", "Sequence[float]"]
"""A reliability diagram by bin: number of pairs, mean predicted probability, observed frequency."""


class Measure(Protocol):
    """A metric as tables and pages show it."""

    @property
    def name(self) -> str:
        """The key of its value."""

    @property
    def title(self) -> str:
        """Its title in tables."""

    @property
    def better(self) -> Literal["higher", "lower"]:
        """The direction of improvement."""

    @property
    def meaning(self) -> str:
        """One sentence that explains the metric."""

    @property
    def unit(self) -> str:
        """``%``, ``steps`` or ``labels``."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingScatter:
    """A scatter plot of embeddings, with a label per point (None: grey) and the method of the projection."""

    coordinates: Float[np.ndarray, "points 2"]
    labels: Sequence[str | None]
    method: str
    titles: Sequence[str] = ()
    """What is shown of a point below the pointer."""


@dataclass(frozen=True, kw_only=True)
class MistakenLabel:
    """A label with its mistakes on test, the labels it is confused with, and its precision and recall by threshold."""

    label: str
    threshold: float
    """That was chosen, at which the examples are counted."""
    right: int
    wrong: int
    missed: int
    given_instead: Sequence[tuple[str, int]]
    """Labels that are wrong where this one is missed, with the number of examples."""
    missed_instead: Sequence[tuple[str, int]]
    """Labels that are missed where this one is wrong."""
    curve: Sequence[tuple[float, float, float]]
    """Recall, precision and threshold, by rising threshold."""


@dataclass(frozen=True, kw_only=True)
class ShownExamples:
    """Test examples with what was predicted, the worst mistakes first.

    A row has ``id``, ``loss``, ``labels``, ``more_labels``, and for some kinds ``text`` or ``picture``, a data URI.
    Each label has its ``name`` and ``probability``, and whether it is ``true`` (None: unknown) and ``predicted``.
    """

    examples: int
    """Number of test examples."""
    wrong: int
    """Number of those with at least one wrong or missed label."""
    mistakes: Sequence[Mapping[str, Any]]
    successes: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class HierarchySummary:
    """The results of a run over a hierarchy. Metrics are fractions by split; levels count from the roots."""

    source: str
    measures: Sequence[Measure]
    metrics: Mapping[str, Mapping[str, float]]
    level_measures: Sequence[Measure]
    levels: Sequence[Mapping[str, float | None]]
    nodes: Sequence[Mapping[str, Any]] = ()
    """Rows with ``node``, ``parents``, ``f1`` and ``support``."""
    scatters: Sequence[EmbeddingScatter] = ()
    """The scatter plot of embeddings, coloured by the nodes of each level."""
    held_out: Sequence[str] = ()
    retrieval_measures: Sequence[Measure] = ()
    retrieval: Mapping[str, Sequence[Mapping[str, float | None]]] = field(default_factory=dict)
    """The measures of retrieval by level, for groups of seen and unseen leaves."""


@dataclass(frozen=True, kw_only=True)
class PageSummary:
    """The content of every page: the title, facts, settings, warnings, and how the results are reproduced."""

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
    """The results of a run. Metrics are fractions by split; per-label rows have the fields of ``LabelRow``."""

    measures: Sequence[Measure]
    metrics: Mapping[str, Mapping[str, float | None]]
    views: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """For each view what it ``scores_by``, its ``share`` of the weights in the blend, and its metrics of ``test``."""
    per_label: Sequence[Mapping[str, Any]] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    reliability: Mapping[str, Diagram] = field(default_factory=dict)
    embedding: EmbeddingScatter | None = None
    examples: ShownExamples | None = None
    mistaken: Sequence[MistakenLabel] = ()
    """The labels with the most mistakes, the most first."""
    hierarchy: HierarchySummary | None = None


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a model card says beside the content of the page."""

    kind: str
    """The kind of inputs: text, image or vector."""
    threshold: float
    """The mean threshold of the labels."""
    rule: str
    """How the thresholds were chosen."""
    examples: Mapping[str, int]
    """By split."""
    encoder: str = ""
    calibration: str = "none"
    for_hub: bool = False
    """Whether the card begins with the fields that the hub of Hugging Face reads."""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Low and high end of test metrics, as fractions."""
