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
    y_limits: tuple[float, float] | None = None
    """Where panels are to be compared with one another; by default what fits the series."""
    series: Sequence[Series]


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """A question, what was run to answer it, and what came out."""

    title: str
    question: str
    source: str
    command: str
    table: Table
    tested: bool = False
    """Whether bold is also what is not significantly worse than the best."""
    within: Sequence[str] = ()
    """What rows must have in common to be compared."""
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
    drawn: str = (
        "A line is the mean over seeds, the band around it the standard deviation; beside one another, a point is the "
        "mean and its bar the deviation. A dashed line is a loss that does not have what the axis varies. On a row of "
        "dots each is one run, the bar the mean."
    )
    """How the figures are to be read."""

    @property
    def marked(self) -> str:
        """What bold stands for."""
        among = f", among the rows with the same {' and '.join(self.within)}" if self.within else ""
        best = f"Bold is the best mean of its column{among}"
        if self.tested:
            verdict = (
                "and every other that is not significantly worse: differences are paired and tested over seeds and "
                "test examples together, at 5 % over all pairs of rows (Holm); with one seed, over examples alone. "
                "What is not measured on predictions is not tested: there it is the best mean alone."
            )
        else:
            verdict = "and what looks the same; it does not say that the difference is more than chance."
        spread = "Mean over the finished runs (one a seed), and behind ± the standard deviation."
        return f"{spread} {best}, {verdict}"
