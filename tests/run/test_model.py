"""A trained model: predictions agree with its scores and thresholds, for every kind of input, over a hierarchy too."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import expit

import labelcontrast as lc
from labelcontrast.cli.printing import write_predictions
from labelcontrast.data.formats import read_lines
from labelcontrast.data.readers import read
from labelcontrast.errors import DataError, EncoderError, RunError
from labelcontrast.experiment import run_experiment
from labelcontrast.labels.hierarchy import Hierarchy, LabelTree
from labelcontrast.probes.thresholds import fixed_threshold
from labelcontrast.run.model import (
    HierarchyDecoder,
    TrainedModel,
    embed,
    embeddings_table,
    final_scores,
    load,
    predict,
    prediction_rows,
)
from labelcontrast.settings import HierarchySettings, RunSettings

Runs = dict[str, Path]
WORDS = {"sports": "a goal in the match", "politics": "a vote in the house"}
# "dog" is not a label, but "puppy" is still below "animal".
TREE = LabelTree.over(
    ["puppy", "animal", "cat", "stone"],
    Hierarchy.from_parents({"animal": None, "dog": "animal", "cat": "animal", "puppy": "dog", "stone": None}),
)
SCORES = np.array([[0.8, 0.4, 0.1, 0.6], [0.2, 0.7, 0.6, 0.1]])


@pytest.fixture(scope="module")
def model(finished_runs: Runs) -> TrainedModel:
    return load(finished_runs["reg"])


@pytest.fixture(scope="module")
def trained(finished_runs: Runs, living: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A run for each kind of input, and one over a hierarchy with calibrated and consistent probabilities."""
    folder, random = tmp_path_factory.mktemp("trained"), np.random.default_rng(0)
    texts, pictures = [], []
    for row in range(40):
        label = ["sports", "politics"][row % 2]
        Image.fromarray(random.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(folder / f"{row}.png")
        texts.append({"text": f"{WORDS[label]} {row}", "labels": label})
        pictures.append({"image": f"{row}.png", "labels": label})
    for name, rows in {"texts": texts, "pictures": pictures}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    over_hierarchy = {"data": str(living), "hierarchy": {"closure": True, "consistency": "product"}}
    values: dict[str, dict[str, object]] = {
        "text": {"data": str(folder / "texts.jsonl")},
        "image": {"data": str(folder / "pictures.jsonl"), "encoder": {"name": "convnet", "image_size": 16}},
        "hierarchy": {**over_hierarchy, "evaluation": {"calibration": "temperature", "threshold": "per_label"}},
    }
    for name, own in values.items():
        run_experiment(RunSettings.build({**own, "training": {"epochs": 1, "batch_size": 16}}), str(folder / name))
    return {"vector": finished_runs["bce"], **{name: folder / name for name in values}}


def inputs_of(kind: str, run: Path, vectors: Path, living: Path) -> tuple[Any, Path]:
    """Inputs in memory, and the same inputs as a file for the command."""
    if kind in ("vector", "hierarchy"):
        path = vectors if kind == "vector" else living
        with np.load(path) as arrays:
            return arrays["X"], path
    if kind == "text":
        texts = [*WORDS.values(), "a goal in the house"]
        (run.parent / "new.txt").write_text("\n".join(texts) + "\n")
        return texts, run.parent / "new.txt"
    paths = [run.parent / f"{row}.png" for row in (3, 1, 2)]
    rows = (json.dumps({"image": path.name}) + "\n" for path in paths)
    (run.parent / "new.jsonl").write_text("".join(rows))
    return [str(paths[0]), *paths[1:]], run.parent / "new.jsonl"


@pytest.mark.parametrize("kind", ["vector", "text", "image", "hierarchy"])
def test_a_loaded_model_predicts_the_same_as_the_command(
    kind: str, trained: Runs, vectors: Path, living: Path, tmp_path: Path
) -> None:
    inputs, path = inputs_of(kind, trained[kind], vectors, living)
    write_predictions(trained[kind], str(path), tmp_path / "out.jsonl", top=9)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    model = lc.load(str(trained[kind]))
    probabilities = model.predict_proba(inputs)
    assert probabilities.shape == (len(rows), len(model.labels))
    for row, own in zip(rows, probabilities, strict=True):
        assert row["scores"] == {name: round(float(one), 6) for name, one in zip(model.labels, own, strict=True)}
    assert model.predict_sets(inputs) == [row["labels"] for row in rows]
    indicators = model.predict(inputs)
    named = [{name for name, one in zip(model.labels, own, strict=True) if one} for own in indicators]
    assert named == [set(row["labels"]) for row in rows]
    assert set(np.unique(indicators)) <= {0, 1}
    beside = ("neighbours", "words" if kind == "text" else "trees")
    assert model.views == ("probe", *beside)
    views = ", ".join(model.views)
    width = model.encoder.output_dim
    assert repr(model).endswith(f"of width {width}, {len(model.labels)} labels, views {views})")
    embeddings = model.embed(inputs)
    assert embeddings.shape == (len(rows), width)
    with pytest.raises(RunError, match=f"the view {beside[-1]} of this model reads the inputs: use predict_proba"):
        model.scores(embeddings)
    alone = replace(model, blend=None)
    np.testing.assert_array_equal(alone.scores(embeddings), alone.predict_proba(inputs))


@pytest.mark.parametrize("kind", ["vector", "text", "image"])
def test_the_contributions_of_views_add_up_to_the_log_odds(kind: str, trained: Runs, vectors: Path) -> None:
    inputs, _ = inputs_of(kind, trained[kind], vectors, vectors)
    model = load(trained[kind])
    parts = model.view_contributions(inputs)
    assert list(parts) == [*model.views, "bias"]
    np.testing.assert_allclose(expit(sum(parts.values())), model.predict_proba(inputs), atol=1e-6)
    assert list(model.view_logits(inputs)) == list(model.views)
    alone = replace(model, blend=None)
    assert alone.views == ("probe",)
    np.testing.assert_allclose(expit(alone.view_contributions(inputs)["probe"]), alone.predict_proba(inputs), atol=1e-6)


def test_a_damaged_view_is_refused(trained: Runs, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained["text"], tmp_path / "run"))
    blend = json.loads((folder / "blend.json").read_text())
    (folder / "views" / "words.safetensors").write_bytes(b"")
    with pytest.raises(RunError, match=r"damaged: views/words\.safetensors has 0 bytes instead of"):
        load(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(RunError, match=r"damaged: .*words\.safetensors: is not a saved view of words"):
        load(folder)
    (folder / "blend.json").write_text(json.dumps({**blend, "views": ["probe", "neighbours", "letters"]}))
    with pytest.raises(RunError, match='there is no view "letters"'):
        load(folder)
    (folder / "blend.json").write_text(
        json.dumps({**blend, **{one: blend[one][:1] for one in ("bias", "weight", "centre", "scale")}})
    )
    shutil.copy(trained["text"] / "views" / "words.safetensors", folder / "views")
    with pytest.raises(RunError, match="2 labels, and weights of views for 1"):
        load(folder)


def test_any_collection_of_texts_or_rows_is_accepted(trained: Runs, model: TrainedModel) -> None:
    texts = list(WORDS.values())
    of_texts = load(trained["text"])
    np.testing.assert_array_equal(of_texts.predict_proba(np.array(texts)), of_texts.predict_proba(tuple(texts)))
    rows = np.arange(16).reshape(2, 8)
    np.testing.assert_array_equal(model.embed(rows.tolist()), model.embed(torch.from_numpy(rows)))
    assert model.predict(np.zeros((0, 8))).shape == (0, 5)
    assert of_texts.predict_sets([]) == []
    assert [row["labels"] for row in lc.predict(of_texts, texts)] == of_texts.predict_sets(texts)


@pytest.mark.parametrize(
    ("kind", "inputs", "message"),
    [
        ("vector", ["hello"], "trained on features: expected an array [examples, dim]. Got list ['hello']."),
        ("vector", np.zeros(8), "trained on features: expected an array [examples, dim]. Got an array of shape (8,)."),
        ("vector", [[1.0], [1.0, 2.0]], "expected an array [examples, dim]. Got list [[1.0], [1.0, 2.0]]."),
        ("vector", np.full((1, 8), np.nan), "the features must be finite numbers in 32 bits."),
        ("vector", np.full((1, 8), 1e300), "the features must be finite numbers in 32 bits."),
        ("text", {"a": 1}, "trained on texts: expected a list of strings. Got dict {'a': 1}."),
        ("text", {"a"}, "trained on texts: expected a list of strings. Got set {'a'}."),
        ("text", "hello", "trained on texts: expected a list of strings. Got str 'hello'."),
        ("text", np.zeros((2, 8)), "trained on texts: expected a list of strings. Got an array of shape (2, 8)."),
        ("text", ["a", 5], "trained on texts: expected a list of strings. Got list ['a', 5]."),
        ("image", "a.png", "trained on pictures: expected a list of paths. Got str 'a.png'."),
        ("image", [5], "trained on pictures: expected a list of paths. Got list [5]."),
        ("image", ["nowhere.png"], "nowhere.png: the picture is missing."),
    ],
)
def test_inputs_of_another_kind_are_refused_in_one_line(kind: str, inputs: Any, message: str, trained: Runs) -> None:
    with pytest.raises(DataError) as refusal:
        load(trained[kind]).predict(inputs)
    assert str(refusal.value).endswith(message)
    assert "\n" not in str(refusal.value)


def test_predicted_labels_exceed_their_threshold_best_first(model: TrainedModel, vectors: Path) -> None:
    examples = read(vectors)
    scores = model.predict_proba(examples)
    rows = list(predict(model, examples))
    assert [row["id"] for row in rows] == examples.ids
    for row, score in zip(rows, scores, strict=True):
        above = {
            name
            for name, one, cut in zip(model.vocabulary.names, score, model.thresholds.values, strict=True)
            if one > cut
        }
        assert set(row["labels"]) == above
        assert list(row["scores"]) == row["labels"]
        assert list(row["scores"].values()) == sorted(row["scores"].values(), reverse=True)


def test_top_gives_that_many_scores(model: TrainedModel, vectors: Path) -> None:
    for row in predict(model, read(vectors).select([0, 1]), top=2):
        assert len(row["scores"]) == 2


def test_an_embedding_does_not_depend_on_its_batch(model: TrainedModel, vectors: Path) -> None:
    examples = read(vectors)
    whole, alone = embed(model, examples), embed(model, examples.select([5]))
    assert whole.shape == (240, model.encoder.output_dim)
    np.testing.assert_allclose(whole[5], alone[0], atol=1e-5)


def test_embeddings_are_written_as_a_table(model: TrainedModel, vectors: Path) -> None:
    examples = read(vectors).select([0, 1, 2])
    features = embed(model, examples)
    table = embeddings_table(examples.ids, features)
    assert table["id"].to_pylist() == examples.ids
    np.testing.assert_array_equal(np.stack(table["embedding"].to_numpy()), features)


def test_examples_of_another_kind_are_refused(model: TrainedModel) -> None:
    with pytest.raises(DataError, match=r"<stdin>: holds text inputs; this run was trained on vector inputs\."):
        embed(model, read_lines(["hello"]))


def test_vectors_of_another_width_are_refused(model: TrainedModel, tmp_path: Path) -> None:
    path = tmp_path / "narrow.npz"
    np.savez(path, X=np.zeros((2, 5), np.float32), Y=np.eye(2, dtype=np.uint8))
    with pytest.raises(EncoderError, match=r"made for vectors of width 8\. Got an array of shape \(2, 5\)\."):
        embed(model, read(path))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("none", SCORES),
        ("max", [[0.8, 0.8, 0.1, 0.6], [0.2, 0.7, 0.6, 0.1]]),
        ("product", [[0.32, 0.4, 0.04, 0.6], [0.14, 0.7, 0.42, 0.1]]),
        ("projection", [[0.6, 0.6, 0.1, 0.6], [0.2, 0.7, 0.6, 0.1]]),
    ],
)
def test_scores_are_consistent_across_a_node_that_is_not_a_label(how: str, expected: object) -> None:
    decoder = HierarchyDecoder(TREE, HierarchySettings(consistency=how))
    np.testing.assert_allclose(decoder.make_consistent(SCORES), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("how", "decided"),
    [
        ("each", [[1, 0, 0, 1], [0, 1, 1, 0]]),
        ("all_paths", [[0, 0, 0, 1], [0, 1, 1, 0]]),
        ("best_path", [[1, 1, 0, 0], [0, 1, 1, 0]]),
    ],
)
def test_label_sets_follow_the_decoding_of_the_settings(how: str, decided: object) -> None:
    decoder = HierarchyDecoder(TREE, HierarchySettings(decoding=how))
    assert decoder.decide(SCORES, fixed_threshold(4)).astype(int).tolist() == decided


