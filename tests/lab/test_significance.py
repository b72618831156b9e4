"""Significance tests: level and power on simulated data, exact enumeration, and the losses marked as best."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from labelcontrast.lab import significance
from labelcontrast.lab.comparison_report import flat_measures, hierarchy_metrics
from labelcontrast.lab.significance import (
    EvaluatedRun,
    compare_with_best,
    holm,
    paired_test,
    permute_examples,
    permute_seeds,
)
from labelcontrast.labels.hierarchy import Hierarchy, LabelTree
from labelcontrast.labels.hierarchy_files import write_hierarchy
from labelcontrast.metrics.measures import Outputs, draw_resamples, example_terms, resampled_metrics
from labelcontrast.metrics.registry import METRICS
from labelcontrast.run.evaluation import StreamedHierarchicalMetrics

SEEDS, EXAMPLES, TRIALS = 3, 150, 400


def simulate(
    generator: np.random.Generator, *, by_seed: float, by_example: float, gain: float = 0.0, seeds: int = SEEDS
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a value per seed and example for two losses: a seed effect, an example effect, and noise."""
    both = []
    for mean in (gain, 0.0):
        seed, example = generator.normal(size=(seeds, 1)), generator.normal(size=(1, EXAMPLES))
        both.append(mean + by_seed * seed + by_example * example + 0.2 * generator.normal(size=(seeds, EXAMPLES)))
    return both[0], both[1]


def compared(one: np.ndarray, other: np.ndarray, generator: np.random.Generator) -> float:
    """Return the p-value of ``paired_test`` for the mean over examples."""
    draws = generator.multinomial(EXAMPLES, np.full(EXAMPLES, 1 / EXAMPLES), size=100) / EXAMPLES
    return paired_test(one.mean(1), other.mean(1), one @ draws.T, other @ draws.T).p


def rate(test: Callable[..., float], **world: float) -> float:
    """Return the share of simulations in which a test is significant at 5 percent."""
    generator = np.random.default_rng(11)
    found = [test(*simulate(generator, **world), generator) < 0.05 for _ in range(TRIALS)]
    return float(np.mean(found))


def over_examples(one: np.ndarray, other: np.ndarray, generator: np.random.Generator) -> float:
    def mean(sums: np.ndarray) -> np.ndarray:
        return sums[..., 0] / EXAMPLES

    return permute_examples(one[..., None], other[..., None], mean, generator=generator, permutations=200)


# Of 400 trials at a rate of 5 percent, 99.9 percent of the time fewer than 8.8 percent are false positives.
HIGHEST = stats.binom.ppf(0.999, TRIALS, 0.05) / TRIALS


@pytest.mark.parametrize(("by_seed", "by_example"), [(0.0, 1.0), (0.1, 0.0), (0.1, 1.0), (0.05, 1.0)])
def test_the_paired_test_keeps_its_level_with_seed_and_example_effects(by_seed: float, by_example: float) -> None:
    assert 0.005 < rate(compared, by_seed=by_seed, by_example=by_example) <= HIGHEST


def cross_validated(generator: np.random.Generator, folds: int, gain: float = 0.0) -> float:
    """Return the p-value for the accuracies of two nearest-mean classifiers on different features."""
    truth = generator.integers(0, 2, EXAMPLES)
    features = generator.normal(size=(2, EXAMPLES, 4)) + 0.4 * truth[:, None]
    features[0] += gain * truth[:, None]
    values, resampled = np.empty((2, folds)), np.empty((2, folds, 100))
    for fold in range(folds):
        tested = np.arange(EXAMPLES) % folds == fold
        size = tested.sum()
        draws = generator.multinomial(size, np.full(size, 1 / size), size=100) / size
        for which, rows in enumerate(features):
            zero, one = (rows[~tested & (truth == side)].mean(0) for side in (0, 1))
            right = ((rows[tested] - (zero + one) / 2) @ (one - zero) > 0) == truth[tested]
            values[which, fold], resampled[which, fold] = right.mean(), draws @ right
    return paired_test(*values, *resampled).p


@pytest.mark.parametrize("folds", [3, 5, 10])
def test_the_paired_test_keeps_its_level_over_folds_with_overlapping_training_sets(folds: int) -> None:
    generator = np.random.default_rng(7)
    assert np.mean([cross_validated(generator, folds) < 0.05 for _ in range(TRIALS)]) <= HIGHEST
    assert np.mean([cross_validated(generator, folds, gain=0.8) < 0.05 for _ in range(50)]) > 0.8


