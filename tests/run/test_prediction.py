"""A trained model at work: what it predicts is what its scores and thresholds say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from labelcontrast.data.lines import read_lines
from labelcontrast.data.readers import read
from labelcontrast.data.splits import load_splits
from labelcontrast.errors import DataError, EncoderError, LabelError
from labelcontrast.files import read_json
from labelcontrast.run import prediction
from labelcontrast.run.folder import TrainedModel, load_model, load_training_labels
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


def test_an_evaluation_in_chunks_is_that_of_the_run(
    finished_runs: dict[str, Path], vectors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "CHUNK", 7)
    folder, test = finished_runs["reg"], load_splits(vectors, seed=0).test
    said = read_json(folder / "metrics.json")["metrics"]["test"]
    found = evaluate(load_model(folder), test, train=load_training_labels(folder))
    assert set(found) == set(said)
    for name, value in found.items():
        assert value == pytest.approx(np.nan if said[name] is None else said[name], abs=1e-4, nan_ok=True), name
    assert {"psp@3", "medium_f1"} & evaluate(load_model(folder), test).keys() == set()


def test_an_evaluation_leaves_unknown_labels_out(model: TrainedModel, vectors: Path) -> None:
    examples = read(vectors)
    annotated = [("one", "three") if row % 2 else model.vocabulary.names for row in range(len(examples))]
    found = evaluate(model, replace(examples, annotated=annotated))
    predicted = model.thresholds.predict(compute_scores(model, examples))
    true = model.vocabulary.encode(examples.label_sets or []).toarray()
    looked_for = np.array([[name in row for name in model.vocabulary.names] for row in annotated])
    known = looked_for | (true == 1)  # a label that an example has is known, whoever looked for it
    expected = [f1_score(true[here, label], predicted[here, label]) for label, here in enumerate(known.T)]
    assert found["macro_f1"] == pytest.approx(np.mean(expected), abs=1e-12)
    assert found["macro_f1"] != pytest.approx(evaluate(model, examples)["macro_f1"], abs=1e-6)


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
