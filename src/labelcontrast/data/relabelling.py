"""Changes of labels in data that are read: some renamed, merged or left out, or one added with examples of it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from labelcontrast.data.batches import dense_truth, encode_labels
from labelcontrast.data.columns import ColumnNames
from labelcontrast.data.doctor.duplicates import fingerprints
from labelcontrast.data.examples import BySplit, Examples, SplitName, pool
from labelcontrast.data.readers import read_as
from labelcontrast.data.splits import Splits, with_examples
from labelcontrast.errors import DataError, LabelError
from labelcontrast.labels.vocabulary import LabelVocabulary


def relabel_splits(splits: Splits, become: Mapping[str, str]) -> Splits:
    """Rename labels in all splits: those of one new name are merged, and one without a new name is left out.

    The order of the labels stays; a merged label has the place of its first part.
    """
    changed: BySplit = {name: examples.relabelled(become) for name, examples in splits.by_name.items()}
    vocabulary = LabelVocabulary(
        tuple(dict.fromkeys(become[name] for name in splits.vocabulary.names if name in become))
    )
    return with_examples(splits, changed, vocabulary)


def read_examples_of(name: str, path: Path, vocabulary: LabelVocabulary, wanted: ColumnNames) -> Examples:
    """Read examples of a new label: without labels in the file, all have it; with them, those whose labels name it.

    A column of the label's name, of 0 and 1, comes before a column of label sets.

    Args:
        name: The new label.
        path: The file.
        vocabulary: The other labels.
        wanted: The columns of the run.

    Raises:
        LabelError: As ``examples_of``.
    """
    examples = _read(name, path, wanted)
    if examples.label_sets is None:
        examples = replace(examples, label_sets=[(name,)] * len(examples))
    return examples_of(name, examples, vocabulary)


def examples_of(name: str, examples: Examples, vocabulary: LabelVocabulary) -> Examples:
    """Leave out examples that occur twice, or whose value of a new label is unknown; other labels are unknown too.

    Args:
        name: The new label.
        examples: With the labels that they are known to have.
        vocabulary: The other labels.

    Raises:
        LabelError: No example has the label, or one has a label that is not in the vocabulary.
    """
    own = dense_truth(*encode_labels(examples.with_labels([name]), LabelVocabulary((name,))))[:, 0]
    keys = list(fingerprints(examples))
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    rows = [row for row, key in enumerate(keys) if first[key] == row and not np.isnan(own[row])]
    if not (own[rows] == 1).any():
        raise LabelError(f'no example has the label "{name}".', path=examples.origin)
    kept = examples.select(rows)
    LabelVocabulary((*vocabulary.names, name)).encode(kept.label_sets or [], where=kept.where_labels)
    values = [
        {other: np.nan for other in vocabulary.names if other not in labels} | given
        for labels, given in zip(kept.label_sets or [], kept.values or [{}] * len(kept), strict=True)
    ]
    return replace(kept, values=values, annotated=None, splits=None, parents=None)


def add_label(
    splits: Splits, name: str, given: Examples, possible: Mapping[SplitName, Bool[np.ndarray, " examples"]]
) -> Splits:
    """Add a label: its examples come to the training examples, which lack it otherwise; elsewhere it is unknown.

    A training example that is among those given keeps its place, and takes its value.

    Args:
        splits: The data.
        name: The new label.
        given: What ``examples_of`` returns.
        possible: Of ``val`` and ``test``, the examples that may have the label; the others do not.
    """
    vocabulary = LabelVocabulary((*splits.vocabulary.names, name))
    place = {key: row for row, key in enumerate(fingerprints(splits.train))}
    rows = [place.get(key) for key in fingerprints(given)]
    sets = list(splits.train.label_sets or [])
    for row, labels in zip(rows, given.label_sets or [], strict=True):
        if row is not None and name in labels:
            sets[row] = (*sets[row], name)
    annotated = splits.train.annotated and [(*labels, name) for labels in splits.train.annotated]
    train = replace(splits.train, label_sets=sets, annotated=annotated)
    new = given.select([at for at, row in enumerate(rows) if row is None])
    train = pool([train, new], vocabulary, train.origin) if len(new) else train
    changed: BySplit = {"train": train, "val": splits.val, "test": splits.test}
    for split, chosen in possible.items():
        examples = splits.by_name[split]
        before = examples.values or [{}] * len(examples)
        values = [{**one, name: np.nan} if here else one for one, here in zip(before, chosen.tolist(), strict=True)]
        changed[split] = replace(examples, values=values)
    return with_examples(splits, changed, vocabulary)


def _read(name: str, path: Path, wanted: ColumnNames) -> Examples:
    """Read the file by the first of these columns that it has: one of the label's name, the run's, any or none."""
    for labels in ((name,), wanted.labels):
        try:
            return read_as(path, replace(wanted, labels=labels))
        except LabelError:
            raise
        except DataError:
            continue
    return read_as(path, replace(wanted, labels=None, separator=None, multi_hot=None))
