"""Trials: keys and fingerprints, records of finished and failed runs, and the store with its claims."""

import fcntl
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from labelcontrast.errors import DataError, RunError
from labelcontrast.lab import trials
from labelcontrast.lab.trials import (
    Runner,
    Store,
    Trial,
    fingerprint,
    fingerprint_data,
    fingerprint_encoder,
    fingerprint_hierarchy,
    identify,
)
from labelcontrast.settings import RunSettings


def name(**changes: object) -> str:
    return identify(RunSettings.build({"data": "here.npz", **changes}), data="abc", encoder=None)


def test_equal_results_have_equal_keys() -> None:
    assert name() == name(data="elsewhere/here.npz")
    assert name(loss={"name": "reg"}) == name(loss={"name": "reg", "temperature": 0.1})
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
def test_settings_that_change_a_result_change_the_key(changes: dict[str, object]) -> None:
    assert name(**changes) != name()


def test_a_partial_key_ignores_the_excluded_settings() -> None:
    def part(**changes: object) -> str:
        settings = RunSettings.build({"data": "here.npz", **changes})
        return identify(settings, data="abc", encoder=None, without=("evaluation.", "transfer_to"))

    assert part() == part(evaluation={"threshold": "fixed", "probe": "released"}, transfer_to="there.npz")
    assert part(loss={"name": "reg"}) == part(loss={"name": "reg", "temperature": 0.1})
    assert len({name(), part(), part(seed=1), part(training={"keep": "last"}), part(loss={"name": "wo_reg"})}) == 5


def test_the_key_depends_on_data_encoder_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = RunSettings(data="a")
    names = {identify(settings, data=data, encoder=encoder) for data in "ab" for encoder in (None, "c")}
    assert len(names) == 4
    monkeypatch.setattr(trials, "version", lambda _: "9.9")
    assert identify(settings, data="a", encoder=None) not in names


def test_a_fingerprint_depends_on_file_names_and_contents_and_not_on_the_path(tmp_path: Path) -> None:
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


def test_missing_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.csv: there is no such file or folder\."):
        fingerprint(tmp_path / "no.csv")


