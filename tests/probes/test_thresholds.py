"""Thresholds against trying all of them, expected-F1 sets against all sets and truths, rules, files and refusals."""

import math
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from labelcontrast.errors import ConfigError, DataError, LabelShapeError
from labelcontrast.metrics import counting
from labelcontrast.probes import thresholds
from labelcontrast.probes.thresholds import (
    Rule,
    Thresholds,
    best_cuts,
    choose_thresholds,
    expected_f1_rule,
    expected_f1_sets,
    fixed_threshold,
    global_threshold,
    per_label_thresholds,
    top_labels,
    wanted_thresholds,
)


def literal_f1(true: list[float], scores: list[float], threshold: float) -> float:
    """F1 of one label at a threshold, by counting the pairs that are known."""
    known = [(one, score) for one, score in zip(true, scores, strict=True) if not math.isnan(one)]
    hits = sum(1 for one, score in known if one and score > threshold)
    wrong = sum(1 for one, score in known if bool(one) != (score > threshold))
    return 0.0 if hits == 0 else hits / (hits + wrong / 2)


def literal_cut(true: list[float], scores: list[float], preferred: float) -> float:
    """Return the best of one threshold per gap between known scores; in ties the nearest to the preferred one."""
    known = [float(score) for one, score in zip(true, scores, strict=True) if not math.isnan(one)]
    gaps = pairwise(sorted({0.0, 1.0, *known}))
    tried = [preferred if low <= preferred < high else (low + high) / 2 for low, high in gaps]
    return max(tried, key=lambda cut: (literal_f1(true, scores, cut), -abs(cut - preferred)))


@settings(deadline=None, max_examples=200)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 9), st.integers(1, 4)),
    st.sampled_from([0.0, 0.2, 0.6, 1.0]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([0.03, 0.1, 0.5, 0.93]),
)
def test_no_threshold_is_better_and_the_nearest_to_the_preferred_is_taken(
    seed: int, shape: tuple[int, int], density: float, unknown: float, preferred: float
) -> None:
    generator = np.random.default_rng(seed)
    labels = (generator.random(shape) < density).astype(float)
    labels[generator.random(shape) < unknown] = np.nan
    scores = generator.integers(0, 9, size=shape) / np.float32(8)
    found = best_cuts(labels, scores, preferred=preferred)
    for true, ranked, cut in zip(labels.T.tolist(), scores.T.tolist(), found, strict=True):
        expected = literal_cut(true, ranked, preferred)
        assert literal_f1(true, ranked, cut) == literal_f1(true, ranked, expected)
        assert abs(cut - preferred) == pytest.approx(abs(expected - preferred))


def test_neighbouring_floats_are_separated() -> None:
    low = 0.3
    high = np.nextafter(low, 1)
    found = best_cuts(np.array([[1], [0]]), np.array([[high], [low]]))
    assert low <= found[0] < high


def test_blocks_of_labels_change_no_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    labels, scores = generator.integers(0, 2, (20, 7)), generator.random((20, 7))
    whole = best_cuts(labels, scores)
    monkeypatch.setattr(thresholds, "BLOCK", 45)
    assert best_cuts(labels, scores).tolist() == whole.tolist()


def literal_expectation(chosen: tuple[bool, ...], chances: list[float]) -> float:
    """Mean over every truth, by its probability, of its F1 with the set; 0 where either is empty."""
    total = 0.0
    for truth in product((False, True), repeat=len(chances)):
        weight = np.prod([chance if one else 1 - chance for one, chance in zip(truth, chances, strict=True)])
        hits = sum(a and b for a, b in zip(chosen, truth, strict=True))
        total += weight * (2 * hits / (sum(chosen) + sum(truth)) if hits else 0.0)
    return total


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([0.0, 0.01, 0.1, 0.3, 0.5, 0.77, 0.9, 1.0]), min_size=1, max_size=5))
def test_no_set_has_a_higher_expected_f1(chances: list[float]) -> None:
    found = tuple(expected_f1_sets(np.array([chances]))[0].tolist())
    best = max(literal_expectation(chosen, chances) for chosen in product((False, True), repeat=len(chances)))
    assert literal_expectation(found, chances) == pytest.approx(best, abs=1e-12)
    assert any(found) == any(chances)


