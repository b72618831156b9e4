"""A search on trials that take no time: nothing twice, the same again, the folder kept."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labelcontrast.config.settings import RunSettings
from labelcontrast.errors import ConfigError, RunError
from labelcontrast.reports.tables import as_markdown
from labelcontrast.studies.engine.store import Record
from labelcontrast.studies.engine.trials import Trial
from labelcontrast.studies.engine.workers import run_trials
from labelcontrast.studies.grid import parse_loss
from labelcontrast.studies.search import searching
from labelcontrast.studies.search.page import write_search
from labelcontrast.studies.search.searching import Options, run_search
from labelcontrast.studies.search.space import plan_search

pytest.importorskip("optuna", reason="Optuna is an extra")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    """The trials that are run; the nearer alpha is to 1, the better."""
    trials: list[Trial] = []

    def perform(trial: Trial) -> Record:
        trials.append(trial)
        score = 1 - abs(float(trial.settings.loss.parameters["alpha"]) - 1)
        metrics = {"val": {"map_macro": score}, "test": {"map_macro": 0.0}}
        settings = trial.settings.model_dump(mode="json", exclude_none=True)
        return {"title": trial.title, "seconds": 0.0, "settings": settings, "result": {"metrics": metrics}}

    monkeypatch.setattr(searching, "Runner", lambda _: perform)
    return trials


@pytest.fixture
def question(vectors: Path) -> dict[str, Any]:
    settings = RunSettings.build({"data": str(vectors)})
    return {"settings": settings, "searched": plan_search(settings, [parse_loss("reg")], ["loss.alpha=0:2"])}


def test_the_best_settings_are_found_and_nothing_is_run_twice(
    ran: list[Trial], question: dict[str, Any], tmp_path: Path
) -> None:
    heard: list[str] = []
    run_search(**question, folder=tmp_path / "out", options=Options(trials=12), say=heard.append)
    assert len(ran) == 12
    assert heard[0].startswith("reg, trial 1 of 12: validation mAP (%) ")
    best = tomllib.loads((tmp_path / "out" / "best.toml").read_text())
    values = [float(trial.settings.loss.parameters["alpha"]) for trial in ran]
    assert best["loss"]["alpha"] == min(values, key=lambda value: abs(value - 1))
    again = run_search(**question, folder=tmp_path / "out", options=Options(trials=14, resume=True, jobs=1))
    asked = [trial.key for trial in ran]
    assert 12 < len(asked) == len(set(asked)) <= 14, "a question that comes again is not run again"
    run_search(**question, folder=tmp_path / "whole", options=Options(trials=14))
    assert [trial.key for trial in ran[len(asked) :]] == asked
    assert (tmp_path / "whole" / "table.md").read_text() == (tmp_path / "out" / "table.md").read_text()
    assert again.rows[0][1].best


def test_a_killed_search_goes_on_with_as_many_questions_at_a_time_as_before(
    ran: list[Trial], question: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "run_at", lambda _: lambda *given, jobs, tell: run_trials(*given, jobs=1, tell=tell))
    run_search(**question, folder=tmp_path / "whole", options=Options(trials=8, jobs=4))
    whole = [trial.key for trial in ran]
    run_search(**question, folder=tmp_path / "killed", options=Options(trials=3, jobs=4))
    run_search(**question, folder=tmp_path / "killed", options=Options(trials=8, jobs=2, resume=True))
    assert [trial.key for trial in ran[8:]] == whole


def test_what_failed_is_tried_again(question: dict[str, Any], ran: list[Trial], tmp_path: Path) -> None:
    out, once = tmp_path / "out", Options(trials=1)
    run_search(**question, folder=out, options=once)
    path = next((out / "trials").glob("*.json"))
    path.write_text('{"title": "", "seconds": 0, "error": "the disk was full."}')
    run_search(**question, folder=out, options=replace(once, resume=True))
    assert len(ran) == 2
    assert "error" not in path.read_text()


def test_searches_with_a_store_in_common_share_their_trials(
    ran: list[Trial], question: dict[str, Any], tmp_path: Path
) -> None:
    shared = Options(trials=3, store=tmp_path / "store")
    tables = [as_markdown(run_search(**question, folder=tmp_path / name, options=shared)) for name in ("a", "b")]
    assert len(ran) == 3
    assert tables[0] == tables[1] == as_markdown(write_search(tmp_path / "b"))
    assert not (tmp_path / "b" / "trials").exists()


@pytest.mark.usefixtures("ran")
def test_folders_are_kept_unless_asked(question: dict[str, Any], tmp_path: Path) -> None:
    out, once = tmp_path / "out", Options(trials=1)
    run_search(**question, folder=out, options=once)
    with pytest.raises(RunError, match="holds a search; go on with --resume, start anew with --force, or"):
        run_search(**question, folder=out, options=once)
    other = question | {"searched": plan_search(question["settings"], [parse_loss("reg")], ["loss.alpha=0:1"])}
    with pytest.raises(ConfigError, match="holds a search with other losses or ranges; choose another folder"):
        run_search(**other, folder=out, options=replace(once, resume=True))
    run_search(**other, folder=out, options=replace(once, force=True))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    with pytest.raises(RunError, match="is not empty and is not a search"):
        run_search(**question, folder=tmp_path / "mine", options=replace(once, force=True))
