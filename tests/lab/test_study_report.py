"""Running a study, and its report: nothing run twice, failures shown, and written again from its folder at any time."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from labelcontrast.errors import ConfigError, DataError, RunError
from labelcontrast.experiment import run_experiment
from labelcontrast.lab import study_report
from labelcontrast.lab.pipeline import Options, remove_trainings
from labelcontrast.lab.study import Study, find_study, plan_study
from labelcontrast.lab.study_report import _glossary, name_trials, read_outcomes, run_study, write_study
from labelcontrast.lab.trials import Runner, Store
from labelcontrast.reports.tables import as_markdown
from labelcontrast.run.fitting import Callbacks
from labelcontrast.run.machine import describe_origin
from labelcontrast.training.epochs import Epoch

METRICS = ("micro_f1", "macro_f1", "sample_f1", "hamming_loss", "map_macro", "map_micro", "lrap")
FIGURES = ("micro_f1-by-temperature", "score-by-epoch-temperature-0.1", "score-by-epoch-temperature-0.5")
QUICK = {"training": {"epochs": 1, "batch_size": 64}}


class Killed(BaseException):
    """Ends a trial without a record, as a kill does."""


@pytest.fixture(scope="module")
def tiny() -> Study:
    return Study.build(
        {
            "name": "tiny",
            "question": "Does the temperature matter?",
            "source": "Somebody 2024, Table 1",
            "losses": ["bce", "reg"],
            "seeds": 1,
            "grid": {"loss.temperature": [0.1, 0.5]},
            "table": {"rows": ["loss", "loss.temperature"], "metrics": ["micro_f1", "positives_pushed_away"]},
            "figures": [
                {"x": "loss.temperature", "y": ["micro_f1"], "scale": "log"},
                {"x": "epoch", "y": ["score"], "lines": "loss"},
            ],
        }
    )


@pytest.fixture(scope="module")
def finished(tiny: Study, vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "out"
    run_study(tiny, [str(vectors)], QUICK, folder)
    return folder


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Trials that take no time and come to what the test says."""
    came_to = {"result": {"metrics": {"test": dict.fromkeys(METRICS, 0.5)}, "seconds": {}, "warnings": []}}
    monkeypatch.setattr(
        study_report, "Runner", lambda _: lambda trial: {"title": trial.title, "seconds": 1.0} | came_to
    )
    return came_to


def test_it_leaves_a_page_tables_figures_and_every_number(finished: Path) -> None:
    names = {path.relative_to(finished).as_posix() for path in finished.rglob("*") if "trials" not in path.parts}
    assert names == {
        "study.json",
        "report.html",
        "table.md",
        "table.tex",
        "table.csv",
        "results.csv",
        "significance.json",
        "report.md",
        "figures",
        *(f"figures/{name}.{end}" for name in FIGURES for end in ("svg", "png")),
    }
    page = (finished / "report.html").read_text()
    for said in ("Does the temperature matter?", "Table 1", "processors", "training.epochs", "scikit-learn", "<svg"):
        assert said in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    notes = (finished / "report.md").read_text()
    for said in ("Does the temperature matter?", "Table 1", "processors", "training.epochs", "scikit-learn"):
        assert said in notes
    assert (finished / "table.md").read_text() in notes
    assert all((finished / link).exists() for link in re.findall(r"\]\((.+?)\)", notes))
    verdicts = json.loads((finished / "significance.json").read_text())
    assert [one["row"] for one in verdicts] == [
        {"loss": "bce"},
        {"loss": "reg", "loss.temperature": 0.1},
        {"loss": "reg", "loss.temperature": 0.5},
    ]
    assert sum("p" not in one for one in verdicts) == 1, "the best is not compared with itself"
    with (finished / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["loss"], row["loss.temperature"], row["seed"]) for row in rows] == [
        ("bce", "", "0"),
        ("reg", "0.1", "0"),
        ("reg", "0.5", "0"),
    ]
    for row, line in zip(rows, (finished / "table.md").read_text().splitlines()[2:], strict=True):
        assert f"{100 * float(row['micro_f1']):.2f}" in line
    assert not list(finished.rglob("model.safetensors"))