def test_sets_depend_on_no_other_example_and_no_block(monkeypatch: pytest.MonkeyPatch) -> None:
    chances = np.random.default_rng(0).random((9, 12)).astype(np.float32) ** 2
    whole = expected_f1_sets(chances)
    monkeypatch.setattr(thresholds, "EXAMPLES_AT_ONCE", 300)
    assert expected_f1_sets(chances).tolist() == whole.tolist()
    assert expected_f1_sets(chances[3:4]).tolist() == whole[3:4].tolist()
    assert expected_f1_sets(chances[:0]).shape == (0, 12)


def micro_f1(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> float:
    predicted = probabilities.astype(np.float64) > threshold
    hits, wrong = np.sum(predicted & (labels == 1)), np.sum(predicted != (labels == 1))
    return 0.0 if hits == 0 else 2 * hits / (2 * hits + wrong)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 5), st.sampled_from([0.0, 0.2, 0.6, 1.0]))
def test_no_threshold_is_better_than_the_global_one(seed: int, examples: int, labels: int, density: float) -> None:
    generator = np.random.default_rng(seed)
    true = (generator.random((examples, labels)) < density).astype(np.uint8)
    probabilities = generator.integers(0, 9, size=true.shape) / np.float32(8)
    found = global_threshold(true, probabilities)
    assert found.how == "global"
    assert np.unique(found.values).size == 1
    chosen = found.values[0]
    tried = np.append(np.linspace(0, 1, 161), chosen)
    by_threshold = np.array([micro_f1(true, probabilities, threshold) for threshold in tried])
    assert by_threshold[-1] == by_threshold.max()
    if micro_f1(true, probabilities, 0.5) == by_threshold.max():
        assert chosen == 0.5


def test_between_ties_the_nearest_to_one_half_is_taken() -> None:
    labels, probabilities = np.array([[1, 0, 1, 0]]), np.array([[0.1, 0.05, 0.04, 0.02]])
    # Above 0.1: one of two found; above 0.04: both of two, with one too many. The second is better.
    assert global_threshold(labels, probabilities).values[0] == pytest.approx(0.03)
    assert global_threshold(np.zeros((2, 2)), np.full((2, 2), 0.9)).values[0] == 0.5


def test_the_global_threshold_may_lie_between_neighbouring_floats() -> None:
    low = 0.3
    high = np.nextafter(low, 1)
    labels, probabilities = np.array([[1], [0]]), np.array([[high], [low]])
    found = global_threshold(labels, probabilities)
    best = max(micro_f1(labels, probabilities, cut) for cut in (0.0, 0.2, low, high, 0.5))
    assert micro_f1(labels, probabilities, found.values[0]) >= min(best, 2 / 3)


def test_a_probability_equal_to_its_threshold_is_not_predicted() -> None:
    assert fixed_threshold(1).predict(np.array([[0.5], [0.5 + 1e-12]])).tolist() == [[False], [True]]


def test_a_file_preserves_every_digit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random(17)
    before = [
        Thresholds(values, "per_label"),
        Thresholds(values, "x", most=3, empty="best"),
        Thresholds(values, "y", expected_f1=True),
    ]
    for one in before:
        one.save(tmp_path / "thresholds.json")
        after = Thresholds.load(tmp_path / "thresholds.json")
        assert (after.values == one.values).all()
        assert vars(after) | {"values": None} == vars(one) | {"values": None}


def test_a_file_of_an_older_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "thresholds.json").write_text('{"how": "global", "values": [0.25, 0.5]}')
    found = Thresholds.load(tmp_path / "thresholds.json")
    assert (found.how, found.most, found.expected_f1, found.empty) == ("global", None, False, "allow")
    assert found.values.tolist() == [0.25, 0.5]


