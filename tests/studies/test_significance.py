"""What is bold: the best, and what is not significantly worse, from the kept outputs of made-up runs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labelcontrast.evaluation.metrics.catalogue import METRICS
from labelcontrast.evaluation.outputs import Outputs
from labelcontrast.evaluation.resampling import RESAMPLED, draw_resamples, resampled_metrics
from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.labels.hierarchy_files import write_hierarchy
from labelcontrast.run.hierarchical.measuring import StreamedHierarchy
from labelcontrast.run.hierarchical.showing import compared_measures, flat_measures
from labelcontrast.run.hierarchical.tree import LabelTree
from labelcontrast.studies import significance
from labelcontrast.studies.significance import Measured, find_best
from labelcontrast.studies.statistics import compare, permute_examples, permute_seeds


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "RESAMPLES", 60)


def make_runs(folder: Path, generator: np.random.Generator, noises: dict[str, float], seeds: int = 3):
    """Runs of losses on the same 120 examples and 4 labels; the noisier a loss, the worse."""
    true = (generator.random((120, 4)) < 0.4).astype(np.uint8)
    losses: dict[str, dict[int, Measured]] = {name: {} for name in noises}
    for name, noise in noises.items():
        for seed in range(seeds):
            scores = 1 / (1 + np.exp(-(4.0 * true - 2 + noise * generator.normal(size=true.shape))))
            outputs = Outputs(true, scores, scores > 0.5)
            path = folder / f"{name}-{seed}.safetensors"
            outputs.save(path)
            everyone = np.ones((1, len(true)), int)
            measured = resampled_metrics(true, scores, outputs.predictions, everyone)
            losses[name][seed] = Measured({metric: value.item() for metric, value in measured.items()}, path)
    return losses


@pytest.mark.usefixtures("few_resamples")
def test_the_best_and_what_is_as_good(tmp_path: Path) -> None:
    losses = make_runs(tmp_path, np.random.default_rng(0), {"a": 1.5, "b": 1.5, "far worse": 6.0})
    found = find_best(losses)
    for metric in (METRICS[name] for name in RESAMPLED):
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
def test_losses_that_are_alike_are_seldom_called_worse(tmp_path: Path) -> None:
    generator, wrong = np.random.default_rng(1), []
    for trial in range(25):
        (tmp_path / str(trial)).mkdir()
        found = find_best(make_runs(tmp_path / str(trial), generator, {"a": 3.0, "b": 3.0, "c": 3.0}))
        wrong.append([not all(found[name][metric]["as_good"] for name in found) for metric in RESAMPLED])
    # at 5 percent a metric has more than 5 wrong of 25 once in a thousand times
    assert np.sum(wrong, axis=0).max() <= 5
    assert np.mean(wrong) < 0.08


def test_the_sums_of_all_examples_give_the_metric(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, np.random.default_rng(2), {"a": 3.0}, seeds=1)["a"]
    for metric, parts in significance._SUMS.items():
        sums = np.hstack(parts(Outputs.load(runs[0].outputs))).sum(axis=0)
        assert significance._mean_ratio(sums) == pytest.approx(runs[0].metrics[metric], abs=1e-12)


@pytest.mark.usefixtures("few_resamples")
def test_folds_are_resampled_each_by_itself_and_swapped_all_together(tmp_path: Path) -> None:
    generator, losses = np.random.default_rng(4), {"a": {}, "b": {}}
    for fold in range(3):
        (tmp_path / str(fold)).mkdir()
        made = make_runs(tmp_path / str(fold), generator, {"a": 2.0, "b": 2.6}, seeds=2)
        for name, runs in made.items():
            losses[name] |= {3 * seed + fold: replace(run, fold=fold) for seed, run in runs.items()}
    found = find_best(losses, {"micro_f1": "higher"})["b"]["micro_f1"]

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
    assert found["p"] == compare(differences, 0 * differences, drawn, 0 * drawn).p
    assert (high - low) / 2 == pytest.approx(np.sqrt(variance) * 2.1, rel=0.08)
    ours, theirs = (
        np.stack(
            [
                np.concatenate([np.hstack(significance._over_labels(outputs(name, 3 * seed + k))) for k in range(3)])
                for seed in range(2)
            ]
        )
        for name in ("b", "a")
    )
    assert ours.shape == (2, 360, 2)
    p = permute_examples(ours, theirs, significance._mean_ratio, generator=np.random.default_rng(0))
    assert found["p_examples"] == p


@pytest.mark.usefixtures("few_resamples")
def test_without_a_seed_in_common_the_best_stands_alone(tmp_path: Path) -> None:
    losses = make_runs(tmp_path, np.random.default_rng(3), {"a": 1.0, "b": 1.1}, seeds=1)
    losses["b"] = {7: losses["b"][0]}
    row = {name: find_best(losses)[name]["map_macro"] for name in losses}
    assert row["a"]["as_good"] != row["b"]["as_good"]
    assert "p" not in row["a"]


@pytest.mark.usefixtures("few_resamples")
def test_what_could_not_be_measured_is_left_out(tmp_path: Path) -> None:
    losses = make_runs(tmp_path, np.random.default_rng(3), {"a": 1.0, "b": 1.1}, seeds=1)
    losses["b"] = {0: replace(losses["b"][0], metrics={**losses["b"][0].metrics, "map_macro": None})}
    assert set(find_best(losses)["a"]) == set(RESAMPLED) - {"map_macro"}
    assert find_best({}) == {}


@pytest.mark.usefixtures("few_resamples")
def test_a_file_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    first = find_best(make_runs(tmp_path, np.random.default_rng(0), {"a": 1.5, "b": 6.0}))
    second = find_best(make_runs(tmp_path, np.random.default_rng(0), {"a": 6.0, "b": 1.5}))
    assert first["b"]["macro_f1"]["best"] == "a"
    assert second["a"]["macro_f1"]["best"] == "b"
    assert second["a"]["macro_f1"]["p"] < 0.05


@pytest.mark.usefixtures("few_resamples")
def test_over_a_hierarchy_too_where_there_is_one(tmp_path: Path) -> None:
    """The labels of ``make_runs`` are two leaves below each of two roots, which are no labels."""
    losses = make_runs(tmp_path, np.random.default_rng(0), {"a": 1.5, "far worse": 6.0, "without": 1.0})
    tree = LabelTree.over("abcd", Hierarchy.from_parents({"a": "r", "b": "r", "c": "s", "d": "s"}))
    write_hierarchy(tree.nodes, tmp_path / "hierarchy.json")

    def over_tree(run: Measured) -> Measured:
        outputs, counted = Outputs.load(run.outputs), StreamedHierarchy(tree)
        counted.update(outputs.labels, outputs.predictions)
        return Measured.beside(run.outputs, {**run.metrics, **flat_measures(counted.measures())}, 0)

    for name in ("a", "far worse"):
        losses[name] = {seed: over_tree(run) for seed, run in losses[name].items()}
    measures = {measure.name: measure.better for measure in compared_measures(2)}
    found = find_best(losses, significance.FLAT | measures)
    assert set(found["without"]) == set(RESAMPLED)
    for metric, better in measures.items():
        rows = {name: found[name][metric] for name in ("a", "far worse")}
        means = {name: np.mean([run.metrics[metric] for run in losses[name].values()]) for name in rows}
        best = (min if better == "lower" else max)(means, key=means.get)
        assert {row["best"] for row in rows.values()} == {best}
        assert "p" in rows[next(name for name in rows if name != best)]
        if better == "higher":
            assert {name: row["as_good"] for name, row in rows.items()} == {"a": True, "far worse": False}
            assert rows["far worse"]["interval"][1] < 0
