"""What a search leaves: the best of validation, whatever the test examples say."""

import tomllib
from pathlib import Path

from labelcontrast.config.settings import RunSettings
from labelcontrast.studies.engine.trials import Trial
from labelcontrast.studies.grid import parse_loss
from labelcontrast.studies.search.page import Tried, tabulate, write_search
from labelcontrast.studies.search.space import Range, Searched

SEARCHED = [Searched(parse_loss("reg"), {"loss.alpha": Range(0.0, 2.0)}), Searched(parse_loss("bce"), {})]


def tried(loss: Searched, score: float | None, **values: float) -> Tried:
    named = {f"loss.{name}": value for name, value in values.items()}
    trial = Trial("key", f"{loss.loss.title} {values}", loss.under(RunSettings(data="a.npz"), named), Path("nowhere"))
    metrics = {"val": {"map_macro": score}, "test": {"map_macro": 1 - (score or 0)}}
    came_to = {"error": "the disk is full."} if score is None else {"result": {"metrics": metrics}}
    return Tried(trial, named, {"seconds": 1.0, **came_to})


def test_the_best_on_validation_is_kept_complete_and_a_failure_is_shown(tmp_path: Path) -> None:
    scores = [0.5, None, 0.7, 0.6, 0.4]
    trials = [
        [tried(SEARCHED[0], score, alpha=place / 4) for place, score in enumerate(scores)],
        [tried(SEARCHED[1], 0.65)],
    ]
    write_search(tmp_path, SEARCHED, trials, [{"loss.alpha": 1.0}, {}])
    best = RunSettings.build(tomllib.loads((tmp_path / "best.toml").read_text()))
    assert best == trials[0][2].trial.settings
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 3
    for said in ("the disk is full.", "6, 1 failed", "loss.alpha", "0 to 2", "best.toml", "importance (%)"):
        assert said in page


def test_the_table_has_the_best_trials_of_each_loss() -> None:
    trials = [[tried(SEARCHED[0], score, alpha=place / 4) for place, score in enumerate([0.5, 0.7, 0.6, 0.4])], []]
    trials[0].append(trials[0][1])
    table = tabulate(SEARCHED, trials)
    assert table.header == ("loss", "validation mAP (%)", "loss.alpha", "trial")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["reg", "70.00", "0.25", "2"],
        ["reg", "60.00", "0.5", "3"],
        ["reg", "50.00", "0", "1"],
    ]
    assert [row[1].best for row in table.rows] == [True, False, False]