def test_top_labels_are_limited_in_number() -> None:
    probabilities = np.random.default_rng(0).random((20, 6))
    predicted = top_labels(6, most=2).predict(probabilities)
    for row, chosen in zip(probabilities, predicted, strict=True):
        assert set(np.flatnonzero(chosen)) == set(sorted(range(6), key=lambda label: -row[label])[:2])
    assert top_labels(6, most=9).predict(probabilities).all()


def test_the_rule_in_words() -> None:
    assert fixed_threshold(2).rule == "fixed"
    assert Thresholds(np.zeros(2), "top_k", most=3, empty="best").rule == (
        "top_k, at most 3 labels, the best label where none passes"
    )


def test_an_empty_set_is_allowed_or_gets_its_best_label() -> None:
    probabilities = np.array([[0.1, 0.3, 0.2], [0.9, 0.2, 0.8], [0.4, 0.4, 0.4]])
    allowed = fixed_threshold(3)
    assert allowed.predict(probabilities).tolist() == [[False] * 3, [True, False, True], [False] * 3]
    best = Thresholds(allowed.values, "fixed", empty="best").predict(probabilities)
    assert best.tolist() == [[False, True, False], [True, False, True], [True, False, False]]


def test_the_expected_f1_rule_predicts_its_sets() -> None:
    probabilities = np.random.default_rng(0).random((30, 5)) ** 2
    assert expected_f1_rule(5).predict(probabilities).tolist() == expected_f1_sets(probabilities).tolist()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"how": "x"}',
        '{"how": "x", "values": ["a"]}',
        "\xff",
        '{"how": "x", "values": [0.5], "empty": "never"}',
        '{"how": "x", "values": [0.5], "most": "some"}',
        '{"how": "x", "values": [0.5], "most": 1e999}',
        '{"how": "x", "values": [NaN]}',
    ],
)
def test_refuses_a_damaged_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "thresholds.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r'thresholds\.json: expected \{"how": name, "values": \[numbers\]\}\. Got'):
        Thresholds.load(path)


def test_invalid_inputs_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^threshold must be between 0 and 1\. Got 1\.5\.$"):
        fixed_threshold(2, threshold=1.5)
    with pytest.raises(ConfigError, match=r"^most must be at least 1\. Got 0\.$"):
        top_labels(2, most=0)
    with pytest.raises(LabelShapeError, match=r"^probabilities must have one column a threshold, 3\. Got 2\.$"):
        fixed_threshold(3).predict(np.zeros((4, 2)))


