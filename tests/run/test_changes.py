"""Changes of labels: new rows against fits by hand, old rows to the bit, whole versions, and every refusal."""

import json
import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import labelcontrast as lc
from labelcontrast.data.batches import dense_truth, encode_labels
from labelcontrast.encoders.cache import saved_arrays
from labelcontrast.errors import ConfigError, LabelContrastError, RunError
from labelcontrast.experiment import run_experiment
from labelcontrast.metrics.measures import Outputs
from labelcontrast.probes.linear import fit_linear_probe
from labelcontrast.probes.views import NeighboursView, TreesView, WordsView, fit_svm
from labelcontrast.run.changes import change_labels, read_changes, set_thresholds, undo_change
from labelcontrast.run.folder import RunResult, load_settings
from labelcontrast.run.inputs import load_data
from labelcontrast.run.label_rows import STRENGTH
from labelcontrast.run.model import TrainedModel, load
from labelcontrast.run.report import write_report
from labelcontrast.settings import LabelChange, RunSettings

CAUSES = {"sports": "goal match", "politics": "vote minister", "weather": "rain storm", "science": "atom cell"}
FILLERS = ["the", "a", "of", "with", "under", "near", "some", "old", "new", "small", "river", "stone"]
SLOW = [pytest.mark.slow]


def texts(count: int, labels: list[str], seed: int) -> list[dict[str, Any]]:
    """Texts in which a word of its own causes each label."""
    random, rows = np.random.default_rng(seed), []
    for _ in range(count):
        own = [name for name in labels if random.random() < 0.35]
        words = [*random.choice(FILLERS, 5), *(random.choice(CAUSES[name].split()) for name in own)]
        rows.append({"text": " ".join(random.permutation(words)), "labels": own})
    return rows


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def trained(folder: Path, name: str, data: Path, **values: Any) -> Path:
    given = {"data": str(data), "encoder": {"name": "embedded"}, "training": {"epochs": 2, "batch_size": 32}} | values
    run_experiment(RunSettings.build(given), folder / name)
    return folder / name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("changes")


@pytest.fixture(scope="module")
def news(folder: Path) -> Path:
    """A run with three labels; that of science came up later."""
    data = written(folder / "news.jsonl", texts(240, ["sports", "politics", "weather"], 0))
    views = {"views": ["probe", "neighbours", "words"]}
    return trained(folder, "news", data, encoder={"name": "hashed"}, evaluation=views)


@pytest.fixture(scope="module")
def science(folder: Path) -> Path:
    """Twelve texts with the new label; some have another one too, and one is a training text."""
    rows = [row for row in texts(60, list(CAUSES), 1) if "science" in row["labels"]][:12]
    return written(folder / "science.jsonl", rows)


@pytest.fixture(scope="module")
def with_science(news: Path, science: Path) -> Path:
    return change_labels(news, LabelChange(verb="add", labels=("science",), examples=str(science))).folder


def rows_of(model: TrainedModel, column: int) -> dict[str, np.ndarray]:
    """Everything that a model holds of one label."""
    found = {"probe": model.classifier.weight.detach().numpy()[..., column, :].ravel()}
    found |= {"bias": model.classifier.bias.detach().numpy()[..., column].ravel()}
    found |= {"threshold": model.thresholds.values[[column]]}
    if model.blend is not None:
        for name in ("weight", "bias", "centre", "scale"):
            found[f"blend {name}"] = np.ravel(getattr(model.blend, name)[column])
    if model.calibration is not None:
        found["calibration"] = np.ravel(np.array(model.calibration.maps[column]))
    for name, view in model.other_views.items():
        if isinstance(view, NeighboursView):
            found[name] = view.labels.toarray()[:, column]
        elif isinstance(view, WordsView):
            found[name] = np.append(view.weight.toarray()[column], view.bias[column])
        elif isinstance(view, TreesView):
            found[name] = view.shares.toarray()[:, column]
    return found


def test_older_rows_stay_as_they_are(news: Path, with_science: Path) -> None:
    before, after = load(news), load(with_science)
    assert after.labels == (*before.labels, "science")
    for column in range(len(before.labels)):
        old, new = rows_of(before, column), rows_of(after, column)
        for name, values in old.items():
            np.testing.assert_array_equal(new[name][: len(values)], values, err_msg=name)


