"""A ranking over comparisons: from their results to the page, and what is refused."""

import json
from pathlib import Path

import pytest

from labelcontrast.errors import ConfigError, RunError
from labelcontrast.studies.across import rank_comparisons

NAMES = ("micro_f1", "macro_f1", "map_macro")


def comparison(folder: Path, **losses: list[float]) -> Path:
    """A folder with the results of losses, a value a seed; the same on every metric."""
    rows = {
        name: [{"seed": 0, "error": "x"}, *({"metrics": {"test": dict.fromkeys(NAMES, value)}} for value in values)]
        for name, values in losses.items()
    }
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps({"rows": rows}))
    return folder


def test_ranks_are_those_of_the_means_over_seeds(tmp_path: Path) -> None:
    folders = [
        comparison(tmp_path / "one", bce=[0.1, 0.9], reg=[0.6, 0.6], msc=[0.7]),
        comparison(tmp_path / "two", bce=[0.2], msc=[0.5], reg=[0.4]),
        comparison(tmp_path / "three", reg=[0.9, 0.7], bce=[0.8], msc=[0.3]),
    ]
    rankings = rank_comparisons(folders, tmp_path / "ranks.html")
    assert set(rankings) == set(NAMES)
    # reg and bce have the same mean in the third, 0.8: both 1.5
    assert rankings["macro_f1"].ranks == pytest.approx({"msc": 5 / 3, "reg": 5.5 / 3, "bce": 7.5 / 3})
    page = (tmp_path / "ranks.html").read_text()
    assert page.count('aria-label="Mean rank, 1 is best: msc 1.67, reg 1.83, bce 2.50.') == 3
    assert "3 losses on 3 data sets" in page


def study(folder: Path, *rows: str) -> Path:
    """A folder with the trials of a study, of which the macro-F1 is half the micro-F1 and the mAP a tenth of it."""
    lines = ["data,loss,loss.alpha,seed,micro_f1,sample_f1,macro_f1,map_macro,error"]
    for row in rows:
        data, loss, alpha, value = row.split()
        measured = [value, "", str(float(value) / 2), str(float(value) / 10)] if value != "failed" else ["", "", "", ""]
        lines.append(",".join([data, loss, alpha.strip("-"), "0", *measured, "it, so" if value == "failed" else ""]))
    text = "\n".join(line.replace("it, so", '"it, so"') for line in lines)
    folder.mkdir()
    (folder / "results.csv").write_text(text + "\n")
    return folder


def test_the_trials_of_studies_are_ranked_data_set_by_data_set(tmp_path: Path) -> None:
    one = study(tmp_path / "one", "a bce - 0.1", "a bce - 0.9", "a reg 0.0 0.6", "a reg 1.0 0.7", "a reg 1.0 failed",
                "b bce - 0.2", "b reg 0.0 0.4", "b reg 1.0 0.5")  # fmt: skip
    two = study(tmp_path / "two", "c bce - 0.8", "c reg 1.0 0.3", "c reg 0.0 0.8")
    rankings = rank_comparisons([one, two], tmp_path / "ranks.html")
    expected = {"reg, alpha 1.0": 5 / 3, "reg, alpha 0.0": 5.5 / 3, "bce": 7.5 / 3}
    assert rankings["micro_f1"].ranks == rankings["map_macro"].ranks == pytest.approx(expected)
    assert rankings["macro_f1"].data_sets == 3
    assert "3 losses on 3 data sets" in (tmp_path / "ranks.html").read_text()
    with pytest.raises(RunError, match=r"one is on a, and so is one before it; a data set counts once\.$"):
        rank_comparisons([one, one], tmp_path / "ranks.html")


def test_refusals(tmp_path: Path) -> None:
    one = comparison(tmp_path / "one", bce=[0.1], reg=[0.6], msc=[0.7])
    with pytest.raises(
        RunError, match=r"nowhere is no comparison and no study: it has neither results\.json nor results\.csv\.$"
    ):
        rank_comparisons([one, tmp_path / "nowhere"], tmp_path / "ranks.html")
    two = comparison(tmp_path / "two", bce=[0.1], reg=[], msc=[0.7])
    with pytest.raises(ConfigError, match=r"two has bce, msc, not bce, msc, reg\.$"):
        rank_comparisons([one, two], tmp_path / "ranks.html")
    assert not (tmp_path / "ranks.html").exists()
