"""The figures of data: as loops count them, and as the notes beside the real data have them."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.data.describe import Description, LabelCount, PartFigures, Truncation, describe
from labelcontrast.data.examples import Examples
from labelcontrast.data.splits import Splits, load_splits
from labelcontrast.labels.vocabulary import LabelVocabulary

LabelSets = list[tuple[str, ...]]
NAMES = ("a", "b", "c", "d")
PART = st.lists(st.lists(st.sampled_from(NAMES), max_size=4, unique=True).map(tuple), min_size=1, max_size=9)


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


def literal_figures(label_sets: LabelSets) -> PartFigures:
    sizes = [len(labels) for labels in label_sets]
    return PartFigures(
        examples=len(sizes),
        labels_mean=pytest.approx(sum(sizes) / len(sizes)),
        labels_min=min(sizes),
        labels_max=max(sizes),
        unlabelled=sizes.count(0),
        label_sets=len({frozenset(labels) for labels in label_sets}),
        absent=sum(all(name not in labels for labels in label_sets) for name in NAMES),
    )


@settings(deadline=None)
@given(PART.filter(any), PART, PART)
def test_the_figures_are_what_loops_count(train: LabelSets, val: LabelSets, test: LabelSets) -> None:
    description = describe(divided(train, val, test))
    assert description.parts == {
        part: literal_figures(rows) for part, rows in (("train", train), ("val", val), ("test", test))
    }
    counts = {name: [sum(name in labels for labels in part) for part in (train, val, test)] for name in NAMES}
    expected = [LabelCount(name=name, train=one, val=two, test=three) for name, (one, two, three) in counts.items()]
    assert list(description.labels) == sorted(expected, key=lambda label: -label.train)
    held = [count for count, *_ in counts.values() if count]
    assert description.imbalance.largest == pytest.approx(max(held) / min(held))
    assert description.imbalance.mean == pytest.approx(sum(max(held) / count for count in held) / len(held))


@settings(deadline=None)
@given(PART.filter(any))
def test_the_pairs_are_what_loops_count(train: LabelSets) -> None:
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


def test_what_is_cut_is_counted() -> None:
    lengths = {"train": [10, 20, 30, 40], "val": [20], "test": [22]}
    assert description_of(token_lengths=lengths, max_length=20).truncations == (
        Truncation(part="train", texts=2, share=0.5, mean_cut=15.0, max_cut=20),
        Truncation(part="test", texts=1, share=1.0, mean_cut=2.0, max_cut=2),
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
def test_real_data_are_as_their_notes_say(name: str, shared: Path) -> None:
    notes = (shared / "data" / name / "DATASET.md").read_text()
    description = describe(load_splits(shared / "data" / name, seed=0))
    for part, figures in description.parts.items():
        row = re.search(rf"^\| {part} \|(.*)\|$", notes, re.MULTILINE)[1].replace(",", "")  # type: ignore[index]
        examples, mean, unlabelled, _, most, label_sets, absent = map(float, row.split("|"))
        assert (figures.examples, figures.unlabelled, figures.labels_max) == (examples, unlabelled, most)
        assert (figures.label_sets, figures.absent) == (label_sets, absent)
        assert figures.labels_mean == pytest.approx(mean, abs=6e-4)
    largest, mean = map(float, re.search(r"IRmax = ([\d.]+), mean IRLbl = ([\d.]+)", notes).groups())  # type: ignore[union-attr]
    assert (description.imbalance.largest, description.imbalance.mean) == pytest.approx((largest, mean), abs=0.051)