def test_permuting_examples_keeps_its_level_only_without_seed_effects() -> None:
    assert 0.02 < rate(over_examples, by_seed=0.0, by_example=1.0) <= HIGHEST
    assert rate(over_examples, by_seed=0.1, by_example=0.5) > 0.2


def test_both_tests_have_power() -> None:
    assert rate(compared, by_seed=0.02, by_example=0.5, gain=0.3) > 0.9
    assert rate(over_examples, by_seed=0.0, by_example=0.5, gain=0.3) > 0.9


def test_the_confidence_interval_has_its_coverage() -> None:
    generator, held = np.random.default_rng(3), []
    for _ in range(TRIALS):
        one, other = simulate(generator, by_seed=0.05, by_example=1.0, gain=0.3, seeds=5)
        draws = generator.multinomial(EXAMPLES, np.full(EXAMPLES, 1 / EXAMPLES), size=100) / EXAMPLES
        found = paired_test(one.mean(1), other.mean(1), one @ draws.T, other @ draws.T)
        assert found.low < found.mean < found.high
        held.append(found.low < 0.3 < found.high)
    assert 0.92 < np.mean(held) < 0.99


def test_the_paired_test_reduces_to_a_z_test_or_a_paired_t_test() -> None:
    generator = np.random.default_rng(0)
    draws = generator.normal(scale=0.1, size=(2, 1, 5000))
    alone = paired_test(np.array([0.5]), np.array([0.3]), draws[0], draws[1])
    assert alone.p == pytest.approx(2 * stats.norm.sf(0.2 / np.hypot(0.1, 0.1)), abs=0.01)
    flat = np.zeros((4, 50))
    one, other = generator.normal(size=(2, 4))
    assert paired_test(one, other, flat, flat).p == pytest.approx(stats.ttest_rel(one, other).pvalue)
    assert paired_test(one, one, flat, flat).p == 1
    assert paired_test(one + 1, one, flat, flat).p == pytest.approx(0, abs=1e-9)


def test_permuting_examples_equals_enumeration() -> None:
    generator = np.random.default_rng(1)
    one, other = generator.random((2, 8, 2)), generator.random((2, 8, 2))

    def ratio(sums: np.ndarray) -> np.ndarray:
        return sums[..., 0] / (sums[..., 0] + sums[..., 1])

    found = abs(np.mean([ratio(one[s].sum(0)) - ratio(other[s].sum(0)) for s in range(2)]))
    as_large = 0
    for swaps in product([False, True], repeat=8):
        swap = np.array(swaps)[:, None]
        differences = [
            ratio(np.where(swap, other[s], one[s]).sum(0)) - ratio(np.where(swap, one[s], other[s]).sum(0))
            for s in range(2)
        ]
        as_large += abs(np.mean(differences)) >= found - 1e-12
    p = permute_examples(one, other, ratio, generator=generator, permutations=20_000)
    assert p == pytest.approx(as_large / 256, abs=0.015)


def test_permuting_seeds_equals_enumeration() -> None:
    one, other = np.array([0.3, 0.5, 0.4, 0.9, 0.6]), np.array([0.2, 0.55, 0.1, 0.4, 0.5])
    found = abs((one - other).mean())
    as_large = [abs((np.array(signs) * (one - other)).mean()) >= found - 1e-12 for signs in product([1, -1], repeat=5)]
    assert permute_seeds(one, other) == np.mean(as_large)
    assert permute_seeds(one[:1], other[:1]) == 1
    assert permute_seeds(one, one) == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_equals_its_definition(p_values: list[float]) -> None:
    found = holm(np.array(p_values))
    ranked = sorted(range(len(p_values)), key=p_values.__getitem__)
    for place, test in enumerate(ranked):
        steps = [min(1.0, (len(p_values) - j) * p_values[ranked[j]]) for j in range(place + 1)]
        assert found[test] == pytest.approx(max(steps))


def test_holm_controls_the_familywise_error_rate() -> None:
    p_values = np.random.default_rng(5).random((2000, 6))
    wrong = np.mean([(holm(row) < 0.05).any() for row in p_values])
    assert 0.03 < wrong < 0.07
    assert (p_values < 0.05).any(axis=1).mean() > 0.2


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "RESAMPLES", 60)


