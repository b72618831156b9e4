"""Cross-validation: every example is tested on once, whatever part it was in, and nothing of it is lost."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from labelcontrast.data.examples import Examples
from labelcontrast.data.readers.cells.arrow_column import ArrowColumn
from labelcontrast.data.splitting.folds import pool
from labelcontrast.data.splitting.splits import load_splits
from labelcontrast.errors import ConfigError, DataError
from labelcontrast.labels.vocabulary import LabelVocabulary

FOLDS = 4


def example(number: int, **more: object) -> Examples:
    """Two examples of a part, of which nothing is the same as in another."""
    named = {"ids": [f"{number}a", f"{number}b"], "lines": [number, number + 1], "origin": f"{number}.csv"}
    sets = [("cat",), ("dog",)]
    inputs = [f"{number} first", f"{number} second"]
    given = {"inputs": inputs, "label_sets": sets, "kind": "text", "understood": "", **named, **more}
    return Examples(**given)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A train of 50 and a test of 14 texts; two labels, one of them rare."""
    for name, start, rows in (("train", 0, 50), ("test", 50, 14)):
        lines = [f"text {row},{'rare;often' if row % 8 == 0 else 'often'}" for row in range(start, start + rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,labels", *lines]) + "\n")
    return tmp_path


def test_every_example_of_every_part_is_tested_on_once(folder: Path) -> None:
    folds = [load_splits(folder, seed=3, folds=FOLDS, fold=fold, separator=";") for fold in range(FOLDS)]
    tested = [text for splits in folds for text in splits.test.inputs]
    assert sorted(tested) == sorted(f"text {row}" for row in range(64))
    for splits in folds:
        parts = [set(part.inputs) for part in splits.parts.values()]
        assert len(set().union(*parts)) == sum(map(len, parts)) == 64
        # of 48 others, 0.1 of 0.8 is validation
        assert [len(part) for part in parts] == [42, 6, 16]
        rare = [sum("rare" in labels for labels in part.label_sets or []) for part in splits.parts.values()]
        assert rare == [5, 1, 2]
        assert splits.vocabulary.names == ("often", "rare")


def test_folds_are_said_and_drawn_by_the_seed(folder: Path) -> None:
    one, again, other = (load_splits(folder, seed=seed, folds=FOLDS, fold=1, separator=";") for seed in (3, 3, 4))
    assert one.how == (
        "test is fold 1 of 4, counted from 0, and val 12.5 % of the others, "
        "by iterative stratification of all examples with seed 3"
    )
    assert one.test.ids == again.test.ids
    assert one.val.ids == again.val.ids
    assert one.test.ids != other.test.ids


def test_shares_are_kept_of_a_fold(folder: Path) -> None:
    whole, half = (
        load_splits(folder, seed=0, folds=FOLDS, train_fraction=share, separator=";") for share in (1.0, 0.5)
    )
    assert set(half.train.inputs) < set(whole.train.inputs)
    assert (len(half.train), half.test.inputs) == (21, whole.test.inputs)


def test_more_folds_than_examples_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^folds must be between 2 and the 64 examples\. Got 65\.$"):
        load_splits(folder, seed=0, folds=65, separator=";")


def test_too_few_examples_for_validation_are_refused(tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text("text,labels\na,one\nb,one\nc,one\n")
    with pytest.raises(DataError, match=r"few\.csv: 3 examples are too few for 3 folds and validation examples beside"):
        load_splits(tmp_path / "few.csv", seed=0, folds=3)


def test_what_only_some_parts_say_of_their_labels_is_kept() -> None:
    labels = LabelVocabulary(("cat", "dog"))
    soft = example(1, values=[{"dog": 0.5}, {}], parents={"cat": ("animal",)})
    partly = example(3, annotated=[("cat",), ()], parents={"cat": ("pet",), "dog": ("animal",)})
    whole = pool([soft, partly], labels, "folder")
    assert whole.values == [{"dog": 0.5}, {}, {}, {}]
    assert whole.annotated == [("cat", "dog"), ("cat", "dog"), ("cat",), ()]
    assert whole.parents == {"cat": ("animal", "pet"), "dog": ("animal",)}
    assert (whole.ids, whole.lines, whole.origin) == (["1a", "1b", "3a", "3b"], [1, 2, 3, 4], "folder")
    before = [part.label_sets or [] for part in (soft, partly)]
    known = labels.encode_values(whole.label_sets or [], whole.values, whole.annotated).toarray()
    alone = [
        labels.encode_values(sets, part.values, part.annotated).toarray()
        for sets, part in zip(before, (soft, partly), strict=True)
    ]
    np.testing.assert_array_equal(known, np.concatenate(alone))
    assert pool([example(1), example(3)], labels, "folder").values is None


def test_inputs_stay_what_they_are() -> None:
    labels = LabelVocabulary(("cat", "dog"))
    vectors = [np.full((2, 3), number, np.float32) for number in (1, 2)]
    whole = pool([example(1, inputs=vectors[0], kind="vector"), example(3, inputs=vectors[1])], labels, "")
    np.testing.assert_array_equal(whole.inputs, np.concatenate(vectors))
    column = ArrowColumn(pa.chunked_array([["a", "b"], ["c"]]))
    large = ArrowColumn(pa.chunked_array([pa.array(["d", "e"], pa.large_string())]))
    columns = [example(1, inputs=column.select([2, 0])), example(3, inputs=large)]
    joined = pool(columns, labels, "").inputs
    assert isinstance(joined, ArrowColumn)
    assert list(joined) == ["c", "a", "d", "e"]
    assert pool([columns[0], example(3)], labels, "").inputs == ["c", "a", "3 first", "3 second"]