def test_given_labels_are_closed_if_training_was() -> None:
    tree = LabelTree.over(TREE.nodes.names, TREE.nodes)
    labels = np.eye(5, dtype=np.uint8)[:1]
    assert HierarchyDecoder(tree, HierarchySettings()).close_labels(labels).tolist() == [[1, 0, 0, 0, 0]]
    assert HierarchyDecoder(tree, HierarchySettings(closure=True)).close_labels(labels).tolist() == [[1, 1, 0, 0, 1]]


def test_ancestors_of_an_unknown_label_are_unknown_unless_another_label_implies_them() -> None:
    tree = LabelTree.over(TREE.nodes.names, TREE.nodes)
    named = dict(zip(tree.nodes.names, np.zeros(5), strict=True))
    alone, beside = ([*(named | row).values()] for row in ({"puppy": np.nan}, {"puppy": np.nan, "cat": 1.0}))
    found = HierarchyDecoder(tree, HierarchySettings(closure=True)).close_labels(np.array([alone, beside]))
    rows = [dict(zip(tree.nodes.names, row, strict=True)) for row in found]
    assert [name for name, value in rows[0].items() if np.isnan(value)] == ["puppy", "animal", "dog"]
    assert (rows[1]["animal"], rows[1]["cat"], rows[1]["stone"]) == (1, 1, 0)
    assert np.isnan([rows[1]["puppy"], rows[1]["dog"]]).all()


def test_a_probability_that_is_no_number_is_refused() -> None:
    """A threshold would take it for an absent label."""
    with pytest.raises(RunError, match=r"^a probability is not a number: weights of the model are damaged"):
        final_scores(np.array([[0.5, np.nan]]), None, None)


def test_the_first_labels_are_those_of_a_stable_sort() -> None:
    random = np.random.default_rng(0)
    scores = random.integers(0, 6, (50, 30)) / 5
    chosen = np.zeros(scores.shape, dtype=bool)
    names = [f"{number:02d}" for number in range(30)]
    for top in (1, 4, 30, 40):
        for row, found in zip(scores, prediction_rows(names, scores, chosen, top=top), strict=True):
            assert list(found["scores"]) == [names[at] for at in np.argsort(-row, kind="stable")[:top]]
