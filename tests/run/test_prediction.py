"""A trained model at work: what it predicts is what its scores and thresholds say."""

from pathlib import Path

import numpy as np
import pytest

from labelcontrast.data.readers.lines import read_lines
from labelcontrast.data.readers.registry import read
from labelcontrast.errors import DataError, EncoderError, LabelError
from labelcontrast.run.folder import TrainedModel, load_model
from labelcontrast.run.prediction import as_table, compute_scores, embed, evaluate, predict


@pytest.fixture(scope="module")
def model(finished_runs: dict[str, Path]) -> TrainedModel:
    return load_model(finished_runs["reg"])


def test_labels_are_those_above_their_threshold_best_first(model: TrainedModel, vectors: Path) -> None:
    examples = read(vectors)
    scores = compute_scores(model, examples)
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
    table = as_table(examples.ids, features)
    assert table["id"].to_pylist() == examples.ids
    np.testing.assert_array_equal(np.stack(table["embedding"].to_numpy()), features)


def test_other_inputs_are_refused(model: TrainedModel) -> None:
    with pytest.raises(DataError, match=r"<stdin>: holds text inputs; this run was trained on vector inputs\."):
        embed(model, read_lines(["hello"]))


def test_an_unknown_label_is_refused_with_its_place(model: TrainedModel, tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, X=np.zeros((2, 8), np.float32), Y=np.eye(2, dtype=np.uint8), label_names=np.array(["one", "tow"]))
    with pytest.raises(
        LabelError, match=r'other\.npz, row 2: label "tow" is not in the vocabulary \(did you mean "two"\?\)'
    ):
        evaluate(model, read(path))


def test_vectors_of_another_width_are_refused(model: TrainedModel, tmp_path: Path) -> None:
    path = tmp_path / "narrow.npz"
    np.savez(path, X=np.zeros((2, 5), np.float32), Y=np.eye(2, dtype=np.uint8))
    with pytest.raises(EncoderError, match=r"made for vectors of width 8\. Got an array of shape \(2, 5\)\."):
        embed(model, read(path))