def test_the_fingerprint_of_an_encoder_folder_depends_on_its_files(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = fingerprint_encoder(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"others!")
    assert before is not None
    assert fingerprint_encoder(str(tmp_path)) not in {None, before}
    assert fingerprint_encoder("organisation/model") is None


def test_the_fingerprint_of_a_hub_data_set_is_its_name(tmp_path: Path) -> None:
    assert fingerprint_data("hf:go_emotions:simplified") == "hf:go_emotions:simplified"
    (tmp_path / "a.csv").write_text("text,label")
    assert fingerprint_data(str(tmp_path / "a.csv")) == fingerprint(tmp_path / "a.csv")


def test_the_key_depends_on_the_contents_of_the_hierarchy_file_and_not_on_its_path(tmp_path: Path) -> None:
    for folder, above in (("one", "animal"), ("two", "animal"), ("three", "plant")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tree.json").write_text(f'{{"cat": "{above}", "{above}": null}}')
    files = (str(tmp_path / folder / "tree.json") for folder in ("one", "two", "three"))
    one, two, three = (name(hierarchy={"file": file}) for file in files)
    assert one == two
    assert len({one, three, name(), name(hierarchy={"file": "none"})}) == 4
    assert fingerprint_hierarchy(str(tmp_path / "gone.json")) == str(tmp_path / "gone.json")


def test_the_fingerprint_of_a_file_includes_the_hierarchy_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n")
    before = fingerprint_data(str(tmp_path / "a.csv"))
    (tmp_path / "hierarchy.json").write_text('{"cat": null}')
    with_one = fingerprint_data(str(tmp_path / "a.csv"))
    (tmp_path / "hierarchy.json").write_text('{"dog": null}')
    assert len({before, with_one, fingerprint_data(str(tmp_path / "a.csv"))}) == 3
    assert before == fingerprint(tmp_path / "a.csv")


def trial(vectors: Path, folder: Path, **loss: object) -> Trial:
    settings = RunSettings.build({"data": str(vectors), "loss": loss, "training": {"epochs": 2, "batch_size": 64}})
    return Trial("key", "title", settings, folder)


def test_a_record_has_metrics_and_history_and_the_weights_are_removed(vectors: Path, tmp_path: Path) -> None:
    record = Runner()(trial(vectors, tmp_path / "run", name="reg"))
    assert record["result"]["metrics"]["test"]["micro_f1"] > 0.3
    assert [epoch["epoch"] for epoch in record["history"]] == [1, 2]
    assert "positives_pushed_away" in record["history"][0]["diagnostics"]
    assert record["seconds"] >= sum(record["result"]["seconds"].values()) * 0.5
    assert record["settings"]["loss"]["name"] == "reg"
    assert record["folder"] == "run"
    assert not list(tmp_path.rglob("model.safetensors"))


def test_a_configuration_error_is_recorded_without_a_traceback(vectors: Path, tmp_path: Path) -> None:
    record = Runner()(trial(vectors, tmp_path / "run", name="proto", temperature=1e-9))
    assert "temperature must be" in record["error"]
    assert "result" not in record
    assert "trace" not in record


def test_an_unexpected_error_is_recorded_with_its_traceback(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def burst(*_: object, **__: object) -> None:
        raise MemoryError("no room\nfor 8 GiB")

    monkeypatch.setattr(trials, "run_experiment", burst)
    record = Runner()(trial(vectors, tmp_path / "run", name="bce"))
    assert record["error"] == "MemoryError: no room for 8 GiB"
    assert "in burst" in record["trace"]


def test_a_runner_without_callbacks_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Runner(device="cuda"))) == Runner(device="cuda")


HOLDER = """
import fcntl, json, sys, time
file = open(sys.argv[1], "a+")
fcntl.flock(file, fcntl.LOCK_EX)
file.write(json.dumps({"command": sys.argv[2], "deaths": int(sys.argv[3])})); file.flush()
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def another_process(store: Store, key: str, command: str, deaths: int) -> Iterator[subprocess.Popen[str]]:
    """Hold a claim in another process."""
    store.folder.mkdir(exist_ok=True)
    words = [sys.executable, "-c", HOLDER, str(store.folder / f"{key}.claim"), command, str(deaths)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_records_are_written_read_and_removed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert not store.has("a")
    assert store.read("a") is None
    store.write("a", {"seconds": 1.5, "result": {"nan": float("nan")}})
    assert store.has("a")
    assert store.read("a") == {"seconds": 1.5, "result": {"nan": None}}
    store.remove("a")
    assert store.read("a") is None


def test_a_damaged_record_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"seconds": ')
    with pytest.raises(RunError, match=r"a\.json is damaged: .*\. Remove it, and its trial is run again\."):
        Store(tmp_path).read("a")
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(RunError, match=r"a\.json is damaged: it is no record of a trial\. Remove it, and its trial"):
        Store(tmp_path).read("a")


def test_a_claim_is_exclusive_within_a_process(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with store.claim("a", command="x") as first, store.claim("a", command="x") as second:
        assert first is not None
        assert second is None
        with store.claim("b", command="x") as other:
            assert other is not None
    with store.claim("a", command="x") as again:
        assert again is not None


def test_the_claim_of_a_killed_process_is_taken_over_and_counts_deaths(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with another_process(store, "a", "mine", deaths=1) as process:
        with store.claim("a", command="mine") as claim:
            assert claim is None
        process.kill()
        process.wait()
        with store.claim("a", command="mine") as claim:
            assert claim is not None
            assert claim.deaths == 2
            owner = json.loads((store.folder / "a.claim").read_text())
            assert owner["command"] == "mine"
        with store.claim("a", command="another") as claim:
            assert claim is not None
            assert claim.deaths == 0


def test_a_claim_file_is_removed_unless_the_block_is_interrupted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt), store.claim("a", command="x"):
        raise KeyboardInterrupt
    assert (tmp_path / "a.claim").exists()
    with store.claim("a", command="x"):
        store.write("a", {})
    assert not (tmp_path / "a.claim").exists()


def test_a_lock_on_a_removed_claim_file_is_taken_on_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Store(tmp_path).claim("a", command="x")
    held.__enter__()
    lock, locked = fcntl.flock, []

    def they_end(file: IO[str], how: int) -> None:
        if not locked:
            locked.append(file)
            held.__exit__(None, None, None)  # between our opening of the file and our lock on it
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", they_end)
    with Store(tmp_path).claim("a", command="y") as claim:
        assert claim is not None
        with Store(tmp_path).claim("a", command="z") as other:
            assert other is None
    assert list(tmp_path.iterdir()) == []


def test_the_encoder_that_auto_finds_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def key_of(name: str) -> str:
        settings = RunSettings.build({"data": "a", "encoder": {"name": name}})
        return identify(settings, data="print", encoder=None)

    installed, keys = {"text": "pkg:one/model"}, []
    monkeypatch.setattr(trials, "find_installed", installed.get)
    keys.append(key_of("auto"))
    installed["text"] = "pkg:other/model"
    keys += [key_of("auto"), key_of("embedded")]
    assert len(set(keys)) == 3
