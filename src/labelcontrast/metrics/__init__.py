"""Metrics of predictions, of label sets over a hierarchy, and of embeddings."""

from typing import TYPE_CHECKING

from labelcontrast.doors import lazy_names

if TYPE_CHECKING:
    from labelcontrast.metrics.counting import TrainingLabels as TrainingLabels
    from labelcontrast.metrics.hierarchical import HierarchicalMetrics as HierarchicalMetrics
    from labelcontrast.metrics.hierarchical import LevelMetrics as LevelMetrics
    from labelcontrast.metrics.hierarchical import hierarchical_metrics as hierarchical_metrics
    from labelcontrast.metrics.measures import LabelRow as LabelRow
    from labelcontrast.metrics.measures import Outputs as Outputs
    from labelcontrast.metrics.measures import StreamedMetrics as StreamedMetrics
    from labelcontrast.metrics.measures import compute_metrics as compute_metrics
    from labelcontrast.metrics.measures import draw_resamples as draw_resamples
    from labelcontrast.metrics.measures import per_label_table as per_label_table
    from labelcontrast.metrics.measures import resampled_metrics as resampled_metrics
    from labelcontrast.metrics.neighbours import cluster_nmi as cluster_nmi
    from labelcontrast.metrics.neighbours import nearest_neighbours as nearest_neighbours
    from labelcontrast.metrics.neighbours import neighbour_scores as neighbour_scores
    from labelcontrast.metrics.neighbours import neighbourhood_purity as neighbourhood_purity
    from labelcontrast.metrics.neighbours import retrieval as retrieval
    from labelcontrast.metrics.ranking import average_precisions as average_precisions
    from labelcontrast.metrics.ranking import mean_average_precision as mean_average_precision
    from labelcontrast.metrics.registry import DETAILS as DETAILS
    from labelcontrast.metrics.registry import HIERARCHICAL_METRICS as HIERARCHICAL_METRICS
    from labelcontrast.metrics.registry import METRICS as METRICS
    from labelcontrast.metrics.registry import Metric as Metric
    from labelcontrast.metrics.representation import Estimate as Estimate
    from labelcontrast.metrics.representation import alignment as alignment
    from labelcontrast.metrics.representation import closing_angles as closing_angles
    from labelcontrast.metrics.representation import effective_rank as effective_rank
    from labelcontrast.metrics.representation import uniformity as uniformity

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "counting": ["TrainingLabels"],
        "hierarchical": ["HierarchicalMetrics", "LevelMetrics", "hierarchical_metrics"],
        "measures": [
            "LabelRow",
            "Outputs",
            "StreamedMetrics",
            "compute_metrics",
            "draw_resamples",
            "per_label_table",
            "resampled_metrics",
        ],
        "neighbours": [
            "cluster_nmi",
            "nearest_neighbours",
            "neighbour_scores",
            "neighbourhood_purity",
            "retrieval",
        ],
        "ranking": ["average_precisions", "mean_average_precision"],
        "registry": ["DETAILS", "HIERARCHICAL_METRICS", "METRICS", "Metric"],
        "representation": ["Estimate", "alignment", "closing_angles", "effective_rank", "uniformity"],
    },
)