@pytest.mark.usefixtures("instant")
def test_what_is_done_is_not_done_again_and_more_may_be_asked(tiny: Study, vectors: Path, finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "trials").glob("*.json")}
    heard: list[str] = []
    more = tiny.with_changes(losses="bce,reg,zlpr")
    table = run_study(more, [str(vectors)], QUICK, finished, options=Options(resume=True), say=heard.append)
    assert [row[0].text for row in table.rows] == ["bce", "reg", "reg", "zlpr"]
    assert heard[0] == "tiny: 4 trials, 3 done before"
    assert len(heard) == 2
    assert heard[1] == "[1/1] vectors, zlpr, seed 0: macro-F1 50.0 %, 1 s"
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_studies_with_a_store_in_common_share_their_trials(
    tiny: Study, vectors: Path, finished: Path, tmp_path: Path
) -> None:
    heard: list[str] = []
    other = tiny.model_copy(update={"name": "other"})
    table = run_study(other, [str(vectors)], QUICK, tmp_path / "other", store=finished / "trials", say=heard.append)
    assert heard == ["other: 3 trials, 3 done before"]
    assert not (tmp_path / "other" / "trials").exists()
    assert as_markdown(table) == as_markdown(write_study(tmp_path / "other"))


def test_a_failure_is_shown_and_is_tried_again_by_the_next_command(
    tiny: Study, vectors: Path, tmp_path: Path, instant: dict[str, object]
) -> None:
    heard: list[str] = []
    good = instant.pop("result")
    instant["error"] = "the disk is full."
    table = run_study(tiny, [str(vectors)], QUICK, tmp_path / "out", say=heard.append)
    assert [row[-1].text for row in table.rows] == ["0 of 1", "0 of 1", "0 of 1"]
    assert heard[1] == "[1/3] vectors, bce, seed 0: failed: the disk is full., 1 s"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "vectors, reg, temperature 0.5, seed 0" in page
    assert page.count("the disk is full.") == 3
    instant["result"] = good
    del instant["error"]
    table = run_study(
        tiny.with_changes(losses="bce"), [str(vectors)], QUICK, tmp_path / "out", options=Options(resume=True)
    )
    assert [row[-1].text for row in table.rows] == ["1"]


def test_folders_are_kept_unless_asked(tiny: Study, vectors: Path, finished: Path, tmp_path: Path) -> None:
    data = [str(vectors)]
    with pytest.raises(RunError, match="holds the study tiny; continue with --resume, replace it with --force, or"):
        run_study(tiny, data, QUICK, finished)
    other = tiny.model_copy(update={"name": "other"})
    with pytest.raises(RunError, match="holds the study tiny, not other; choose another folder"):
        run_study(other, data, QUICK, finished, options=Options(resume=True))
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(RunError, match="is not empty and is not a study; choose another folder"):
        run_study(tiny, data, QUICK, tmp_path, options=Options(force=True))
    with pytest.raises(DataError, match="there is no such file or folder"):
        run_study(tiny, ["nowhere.npz"], QUICK, tmp_path / "new")
    with pytest.raises(ConfigError, match="unknown setting"):
        run_study(tiny, data, {"trainig": 1}, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    claimed = tmp_path / "claimed"
    claimed.mkdir()
    (claimed / "study.json").write_text(json.dumps({"study": {"name": "tiny"}}))
    run_study(tiny, data, QUICK, claimed, options=Options(force=True))
    assert (claimed / "results.csv").exists()


@pytest.mark.usefixtures("instant")
def test_two_data_sets_stand_side_by_side(tiny: Study, vectors: Path, tmp_path: Path) -> None:
    with np.load(vectors) as arrays:
        np.savez(tmp_path / "again.npz", **{name: arrays[name] for name in arrays})
    one = tiny.with_changes(losses="bce")
    table = run_study(one, [str(vectors), str(tmp_path / "again.npz")], QUICK, tmp_path / "out")
    assert table.header[1:3] == ("temperature", "vectors micro-F1 (%)")
    assert table.rows[0][2] == table.rows[0][4]
    assert len(list((tmp_path / "out" / "trials").glob("*.json"))) == 1, "the same contents are the same trial"


def test_trials_are_named_by_their_data_wherever_they_lie(tiny: Study, tmp_path: Path) -> None:
    for folder, value in (("one", 0), ("two", 0), ("three", 1)):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "a.npy", np.full(3, value))
    keys = [
        [trial.key for trial in name_trials(plan_study(tiny, [str(tmp_path / folder)], {}), Store(tmp_path))]
        for folder in ("one", "two", "three")
    ]
    assert keys[0] == keys[1]
    assert len({*keys[0], *keys[2]}) == 6
    with pytest.raises(DataError, match="there is no such file or folder"):
        name_trials(plan_study(tiny, ["nowhere.npz"], {}), Store(tmp_path))


