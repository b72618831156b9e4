"""Vocabularies: label sets to a binary matrix and back, files, and unknown or invalid labels."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcontrast.errors import LabelError
from labelcontrast.labels.vocabulary import LabelVocabulary

NAMES = st.text(min_size=1, max_size=5)
LABEL_SETS = st.lists(st.lists(NAMES, max_size=4, unique=True).map(tuple), max_size=12)


@settings(deadline=None)
@given(LABEL_SETS)
def test_encode_gives_the_binary_label_matrix(label_sets: list[tuple[str, ...]]) -> None:
    vocabulary = LabelVocabulary.from_label_sets(label_sets)
    dense = vocabulary.encode(label_sets).toarray()
    literal = [[int(name in labels) for name in vocabulary.names] for labels in label_sets]
    assert dense.tolist() == (literal if vocabulary.names else [[] for _ in label_sets])
    assert dense.dtype == np.uint8
    assert list(vocabulary.names) == sorted({name for labels in label_sets for name in labels})


@settings(deadline=None)
@given(LABEL_SETS)
def test_decode_inverts_encode(label_sets: list[tuple[str, ...]]) -> None:
    vocabulary = LabelVocabulary.from_label_sets(label_sets)
    matrix = vocabulary.encode(label_sets)
    expected = [tuple(sorted(labels)) for labels in label_sets]
    assert vocabulary.decode(matrix) == expected
    assert vocabulary.decode(matrix.toarray().astype(bool)) == expected


def test_the_given_order_is_kept() -> None:
    vocabulary = LabelVocabulary(("sports", "health"))
    assert vocabulary.encode([("health",), ("health", "sports")]).toarray().tolist() == [[0, 1], [1, 1]]
    assert vocabulary.decode(np.array([[1, 1]])) == [("sports", "health")]


def test_a_duplicate_label_counts_once() -> None:
    assert LabelVocabulary(("a",)).encode([("a", "a")]).toarray().tolist() == [[1]]


def test_an_unknown_label_is_refused_with_its_place_and_the_nearest_name() -> None:
    vocabulary = LabelVocabulary(("politics", "sports"))
    with pytest.raises(LabelError) as refusal:
        vocabulary.encode(
            [("sports",), (), ("politics", "sprots")], where=lambda row: f"reviews.jsonl, line {row + 15}"
        )
    assert str(refusal.value) == (
        'reviews.jsonl, line 17: label "sprots" is not in the vocabulary (did you mean "sports"?).'
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "b", "a"), 'label "a" occurs twice in the vocabulary.'),
        (("a", ""), "a label name must be text that is not empty. Got ''."),
        (("a", 3), "a label name must be text that is not empty. Got 3."),
    ],
)
def test_invalid_names_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(LabelError) as refusal:
        LabelVocabulary(names)
    assert str(refusal.value) == message


@settings(deadline=None, max_examples=20)
@given(names=st.lists(NAMES, unique=True, max_size=6))
def test_a_saved_vocabulary_is_loaded(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("run") / "labels.json"
    LabelVocabulary(tuple(names)).save(path)
    assert LabelVocabulary.load(path).names == tuple(names)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file; expected a JSON list of label names."),
        ("{", "not a JSON list of label names (Expecting property name enclosed in double quotes"),
        ('{"a": 1}', "expected a JSON list of label names. Got a dict."),
        ('["a", "a"]', 'label "a" occurs twice in the vocabulary.'),
    ],
)
def test_a_damaged_file_is_refused(content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(LabelError) as refusal:
        LabelVocabulary.load(path)
    assert str(refusal.value).startswith(f"{path}: {message}")


def test_a_hundred_thousand_label_sets_are_encoded() -> None:
    names = [f"label {number}" for number in range(1000)]
    label_sets = [(names[row % 1000], names[row * 7 % 1000], names[row * 31 % 1000]) for row in range(100_000)]
    vocabulary = LabelVocabulary(tuple(names))
    matrix = vocabulary.encode(label_sets)
    assert matrix.sum() == sum(len(set(labels)) for labels in label_sets)


VALUES = st.dictionaries(st.sampled_from("abcd"), st.floats(0, 1, width=32) | st.just(math.nan), max_size=4)
SETS = st.lists(st.sampled_from("abcd"), unique=True, max_size=4)


@settings(deadline=None)
@given(st.lists(st.tuples(SETS, VALUES, SETS), min_size=1, max_size=6), st.booleans())
def test_values_equal_a_loop_over_cells(
    rows: list[tuple[list[str], dict[str, float], list[str]]], listed: bool
) -> None:
    vocabulary = LabelVocabulary(("a", "b", "c", "d"))
    label_sets, values, annotated = (list(column) for column in zip(*rows, strict=True))
    matrix = vocabulary.encode_values(label_sets, values, annotated if listed else None).toarray()
    for row, (held, odd, seen) in enumerate(rows):
        for column, name in enumerate(vocabulary.names):
            unknown = listed and name not in seen and name not in held
            expected = odd.get(name, math.nan if unknown else float(name in held))
            assert matrix[row, column] == expected or (math.isnan(expected) and np.isnan(matrix[row, column]))


def test_an_unknown_name_in_values_is_refused_with_its_place() -> None:
    vocabulary = LabelVocabulary(("sports", "health"))
    for values, annotated in (([{}, {"sprots": 0.5}], None), (None, [(), ("sprots",)])):
        with pytest.raises(LabelError) as refusal:
            vocabulary.encode_values([(), ()], values, annotated, where=lambda row: f"a.jsonl, line {row + 1}")
        assert str(refusal.value) == (
            'a.jsonl, line 2: label "sprots" is not in the vocabulary (did you mean "sports"?).'
        )


def test_decoded_label_sets_do_not_change_with_the_matrix() -> None:
    vocabulary = LabelVocabulary(("a", "b"))
    matrix = vocabulary.encode([("a",), ("b",)])
    decoded = vocabulary.decode(matrix)
    matrix.indices[:] = 0
    assert decoded == [("a",), ("b",)]
