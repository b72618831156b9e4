"""What the page of a study is made of: plain data, filled in by whoever ran it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from labelcontrast.reports.tables import Table


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line, or one row of dots: at every x, in the order of the axis, the values of all seeds.

    Without x it is a level that holds everywhere, with the values in one list.
    """

    name: str
    x: Sequence[float | str] = ()
    values: Sequence[Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One figure: a quantity against something, a line for each of some things; or dots."""

    name: str
    """Stem of its files."""
    kind: Literal["lines", "dots"]
    title: str
    """What it shows a part of, such as a data set; the quantity stands at the axis."""
    x_label: str
    y_label: str
    scale: Literal["linear", "log"] = "linear"
    """Of the x axis."""
    series: Sequence[Series]


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """A question, what was run to answer it, and what came out."""

    title: str
    question: str
    source: str
    command: str
    table: Table
    panels: Sequence[Panel]
    glossary: Sequence[tuple[str, str]]
    """The quantities, each with its sentence."""
    failures: Sequence[tuple[str, str]] = ()
    """Trials that failed, each with its one line."""
    facts: Sequence[tuple[str, object]] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    """Those of all trials."""
    warnings: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    duration: float = 0.0
