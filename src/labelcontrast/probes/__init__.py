"""Probes on frozen features, other views and their blend, calibration, and thresholds that make label sets."""

from typing import TYPE_CHECKING

from labelcontrast.doors import lazy_names

if TYPE_CHECKING:
    from labelcontrast.probes.blend import Blend as Blend
    from labelcontrast.probes.blend import fit_blend as fit_blend
    from labelcontrast.probes.calibration import Calibration as Calibration
    from labelcontrast.probes.calibration import Reliability as Reliability
    from labelcontrast.probes.calibration import calibration_errors as calibration_errors
    from labelcontrast.probes.calibration import fit_calibration as fit_calibration
    from labelcontrast.probes.calibration import reliability as reliability
    from labelcontrast.probes.decoding import all_paths as all_paths
    from labelcontrast.probes.decoding import best_path as best_path
    from labelcontrast.probes.decoding import level_thresholds as level_thresholds
    from labelcontrast.probes.linear import AveragedHeads as AveragedHeads
    from labelcontrast.probes.linear import LinearHead as LinearHead
    from labelcontrast.probes.linear import LinearProbe as LinearProbe
    from labelcontrast.probes.linear import fit_linear_probe as fit_linear_probe
    from labelcontrast.probes.linear import selection_score as selection_score
    from labelcontrast.probes.published import PROTOCOLS as PROTOCOLS
    from labelcontrast.probes.published import Protocol as Protocol
    from labelcontrast.probes.published import fit_probe as fit_probe
    from labelcontrast.probes.published import fit_published_probe as fit_published_probe
    from labelcontrast.probes.thresholds import Thresholds as Thresholds
    from labelcontrast.probes.thresholds import best_cuts as best_cuts
    from labelcontrast.probes.thresholds import choose_thresholds as choose_thresholds
    from labelcontrast.probes.thresholds import expected_f1_rule as expected_f1_rule
    from labelcontrast.probes.thresholds import expected_f1_sets as expected_f1_sets
    from labelcontrast.probes.thresholds import fixed_threshold as fixed_threshold
    from labelcontrast.probes.thresholds import global_threshold as global_threshold
    from labelcontrast.probes.thresholds import per_label_thresholds as per_label_thresholds
    from labelcontrast.probes.thresholds import top_labels as top_labels
    from labelcontrast.probes.views import NeighboursView as NeighboursView
    from labelcontrast.probes.views import TreesView as TreesView
    from labelcontrast.probes.views import View as View
    from labelcontrast.probes.views import WordsView as WordsView

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "blend": ["Blend", "fit_blend"],
        "calibration": ["Calibration", "Reliability", "calibration_errors", "fit_calibration", "reliability"],
        "decoding": ["all_paths", "best_path", "level_thresholds"],
        "linear": ["AveragedHeads", "LinearHead", "LinearProbe", "fit_linear_probe", "selection_score"],
        "published": ["PROTOCOLS", "Protocol", "fit_probe", "fit_published_probe"],
        "thresholds": [
            "Thresholds",
            "best_cuts",
            "choose_thresholds",
            "expected_f1_rule",
            "expected_f1_sets",
            "fixed_threshold",
            "global_threshold",
            "per_label_thresholds",
            "top_labels",
        ],
        "views": ["NeighboursView", "TreesView", "View", "WordsView"],
    },
)
