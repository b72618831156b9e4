"""The examples of a page: which are chosen, what is shown of an input, and of its labels."""

import base64
import json
import math
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import precision_score, recall_score

from labelcontrast.data.examples import Examples
from labelcontrast.metrics.measures import Outputs
from labelcontrast.run.examples import (
    SNIPPET,
    SUCCESSES,
    THUMBNAIL,
    confused_labels,
    curve_points,
    example_errors,
    example_titles,
    most_mistaken,
    save_examples,
    threshold_curve,
    thumbnail,
    wrong_pairs,
)

NAMES = ("cat", "dog", "owl")


def made_examples(inputs: list[object], kind: str) -> Examples:
    ids = [f"row {index}" for index in range(len(inputs))]
    facts = {"label_sets": None, "lines": range(len(inputs)), "origin": "a.csv", "understood": ""}
    return Examples(inputs=inputs, kind=kind, ids=ids, **facts)


def made_outputs(count: int, *, seed: int = 0) -> Outputs:
    random = np.random.default_rng(seed)
    labels = (random.random((count, 3)) < 0.4).astype(np.float64)
    scores = (0.5 * labels + 0.6 * random.random((count, 3))).clip(0, 1)
    return Outputs(labels, scores, scores > 0.5)


def shown(folder: Path, examples: Examples, outputs: Outputs, *, most: int = 24) -> dict:
    save_examples(folder, examples, NAMES, outputs, most=most)
    return json.loads((folder / "examples.json").read_text())


def test_the_loss_of_an_example_is_the_mean_log_loss_of_its_known_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = made_outputs(40)
    outputs.labels[::3, 1] = np.nan
    outputs.labels[7] = np.nan
    expected = []
    for labels, scores in zip(outputs.labels, outputs.scores, strict=True):
        pairs = [
            -math.log(max(1e-6, score if label else 1 - score))
            for label, score in zip(labels, scores, strict=True)
            if not math.isnan(label)
        ]
        expected.append(sum(pairs) / len(pairs) if pairs else 0.0)
    monkeypatch.setattr("labelcontrast.run.examples.BLOCK", 20)
    np.testing.assert_allclose(example_errors(outputs)[0], expected, rtol=1e-12)


def test_mistakes_come_first_the_worst_before_the_others(tmp_path: Path) -> None:
    outputs = made_outputs(200)
    found = shown(tmp_path, made_examples(["text"] * 200, "text"), outputs)
    losses = example_errors(outputs)[0]
    wrong = ((outputs.labels > 0) != outputs.predictions).any(axis=1)
    assert (found["examples"], found["wrong"]) == (200, wrong.sum())
    assert [one["loss"] for one in found["mistakes"]] == sorted(losses[wrong], reverse=True)[:24]
    labelled = (outputs.labels > 0).any(axis=1)
    assert [one["loss"] for one in found["successes"]] == sorted(losses[~wrong & labelled])[:SUCCESSES]
    for one in found["mistakes"] + found["successes"]:
        row = int(one["id"].removeprefix("row "))
        true = {label["name"] for label in one["labels"] if label["true"]}
        predicted = {label["name"]: label["probability"] for label in one["labels"] if label["predicted"]}
        assert true == {name for name, value in zip(NAMES, outputs.labels[row], strict=True) if value}
        assert predicted == {name: score for name, score in zip(NAMES, outputs.scores[row], strict=True) if score > 0.5}
        right = [label["true"] == label["predicted"] for label in one["labels"]]
        assert right == sorted(right)  # mistakes first


def test_an_unknown_label_is_no_mistake(tmp_path: Path) -> None:
    outputs = Outputs(np.array([[1, np.nan, 0]]), np.array([[0.9, 0.8, 0.1]]), np.array([[True, True, False]]))
    found = shown(tmp_path, made_examples(["text"], "text"), outputs)
    assert found["mistakes"] == []
    assert [(one["name"], one["true"]) for one in found["successes"][0]["labels"]] == [("cat", True), ("dog", None)]


def test_only_some_of_many_labels_are_shown_but_all_are_counted(tmp_path: Path) -> None:
    labels = np.ones((1, 30))
    save_examples(
        tmp_path,
        made_examples(["text"], "text"),
        [f"label {index}" for index in range(30)],
        Outputs(labels, np.linspace(0.9, 0.1, 30)[None], np.linspace(0.9, 0.1, 30)[None] > 0.15),
        most=1,
    )
    one = json.loads((tmp_path / "examples.json").read_text())["mistakes"][0]
    assert (len(one["labels"]), one["more_labels"]) == (20, 10)
    assert [label["name"] for label in one["labels"][:3]] == ["label 28", "label 29", "label 0"]


