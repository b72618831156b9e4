"""The figures of data equal those of loops and notes, and their text is aligned and never too wide."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.data.description import (
    Description,
    Imbalance,
    LabelCount,
    Pair,
    SplitFigures,
    Truncation,
    bar,
    describe,
    render_description,
)
from labelcontrast.data.doctor.duplicates import Repeat
from labelcontrast.data.examples import Examples
from labelcontrast.data.published_figures import PublishedComparison, PublishedFigure
from labelcontrast.data.splits import Splits, load_splits
from labelcontrast.labels.vocabulary import LabelVocabulary

LabelSets = list[tuple[str, ...]]


NAMES = ("a", "b", "c", "d")


SPLIT = st.lists(st.lists(st.sampled_from(NAMES), max_size=4, unique=True).map(tuple), min_size=1, max_size=9)


def divided(*parts: LabelSets) -> Splits:
    examples = {
        name: Examples(
            inputs=[f"{name} {row}" for row in range(len(label_sets))],
            label_sets=label_sets,
            kind="text",
            ids=[str(row) for row in range(len(label_sets))],
            lines=range(1, len(label_sets) + 1),
            origin=f"data/{name}.csv",
            understood=f"data/{name}.csv: understood",
        )
        for name, label_sets in zip(("train", "val", "test"), parts, strict=True)
    }
    return Splits(**examples, how="as in the folder", vocabulary=LabelVocabulary(NAMES), warnings=("a warning.",))


def literal_figures(label_sets: LabelSets) -> SplitFigures:
    sizes = [len(labels) for labels in label_sets]
    return SplitFigures(
        examples=len(sizes),
        labels_mean=pytest.approx(sum(sizes) / len(sizes)),
        labels_min=min(sizes),
        labels_max=max(sizes),
        unlabelled=sizes.count(0),
        label_sets=len({frozenset(labels) for labels in label_sets}),
        absent=sum(all(name not in labels for labels in label_sets) for name in NAMES),
    )


@settings(deadline=None)
@given(SPLIT.filter(any), SPLIT, SPLIT)
def test_the_figures_equal_those_of_loops(train: LabelSets, val: LabelSets, test: LabelSets) -> None:
    description = describe(divided(train, val, test))
    assert description.splits == {
        part: literal_figures(rows) for part, rows in (("train", train), ("val", val), ("test", test))
    }
    counts = {name: [sum(name in labels for labels in part) for part in (train, val, test)] for name in NAMES}
    expected = [LabelCount(name=name, train=one, val=two, test=three) for name, (one, two, three) in counts.items()]
    assert list(description.labels) == sorted(expected, key=lambda label: -label.train)
    held = [count for count, *_ in counts.values() if count]
    assert description.imbalance.largest == pytest.approx(max(held) / min(held))
    assert description.imbalance.mean == pytest.approx(sum(max(held) / count for count in held) / len(held))


@settings(deadline=None)
@given(SPLIT.filter(any))
def test_the_pairs_equal_those_of_loops(train: LabelSets) -> None:
    expected = {}
    for place, first in enumerate(NAMES):
        for second in NAMES[place + 1 :]:
            both = sum(first in labels and second in labels for labels in train)
            either = sum(first in labels or second in labels for labels in train)
            if both:
                expected[first, second] = (both, pytest.approx(both / either))
    pairs = describe(divided(train, [()], [()])).pairs
    assert {(pair.first, pair.second): (pair.examples, pair.share) for pair in pairs} == expected
    assert [pair.examples for pair in pairs] == sorted((pair.examples for pair in pairs), reverse=True)


def description_of(**settings: object) -> Description:
    rows: LabelSets = [("a",)] * 10 + [("a", "b")] * 9
    return describe(divided(rows, [("b",)], [("c",)]), **settings)


def test_a_label_with_fewer_than_ten_training_examples_is_rare() -> None:
    assert [(label.name, label.train) for label in description_of().rare] == [("b", 9), ("c", 0), ("d", 0)]


def test_truncated_texts_are_counted() -> None:
    lengths = {"train": [10, 20, 30, 40], "val": [20], "test": [22]}
    assert description_of(token_lengths=lengths, max_length=20).truncations == (
        Truncation(split="train", texts=2, share=0.5, mean_cut=15.0, max_cut=20),
        Truncation(split="test", texts=1, share=1.0, mean_cut=2.0, max_cut=2),
    )
    assert description_of(token_lengths=lengths).truncations == ()
    assert description_of(max_length=20).truncations == ()


def test_a_description_can_be_written_as_json() -> None:
    description = description_of(token_lengths={"train": [3]}, max_length=2)
    values = json.loads(json.dumps(asdict(description)))
    assert values["how"] == "as in the folder"
    assert values["warnings"] == ["a warning."]
    assert values["understood"] == [f"data/{part}.csv: understood" for part in ("train", "val", "test")]
    assert values["labels"][0] == {"name": "a", "train": 19, "val": 0, "test": 0}


@pytest.mark.parametrize(
    "name", ["aapd2k", "clinc150", "corel5k", "goemotions", "hoc", "reuters21578", "semeval2018_ec"]
)
def test_real_data_agree_with_their_notes(name: str, shared: Path) -> None:
    notes = (shared / "data" / name / "DATASET.md").read_text()
    description = describe(load_splits(shared / "data" / name, seed=0))
    for part, figures in description.splits.items():
        row = re.search(rf"^\| {part} \|(.*)\|$", notes, re.MULTILINE)[1].replace(",", "")  # type: ignore[index]
        examples, mean, unlabelled, _, most, label_sets, absent = map(float, row.split("|"))
        assert (figures.examples, figures.unlabelled, figures.labels_max) == (examples, unlabelled, most)
        assert (figures.label_sets, figures.absent) == (label_sets, absent)
        assert figures.labels_mean == pytest.approx(mean, abs=6e-4)
    largest, mean = map(float, re.search(r"IRmax = ([\d.]+), mean IRLbl = ([\d.]+)", notes).groups())  # type: ignore[union-attr]
    assert (description.imbalance.largest, description.imbalance.mean) == pytest.approx((largest, mean), abs=0.051)


FIGURES = SplitFigures(examples=1200, labels_mean=1.5, labels_min=0, labels_max=3, unlabelled=4, label_sets=5, absent=1)


def described(**changes: object) -> Description:
    values: dict[str, object] = {
        "origin": "data/reviews.csv",
        "kind": "text",
        "understood": ('data/reviews.csv: 1,200 rows; text in "review"',),
        "how": "70 % train, 10 % val and 20 % test of data/reviews.csv, by iterative stratification with seed 0",
        "warnings": (),
        "splits": {"train": FIGURES, "val": FIGURES, "test": FIGURES},
        "labels": (
            LabelCount(name="food", train=1000, val=100, test=200),
            LabelCount(name="price", train=0, val=0, test=1),
        ),
        "imbalance": Imbalance(largest=1000.0, mean=500.5),
        "pairs": (),
        "repeats": (),
        "truncations": (),
        "max_length": None,
    }
    return Description(**(values | changes))  # type: ignore[arg-type]


def test_a_plain_description_as_text() -> None:
    assert (
        render_description(described())
        == """\
