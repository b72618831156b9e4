"""A description on paper: every figure where it belongs, never wider than the page."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelcontrast.data.describe import Description, Imbalance, LabelCount, Pair, PartFigures, Truncation, describe
from labelcontrast.data.describe_text import bar, render
from labelcontrast.data.doctor.duplicates import Repeat
from labelcontrast.data.published import Figure, PublishedComparison
from labelcontrast.data.splits import load_splits

FIGURES = PartFigures(examples=1200, labels_mean=1.5, labels_min=0, labels_max=3, unlabelled=4, label_sets=5, absent=1)


def described(**changes: object) -> Description:
    values: dict[str, object] = {
        "origin": "data/reviews.csv",
        "kind": "text",
        "understood": ('data/reviews.csv: 1,200 rows; text in "review"',),
        "how": "70 % train, 10 % val and 20 % test of data/reviews.csv, by iterative stratification with seed 0",
        "warnings": (),
        "parts": {"train": FIGURES, "val": FIGURES, "test": FIGURES},
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


def test_a_plain_description_reads_so() -> None:
    assert (
        render(described())
        == """\
Data in data
  reviews.csv: 1,200 rows; text in "review".
  70 % train, 10 % val and 20 % test of reviews.csv, by iterative stratification with seed 0.

Parts
         examples  labels each  min  max  without labels  label sets  absent labels
  train     1,200         1.50    0    3               4           5              1
  val       1,200         1.50    0    3               4           5              1
  test      1,200         1.50    0    3               4           5              1

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


def test_published_figures_stand_beside_those_found() -> None:
    figures = (Figure("train", 7769, 7770), Figure("labels", 90, 90), Figure("labels each", 2.41, 2.408))
    text = render(described(published=PublishedComparison("Reuters-21578", "Yang and Liu, 1999", figures)))
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


def test_pairs_stand_in_a_table() -> None:
    pairs = (
        Pair(first="food", second="price", examples=1250, share=0.256),
        Pair(first="a", second="b", examples=3, share=1.0),
    )
    assert """
Labels that go together in train
                both  of either
  food  price  1,250       26 %
  a     b          3      100 %""" in render(described(pairs=pairs))


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
                "truncations": (Truncation(part="val", texts=1500, share=0.25, mean_cut=14.6, max_cut=300),),
                "max_length": 128,
            },
            "1,500 texts of val (25.0 %) are longer than 128 tokens; they lose 15 tokens on average, 300 at most.",
        ),
    ],
)
def test_what_was_noticed_is_said(changes: dict[str, object], sentence: str) -> None:
    noticed = render(described(**changes)).split("\nNoticed\n")[1]
    assert " ".join(noticed.split()) == f"- {sentence}"


def test_of_many_labels_the_first_and_the_last_are_shown() -> None:
    labels = tuple(LabelCount(name=f"label {row}", train=500 - row, val=0, test=0) for row in range(100))
    text = render(described(labels=labels))
    shown = [line.split("  ")[1] for line in text.splitlines() if line.startswith("  label ")]
    assert shown == [f"label {row}" for row in [*range(14), *range(95, 100)]]
    assert "\n  81 more\n" in text


def test_a_long_name_loses_its_middle() -> None:
    labels = (LabelCount(name="a" * 30 + "b" * 30, train=1, val=0, test=0),)
    assert f"  {'a' * 19}…{'b' * 18}  " in render(described(labels=labels))


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_a_bar_is_as_long_as_its_value(value: int, most: int) -> None:
    drawn = bar(min(value, most), most, width=10)
    eighths = sum(" ▏▎▍▌▋▊▉█".index(mark) for mark in drawn)
    assert eighths == (max(1, round(80 * min(value, most) / most)) if value else 0)


@pytest.mark.parametrize("name", ["hoc", "clinc150", "tabular/delicious.npz"])
def test_no_line_is_wider_than_the_page(name: str, shared: Path) -> None:
    text = render(describe(load_splits(shared / "data" / name, seed=0)))
    assert max(map(len, text.splitlines())) <= 100
    assert not any(line != line.rstrip() for line in text.splitlines())