def make_runs(folder: Path, generator: np.random.Generator, noises: dict[str, float], seeds: int = 3):
    """Save runs of losses on the same 120 examples and 4 labels, with noise added to the scores of each loss."""
    true = (generator.random((120, 4)) < 0.4).astype(np.uint8)
    losses: dict[str, dict[int, EvaluatedRun]] = {name: {} for name in noises}
    for name, noise in noises.items():
        for seed in range(seeds):
            scores = 1 / (1 + np.exp(-(4.0 * true - 2 + noise * generator.normal(size=true.shape))))
            outputs = Outputs(true, scores, scores > 0.5)
            path = folder / f"{name}-{seed}.safetensors"
            outputs.save(path)
            everyone = np.ones((1, len(true)), int)
            measured = resampled_metrics(true, scores, outputs.predictions, everyone)
            losses[name][seed] = EvaluatedRun({metric: value.item() for metric, value in measured.items()}, path)
    return losses


@pytest.mark.usefixtures("few_resamples")
def test_the_best_loss_and_those_not_significantly_worse(tmp_path: Path) -> None:
    losses = make_runs(tmp_path, np.random.default_rng(0), {"a": 1.5, "b": 1.5, "far worse": 6.0})
    found = compare_with_best(losses)
    for metric in METRICS.values():
        means = {name: np.mean([run.metrics[metric.name] for run in runs.values()]) for name, runs in losses.items()}
        best = (min if metric.better == "lower" else max)(means, key=means.get)
        rows = {name: found[name][metric.name] for name in losses}
        assert {name: row["as_good"] for name, row in rows.items()} == {"a": True, "b": True, "far worse": False}
        assert {row["best"] for row in rows.values()} == {best}
        assert rows["far worse"]["difference"] == pytest.approx(means["far worse"] - means[best])
        low, high = rows["far worse"]["interval"]
        assert low < rows["far worse"]["difference"] < high
        assert (low > 0) == (metric.better == "lower")
        assert rows["far worse"]["p"] < 0.05
        values = [np.array([run.metrics[metric.name] for run in losses[name].values()]) for name in ("far worse", best)]
        assert rows["far worse"]["p_seeds"] == permute_seeds(*values)
    assert found["far worse"]["micro_f1"]["p_examples"] < 0.01


@pytest.mark.usefixtures("few_resamples")
def test_equal_losses_are_rarely_called_worse(tmp_path: Path) -> None:
    generator, wrong = np.random.default_rng(1), []
    for trial in range(25):
        (tmp_path / str(trial)).mkdir()
        found = compare_with_best(make_runs(tmp_path / str(trial), generator, {"a": 3.0, "b": 3.0, "c": 3.0}))
        wrong.append([not all(found[name][metric]["as_good"] for name in found) for metric in METRICS])
    # at 5 percent a metric has more than 5 wrong of 25 once in a thousand times
    assert np.sum(wrong, axis=0).max() <= 5
    assert np.mean(wrong) < 0.08


def test_the_ratio_of_summed_terms_is_the_metric(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, np.random.default_rng(2), {"a": 3.0}, seeds=1)["a"]
    outputs = Outputs.load(runs[0].outputs)
    for metric in (METRICS[name] for name in ("micro_f1", "macro_f1", "sample_f1", "hamming_loss")):
        sums = np.hstack(example_terms(metric, outputs.labels, outputs.predictions)).sum(axis=0)
        assert significance._mean_ratio(sums) == pytest.approx(runs[0].metrics[metric.name], abs=1e-12)


@pytest.mark.usefixtures("few_resamples")
def test_folds_are_resampled_separately_and_permuted_jointly(tmp_path: Path) -> None:
    generator, losses = np.random.default_rng(4), {"a": {}, "b": {}}
    for fold in range(3):
        (tmp_path / str(fold)).mkdir()
        made = make_runs(tmp_path / str(fold), generator, {"a": 2.0, "b": 2.6}, seeds=2)
        for name, runs in made.items():
            losses[name] |= {3 * seed + fold: replace(run, fold=fold) for seed, run in runs.items()}
    found = compare_with_best(losses, {"micro_f1": "higher"})["b"]["micro_f1"]

    def outputs(name: str, seed: int) -> Outputs:
        return Outputs.load(losses[name][seed].outputs)

    differences, drawn = np.zeros(6), np.zeros((6, 60))
    for seed in range(6):
        fold = seed % 3
        draws = draw_resamples(120, resamples=60, generator=np.random.default_rng(fold))
        for name, sign in (("b", 1), ("a", -1)):
            one = outputs(name, seed)
            differences[seed] += sign * losses[name][seed].metrics["micro_f1"]
            drawn[seed] += sign * resampled_metrics(one.labels, one.scores, one.predictions, draws)["micro_f1"]
    variance = differences.var(ddof=1) / 6 + drawn.mean(0).var(ddof=1)
    low, high = found["interval"]
    assert (low + high) / 2 == pytest.approx(differences.mean())
    assert found["p"] == paired_test(differences, 0 * differences, drawn, 0 * drawn).p
    assert (high - low) / 2 == pytest.approx(np.sqrt(variance) * 2.1, rel=0.08)

    def terms(name: str, seed: int) -> np.ndarray:
        one = outputs(name, seed)
        return np.hstack(example_terms(METRICS["micro_f1"], one.labels, one.predictions))

    ours, theirs = (
        np.stack([np.concatenate([terms(name, 3 * seed + fold) for fold in range(3)]) for seed in range(2)])
        for name in ("b", "a")
    )
    assert ours.shape == (2, 360, 2)
    p = permute_examples(ours, theirs, significance._mean_ratio, generator=np.random.default_rng(0))
    assert found["p_examples"] == p


