"""Splits are kept if the data have them, else drawn; folds and protocols; and what cannot be divided is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelcontrast.data.examples import Examples
from labelcontrast.data.splits import Splits, divide, load_splits
from labelcontrast.errors import ConfigError, DataError, LabelError

FOLDS = 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A train of 50 and a test of 14 texts; two labels, one of them rare."""
    for name, start, rows in (("train", 0, 50), ("test", 50, 14)):
        lines = [f"text {row},{'rare;often' if row % 8 == 0 else 'often'}" for row in range(start, start + rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,labels", *lines]) + "\n")
    return tmp_path


def test_every_example_of_every_split_is_tested_once(folder: Path) -> None:
    folds = [load_splits(folder, seed=3, folds=FOLDS, fold=fold, separator=";") for fold in range(FOLDS)]
    tested = [text for splits in folds for text in splits.test.inputs]
    assert sorted(tested) == sorted(f"text {row}" for row in range(64))
    for splits in folds:
        parts = [set(examples.inputs) for examples in splits.by_name.values()]
        assert len(set().union(*parts)) == sum(map(len, parts)) == 64
        # of 48 others, 0.1 of 0.8 is validation
        assert [len(part) for part in parts] == [42, 6, 16]
        rare = [sum("rare" in labels for labels in examples.label_sets or []) for examples in splits.by_name.values()]
        assert rare == [5, 1, 2]
        assert splits.vocabulary.names == ("often", "rare")


def test_folds_are_drawn_by_the_seed_and_reported(folder: Path) -> None:
    one, again, other = (load_splits(folder, seed=seed, folds=FOLDS, fold=1, separator=";") for seed in (3, 3, 4))
    assert one.how == (
        "test is fold 1 of 4, counted from 0, and val 12.5 % of the others, "
        "by iterative stratification of all examples with seed 3"
    )
    assert one.test.ids == again.test.ids
    assert one.val.ids == again.val.ids
    assert one.test.ids != other.test.ids


def test_splits_print_their_sizes(folder: Path) -> None:
    assert repr(load_splits(folder, seed=0, separator=";")) == "Splits(train=44, val=6, test=14, 2 labels)"


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


def write(path: Path, rows: int, labels: str = "abcd") -> Path:
    """Texts that name their file; the label of a row by turns, and every third row has two."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [
        {
            "text": f"{path.name} {row}",
            "labels": sorted({labels[row % len(labels)], labels[row // 3 % len(labels)]})
            if row % 3 == 0
            else [labels[row % len(labels)]],
        }
        for row in range(rows)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def sizes(splits: Splits) -> list[int]:
    return [len(examples) for examples in splits.by_name.values()]


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("training", "dev", "test"), ("Train", "validation", "testing")]
)
def test_a_folder_with_all_splits_is_kept(names: tuple[str, str, str], tmp_path: Path) -> None:
    for name, rows in zip(names, (20, 5, 7), strict=True):
        write(tmp_path / f"{name}.jsonl", rows)
    write(tmp_path / "extra.jsonl", 3)
    splits = load_splits(tmp_path, seed=0)
    assert sizes(splits) == [20, 5, 7]
    assert splits.how == 'train, val and test as in the folder; not read: "extra.jsonl"'
    assert splits.vocabulary.names == ("a", "b", "c", "d")
    assert splits.warnings == ()


@pytest.mark.parametrize(
    ("names", "how"),
    [
        (
            ("training.jsonl", "dev_split.jsonl", "test_v2.jsonl"),
            "train, val (dev_split.jsonl) and test (test_v2.jsonl) as in the folder",
        ),
        (
            ("reviews-train-2.jsonl", "reviews-val-2.jsonl", "reviews-test-2.jsonl"),
            "train (reviews-train-2.jsonl), val (reviews-val-2.jsonl) and test (reviews-test-2.jsonl) as in the folder",
        ),
        (
            ("train.jsonl", "val.jsonl", "test.jsonl", "test_old.jsonl"),
            'train, val and test as in the folder; not read: "test_old.jsonl"',
        ),
    ],
)
def test_a_longer_name_stands_for_a_split(names: tuple[str, ...], how: str | None, tmp_path: Path) -> None:
    for name, rows in zip(names, (20, 5, 7, 9), strict=False):
        write(tmp_path / name, rows)
    splits = load_splits(tmp_path, seed=0)
    assert sizes(splits) == [20, 5, 7]
    assert splits.how == how


def test_a_name_that_may_mean_something_else_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", 20)
    write(tmp_path / "test_predictions.jsonl", 5)
    with pytest.raises(DataError) as refusal:
        load_splits(tmp_path, seed=0)
    assert str(refusal.value) == (
        f'{tmp_path}: "test_predictions.jsonl" could be test, but "predictions" may mean something else; '
        "rename it or move it."
    )
    write(tmp_path / "test.jsonl", 5)
    assert load_splits(tmp_path, seed=0).how.startswith("train and test as in the folder; not read:")


@pytest.mark.parametrize("cell", ["-1.0", "nan", "NaN", "NA", " ", "0.3", "TRUE", ""])
def test_one_odd_cell_takes_no_label_column_away(cell: str, tmp_path: Path) -> None:
    """Issue 19, 01: the label was read as absent from every example of the split with the cell."""
    for name, odd in (("train", "1"), ("val", "1"), ("test", cell)):
        lines = ["text,sports,news", *(f"text {row},{row % 2},{row % 3 // 2}" for row in range(12)), f"x,{odd},0"]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    splits = load_splits(tmp_path, seed=0)
    assert splits.vocabulary.names == ("sports", "news")
    present = [labels for labels in splits.test.label_sets or [] if "sports" in labels]
    assert len(present) == 6 + (cell == "TRUE")
    unknown = [row.get("sports") for row in splits.test.values or []]
    assert repr(unknown[-1:]) == {"TRUE": "[]", "0.3": "[0.3]"}.get(cell, "[nan]")


def test_columns_are_found_over_all_parts(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("subject,message,tags\n" + 20 * "re,a longer message,a;b\n")
    (tmp_path / "test.csv").write_text('subject,message,tags\nan automatic answer,hello,"b, c"\n')
    splits = load_splits(tmp_path, seed=0)
    assert splits.test.inputs == ["hello"]
    assert splits.test.label_sets == [("b, c",)]
    (tmp_path / "test.csv").write_text("message,labels\nhello,b\n")
    with pytest.raises(DataError, match=r'test.csv: there is no column "tags"'):
        load_splits(tmp_path, seed=0)


def test_splits_may_be_folders(tmp_path: Path) -> None:
    for name, rows in (("train", 20), ("valid", 5), ("test", 7)):
        write(tmp_path / name / "metadata.jsonl", rows)
    assert sizes(load_splits(tmp_path, seed=0)) == [20, 5, 7]


def test_a_missing_validation_split_is_drawn_from_train(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", 80)
    write(tmp_path / "test.jsonl", 10)
    splits = load_splits(tmp_path, seed=3)
    assert sizes(splits) == pytest.approx([70, 10, 10], abs=2)
    assert splits.how == (
        "train and test as in the folder; val is 12.5 % of train, by iterative stratification with seed 3"
    )
    assert not set(splits.train.inputs) & set(splits.val.inputs)


def test_a_missing_test_split_is_drawn_from_train(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", 90)
    write(tmp_path / "val.jsonl", 10)
    assert sizes(load_splits(tmp_path, seed=0)) == pytest.approx([70, 10, 20], abs=2)


def test_one_file_is_divided_with_the_seed(tmp_path: Path) -> None:
    path = write(tmp_path / "reviews.jsonl", 200)
    splits = load_splits(path, seed=1)
    assert sizes(splits) == pytest.approx([140, 20, 40], abs=4)
    assert splits.how == f"70 % train, 10 % val and 20 % test of {path}, by iterative stratification with seed 1"
    together = [text for examples in splits.by_name.values() for text in examples.inputs]
    assert sorted(map(str, together)) == sorted(f"reviews.jsonl {row}" for row in range(200))
    assert load_splits(path, seed=1).test.inputs == splits.test.inputs
    assert load_splits(path, seed=2).test.inputs != splits.test.inputs
    assert sizes(load_splits(tmp_path, seed=1, fractions=(0.5, 0.25, 0.25))) == pytest.approx([100, 50, 50], abs=4)


def test_every_label_is_in_every_split_of_a_divided_file(tmp_path: Path) -> None:
    splits = load_splits(write(tmp_path / "reviews.jsonl", 200, labels="abcdefgh"), seed=0)
    for examples in splits.by_name.values():
        assert {name for labels in examples.label_sets or [] for name in labels} == set("abcdefgh")


def test_the_split_of_an_archive_is_kept(tmp_path: Path) -> None:
    split = np.array([0] * 16 + [1] * 5 + [2] * 3)
    labels = np.eye(2, dtype=np.uint8)[np.arange(24) % 2]
    np.savez(tmp_path / "a.npz", X=np.arange(48.0).reshape(24, 2), Y=labels, split=split)
    splits = load_splits(tmp_path / "a.npz", seed=0)
    assert sizes(splits) == [16, 3, 5]
    assert splits.how == "train, val and test as in the file"
    assert splits.val.inputs[0].tolist() == [42, 43]  # type: ignore[union-attr]


def test_the_given_order_of_the_labels_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", 30)
    (tmp_path / "labels.json").write_text('["d", "c", "b", "a", "never"]')
    splits = load_splits(tmp_path, seed=0)
    assert splits.vocabulary.names == ("d", "c", "b", "a", "never")
    assert splits.warnings == (
        'no training example has 1 of 5 labels: "never". They stay in the vocabulary, but cannot be learned.',
        'no validation example has 1 of 5 labels: "never". They have no say in thresholds and the choice of the epoch.',
        'no test example has 1 of 5 labels: "never". They have an F1 of 0 and no average precision.',
    )


def test_a_label_that_only_test_has_is_known_and_warned_of(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", 30)
    write(tmp_path / "test.jsonl", 30, labels="abxyz")
    splits = load_splits(tmp_path, seed=0)
    assert splits.vocabulary.names == ("a", "b", "c", "d", "x", "y", "z")
    assert 'has 3 of 7 labels: "x", "y", "z".' in splits.warnings[0]
    assert splits.warnings[1].startswith('no validation example has 3 of 7 labels: "x", "y", "z".')
    assert splits.warnings[2].startswith('no test example has 2 of 7 labels: "c", "d".')


def test_a_share_of_train_is_kept_and_the_rest_stays_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path / "reviews.jsonl", 400)
    whole, tenth, fifth = (load_splits(path, seed=1, train_fraction=share) for share in (1.0, 0.1, 0.2))
    assert len(tenth.train) == round(0.1 * len(whole.train))
    assert set(tenth.train.ids) < set(fifth.train.ids) < set(whole.train.ids)
    assert tenth.val.ids == whole.val.ids
    assert tenth.test.ids == whole.test.ids
    assert tenth.vocabulary == whole.vocabulary
    assert tenth.how == f"{whole.how}; 10 % of train kept, with seed 1"
    with pytest.raises(ConfigError, match=r"^fraction must be above 0 and at most 1\. Got 0\.$"):
        load_splits(path, seed=1, train_fraction=0.0)


def test_a_share_of_validation_is_kept_and_nothing_else_changes(tmp_path: Path) -> None:
    path = write(tmp_path / "reviews.jsonl", 400)
    whole, half = (load_splits(path, seed=1, val_fraction=share) for share in (1.0, 0.5))
    assert len(half.val) == round(0.5 * len(whole.val))
    assert set(half.val.ids) < set(whole.val.ids)
    assert (half.train.ids, half.test.ids) == (whole.train.ids, whole.test.ids)
    assert half.how == f"{whole.how}; 50 % of val kept, with seed 1"


def test_fewer_labels_are_the_only_thing_that_varies(tmp_path: Path) -> None:
    path = write(tmp_path / "reviews.jsonl", 400, labels="abcdefgh")
    whole, quarter, half = (load_splits(path, seed=1, label_fraction=share) for share in (1.0, 0.25, 0.5))
    assert len(quarter.vocabulary) == 2
    assert set(quarter.vocabulary.names) < set(half.vocabulary.names) < set(whole.vocabulary.names)
    for part in ("train", "val", "test"):
        assert quarter.by_name[part].ids == whole.by_name[part].ids
        kept = quarter.vocabulary.encode(quarter.by_name[part].label_sets or []).toarray()
        columns = [whole.vocabulary.column[name] for name in quarter.vocabulary.names]
        assert (kept == whole.vocabulary.encode(whole.by_name[part].label_sets or []).toarray()[:, columns]).all()
    assert () in (quarter.train.label_sets or []), "an example without a label is a negative, and stays"
    assert quarter.how == f"{whole.how}; 2 of 8 labels kept, with seed 1"
    with pytest.raises(ConfigError, match=r"^fraction must be above 0 and at most 1\. Got 2\.$"):
        load_splits(path, seed=1, label_fraction=2.0)


def test_a_label_that_the_given_list_has_not_is_refused_with_its_line(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", 30)
    write(tmp_path / "test.jsonl", 4, labels=["a", "b", "c", "spots"])  # type: ignore[arg-type]
    (tmp_path / "labels.json").write_text('["a", "b", "c", "d", "sports"]')
    with pytest.raises(LabelError) as refusal:
        load_splits(tmp_path, seed=0)
    assert str(refusal.value) == (
        f'{tmp_path}/test.jsonl, line 4, column "labels": '
        'label "spots" is not in the vocabulary (did you mean "sports"?).'
    )


def refusal_of(path: Path) -> str:
    with pytest.raises(DataError) as refusal:
        load_splits(path, seed=0)
    return str(refusal.value).removeprefix(str(path))


def test_data_without_labels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,stars\ngood,5\n")
    assert refusal_of(tmp_path / "a.csv") == (
        ": there are no labels; name their column (--label-column), or with commas those of 0 and 1 or of soft labels. "
        'What was understood: 1 rows; text in "text"; no labels; not used: "stars".'
    )


def test_no_training_example_with_a_label_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "a", "labels": []}\n' * 30)
    write(tmp_path / "test.jsonl", 5)
    assert refusal_of(tmp_path) == "/train.jsonl: no training example has a label."


def test_too_few_examples_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", 2)
    assert refusal_of(path) == ": 2 examples are too few to be divided into train, val and test."


def test_a_folder_with_two_trains_or_none_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", 5)
    assert refusal_of(tmp_path) == ': there is "test.jsonl", but no train.'
    write(tmp_path / "train.jsonl", 5)
    write(tmp_path / "train.json", 5)
    assert refusal_of(tmp_path) == ': both "train.json" and "train.jsonl" could be train.'


def test_splits_of_two_kinds_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", 30)
    np.savez(tmp_path / "test.npz", X=np.ones((2, 2)), Y=np.ones((2, 2)))
    assert refusal_of(tmp_path) == "/test.npz: the inputs are of kind vector, but those of train are of kind text."


def test_splits_of_two_widths_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", X=np.ones((2, 3)), Y=np.ones((2, 2)))
    np.savez(tmp_path / "test.npz", X=np.ones((2, 2)), Y=np.ones((2, 2)))
    assert refusal_of(tmp_path) == "/test.npz: there are 2 features, but 3 in train."


def test_a_split_without_train_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.ones((2, 3)), Y=np.ones((2, 2)), split=[1, 1])
    assert refusal_of(tmp_path / "a.npz") == ": split has no row for train."


def test_invalid_fractions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fractions must be positive and have sum 1\. Got 0\.7, 0\.1, 0\.1\."):
        load_splits(write(tmp_path / "a.jsonl", 20), seed=0, fractions=(0.7, 0.1, 0.1))


@pytest.mark.parametrize(
    ("name", "expected", "absent"),
    [
        ("reuters21578", [6993, 777, 3019], 0),
        ("corel5k", [4050, 450, 499], 5),
        ("tabular/enron.npz", [983, 140, 579], 1),
    ],
)
def test_real_data_are_divided_as_their_notes_say(name: str, expected: list[int], absent: int, shared: Path) -> None:
    splits = load_splits(shared / "data" / name, seed=0)
    assert sizes(splits) == pytest.approx(expected, abs=20 if name.endswith("npz") else 0)
    train = splits.vocabulary.encode(splits.train.label_sets or [])
    assert int((train.sum(0) == 0).sum()) == absent


def test_soft_and_unknown_labels_give_a_warning(tmp_path: Path) -> None:
    rows = [{"text": f"text {row}", "labels": {"a": row % 2, "b": 0.25, "c": None}} for row in range(20)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    splits = load_splits(tmp_path, seed=0)
    assert splits.vocabulary.names == ("a", "b", "c")
    assert splits.warnings[-1].startswith("some labels are soft or unknown: training takes them so;")


def pictures(count: int, *, unlabelled: int = 0, **changes: Any) -> Examples:
    values: dict[str, Any] = {
        "inputs": [Path(f"{row}.jpg") for row in range(count)],
        "label_sets": [() if row < unlabelled else ("cat",) for row in range(count)],
        "kind": "image",
        "ids": [str(row) for row in range(count)],
        "lines": range(1, count + 1),
        "origin": "x",
        "understood": "x",
    }
    return Examples(**(values | changes))


def test_the_official_split_is_left() -> None:
    parts = {"train": pictures(3)}
    assert divide(parts, "official", seed=0) is parts  # type: ignore[arg-type]


def test_voc2007_has_the_sizes_and_the_order_of_the_published_code() -> None:
    parts = divide({"train": pictures(5011), "test": pictures(4952)}, "paper", seed=0)
    assert {part: len(examples) for part, examples in parts.items()} == {"train": 5011, "val": 2476, "test": 2476}
    assert not set(parts["val"].ids) & set(parts["test"].ids)
    # What train_test_split(range(4952), test_size=0.5, random_state=42) of scikit-learn 1.3 begins with.
    assert parts["val"].ids[:3] == ["4610", "4197", "2185"]
    assert parts["test"].ids[:3] == ["230", "1371", "1957"]


def test_a_validation_split_is_halved_too_without_unlabelled_rows() -> None:
    parts = divide({"train": pictures(9, unlabelled=2), "val": pictures(10, unlabelled=4)}, "paper", seed=0)
    assert {part: len(examples) for part, examples in parts.items()} == {"train": 7, "val": 3, "test": 3}


def test_the_small_subset_is_a_fifth_that_the_seed_chooses() -> None:
    parts = {"train": pictures(100), "test": pictures(10)}
    first, again, other = (divide(parts, "paper-small", seed=seed)["train"].ids for seed in (0, 0, 1))  # type: ignore[arg-type]
    assert first == again != other
    assert len(first) == 20
    assert divide(parts, "paper-small", seed=0)["test"].ids == divide(parts, "paper", seed=0)["test"].ids  # type: ignore[arg-type]


def test_data_that_do_not_fit_a_protocol_are_refused() -> None:
    with pytest.raises(ConfigError) as wrong:
        divide({"train": pictures(3)}, "papers", seed=0)
    assert str(wrong.value) == 'there is no protocol "papers" (did you mean "paper"?).'
    with pytest.raises(DataError, match=r"x: the paper halves one held-out split; there are 0\."):
        divide({"train": pictures(3)}, "paper", seed=0)
    with pytest.raises(DataError, match="x: the paper's split of texts was published as CSV files only"):
        divide({"train": pictures(3, kind="text")}, "paper", seed=0)