def test_the_new_row_of_every_view_is_what_a_fit_by_hand_gives(news: Path, science: Path, with_science: Path) -> None:
    before, after = load(news), load(with_science)
    train = load_data(load_settings(news)).splits.train
    rows = [json.loads(line) for line in science.read_text().splitlines()]
    inputs = [*train.inputs, *(row["text"] for row in rows)]
    labels = np.append(np.zeros(len(train)), np.ones(len(rows)))
    embeddings = before.embed(inputs)
    probe = fit_linear_probe(embeddings, labels[:, None], embeddings, labels[:, None], strengths=[STRENGTH])
    np.testing.assert_allclose(after.classifier.weight.detach()[-1].numpy(), probe.weight[0], atol=1e-5)
    words, index = after.other_views["words"], after.other_views["neighbours"]
    assert isinstance(words, WordsView)
    assert isinstance(index, NeighboursView)
    weight, bias = fit_svm(words.features.transform(inputs), labels, cost=WordsView.COST)
    np.testing.assert_allclose(words.weight.toarray()[-1], np.where(np.abs(weight) < 0.003, 0, weight), atol=1e-6)
    assert words.bias[-1] == pytest.approx(bias)
    np.testing.assert_array_equal(index.labels.toarray()[:, -1], labels)
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    np.testing.assert_allclose(index.embeddings, units, atol=1e-5)
    # Older labels of the new examples are those that the file names, and those that the run predicts.
    predicted = before.predict([row["text"] for row in rows])
    named = np.array([[name in row["labels"] for name in before.labels] for row in rows])
    np.testing.assert_array_equal(index.labels.toarray()[len(train) :, :-1], predicted | named)


def test_weights_are_the_mean_of_the_others_and_the_bias_gives_the_frequency(news: Path, with_science: Path) -> None:
    after, entry = load(with_science), read_changes(with_science)[-1]
    assert after.blend is not None
    np.testing.assert_allclose(after.blend.weight[-1], after.blend.weight[:-1].mean(axis=0))
    labels = load_data(load_settings(news)).splits
    usual = np.mean([len(row) / 3 for row in labels.train.label_sets or []])
    assert entry["frequency"] == pytest.approx(max(usual, 12 / (12 + len(labels.train))))
    assert entry["positives"] == 12
    assert entry["negatives"] == 0


def test_a_label_with_a_cause_is_found_and_measured(with_science: Path) -> None:
    after, rows = load(with_science), texts(200, list(CAUSES), 2)
    predicted = ["science" in labels for labels in after.predict_sets([row["text"] for row in rows])]
    truth = ["science" in row["labels"] for row in rows]
    hits = sum(one and other for one, other in zip(predicted, truth, strict=True))
    assert 2 * hits / (sum(predicted) + sum(truth)) > 0.6
    entry = read_changes(with_science)[-1]
    assert entry["measured"]["f1"] > 0.5
    assert entry["others"]["labels"] == 3


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_version_is_a_whole_run_and_the_run_stays_as_it_was(news: Path, with_science: Path) -> None:
    before, after = RunResult.load(news), RunResult.load(with_science)
    names = {path.name for path in news.iterdir()} - {"checkpoints"}
    assert {path.name for path in with_science.iterdir()} == names | {"changes.json"}
    assert after.labels == before.labels + 1
    assert after.examples["train"] == before.examples["train"] + 12
    assert '"science" was added with 12 examples' in " ".join(after.warnings)
    # What is unknown on test counts in no measure of the others.
    assert after.metrics["test"]["micro_f1"] == pytest.approx(before.metrics["test"]["micro_f1"], abs=0.02)
    rows = json.loads((with_science / "per_label.json").read_text())
    assert [row["support"] for row in rows][-1] == 0
    assert [row["train_count"] for row in rows][-1] == 12
    splits = load_data(load_settings(with_science)).splits
    assert splits.vocabulary.names == load(with_science).labels
    assert len(splits.train) == after.examples["train"]
    outputs, model = Outputs.load(with_science / "test.safetensors"), load(with_science)
    np.testing.assert_array_equal(outputs.predictions, model.predict(splits.test) > 0)
    np.testing.assert_allclose(outputs.scores, model.predict_proba(splits.test), atol=2e-3)
    found = lc.evaluate(with_science, splits.test)
    assert found["micro_f1"] == pytest.approx(after.metrics["test"]["micro_f1"])
    write_report(with_science)
    assert "science" in (with_science / "report.html").read_text()


