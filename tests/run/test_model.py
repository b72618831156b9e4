"""A trained model: predictions agree with its scores and thresholds, for every kind of input, over a hierarchy too."""

from pathlib import Path

import numpy as np
import pytest

from labelcontrast.data.lines import read_lines
from labelcontrast.data.readers import read
from labelcontrast.errors import DataError, EncoderError
from labelcontrast.labels.hierarchy import Hierarchy
from labelcontrast.labels.tree import LabelTree
from labelcontrast.probes.thresholds import fixed_threshold
from labelcontrast.run.model import HierarchyDecoder, TrainedModel, embed, embeddings_table, load, predict
from labelcontrast.settings import HierarchySettings

# "dog" is no label: "puppy" is below "animal" all the same.
TREE = LabelTree.over(
    ["puppy", "animal", "cat", "stone"],
    Hierarchy.from_parents({"animal": None, "dog": "animal", "cat": "animal", "puppy": "dog", "stone": None}),
)

SCORES = np.array([[0.8, 0.4, 0.1, 0.6], [0.2, 0.7, 0.6, 0.1]])


@pytest.fixture(scope="module")
def model(finished_runs: dict[str, Path]) -> TrainedModel:
    return load(finished_runs["reg"])


def test_labels_are_those_above_their_threshold_best_first(model: TrainedModel, vectors: Path) -> None:
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


def test_top_gives_so_many_scores(model: TrainedModel, vectors: Path) -> None:
    for row in predict(model, read(vectors).select([0, 1]), top=2):
        assert len(row["scores"]) == 2


def test_an_embedding_does_not_depend_on_its_company(model: TrainedModel, vectors: Path) -> None:
    examples = read(vectors)
    whole, alone = embed(model, examples), embed(model, examples.select([5]))
    assert whole.shape == (240, model.encoder.output_dim)
    np.testing.assert_allclose(whole[5], alone[0], atol=1e-5)


def test_embeddings_become_a_table(model: TrainedModel, vectors: Path) -> None:
    examples = read(vectors).select([0, 1, 2])
    features = embed(model, examples)
    table = embeddings_table(examples.ids, features)
    assert table["id"].to_pylist() == examples.ids
    np.testing.assert_array_equal(np.stack(table["embedding"].to_numpy()), features)


def test_other_inputs_are_refused(model: TrainedModel) -> None:
    with pytest.raises(DataError, match=r"<stdin>: holds text inputs; this run was trained on vector inputs\."):
        embed(model, read_lines(["hello"]))


def test_vectors_of_another_width_are_refused(model: TrainedModel, tmp_path: Path) -> None:
    path = tmp_path / "narrow.npz"
    np.savez(path, X=np.zeros((2, 5), np.float32), Y=np.eye(2, dtype=np.uint8))
    with pytest.raises(EncoderError, match=r"made for vectors of width 8\. Got an array of shape \(2, 5\)\."):
        embed(model, read(path))


@pytest.mark.parametrize(
    ("how", "settled"),
    [
        ("none", SCORES),
        ("max", [[0.8, 0.8, 0.1, 0.6], [0.2, 0.7, 0.6, 0.1]]),
        ("product", [[0.32, 0.4, 0.04, 0.6], [0.14, 0.7, 0.42, 0.1]]),
        ("projection", [[0.6, 0.6, 0.1, 0.6], [0.2, 0.7, 0.6, 0.1]]),
    ],
)
def test_scores_are_settled_over_a_node_that_is_no_label(how: str, settled: object) -> None:
    decoder = HierarchyDecoder(TREE, HierarchySettings(consistency=how))
    np.testing.assert_allclose(decoder.make_consistent(SCORES), settled, atol=1e-6)


@pytest.mark.parametrize(
    ("how", "decided"),
    [
        ("each", [[1, 0, 0, 1], [0, 1, 1, 0]]),
        ("all_paths", [[0, 0, 0, 1], [0, 1, 1, 0]]),
        ("best_path", [[1, 1, 0, 0], [0, 1, 1, 0]]),
    ],
)
def test_label_sets_are_decided_as_the_settings_say(how: str, decided: object) -> None:
    decoder = HierarchyDecoder(TREE, HierarchySettings(decoding=how))
    assert decoder.decide(SCORES, fixed_threshold(4)).astype(int).tolist() == decided


def test_given_labels_are_closed_where_training_was() -> None:
    tree = LabelTree.over(TREE.nodes.names, TREE.nodes)
    labels = np.eye(5, dtype=np.uint8)[:1]
    assert HierarchyDecoder(tree, HierarchySettings()).close_labels(labels).tolist() == [[1, 0, 0, 0, 0]]
    assert HierarchyDecoder(tree, HierarchySettings(closure=True)).close_labels(labels).tolist() == [[1, 1, 0, 0, 1]]


def test_above_an_unknown_label_is_unknown_unless_another_says_otherwise() -> None:
    tree = LabelTree.over(TREE.nodes.names, TREE.nodes)
    named = dict(zip(tree.nodes.names, np.zeros(5), strict=True))
    alone, beside = ([*(named | told).values()] for told in ({"puppy": np.nan}, {"puppy": np.nan, "cat": 1.0}))
    found = HierarchyDecoder(tree, HierarchySettings(closure=True)).close_labels(np.array([alone, beside]))
    told = [dict(zip(tree.nodes.names, row, strict=True)) for row in found]
    assert [name for name, value in told[0].items() if np.isnan(value)] == ["puppy", "animal", "dog"]
    assert (told[1]["animal"], told[1]["cat"], told[1]["stone"]) == (1, 1, 0)
    assert np.isnan([told[1]["puppy"], told[1]["dog"]]).all()
