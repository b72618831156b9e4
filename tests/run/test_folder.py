"""The run folder: who may write to it, its result, and its model read back to the bit without a pickle."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from labelcontrast.data.splits import load_splits
from labelcontrast.errors import ConfigError, RunError
from labelcontrast.experiment import run_experiment
from labelcontrast.files import read_json, write_json
from labelcontrast.run.folder import (
    RunResult,
    claim,
    drop_weights,
    load_settings,
    load_training_labels,
    open_run,
)
from labelcontrast.run.model import load, save_model
from labelcontrast.settings import RunSettings

Runs = dict[str, Path]


@pytest.fixture
def copied(finished_runs: Runs, tmp_path: Path) -> Path:
    return shutil.copytree(finished_runs["bce"], tmp_path / "run")


def test_a_model_is_read_back_to_the_bit(finished_runs: Runs, tmp_path: Path) -> None:
    model = load(finished_runs["reg"])
    copy = shutil.copytree(finished_runs["reg"], tmp_path / "run")
    (copy / "manifest.json").unlink()
    save_model(copy, model)
    again = load(copy)
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(again.encoder.state_dict()[name], value), name
    assert torch.equal(again.classifier.weight, model.classifier.weight)
    assert again.vocabulary == model.vocabulary
    assert np.array_equal(again.thresholds.values, model.thresholds.values)
    assert not again.encoder.training


def test_the_result_is_a_type_and_a_mapping(finished_runs: Runs, copied: Path) -> None:
    content = (copied / "metrics.json").read_bytes()
    written = read_json(copied / "metrics.json")
    result = RunResult.load(str(copied))
    assert result == written
    assert [*result] == [*written]
    assert result["metrics"]["test"]["micro_f1"] == result.metrics["test"]["micro_f1"]
    assert result.fold is None
    with pytest.raises(KeyError):
        result["fold"]
    result.save(copied)
    assert (copied / "metrics.json").read_bytes() == content
    RunResult.load(finished_runs["reg"]).save(copied)
    assert (copied / "metrics.json").read_bytes() == (finished_runs["reg"] / "metrics.json").read_bytes()


def test_a_file_that_is_removed_while_the_run_is_at_work_is_missed_at_the_end(copied: Path) -> None:
    whole = RunResult.load(copied)
    calibrated = replace(whole, reliability={"as said": {}, "calibrated": {}})
    blended = replace(whole, views={"probe": {}, "trees": {}})
    for result, name in (
        *((whole, name) for name in ("config.toml", "labels.json", "encoder/settings.json", "model.safetensors")),
        (whole, "thresholds.json"),
        *(
            (calibrated, "calibration.json"),
            (blended, "blend.json"),
            (replace(whole, hierarchy={"a": 1}), "hierarchy.json"),
        ),
    ):
        path = copied / name
        content = path.read_bytes() if path.exists() else b""
        path.unlink(missing_ok=True)
        with pytest.raises(
            RunError, match=rf"{name} was removed while the run was at work; continue it with --resume\.$"
        ):
            result.save(copied)
        path.write_bytes(content)


def test_a_result_that_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a finished run: it has no metrics\.json\.$"):
        RunResult.load(tmp_path)
    for text in ("{", '{"labels": 3}', "null"):
        (tmp_path / "metrics.json").write_text(text)
        with pytest.raises(RunError, match=r"is damaged: "):
            RunResult.load(tmp_path)


def test_nothing_that_prediction_reads_is_a_pickle(finished_runs: Runs) -> None:
    names = {
        path.name for path in finished_runs["bce"].rglob("*") if path.is_file() and "checkpoints" not in path.parts
    }
    assert {path.rsplit(".")[-1] for path in names} <= {"toml", "json", "safetensors", "csv", "html", "md", "txt"}


def test_a_new_or_empty_folder_is_free(tmp_path: Path) -> None:
    settings = RunSettings(data="a.csv")
    claim(tmp_path, settings, resume=False, force=False)
    claim(tmp_path / "new", settings, resume=False, force=False)
    assert not (tmp_path / "new").exists()


def test_an_existing_run_is_kept_without_force(copied: Path) -> None:
    settings = load_settings(copied)
    with pytest.raises(
        RunError, match="holds a run already; continue with --resume, replace it with --force, or choose"
    ):
        claim(copied, settings, resume=False, force=False)
    claim(copied, settings, resume=True, force=False)
    assert (copied / "metrics.json").exists()
    claim(copied, settings, resume=False, force=True)
    data = read_json(copied / "data.json")["data"]
    with open_run(copied, settings, data=data, resume=True):
        assert not (copied / "metrics.json").exists()
        assert (copied / "features.safetensors").exists()
        with pytest.raises(RunError, match="is in use by another process"):
            claim(copied, settings, resume=True, force=False)
    with open_run(copied, settings, force=True):
        pass
    assert sorted(path.name for path in copied.iterdir()) == ["config.toml", "data.json"]


def test_force_never_removes_a_folder_that_is_not_a_run(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match=r"is not empty and is not a run; choose another folder\.$"):
        claim(tmp_path, RunSettings(data="a.csv"), resume=False, force=True)
    with pytest.raises(RunError, match=r"thesis\.tex is a file; expected a new or empty folder\.$"):
        claim(tmp_path / "thesis.tex", RunSettings(data="a.csv"), resume=False, force=True)
    assert (tmp_path / "thesis.tex").exists()


def test_force_leaves_a_folder_whose_config_is_that_of_another_program(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('baseURL = "x"')
    for force in (False, True):
        with pytest.raises(RunError, match=r"is not empty and is not a run; choose another folder\.$"):
            claim(tmp_path, RunSettings(data="a.csv"), resume=False, force=force)


@pytest.mark.parametrize("name", ["labels.json", "calibration.json", "encoder/settings.json", "config.toml"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "missing", "linked", "folder"])
def test_a_damaged_file_is_refused_by_name_before_it_is_used(copied: Path, name: str, damage: str) -> None:
    settings = load_settings(copied)
    if name == "calibration.json":
        evaluation = settings.evaluation.model_copy(update={"calibration": "temperature"})
        run_experiment(settings.model_copy(update={"evaluation": evaluation}), copied, resume=True)
    path = copied / name
    content = path.read_bytes()
    path.unlink()
    if damage == "flipped":
        path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    elif damage == "cut":
        path.write_bytes(content[:5])
    elif damage == "linked":
        (copied.parent / "elsewhere").write_bytes(content)
        path.symlink_to(copied.parent / "elsewhere")
    elif damage == "folder":
        path.mkdir()
    problem = {
        "flipped": "has changed since the run ended",
        "cut": f"has 5 bytes instead of {len(content):,}",
        "linked": "is not a regular file",
    }.get(damage, "is missing")
    with pytest.raises(RunError) as refusal:
        load(copied)
    undo = "remove manifest.json to use the folder unchecked"
    assert str(refusal.value) == f"{copied} is damaged: {name} {problem}; {undo}."


def test_a_file_that_is_not_listed_is_not_read(copied: Path) -> None:
    write_json(copied / "hierarchy.json", {"one": None})
    with pytest.raises(RunError, match=r"is damaged: hierarchy\.json is not listed in manifest\.json; remove"):
        load(copied)
    (copied / "hierarchy.json").unlink()
    (copied / "encoder" / "tokenizer.json").write_text("{}")
    with pytest.raises(RunError, match=r"is damaged: encoder/tokenizer\.json is not listed"):
        load(copied)


def test_a_changed_manifest_is_refused(copied: Path) -> None:
    text = (copied / "manifest.json").read_text()
    for changed in (
        "",
        "null",
        text.replace('"size": ', '"size": 1', 1),
        text.replace('"labels.json"', '"label.json"'),
    ):
        (copied / "manifest.json").write_text(changed)
        with pytest.raises(RunError, match=r"is damaged: .*"):
            load(copied)
    (copied / "manifest.json").unlink()
    load(copied)


def test_nothing_is_predicted_from_a_run_that_is_evaluated_again(copied: Path) -> None:
    settings, data = load_settings(copied), read_json(copied / "data.json")["data"]
    with pytest.raises(KeyboardInterrupt), open_run(copied, settings, data=data, resume=True):
        raise KeyboardInterrupt
    assert (copied / "model.safetensors").exists()
    with pytest.raises(RunError, match=r"is not finished; continue with train --resume\.$"):
        load(copied)


def test_a_run_is_not_resumed_with_other_settings(copied: Path) -> None:
    settings = load_settings(copied)
    other = settings.model_copy(update={"seed": 7})
    with pytest.raises(ConfigError, match=r"was run with seed = 0, not 7; resuming needs the same\.$"):
        claim(copied, other, resume=True, force=False)


def test_the_label_frequencies_of_training_are_read_from_the_results(copied: Path, vectors: Path) -> None:
    splits = load_splits(vectors, seed=0)
    train = load_training_labels(copied)
    assert train is not None
    expected = splits.vocabulary.encode(splits.train.label_sets or []).toarray().sum(axis=0)
    assert train.counts.tolist() == expected.tolist()
    assert train.examples == len(splits.train)
    (copied / "per_label.json").unlink()
    with pytest.raises(RunError, match=r"run is damaged: per_label.json is missing; remove manifest.json"):
        load_training_labels(copied)
    (copied / "manifest.json").unlink()
    assert load_training_labels(copied) is None  # as in a folder of results alone


def test_a_folder_without_a_model_is_refused_with_the_reason(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"nowhere does not exist\.$"):
        load(tmp_path / "nowhere")
    weights = {name: one.clone() for name, one in load_file(copied / "model.safetensors").items()}  # not mapped
    (copied / "model.safetensors").write_bytes(b"half a file")
    with pytest.raises(RunError, match=r"run is damaged: model\.safetensors has 11 bytes instead of \d+,\d+; remove"):
        load(copied)
    (copied / "manifest.json").unlink()
    with pytest.raises(RunError, match="is damaged: "):
        load(copied)
    weights["classifier.bias"][0] = torch.nan
    save_file(weights, copied / "model.safetensors")
    with pytest.raises(RunError, match=r"classifier\.bias in model\.safetensors has numbers that are not finite$"):
        load(copied)
    drop_weights(copied)
    with pytest.raises(RunError, match=r"has results only; its weights were not kept\.$"):
        load(copied)
    (copied / "metrics.json").unlink()
    (copied / "model.safetensors").touch()
    with pytest.raises(RunError, match=r"is not finished; continue with train --resume\.$"):
        load(copied)


def test_weights_of_other_labels_are_refused_as_damaged(copied: Path) -> None:
    (copied / "manifest.json").unlink()
    labels = read_json(copied / "labels.json")
    write_json(copied / "labels.json", labels[:-1])
    with pytest.raises(RunError, match="is damaged: 4 labels, 5 thresholds and 5 rows of weights"):
        load(copied)


def test_assets_that_cannot_be_written_are_refused(finished_runs: Runs, tmp_path: Path, monkeypatch) -> None:
    model = load(finished_runs["reg"])

    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device", str(folder / "tokenizer.json"))

    monkeypatch.setattr(model.encoder, "save_assets", full)
    with pytest.raises(RunError, match=r"encoder could not be written: No space left on device\.$"):
        save_model(tmp_path, model)
    assert not (tmp_path / "model.safetensors").exists()