def test_a_finished_version_is_read_by_resume_but_not_evaluated_again(with_science: Path) -> None:
    settings, before = load_settings(with_science), files_of(with_science)
    assert run_experiment(settings, with_science, resume=True).labels == 4
    other = settings.model_copy(update={"evaluation": settings.evaluation.model_copy(update={"threshold": "fixed"})})
    with pytest.raises(ConfigError, match="were changed after training: its evaluation cannot be repeated"):
        run_experiment(other, with_science, resume=True)
    assert files_of(with_science) == before


def test_its_settings_train_a_model_with_the_changed_labels(with_science: Path, tmp_path: Path) -> None:
    settings = load_settings(with_science)
    settings = settings.model_copy(update={"training": settings.training.model_copy(update={"epochs": 1})})
    run_experiment(settings, tmp_path / "anew")
    assert load(tmp_path / "anew").labels == load(with_science).labels


def test_changes_follow_one_another_and_are_undone_one_by_one(news: Path, with_science: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(news, tmp_path / "run"))
    first = change_labels(run, LabelChange(verb="rename", labels=("sports",), into="games")).folder
    second = change_labels(first, LabelChange(verb="remove", labels=("weather",))).folder
    assert (first.name, second.name) == ("run-2", "run-3")
    assert [entry["verb"] for entry in read_changes(second)] == ["rename", "remove"]
    before, renamed, removed = load(run), load(first), load(second)
    assert sorted(renamed.labels) == ["games", "politics", "weather"]
    assert removed.labels == tuple(name for name in renamed.labels if name != "weather")
    inputs = ["the goal near a river", "a vote", "storm"]
    old = dict(zip(before.labels, before.predict_proba(inputs).T, strict=True))
    for model in (renamed, removed):
        for name, scores in zip(model.labels, model.predict_proba(inputs).T, strict=True):
            np.testing.assert_array_equal(scores, old["sports" if name == "games" else name])
    with pytest.raises(RunError, match=r"run-3 was made from .*run-2; undo it first"):
        undo_change(first)
    assert undo_change(second).resolve() == first.resolve()
    assert undo_change(first).resolve() == run.resolve()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    with pytest.raises(RunError, match="there is no change to undo"):
        undo_change(run)


def test_undo_keeps_what_it_cannot_bring_back(news: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(news, tmp_path / "run"))
    version = change_labels(run, LabelChange(verb="remove", labels=("weather",))).folder
    (version / "mine.txt").write_text("")
    with pytest.raises(RunError, match=r"also holds mine\.txt"):
        undo_change(version)
    (version / "mine.txt").unlink()
    shutil.rmtree(run)
    with pytest.raises(RunError, match="which is gone or has changed; nothing is removed"):
        undo_change(version)
    assert load(version).labels == ("politics", "sports")


def test_a_merged_label_is_on_examples_with_any_of_its_parts(news: Path, tmp_path: Path) -> None:
    change = LabelChange(verb="merge", labels=("sports", "politics"), into="news")
    version = change_labels(news, change, out=tmp_path / "merged")
    model, before = load(version.folder), load_data(load_settings(news)).splits
    after = load_data(load_settings(version.folder)).splits
    assert model.labels == after.vocabulary.names == ("news", "weather")
    for old, new in zip(before.test.label_sets or [], after.test.label_sets or [], strict=True):
        assert ("news" in new) == bool({"sports", "politics"} & {*old})
        assert ("weather" in new) == ("weather" in old)
    per_label = json.loads((version.folder / "per_label.json").read_text())
    assert per_label[0]["f1"] > 0.8
    assert version.entry["others"]["changed"] == 0
    # Its rows are those of a label that every training example has or lacks.
    words = model.other_views["words"]
    assert isinstance(words, WordsView)
    labels = np.array(["news" in row for row in after.train.label_sets or []], float)
    weight, bias = fit_svm(words.features.transform(list(after.train.inputs)), labels, cost=WordsView.COST)
    np.testing.assert_allclose(words.weight.toarray()[0], np.where(np.abs(weight) < 0.003, 0, weight), atol=1e-6)
    assert words.bias[0] == pytest.approx(bias)


