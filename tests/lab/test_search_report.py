"""What a search leaves: the best of validation, whatever the test examples say."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from labelcontrast.files import write_json
from labelcontrast.lab.search_report import Course, Tried, tabulate, write_search
from labelcontrast.lab.search_space import Range
from labelcontrast.lab.store import Store
from labelcontrast.run.machine import describe_origin
from labelcontrast.settings import RunSettings


def course(loss: str, *scores: float | None, importance: Mapping[str, float] | None = None) -> Course:
    """A loss whose trials came to these scores; the settings of each are kept with it."""
    trials = []
    for place, score in enumerate(scores):
        metrics = {"val": {"map_macro": score}, "test": {"map_macro": 1 - (score or 0)}}
        came_to = {"error": "the disk is full."} if score is None else {"result": {"metrics": metrics}}
        settings = {"data": "a.npz", "loss": {"name": loss}, "seed": place}
        record = {"title": f"{loss} {place}", "seconds": 1.0, "settings": settings, **came_to}
        trials.append(Tried({"loss.alpha": place / 4} if loss == "reg" else {}, record))
    return Course(loss, {"loss.alpha": Range(0.0, 2.0)} if loss == "reg" else {}, trials, importance or {})


def write_folder(folder: Path, courses: Sequence[Course]) -> None:
    """What a search keeps of these."""
    for one in courses:
        for place, tried in enumerate(one.trials):
            Store(folder / "trials").keep(f"{one.loss}{place}", tried.record)
    content = {
        "searched": [
            {"loss": one.loss, "space": {name: asdict(ends) for name, ends in one.space.items()}} for one in courses
        ],
        "asked": [
            [{"key": f"{one.loss}{place}", "values": tried.values} for place, tried in enumerate(one.trials)]
            for one in courses
        ],
        "importance": [one.importance for one in courses],
        "store": None,
        "origin": describe_origin() | {"command": "labelcontrast search a.npz"},
    }
    write_json(folder / "search.json", content)


def test_the_best_on_validation_is_kept_complete_and_a_failure_is_shown(tmp_path: Path) -> None:
    courses = [course("reg", 0.5, None, 0.7, 0.6, 0.4, importance={"loss.alpha": 1.0}), course("bce", 0.65)]
    write_folder(tmp_path, courses)
    write_search(tmp_path)
    best = RunSettings.build(tomllib.loads((tmp_path / "best.toml").read_text()))
    assert best == RunSettings.build(courses[0].trials[2].record["settings"])
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 3
    for said in ("the disk is full.", "6, 1 failed", "loss.alpha", "0 to 2", "best.toml", "importance (%)"):
        assert said in page
    assert "labelcontrast search a.npz" in page, "the command of the search, whoever makes the page again"


def test_a_search_that_has_not_ended_has_a_page_too(tmp_path: Path) -> None:
    write_folder(tmp_path, [course("reg", 0.5, 0.6)])
    Store(tmp_path / "trials").forget("reg1")
    assert [[cell.text for cell in row] for row in write_search(tmp_path).rows] == [["reg", "50.00", "0", "1"]]


def test_the_table_has_the_best_trials_of_each_loss() -> None:
    reg = course("reg", 0.5, 0.7, 0.6, 0.4)
    table = tabulate([replace(reg, trials=[*reg.trials, reg.trials[1]]), course("bce")])
    assert table.header == ("loss", "validation mAP (%)", "loss.alpha", "trial")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["reg", "70.00", "0.25", "2"],
        ["reg", "60.00", "0.5", "3"],
        ["reg", "50.00", "0", "1"],
    ]
    assert [row[1].best for row in table.rows] == [True, False, False]
