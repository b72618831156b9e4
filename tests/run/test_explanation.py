"""Explanations: contributions add up, the terms are exact, and known causes are found, for every kind of input."""

import json
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit

from labelcontrast.errors import ConfigError, LabelError, RunError
from labelcontrast.experiment import run_experiment
from labelcontrast.probes.views import NeighboursView, WordsView
from labelcontrast.run.explanation import GRID
from labelcontrast.run.model import TrainedModel, load
from labelcontrast.settings import RunSettings

FILLERS = ["the", "a", "of", "with", "under", "near", "some", "old", "new", "small", "river", "stone"]
CAUSES = {"sports": "goal", "politics": "vote"}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """A model of texts in which one word alone causes each label."""
    folder, random = tmp_path_factory.mktemp("explained"), np.random.default_rng(0)
    rows = []
    for row in range(160):
        has = [label for place, label in enumerate(CAUSES) if row >> place & 1]
        words = [*random.choice(FILLERS, 5), *(CAUSES[label] for label in has)]
        rows.append({"text": " ".join(random.permutation(words)), "labels": has})
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {
        "data": str(folder / "data.jsonl"),
        "encoder": {"name": "hashed"},
        "training": {"epochs": 2, "batch_size": 32},
        "evaluation": {"views": ["probe", "neighbours", "words"]},
    }
    run_experiment(RunSettings.build(values), folder / "run")
    return load(folder / "run")


def test_contributions_add_up_to_the_blended_score(texts: TrainedModel) -> None:
    inputs = ["the goal near a river", "some old vote", ""]
    found = texts.explain(inputs, ["politics", "sports"])
    logits = texts.view_logits(inputs)
    assert texts.blend is not None
    blended = texts.blend.probabilities(logits)
    for row, one in enumerate(found):
        assert [label.label for label in one.labels] == ["politics", "sports"]
        for label in one.labels:
            assert set(label.contributions) == {"probe", "neighbours", "words", "bias"}
            total = sum(label.contributions.values())
            assert total == pytest.approx(label.log_odds, abs=1e-6)
            assert expit(total) == pytest.approx(blended[row, texts.labels.index(label.label)], abs=1e-6)


def test_the_word_that_causes_a_label_has_the_largest_effect(texts: TrainedModel) -> None:
    text = "A Goal with some old stone, goal"
    label = texts.explain([text], ["sports"])[0].labels[0]
    assert label.parts[0].name == "goal"
    without = texts.explain(["A  with some old stone, "], ["sports"])[0].labels[0]
    assert label.parts[0].effect == pytest.approx(label.log_odds - without.log_odds, abs=1e-4)


def test_terms_are_the_margin_of_the_words_view_without_its_bias(texts: TrainedModel) -> None:
    text, column = "the goal near a vote", texts.labels.index("sports")
    view = texts.other_views["words"]
    assert isinstance(view, WordsView)
    terms = texts.explain([text], ["sports"], most=10_000, near=0)[0].labels[0].terms
    margin = view.logits([text])[0, column]
    assert sum(term.effect for term in terms) + view.bias[column] == pytest.approx(margin, abs=1e-6)


def test_neighbours_are_the_nearest_with_and_without_the_label(texts: TrainedModel) -> None:
    text = "the goal near a river"
    view = texts.other_views["neighbours"]
    assert isinstance(view, NeighboursView)
    embedding = texts.embed([text])[0]
    similarity = [float(row @ embedding / np.linalg.norm(embedding)) for row in view.embeddings]
    nearest = texts.neighbours([text], 4)[0]
    assert [near.similarity for near in nearest] == pytest.approx(sorted(similarity, reverse=True)[:4], abs=1e-5)
    label = texts.explain([text], ["sports"])[0].labels[0]
    has = view.labels.toarray()[:, texts.labels.index("sports")] > 0
    for side, members in ((label.supporting, has), (label.opposing, ~has)):
        best = sorted((one for one, there in zip(similarity, members, strict=True) if there), reverse=True)[:3]
        assert [near.similarity for near in side] == pytest.approx(best, abs=1e-5)
        assert all(members[near.row] for near in side)
        assert {"sports" in near.labels for near in side} == {members is has}