def test_examples_may_lack_the_label_and_may_be_training_examples(news: Path, tmp_path: Path) -> None:
    train = load_data(load_settings(news)).splits.train
    known = [str(train.inputs[row]) for row in range(3)]
    rows = [{"text": text, "science": 1} for text in [*known, "an atom", "a cell", "an atom", "two cells"]]
    rows += [{"text": "a heavy stone", "science": 0}, {"text": "a light stone", "science": None}]
    file = written(tmp_path / "more.jsonl", rows)
    version = change_labels(
        news, LabelChange(verb="add", labels=("science",), examples=str(file)), out=tmp_path / "version"
    )
    assert (version.entry["positives"], version.entry["negatives"]) == (6, 1)
    after = load_data(load_settings(version.folder)).splits.train
    assert len(after) == len(train) + 4  # two texts are known, one is given twice, one does not tell
    assert ["science" in labels for labels in (after.label_sets or [])[:4]] == [True, True, True, False]
    assert set((after.label_sets or [])[0]) == {*(train.label_sets or [])[0], "science"}


def test_a_wanted_frequency_is_the_mean_probability(news: Path, science: Path, tmp_path: Path) -> None:
    change = LabelChange(verb="add", labels=("science",), examples=str(science))
    found = [change_labels(news, change, frequency=share, out=tmp_path / str(share)).folder for share in (0.05, 0.4)]
    inputs = list(load_data(load_settings(news)).splits.val.inputs)
    rare, frequent = (load(folder).predict_proba(inputs)[:, -1].mean() for folder in found)
    assert rare < 0.05 < frequent < 0.4


def test_a_changed_threshold_changes_nothing_else(news: Path, tmp_path: Path) -> None:
    version = set_thresholds(news, labels=["sports"], recall=1.0, out=tmp_path / "version")
    before, after = load(news), load(version.folder)
    inputs = list(load_data(load_settings(news)).splits.val.inputs)
    np.testing.assert_array_equal(before.predict_proba(inputs), after.predict_proba(inputs))
    column = before.labels.index("sports")
    others = np.arange(3) != column
    np.testing.assert_array_equal(before.thresholds.values[others], after.thresholds.values[others])
    truth = np.array(["sports" in row for row in load_data(load_settings(news)).splits.val.label_sets or []])
    assert after.predict(inputs)[truth, column].all()
    assert version.entry["verb"] == "thresholds"


SETTINGS: dict[str, dict[str, Any]] = {
    "trees and neighbours": {"evaluation": {"views": ["probe", "neighbours", "trees"]}},
    "head alone": {"loss": {"name": "bce"}, "evaluation": {"views": ["probe"]}},
    "averaged heads, temperature": {
        "loss": {"name": "reg"},
        "evaluation": {"views": ["probe"], "probe": "paper", "calibration": "temperature"},
    },
    "isotonic, global": {"evaluation": {"calibration": "isotonic", "threshold": "global", "views": ["probe"]}},
    "top_k, folds": {"folds": 3, "evaluation": {"threshold": "top_k", "views": ["probe", "trees"]}},
    "expected_f1": {"evaluation": {"threshold": "expected_f1", "views": ["probe"]}},
    "fixed, best": {"evaluation": {"threshold": "fixed", "empty": "best", "views": ["trees"]}},
}
CHANGES: dict[str, LabelChange] = {
    "add": LabelChange(verb="add", labels=("new",)),
    "remove": LabelChange(verb="remove", labels=("two", "rare")),
    "rename": LabelChange(verb="rename", labels=("two",), into="second"),
    "merge": LabelChange(verb="merge", labels=("one", "three"), into="three"),
}


@pytest.fixture(scope="module")
def unknown_vectors(vectors: Path, folder: Path) -> Path:
    """The vectors of all tests, with a tenth of the labels unknown."""
    with np.load(vectors) as arrays:
        labels = arrays["Y"].astype(np.float32)
        labels[np.random.default_rng(1).random(labels.shape) < 0.1] = np.nan
        np.savez(folder / "unknown.npz", X=arrays["X"], Y=labels, label_names=arrays["label_names"])
    return folder / "unknown.npz"


