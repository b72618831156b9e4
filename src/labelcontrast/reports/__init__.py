"""Reports: tables, figures, projections of embeddings, and pages, from plain data."""

from typing import TYPE_CHECKING

from labelcontrast.doors import lazy_names

if TYPE_CHECKING:
    from labelcontrast.reports.figures import label_histogram as label_histogram
    from labelcontrast.reports.figures import reliability_figure as reliability_figure
    from labelcontrast.reports.pages import write_model_card as write_model_card
    from labelcontrast.reports.pages import write_run_report as write_run_report
    from labelcontrast.reports.projection import project as project
    from labelcontrast.reports.summary import RunSummary as RunSummary
    from labelcontrast.reports.tables import Cell as Cell
    from labelcontrast.reports.tables import Table as Table
    from labelcontrast.reports.tables import as_latex as as_latex
    from labelcontrast.reports.tables import as_markdown as as_markdown
    from labelcontrast.reports.tables import as_text as as_text

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "figures": ["label_histogram", "reliability_figure"],
        "pages": ["write_model_card", "write_run_report"],
        "projection": ["project"],
        "summary": ["RunSummary"],
        "tables": ["Cell", "Table", "as_latex", "as_markdown", "as_text"],
    },
)
