"""Searches: the sampler, resuming without repeating a trial, failures, and the files of the folder."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from labelcontrast.errors import ConfigError, RunError
from labelcontrast.files import write_json
from labelcontrast.lab import pipeline, search
from labelcontrast.lab.pipeline import Options
from labelcontrast.lab.search import LossHistory, Sampler, SearchTrial, run_search, search_table, write_search
from labelcontrast.lab.search_space import Range, plan_search
from labelcontrast.lab.trials import Record, Store, Trial
from labelcontrast.lab.workers import run_trials
from labelcontrast.reports.tables import as_markdown
from labelcontrast.run.machine import describe_origin
from labelcontrast.settings import RunSettings, parse_loss


def history(loss: str, *scores: float | None, importance: Mapping[str, float] | None = None) -> LossHistory:
    """Return a loss with one trial per score; None is a failed trial."""
    trials = []
    for place, score in enumerate(scores):
        metrics = {"val": {"map_macro": score}, "test": {"map_macro": 1 - (score or 0)}}
        outcome = {"error": "the disk is full."} if score is None else {"result": {"metrics": metrics}}
        settings = {"data": "a.npz", "loss": {"name": loss}, "seed": place}
        record = {"title": f"{loss} {place}", "seconds": 1.0, "settings": settings, **outcome}
        trials.append(SearchTrial({"loss.alpha": place / 4} if loss == "reg" else {}, record))
    return LossHistory(loss, {"loss.alpha": Range(0.0, 2.0)} if loss == "reg" else {}, trials, importance or {})


def write_folder(folder: Path, histories: Sequence[LossHistory]) -> None:
    """Write the folder of a search with these trials."""
    for one in histories:
        for place, trial in enumerate(one.trials):
            Store(folder / "trials").write(f"{one.loss}{place}", trial.record)
    content = {
        "searched": [
            {"loss": one.loss, "space": {name: asdict(ends) for name, ends in one.space.items()}} for one in histories
        ],
        "asked": [
            [{"key": f"{one.loss}{place}", "values": trial.values} for place, trial in enumerate(one.trials)]
            for one in histories
        ],
        "importance": [one.importance for one in histories],
        "store": None,
        "origin": describe_origin() | {"command": "labelcontrast search a.npz"},
    }
    write_json(folder / "search.json", content)


def test_the_best_validation_settings_are_saved_and_failures_are_shown(tmp_path: Path) -> None:
    histories = [history("reg", 0.5, None, 0.7, 0.6, 0.4, importance={"loss.alpha": 1.0}), history("bce", 0.65)]
    write_folder(tmp_path, histories)
    write_search(tmp_path)
    best = RunSettings.build(tomllib.loads((tmp_path / "best.toml").read_text()))
    assert best == RunSettings.build(histories[0].trials[2].record["settings"])
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 3
    for text in ("the disk is full.", "6, 1 failed", "loss.alpha", "0 to 2", "best.toml", "importance (%)"):
        assert text in page
    assert "labelcontrast search a.npz" in page, "the command of the search, whoever makes the page again"


def test_an_unfinished_search_has_a_page(tmp_path: Path) -> None:
    write_folder(tmp_path, [history("reg", 0.5, 0.6)])
    Store(tmp_path / "trials").remove("reg1")
    assert [[cell.text for cell in row] for row in write_search(tmp_path).rows] == [["reg", "50.00", "0", "1"]]


def test_the_table_lists_the_best_trials_of_each_loss() -> None:
    reg = history("reg", 0.5, 0.7, 0.6, 0.4)
    table = search_table([replace(reg, trials=[*reg.trials, reg.trials[1]]), history("bce")])
    assert table.header == ("loss", "validation mAP (%)", "loss.alpha", "trial")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["reg", "70.00", "0.25", "2"],
        ["reg", "60.00", "0.5", "3"],
        ["reg", "50.00", "0", "1"],
    ]
    assert [row[1].best for row in table.rows] == [True, False, False]


SPACE = {"rate": Range(1e-5, 1e-1, log=True), "alpha": Range(0.0, 2.0)}


def height(values: dict[str, float]) -> float:
    """Return an objective with its maximum at alpha 1.5, almost independent of the rate."""
    return -((values["alpha"] - 1.5) ** 2) - 1e-3 * values["rate"]


def climb(sampler: Sampler, rounds: int) -> list[dict[str, float]]:
    asked = []
    for _ in range(rounds):
        batch = sampler.ask(2)
        sampler.tell([height(values) for values in batch])
        asked += batch
    return asked


def test_a_longer_search_starts_with_the_trials_of_a_shorter_one() -> None:
    shorter, longer = climb(Sampler(SPACE, seed=3), 8), climb(Sampler(SPACE, seed=3), 12)
    assert longer[:16] == shorter
    assert climb(Sampler(SPACE, seed=4), 2) != shorter[:4]
    assert all(1e-5 <= one["rate"] <= 1e-1 and 0 <= one["alpha"] <= 2 for one in longer)
    assert all(value == float(f"{value:.3g}") for one in longer for value in one.values())


def test_the_sampler_concentrates_near_the_optimum_and_ranks_importance() -> None:
    sampler = Sampler(SPACE, seed=0)
    asked = climb(sampler, 25)
    first, last = ([abs(one["alpha"] - 1.5) for one in part] for part in (asked[:10], asked[-20:]))
    assert sum(last) / len(last) < sum(first) / len(first)
    found = sampler.importance()
    assert found["alpha"] > 0.7
    assert sum(found.values()) == pytest.approx(1)


def test_failed_trials_do_not_affect_the_sampler() -> None:
    sampler = Sampler(SPACE, seed=0)
    sampler.ask(3)
    sampler.tell([None, float("nan"), 1.0])
    assert sampler.importance() == {}
    assert len(sampler.ask(1)) == 1


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    """Replace training by a score that is best at alpha 1; return the list of the trials run."""
    trials: list[Trial] = []

    def perform(trial: Trial) -> Record:
        trials.append(trial)
        score = 1 - abs(float(trial.settings.loss.parameters["alpha"]) - 1)
        metrics = {"val": {"map_macro": score}, "test": {"map_macro": 0.0}}
        settings = trial.settings.model_dump(mode="json", exclude_none=True)
        return {"title": trial.title, "seconds": 0.0, "settings": settings, "result": {"metrics": metrics}}

    monkeypatch.setattr(search, "Runner", lambda _: perform)
    return trials


@pytest.fixture
def question(vectors: Path) -> dict[str, Any]:
    settings = RunSettings.build({"data": str(vectors)})
    return {"settings": settings, "searched": plan_search(settings, [parse_loss("reg")], ["loss.alpha=0:2"])}


def test_a_resumed_search_equals_a_whole_one_and_repeats_no_trial(
    ran: list[Trial], question: dict[str, Any], tmp_path: Path
) -> None:
    messages: list[str] = []
    run_search(**question, folder=tmp_path / "out", trials=12, say=messages.append)
    assert len(ran) == 12
    assert messages[0].startswith("reg, trial 1 of 12: validation mAP (%) ")
    best = tomllib.loads((tmp_path / "out" / "best.toml").read_text())
    values = [float(trial.settings.loss.parameters["alpha"]) for trial in ran]
    assert best["loss"]["alpha"] == min(values, key=lambda value: abs(value - 1))
    again = run_search(**question, folder=tmp_path / "out", trials=14, options=Options(resume=True, jobs=1))
    asked = [trial.key for trial in ran]
    assert 12 < len(asked) == len(set(asked)) <= 14, "a question that comes again is not run again"
    run_search(**question, folder=tmp_path / "whole", trials=14)
    assert [trial.key for trial in ran[len(asked) :]] == asked
    assert (tmp_path / "whole" / "table.md").read_text() == (tmp_path / "out" / "table.md").read_text()
    assert again.rows[0][1].best


def test_a_resumed_search_keeps_its_batch_size(
    ran: list[Trial], question: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        pipeline, "run_at", lambda _: lambda *given, jobs, on_event: run_trials(*given, jobs=1, on_event=on_event)
    )
    run_search(**question, folder=tmp_path / "whole", trials=8, options=Options(jobs=4))
    whole = [trial.key for trial in ran]
    run_search(**question, folder=tmp_path / "killed", trials=3, options=Options(jobs=4))
    run_search(**question, folder=tmp_path / "killed", trials=8, options=Options(jobs=2, resume=True))
    assert [trial.key for trial in ran[8:]] == whole


def test_resume_repeats_failed_trials(question: dict[str, Any], ran: list[Trial], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_search(**question, folder=out, trials=1)
    path = next((out / "trials").glob("*.json"))
    path.write_text('{"title": "", "seconds": 0, "error": "the disk was full."}')
    run_search(**question, folder=out, trials=1, options=Options(resume=True))
    assert len(ran) == 2
    assert "error" not in path.read_text()


def test_searches_with_one_store_share_trials(ran: list[Trial], question: dict[str, Any], tmp_path: Path) -> None:
    tables = [
        as_markdown(run_search(**question, folder=tmp_path / name, trials=3, store=tmp_path / "store"))
        for name in ("a", "b")
    ]
    assert len(ran) == 3
    assert tables[0] == tables[1] == as_markdown(write_search(tmp_path / "b"))
    assert not (tmp_path / "b" / "trials").exists()


@pytest.mark.usefixtures("ran")
def test_existing_folders_are_not_overwritten(question: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_search(**question, folder=out, trials=1)
    with pytest.raises(RunError, match="holds a search; continue with --resume, replace it with --force, or"):
        run_search(**question, folder=out, trials=1)
    other = question | {"searched": plan_search(question["settings"], [parse_loss("reg")], ["loss.alpha=0:1"])}
    with pytest.raises(ConfigError, match="holds a search with other losses or ranges; choose another folder"):
        run_search(**other, folder=out, trials=1, options=Options(resume=True))
    run_search(**other, folder=out, trials=1, options=Options(force=True))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    with pytest.raises(RunError, match="is not empty and is not a search"):
        run_search(**question, folder=tmp_path / "mine", trials=1, options=Options(force=True))