@pytest.fixture(scope="module")
def new_vectors(folder: Path) -> Path:
    """Vectors with a label that none of the others tells: a large sixth feature."""
    rows = np.random.default_rng(2).normal(size=(400, 8)).astype(np.float32)
    np.savez(folder / "new.npz", X=rows[rows[:, 6] > 0.8][:25])
    return folder / "new.npz"


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW * (at > 1)) for at, name in enumerate(SETTINGS)])
def test_every_kind_of_run_takes_every_change(
    name: str, unknown_vectors: Path, vectors: Path, new_vectors: Path, tmp_path: Path
) -> None:
    run = trained(tmp_path, "run", unknown_vectors, **SETTINGS[name])
    before = load(run)
    with np.load(vectors) as arrays:
        inputs = arrays["X"]
    old, old_odds = before.predict_proba(inputs), sum(before.view_contributions(inputs).values())
    for verb, change in CHANGES.items():
        given = change.model_copy(update={"examples": str(new_vectors)}) if verb == "add" else change
        version = change_labels(run, given, out=tmp_path / verb)
        after = load(version.folder)
        scores, odds = after.predict_proba(inputs), sum(after.view_contributions(inputs).values())
        for column, label in enumerate(after.labels):
            source = {"second": "two"}.get(label, label)
            if label in (("new",) if verb == "add" else ("three",) if verb == "merge" else ()):
                continue
            if "neighbours" not in after.views or verb != "add":
                place = before.labels.index(source)
                # Products of another width differ in their last digits, which a calibration can enlarge.
                np.testing.assert_allclose(odds[:, column], old_odds[:, place], rtol=1e-6, atol=1e-5, err_msg=verb)
                np.testing.assert_allclose(scores[:, column], old[:, place], atol=1e-4, err_msg=verb)
        assert after.thresholds.how == before.thresholds.how
        assert (after.thresholds.most, after.thresholds.empty) == (before.thresholds.most, before.thresholds.empty)
        assert RunResult.load(version.folder).labels == len(after.labels)
        if verb == "add":
            truth = inputs[:, 6] > 0.8
            assert scores[truth, -1].mean() > 2 * scores[~truth, -1].mean()
            assert 0 < version.entry["measured"]["f1"] <= 1
    if before.thresholds.most or before.thresholds.expected_f1:
        with pytest.raises(ConfigError, match=f"under the rule {before.thresholds.how} no threshold decides alone"):
            set_thresholds(run, recall=0.5, out=tmp_path / "thresholds")


@pytest.fixture(scope="module")
def tree_run(living: Path, folder: Path) -> Path:
    values = {"hierarchy": {"closure": True, "consistency": "product", "decoding": "all_paths"}}
    evaluation = {"views": ["probe", "neighbours"], "calibration": "temperature", "threshold": "per_level"}
    return trained(folder, "tree", living, **values, evaluation=evaluation)


def test_a_run_over_a_hierarchy_takes_changes_that_fit_it(tree_run: Path, living: Path, tmp_path: Path) -> None:
    before = load(tree_run)
    with np.load(living) as arrays:
        inputs = arrays["X"]
    np.savez(tmp_path / "wolf.npz", X=np.random.default_rng(0).normal(size=(9, 8)).astype(np.float32) + 4)
    change = LabelChange(verb="add", labels=("wolf",), examples=str(tmp_path / "wolf.npz"), below="dog")
    added = change_labels(tree_run, change, out=tmp_path / "added")
    model = load(added.folder)
    assert model.decoder is not None
    assert model.decoder.tree.nodes.to_parents()["wolf"] == "dog"
    scores, column = model.predict_proba(inputs), model.vocabulary.column
    assert (scores[:, column["wolf"]] <= scores[:, column["dog"]]).all()
    predicted = model.predict(inputs)
    assert (predicted[:, column["wolf"]] <= predicted[:, column["animal"]]).all()
    # It is unknown only where it may be: so what is known of the labels above it stays.
    for split in ("val", "test"):
        old, new = (load_data(load_settings(run)).splits.by_name[split] for run in (tree_run, added.folder))
        pairs = (old, before.vocabulary), (new, model.vocabulary)
        dense = [dense_truth(*encode_labels(*pair)) for pair in pairs]
        at = [column[name] for name in before.labels]
        np.testing.assert_array_equal(dense[1][:, at], dense[0])
        np.testing.assert_array_equal(
            np.isnan(dense[1][:, column["wolf"]]), dense[0][:, before.labels.index("dog")] == 1
        )
    result, earlier = RunResult.load(added.folder), RunResult.load(tree_run)
    assert result.hierarchy is not None
    assert earlier.hierarchy is not None
    assert result.hierarchy["source"] == earlier.hierarchy["source"]
    removed = load(
        change_labels(tree_run, LabelChange(verb="remove", labels=("owl",)), out=tmp_path / "removed").folder
    )
    assert removed.decoder is not None
    assert set(removed.decoder.tree.nodes.names) == {*before.labels} - {"owl"} == {*removed.labels}
    change = LabelChange(verb="merge", labels=("cat", "dog"), into="pet")
    merged = load(change_labels(tree_run, change, out=tmp_path / "merged").folder)
    assert merged.decoder is not None
    assert merged.decoder.tree.nodes.to_parents()["pet"] == "animal"
    renamed = change_labels(
        tree_run, LabelChange(verb="rename", labels=("animal",), into="beast"), out=tmp_path / "named"
    )
    np.testing.assert_array_equal(load(renamed.folder).predict_proba(inputs), before.predict_proba(inputs))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verb": "remove", "labels": ("animal",)}, '"animal" is above other labels, which need it under hierarchy'),
        ({"verb": "add", "labels": ("wolf",), "below": "dgo"}, r'no node "dgo" in the hierarchy \(did you mean "dog"'),
        ({"verb": "merge", "labels": ("cat", "oak"), "into": "plant"}, 'there is a label "plant" already'),
    ],
)
def test_a_change_that_does_not_fit_the_hierarchy_is_refused(
    change: dict[str, Any], message: str, tree_run: Path, new_vectors: Path, tmp_path: Path
) -> None:
    given = LabelChange(**change, **({"examples": str(new_vectors)} if change["verb"] == "add" else {}))
    with pytest.raises(LabelContrastError, match=message):
        change_labels(tree_run, given, out=tmp_path / "version")
    assert not (tmp_path / "version").exists()


