"""Evaluation: of a run, of a model on labelled examples, and over a hierarchy against loops over examples and nodes."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import average_precision_score, f1_score
from sklearn.neighbors import KNeighborsClassifier

from labelcontrast.cli.printing import print_training
from labelcontrast.data.examples import Examples
from labelcontrast.data.readers import read
from labelcontrast.data.splits import load_splits
from labelcontrast.errors import ConfigError, DataError, LabelError
from labelcontrast.experiment import run_experiment
from labelcontrast.files import read_json
from labelcontrast.lab.comparison_report import flat_measures
from labelcontrast.labels.hierarchy import Hierarchy, LabelTree
from labelcontrast.metrics import counting, measures
from labelcontrast.metrics.measures import Outputs
from labelcontrast.probes.calibration import calibration_errors, reliability
from labelcontrast.probes.linear import fit_linear_probe
from labelcontrast.run import evaluation
from labelcontrast.run import model as trained_model
from labelcontrast.run.evaluation import StreamedHierarchicalMetrics, describe_embeddings, evaluate, measure_unseen
from labelcontrast.run.folder import RunResult, load_training_labels
from labelcontrast.run.hierarchy import UnseenLeaves
from labelcontrast.run.inputs import load_inputs
from labelcontrast.run.model import TrainedModel, load
from labelcontrast.settings import RunSettings

TREE = LabelTree.over(
    ["cat", "dog", "oak", "plant"],
    Hierarchy.from_parents({"animal": None, "cat": "animal", "dog": "animal", "plant": None, "oak": "plant"}),
)

RANDOM = np.random.default_rng(0)
LABELS, PREDICTIONS = RANDOM.integers(0, 2, (2, 30, 4)).astype(np.uint8)


def build(vectors: Path, **values: object) -> RunSettings:
    training = {"epochs": 3, "batch_size": 32}
    return RunSettings.build({"data": str(vectors), "training": training, "loss": {"name": "reg"}, **values})


def column(name: str, labels: np.ndarray, *, closed: bool) -> np.ndarray:
    """Return which examples have a node; true labels are closed, predicted ones only for a node that is not a label."""
    cat, dog, oak, plant = labels.T > 0
    known = {"cat": cat, "dog": dog, "oak": oak, "animal": cat | dog}
    return known.get(name, plant | oak if closed else plant)


def measured(labels: np.ndarray, predictions: np.ndarray, *, batch: int = 30) -> tuple[dict, list[dict]]:
    """All measures and all nodes, counted in batches."""
    counted = StreamedHierarchicalMetrics(TREE)
    for at in range(0, len(labels), batch):
        counted.update(labels[at : at + batch], predictions[at : at + batch])
    return counted.measures(), counted.per_node()


def write_holed(path: Path, *, absent: bool = False) -> np.ndarray:
    """Write vectors with a fifth of the labels unknown, or absent, and return the labels with the unknown ones."""
    random = np.random.default_rng(3)
    rows = random.normal(size=(200, 5)).astype(np.float32)
    labels = (rows[:, :3] + random.normal(size=(200, 3)) / 2 > [0.0, 0.4, 0.8]).astype(np.float32)
    labels[random.random(labels.shape) < 0.2] = np.nan
    np.savez(path, X=rows, Y=np.nan_to_num(labels) if absent else labels)
    return labels


@pytest.mark.parametrize(
    ("rule", "calibration"), [("per_label", "none"), ("top_k", "temperature"), ("global", "isotonic")]
)
def test_thresholds_and_calibration_follow_the_settings_and_are_saved(
    vectors: Path, tmp_path: Path, rule: str, calibration: str
) -> None:
    evaluation = {"threshold": rule, "top_k": 2, "empty": "best", "calibration": calibration, "views": "probe"}
    settings = build(vectors, train_fraction=0.5, evaluation=evaluation)
    result = run_experiment(settings, tmp_path / "run")
    model, splits = load(tmp_path / "run"), load_splits(vectors, seed=0, train_fraction=0.5)
    assert result["examples"]["train"] == len(splits.train) == 84
    predicted = model.thresholds.predict(model.predict_proba(splits.test))
    labels = model.vocabulary.encode(splits.test.label_sets or []).toarray()
    assert result["metrics"]["test"]["micro_f1"] == pytest.approx(
        f1_score(labels, predicted, average="micro"), abs=1e-12
    )
    assert model.thresholds.how == rule
    assert (model.calibration.method if model.calibration else "none") == calibration
    assert set(result["reliability"]) == {"as said"} | ({"calibrated"} if calibration != "none" else set())
    assert all(sum(diagram["count"]) == labels.size for diagram in result["reliability"].values())
    last = list(result["reliability"].values())[-1]
    kept = model.predict_proba(splits.test)
    assert last["error"] == pytest.approx(reliability(labels.ravel(), kept.ravel()).error, abs=1e-9)
    assert last["error_by_label"] == pytest.approx(calibration_errors(labels, kept).tolist(), abs=1e-9)
    assert predicted.any(axis=1).all()
    assert set(predicted.sum(axis=1)) == {2} or rule != "top_k"
    assert (len(set(model.thresholds.values)) > 1) == (rule == "per_label")


def test_the_views_of_a_run_are_measured_saved_and_shown(
    vectors: Path, reg_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(reg_run, tmp_path / "run")
    test = load_splits(vectors, seed=0).test
    for asked, views in {"auto": ("probe", "neighbours", "trees"), "probe": ("probe",), "trees": ("trees",)}.items():
        settings = build(vectors, evaluation={"views": asked})
        result = run_experiment(settings, folder, resume=True)
        model = load(folder)
        assert model.views == views
        assert sorted(path.stem for path in folder.glob("views/*")) == sorted(set(views) - {"probe"})
        labels = model.vocabulary.encode(test.label_sets or []).toarray()
        expected = average_precision_score(labels, model.predict_proba(test), average="macro")
        assert result.metrics["test"]["map_macro"] == pytest.approx(expected, abs=1e-9)
        page, card = (folder / "report.html").read_text(), (folder / "README.md").read_text()
        assert (result.views is None) == ('id="views"' not in page) == ("## Views" not in card) == (asked == "probe")
        for name, one in (result.views or {}).items():
            alone = average_precision_score(labels, model.view_logits(test)[name], average="macro")
            assert one["test"]["map_macro"] == pytest.approx(alone, abs=2e-3)
            assert f"| {name} | {100 * one['share']:.2f} |" in card
        assert sum(one["share"] for one in (result.views or {"": {"share": 1}}).values()) == pytest.approx(1)
    print_training(build(vectors, evaluation={"views": "probe,trees"}), folder, resume=True, force=False)
    assert "test, trees alone " in capsys.readouterr().out


@pytest.mark.parametrize("views", ["words", ["probe", "words"]])
def test_a_view_of_other_inputs_is_refused_before_training(vectors: Path, tmp_path: Path, views: object) -> None:
    with pytest.raises(
        ConfigError, match=r'the view "words" of evaluation\.views reads text inputs\. Got vector inputs'
    ):
        run_experiment(build(vectors, evaluation={"views": views}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("views", ["letters", "", "probe,probe", [], ["probe", 1], 3])
def test_views_that_do_not_exist_are_refused(vectors: Path, views: object) -> None:
    with pytest.raises(
        ConfigError, match=r"evaluation\.views must be auto, or some of probe, neighbours, words, trees"
    ):
        build(vectors, evaluation={"views": views})


def test_published_probes_stand_alone(vectors: Path, tmp_path: Path) -> None:
    run_experiment(build(vectors, evaluation={"probe": "released"}), tmp_path / "run")
    assert load(tmp_path / "run").views == ("probe",)


@pytest.mark.parametrize(("probe", "heads"), [("paper", 3), ("released", 5)])
def test_a_published_probe_is_saved_as_it_was_measured(vectors: Path, tmp_path: Path, probe: str, heads: int) -> None:
    metrics = run_experiment(build(vectors, evaluation={"probe": probe}), tmp_path / "run")["metrics"]["test"]
    model, test = load(tmp_path / "run"), load_splits(vectors, seed=0).test
    assert len(model.classifier.weight) == heads
    scores = model.predict_proba(test)
    labels = model.vocabulary.encode(test.label_sets or []).toarray()
    assert metrics["map_macro"] == pytest.approx(average_precision_score(labels, scores, average="macro"), abs=1e-9)
    assert metrics["micro_f1"] == pytest.approx(
        f1_score(labels, scores > model.thresholds.values, average="micro"), abs=1e-12
    )
    assert metrics["map_macro"] > 0.75


def test_embeddings_are_evaluated_without_a_probe(vectors: Path, reg_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(reg_run, tmp_path / "run")
    plain = run_experiment(build(vectors), folder, resume=True)["representation"]
    assert set(plain) == {"alignment", "uniformity", "uniformity_error", "effective_rank"}
    asked = build(vectors, evaluation={"neighbours": 7})
    found = run_experiment(asked, folder, resume=True)["representation"]
    assert {name: found[name] for name in plain} == plain
    splits = load_splits(vectors, seed=0)
    features = load_file(folder / "features.safetensors")
    labels = {name: splits.vocabulary.encode(part.label_sets or []).toarray() for name, part in splits.by_name.items()}
    model = KNeighborsClassifier(n_neighbors=7, metric="cosine").fit(features["train"], labels["train"])
    scores = np.stack([one[:, 1] for one in model.predict_proba(features["test"])], axis=1)
    expected = average_precision_score(labels["test"], scores, average="macro")
    assert found["neighbours"]["map_macro"] == pytest.approx(expected, abs=0.01)
    assert set(found["purity"]) == set(splits.vocabulary.names)
    assert "mAP of nearest neighbours" in (folder / "report.html").read_text()


def test_unknown_labels_are_left_out_of_all_metrics_and_the_probe(tmp_path: Path) -> None:
    labels, folder = write_holed(tmp_path / "a.npz"), tmp_path / "run"
    write_holed(tmp_path / "b.npz", absent=True)
    evaluation = {"threshold": "fixed", "neighbours": 5}
    found = run_experiment(build(tmp_path / "a.npz", evaluation=evaluation), folder)
    absent = run_experiment(build(tmp_path / "b.npz", evaluation=evaluation), tmp_path / "absent")
    splits = load_splits(tmp_path / "a.npz", seed=0)
    rows = {name: [int(one) - 1 for one in part.ids] for name, part in splits.by_name.items()}
    metrics = found["metrics"]["test"]
    outputs = Outputs.load(folder / "test.safetensors")
    np.testing.assert_array_equal(outputs.labels, labels[rows["test"]])
    known = ~np.isnan(outputs.labels)
    expected = [
        (
            f1_score(outputs.labels[here, label], outputs.predictions[here, label]),
            average_precision_score(outputs.labels[here, label], outputs.scores[here, label]),
        )
        for label, here in enumerate(known.T)
    ]
    assert metrics["macro_f1"] == pytest.approx(np.mean([one for one, _ in expected]), abs=1e-9)
    assert metrics["map_macro"] == pytest.approx(np.mean([one for _, one in expected]), abs=2e-3)
    assert metrics["hamming_loss"] == pytest.approx((outputs.labels != outputs.predictions)[known].mean(), abs=1e-9)
    assert sum(found["reliability"]["as said"]["count"]) == known.sum()
    assert read_json(folder / "per_label.json")[0]["train_count"] == (labels[rows["train"], 0] == 1).sum()
    # The probe is that of the known examples of each label, as scikit-learn finds it.
    features, model = load_file(folder / "features.safetensors"), load(folder)
    probe = fit_linear_probe(features["train"], labels[rows["train"]], features["val"], labels[rows["val"]])
    np.testing.assert_allclose(
        model.classifier.weight.detach().numpy(), probe.weight.astype(np.float32), rtol=1e-4, atol=1e-5
    )
    assert absent["metrics"]["test"]["map_macro"] < metrics["map_macro"] - 0.03


def test_float_labels_without_unknown_ones_give_the_same_metrics(vectors: Path, reg_run: Path, tmp_path: Path) -> None:
    with np.load(vectors) as file:
        rows, labels, names = file["X"], file["Y"], file["label_names"]
    np.savez(tmp_path / "float.npz", X=rows, Y=labels.astype(np.float32), label_names=names)
    other = run_experiment(build(tmp_path / "float.npz"), tmp_path / "other")
    assert RunResult.load(reg_run)["metrics"] == other["metrics"]


def test_an_embedding_of_zeros_does_not_stop_the_evaluation(vectors: Path, tmp_path: Path) -> None:
    settings = build(vectors, evaluation={"neighbours": 5})
    inputs = load_inputs(settings)
    random = np.random.default_rng(0)
    features = {name: random.normal(size=(len(part), 4)) for name, part in inputs.prepared.items()}
    for rows in features.values():
        rows[1] = 0
    found = describe_embeddings(settings.evaluation, inputs, features, seed=0)
    assert 0 <= found["neighbours"]["map_macro"] <= 1
    assert np.isfinite(found["alignment"])


def test_a_published_probe_uses_the_grid_and_precision_of_the_settings(vectors: Path, tmp_path: Path) -> None:
    weights = []
    changes = ({"probe_rates": [1.0]}, {"probe_decays": [0.01]}, {"probe_batch_size": 64}, {"probe_precision": "bf16"})
    defaults = {"probe_rates": [], "probe_decays": [], "probe_batch_size": 256, "probe_precision": "32"}
    for values in ({}, *changes):  # what is not given stays as it was
        settings = build(vectors, evaluation={"probe": "paper", **defaults, **values})
        run_experiment(settings, tmp_path / "run", resume=bool(weights))
        weights.append(load(tmp_path / "run").classifier.weight.numpy())
    usual, *others = weights
    assert not any(np.array_equal(usual, other) for other in others)
    assert np.abs(usual - others[-1]).max() < 0.02 * np.abs(usual).max()


@pytest.fixture(scope="module")
def model(finished_runs: dict[str, Path]) -> TrainedModel:
    return load(finished_runs["reg"])


def test_evaluation_in_chunks_equals_that_of_the_run(
    finished_runs: dict[str, Path], vectors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trained_model, "CHUNK", 7)
    folder, test = finished_runs["reg"], load_splits(vectors, seed=0).test
    metrics = read_json(folder / "metrics.json")["metrics"]["test"]
    found = evaluate(load(folder), test, train=load_training_labels(folder))
    assert set(found) == set(metrics)
    for name, value in found.items():
        assert value == pytest.approx(np.nan if metrics[name] is None else metrics[name], abs=1e-4, nan_ok=True), name
    assert {"psp@3", "medium_f1"} & evaluate(load(folder), test).keys() == set()
    assert dict(evaluate(folder, test)) == pytest.approx(dict(found), nan_ok=True)
    everything = evaluate(load(folder), read(vectors))
    assert dict(evaluate(load(folder), str(vectors))) == pytest.approx(dict(everything), nan_ok=True)
    with pytest.raises(DataError, match=r"^inputs: has no labels to evaluate against\.$"):
        evaluate(str(folder), np.zeros((2, 8)))


def test_evaluation_leaves_unknown_labels_out(model: TrainedModel, vectors: Path) -> None:
    examples, model = read(vectors), replace(model, blend=None)  # the probe alone has mistakes on both sides
    annotated = [("one", "three") if row % 2 else model.vocabulary.names for row in range(len(examples))]
    found = evaluate(model, replace(examples, annotated=annotated))
    predicted = model.thresholds.predict(model.predict_proba(examples))
    true = model.vocabulary.encode(examples.label_sets or []).toarray()
    looked_for = np.array([[name in row for name in model.vocabulary.names] for row in annotated])
    known = looked_for | (true == 1)  # a label that an example has is known, whoever looked for it
    expected = [f1_score(true[here, label], predicted[here, label]) for label, here in enumerate(known.T)]
    assert found["macro_f1"] == pytest.approx(np.mean(expected), abs=1e-12)
    assert found["macro_f1"] != pytest.approx(evaluate(model, examples)["macro_f1"], abs=1e-6)


def test_an_unknown_label_is_refused_with_its_place(model: TrainedModel, tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, X=np.zeros((2, 8), np.float32), Y=np.eye(2, dtype=np.uint8), label_names=np.array(["one", "tow"]))
    with pytest.raises(
        LabelError, match=r'other\.npz, row 2: label "tow" is not in the vocabulary \(did you mean "two"\?\)'
    ):
        evaluate(model, read(path))


def test_metrics_of_levels_and_nodes_equal_loops() -> None:
    found, nodes = measured(LABELS, PREDICTIONS)
    f1 = {}
    for row in nodes:
        true, predicted = column(row["node"], LABELS, closed=True), column(row["node"], PREDICTIONS, closed=False)
        f1[row["node"]] = f1_score(true, predicted)
        assert row["f1"] == pytest.approx(f1[row["node"]])
        assert row["support"] == true.sum()
    assert {row["node"]: (row["parents"], row["level"]) for row in nodes} == {
        "cat": (("animal",), 1), "dog": (("animal",), 1), "oak": (("plant",), 1), "plant": ((), 0), "animal": ((), 0),
    }  # fmt: skip
    assert [level["nodes"] for level in found["levels"]] == [2, 3]
    assert found["levels"][0]["macro_f1"] == pytest.approx((f1["animal"] + f1["plant"]) / 2)
    violated = (PREDICTIONS[:, 2] > 0) & (PREDICTIONS[:, 3] == 0)
    assert found["violations"] == pytest.approx(violated.sum() / PREDICTIONS[:, :3].sum())


def test_unknown_labels_are_left_out_but_their_known_ancestors_are_not() -> None:
    nan = np.nan
    # The first is a cat, and may be a dog and an oak: an animal for certain, perhaps a plant.
    labels = np.array([[1, nan, nan, 0], [0, 0, 1, 1]])
    predictions = np.array([[1, 1, 1, 1], [0, 0, 1, 1]])
    found, nodes = measured(labels, predictions)
    assert found["hierarchical_precision"] == found["hierarchical_recall"] == found["lca_f1"] == 1
    assert [level["accuracy"] for level in found["levels"]] == [1, 1]
    assert {row["node"]: (row["support"], row["f1"]) for row in nodes} == {
        "cat": (1, 1), "dog": (0, 0), "oak": (1, 1), "plant": (1, 1), "animal": (1, 1),
    }  # fmt: skip
    as_absent, _ = measured(np.nan_to_num(labels), predictions)
    assert as_absent["hierarchical_precision"] == 4 / 7  # dog, oak and plant are then wrong
    unknown, nodes = measured(np.full((1, 4), nan), predictions[:1])
    assert np.isnan([unknown["levels"][0]["macro_f1"], nodes[0]["f1"]]).all()


def test_batches_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.where(RANDOM.random(LABELS.shape) < 0.2, np.nan, LABELS)
    (whole, nodes), (parts, again) = measured(labels, PREDICTIONS), measured(labels, PREDICTIONS, batch=7)
    monkeypatch.setattr(evaluation, "BLOCK", 15)
    blocks, _ = measured(labels, PREDICTIONS)
    assert nodes == again
    for found in (parts, blocks):
        assert found.pop("levels") == whole["levels"]
        assert found == pytest.approx({name: value for name, value in whole.items() if name != "levels"}, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_a_resample_is_measured_as_its_repeated_examples(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.random.default_rng(seed).multinomial(6, np.full(30, 1 / 30), size=2)
    labels = np.where(RANDOM.random(LABELS.shape) < 0.2, np.nan, LABELS)
    monkeypatch.setattr(evaluation, "BLOCK", 35)
    counted = StreamedHierarchicalMetrics(TREE, resamples=2)
    counted.update(labels, PREDICTIONS, counts)
    found = counted.resampled()
    for place, own in enumerate(counts):
        drawn = np.repeat(np.arange(30), own)
        expected = flat_measures(measured(labels[drawn], PREDICTIONS[drawn])[0])
        assert {name: values[place] for name, values in found.items()} == pytest.approx(expected, nan_ok=True)


def test_unseen_leaves_are_measured_with_their_ancestors() -> None:
    tree = LabelTree.over(["cat", "dog"], TREE.nodes)
    held = LabelTree.over(["cat", "dog", "oak", "plant"], TREE.nodes)
    # Two clusters below "plant": where oaks meet, the others are plants without a name.
    own = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 1]], np.uint8)
    examples = Examples(
        inputs=["a"] * 4, label_sets=None, kind="text", ids=["1"] * 4, lines=[1] * 4, origin="a", understood=""
    )
    unseen = UnseenLeaves(examples, held.close_soft(own), held, ("oak",))
    features = {
        "test": np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]),
        "unseen": np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]),
    }
    found = measure_unseen(tree, np.eye(2, dtype=np.uint8)[[0, 0, 1, 1]], unseen, features, seed=0)
    assert found["held_out"] == ["oak"]
    assert [level["map"] for level in found["seen"]] == [1.0, 1.0]
    assert found["seen"][1]["nmi"] == pytest.approx(1.0)
    assert found["unseen"][0]["precision_at_10"] == 1.0
    assert found["unseen_leaves"] == pytest.approx(
        {"map": 1.0, "precision_at_1": 1.0, "precision_at_10": 1 / 3, "nmi": 1.0}
    )


@pytest.mark.parametrize("evaluation", [{}, {"threshold": "top_k", "empty": "best", "calibration": "temperature"}])
def test_an_evaluation_in_blocks_is_the_same(
    vectors: Path, reg_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evaluation: dict[str, str]
) -> None:
    folders = shutil.copytree(reg_run, tmp_path / "whole"), shutil.copytree(reg_run, tmp_path / "blocks")
    settings = build(vectors, evaluation={"views": "auto", "neighbours": 5, **evaluation})
    whole = run_experiment(settings, folders[0], resume=True)
    monkeypatch.setattr(counting, "PAIRS_KEPT", 0)
    monkeypatch.setattr(counting, "PAIRS_AT_ONCE", 60)
    monkeypatch.setattr(measures, "BLOCK", 50)
    monkeypatch.setattr(trained_model, "CHUNK", 7)
    blocks = run_experiment(settings, folders[1], resume=True)
    for split in ("val", "test"):
        assert blocks.metrics[split] == pytest.approx(whole.metrics[split], abs=1e-6, nan_ok=True)
    assert flat_numbers([blocks.views, blocks.reliability, blocks.representation]) == pytest.approx(
        flat_numbers([whole.views, whole.reliability, whole.representation]), abs=1e-6, nan_ok=True
    )
    outputs = [Outputs.load(folder / "test.safetensors") for folder in folders]
    assert isinstance(outputs[1].scores, np.ndarray) is isinstance(outputs[0].scores, np.ndarray)
    np.testing.assert_allclose(outputs[1].scores, outputs[0].scores, atol=1e-3)
    test = load_splits(vectors, seed=0).test
    np.testing.assert_allclose(load(folders[1]).predict_proba(test), load(folders[0]).predict_proba(test), atol=1e-6)


def flat_numbers(value: object) -> list[float]:
    """List all numbers in nested lists and mappings."""
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return [number for one in items for number in flat_numbers(one)]
    return [float(value)] if isinstance(value, int | float) else []