def test_of_a_text_its_beginning_is_shown_and_of_a_vector_its_id(tmp_path: Path) -> None:
    outputs = Outputs(np.ones((2, 3)), np.full((2, 3), 0.1), np.zeros((2, 3), dtype=bool))
    found = shown(tmp_path, made_examples(["a\n short  text", "word " * 1000], "text"), outputs)
    texts = {one["id"]: one["text"] for one in found["mistakes"]}
    assert texts["row 0"] == "a short text"
    assert len(texts["row 1"]) == SNIPPET
    assert texts["row 1"].endswith("…")
    vectors = shown(tmp_path, made_examples(np.ones((2, 4), dtype=np.float32), "vector"), outputs)
    assert set(vectors["mistakes"][0]) == {"id", "loss", "labels", "more_labels"}


def test_of_a_picture_a_small_copy_is_shown(tmp_path: Path) -> None:
    big = Image.new("RGBA", (600, 300), (255, 0, 0, 0))
    big.save(tmp_path / "a.png")
    for picture in (tmp_path / "a.png", (tmp_path / "a.png").read_bytes()):
        head, data = thumbnail(picture).split(",")
        assert head == "data:image/jpeg;base64"
        with Image.open(BytesIO(base64.b64decode(data))) as copy:
            assert copy.size == (THUMBNAIL, THUMBNAIL // 2)
            assert copy.getpixel((3, 3)) == (255, 255, 255)  # transparent, on white
    outputs = Outputs(np.ones((1, 3)), np.full((1, 3), 0.1), np.zeros((1, 3), dtype=bool))
    found = shown(tmp_path, made_examples([tmp_path / "a.png"], "image"), outputs)
    assert found["mistakes"][0]["picture"] == thumbnail(tmp_path / "a.png")


def test_nothing_is_copied_if_no_examples_are_wanted(tmp_path: Path) -> None:
    save_examples(tmp_path, made_examples(["secret"] * 9, "text"), NAMES, made_outputs(9), most=0)
    assert list(tmp_path.iterdir()) == []


def test_confused_labels_are_counted_over_the_known_pairs() -> None:
    outputs = made_outputs(80)
    outputs = Outputs(outputs.labels, outputs.scores, np.random.default_rng(1).random((80, 3)) < 0.5)
    outputs.labels[::5, 2] = np.nan
    found = confused_labels(outputs, NAMES, 1)
    wrong, missed = dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0)
    for labels, predicted in zip(outputs.labels, outputs.predictions, strict=True):
        for at, name in enumerate(NAMES):
            wrong[name] += labels[1] == 1 and not predicted[1] and labels[at] == 0 and predicted[at]
            missed[name] += labels[1] == 0 and predicted[1] and labels[at] == 1 and not predicted[at]
    assert dict(found["wrong"]) == {name: count for name, count in wrong.items() if count}
    assert dict(found["missed"]) == {name: count for name, count in missed.items() if count}
    counts = [count for _, count in found["wrong"]]
    assert counts == sorted(counts, reverse=True) != []
    errors = [wrong_pairs(outputs)[:, column].sum() for column in most_mistaken(outputs, most=2)]
    assert errors == sorted(wrong_pairs(outputs).sum(axis=0), reverse=True)[:2]
    perfect = Outputs(outputs.labels, outputs.scores, outputs.labels > 0)
    assert most_mistaken(perfect, most=2) == []


def test_the_curve_of_a_label_is_that_of_scikit_learn_at_its_thresholds() -> None:
    outputs = made_outputs(80)
    outputs.labels[::5, 0] = np.nan
    known = ~np.isnan(outputs.labels[:, 0])
    true, scores = outputs.labels[known, 0], outputs.scores[known, 0]
    points = curve_points(threshold_curve(outputs, 0, cuts=10))
    assert [one[2] for one in points] == sorted(one[2] for one in points)
    for recall, precision, threshold in points:
        assert recall == pytest.approx(recall_score(true, scores > threshold))
        assert precision == pytest.approx(precision_score(true, scores > threshold))
    assert {0.0, 0.05, 0.5} <= {one[2] for one in points}


def test_titles_are_ids_and_for_texts_their_beginning() -> None:
    rows = np.array([1, 0])
    assert example_titles(made_examples(["a\n b", "x" * 101], "text"), rows) == [f"row 1: {'x' * 100}…", "row 0: a b"]
    assert example_titles(made_examples([Path("a.png"), Path("b.png")], "image"), rows) == ["row 1", "row 0"]