def test_pictures_take_a_new_label(folder: Path, tmp_path: Path) -> None:
    random, rows = np.random.default_rng(0), []
    for row in range(48):
        pixels = random.integers(0, 80, (16, 16, 3), dtype=np.uint8)
        pixels[..., row % 2] += 120
        Image.fromarray(pixels).save(folder / f"{row}.png")
        rows.append({"image": f"{row}.png", "labels": [["red", "green"][row % 2]]})
    data = written(folder / "pictures.jsonl", rows)
    evaluation = {"views": ["probe", "trees", "neighbours"]}
    run = trained(folder, "pictures", data, encoder={"name": "convnet", "image_size": 16}, evaluation=evaluation)
    for row in range(6):
        pixels = random.integers(0, 80, (16, 16, 3), dtype=np.uint8)
        pixels[..., 2] += 150
        (tmp_path / "blue").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "blue" / f"{row}.png")
    change = LabelChange(verb="add", labels=("blue",), examples=str(tmp_path / "blue"))
    version = change_labels(run, change, out=tmp_path / "version")
    model, paths = load(version.folder), sorted((tmp_path / "blue").iterdir())
    assert model.predict_proba(paths)[:, -1].min() > model.predict_proba([folder / "0.png"])[0, -1]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"verb": "remove", "labels": ["sprots"]}, r'"sprots" is not in the vocabulary \(did you mean "sports"'),
    ({"verb": "remove", "labels": ["sports", "politics", "weather"]}, "no label would be left"),
    ({"verb": "rename", "labels": ["sports"], "into": "weather"}, 'there is a label "weather" already'),
    ({"verb": "merge", "labels": ["sports"], "into": "news"}, "merging needs two labels or more. Got 1"),
    ({"verb": "merge", "labels": ["sports", "politics"], "into": "weather"}, 'there is a label "weather" already'),
    ({"verb": "add", "labels": ["sports"]}, 'there is a label "sports" already'),
    ({"verb": "add", "labels": [""]}, "a label name must be text that is not empty"),
    ({"verb": "add", "labels": ["new"], "examples": "gone.txt"}, "there is no such file"),
    ({"verb": "add", "labels": ["new"], "below": "sports"}, "the labels of this run have no hierarchy"),
    ({"verb": "add", "labels": ["new"], "examples": "one"}, '"new" needs 2 examples that have it, or more. Got 1'),
    ({"verb": "add", "labels": ["new"], "examples": "other"}, 'no example has the label "new"'),
    ({"verb": "add", "labels": ["new"], "examples": "typo"}, '"sprots" is not in the vocabulary'),
    ({"verb": "add", "labels": ["new"], "examples": "vectors"}, "holds vector inputs; the encoder is trained on text"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_change_that_is_not_possible_is_refused_and_writes_nothing(
    change: dict[str, Any], message: str, news: Path, new_vectors: Path, tmp_path: Path
) -> None:
    files = {
        "one": [{"text": "an atom"}, {"text": "An atom!"}],
        "other": [{"text": "an atom", "labels": ["sports"]}],
        "typo": [{"text": "an atom", "labels": ["sprots", "new"]}],
        "fine": [{"text": "an atom"}, {"text": "a cell"}],
    }
    paths = {name: str(written(tmp_path / f"{name}.jsonl", rows)) for name, rows in files.items()}
    paths["vectors"] = str(new_vectors)
    if change["verb"] == "add":
        change = change | {"examples": paths.get(change.get("examples", "fine"), "gone.txt")}
    with pytest.raises(LabelContrastError, match=message):
        change_labels(news, LabelChange(**change), out=tmp_path / "version")
    assert not (tmp_path / "version").exists()


def test_features_are_kept_with_checksums_and_damaged_ones_refused(
    news: Path, with_science: Path, tmp_path: Path
) -> None:
    splits = load_data(load_settings(with_science)).splits
    kept = saved_arrays(with_science / "features.safetensors")
    assert {name: len(rows) for name, rows in kept.items()} == {name: len(one) for name, one in splits.by_name.items()}
    np.testing.assert_allclose(kept["test"], load(with_science).embed(splits.test), atol=1e-5)
    path = shutil.copytree(news, tmp_path / "run") / "features.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(RunError, match=r"features\.safetensors is missing or damaged"):
        change_labels(tmp_path / "run", LabelChange(verb="remove", labels=("weather",)), out=tmp_path / "version")
    assert not (tmp_path / "version").exists()


def test_a_run_whose_data_are_gone_or_others_is_refused(news: Path, folder: Path, tmp_path: Path) -> None:
    change = LabelChange(verb="remove", labels=("weather",))
    other = written(tmp_path / "other.jsonl", texts(240, ["sports", "politics", "weather"], 5))
    with pytest.raises(
        ConfigError, match=r"the data have changed since .*; its labels can only be changed with the same"
    ):
        change_labels(news, change, data=str(other), out=tmp_path / "version")
    with pytest.raises(RunError, match="are not there; name them with --data"):
        change_labels(news, change, data=str(tmp_path / "gone"), out=tmp_path / "version")
    moved = shutil.copy(folder / "news.jsonl", tmp_path / "moved.jsonl")
    version = change_labels(news, change, data=str(moved), out=tmp_path / "version")
    assert load_settings(version.folder).data == str(moved)
    with pytest.raises(RunError, match="is not empty; choose a new or empty folder"):
        change_labels(news, change, out=tmp_path / "version")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({}, "one of precision, recall and cost is needed. Got none"),
        ({"precision": 0.9, "recall": 0.9}, "Got precision and recall"),
        ({"precision": 1.5}, r"precision must be above 0 and at most 1\. Got 1\.5"),
        ({"cost": (1.0, 0.0)}, r"cost must be two positive numbers, as in 1:5\. Got 1:0"),
        ({"recall": 0.5, "labels": ["sprots"]}, r'did you mean "sports"'),
    ],
)
def test_thresholds_that_cannot_be_chosen_are_refused(
    wanted: dict[str, Any], message: str, news: Path, tmp_path: Path
) -> None:
    with pytest.raises(LabelContrastError, match=message):
        set_thresholds(news, **wanted, out=tmp_path / "version")
    assert not (tmp_path / "version").exists()


def test_a_failure_leaves_no_half_of_a_version(news: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RunError("the disk is full.")

    monkeypatch.setattr("labelcontrast.run.changes.write_report", fail)
    with pytest.raises(RunError, match="the disk is full"):
        change_labels(news, LabelChange(verb="remove", labels=("weather",)), out=tmp_path / "version")
    assert not (tmp_path / "version").exists()


def test_the_page_has_the_table_of_what_was_measured() -> None:
    root = Path(__file__).parents[2]
    rows = json.loads((root / "benchmarks" / "results" / "labels.json").read_text())["rows"]
    spec = spec_from_file_location("labels", root / "benchmarks" / "labels.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (root / "docs" / "labels.md").read_text()
    assert f"<!-- benchmarks/results/labels.json -->\n\n{module.as_table(rows)}\n" in page
    others = [row["others"] for row in rows if row["how"] == "added"]
    assert {one["decisions"] for one in others} == {253_596}
    assert max(one["changed"] for one in others) == 8