@pytest.fixture(scope="module")
def readings() -> Study:
    """One training under three evaluations, and another beside it."""
    return Study.build(
        {
            "name": "readings",
            "question": "How much is the reading?",
            "losses": ["bce", "reg"],
            "seeds": 1,
            "variants": {
                "ours": {},
                "one half": {"evaluation.threshold": "fixed"},
                "released": {"evaluation.probe": "released"},
                "last epoch": {"training.keep": "last"},
            },
            "table": {"rows": ["loss", "variant"], "metrics": ["micro_f1"]},
        }
    )


def test_what_differs_in_its_evaluation_alone_is_trained_once(
    readings: Study, vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs: list[int] = []
    callbacks = Callbacks(on_epoch=lambda epoch: epochs.append(epoch.epoch))
    monkeypatch.setattr(study_report, "Runner", lambda device: Runner(device, callbacks=callbacks))
    run_study(readings, [str(vectors)], QUICK, tmp_path / "out")
    assert epochs == [1] * 4, "a loss trains once for three evaluations, and once more for another epoch"
    assert not list((tmp_path / "out").rglob("training-*")), "nothing is left of what was in common"
    assert not list((tmp_path / "out").rglob("*.ckpt"))
    for trial in name_trials(plan_study(readings, [str(vectors)], QUICK), Store(tmp_path / "out" / "trials")):
        if trial.training is None:
            continue
        alone = run_experiment(trial.settings, tmp_path / "alone" / trial.key)
        record = json.loads((tmp_path / "out" / "trials" / f"{trial.key}.json").read_text())
        assert record["result"]["metrics"] == alone["metrics"]
        assert len(record["history"]) == 1
        assert (trial.folder / "report.html").exists()


def test_a_training_in_common_that_was_interrupted_goes_on(
    readings: Study, vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs: list[int] = []

    def interrupt_once(epoch: Epoch) -> None:
        epochs.append(epoch.epoch)
        if epochs == [1, 2]:
            raise Killed

    callbacks = Callbacks(on_epoch=interrupt_once)
    monkeypatch.setattr(study_report, "Runner", lambda device: Runner(device, callbacks=callbacks))
    two = Study.build(
        {**readings.model_dump(), "losses": ["reg"], "variants": {"a": {}, "b": {"evaluation.threshold": "fixed"}}}
    )
    longer = {"training": {"epochs": 2, "batch_size": 64}}
    with pytest.raises(Killed):
        run_study(two, [str(vectors)], longer, tmp_path / "out")
    assert len(list((tmp_path / "out" / "trials").glob("training-*/checkpoints"))) == 1
    run_study(two, [str(vectors)], longer, tmp_path / "out", options=Options(resume=True))
    assert epochs == [1, 2, 2], "the first epoch is there, and the second trial needs none"
    for trial in name_trials(plan_study(two, [str(vectors)], longer), Store(tmp_path / "out" / "trials")):
        alone = run_experiment(trial.settings, tmp_path / "alone" / trial.key)
        record = json.loads((tmp_path / "out" / "trials" / f"{trial.key}.json").read_text())
        assert record["result"]["metrics"] == alone["metrics"]


def test_an_encoder_is_trained_once_for_all_that_it_is_read_off_on(
    readings: Study, vectors: Path, tmp_path: Path
) -> None:
    with np.load(vectors) as arrays:
        np.savez(tmp_path / "b.npz", X=arrays["X"][:150], Y=arrays["Y"][:150, 1:3])
    study = Study.build(
        {**readings.model_dump(exclude={"variants"}), "transfer": True, "table": {"metrics": ["micro_f1"]}}
    )
    data = [str(vectors), str(tmp_path / "b.npz")]
    trials = name_trials(plan_study(study, data, QUICK), Store(tmp_path))
    assert len({trial.key for trial in trials}) == 8
    assert len({trial.training for trial in trials}) == 4


@pytest.mark.usefixtures("instant")
def test_a_training_stays_as_long_as_a_trial_needs_it_or_a_command_is_at_it(
    readings: Study, vectors: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    trials = name_trials(plan_study(readings.with_changes(losses="bce"), [str(vectors)], QUICK), store)
    training = trials[0].training
    assert [trial.training for trial in trials] == [training] * 3 + [None]
    training.mkdir()
    for trial in trials[1:]:
        store.write(trial.key, {})
    remove_trainings(trials, store)
    assert training.exists()
    store.write(trials[0].key, {})
    with store.claim(training.name, command="theirs"):
        remove_trainings(trials, store)
        assert training.exists()
    remove_trainings(trials, store)
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"] * 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study of three trials: one good, one failed, one still running."""
    study = find_study("multiclass")
    places = [{"data": "news", "loss": loss, "seed": 0} for loss in ("bce", "supcon", "zlpr")]
    trials = [{"key": f"key{number}", "place": place} for number, place in enumerate(places)]
    content = {"study": study.model_dump(mode="json"), "data": ["news"], "settings": {}, "store": None}
    content |= {"trials": trials, "origin": describe_origin()}
    (tmp_path / "study.json").write_text(json.dumps(content))
    store = Store(tmp_path / "trials")
    result = {"metrics": {"test": dict.fromkeys(METRICS, 0.5)}, "seconds": {"training": 3.0}}
    result["warnings"] = ["one label is never seen"]
    settings = {"data": "news", "seed": 0, "training": {"epochs": 3}}
    store.write("key0", {"title": "news, bce", "settings": settings, "result": result, "history": [], "seconds": 61.0})
    store.write("key1", {"title": "news, supcon", "settings": settings, "error": "no room", "seconds": 14.0})
    return tmp_path


def test_what_has_failed_and_what_has_not_ended_is_said(folder: Path) -> None:
    table = write_study(folder)
    assert [row[-1].text for row in table.rows] == ["1", "0 of 1", "0 of 1"]
    page = (folder / "report.html").read_text()
    for said in ("1 of 3 trials have not ended.", "news: one label is never seen", "no room", "2, 1 failed"):
        assert said in page
    assert "1 min 15 s" in page
    assert "<td>3</td>" in page
    assert (folder / "table.csv").read_text().splitlines()[1] == "bce,50.00,50.00,50.00,1"
    assert (folder / "results.csv").read_text().splitlines()[2].endswith(",no room")


def test_verdicts_that_were_kept_hold_where_the_outputs_are_gone(folder: Path) -> None:
    """The folder of a finished study can be kept without the outputs of its trials."""
    write_study(folder)
    assert "the difference need not be significant" in (folder / "report.html").read_text()
    verdict = {"column": {"data": "news"}, "row": {"loss": "bce"}, "metric": "macro_f1", "as_good": True}
    (folder / "significance.json").write_text(json.dumps([verdict]))
    assert write_study(folder).rows[0][2].best
    for page in ("report.html", "report.md"):
        assert "every mean that is not significantly worse" in (folder / page).read_text()


def test_the_page_is_the_same_when_it_is_made_again(folder: Path) -> None:
    write_study(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    write_study(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_store_elsewhere_is_found(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("store")
    content = json.loads((folder / "study.json").read_text()) | {"store": str(elsewhere)}
    assert [one.record for one in read_outcomes(folder, content)] == [None, None, None]
    Store(elsewhere).write("key2", {"seconds": 0.0})
    assert read_outcomes(folder, content)[2].record == {"seconds": 0.0}


def test_quantities_of_which_the_same_is_said_have_one_line() -> None:
    told = dict(_glossary(["level_0_macro_f1", "macro_f1", "level_1_macro_f1"]))
    assert list(told) == ["level 0 macro-F1 (%), level 1 macro-F1 (%)", "macro-F1 (%)"]
    assert told["macro-F1 (%)"].endswith("Higher is better.")