Data in data
  reviews.csv: 1,200 rows; text in "review".
  70 % train, 10 % val and 20 % test of reviews.csv, by iterative stratification with seed 0.

Splits
         examples  labels each  min  max  without labels  label sets  labels without examples
  train     1,200         1.50    0    3               4           5                        1
  val       1,200         1.50    0    3               4           5                        1
  test      1,200         1.50    0    3               4           5                        1

Labels: 2; imbalance: IRmax 1,000.0, mean IRLbl 500.5
         train  val  test
  food   1,000  100   200  ████████████████████████████████
  price      0    0     1

Labels by their number of training examples
        examples  labels
               0       1  ████████████████████████████████
          1 to 2       0
          3 to 9       0
        10 to 29       0
        30 to 99       0
      100 to 299       0
      300 to 999       0
  1,000 to 2,999       1  ████████████████████████████████"""
    )


def test_a_file_in_the_current_folder_has_no_folder_to_name() -> None:
    sentence = 'reviews.csv: 1,200 rows; text in "review"'
    text = render_description(described(origin="reviews.csv", understood=(sentence,)))
    assert text.splitlines()[:2] == ["Data", '  reviews.csv: 1,200 rows; text in "review".']


def test_published_figures_are_beside_those_found() -> None:
    figures = (
        PublishedFigure("train", 7769, 7770),
        PublishedFigure("labels", 90, 90),
        PublishedFigure("labels each", 2.41, 2.408),
    )
    text = render_description(described(published=PublishedComparison("Reuters-21578", "Yang and Liu, 1999", figures)))
    assert (
        """