def long_tail(seed: int, examples: int, labels: int, *, temper: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels as frequent as 0.4 over their rank, and probabilities; tempered, each label is wrong in a way of its own.

    Each label shifts a normal variable by its own strength; the probability is that of Bayes, its logit scaled.
    """
    world = np.random.default_rng(99)
    chance, strength = 0.4 / np.arange(1, labels + 1), world.uniform(1, 4, labels)
    bias = world.normal(0, 1.0, labels) * (temper != 1)
    generator = np.random.default_rng(seed)
    true = generator.random((examples, labels)) < chance
    seen = generator.normal(size=true.shape) + strength * true
    logit = strength * seen - strength**2 / 2 + np.log(chance / (1 - chance))
    return true.astype(float), 1 / (1 + np.exp(-(temper * logit + bias)))


def both_f1(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return np.array([f1_score(true, predicted, average=how, zero_division=0) for how in ("micro", "macro")])


def mean_over_seeds(examples: int, labels: int, *, temper: float) -> dict[str, np.ndarray]:
    """Micro- and macro-F1 on 4,000 new examples by rule, the mean of six validation sets."""
    test, scores = long_tail(1000, 4000, labels, temper=temper)
    found: dict[str, list[np.ndarray]] = {"global": [], "naive": [], "per label": []}
    for seed in range(6):
        true, probabilities = long_tail(seed, examples, labels, temper=temper)
        naive = np.where(true.any(axis=0), best_cuts(true, probabilities), 0.5)
        found["global"].append(both_f1(test, global_threshold(true, probabilities).predict(scores)))
        found["naive"].append(both_f1(test, scores > naive))
        found["per label"].append(both_f1(test, per_label_thresholds(true, probabilities).predict(scores)))
    return {name: np.mean(values, axis=0) for name, values in found.items()}


def test_rare_labels_do_not_get_worse_on_a_long_tail() -> None:
    found = mean_over_seeds(777, 90, temper=1.0)
    assert found["naive"][0] < found["global"][0] - 0.05  # what naive tuning costs, as on reuters21578
    assert found["per label"][0] > found["global"][0] - 0.02
    assert found["per label"][1] > found["global"][1]
    assert found["per label"][1] > found["naive"][1]


def test_frequent_labels_that_differ_get_thresholds_of_their_own() -> None:
    found = mean_over_seeds(900, 11, temper=0.6)
    assert found["per label"][1] > found["global"][1] + 0.01
    assert found["per label"][0] > found["naive"][0] - 0.005


def test_a_label_without_a_positive_and_an_infinite_strength_give_the_global_one() -> None:
    true, probabilities = long_tail(0, 300, 8)
    true[:, 3] = 0
    start = global_threshold(true, probabilities).values[0]
    free = per_label_thresholds(true, probabilities, strengths=[0.0])
    assert free.how == "per_label"
    assert free.values[3] == start
    assert (np.delete(free.values, 3) != start).any()
    assert (per_label_thresholds(true, probabilities, strengths=[np.inf]).values == start).all()
    assert (per_label_thresholds(0 * true, probabilities).values == 0.5).all()


def test_the_rarer_the_label_the_nearer_to_the_global_threshold() -> None:
    # The same scores twice; of the second label nine positives in ten are not known, nor as many negatives.
    generator = np.random.default_rng(0)
    one = (np.arange(1000) < 200).astype(float)
    scores = np.clip(generator.normal(0.2 + 0.2 * one, 0.05), 0, 1)
    other = np.where(np.arange(1000) % 10 == 0, one, np.nan)
    far = (generator.random(1000) < 0.5).astype(float)
    true = np.stack([one, other, far], axis=1)
    probabilities = np.stack([scores, scores, np.clip(0.55 + 0.3 * far + generator.normal(0, 0.1, 1000), 0, 1)], axis=1)
    start = global_threshold(true, probabilities).values[0]
    frequent, rare, _ = per_label_thresholds(true, probabilities, strengths=[30.0]).values
    assert abs(frequent - start) > 1.2 * abs(rare - start) > 0
    weights = [200 / 230, 20 / 50]
    assert (rare - start) / (frequent - start) == pytest.approx(weights[1] / weights[0], abs=0.15)


def test_unknown_labels_are_left_out() -> None:
    true, probabilities = long_tail(0, 200, 5)
    extra = np.full((50, 5), np.nan)
    found = per_label_thresholds(
        np.vstack([true, extra]), np.vstack([probabilities, probabilities[:50]]), strengths=[0.0]
    )
    alone = per_label_thresholds(true, probabilities, strengths=[0.0])
    # The folds differ, the choice hardly.
    np.testing.assert_allclose(found.values, alone.values, atol=0.1)


RANDOM = np.random.default_rng(0)
LABELS = (RANDOM.random((60, 4)) < 0.4).astype(np.uint8)
SCORES = np.clip(0.5 * LABELS + 0.5 * RANDOM.random((60, 4)), 0, 1)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("fixed", fixed_threshold(4)),
        ("global", global_threshold(LABELS, SCORES)),
        ("per_label", per_label_thresholds(LABELS, SCORES)),
        ("top_k", top_labels(4, most=2)),
        ("expected_f1", expected_f1_rule(4)),
    ],
)
def test_every_rule_by_its_name(rule: Rule, expected: object) -> None:
    found = choose_thresholds(rule, LABELS, SCORES, top_k=2)
    np.testing.assert_array_equal(found.predict(SCORES), expected.predict(SCORES))
    assert found.rule == expected.rule


def test_a_rule_can_replace_empty_sets_by_the_best_label() -> None:
    assert choose_thresholds("fixed", LABELS, SCORES, empty="best").predict(np.array([[0.1, 0.2, 0.3, 0.2]])).any()


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_rule_is_refused_with_the_nearest_name() -> None:
    expected = (
        r"^there is no rule 'globl' \(did you mean \"global\"\?\)\. "
        r"There are fixed, global, per_label, top_k, expected_f1\.$"
    )
    with pytest.raises(ConfigError, match=expected):
        choose_thresholds("globl", LABELS, SCORES)
    with pytest.raises(ConfigError, match=r"^per_level needs a hierarchy: call level_thresholds\(.*depths\)\.$"):
        choose_thresholds("per_level", LABELS, SCORES)


@pytest.mark.parametrize("rule", ["global", "per_label"])
def test_thresholds_of_lists_and_tensors_are_those_of_arrays(rule) -> None:
    expected = choose_thresholds(rule, LABELS, SCORES)
    for convert in (np.ndarray.tolist, torch.from_numpy):
        found = choose_thresholds(rule, convert(LABELS), convert(SCORES))
        assert found.values.tolist() == expected.values.tolist()
        assert found.predict(convert(SCORES)).tolist() == expected.predict(SCORES).tolist()
    with pytest.raises(LabelShapeError, match=r"^probabilities must be a matrix of numbers .* Got shape \[4\]"):
        expected.predict([0.1, 0.2, 0.3, 0.4])
    with pytest.raises(LabelShapeError, match=r"^labels and probabilities must have one shape, .* Got \[\d+, 4\] and"):
        choose_thresholds(rule, LABELS, SCORES[:2])


@pytest.mark.parametrize(("name", "wanted"), [("precision", 0.6), ("recall", 0.7), ("cost", (1.0, 4.0))])
def test_wanted_thresholds_are_the_best_of_all_cuts(name: str, wanted: Any) -> None:
    random = np.random.default_rng(3)
    labels = (random.random((60, 6)) < 0.3).astype(float)
    labels[:, 5] = 0
    scores = np.clip(0.4 * labels + random.random((60, 6)) * 0.6, 0, 1)
    labels[random.random(labels.shape) < 0.1] = np.nan
    start = fixed_threshold(6)
    found, kept = wanted_thresholds(start, labels, scores, **{name: wanted})
    assert kept == [5]
    assert found.values[5] == start.values[5]

    def worth(column: int, cut: float) -> float:
        hits = sum(y == 1 and p > cut for y, p in zip(labels[:, column], scores[:, column], strict=True))
        claimed = sum(y in (0, 1) and p > cut for y, p in zip(labels[:, column], scores[:, column], strict=True))
        positives = sum(y == 1 for y in labels[:, column])
        if name == "cost":
            return -wanted[0] * (claimed - hits) - wanted[1] * (positives - hits)
        precision, recall = hits / max(claimed, 1), hits / positives
        if name == "precision":
            return recall if hits and precision >= wanted else -1.0
        return precision if recall >= wanted else -1.0

    for column in range(5):
        every = [worth(column, cut) for cut in [0.0, *scores[:, column]]]
        assert worth(column, found.values[column]) == pytest.approx(max(every))
    assert found.how.startswith(name)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 4), st.sampled_from([0.0, 0.3, 1.0]))
def test_the_global_threshold_is_the_best_cut_of_all_pairs_together(
    seed: int, examples: int, count: int, unknown: float
) -> None:
    generator = np.random.default_rng(seed)
    labels = (generator.random((examples, count)) < 0.4).astype(float)
    labels[generator.random(labels.shape) < unknown] = np.nan
    scores = generator.integers(0, 5, size=labels.shape) / np.float32(4)
    expected = best_cuts(labels.reshape(-1, 1), scores.reshape(-1, 1)).item()
    assert global_threshold(labels, scores).values.tolist() == [expected] * count


def test_thresholds_in_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    labels = (generator.random((60, 20)) < 0.1).astype(np.uint8)
    labels[:, 7] = 0
    scores = 0.5 * generator.random(labels.shape) + 0.4 * labels
    whole = {rule: choose_thresholds(rule, labels, scores).values for rule in ("global", "per_label")}
    monkeypatch.setattr(counting, "PAIRS_AT_ONCE", 130)
    for rule, values in whole.items():
        assert choose_thresholds(rule, labels, scores).values.tolist() == values.tolist()
