"""Mean ranks and critical differences against the published example and simulated losses; rankings of folders."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from labelcontrast.errors import ConfigError, RunError
from labelcontrast.lab.ranks import Ranking, rank_comparisons, rank_figure, rank_losses

# Demsar 2006, table 6: AUC of C4.5 with four settings on 14 data sets; mean ranks 3.143, 2.000, 2.893, 1.964.
PUBLISHED = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def as_results(values: np.ndarray) -> dict[str, dict[str, float]]:
    return {
        f"data {row}": {f"loss {column}": float(v) for column, v in enumerate(line)} for row, line in enumerate(values)
    }


def test_ranks_and_critical_difference_of_the_published_example() -> None:
    ranking = rank_losses(as_results(PUBLISHED))
    assert ranking.ranks["loss 0"] == pytest.approx(3.143, abs=0.001)
    assert ranking.ranks["loss 1"] == pytest.approx(2.000, abs=0.001)
    assert ranking.ranks["loss 2"] == pytest.approx(2.893, abs=0.001)
    assert ranking.ranks["loss 3"] == pytest.approx(1.964, abs=0.001)
    assert ranking.critical_difference == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=0.002)
    assert ranking.p < 0.05


def test_ranks_are_reversed_if_lower_is_better() -> None:
    higher, lower = (rank_losses(as_results(PUBLISHED), better=better).ranks for better in ("higher", "lower"))
    for name, rank in higher.items():
        assert rank + lower[name] == pytest.approx(5)


def test_groups_are_maximal_intervals_within_the_critical_difference() -> None:
    ranks = {"a": 1.0, "b": 1.8, "c": 2.1, "d": 3.4, "e": 4.6}
    assert Ranking(ranks, 1.2, 0.0, 9).groups == [("a", "b", "c"), ("d", "e")]
    assert Ranking(ranks, 1.4, 0.0, 9).groups == [("a", "b", "c"), ("c", "d"), ("d", "e")]
    assert Ranking(ranks, 0.2, 0.0, 9).groups == []
    assert Ranking(ranks, 9.0, 0.0, 9).groups == [("a", "b", "c", "d", "e")]


def test_the_false_positive_rate_for_equal_losses_is_near_five_percent() -> None:
    generator = np.random.default_rng(0)
    wrong = []
    for _ in range(400):
        ranking = rank_losses(as_results(generator.normal(size=(12, 5))))
        wrong.append(max(ranking.ranks.values()) - min(ranking.ranks.values()) > ranking.critical_difference)
    assert 0.01 < np.mean(wrong) < 0.09


def test_too_few_data_sets_or_different_losses_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"^every data set needs the same losses\. b has bce, reg, not bce, msc, reg\.$"
    ):
        rank_losses({"a": {"bce": 1, "reg": 2, "msc": 3}, "b": {"bce": 1, "reg": 2}})
    with pytest.raises(ConfigError, match=r"two data sets and three losses\. Got 1 and 3\.$"):
        rank_losses({"a": {"bce": 1, "reg": 2, "msc": 3}})


NAMES = ("micro_f1", "macro_f1", "map_macro")


def comparison(folder: Path, **losses: list[float]) -> Path:
    """Write the folder of a comparison with one value per loss and seed, the same for every metric."""
    rows = {
        name: [{"seed": 0, "error": "x"}, *({"metrics": {"test": dict.fromkeys(NAMES, value)}} for value in values)]
        for name, values in losses.items()
    }
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps({"rows": rows}))
    return folder


def test_comparisons_are_ranked_by_means_over_seeds(tmp_path: Path) -> None:
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
    """Write the folder of a study; macro-F1 is half of micro-F1, and mAP is a tenth of it."""
    lines = ["data,loss,loss.alpha,seed,micro_f1,sample_f1,macro_f1,map_macro,error"]
    for row in rows:
        data, loss, alpha, value = row.split()
        measured = [value, "", str(float(value) / 2), str(float(value) / 10)] if value != "failed" else ["", "", "", ""]
        lines.append(",".join([data, loss, alpha.strip("-"), "0", *measured, "it, so" if value == "failed" else ""]))
    text = "\n".join(line.replace("it, so", '"it, so"') for line in lines)
    folder.mkdir()
    (folder / "results.csv").write_text(text + "\n")
    return folder


def test_studies_are_ranked_by_data_set(tmp_path: Path) -> None:
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


def test_folders_that_cannot_be_ranked_are_refused(tmp_path: Path) -> None:
    one = comparison(tmp_path / "one", bce=[0.1], reg=[0.6], msc=[0.7])
    with pytest.raises(
        RunError, match=r"nowhere is neither a comparison nor a study: it has no results\.json and no results\.csv\.$"
    ):
        rank_comparisons([one, tmp_path / "nowhere"], tmp_path / "ranks.html")
    two = comparison(tmp_path / "two", bce=[0.1], reg=[], msc=[0.7])
    with pytest.raises(ConfigError, match=r"two has bce, msc, not bce, msc, reg\.$"):
        rank_comparisons([one, two], tmp_path / "ranks.html")
    assert not (tmp_path / "ranks.html").exists()


RANKS = {"reg": 1.4, "msc": 2.1, "zlpr": 3.0, "bce": 3.5}


def bars(drawn: str) -> int:
    return len([stroke for stroke in re.findall(r"stroke-width: ([0-9.]+)", drawn) if float(stroke) == 4])


def test_the_figure_describes_every_rank_and_draws_a_bar_per_group() -> None:
    groups = [("reg", "msc"), ("msc", "zlpr", "bce")]
    ranking = Ranking(RANKS, critical_difference=1.5, p=0.01, data_sets=9)
    assert ranking.groups == groups
    drawn = rank_figure(ranking)
    described = re.search(r'aria-label="([^"]*)"', drawn)
    assert described is not None
    assert described[1] == "Mean rank, 1 is best: reg 1.40, msc 2.10, zlpr 3.00, bce 3.50. Critical difference 1.50."
    assert bars(drawn) == 2
    assert bars(rank_figure(Ranking(RANKS, critical_difference=0.2, p=0.01, data_sets=9))) == 0
