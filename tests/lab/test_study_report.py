"""Running and resuming a study, shared trainings, failures, and the report written from its folder."""

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
from labelcontrast.lab.trials import Runner, Store, Trial
from labelcontrast.reports.tables import as_markdown
from labelcontrast.run.fitting import Callbacks
from labelcontrast.run.machine import describe_origin
from labelcontrast.training.epochs import Epoch

METRICS = ("micro_f1", "macro_f1", "sample_f1", "hamming_loss", "map_macro", "map_micro", "lrap")
FIGURES = ("micro_f1-by-temperature", "score-by-epoch-temperature-0.1", "score-by-epoch-temperature-0.5")
QUICK = {"training": {"epochs": 1, "batch_size": 64}}


class Killed(BaseException):
    """Ends a trial without a record, like a killed process."""


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
    """Replace training by a fixed record, which the test can change."""
    record = {"result": {"metrics": {"test": dict.fromkeys(METRICS, 0.5)}, "seconds": {}, "warnings": []}}
    monkeypatch.setattr(study_report, "Runner", lambda _: lambda trial: {"title": trial.title, "seconds": 1.0} | record)
    return record


def test_the_folder_has_page_tables_figures_and_results(finished: Path) -> None:
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
    for text in ("Does the temperature matter?", "Table 1", "processors", "training.epochs", "scikit-learn", "<svg"):
        assert text in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    notes = (finished / "report.md").read_text()
    for text in ("Does the temperature matter?", "Table 1", "processors", "training.epochs", "scikit-learn"):
        assert text in notes
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
def test_a_resumed_study_runs_only_additional_trials(tiny: Study, vectors: Path, finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "trials").glob("*.json")}
    messages: list[str] = []
    more = tiny.with_changes(losses="bce,reg,zlpr")
    table = run_study(more, [str(vectors)], QUICK, finished, options=Options(resume=True), say=messages.append)
    assert [row[0].text for row in table.rows] == ["bce", "reg", "reg", "zlpr"]
    assert messages[0] == "tiny: 4 trials, 3 done before"
    assert len(messages) == 2
    assert messages[1] == "[1/1] vectors, zlpr, seed 0: macro-F1 50.0 %, 1 s"
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_studies_with_one_store_share_trials(tiny: Study, vectors: Path, finished: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    other = tiny.model_copy(update={"name": "other"})
    table = run_study(other, [str(vectors)], QUICK, tmp_path / "other", store=finished / "trials", say=messages.append)
    stored = json.loads((tmp_path / "other" / "study.json").read_text())["store"]
    assert not Path(stored).is_absolute()
    assert (tmp_path / "other" / stored).resolve() == (finished / "trials").resolve()
    assert messages == ["other: 3 trials, 3 done before"]
    assert not (tmp_path / "other" / "trials").exists()
    assert as_markdown(table) == as_markdown(write_study(tmp_path / "other"))


def test_a_failed_trial_is_reported_and_repeated_on_resume(
    tiny: Study, vectors: Path, tmp_path: Path, instant: dict[str, object]
) -> None:
    messages: list[str] = []
    good = instant.pop("result")
    instant["error"] = "the disk is full."
    with pytest.raises(RunError, match=r"^all 3 trials failed, the first with: the disk is full\.$"):
        run_study(tiny, [str(vectors)], QUICK, tmp_path / "out", say=messages.append)
    assert [row[-1].text for row in write_study(tmp_path / "out").rows] == ["0 of 1", "0 of 1", "0 of 1"]
    assert messages[1] == "[1/3] vectors, bce, seed 0: failed: the disk is full., 1 s"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "vectors, reg, temperature 0.5, seed 0" in page
    assert page.count("the disk is full.") == 3
    instant["result"] = good
    del instant["error"]
    table = run_study(
        tiny.with_changes(losses="bce"), [str(vectors)], QUICK, tmp_path / "out", options=Options(resume=True)
    )
    assert [row[-1].text for row in table.rows] == ["1"]


def test_existing_folders_are_not_overwritten(tiny: Study, vectors: Path, finished: Path, tmp_path: Path) -> None:
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
    run_study(tiny.with_changes(losses="bce"), data, QUICK, claimed, options=Options(force=True))
    assert (claimed / "results.csv").exists()


@pytest.mark.usefixtures("instant")
def test_data_sets_have_their_own_columns(tiny: Study, vectors: Path, tmp_path: Path) -> None:
    with np.load(vectors) as arrays:
        np.savez(tmp_path / "again.npz", **{name: arrays[name] for name in arrays})
    one = tiny.with_changes(losses="bce")
    table = run_study(one, [str(vectors), str(tmp_path / "again.npz")], QUICK, tmp_path / "out")
    assert table.header[1:3] == ("temperature", "vectors micro-F1 (%)")
    assert table.rows[0][2] == table.rows[0][4]
    assert len(list((tmp_path / "out" / "trials").glob("*.json"))) == 1, "the same contents are the same trial"


def test_trial_keys_depend_on_the_contents_of_the_data_and_not_on_their_path(tiny: Study, tmp_path: Path) -> None:
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
def evaluations() -> Study:
    """Return a study with three evaluations of one training, and one of another."""
    return Study.build(
        {
            "name": "evaluations",
            "question": "How much does the evaluation matter?",
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


def test_trials_that_differ_only_in_evaluation_share_one_training(
    evaluations: Study, vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs: list[int] = []
    callbacks = Callbacks(on_epoch=lambda epoch: epochs.append(epoch.epoch))
    monkeypatch.setattr(study_report, "Runner", lambda device: Runner(device, callbacks=callbacks))
    one = evaluations.with_changes(losses="reg")
    run_study(one, [str(vectors)], QUICK, tmp_path / "out")
    assert epochs == [1] * 2, "the loss trains once for three evaluations, and once for the last epoch"
    assert not list((tmp_path / "out").rglob("training-*")), "the shared trainings are removed"
    assert not list((tmp_path / "out").rglob("*.ckpt"))
    for trial in name_trials(plan_study(one, [str(vectors)], QUICK), Store(tmp_path / "out" / "trials")):
        if trial.training is None:
            continue
        alone = run_experiment(trial.settings, tmp_path / "alone" / trial.key)
        record = json.loads((tmp_path / "out" / "trials" / f"{trial.key}.json").read_text())
        assert record["result"]["metrics"] == alone["metrics"]
        assert len(record["history"]) == 1
        assert (trial.folder / "report.html").exists()


def test_an_interrupted_shared_training_is_resumed(
    evaluations: Study, vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs: list[int] = []

    def interrupt_once(epoch: Epoch) -> None:
        epochs.append(epoch.epoch)
        if epochs == [1, 2]:
            raise Killed

    callbacks = Callbacks(on_epoch=interrupt_once)
    monkeypatch.setattr(study_report, "Runner", lambda device: Runner(device, callbacks=callbacks))
    two = Study.build(
        {**evaluations.model_dump(), "losses": ["bce"], "variants": {"a": {}, "b": {"evaluation.threshold": "fixed"}}}
    )
    longer = {"training": {"epochs": 2, "batch_size": 64}}
    with pytest.raises(Killed):
        run_study(two, [str(vectors)], longer, tmp_path / "out")
    assert len(list((tmp_path / "out" / "trials").glob("training-*/checkpoints"))) == 1
    run_study(two, [str(vectors)], longer, tmp_path / "out", options=Options(resume=True))
    assert epochs == [1, 2, 2], "the first epoch was saved, and the second trial trains nothing"
    for trial in name_trials(plan_study(two, [str(vectors)], longer), Store(tmp_path / "out" / "trials")):
        alone = run_experiment(trial.settings, tmp_path / "alone" / trial.key)
        record = json.loads((tmp_path / "out" / "trials" / f"{trial.key}.json").read_text())
        assert record["result"]["metrics"] == alone["metrics"]


def test_transfer_trials_share_one_training_per_encoder(evaluations: Study, vectors: Path, tmp_path: Path) -> None:
    with np.load(vectors) as arrays:
        np.savez(tmp_path / "b.npz", X=arrays["X"][:150], Y=arrays["Y"][:150, 1:3])
    study = Study.build(
        {**evaluations.model_dump(exclude={"variants"}), "transfer": True, "table": {"metrics": ["micro_f1"]}}
    )
    data = [str(vectors), str(tmp_path / "b.npz")]
    trials = name_trials(plan_study(study, data, QUICK), Store(tmp_path))
    assert len({trial.key for trial in trials}) == 8
    assert len({trial.training for trial in trials}) == 4


@pytest.mark.usefixtures("instant")
def test_a_shared_training_is_kept_while_a_trial_or_a_claim_needs_it(
    evaluations: Study, vectors: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    trials = name_trials(plan_study(evaluations.with_changes(losses="bce"), [str(vectors)], QUICK), store)
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
    """Write the folder of a study with a finished, a failed and an unfinished trial."""
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


def test_failed_and_unfinished_trials_are_reported(folder: Path) -> None:
    table = write_study(folder)
    assert [row[-1].text for row in table.rows] == ["1", "0 of 1", "0 of 1"]
    page = (folder / "report.html").read_text()
    for text in ("1 of 3 trials have not ended.", "news: one label is never seen", "no room", "2, 1 failed"):
        assert text in page
    assert "1 min 15 s" in page
    assert "<td>3</td>" in page
    assert (folder / "table.csv").read_text().splitlines()[1] == "bce,50.00,50.00,50.00,1"
    assert (folder / "results.csv").read_text().splitlines()[2].endswith(",no room")


def test_saved_verdicts_are_used_without_outputs(folder: Path) -> None:
    write_study(folder)
    assert "the difference need not be significant" in (folder / "report.html").read_text()
    verdict = {"column": {"data": "news"}, "row": {"loss": "bce"}, "metric": "macro_f1", "as_good": True}
    (folder / "significance.json").write_text(json.dumps([verdict]))
    assert write_study(folder).rows[0][2].best
    for page in ("report.html", "report.md"):
        assert "every mean that is not significantly worse" in (folder / page).read_text()


def test_writing_the_report_twice_gives_the_same_files(folder: Path) -> None:
    write_study(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    write_study(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_store_outside_the_folder_is_read(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("store")
    content = json.loads((folder / "study.json").read_text()) | {"store": str(elsewhere)}
    assert [one.record for one in read_outcomes(folder, content)] == [None, None, None]
    Store(elsewhere).write("key2", {"seconds": 0.0})
    assert read_outcomes(folder, content)[2].record == {"seconds": 0.0}


def test_quantities_with_the_same_meaning_share_a_glossary_entry() -> None:
    glossary = dict(_glossary(["level_0_macro_f1", "macro_f1", "level_1_macro_f1"]))
    assert list(glossary) == ["level 0 macro-F1 (%), level 1 macro-F1 (%)", "macro-F1 (%)"]
    assert glossary["macro-F1 (%)"].endswith("Higher is better.")


def test_the_configuration_with_the_best_mean_on_validation_is_shown(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the one that is best with one seed, nor the one that is best on test."""
    on_validation = {0.0: (0.9, 0.1), 1.0: (0.6, 0.6), 2.0: (0.5, 0.5)}

    def run(trial: Trial) -> dict[str, object]:
        alpha = float(trial.settings.loss.parameters.get("alpha", 2.0))
        test = dict.fromkeys(METRICS, 0.7 - 0.1 * alpha)
        metrics = {"val": dict.fromkeys(METRICS, on_validation[alpha][trial.settings.seed]), "test": test}
        return {"title": trial.title, "seconds": 1.0, "result": {"metrics": metrics, "seconds": {}, "warnings": []}}

    monkeypatch.setattr(study_report, "Runner", lambda _: run)
    values = {"name": "listed", "question": "Which?", "losses": ["bce", "reg:alpha=[0, 1]"], "seeds": 2}
    study = Study.build({**values, "table": {"metrics": ["micro_f1"]}})
    table = run_study(study, [str(vectors)], QUICK, tmp_path / "out")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["bce", "50.00 ± 0.00", "2"],
        ["reg", "60.00 ± 0.00", "2"],
    ]
    assert "chosen for vectors, reg: alpha 1" in (tmp_path / "out" / "report.md").read_text()
    with (tmp_path / "out" / "results.csv").open() as file:
        rows = [(row["loss"], row["choice"], row["seed"]) for row in csv.DictReader(file)]
    assert rows == [
        ("bce", "", "0"),
        ("reg", "alpha 0", "0"),
        ("reg", "alpha 1", "0"),
        ("bce", "", "1"),
        ("reg", "alpha 0", "1"),
        ("reg", "alpha 1", "1"),
    ]