def test_predicted_labels_are_explained_by_default(texts: TrainedModel) -> None:
    inputs = ["goal goal", "a vote", "the river"]
    explained = [[label.label for label in one.labels] for one in texts.explain(inputs)]
    assert explained == texts.predict_sets(inputs)
    assert texts.explain([]) == []
    best = [[label.label for label in one.labels] for one in texts.explain(inputs, top=1, most=0)]
    assert best == [[texts.labels[column]] for column in texts.predict_proba(inputs).argmax(axis=1)]


def test_what_cannot_be_explained_is_refused(texts: TrainedModel) -> None:
    with pytest.raises(LabelError, match=r'label "sprots" is not in the vocabulary \(did you mean "sports"\?\)\.'):
        texts.explain(["a"], ["sprots"])
    with pytest.raises(LabelError, match=r'labels must be a list of names. Got the text "sports"\.'):
        texts.explain(["a"], "sports")
    with pytest.raises(ConfigError, match=r"near must be 0 or more. Got -1\."):
        texts.explain(["a"], near=-1)
    with pytest.raises(ConfigError, match=r"k must be between 1 and the \d+ training examples. Got 0\."):
        texts.neighbours(["a"], 0)


def test_the_column_that_causes_a_label_has_the_largest_effect(reg_run: Path, vectors: Path) -> None:
    model = load(reg_run)
    vector = np.zeros((1, 8), np.float32)
    vector[0, 0] = 2.0  # the label "one" is column 0 above 0
    label = model.explain(vector, ["one"])[0].labels[0]
    assert label.parts[0].name == "column 0"
    assert label.parts[0].effect > 0
    assert label.terms == ()


def test_a_model_without_neighbours_says_so(texts: TrainedModel) -> None:
    bare = replace(texts, other_views={}, blend=None)
    with pytest.raises(RunError, match=r"this model has no view of neighbours, so it does not hold its training"):
        bare.neighbours(["a"], 1)
    label = bare.explain(["a goal"], ["sports"])[0].labels[0]
    assert (label.supporting, label.opposing, label.terms) == ((), (), ())
    assert label.contributions == {"probe": label.log_odds}


def test_the_cell_that_causes_a_label_has_the_largest_effect(tmp_path: Path) -> None:
    random, rows = np.random.default_rng(0), []
    for row in range(80):
        pixels = random.integers(90, 110, (24, 24, 3), dtype=np.uint8)
        if row % 2:
            pixels[:4, :4] = 255  # the first cell of the grid
        Image.fromarray(pixels).save(tmp_path / f"{row}.png")
        rows.append({"image": f"{row}.png", "labels": ["bright"] if row % 2 else ["plain"]})
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    encoder = {"name": "convnet", "image_size": 24}
    values = {"data": str(tmp_path / "data.jsonl"), "encoder": encoder, "training": {"epochs": 4, "batch_size": 16}}
    run_experiment(RunSettings.build(values), tmp_path / "run")
    label = load(tmp_path / "run").explain([tmp_path / "1.png"], ["bright"], most=GRID**2)[0].labels[0]
    assert label.parts[0].name == "row 0, column 0"


def test_the_page_has_the_table_of_the_measured_faithfulness() -> None:
    root = Path(__file__).parents[2]
    found = json.loads((root / "benchmarks" / "results" / "faithfulness.json").read_text())
    spec = spec_from_file_location("faithfulness", root / "benchmarks" / "faithfulness.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (root / "docs" / "explain.md").read_text()
    assert page.endswith(f"<!-- benchmarks/results/faithfulness.json -->\n\n{module.table(found)}\n")
    for row in found.values():
        assert row["lost without the named"] > 5 * row["lost without random ones"]
        assert row["share of pairs that lose more without the named"] > 0.95
