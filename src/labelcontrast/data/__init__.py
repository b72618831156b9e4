r"""Data: read, describe, check and divide examples, and make batches of them.

Example:
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from labelcontrast import data
    >>> with TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "reviews.csv").write_text("text,tag\n" + 10 * "good,food\nbad,price\n")
    ...     splits = data.load_splits(folder, seed=0)
    >>> labels = splits.vocabulary.encode(splits.train.label_sets)
    >>> [len(batch) for batch in data.MultiLabelBatches(labels, labels.sum(1), batch_size=4, per_label=2, seed=0)]
    [4, 4, 3, 3]
"""

from typing import TYPE_CHECKING

from labelcontrast.doors import lazy_names

if TYPE_CHECKING:
    from labelcontrast.data.batches import Prepared as Prepared
    from labelcontrast.data.batches import ordered_batches as ordered_batches
    from labelcontrast.data.batches import prepare as prepare
    from labelcontrast.data.batches import training_batches as training_batches
    from labelcontrast.data.description import Description as Description
    from labelcontrast.data.description import describe as describe
    from labelcontrast.data.doctor.checkup import Checkup as Checkup
    from labelcontrast.data.doctor.checkup import examine as examine
    from labelcontrast.data.doctor.checkup import without_unreadable as without_unreadable
    from labelcontrast.data.doctor.checkup import write_fixed as write_fixed
    from labelcontrast.data.examples import Examples as Examples
    from labelcontrast.data.formats import read_lines as read_lines
    from labelcontrast.data.readers import read as read
    from labelcontrast.data.sampling import HierarchicalBatches as HierarchicalBatches
    from labelcontrast.data.sampling import MultiLabelBatches as MultiLabelBatches
    from labelcontrast.data.sampling import ShuffledBatches as ShuffledBatches
    from labelcontrast.data.splits import Splits as Splits
    from labelcontrast.data.splits import load_splits as load_splits
    from labelcontrast.data.stratification import iterative_stratification as iterative_stratification
    from labelcontrast.data.stratification import low_data_subset as low_data_subset
    from labelcontrast.data.stratification import stratified_folds as stratified_folds

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "batches": ["Prepared", "ordered_batches", "prepare", "training_batches"],
        "description": ["Description", "describe"],
        "doctor.checkup": ["Checkup", "examine", "without_unreadable", "write_fixed"],
        "examples": ["Examples"],
        "formats": ["read_lines"],
        "readers": ["read"],
        "sampling": ["HierarchicalBatches", "MultiLabelBatches", "ShuffledBatches"],
        "splits": ["Splits", "load_splits"],
        "stratification": ["iterative_stratification", "low_data_subset", "stratified_folds"],
    },
)
