"""The name of a trial: the same for what gives the same result, another for everything that can change it.

One place for what a comparison, a study and a search have in common.

One trial: its record, good or bad, and what is left in its folder.
"""

import pickle
from dataclasses import fields
from pathlib import Path

import pytest

from labelcontrast.errors import DataError
from labelcontrast.lab import comparison, running, trials
from labelcontrast.lab import search as searching
from labelcontrast.lab import trials as identity
from labelcontrast.lab.trials import (
    Runner,
    RunOptions,
    Trial,
    data_print,
    encoder_print,
    fingerprint,
    hierarchy_print,
    identify,
)
from labelcontrast.settings import RunSettings


def name(**changes: object) -> str:
    return identify(RunSettings.build({"data": "here.npz", **changes}), data="abc", encoder=None)


def test_what_gives_the_same_result_has_the_same_name() -> None:
    assert name() == name(data="elsewhere/here.npz")
    assert name() == name(loss={"name": "reg", "temperature": 0.1})
    assert name(loss={"name": "reg", "alpha": 1.0, "temperature": 0.2}) == name(
        loss={"temperature": 0.2, "name": "reg", "alpha": 1.0}
    )
    assert name() == name(training={"learning_rate": 1e-3})


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"split_seed": 1},
        {"loss": {"name": "wo_reg"}},
        {"loss": {"name": "reg", "temperature": 0.2}},
        {"training": {"epochs": 11}},
        {"encoder": {"name": "hashed"}},
        {"evaluation": {"threshold": "fixed"}},
    ],
    ids=str,
)
def test_whatever_can_change_a_result_changes_the_name(changes: dict[str, object]) -> None:
    assert name(**changes) != name()


def test_a_part_of_a_run_is_named_by_the_settings_that_it_depends_on() -> None:
    def part(**changes: object) -> str:
        settings = RunSettings.build({"data": "here.npz", **changes})
        return identify(settings, data="abc", encoder=None, without=("evaluation.", "transfer_to"))

    assert part() == part(evaluation={"threshold": "fixed", "probe": "released"}, transfer_to="there.npz")
    assert part() == part(loss={"name": "reg", "temperature": 0.1})
    assert len({name(), part(), part(seed=1), part(training={"keep": "last"}), part(loss={"name": "wo_reg"})}) == 5


def test_other_data_another_encoder_and_another_version_are_other_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = RunSettings(data="a")
    names = {identify(settings, data=data, encoder=encoder) for data in "ab" for encoder in (None, "c")}
    assert len(names) == 4
    monkeypatch.setattr(identity, "version", lambda _: "9.9")
    assert identify(settings, data="a", encoder=None) not in names


def test_a_fingerprint_is_of_contents_and_names_within_and_not_of_the_place(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder / "images").mkdir(parents=True)
        (tmp_path / folder / "train.csv").write_text("text,label\n")
        (tmp_path / folder / "images" / "1.png").write_bytes(b"1")
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "two")
    (tmp_path / "two" / "images" / "1.png").rename(tmp_path / "two" / "images" / "2.png")
    assert fingerprint(tmp_path / "one") != fingerprint(tmp_path / "two")
    before = fingerprint(tmp_path / "one")
    (tmp_path / "one" / "images" / "1.png").write_bytes(b"2")
    assert fingerprint(tmp_path / "one") != before


def test_data_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.csv: there is no such file or folder\."):
        fingerprint(tmp_path / "no.csv")


def test_an_encoder_in_a_folder_is_known_by_its_files(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = encoder_print(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"others!")
    assert before is not None
    assert encoder_print(str(tmp_path)) not in {None, before}
    assert encoder_print("organisation/model") is None


def test_a_data_set_of_the_hub_is_known_by_its_name(tmp_path: Path) -> None:
    assert data_print("hf:go_emotions:simplified") == "hf:go_emotions:simplified"
    (tmp_path / "a.csv").write_text("text,label")
    assert data_print(str(tmp_path / "a.csv")) == fingerprint(tmp_path / "a.csv")


def test_a_hierarchy_is_known_by_its_contents_wherever_it_lies(tmp_path: Path) -> None:
    for folder, above in (("one", "animal"), ("two", "animal"), ("three", "plant")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tree.json").write_text(f'{{"cat": "{above}", "{above}": null}}')
    files = (str(tmp_path / folder / "tree.json") for folder in ("one", "two", "three"))
    one, two, three = (name(hierarchy={"file": file}) for file in files)
    assert one == two
    assert len({one, three, name(), name(hierarchy={"file": "none"})}) == 4
    assert hierarchy_print(str(tmp_path / "gone.json")) == str(tmp_path / "gone.json")


def test_a_hierarchy_beside_a_single_file_belongs_to_the_data(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n")
    before = data_print(str(tmp_path / "a.csv"))
    (tmp_path / "hierarchy.json").write_text('{"cat": null}')
    with_one = data_print(str(tmp_path / "a.csv"))
    (tmp_path / "hierarchy.json").write_text('{"dog": null}')
    assert len({before, with_one, data_print(str(tmp_path / "a.csv"))}) == 3
    assert before == fingerprint(tmp_path / "a.csv")


@pytest.mark.parametrize("options", [comparison.Options, running.Options, searching.Options])
def test_what_is_in_common_is_said_once(options: type[RunOptions]) -> None:
    own = set(options.__annotations__)
    common = {field.name for field in fields(RunOptions)}
    assert not own & common
    assert {field.name for field in fields(options)} == own | common
    assert options(jobs=3).jobs == 3


def trial(vectors: Path, folder: Path, **loss: object) -> Trial:
    settings = RunSettings.build({"data": str(vectors), "loss": loss, "training": {"epochs": 2, "batch_size": 64}})
    return Trial("key", "title", settings, folder)


def test_a_record_holds_metrics_and_history_and_the_weights_go(vectors: Path, tmp_path: Path) -> None:
    record = Runner()(trial(vectors, tmp_path / "run", name="reg"))
    assert record["result"]["metrics"]["test"]["micro_f1"] > 0.3
    assert [epoch["epoch"] for epoch in record["history"]] == [1, 2]
    assert "positives_pushed_away" in record["history"][0]["diagnostics"]
    assert record["seconds"] >= sum(record["result"]["seconds"].values()) * 0.5
    assert record["settings"]["loss"]["name"] == "reg"
    assert record["folder"] == "run"
    assert not list(tmp_path.rglob("model.safetensors"))


def test_a_refusal_is_a_result(vectors: Path, tmp_path: Path) -> None:
    record = Runner()(trial(vectors, tmp_path / "run", name="proto", temperature=1e-9))
    assert "temperature must be" in record["error"]
    assert "result" not in record
    assert "trace" not in record


def test_what_nobody_foresaw_is_kept_with_its_trace(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def burst(*_: object, **__: object) -> None:
        raise MemoryError("no room\nfor 8 GiB")

    monkeypatch.setattr(trials, "run_experiment", burst)
    record = Runner()(trial(vectors, tmp_path / "run", name="bce"))
    assert record["error"] == "MemoryError: no room for 8 GiB"
    assert "in burst" in record["trace"]


def test_a_runner_without_listeners_can_be_sent_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(Runner(device="cuda"))) == Runner(device="cuda")
