"""The report is made again from what the folder holds, at any time, and says what is missing."""

import json
from pathlib import Path

import pytest

from labelcontrast.lab.report import _glossary, read_outcomes, write_study
from labelcontrast.lab.store import Store
from labelcontrast.lab.study import find_study
from labelcontrast.run.machine import describe_origin

METRICS = ("micro_f1", "macro_f1", "sample_f1", "hamming_loss", "map_macro", "map_micro", "lrap")


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
    store.keep("key0", {"title": "news, bce", "settings": settings, "result": result, "history": [], "seconds": 61.0})
    store.keep("key1", {"title": "news, supcon", "settings": settings, "error": "no room", "seconds": 14.0})
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
    assert "does not say that the difference is more than chance" in (folder / "report.html").read_text()
    verdict = {"column": {"data": "news"}, "row": {"loss": "bce"}, "metric": "macro_f1", "as_good": True}
    (folder / "significance.json").write_text(json.dumps([verdict]))
    assert write_study(folder).rows[0][2].best
    for page in ("report.html", "report.md"):
        assert "every other that is not significantly worse" in (folder / page).read_text()


def test_the_page_is_the_same_when_it_is_made_again(folder: Path) -> None:
    write_study(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    write_study(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_store_elsewhere_is_found(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("store")
    content = json.loads((folder / "study.json").read_text()) | {"store": str(elsewhere)}
    assert [one.record for one in read_outcomes(folder, content)] == [None, None, None]
    Store(elsewhere).keep("key2", {"seconds": 0.0})
    assert read_outcomes(folder, content)[2].record == {"seconds": 0.0}


def test_quantities_of_which_the_same_is_said_have_one_line() -> None:
    told = dict(_glossary(["level_0_macro_f1", "macro_f1", "level_1_macro_f1"]))
    assert list(told) == ["level 0 macro-F1 (%), level 1 macro-F1 (%)", "macro-F1 (%)"]
    assert told["macro-F1 (%)"].endswith("Higher is better.")