@pytest.mark.usefixtures("few_resamples")
def test_losses_without_a_common_seed_are_not_tested(tmp_path: Path) -> None:
    losses = make_runs(tmp_path, np.random.default_rng(3), {"a": 1.0, "b": 1.1}, seeds=1)
    losses["b"] = {7: losses["b"][0]}
    row = {name: compare_with_best(losses)[name]["map_macro"] for name in losses}
    assert row["a"]["as_good"] != row["b"]["as_good"]
    assert "p" not in row["a"]


@pytest.mark.usefixtures("few_resamples")
def test_undefined_metrics_are_omitted(tmp_path: Path) -> None:
    losses = make_runs(tmp_path, np.random.default_rng(3), {"a": 1.0, "b": 1.1}, seeds=1)
    losses["b"] = {0: replace(losses["b"][0], metrics={**losses["b"][0].metrics, "map_macro": None})}
    assert set(compare_with_best(losses)["a"]) == set(METRICS) - {"map_macro"}
    assert compare_with_best({}) == {}


@pytest.mark.usefixtures("few_resamples")
def test_a_rewritten_file_of_outputs_is_read_again(tmp_path: Path) -> None:
    first = compare_with_best(make_runs(tmp_path, np.random.default_rng(0), {"a": 1.5, "b": 6.0}))
    second = compare_with_best(make_runs(tmp_path, np.random.default_rng(0), {"a": 6.0, "b": 1.5}))
    assert first["b"]["macro_f1"]["best"] == "a"
    assert second["a"]["macro_f1"]["best"] == "b"
    assert second["a"]["macro_f1"]["p"] < 0.05


@pytest.mark.usefixtures("few_resamples")
def test_hierarchical_metrics_are_tested(tmp_path: Path) -> None:
    """The four labels are leaves under two roots that are not labels."""
    losses = make_runs(tmp_path, np.random.default_rng(0), {"a": 1.5, "far worse": 6.0, "without": 1.0})
    tree = LabelTree.over("abcd", Hierarchy.from_parents({"a": "r", "b": "r", "c": "s", "d": "s"}))
    write_hierarchy(tree.nodes, tmp_path / "hierarchy.json")

    def over_tree(run: EvaluatedRun) -> EvaluatedRun:
        outputs, counted = Outputs.load(run.outputs), StreamedHierarchicalMetrics(tree)
        counted.update(outputs.labels, outputs.predictions)
        return EvaluatedRun.beside(run.outputs, {**run.metrics, **flat_measures(counted.measures())}, 0)

    for name in ("a", "far worse"):
        losses[name] = {seed: over_tree(run) for seed, run in losses[name].items()}
    measures = {measure.name: measure.better for measure in hierarchy_metrics(2)}
    found = compare_with_best(losses, significance.DIRECTIONS | measures)
    assert set(found["without"]) == set(METRICS)
    for metric, better in measures.items():
        rows = {name: found[name][metric] for name in ("a", "far worse")}
        means = {name: np.mean([run.metrics[metric] for run in losses[name].values()]) for name in rows}
        best = (min if better == "lower" else max)(means, key=means.get)
        assert {row["best"] for row in rows.values()} == {best}
        assert "p" in rows[next(name for name in rows if name != best)]
        if better == "higher":
            assert {name: row["as_good"] for name, row in rows.items()} == {"a": True, "far worse": False}
            assert rows["far worse"]["interval"][1] < 0
