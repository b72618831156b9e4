"""The sampler: the same answers lead to the same questions, good values are found, failures are borne.

A search on trials that take no time: nothing twice, the same again, the folder kept.
"""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labelcontrast.errors import ConfigError, RunError
from labelcontrast.lab import search as searching
from labelcontrast.lab.search import Options, Sampler, run_search
from labelcontrast.lab.search_report import write_search
from labelcontrast.lab.search_space import Range, plan_search
from labelcontrast.lab.store import Record
from labelcontrast.lab.trials import Trial
from labelcontrast.lab.workers import run_trials
from labelcontrast.reports.tables import as_markdown
from labelcontrast.settings import RunSettings, parse_loss

pytest.importorskip("optuna", reason="Optuna is an extra")
SPACE = {"rate": Range(1e-5, 1e-1, log=True), "alpha": Range(0.0, 2.0)}


def height(values: dict[str, float]) -> float:
    """A hill with its top at alpha 1.5; the rate hardly matters."""
    return -((values["alpha"] - 1.5) ** 2) - 1e-3 * values["rate"]


def climb(sampler: Sampler, rounds: int) -> list[dict[str, float]]:
    asked = []
    for _ in range(rounds):
        batch = sampler.ask(2)
        sampler.tell([height(values) for values in batch])
        asked += batch
    return asked


def test_a_longer_search_begins_as_the_shorter_one() -> None:
    shorter, longer = climb(Sampler(SPACE, seed=3), 8), climb(Sampler(SPACE, seed=3), 12)
    assert longer[:16] == shorter
    assert climb(Sampler(SPACE, seed=4), 2) != shorter[:4]
    assert all(1e-5 <= one["rate"] <= 1e-1 and 0 <= one["alpha"] <= 2 for one in longer)
    assert all(value == float(f"{value:.3g}") for one in longer for value in one.values())


def test_it_looks_where_it_was_good_and_knows_what_mattered() -> None:
    sampler = Sampler(SPACE, seed=0)
    asked = climb(sampler, 25)
    first, last = ([abs(one["alpha"] - 1.5) for one in part] for part in (asked[:10], asked[-20:]))
    assert sum(last) / len(last) < sum(first) / len(first)
    found = sampler.importance()
    assert found["alpha"] > 0.7
    assert sum(found.values()) == pytest.approx(1)


def test_what_failed_has_no_say() -> None:
    sampler = Sampler(SPACE, seed=0)
    sampler.ask(3)
    sampler.tell([None, float("nan"), 1.0])
    assert sampler.importance() == {}
    assert len(sampler.ask(1)) == 1


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
