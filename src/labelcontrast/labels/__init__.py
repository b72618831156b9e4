"""Label names, label sets, and hierarchies of labels."""

from typing import TYPE_CHECKING

from labelcontrast.doors import lazy_names

if TYPE_CHECKING:
    from labelcontrast.labels.consistency import consistent as consistent
    from labelcontrast.labels.hierarchy import Hierarchy as Hierarchy
    from labelcontrast.labels.hierarchy import LabelTree as LabelTree
    from labelcontrast.labels.hierarchy import hold_out_leaves as hold_out_leaves
    from labelcontrast.labels.hierarchy_files import from_label_paths as from_label_paths
    from labelcontrast.labels.hierarchy_files import read_hierarchy as read_hierarchy
    from labelcontrast.labels.hierarchy_files import write_hierarchy as write_hierarchy
    from labelcontrast.labels.label_sets import LabelSets as LabelSets
    from labelcontrast.labels.vocabulary import LabelVocabulary as LabelVocabulary

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "consistency": ["consistent"],
        "hierarchy": ["Hierarchy", "LabelTree", "hold_out_leaves"],
        "hierarchy_files": ["from_label_paths", "read_hierarchy", "write_hierarchy"],
        "label_sets": ["LabelSets"],
        "vocabulary": ["LabelVocabulary"],
    },
)