Reuters-21578, published by Yang and Liu, 1999
               published  found
  train            7,769  7,770  differs
  labels              90     90
  labels each       2.41   2.41
"""
        in text
    )


def test_pairs_are_in_a_table() -> None:
    pairs = (
        Pair(first="food", second="price", examples=1250, share=0.256),
        Pair(first="a", second="b", examples=3, share=1.0),
    )
    assert """
Labels that go together in train
                both  of either
  food  price  1,250       26 %
  a     b          3      100 %""" in render_description(described(pairs=pairs))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"warnings": ("no training example has it.",)}, "No training example has it."),
        (
            {"labels": (LabelCount(name="x", train=12, val=0, test=0), LabelCount(name="y", train=2, val=0, test=0))},
            '1 of 2 labels have 1 to 9 training examples; the rarest are "y" (2).',
        ),
        (
            {
                "repeats": (
                    Repeat(earlier="train", later="test", examples=9, instance=("a/b.csv, line 3", "a/c.csv, line 7")),
                )
            },
            "9 of 1,200 examples of test are also in train; one is c.csv, line 7, as b.csv, line 3.",
        ),
        (
            {"repeats": (Repeat(earlier="val", later="val", examples=9, instance=("b.csv, line 3", "b.csv, line 7")),)},
            "9 of 1,200 examples of val repeat another one; one is b.csv, line 7, as b.csv, line 3.",
        ),
        (
            {
                "truncations": (Truncation(split="val", texts=1500, share=0.25, mean_cut=14.6, max_cut=300),),
                "max_length": 128,
            },
            "1,500 texts of val (25.0 %) are longer than 128 tokens; they lose 15 tokens on average, 300 at most.",
        ),
    ],
)
def test_remarkable_facts_are_listed(changes: dict[str, object], sentence: str) -> None:
    noticed = render_description(described(**changes)).split("\nNoticed\n")[1]
    assert " ".join(noticed.split()) == f"- {sentence}"


def test_of_many_labels_the_first_and_the_last_are_shown() -> None:
    labels = tuple(LabelCount(name=f"label {row}", train=500 - row, val=0, test=0) for row in range(100))
    text = render_description(described(labels=labels))
    shown = [line.split("  ")[1] for line in text.splitlines() if line.startswith("  label ")]
    assert shown == [f"label {row}" for row in [*range(14), *range(95, 100)]]
    assert "\n  81 more\n" in text


def test_a_long_name_loses_its_middle() -> None:
    labels = (LabelCount(name="a" * 30 + "b" * 30, train=1, val=0, test=0),)
    assert f"  {'a' * 19}…{'b' * 18}  " in render_description(described(labels=labels))


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_a_bar_is_as_long_as_its_value(value: int, most: int) -> None:
    drawn = bar(min(value, most), most, width=10)
    eighths = sum(" ▏▎▍▌▋▊▉█".index(mark) for mark in drawn)
    assert eighths == (max(1, round(80 * min(value, most) / most)) if value else 0)


@pytest.mark.parametrize("name", ["hoc", "clinc150", "tabular/delicious.npz"])
def test_no_line_is_wider_than_100_columns(name: str, shared: Path) -> None:
    text = render_description(describe(load_splits(shared / "data" / name, seed=0)))
    assert max(map(len, text.splitlines())) <= 100
    assert not any(line != line.rstrip() for line in text.splitlines())
